//! Real nodes on a real database, asked over real sockets. Every test runs on both databases.

mod bus;
mod client;
mod convergence;
mod delivery;
mod limits;
mod lists;
mod nodes;
mod polling;
mod regress;
mod writer;

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Router, extract::FromRef, routing};
use prometheus_client::registry::Registry;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{Bus, Hub, Options};
use crate::{
    api,
    listener::{self, Limits},
    store::{Store, tests::Database},
    telemetry::Telemetry,
};

pub(crate) use client::{Client, Sdk, request};
pub(crate) use writer::{Writer, flag_text};

/// A key of the environment that [`Writer::new`] makes.
pub(crate) const KEY: &str = "sfs_0000000000000001_of-production";
/// Longer than anything takes that is not broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A node: hub, telemetry and the four doors.
pub(crate) struct Node {
    pub(crate) hub: Hub,
    pub(crate) telemetry: Telemetry,
    pub(crate) address: SocketAddr,
    pub(crate) registry: Registry,
    shutdown: CancellationToken,
    serving: Option<JoinHandle<()>>,
}

#[derive(Clone)]
struct Parts {
    hub: Hub,
    telemetry: Telemetry,
    store: Store,
}

macro_rules! part {
    ($field:ident: $type:ty) => {
        impl FromRef<Parts> for $type {
            fn from_ref(parts: &Parts) -> Self {
                parts.$field.clone()
            }
        }
    };
}
part!(hub: Hub);
part!(telemetry: Telemetry);
part!(store: Store);

/// Reads the heads ten times a second.
pub(crate) fn quick() -> Options {
    Options { follow: Duration::from_millis(100), heartbeat: Duration::from_millis(200), ..Options::default() }
}

/// Never reads the heads by itself: what arrives came another way.
pub(crate) fn told() -> Options {
    Options { follow: Duration::from_secs(3_600), ..quick() }
}

impl Node {
    pub(crate) async fn start(store: Store, options: Options) -> Self {
        Self::start_with(store, Bus::in_process(), options, Limits::default()).await
    }

    pub(crate) async fn start_with(store: Store, bus: Bus, options: Options, limits: Limits) -> Self {
        let node: Arc<str> = format!("node-{:08x}", fastrand::u32(..)).into();
        let (shutdown, mut registry) = (CancellationToken::new(), Registry::default());
        let hub = Hub::start(store.clone(), bus, Arc::clone(&node), options, shutdown.clone(), &mut registry).await.unwrap();
        let telemetry = Telemetry::start(store.clone(), node, shutdown.clone(), &mut registry);
        let router = Router::new()
            .route("/sdk/v1/stream", routing::get(api::stream::stream_ruleset))
            .route("/sdk/v1/ruleset", routing::get(api::ruleset::get_ruleset))
            .route("/sdk/v1/cohorts/{cohort}/{digest}", routing::get(api::lists::get_list))
            .route("/sdk/v1/telemetry", routing::post(api::telemetry::post_telemetry))
            .layer(axum::middleware::map_response(async |response| crate::error::render(response, "")))
            .with_state(Parts { hub: hub.clone(), telemetry: telemetry.clone(), store });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = Some(tokio::spawn(listener::serve(listener, router, shutdown.clone(), limits)));
        Self { hub, telemetry, address, registry, shutdown, serving }
    }

    /// A metric's value, by the name it is shown with.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        let line = text.lines().find(|line| line.split(' ').next() == Some(name)).unwrap_or_else(|| panic!("no {name} in {text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Ends as the service does.
    pub(crate) async fn stop(mut self) {
        self.hub.drain(Duration::from_secs(1)).await;
        self.shutdown.cancel();
        self.serving.take().unwrap().await.unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// Asks until it is so.
pub(crate) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < PATIENCE, "it never came to be that {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A database with an environment, and who writes to it.
async fn writer(database: &Database) -> Writer {
    Writer::new(&database.store, database.production().await).await
}
