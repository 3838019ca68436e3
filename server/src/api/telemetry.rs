//! `POST /sdk/v1/telemetry`: what a process that runs the SDK has counted.

use axum::{body::Body, extract::State};
use http::StatusCode;
use storyflag::TelemetryMessage;

use super::sdk::Sdk;
use crate::{
    error::Error,
    publish::Hub,
    telemetry::{self, Telemetry},
};

/// The most that a message may be.
const LONGEST: usize = 256 * 1_024;

/// Takes a message. It is never to be sent again: what was lost shows as a gap in `sequence`.
///
/// # Errors
/// No valid key; a message that is too long or not one.
#[utoipa::path(
    post,
    path = "/sdk/v1/telemetry",
    tag = "sdk",
    request_body(content = Object, description = "`{format, instance, sequence, sdk, applied, goodbye, usage, watched}`", content_type = "application/json"),
    responses(
        (status = 204, description = "Taken"),
        (status = 400, description = "Not a message"),
        (status = 401, description = "No valid SDK key"),
        (status = 413, description = "Longer than 256 KiB"),
    ),
    security(("sdk_key" = []))
)]
pub async fn post_telemetry(State(hub): State<Hub>, State(telemetry): State<Telemetry>, sdk: Sdk, body: Body) -> Result<StatusCode, Error> {
    let body = axum::body::to_bytes(body, LONGEST).await.map_err(|_| Error::TooLarge("a message has at most 256 KiB".to_owned()))?;
    let message: TelemetryMessage = serde_json::from_slice(&body).map_err(|error| Error::BadRequest(error.to_string()))?;
    telemetry::check(&message).map_err(|why| Error::BadRequest(why.to_owned()))?;
    if let Some(applied) = message.applied {
        hub.claim(sdk.environment.id(), applied);
    }
    telemetry.take(&sdk.environment, &message);
    Ok(StatusCode::NO_CONTENT)
}
