//! Documents that people write, in three media types: told by `Content-Type`, asked for by `Accept`.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use storyflag_release::plan::Media;

use super::body::{etag, unreadable};
use crate::error::Error;

/// A document as JSON; `application/json` is what the service tells of it.
pub const DOCUMENT_JSON: &str = "application/vnd.storyflag.plan+json";
/// A document as YAML.
pub const YAML: &str = "application/yaml";
/// A document as Markdown.
pub const MARKDOWN: &str = "text/markdown";

const JSON: &str = "application/json";
const NAMES: [(&str, Media); 8] = [
    (MARKDOWN, Media::Markdown),
    ("text/x-markdown", Media::Markdown),
    (YAML, Media::Yaml),
    ("application/x-yaml", Media::Yaml),
    ("text/yaml", Media::Yaml),
    ("text/x-yaml", Media::Yaml),
    (DOCUMENT_JSON, Media::Json),
    ("text/*", Media::Markdown),
];

/// A document in a body, word for word.
pub struct Document {
    /// What it is written in.
    pub media: Media,
    /// Its text.
    pub text: String,
}

impl<S: Send + Sync> FromRequest<S> for Document {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let kind = request.headers().get(header::CONTENT_TYPE).map(|kind| name_of(kind.to_str().unwrap_or_default()));
        let media = match kind.as_deref() {
            Some(JSON) => Some(Media::Json),
            Some(kind) => media_of(kind),
            None => None,
        };
        let Some(media) = media else {
            let kind = kind.map_or_else(|| "of no media type".to_owned(), |kind| format!("{kind:?}"));
            return Err(Error::MediaType(format!("the body is {kind}; a plan is {MARKDOWN}, {YAML} or {JSON}")));
        };
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| unreadable(&rejection))?;
        match String::from_utf8(bytes.into()) {
            Ok(text) => Ok(Self { media, text }),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                Err(Error::BadRequest(format!("the body is no UTF-8 text: its byte {at} does not fit")))
            }
        }
    }
}

/// A document in an answer.
pub fn answer(media: Media, version: i64, text: String) -> Response {
    let kind = match media {
        Media::Markdown => "text/markdown; charset=utf-8",
        Media::Yaml => YAML,
        Media::Json => DOCUMENT_JSON,
    };
    let mut response = ([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], text).into_response();
    if let Ok(tag) = etag(version).parse() {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// The document that a request wants; none: what the service tells of it, as JSON. Nothing is refused for its `Accept`:
/// the answer says what it is.
pub fn wanted(headers: &HeaderMap) -> Option<Media> {
    let accept = headers.get(header::ACCEPT)?.to_str().ok()?;
    let mut parts: Vec<(u32, &str)> = accept.split(',').map(|part| (weight(part), part)).filter(|(weight, _)| *weight > 0).collect();
    // Stable: of equals, the first.
    parts.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    let known = parts.into_iter().find_map(|(_, part)| match name_of(part).as_str() {
        JSON | "*/*" | "application/*" => Some(None),
        name => media_of(name).map(Some),
    });
    known.flatten()
}

fn media_of(name: &str) -> Option<Media> {
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, media)| *media)
}

fn name_of(kind: &str) -> String {
    kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The `q` of a part of `Accept`, in thousandths.
fn weight(part: &str) -> u32 {
    let weight = part.split(';').skip(1).find_map(|parameter| parameter.trim().strip_prefix("q="));
    let Some(weight) = weight else { return 1_000 };
    let (whole, rest) = weight.split_once('.').unwrap_or((weight, ""));
    let digits = format!("{whole}{rest:0<3}");
    digits.get(..whole.len().saturating_add(3)).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_that_is_wanted_most() {
        for (accept, media) in [
            ("text/markdown", Some(Media::Markdown)),
            ("Application/YAML; charset=utf-8", Some(Media::Yaml)),
            ("application/json", None),
            ("*/*", None),
            ("text/html, application/xhtml+xml, */*;q=0.8", None),
            ("application/json;q=0.5, text/markdown", Some(Media::Markdown)),
            ("text/markdown;q=0.05, application/yaml;q=0.5", Some(Media::Yaml)),
            ("text/markdown;q=0, application/vnd.storyflag.plan+json", Some(Media::Json)),
            ("image/png", None),
            ("text/markdown;q=x", None),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
            assert_eq!(wanted(&headers), media, "{accept}");
        }
        assert_eq!(wanted(&HeaderMap::new()), None);
    }
}
