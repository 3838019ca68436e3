//! One node, from its start to its end.

use std::{sync::Arc, time::Duration};

use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    app::{App, FirstStart, first_start, now_ms},
    auth::{Tokens, TokensError},
    config::Config,
    error::Error,
    health::Health,
    listener::{Limits, serve},
    middleware::HttpMetrics,
    notify::{self, Notifier},
    publish::{Bus, BusError, Hub, Options, Rate},
    router::{AppState, Parts, router},
    scheduler::Scheduler,
    store::{Store, StoreError},
    telemetry::{Sources, Telemetry},
};

/// A node that has loaded everything and is ready to serve.
pub struct Server {
    config: Config,
    state: AppState,
    first_start: Option<FirstStart>,
    notifier: Notifier,
    background: CancellationToken,
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database, or its address.
    #[error("STORYFLAG_DATABASE: {0}")]
    Store(#[from] StoreError),
    /// The address of Redis.
    #[error("REDIS_URL: {0}")]
    Bus(#[from] BusError),
    /// The key that signs tokens.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// What the first start makes.
    #[error("first start: {0}")]
    FirstStart(Error),
}

impl Server {
    /// Opens the database, brings its schema up to date, makes what a first start makes, and loads every ruleset.
    ///
    /// # Errors
    /// When any of it fails.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let background = CancellationToken::new();
        let store = Store::open(&config.database.url, config.database.connections).await?;
        let tokens = Tokens::load(&store, now_ms()).await?;
        let first_start = first_start(&store, &tokens).await.map_err(StartError::FirstStart)?;
        let bus = match &config.bus.redis {
            Some(url) => Bus::redis(url, &config.bus.prefix)?,
            None => Bus::in_process(),
        };
        let node: Arc<str> = format!("{:016x}", fastrand::u64(..)).into();
        let mut registry = Registry::default();
        let http = HttpMetrics::register(&mut registry);
        let mut options = Options::default();
        if let Some(per_second) = config.http.streams_per_second {
            options.admission = Rate { per_second, burst: per_second.saturating_mul(2) };
        }
        let hub = Hub::start(store.clone(), bus, Arc::clone(&node), options, background.clone(), &mut registry).await?;
        let telemetry = Telemetry::start(store.clone(), Arc::clone(&node), background.clone(), &mut registry);
        let delivery = notify::Options {
            patience: Duration::from_secs(u64::from(config.notify.webhook_seconds)),
            longest_wait: Duration::from_secs(u64::from(config.notify.longest_wait_seconds)),
        };
        let notifier = Notifier::start(store.clone(), delivery, background.clone(), &mut registry);
        let app = App::new(store.clone(), hub.clone(), telemetry.clone());
        app.remember_places().await?;
        tokio::spawn({
            let (app, stop) = (app.clone(), background.clone());
            async move { app.sweep_forever(stop).await }
        });
        let scheduler = Scheduler::start(app.clone(), Sources::new(&config.sources), background.clone(), &mut registry);
        let health = Health::new(store.clone(), hub.clone(), node);
        let state = AppState(Arc::new(Parts { app, store, tokens, hub, scheduler, telemetry, health, http, registry: Arc::new(registry) }));
        Ok(Self { config, state, first_start, notifier, background })
    }

    /// What the first start made, if this was it: shown once.
    pub fn first_start(&self) -> Option<&FirstStart> {
        self.first_start.as_ref()
    }

    /// Issues and verifies people's tokens.
    pub fn tokens(&self) -> &Tokens {
        &self.state.0.tokens
    }

    /// Serves until `shutdown`; then says goodbye to every stream, finishes what is under way and lets go of the database.
    pub async fn run(self, listener: TcpListener, shutdown: CancellationToken) {
        let Self { config, state, notifier, background, .. } = self;
        let (hub, health, telemetry, store) =
            (state.0.hub.clone(), state.0.health.clone(), state.0.telemetry.clone(), state.0.store.clone());
        let serving = CancellationToken::new();
        let draining = {
            let (hub, serving) = (hub.clone(), serving.clone());
            async move {
                shutdown.cancelled().await;
                health.drain();
                hub.drain(Duration::from_secs(u64::from(config.http.drain_seconds))).await;
                serving.cancel();
            }
        };
        let router = router(state, &config.http);
        let limits = Limits { write: Duration::from_secs(u64::from(config.http.write_seconds)), ..Limits::default() };
        tokio::join!(draining, serve(listener, router, serving, limits));
        background.cancel();
        telemetry.flush().await;
        notifier.ended().await;
        store.close().await;
    }
}
