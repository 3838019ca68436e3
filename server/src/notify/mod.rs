//! Messages to people: what the outbox holds is delivered, at least once each, however long a receiver is away.
//!
//! Every node tries, and whoever is first to claim an attempt has it: nothing here needs a leader. A node that dies with a
//! message in its hands only delays it. A receiver that hangs holds up nobody but itself.

mod address;
mod backoff;
mod signature;
mod webhook;

use std::{collections::HashMap, time::Duration};

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};
use tokio::{
    task::{Id, JoinHandle, JoinSet},
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;

pub use self::{address::Address, signature::new_secret};
use self::{
    backoff::Backoff,
    webhook::{Failed, Outgoing, Webhooks},
};
use crate::{
    app::now_ms,
    store::{DueRow, LOG, Store, StoreError},
};

/// Deliveries of one node at once.
const AT_ONCE: usize = 16;
/// Of these to one channel.
const OF_A_CHANNEL: i64 = 2;
/// Read at once: so many that those of channels that are busy hide none of another's.
const READ_AT_ONCE: i64 = 64;
const LOOK_EVERY: Duration = Duration::from_secs(1);
const COUNT_EVERY: Duration = Duration::from_secs(10);
const SWEEP_EVERY: Duration = Duration::from_secs(3_600);
/// How long what was delivered is kept, in milliseconds: timelines tell of it.
const KEPT_MS: i64 = 35 * 86_400_000;
/// How much longer than an attempt may take a message is put off while it is tried.
const MARGIN: Duration = Duration::from_secs(5);
/// What a database is given to note that a message was delivered, before it is delivered once more.
const NOTED_WITHIN: u32 = 4;
/// What is under way may end when the node ends.
const GOODBYE: Duration = Duration::from_secs(3);

/// How a node delivers.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How long a receiver may take, from the look-up of its name to the head of its answer.
    pub patience: Duration,
    /// The longest wait between two attempts.
    pub longest_wait: Duration,
}

/// What delivers. Cheap to clone.
#[derive(Clone)]
struct Deliverer {
    store: Store,
    options: Options,
    backoff: Backoff,
    webhooks: Webhooks,
    metrics: Metrics,
}

/// The tasks of a node that deliver, to be waited for.
pub struct Notifier(JoinHandle<()>);

#[derive(Clone, Default)]
struct Metrics {
    delivered: Counter,
    failed: Counter,
    waiting: Gauge,
    oldest: Gauge,
}

impl Metrics {
    fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("storyflag_messages_delivered", "Messages that this node delivered", metrics.delivered.clone());
        registry.register("storyflag_messages_failed_attempts", "Attempts of this node that failed", metrics.failed.clone());
        registry.register("storyflag_messages_waiting", "Messages that are not delivered yet, by whichever node", metrics.waiting.clone());
        registry.register("storyflag_messages_oldest_seconds", "How long the oldest of them has waited", metrics.oldest.clone());
        metrics
    }
}

impl Notifier {
    /// Delivers until `shutdown`.
    pub fn start(store: Store, options: Options, shutdown: CancellationToken, registry: &mut Registry) -> Self {
        let deliverer = Deliverer {
            store,
            options,
            backoff: Backoff { longest: options.longest_wait },
            webhooks: Webhooks::default(),
            metrics: Metrics::register(registry),
        };
        Self(tokio::spawn(async move {
            tokio::join!(deliverer.deliver(&shutdown), deliverer.keep_house(&shutdown));
        }))
    }

    /// Waits until what was under way has ended: not for long.
    pub async fn ended(self) {
        if let Err(error) = self.0.await {
            tracing::error!(%error, "delivery ended");
        }
    }
}

/// What became of an attempt.
enum Became {
    Delivered,
    Failed {
        next_at: i64,
        why: String,
    },
    /// There is no such channel any more.
    GivenUp,
}

/// Which channel each delivery that is under way is for.
type Busy = HashMap<Id, (i64, String)>;

impl Deliverer {
    async fn deliver(&self, shutdown: &CancellationToken) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut under_way, mut busy) = (JoinSet::new(), Busy::new());
        let mut is_away = false;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = ticks.tick() => {}
                () = self.store.told() => {}
                Some(ended) = under_way.join_next_with_id() => free(&mut busy, &ended),
            }
            // Several may have ended at once.
            while let Some(ended) = under_way.try_join_next_with_id() {
                free(&mut busy, &ended);
            }
            match self.begin_due(&mut under_way, &mut busy).await {
                Ok(()) => is_away = false,
                Err(error) if !is_away => {
                    is_away = true;
                    tracing::warn!(%error, "messages cannot be delivered until the database is back");
                }
                Err(_) => {}
            }
        }
        let ending = async { while under_way.join_next().await.is_some() {} };
        // Who is cut off here is tried again, under the same id.
        let _: Result<(), _> = tokio::time::timeout(GOODBYE, ending).await;
    }

    /// Begins what is due, as far as there is room.
    async fn begin_due(&self, under_way: &mut JoinSet<()>, busy: &mut Busy) -> Result<(), StoreError> {
        let mut free = AT_ONCE.saturating_sub(under_way.len());
        if free == 0 {
            return Ok(());
        }
        let mut counts: HashMap<(i64, String), i64> = HashMap::new();
        for channel in busy.values() {
            let count = counts.entry(channel.clone()).or_default();
            *count = count.saturating_add(1);
        }
        let now = now_ms();
        let until = after(now, self.options.patience.saturating_add(MARGIN));
        let claimed = self.store.claim_due(now, OF_A_CHANNEL, READ_AT_ONCE, |row| {
            let count = counts.entry((row.environment, row.channel.clone())).or_default();
            if free == 0 || *count >= OF_A_CHANNEL {
                return None;
            }
            *count = count.saturating_add(1);
            free = free.saturating_sub(1);
            Some(until)
        });
        for row in claimed.await? {
            let channel = (row.environment, row.channel.clone());
            let deliverer = self.clone();
            busy.insert(under_way.spawn(deliverer.attempt(row)).id(), channel);
        }
        Ok(())
    }

    async fn attempt(self, row: DueRow) {
        let became = match (&row.url, &row.secret) {
            _ if row.channel == LOG => {
                tracing::info!(event = row.event, audience = row.audience, text = row.text(), "told");
                Became::Delivered
            }
            (Some(url), Some(secret)) => {
                let outgoing = Outgoing { url, secret, id: &row.id, body: &row.body };
                match self.webhooks.post(&outgoing, self.options.patience).await {
                    Ok(()) => Became::Delivered,
                    Err(failed) => self.put_off(&row, failed),
                }
            }
            _ => Became::GivenUp,
        };
        match &became {
            Became::Delivered => _ = self.metrics.delivered.inc(),
            Became::Failed { .. } => _ = self.metrics.failed.inc(),
            Became::GivenUp => {}
        }
        self.note(&row, &became).await;
    }

    fn put_off(&self, row: &DueRow, failed: Failed) -> Became {
        let wait = match failed {
            // Nobody is there any more; should they come back, they get it all.
            Failed { gone: true, .. } => self.options.longest_wait,
            Failed { retry_after, .. } => self.backoff.after(row.attempts).max(retry_after.unwrap_or_default()),
        };
        let (wait, why) = (wait.min(self.options.longest_wait), failed.why);
        let (channel, id, attempts, wait_ms) = (&row.channel, &row.id, row.attempts, wait.as_millis());
        tracing::info!(channel, id, attempts, why, wait_ms, "a message was not delivered");
        Became::Failed { next_at: after(now_ms(), wait), why }
    }

    /// Writes what became of an attempt. With the database away it comes again: late, or once too often, but under one id.
    async fn note(&self, row: &DueRow, became: &Became) {
        for round in 0..NOTED_WITHIN {
            let noted = match became {
                Became::Delivered => self.store.notice_delivered(&row.id, now_ms()).await,
                Became::Failed { next_at, why } => self.store.notice_failed(row, *next_at, why).await,
                Became::GivenUp => self.store.give_up_notice(&row.id, "the channel was deleted").await,
            };
            match noted {
                Ok(()) => return,
                Err(error) => tracing::info!(%error, round, "what became of a message could not be noted"),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Counts what waits, and forgets what was delivered long ago.
    async fn keep_house(&self, shutdown: &CancellationToken) {
        let (mut counting, mut sweeping) = (tokio::time::interval(COUNT_EVERY), tokio::time::interval(SWEEP_EVERY));
        counting.set_missed_tick_behavior(MissedTickBehavior::Delay);
        sweeping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = counting.tick() => self.count().await,
                _ = sweeping.tick() => {
                    if let Err(error) = self.store.sweep_notices(now_ms().saturating_sub(KEPT_MS)).await {
                        tracing::info!(%error, "sweeping was put off");
                    }
                }
            }
        }
    }

    async fn count(&self) {
        if let Ok(waiting) = self.store.waiting_notices().await {
            let age_ms = waiting.oldest.map_or(0, |oldest| now_ms().saturating_sub(oldest).max(0));
            self.metrics.waiting.set(waiting.waiting);
            self.metrics.oldest.set(age_ms.checked_div(1_000).unwrap_or_default());
        }
    }
}

fn free(busy: &mut Busy, ended: &Result<(Id, ()), tokio::task::JoinError>) {
    let id = match ended {
        Ok((id, ())) => *id,
        Err(error) => {
            tracing::error!(%error, "a delivery broke");
            error.id()
        }
    };
    busy.remove(&id);
}

fn after(now: i64, wait: Duration) -> i64 {
    now.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX))
}
