//! What happens to every request: its id, its line in the log, its place in the metrics.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::{
    body::{Body, Bytes},
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, Method, header},
    middleware::Next,
    response::Response,
};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};
use tracing::Instrument;

const REQUEST_ID: &str = "x-request-id";
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
    method: String,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
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

    fn count(&self, method: &Method, route: &str, status: u16, seconds: f64) {
        let labels = Labels { method: method.to_string(), route: route.to_owned(), status };
        self.requests.get_or_create(&labels).inc();
        self.seconds.get_or_create(&Route { route: route.to_owned() }).observe(seconds);
    }
}

/// Gives every request an id, if it brought no sensible one; logs and counts the answer; tells the id.
pub async fn observe(State(metrics): State<HttpMetrics>, mut request: Request, next: Next) -> Response {
    let id = request.headers().get(REQUEST_ID).filter(|id| is_sensible(id)).cloned();
    let id =
        id.unwrap_or_else(|| HeaderValue::from_str(&format!("{:016x}", fastrand::u64(..))).unwrap_or(HeaderValue::from_static("none")));
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let (method, started) = (request.method().clone(), Instant::now());
    // The template, never the path: keys are no label, and a secret in a mistyped path is no log line.
    let route = request.extensions().get::<MatchedPath>().map_or("unknown", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!("request", id = id.to_str().unwrap_or_default(), %method, route);
    let mut response = next.run(request).instrument(span.clone()).await;
    let (status, elapsed) = (response.status().as_u16(), started.elapsed());
    metrics.count(&method, &route, status, elapsed.as_secs_f64());
    let duration_ms = elapsed.as_millis();
    span.in_scope(|| {
        if status >= 500 {
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
