//! Whether this node lives, is ready, and what it knows of its surroundings.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    publish::{BusStatus, Hub},
    store::Store,
};

/// What `/health` is answered from. Cheap to clone.
#[derive(Clone)]
pub struct Health {
    store: Store,
    hub: Hub,
    node: Arc<str>,
    draining: Arc<AtomicBool>,
}

impl Health {
    /// Of a node that has loaded its rulesets.
    pub fn new(store: Store, hub: Hub, node: Arc<str>) -> Self {
        Self { store, hub, node, draining: Arc::default() }
    }

    /// From now on the node is not ready: balancers send nobody here any more.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }
}

/// How a node is.
#[derive(Debug, Serialize, ToSchema)]
pub struct HealthView {
    /// `ok`; `degraded` while something around it is away, and it serves all the same; `draining` while it stops.
    #[schema(example = "ok")]
    pub status: &'static str,
    /// Of this program.
    pub version: &'static str,
    /// The node's random id.
    pub node: String,
    /// The database.
    pub database: PartView,
    /// What makes news arrive earlier at other nodes.
    pub bus: PartView,
    /// Streams that are open here.
    pub streams: usize,
}

/// How a part is.
#[derive(Debug, Serialize, ToSchema)]
pub struct PartView {
    /// `sqlite`, `postgres`; `in-process`, `redis`.
    #[schema(example = "postgres")]
    pub kind: &'static str,
    /// `up` or `down`.
    #[schema(example = "up")]
    pub status: &'static str,
}

/// Tells how this node and its surroundings are; always 200
#[utoipa::path(get, path = "/health", tag = "operation", security(()), responses((status = 200, body = HealthView)))]
pub async fn health(State(health): State<Health>) -> Json<HealthView> {
    let up = |is_up: bool| if is_up { "up" } else { "down" };
    let database = PartView { kind: health.store.kind(), status: up(health.hub.database_up()) };
    let bus = match health.hub.bus() {
        BusStatus::InProcess => PartView { kind: "in-process", status: "up" },
        BusStatus::Up => PartView { kind: "redis", status: "up" },
        BusStatus::Down => PartView { kind: "redis", status: "down" },
    };
    let status = if health.draining.load(Ordering::Relaxed) {
        "draining"
    } else if database.status == "up" && bus.status == "up" {
        "ok"
    } else {
        "degraded"
    };
    let (version, node, streams) = (env!("CARGO_PKG_VERSION"), health.node.to_string(), health.hub.streams());
    Json(HealthView { status, version, node, database, bus, streams })
}

/// Whether the process answers at all
#[utoipa::path(get, path = "/health/live", tag = "operation", security(()), responses((status = 204, description = "It lives.")))]
pub async fn live() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// Whether requests should be sent here: rulesets are loaded, and the node does not stop
#[utoipa::path(get, path = "/health/ready", tag = "operation", security(()),
    responses((status = 204, description = "It is ready."), (status = 503, description = "It stops: send requests elsewhere.")))]
pub async fn ready(State(health): State<Health>) -> StatusCode {
    if health.draining.load(Ordering::Relaxed) { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::NO_CONTENT }
}
