//! What every operation may answer when it does not succeed.

use utoipa::IntoResponses;

use crate::error::Problem;

/// Why a read did not succeed.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "describes answers; no value is ever made")]
pub enum ReadProblems {
    /// The request cannot be read.
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(Problem),
    /// No valid credential.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(Problem),
    /// Not with this role, or not in this environment.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(Problem),
    /// There is no such thing.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
    /// What is asked for is not right; every fault is listed.
    #[response(status = 422, content_type = "application/problem+json")]
    Invalid(Problem),
    /// The database is away; `Retry-After` says when to try again.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(Problem),
}

/// Why a write did not succeed: then nothing was changed.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "describes answers; no value is ever made")]
pub enum WriteProblems {
    /// The request cannot be read.
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(Problem),
    /// No valid credential.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(Problem),
    /// Not with this role, or not in this environment.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(Problem),
    /// There is no such thing.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
    /// It does not fit what stands.
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(Problem),
    /// `If-Match` names another version.
    #[response(status = 412, content_type = "application/problem+json")]
    StaleVersion(Problem),
    /// The body is too large.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(Problem),
    /// The body is of another media type.
    #[response(status = 415, content_type = "application/problem+json")]
    MediaType(Problem),
    /// A release drives the flag: what stands must be read before it is replaced, so send `If-Match`.
    #[response(status = 428, content_type = "application/problem+json")]
    PreconditionRequired(Problem),
    /// The request is not right; every fault is listed with its pointer.
    #[response(status = 422, content_type = "application/problem+json")]
    Invalid(Problem),
    /// The database is away; `Retry-After` says when to try again.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(Problem),
}
