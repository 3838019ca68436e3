//! `GET /sdk/v1/cohorts/{cohort}/{digest}`: one list, for ever.

use axum::{
    body::{Body, Bytes},
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};

use super::sdk::Sdk;
use crate::{error::Error, publish::Environment, store::Store};

/// The hashes of a cohort's units: ascending u64, little-endian, no header.
///
/// # Errors
/// No valid key; no such list: the SDK then asks for the whole.
#[utoipa::path(
    get,
    path = "/sdk/v1/cohorts/{cohort}/{digest}",
    tag = "sdk",
    params(("cohort" = String, Path, description = "The cohort's key"), ("digest" = String, Path, description = "The list's digest, as the cohort names it")),
    responses(
        (status = 200, description = "Ascending u64, little-endian", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 401, description = "No valid SDK key"),
        (status = 404, description = "No such list: ask for the whole"),
        (status = 503, description = "The list is not in memory and the database is away"),
    ),
    security(("sdk_key" = []))
)]
pub async fn get_list(State(store): State<Store>, sdk: Sdk, Path((cohort, digest)): Path<(String, String)>) -> Result<Response, Error> {
    let found = match sdk.environment.list(&cohort, &digest) {
        Some(bytes) => Some(bytes),
        None => read_list(&store, &sdk.environment, &cohort, &digest).await?,
    };
    let Some(bytes) = found else {
        return Err(Error::NotFound("there is no such list: ask for the whole ruleset".to_owned()));
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
        (header::VARY, HeaderValue::from_static("authorization")),
    ];
    Ok((headers, Body::from(bytes)).into_response())
}

/// A list that another node has just written, or one that was named before.
async fn read_list(store: &Store, environment: &Environment, cohort: &str, digest: &str) -> Result<Option<Bytes>, Error> {
    let known = environment.has_cohort(cohort)
        || store.find_cohort(environment.id(), cohort).await?.is_some_and(|cohort| cohort.deleted_at.is_none());
    if !known {
        return Ok(None);
    }
    Ok(store.find_list(environment.id(), digest).await?.map(Into::into))
}
