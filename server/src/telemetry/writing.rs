//! When what was heard is written, and when what is old goes.

use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::{PRESENT_MS, REMEMBERED_MS, Telemetry, heard::Unwritten, minutes::UnwrittenMinutes, now_ms};
use crate::store::{NodeRows, StoreError};

const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// What cannot be written for longer is dropped, in milliseconds.
const PATIENCE_MS: i64 = 10_000;
const PRUNE_EVERY: Duration = Duration::from_secs(600);
/// How long seconds are kept, in seconds: whoever folds them is a second behind, or was away for a while.
const SECONDS_KEPT: i64 = 6 * 3_600;
/// How long minutes and exposed units are kept, in minutes: reports are read for some weeks.
const MINUTES_KEPT: i64 = 35 * 24 * 60;

impl Telemetry {
    /// Writes once a second, until `shutdown`.
    pub(super) async fn write_forever(&self, shutdown: &CancellationToken) {
        let mut ticks = tokio::time::interval(FLUSH_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            self.write(|due| due).await;
        }
    }

    /// Removes what is old, until `shutdown`. Every node does; each begins at a moment of its own.
    pub(super) async fn prune_forever(&self, shutdown: &CancellationToken) {
        let pruning = async {
            tokio::time::sleep(PRUNE_EVERY.mul_f64(fastrand::f64())).await;
            loop {
                if let Err(error) = self.prune(now_ms()).await {
                    tracing::info!(%error, "old telemetry stays for now");
                }
                tokio::time::sleep(PRUNE_EVERY).await;
            }
        };
        let _: Option<()> = shutdown.run_until_cancelled(pruning).await;
    }

    pub(super) async fn prune(&self, now: i64) -> Result<(), StoreError> {
        let (store, minute) = (&self.shared.store, now.div_euclid(60_000));
        store.prune_seconds(now.div_euclid(1_000).saturating_sub(SECONDS_KEPT)).await?;
        store.prune_minutes(minute.saturating_sub(MINUTES_KEPT)).await?;
        store.prune_exposed(now.saturating_sub(MINUTES_KEPT.saturating_mul(60_000))).await
    }

    /// Writes what was heard; also to be called once at the end.
    pub async fn flush(&self) {
        self.write(|_| true).await;
    }

    /// Writes what was heard, and its minutes if `is_wanted` says so when told whether they are due.
    async fn write(&self, is_wanted: impl FnOnce(bool) -> bool) {
        let _order = self.shared.writing.lock().await;
        let now = now_ms();
        let unwritten = {
            let mut heard = self.heard();
            heard.close_second(now);
            heard.take_unwritten(now.saturating_sub(PRESENT_MS))
        };
        if let Some(unwritten) = unwritten
            && !self.write_heard(unwritten, now).await
        {
            return;
        }
        let minutes = {
            let mut heard = self.heard();
            is_wanted(heard.minutes.is_due(now)).then(|| heard.minutes.take_unwritten(now))
        };
        if let Some(minutes) = minutes {
            self.write_minutes(minutes, now).await;
        }
        self.shared.metrics.minutes_dropped.inc_by(self.heard().minutes.take_dropped());
    }

    /// Whether it was written. What was not waits, or is dropped when it has waited for too long.
    async fn write_heard(&self, unwritten: Unwritten, now: i64) -> bool {
        let Unwritten { instances, usage, seconds, since } = &unwritten;
        let rows = NodeRows { node: &self.shared.node, instances, usage, seconds };
        let Err(error) = self.shared.store.put_node_rows(&rows, now, now.saturating_sub(REMEMBERED_MS)).await else { return true };
        if now_ms().saturating_sub(*since) < PATIENCE_MS {
            self.heard().put_back(unwritten);
            return false;
        }
        let (dropped, seconds_dropped) = (count(instances.len().saturating_add(usage.len())), count(seconds.len()));
        self.shared.metrics.dropped.inc_by(dropped);
        self.shared.metrics.seconds_dropped.inc_by(seconds_dropped);
        tracing::warn!(%error, dropped, seconds_dropped, "telemetry could not be written in time and was dropped");
        false
    }

    async fn write_minutes(&self, unwritten: UnwrittenMinutes, now: i64) {
        let (store, node) = (&self.shared.store, &*self.shared.node);
        let UnwrittenMinutes { minutes, exposed } = unwritten;
        // Apart from each other, and from the seconds: no decision rests on them, and none waits for them.
        if !minutes.is_empty()
            && let Err(error) = store.put_minutes(node, &minutes).await
        {
            tracing::debug!(%error, "minutes wait to be written");
            return self.heard().minutes.put_back(UnwrittenMinutes { minutes, exposed });
        }
        if !exposed.is_empty()
            && let Err(error) = store.put_exposed(node, &exposed, now).await
        {
            tracing::debug!(%error, "exposed units wait to be written");
            self.heard().minutes.put_back(UnwrittenMinutes { exposed, ..UnwrittenMinutes::default() });
        }
    }
}

fn count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}
