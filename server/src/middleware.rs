//! What happens to every request: its id, its line in the log, its place in the metrics.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, Method, header},
    middleware::Next,
    response::Response,
};
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
        registry.register("http_requests", "Requests that were answered", metrics.requests.clone());
        registry.register_with_unit("http_request_duration", "Time until the answer's head", Unit::Seconds, metrics.seconds.clone());
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

fn is_sensible(id: &HeaderValue) -> bool {
    let bytes = id.as_bytes();
    !bytes.is_empty()
        && bytes.len() <= LONGEST_REQUEST_ID
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}
