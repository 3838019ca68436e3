//! What went wrong, for whoever asked: one enum, shown as an RFC 9457 problem.
//!
//! The text of what is our own fault is fixed; the cause goes to the log with the request's id. A handler's error carries
//! itself in the response's extensions, and [`render`] gives it its body, because only there the request's id is known.

use std::{fmt, time::Duration};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use storyflag_evaluation::Fault;
use storyflag_release::plan;
use utoipa::ToSchema;

use crate::store::StoreError;

/// An answer that lists more faults than this helps nobody, and looking for more is work without bound.
pub const MOST_FAULTS: usize = 100;

/// What went wrong. The variants are the statuses that the API answers.
#[derive(Debug, Clone)]
pub enum Error {
    /// 400: the request cannot be read.
    BadRequest(String),
    /// 401: nobody we know. Never says how close the credentials were.
    Unauthorized,
    /// 403: somebody we know, who may not.
    Forbidden(String),
    /// 404
    NotFound(String),
    /// 405
    MethodNotAllowed,
    /// 408: the request did not arrive, or was not answered, in time.
    Timeout,
    /// 409: it does not fit what stands. The second part is the pointer of the field that does not, if one does not.
    Conflict(String, Option<Fault>),
    /// 412: somebody else was faster.
    StaleVersion {
        /// What the caller thought.
        given: String,
        /// The `ETag` that stands.
        present: String,
    },
    /// 428: what stands must be read before it is replaced.
    PreconditionRequired(String),
    /// 413
    TooLarge(String),
    /// 415
    MediaType(String),
    /// 422: every fault, with its pointer.
    Invalid(Vec<Fault>),
    /// 422: every fault of a document that people wrote, with its line and column.
    InvalidDocument(Vec<plan::Fault>),
    /// 503: the same request may succeed soon.
    Unavailable {
        /// After so many seconds.
        retry_after: u64,
    },
    /// 503: too much at once; nothing was looked at.
    Busy {
        /// After so many seconds.
        retry_after: u64,
    },
    /// 500: a fault of ours; the cause is in the log.
    Internal,
}

impl Error {
    /// 422 for one field.
    pub fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![Fault { pointer: pointer.into(), detail: detail.into() }])
    }

    /// 409 for one field.
    pub fn conflict(pointer: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self::Conflict(detail.clone(), Some(Fault { pointer: pointer.to_owned(), detail }))
    }

    /// 404 for a thing and its key.
    pub fn no_such(what: &str, key: &str) -> Self {
        Self::NotFound(format!("there is no {what} {key:?}"))
    }

    /// 503, to be tried again after this while.
    pub fn busy(retry_after: Duration) -> Self {
        Self::Busy { retry_after: retry_after.as_secs().max(1) }
    }

    /// A fault of ours: logged here, told as nothing but that.
    pub fn internal(cause: impl fmt::Display) -> Self {
        tracing::error!(%cause, "internal error");
        Self::Internal
    }

    /// Its status code.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict(..) => StatusCode::CONFLICT,
            Self::StaleVersion { .. } => StatusCode::PRECONDITION_FAILED,
            Self::PreconditionRequired(_) => StatusCode::PRECONDITION_REQUIRED,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Invalid(_) | Self::InvalidDocument(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unavailable { .. } | Self::Busy { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The last part of the problem's `type`, for machines.
    const fn code(&self) -> &'static str {
        match self {
            Self::BadRequest(_) => "bad-request",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden(_) => "forbidden",
            Self::NotFound(_) => "not-found",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::Timeout => "timeout",
            Self::Conflict(..) => "conflict",
            Self::StaleVersion { .. } => "stale-version",
            Self::PreconditionRequired(_) => "precondition-required",
            Self::TooLarge(_) => "too-large",
            Self::MediaType(_) => "media-type",
            Self::Invalid(_) | Self::InvalidDocument(_) => "invalid",
            Self::Unavailable { .. } => "unavailable",
            Self::Busy { .. } => "busy",
            Self::Internal => "internal",
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::BadRequest(detail)
            | Self::Forbidden(detail)
            | Self::NotFound(detail)
            | Self::Conflict(detail, _)
            | Self::PreconditionRequired(detail)
            | Self::TooLarge(detail)
            | Self::MediaType(detail) => detail.clone(),
            Self::Unauthorized => "a valid credential is needed: authorization: Bearer <token or SDK key>".to_owned(),
            Self::MethodNotAllowed => "this path does not know this method; the header \"allow\" names those it knows".to_owned(),
            Self::Timeout => "the request took too long; if it was a write, it may have been made: read before you try again".to_owned(),
            Self::StaleVersion { given, present } => format!("If-Match says {given}, but {present} stands: read it again"),
            Self::Invalid(faults) => match faults.as_slice() {
                [fault] if fault.pointer.is_empty() => format!("the body {}", fault.detail),
                [fault] => format!("{}: {}", fault.pointer, fault.detail),
                faults if faults.len() > MOST_FAULTS => format!("more than {MOST_FAULTS} faults; the first are listed"),
                faults => format!("{} faults", faults.len()),
            },
            Self::InvalidDocument(faults) => match faults.as_slice() {
                [fault] => format!("line {}, column {}: {}", fault.line, fault.column, fault.detail),
                faults => format!("{} faults", faults.len()),
            },
            Self::Unavailable { .. } => "the database is away; nothing was changed, unless an answer to a commit was lost".to_owned(),
            Self::Busy { .. } => "not now: too many ask at once; come back later".to_owned(),
            Self::Internal => "something went wrong here; the log has the cause under this request_id".to_owned(),
        }
    }

    fn faults(&self) -> Vec<ProblemFault> {
        let faults = match self {
            Self::Invalid(faults) => faults.clone(),
            Self::Conflict(_, fault) => fault.iter().cloned().collect(),
            // The reader has its own bound.
            Self::InvalidDocument(faults) => return faults.iter().map(ProblemFault::of_document).collect(),
            _ => Vec::new(),
        };
        faults.into_iter().take(MOST_FAULTS).map(ProblemFault::of_body).collect()
    }

    /// The body, for this request.
    pub fn problem(&self, request_id: &str) -> Problem {
        Problem {
            kind: format!("urn:storyflag:problem:{}", self.code()),
            title: self.status().canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status().as_u16(),
            detail: self.detail(),
            errors: self.faults(),
            request_id: request_id.to_owned(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.detail())
    }
}

impl std::error::Error for Error {}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(cause) => {
                tracing::warn!(%cause, "the database is away");
                Self::Unavailable { retry_after: 2 }
            }
            StoreError::Nul(_) => Self::NotFound("a NUL character (%00) is in no name".to_owned()),
            StoreError::Taken(cause) => {
                tracing::info!(%cause, "a key was taken meanwhile");
                Self::Conflict("somebody else made it at this moment: read it again".to_owned(), None)
            }
            other => Self::internal(other),
        }
    }
}

/// An RFC 9457 problem.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Problem {
    /// A URN that ends in a word for machines, such as `urn:storyflag:problem:invalid`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The status.
    pub status: u16,
    /// What went wrong, and what would be right.
    pub detail: String,
    /// Every fault of the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ProblemFault>,
    /// What to look for in the log.
    pub request_id: String,
}

/// One fault of a request.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ProblemFault {
    /// JSON pointer into the body, or the name of a parameter behind a `/`.
    pub pointer: String,
    /// What came, and what would be right.
    pub detail: String,
    /// In a document that people write, its line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The column, in characters, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
}

impl ProblemFault {
    fn of_body(fault: Fault) -> Self {
        Self { pointer: fault.pointer, detail: fault.detail, line: None, column: None }
    }

    /// One of a document that people wrote.
    pub fn of_document(fault: &plan::Fault) -> Self {
        Self { pointer: fault.pointer.clone(), detail: fault.detail.clone(), line: Some(fault.line), column: Some(fault.column) }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        if let Self::Unavailable { retry_after } | Self::Busy { retry_after } = self {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_after));
        }
        if matches!(self, Self::Unauthorized) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// The same answer, but that the body of every failed one is a problem, those of the framework too.
pub fn render(response: Response, request_id: &str) -> Response {
    let status = response.status();
    let error = match response.extensions().get::<Error>() {
        Some(error) => error.clone(),
        None if !status.is_client_error() && !status.is_server_error() => return response,
        // Said on purpose, as by a node that drains: what breaks is 500.
        None if status == StatusCode::SERVICE_UNAVAILABLE => return response,
        None if response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/")) => {
            return response;
        }
        None => match status {
            StatusCode::NOT_FOUND => Error::NotFound("there is nothing at this path; /openapi.json lists what there is".to_owned()),
            StatusCode::METHOD_NOT_ALLOWED => Error::MethodNotAllowed,
            StatusCode::REQUEST_TIMEOUT => Error::Timeout,
            StatusCode::PAYLOAD_TOO_LARGE => Error::TooLarge("the body is too large".to_owned()),
            status if status.is_client_error() => Error::BadRequest("the request cannot be read".to_owned()),
            _ => Error::Internal,
        },
    };
    let (mut parts, _) = response.into_parts();
    parts.status = error.status();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    let body = serde_json::to_vec(&error.problem(request_id)).unwrap_or_default();
    Response::from_parts(parts, Body::from(body))
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::to_bytes, routing::get};
    use tower::Service;

    use super::*;

    async fn answered(path: &str) -> (StatusCode, String) {
        let mut router = Router::new()
            .route("/draining", get(|| std::future::ready(StatusCode::SERVICE_UNAVAILABLE)))
            .route("/broken", get(|| std::future::ready(StatusCode::BAD_GATEWAY)))
            .route("/refused", get(|| std::future::ready(Error::invalid("/percentage", "is -1"))));
        let response = router.call(http::Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let response = render(response, "id");
        let status = response.status();
        (status, String::from_utf8(to_bytes(response.into_body(), 10_000).await.unwrap().to_vec()).unwrap())
    }

    #[tokio::test]
    async fn what_fails_is_a_problem_and_what_is_refused_on_purpose_stays() {
        assert_eq!(answered("/draining").await, (StatusCode::SERVICE_UNAVAILABLE, String::new()));
        let (status, body) = answered("/broken").await;
        assert!(status == StatusCode::INTERNAL_SERVER_ERROR && body.contains("the log has the cause"), "{body}");
        let (status, body) = answered("/refused").await;
        assert!(status == StatusCode::UNPROCESSABLE_ENTITY && body.contains("/percentage"), "{body}");
    }
}
