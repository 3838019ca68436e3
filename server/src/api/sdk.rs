//! What the four doors for SDKs share: the key, and how they refuse.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{FromRef, FromRequestParts},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header, request::Parts};
use serde::Serialize;

use crate::publish::{Environment, Hub, KeyScope};

/// Who asks: an application with a live SDK key.
pub struct Sdk {
    /// Its key.
    pub key: KeyScope,
    /// What the key opens.
    pub environment: Arc<Environment>,
}

impl<S: Send + Sync> FromRequestParts<S> for Sdk
where
    Hub: FromRef<S>,
{
    type Rejection = SdkProblem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, SdkProblem> {
        let hub = Hub::from_ref(state);
        let presented = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let presented = presented.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let Some((_, presented)) = presented else {
            return Err(SdkProblem::unauthorized("give the SDK key of an environment as `Authorization: Bearer <key>`"));
        };
        // Wrong, revoked, of another service: nobody is told which.
        let key = hub.find_key(presented.trim()).ok_or_else(|| SdkProblem::unauthorized("the SDK key is not valid"))?;
        let environment = hub.environment(key.environment).ok_or_else(|| SdkProblem::later(Duration::from_secs(1)))?;
        Ok(Self { key, environment })
    }
}

/// A refusal in the form of RFC 9457.
#[derive(Debug)]
pub struct SdkProblem {
    status: StatusCode,
    detail: String,
    retry_after: Option<Duration>,
}

#[derive(Serialize)]
struct Shape<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
}

impl SdkProblem {
    /// 400: the request cannot be understood.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 401: no key, or none that is valid.
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, detail)
    }

    /// 404: there is no such thing.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 413: the body is too large.
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    /// 503: not now.
    pub fn later(retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "not now: come back later") }
    }

    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), retry_after: None }
    }
}

impl IntoResponse for SdkProblem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or_default();
        let shape = Shape { r#type: "about:blank", title, status: self.status.as_u16(), detail: &self.detail };
        let body = serde_json::to_vec(&shape).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(retry_after) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after.as_secs().max(1)));
        }
        response
    }
}
