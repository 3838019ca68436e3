//! What was counted in an arm, minute by minute: what reports are made of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use storyflag_evaluation::Arm;

use super::{Store, StoreError, Tx, insert_rows, with_db, with_tx};

const PUT: &str = "insert into telemetry_minutes (environment, flag, rollout_revision, arm, minute, node, counts) ";
const PUT_AGAIN: &str = " on conflict (environment, flag, rollout_revision, arm, minute, node) do update set counts = excluded.counts";
/// Latency limits and names of events in one sum: what is made up beyond these is left out.
const LIMITS: usize = 64;
const NAMES: usize = 256;

/// In the order of the primary key: a page goes on after the last row of the page before.
const PAGE: &str = "select rollout_revision, arm, minute, node, counts from telemetry_minutes where environment = $1 and flag = $2 \
     and (rollout_revision, arm, minute, node) > ($3, $4, $5, $6) order by rollout_revision, arm, minute, node limit 1000";
const PRUNE: &str = "delete from telemetry_minutes where minute = (select min(minute) from telemetry_minutes where minute < $1)";

/// Different buckets of latency that are kept: as many as an SDK has.
const BUCKETS: usize = 2_533;

/// What was counted in an arm. Sums of them are the same thing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MinuteCounts {
    /// Requests with an outcome or without.
    pub requests: u64,
    /// Requests that went well.
    pub success: u64,
    /// Requests that failed by the caller's fault.
    pub failure: u64,
    /// Requests that failed by ours.
    pub error: u64,
    /// Requests whose client went away: in no rate.
    pub cancelled: u64,
    /// Requests that saw two arms of the flag: in no rate.
    pub mixed: u64,
    /// Units seen for the first time in this rollout revision, by each process.
    pub new_units: u64,
    /// What SDKs could not follow to its unit or name.
    pub overflow: u64,
    /// By limit in milliseconds: requests slower than it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub slow: BTreeMap<u32, u64>,
    /// By name: what the application tracked.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub named: BTreeMap<String, Tracked>,
    /// How long requests took.
    #[serde(skip_serializing_if = "Latency::is_empty")]
    pub latency_us: Latency,
}

/// Requests by the upper bound of their bucket of latency, in microseconds. In JSON a list of pairs, ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub struct Latency(BTreeMap<u64, u64>);

/// An event that the application tracked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tracked {
    /// How often.
    pub count: u64,
    /// The sum of the values that it gave.
    pub sum: f64,
}

/// One arm of one flag in one minute, as a node counted it.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeMinuteRow {
    /// The environment's row.
    pub environment: i64,
    /// The flag's key.
    pub flag: String,
    /// The revision that set the rollout under which this was counted.
    pub rollout_revision: u64,
    /// The arm.
    pub arm: Arm,
    /// Epoch minutes.
    pub minute: i64,
    /// What was counted in it so far.
    pub counts: MinuteCounts,
}

/// One arm of one flag in one minute, over all nodes.
#[derive(Debug, Clone, PartialEq)]
pub struct MinuteRow {
    /// The revision that set the rollout under which this was counted.
    pub rollout_revision: u64,
    /// The arm.
    pub arm: Arm,
    /// Epoch minutes.
    pub minute: i64,
    /// What was counted.
    pub counts: MinuteCounts,
}

impl MinuteCounts {
    /// Adds another's counts; never overflows.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in [
            (&mut self.requests, other.requests),
            (&mut self.success, other.success),
            (&mut self.failure, other.failure),
            (&mut self.error, other.error),
            (&mut self.cancelled, other.cancelled),
            (&mut self.mixed, other.mixed),
            (&mut self.new_units, other.new_units),
            (&mut self.overflow, other.overflow),
        ] {
            *sum = sum.saturating_add(more);
        }
        for (limit_ms, more) in &other.slow {
            if self.slow.len() < LIMITS || self.slow.contains_key(limit_ms) {
                let sum = self.slow.entry(*limit_ms).or_default();
                *sum = sum.saturating_add(*more);
            }
        }
        for (name, more) in &other.named {
            if self.named.len() < NAMES || self.named.contains_key(name) {
                self.named.entry(name.clone()).or_default().add(*more);
            }
        }
        self.latency_us.merge(&other.latency_us);
    }

    /// Requests that stand in rates: success, failure and error.
    pub fn judged(&self) -> u64 {
        self.success.saturating_add(self.failure).saturating_add(self.error)
    }
}

impl Latency {
    /// Adds requests to a bucket. Where there are more buckets than any SDK of ours has, to the next slower one.
    pub fn add(&mut self, upper: u64, count: u64) {
        let buckets = &mut self.0;
        let sum = if buckets.len() < BUCKETS || buckets.contains_key(&upper) {
            buckets.entry(upper).or_default()
        } else if let Some((_, sum)) = buckets.range_mut(upper..).next() {
            sum
        } else if let Some((_, sum)) = buckets.iter_mut().next_back() {
            sum
        } else {
            return;
        };
        *sum = sum.saturating_add(count);
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        other.pairs().for_each(|(upper, count)| self.add(upper, count));
    }

    /// (a bucket's upper bound in microseconds, requests in it), ascending.
    pub fn pairs(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().map(|(upper, count)| (*upper, *count))
    }

    /// Whether there is no request.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<(u64, u64)>> for Latency {
    fn from(pairs: Vec<(u64, u64)>) -> Self {
        let mut latency = Self::default();
        pairs.into_iter().for_each(|(upper, count)| latency.add(upper, count));
        latency
    }
}

impl From<Latency> for Vec<(u64, u64)> {
    fn from(latency: Latency) -> Self {
        latency.0.into_iter().collect()
    }
}

impl Tracked {
    /// Adds what was tracked elsewhere. A sum stays a number: what would lead it to infinity is not added.
    pub fn add(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        let sum = self.sum + other.sum;
        if sum.is_finite() {
            self.sum = sum;
        }
    }
}

impl Store {
    /// What was counted of a flag, by rollout revision, arm and minute, over all nodes.
    ///
    /// # Errors
    /// The database away.
    pub async fn minute_sums(&self, environment: i64, flag: &str) -> Result<Vec<MinuteRow>, StoreError> {
        let mut sums: Vec<MinuteRow> = Vec::new();
        let mut after = (-1_i64, String::new(), 0_i64, String::new());
        loop {
            let page: Vec<(i64, String, i64, String, String)> = with_db!(self, |db| {
                let query = sqlx::query_as(PAGE).bind(environment).bind(flag);
                query.bind(after.0).bind(&after.1).bind(after.2).bind(&after.3).fetch_all(db).await
            })?;
            let Some((revision, arm, minute, node, _)) = page.last() else { return Ok(sums) };
            after = (*revision, arm.clone(), *minute, node.clone());
            for (revision, arm, minute, _, counts) in page {
                // What a later version counts is that version's to show.
                let Some(arm) = arm_named(&arm) else { continue };
                let counts: MinuteCounts = serde_json::from_str(&counts).unwrap_or_default();
                let rollout_revision = revision.cast_unsigned();
                match sums.last_mut().filter(|row| (row.rollout_revision, row.arm, row.minute) == (rollout_revision, arm, minute)) {
                    Some(row) => row.counts.add(&counts),
                    None => sums.push(MinuteRow { rollout_revision, arm, minute, counts }),
                }
            }
        }
    }

    /// Writes minutes of a node, whole: the last word of the node stands.
    ///
    /// # Errors
    /// The database away: nothing was written.
    pub async fn put_minutes(&self, node: &str, minutes: &[NodeMinuteRow]) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        tx.put_minutes(node, minutes).await?;
        tx.commit().await
    }

    /// Removes minutes before `before`, one at a time.
    ///
    /// # Errors
    /// The database away.
    pub async fn prune_minutes(&self, before: i64) -> Result<(), StoreError> {
        self.prune(PRUNE, before).await
    }
}

impl Tx {
    /// Writes minutes of a node, each once and whole.
    ///
    /// # Errors
    /// The database away.
    pub async fn put_minutes(&mut self, node: &str, minutes: &[NodeMinuteRow]) -> Result<(), StoreError> {
        let mut rows = Vec::with_capacity(minutes.len());
        for row in minutes {
            let counts = serde_json::to_string(&row.counts).map_err(|error| StoreError::Other(sqlx::Error::Encode(error.into())))?;
            rows.push((row, counts));
        }
        insert_rows!(
            self,
            PUT,
            rows,
            |values, row| {
                let (row, counts) = row;
                values.push_bind(row.environment).push_bind(&row.flag).push_bind(row.rollout_revision.cast_signed());
                values.push_bind(row.arm.name()).push_bind(row.minute).push_bind(node).push_bind(counts);
            },
            PUT_AGAIN
        );
        Ok(())
    }
}

pub(super) fn arm_named(name: &str) -> Option<Arm> {
    Arm::ALL.into_iter().find(|arm| arm.name() == name)
}
