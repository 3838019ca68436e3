//! `GET /sdk/v1/stream`: everything, then every change, as it happens.

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, header};
use storyflag_evaluation::Identity;

use super::sdk::Sdk;
use crate::{error::Error, publish::Hub};

const LAST_EVENT_ID: &str = "last-event-id";

/// Server-sent events `ruleset`, `change`, `heartbeat` and `goodbye`. `Last-Event-ID` is what the SDK has applied.
///
/// # Errors
/// No valid key; too many at once.
#[utoipa::path(
    get,
    path = "/sdk/v1/stream",
    tag = "sdk",
    params(("Last-Event-ID" = Option<String>, Header, description = "`incarnation-revision-digest` of the ruleset that was applied")),
    responses(
        (status = 200, description = "Events `ruleset`, `change`, `heartbeat`, `goodbye`", body = String, content_type = "text/event-stream"),
        (status = 401, description = "No valid SDK key"),
        (status = 503, description = "Too many streams at once: see `Retry-After`"),
    ),
    security(("sdk_key" = []))
)]
pub async fn stream_ruleset(State(hub): State<Hub>, sdk: Sdk, headers: HeaderMap) -> Result<Response, Error> {
    let applied = headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok()).and_then(|text| text.trim().parse::<Identity>().ok());
    let events = hub.open(sdk.key, applied).map_err(|refused| Error::busy(refused.retry_after))?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // A proxy that buffers would keep the news to itself.
        (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((headers, Body::from_stream(events)).into_response())
}
