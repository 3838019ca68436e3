//! What happens to every request: its id, its line in the log, its place in the metrics.

use std::{
    fmt,
    hash::{Hash, Hasher},
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::{
    body::{Body, Bytes},
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};
use tracing::Instrument;

use crate::error::{self, Error};

/// The header with the id under which the log knows a request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// A longer id from outside is not carried through our logs and history.
const LONGEST_REQUEST_ID: usize = 64;

/// Requests that were answered. Cheap to clone.
#[derive(Clone)]
pub struct HttpMetrics {
    requests: Family<Labels, Counter>,
    seconds: Family<Route, Histogram, fn() -> Histogram>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    method: &'static str,
    route: Template,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: Template,
}

/// The template of a route, never the path: keys are no label, and a secret in a mistyped path is no log line.
#[derive(Debug, Clone)]
struct Template(Option<MatchedPath>);

impl Template {
    fn as_str(&self) -> &str {
        self.0.as_ref().map_or("unknown", MatchedPath::as_str)
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Template {}

impl Hash for Template {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl EncodeLabelValue for Template {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.as_str().encode(encoder)
    }
}

/// Anybody can make methods up, and each would be a series of its own.
fn known(method: &Method) -> &'static str {
    [Method::GET, Method::PUT, Method::POST, Method::PATCH, Method::DELETE, Method::HEAD, Method::OPTIONS]
        .iter()
        .zip(["GET", "PUT", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS"])
        .find_map(|(known, name)| (known == method).then_some(name))
        .unwrap_or("other")
}

impl HttpMetrics {
    /// Registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let seconds: fn() -> Histogram = || Histogram::new(exponential_buckets(0.0005, 2.0, 14));
        let metrics = Self { requests: Family::default(), seconds: Family::new_with_constructor(seconds) };
        registry.register("storyflag_http_requests", "Requests that were answered", metrics.requests.clone());
        registry.register_with_unit(
            "storyflag_http_request_duration",
            "Time until the answer's head",
            Unit::Seconds,
            metrics.seconds.clone(),
        );
        metrics
    }

    fn count(&self, method: &Method, route: Template, status: u16, seconds: f64) {
        self.requests.get_or_create(&Labels { method: known(method), route: route.clone(), status }).inc();
        self.seconds.get_or_create(&Route { route }).observe(seconds);
    }
}

/// Gives every request an id, if it brought no sensible one; answers with a problem where it fails, were it by a panic; logs
/// and counts the answer; tells the id. All in one, since every layer is paid for by every request.
pub async fn observe(State(metrics): State<HttpMetrics>, mut request: Request, next: Next) -> Response {
    let id = request.headers().get(&REQUEST_ID).filter(|id| is_sensible(id)).cloned();
    let id =
        id.unwrap_or_else(|| HeaderValue::from_str(&format!("{:016x}", fastrand::u64(..))).unwrap_or(HeaderValue::from_static("none")));
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let (method, started) = (request.method().clone(), Instant::now());
    let route = Template(request.extensions().get::<MatchedPath>().cloned());
    let span = tracing::info_span!("request", id = id.to_str().unwrap_or_default(), %method, route = route.as_str());
    // What a handler changes is behind transactions and locks that do not mind: nothing is left half done.
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().instrument(span.clone()).await;
    let response = answered.unwrap_or_else(|_| span.in_scope(|| Error::internal("the handler panicked").into_response()));
    let mut response = error::render(response, id.to_str().unwrap_or_default());
    let (status, elapsed) = (response.status().as_u16(), started.elapsed());
    metrics.count(&method, route, status, elapsed.as_secs_f64());
    let duration_ms = elapsed.as_millis();
    span.in_scope(|| {
        // Who is told to come back is counted elsewhere: thousands come at once, and then the log is needed for other things.
        if status >= 500 && status != 503 {
            tracing::warn!(status, %duration_ms, "answered");
        } else {
            tracing::debug!(status, %duration_ms, "answered");
        }
    });
    response.headers_mut().insert(REQUEST_ID, id);
    response.headers_mut().entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
    response
}

/// What of a body is read away, and for how long, after its request was answered.
const READ_AWAY: usize = 64 * 1024 * 1024;
const READ_AWAY_FOR: Duration = Duration::from_secs(10);

/// Reads what a handler has left of its request's body. Who is still sending when the connection is closed sees it break,
/// and never the answer that says why: a body that is too large, a token that has expired.
pub async fn read_away(request: Request, next: Next) -> Response {
    // Who asked first whether to send it has not sent it yet.
    if request.body().is_end_stream() || request.headers().contains_key(header::EXPECT) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let body = Lent(Arc::new(Mutex::new(body)));
    let response = next.run(Request::from_parts(parts, Body::new(body.clone()))).await;
    let rest = async {
        let mut rest = body;
        let mut left = READ_AWAY;
        while let Some(Ok(frame)) = rest.frame().await {
            let read = frame.data_ref().map_or(0, Bytes::len);
            left = left.saturating_sub(read);
            if left == 0 {
                break;
            }
        }
    };
    // Too much or too slow: then the connection breaks after all.
    let _ = tokio::time::timeout(READ_AWAY_FOR, rest).await;
    response
}

/// A body that its handler may drop.
#[derive(Clone)]
struct Lent(Arc<Mutex<Body>>);

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Pin::new(&mut *body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).size_hint()
    }
}

fn is_sensible(id: &HeaderValue) -> bool {
    let bytes = id.as_bytes();
    !bytes.is_empty()
        && bytes.len() <= LONGEST_REQUEST_ID
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::to_bytes, http::StatusCode, routing::any};
    use tower::Service;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_problem_with_the_id_of_its_request() {
        let metrics = HttpMetrics::register(&mut Registry::default());
        let mut router = Router::new()
            .route("/panics", any(async || -> StatusCode { panic!("as a bug would") }))
            .layer(axum::middleware::from_fn_with_state(metrics.clone(), observe));
        let request = Request::builder().method("MADE-UP").uri("/panics").header(REQUEST_ID, "id-7").body(Body::empty()).unwrap();
        let response = router.call(request).await.unwrap();
        assert_eq!((response.status(), response.headers()[REQUEST_ID].as_bytes()), (StatusCode::INTERNAL_SERVER_ERROR, &b"id-7"[..]));
        let body = to_bytes(response.into_body(), 10_000).await.unwrap();
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert!(problem["request_id"] == "id-7" && !problem.to_string().contains("bug"), "{problem}");
        let mut text = String::new();
        let mut registry = Registry::default();
        registry.register("requests", "of the test", metrics.requests.clone());
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(text.contains(r#"requests_total{method="other",route="/panics",status="500"} 1"#), "{text}");
    }
}
