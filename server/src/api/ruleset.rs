//! `GET /sdk/v1/ruleset`: everything, by polling.

use axum::{
    body::{Body, Bytes},
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use storyflag_evaluation::Identity;

use super::sdk::Sdk;
use crate::{error::Error, publish::Hub};

/// Smaller bodies are not worth the work.
const WORTH_COMPRESSING: usize = 1_024;

/// The data of a `ruleset` event, with its identity as `ETag`.
///
/// # Errors
/// No valid key.
#[utoipa::path(
    get,
    path = "/sdk/v1/ruleset",
    tag = "sdk",
    params(("If-None-Match" = Option<String>, Header, description = "The `ETag` of the ruleset that was applied")),
    responses(
        (status = 200, description = "The data of a `ruleset` event", body = Object, content_type = "application/json"),
        (status = 304, description = "It is the one that was applied"),
        (status = 401, description = "No valid SDK key"),
    ),
    security(("sdk_key" = []))
)]
pub async fn get_ruleset(State(hub): State<Hub>, sdk: Sdk, headers: HeaderMap) -> Result<Response, Error> {
    let applied: Vec<Identity> =
        headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).flat_map(tags).collect();
    for applied in &applied {
        hub.claim(sdk.environment.id(), *applied);
    }
    let served = sdk.environment.identity();
    if applied.contains(&served) {
        return Ok((StatusCode::NOT_MODIFIED, about(served)).into_response());
    }
    let whole = sdk.environment.whole();
    let about = about(whole.identity());
    let body = whole.body();
    if body.len() >= WORTH_COMPRESSING
        && takes_gzip(&headers)
        && let Some(gzip) = whole.gzip().await
    {
        return Ok(answer(about, [(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))], gzip));
    }
    Ok(answer(about, [], body))
}

fn answer<const N: usize>(about: [(HeaderName, HeaderValue); 3], more: [(HeaderName, HeaderValue); N], body: Bytes) -> Response {
    let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (about, json, more, Body::from(body)).into_response()
}

fn about(identity: Identity) -> [(HeaderName, HeaderValue); 3] {
    let tag = HeaderValue::try_from(format!("\"{identity}\"")).unwrap_or(HeaderValue::from_static("\"\""));
    [
        (header::ETAG, tag),
        // To be kept, and asked about each time.
        (header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache")),
        (header::VARY, HeaderValue::from_static("authorization, accept-encoding")),
    ]
}

/// The identities in a list of entity tags; weak ones count, since compression weakens them on the way.
fn tags(list: &str) -> impl Iterator<Item = Identity> {
    list.split(',').filter_map(|tag| {
        let tag = tag.trim();
        tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"')?.strip_suffix('"')?.parse().ok()
    })
}

/// Whether gzip is named in `Accept-Encoding`, and not with `q=0`.
fn takes_gzip(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(
        |coding| {
            let mut parts = coding.split(';').map(str::trim);
            let gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
            let refused = parts.filter_map(|part| part.strip_prefix("q=")).any(|weight| weight.parse() == Ok(0.0_f32));
            gzip && !refused
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_weak_or_strong_and_in_lists() {
        let identity = Identity { incarnation: 1, revision: 2, digest: 3 };
        let text = identity.to_string();
        for list in [format!("\"{text}\""), format!("W/\"{text}\""), format!("\"x\", \"{text}\"")] {
            assert_eq!(tags(&list).collect::<Vec<_>>(), [identity], "{list}");
        }
        for list in ["*", "", &text, "\"", "\"\""] {
            assert_eq!(tags(list).count(), 0, "{list}");
        }
    }

    #[test]
    fn gzip_is_for_who_asks() {
        for (value, takes) in
            [("gzip", true), ("br, GZIP;q=0.5", true), ("deflate, gzip;q=1.0", true), ("gzip;q=0", false), ("br", false), ("", false)]
        {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_str(value).unwrap());
            assert_eq!(takes_gzip(&headers), takes, "{value}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
