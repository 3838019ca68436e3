//! What SDKs report: which processes there are, what they run, and how flags are used.
//!
//! A node adds up what it hears and writes it once a second, all or nothing. With the database away for ten seconds it
//! drops what it has, and counts it: memory does not grow with an outage.
//!
//! What is heard of watched flags becomes one row a second and environment, numbered strictly upwards and written in that
//! order: releases fold these rows, on whichever node. For reports the same is added up by the minute, with more detail.
//! Beside it stand numbers from elsewhere: what queries of plans answer, read every five seconds.

mod heard;
mod message;
mod minutes;
mod prometheus;
mod seconds;
mod sources;
#[cfg(test)]
mod tests;
mod writing;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use prometheus_client::{metrics::counter::Counter, registry::Registry};
use storyflag::TelemetryMessage;
use tokio_util::sync::CancellationToken;

use self::heard::{Heard, Took};
pub use self::{message::check, prometheus::Prometheus, sources::Sources};
use crate::{
    publish::Environment,
    store::{InstanceRow, Store},
};

/// Who was not heard of for longer is not counted, in milliseconds.
const PRESENT_MS: i64 = 60_000;
/// Who was not heard of for longer is forgotten, in milliseconds.
const REMEMBERED_MS: i64 = 3_600_000;
/// What other nodes heard is not read again for this long.
const OTHERS_FRESH: Duration = Duration::from_secs(2);

/// What this node hears, and what the others heard. Cheap to clone.
#[derive(Clone)]
pub struct Telemetry {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    node: Arc<str>,
    heard: Mutex<Heard>,
    /// Held while something is written: seconds must come in their order.
    writing: tokio::sync::Mutex<()>,
    others: tokio::sync::Mutex<Others>,
    metrics: Metrics,
}

#[derive(Default)]
struct Others {
    read_at: Option<Instant>,
    rows: Vec<InstanceRow>,
}

#[derive(Clone, Default)]
struct Metrics {
    messages: Counter,
    ignored: Counter,
    dropped: Counter,
    seconds_dropped: Counter,
    seconds_lost: Counter,
    minutes_dropped: Counter,
}

impl Telemetry {
    /// Listens as `node`, writes once a second and removes what is old, until `shutdown`.
    pub fn start(store: Store, node: Arc<str>, shutdown: CancellationToken, registry: &mut Registry) -> Self {
        let telemetry = Self::new(store, node, registry);
        let writer = telemetry.clone();
        tokio::spawn(async move {
            tokio::join!(writer.write_forever(&shutdown), writer.prune_forever(&shutdown));
        });
        telemetry
    }

    fn new(store: Store, node: Arc<str>, registry: &mut Registry) -> Self {
        let metrics = Metrics::default();
        registry.register("storyflag_telemetry_messages", "Messages of SDKs that were taken", metrics.messages.clone());
        registry.register(
            "storyflag_telemetry_ignored",
            "Parts of messages that tell nothing new or nothing known",
            metrics.ignored.clone(),
        );
        registry.register("storyflag_telemetry_dropped", "Sums that could not be written in time", metrics.dropped.clone());
        registry.register(
            "storyflag_telemetry_seconds_dropped",
            "Seconds of outcomes of an environment that could not be written in time",
            metrics.seconds_dropped.clone(),
        );
        registry.register(
            "storyflag_telemetry_seconds_lost",
            "Seconds of outcomes that SDKs could not send in time",
            metrics.seconds_lost.clone(),
        );
        registry.register(
            "storyflag_telemetry_minutes_dropped",
            "Minutes of an arm that could not be written in time",
            metrics.minutes_dropped.clone(),
        );
        let (heard, writing, others) = Default::default();
        Self { shared: Arc::new(Shared { store, node, heard, writing, others, metrics }) }
    }

    /// Adds up a message.
    pub fn take(&self, environment: &Environment, message: &TelemetryMessage) {
        let Took { ignored } = self.heard().take(environment.id(), &environment.ruleset(), message, &self.shared.node, now_ms());
        self.shared.metrics.messages.inc();
        self.shared.metrics.ignored.inc_by(ignored);
        self.shared.metrics.seconds_lost.inc_by(message.dropped_seconds);
    }

    /// How many processes run the SDK in an environment: heard of in the last minute, by whichever node, and not gone.
    pub async fn instances(&self, environment: i64) -> usize {
        self.list(environment).await.iter().filter(|row| !row.goodbye).count()
    }

    /// The processes that were heard of in the last minute, by whichever node, those that said goodbye too; by id.
    pub async fn list(&self, environment: i64) -> Vec<InstanceRow> {
        let since = now_ms().saturating_sub(PRESENT_MS);
        let mut latest: HashMap<String, InstanceRow> = HashMap::new();
        let others = self.others(environment, since).await;
        for row in self.heard().present(environment).chain(others).filter(|row| row.last_seen_at >= since) {
            match latest.get(&row.instance) {
                Some(known) if known.last_seen_at >= row.last_seen_at => {}
                _ => drop(latest.insert(row.instance.clone(), row)),
            }
        }
        let mut rows: Vec<_> = latest.into_values().collect();
        rows.sort_unstable_by(|left, right| left.instance.cmp(&right.instance));
        rows
    }

    /// What other nodes wrote. With the database away, what they wrote before.
    async fn others(&self, environment: i64, since: i64) -> Vec<InstanceRow> {
        let mut others = self.shared.others.lock().await;
        if others.read_at.is_none_or(|read_at| read_at.elapsed() >= OTHERS_FRESH) {
            match self.shared.store.instances_of_others(since, &self.shared.node).await {
                Ok(rows) => others.rows = rows,
                Err(error) => tracing::warn!(%error, "the instances of other nodes could not be read"),
            }
            // After a failure, too: nobody is to wait for an absent database again and again.
            others.read_at = Some(Instant::now());
        }
        others.rows.iter().filter(|row| row.environment == environment).cloned().collect()
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.shared.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
