//! The telemetry message, as client and service exchange it.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use storyflag_evaluation::{Arm, Identity};

use crate::usage::Served;

/// How many failed units an event names at most.
pub(crate) const UNITS_PER_EVENT: usize = 8;

/// The telemetry message, as client and service exchange it. Unknown fields are ignored, and those that came later may be
/// absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TelemetryMessage {
    /// The version of the format.
    #[serde(default)]
    pub format: u32,
    /// Names the client: 128 random bits in hex, new in every process.
    pub instance: String,
    /// Counts the client's messages; a gap shows that one was lost.
    pub sequence: u64,
    /// Language and version of the SDK: `rust/0.1.0`.
    pub sdk: String,
    /// The ruleset that the client serves; none if it has none.
    #[serde(default)]
    pub applied: Option<Identity>,
    /// Whether this is the client's last message.
    #[serde(default)]
    pub goodbye: bool,
    /// How often each variant of each flag was served since the last message; what was not is left out.
    #[serde(default)]
    pub usage: Served,
    /// The outcomes of watched flags since the last message, one row for each flag, rollout revision and arm. A watched
    /// flag's rows are there when they are zero, too: silence and zero are different facts. A row that cannot be read, such
    /// as a later version's of another arm, is left out alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "readable")]
    pub watched: Vec<ArmCounts>,
    /// Seconds of outcomes that were dropped since the last message, because the service could not be reached for longer
    /// than old news are worth.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped_seconds: u64,
}

fn readable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ArmCounts>, D::Error> {
    let rows: Vec<serde_json::Value> = Deserialize::deserialize(deserializer)?;
    Ok(rows.into_iter().filter_map(|row| serde_json::from_value(row).ok()).collect())
}

/// What was counted in one arm of a watched flag, at one revision of its rollout.
///
/// The rates' denominator is `success + failure + error`. `requests` has the `cancelled` beside these; `mixed` stand apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArmCounts {
    /// The flag's key.
    pub flag: String,
    /// The revision that set the rollout under which this was counted.
    #[serde(default)]
    pub rollout_revision: u64,
    /// The arm.
    pub arm: Arm,
    /// Requests that have ended.
    #[serde(default)]
    pub requests: u64,
    /// Those that went well.
    #[serde(default)]
    pub success: u64,
    /// Those that failed by the caller's fault.
    #[serde(default)]
    pub failure: u64,
    /// Those that failed by ours.
    #[serde(default)]
    pub error: u64,
    /// Those whose client did not wait for the answer; in no rate.
    #[serde(default)]
    pub cancelled: u64,
    /// Requests that saw another arm of the flag too, and are credited to neither; counted in the arm that they saw first.
    #[serde(default)]
    pub mixed: u64,
    /// Units with their first request in this process at this rollout revision.
    #[serde(default)]
    pub new_units: u64,
    /// Requests and events that could not be followed to their unit or name, because a bound was reached.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub overflow: u64,
    /// By name: `error`, `not_success`, `slow_<limit in ms>`, and what the application tracks.
    #[serde(default)]
    pub events: BTreeMap<String, EventCounts>,
    /// (upper bound of a bucket in microseconds, requests in it), ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub latency_us: Vec<(u64, u64)>,
    /// Once a minute: the units since the rollout revision as the 4,096 registers of a HyperLogLog of precision 12, each a
    /// digit of base64. A later one holds all earlier ones; the registers' maxima over processes are those of all units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distinct_units: Option<String>,
}

/// How often something happened, and to how many.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventCounts {
    /// How often.
    #[serde(skip_serializing_if = "is_zero")]
    pub count: u64,
    /// The sum of the values that the application gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sum: Option<f64>,
    /// Units with a request, and without such an event before in this process at this rollout revision; the sum over the
    /// seconds that the message tells of.
    #[serde(skip_serializing_if = "is_zero")]
    pub at_risk: u64,
    /// Units that had their first such event.
    #[serde(skip_serializing_if = "is_zero")]
    pub first: u64,
    /// The hashes of up to eight of these units, under the flag's seed, 16 hex digits each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<String>,
}

impl ArmCounts {
    /// Nothing yet.
    pub(crate) fn new(flag: &str, rollout_revision: u64, arm: Arm) -> Self {
        Self {
            flag: flag.to_owned(),
            rollout_revision,
            arm,
            requests: 0,
            success: 0,
            failure: 0,
            error: 0,
            cancelled: 0,
            mixed: 0,
            new_units: 0,
            overflow: 0,
            events: BTreeMap::new(),
            latency_us: Vec::new(),
            distinct_units: None,
        }
    }

    /// Whether they say no more than that somebody is counting.
    pub(crate) fn is_zero(&self) -> bool {
        let numbers = [self.requests, self.mixed, self.new_units, self.overflow];
        numbers.iter().all(|number| *number == 0) && self.events.values().all(|event| *event == EventCounts::default())
    }

    /// Leaves out what no decision needs, in a message that would be too large.
    pub(crate) fn leave_out_details(&mut self) {
        self.latency_us.clear();
        self.distinct_units = None;
    }

    /// Whether both count the same.
    pub(crate) fn is_of(&self, other: &Self) -> bool {
        self.flag == other.flag && self.rollout_revision == other.rollout_revision && self.arm == other.arm
    }

    /// Adds what was counted later.
    pub(crate) fn add(&mut self, later: &Self) {
        for (sum, more) in [
            (&mut self.requests, later.requests),
            (&mut self.success, later.success),
            (&mut self.failure, later.failure),
            (&mut self.error, later.error),
            (&mut self.cancelled, later.cancelled),
            (&mut self.mixed, later.mixed),
            (&mut self.new_units, later.new_units),
            (&mut self.overflow, later.overflow),
        ] {
            *sum = sum.saturating_add(more);
        }
        for (name, more) in &later.events {
            // An entry only where there is none: almost always there is one.
            match self.events.get_mut(name) {
                Some(event) => event.add(more),
                None => drop(self.events.insert(name.clone(), more.clone())),
            }
        }
        let mut latency: BTreeMap<u64, u64> = self.latency_us.iter().copied().collect();
        for (upper, count) in &later.latency_us {
            let sum = latency.entry(*upper).or_default();
            *sum = sum.saturating_add(*count);
        }
        self.latency_us = latency.into_iter().collect();
        if later.distinct_units.is_some() {
            self.distinct_units.clone_from(&later.distinct_units);
        }
    }
}

impl EventCounts {
    fn add(&mut self, later: &Self) {
        self.count = self.count.saturating_add(later.count);
        self.at_risk = self.at_risk.saturating_add(later.at_risk);
        self.first = self.first.saturating_add(later.first);
        if let Some(more) = later.sum {
            self.sum = Some(self.sum.unwrap_or(0.0) + more).filter(|sum| sum.is_finite());
        }
        let room = UNITS_PER_EVENT.saturating_sub(self.units.len());
        self.units.extend(later.units.iter().take(room).cloned());
    }
}

/// What is zero and new in the format is left out.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = r#"{"format":1,"instance":"0f3a","sequence":42,"sdk":"rust/0.1.0","applied":"1764000000000-813-9f2c41d0a6e7b358","goodbye":false,"usage":{"US-123-checkout":{"off":9000,"on":120}},"watched":[{"flag":"US-123-checkout","rollout_revision":812,"arm":"treatment","requests":40,"success":39,"failure":0,"error":1,"cancelled":0,"mixed":0,"new_units":12,"events":{"error":{"count":1,"at_risk":38,"first":1,"units":["77a0000000000000"]},"not_success":{},"purchase":{"count":3,"sum":74.5},"slow_1000":{}},"latency_us":[[1007,3],[12031,37]]}]}"#;

    #[test]
    fn it_is_written_as_it_is_read() {
        let message: TelemetryMessage = serde_json::from_str(EXAMPLE).unwrap();
        assert_eq!(message.watched[0].events["error"].at_risk, 38);
        assert_eq!(serde_json::to_string(&message).unwrap(), EXAMPLE);
    }

    #[test]
    fn what_came_later_may_be_absent() {
        let message: TelemetryMessage = serde_json::from_str(r#"{"instance":"a","sequence":0,"sdk":"x"}"#).unwrap();
        assert!(message.watched.is_empty() && message.dropped_seconds == 0);
        let row: ArmCounts = serde_json::from_str(r#"{"flag":"US-1","arm":"outside","mood":"sunny"}"#).unwrap();
        assert_eq!(row, ArmCounts::new("US-1", 0, Arm::Outside));
    }

    #[test]
    fn seconds_add_up() {
        let mut row = serde_json::from_str::<TelemetryMessage>(EXAMPLE).unwrap().watched.remove(0);
        let mut later = row.clone();
        later.latency_us = vec![(5, 1), (12_031, 1)];
        later.distinct_units = Some("new".into());
        later.events.insert("signup".into(), EventCounts { count: 2, ..EventCounts::default() });
        row.add(&later);
        assert_eq!((row.requests, row.success, row.error, row.new_units), (80, 78, 2, 24));
        assert_eq!(row.latency_us, [(5, 1), (1_007, 3), (12_031, 38)]);
        assert_eq!((row.events["purchase"].sum, row.events["signup"].count, row.events["error"].units.len()), (Some(149.0), 2, 2));
        assert_eq!(row.distinct_units.as_deref(), Some("new"));
        (0..20).for_each(|_| row.add(&later));
        assert_eq!(row.events["error"].units.len(), UNITS_PER_EVENT);
    }
}
