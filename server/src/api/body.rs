//! Bodies, queries and conditions of requests: read, bounded, and refused with what would be right.

use std::fmt::Display;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request, rejection::BytesRejection},
    http::{HeaderMap, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::{
    fields::{Fields, FromJson},
    unique::Unique,
};
use crate::{app::Ask, auth::Caller, error::Error};

/// How deep JSON may nest.
const DEEPEST: usize = 32;

/// A JSON body; an empty one is `{}`.
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: FromJson> FromRequest<S> for Body<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let kind = request
            .headers()
            .get(header::CONTENT_TYPE)
            .map(|kind| kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| unreadable(&rejection))?;
        match kind {
            Some(kind) if !bytes.is_empty() && kind != "application/json" && !kind.ends_with("+json") => {
                Err(Error::MediaType(format!("the body is {kind:?}; it must be application/json")))
            }
            _ => read(&bytes).map(Self),
        }
    }
}

/// What became of a body that did not arrive.
pub(super) fn unreadable(rejection: &BytesRejection) -> Error {
    if rejection.status() == http::StatusCode::PAYLOAD_TOO_LARGE {
        Error::TooLarge("the body is too large".to_owned())
    } else {
        Error::BadRequest("the body did not arrive whole".to_owned())
    }
}

fn read<T: FromJson>(bytes: &[u8]) -> Result<T, Error> {
    let value: Value = if bytes.is_empty() { Value::Object(serde_json::Map::new()) } else { parse(bytes)? };
    let mut faults = Vec::new();
    let read = T::from_json(&value, "", &mut faults);
    match read {
        Some(read) if faults.is_empty() => Ok(read),
        _ => Err(Error::Invalid(faults)),
    }
}

/// JSON, whole, and not too deep.
fn parse(bytes: &[u8]) -> Result<Value, Error> {
    if let Some((line, column)) = too_deep(bytes) {
        return Err(Error::BadRequest(format!("the body nests deeper than {DEEPEST} at line {line} column {column}")));
    }
    let read: Result<Unique, _> = serde_json::from_slice(bytes);
    read.map(|Unique(value)| value).map_err(|error| {
        // What is well-formed and still not read says a key twice.
        let what = if error.is_data() { "the body" } else { "the body is no JSON" };
        Error::BadRequest(format!("{what}: {error}"))
    })
}

/// Where brackets nest deeper than [`DEEPEST`]: line and column, from 1.
fn too_deep(bytes: &[u8]) -> Option<(usize, usize)> {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    let (mut line, mut line_start) = (1_usize, 0_usize);
    for (index, byte) in bytes.iter().enumerate() {
        match byte {
            b'\n' => (line, line_start) = (line.saturating_add(1), index.saturating_add(1)),
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => {
                depth = depth.saturating_add(1);
                if depth > DEEPEST {
                    return Some((line, index.saturating_sub(line_start).saturating_add(1)));
                }
            }
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// Query parameters; unknown ones are refused, because a mistyped `dry_run` must not write.
pub struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        // Postgres has no NUL in texts, and nobody else means one.
        if parts.uri.query().is_some_and(|query| query.contains("%00")) && !parts.uri.path().ends_with("/kill") {
            return Err(Error::BadRequest("the query has a NUL character (%00)".to_owned()));
        }
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(params)) => Ok(Self(params)),
            Err(rejection) => Err(Error::BadRequest(format!("the query: {}", cause(&rejection)))),
        }
    }
}

/// The last cause in a chain of errors says it best.
fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Path parameters, all text.
pub struct At<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for At<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(params)) => Ok(Self(params)),
            Err(_) => Err(Error::BadRequest("the path is not UTF-8 text".to_owned())),
        }
    }
}

/// What every write takes.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub struct WriteParams {
    /// Why; required where the environment is protected, except in the safe direction.
    pub reason: Option<String>,
    /// Pass the bounds of manual changes.
    pub force: bool,
    /// Take the flag over from the release that drives it.
    pub take_over: bool,
    /// Change nothing; tell the faults, the differences and the share of units added or lost.
    pub dry_run: bool,
}

/// The same as part of a body.
#[derive(Debug, Clone, Default, ToSchema)]
pub struct WriteFields {
    /// Why.
    pub reason: Option<String>,
    /// Pass the bounds of manual changes.
    pub force: Option<bool>,
    /// Take the flag over from the release that drives it.
    pub take_over: Option<bool>,
}

impl WriteFields {
    /// Reads them from among an object's fields.
    pub fn read(fields: &mut Fields<'_>) -> Self {
        Self { reason: fields.optional("reason"), force: fields.optional("force"), take_over: fields.optional("take_over") }
    }
}

/// The body of a command: nothing but that.
impl FromJson for WriteFields {
    fn from_json(value: &Value, at: &str, faults: &mut Vec<storyflag_evaluation::Fault>) -> Option<Self> {
        let mut fields = Fields::of(value, at, faults)?;
        let write = Self::read(&mut fields);
        fields.end();
        Some(write)
    }
}

impl WriteParams {
    /// How a write is asked for: parameters, the body's part, and the condition in the headers.
    ///
    /// # Errors
    /// A reason that is too long, or given twice and differently.
    pub fn ask(self, caller: Caller, body: WriteFields, headers: &HeaderMap) -> Result<Ask, Error> {
        let reason = match (self.reason, body.reason) {
            (Some(param), Some(body)) if param != body => {
                return Err(Error::invalid("/reason", format!("is {body:?}, but the parameter says {param:?}")));
            }
            (param, body) => {
                body.or(param).map(|reason| reason.trim().to_owned()).filter(|reason| reason.chars().any(char::is_alphanumeric))
            }
        };
        if reason.as_ref().is_some_and(|reason| reason.len() > 1024) {
            return Err(Error::invalid("/reason", "has more than 1024 bytes"));
        }
        Ok(Ask {
            caller,
            reason,
            force: self.force || body.force == Some(true),
            take_over: self.take_over || body.take_over == Some(true),
            dry_run: self.dry_run,
            if_match: if_match(headers)?,
            told_version: None,
        })
    }
}

/// What a GET tells of a thing, and a PUT of it may tell again: it is no way to change it.
#[derive(Debug, Default)]
pub struct Told {
    key: Option<String>,
    version: Option<i64>,
}

impl Told {
    /// Reads it from among an object's fields; what `others` hold does not matter.
    pub fn read(fields: &mut Fields<'_>, others: &[&'static str]) -> Self {
        for other in others {
            let _: Option<Value> = fields.optional(other);
        }
        Self { key: fields.optional("key"), version: fields.optional("version") }
    }

    /// The same write, which now also wants this to be so.
    ///
    /// # Errors
    /// 422 for a body that is about another key.
    pub fn holds(self, key: &str, ask: Ask) -> Result<Ask, Error> {
        if let Some(told) = self.key.filter(|told| told != key) {
            return Err(Error::invalid("/key", format!("is {told:?}, but the path says {key:?}, and keys do not change")));
        }
        Ok(Ask { told_version: self.version, ..ask })
    }
}

/// The versions that a request is willing to replace; `None` for all.
fn if_match(headers: &HeaderMap) -> Result<Option<Vec<String>>, Error> {
    let mut texts = Vec::new();
    for value in headers.get_all(header::IF_MATCH) {
        texts.push(value.to_str().map_err(|_| Error::BadRequest("If-Match is not text".to_owned()))?);
    }
    if texts.is_empty() {
        return Ok(None);
    }
    // Several headers are one list (RFC 9110, 5.3).
    let text = texts.join(", ");
    let tags: Vec<String> = text.split(',').map(|tag| tag.trim().to_owned()).collect();
    let is_tag = |tag: &String| tag == "*" || (tag.len() >= 2 && tag.starts_with('"') && tag.ends_with('"'));
    if !tags.iter().all(is_tag) {
        return Err(Error::BadRequest(format!("If-Match is {text}; it must be an ETag in quotes, such as \"3\", or *")));
    }
    Ok(Some(tags))
}

/// JSON with an `ETag` and a status.
pub struct Answer<T> {
    /// 200 unless something was created.
    pub status: http::StatusCode,
    /// The version.
    pub version: Option<i64>,
    /// The body.
    pub body: T,
}

impl<T> Answer<T> {
    /// 200.
    pub fn ok(body: T) -> Self {
        Self { status: http::StatusCode::OK, version: None, body }
    }

    /// 200 with an `ETag`.
    pub fn versioned(version: i64, body: T) -> Self {
        Self { version: Some(version), ..Self::ok(body) }
    }

    /// 201 where something was created.
    #[must_use]
    pub fn created(mut self, created: bool) -> Self {
        if created {
            self.status = http::StatusCode::CREATED;
        }
        self
    }
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(self.body)).into_response();
        let tag = self.version.and_then(|version| etag(version).parse().ok());
        if let Some(tag) = tag {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response
    }
}

/// A version as an `ETag`.
pub fn etag(version: impl Display) -> String {
    format!("\"{version}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_brackets_outside_of_text() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(too_deep(nested(DEEPEST).as_bytes()), None);
        assert_eq!(too_deep(nested(DEEPEST + 1).as_bytes()), Some((1, DEEPEST + 1)));
        assert_eq!(too_deep(format!("{{\n\"a\": {}}}", nested(DEEPEST)).as_bytes()), Some((2, 5 + DEEPEST)));
        assert_eq!(too_deep(format!("[\"\\\"{}\"]", "[".repeat(99)).as_bytes()), None);
    }

    #[test]
    fn a_key_that_stands_twice_is_told_with_line_and_column() {
        for text in [r#"{"a": 1, "b": [{"on": 1, "on": 1}]}"#, r#"{"on": 1, "\u006fn": 2}"#] {
            let Err(Error::BadRequest(detail)) = parse(text.as_bytes()) else { panic!("{text}") };
            assert!(detail.starts_with("the body: the key \"on\" stands twice in one object at line 1 column "), "{detail}");
        }
    }

    #[test]
    fn what_is_no_json_is_told_with_line_and_column() {
        for text in ["NaN", "{} x", "{", "[1,]", "\u{feff}{}", "1e999"] {
            let Err(Error::BadRequest(detail)) = parse(text.as_bytes()) else { panic!("{text}") };
            assert!(detail.contains("line 1 column"), "{detail}");
        }
    }
}
