//! What is counted in a second.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How many distinct failed units, and instances with failures, are remembered by hash or name: enough to judge breadth
/// (3 and 2) and to say in a message; beyond these a count is "at least".
const REMEMBERED: usize = 64;

/// How many latency limits, and how many names of events, an arm is counted by: what applications make up beyond these is
/// left out, or a state would grow as long as somebody makes up more.
const LIMITS: usize = 64;
const NAMES: usize = 256;

/// What is counted beside requests: something that befalls a unit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The request ended in an error of ours.
    Error,
    /// The request ended in a failure of the caller or an error of ours.
    NotSuccess,
    /// The request took longer than this.
    Slow {
        /// In milliseconds: one of the limits that the flag's watch names.
        limit_ms: u32,
    },
    /// The application tracked an event of this name.
    Named {
        /// As the application calls it: `purchase`.
        name: String,
    },
}

/// One event in one arm, over some seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventCounts {
    /// How often it happened.
    #[serde(skip_serializing_if = "is_zero")]
    pub count: u64,
    /// Units with a request, and no such event before in this rollout revision; summed over seconds and processes.
    #[serde(skip_serializing_if = "is_zero")]
    pub at_risk: u64,
    /// Units that it happened to for the first time in this rollout revision.
    #[serde(skip_serializing_if = "is_zero")]
    pub first: u64,
    /// Hashes of distinct units that it happened to: a sample, at most 64.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<u64>,
    /// Distinct instances that it happened on: a sample, at most 64.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub instances: Vec<String>,
}

impl EventCounts {
    /// Whether nothing was told.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds another's counts; never overflows.
    pub fn add(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.at_risk = self.at_risk.saturating_add(other.at_risk);
        self.first = self.first.saturating_add(other.first);
        remember(&mut self.units, &other.units);
        remember(&mut self.instances, &other.instances);
    }
}

/// What is zero is left out of rows: most of them are.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

fn remember<T: Clone + PartialEq>(known: &mut Vec<T>, told: &[T]) {
    for one in told {
        if known.len() >= REMEMBERED {
            return;
        }
        if !known.contains(one) {
            known.push(one.clone());
        }
    }
}

/// One arm of one flag, over some seconds. Zero counts are facts: silence is no `ArmCounts` at all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ArmCounts {
    /// Requests with an outcome or without.
    #[serde(skip_serializing_if = "is_zero")]
    pub requests: u64,
    /// Requests that went well.
    #[serde(skip_serializing_if = "is_zero")]
    pub success: u64,
    /// Requests that failed by the caller's fault.
    #[serde(skip_serializing_if = "is_zero")]
    pub failure: u64,
    /// Requests that failed by ours.
    #[serde(skip_serializing_if = "is_zero")]
    pub error: u64,
    /// Requests whose client went away: in no rate.
    #[serde(skip_serializing_if = "is_zero")]
    pub cancelled: u64,
    /// Requests that saw two arms of the flag: in no rate.
    #[serde(skip_serializing_if = "is_zero")]
    pub mixed: u64,
    /// Units seen for the first time in this rollout revision.
    #[serde(skip_serializing_if = "is_zero")]
    pub new_units: u64,
    /// Distinct instances with a request of this arm: a sample, at most 64.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reporters: Vec<String>,
    /// First errors, and who had them. `count` is told by `error`.
    #[serde(skip_serializing_if = "EventCounts::is_empty")]
    pub errors: EventCounts,
    /// First requests without success, and who had them. `count` is told by `failure` and `error`.
    #[serde(skip_serializing_if = "EventCounts::is_empty")]
    pub not_success: EventCounts,
    /// By limit in milliseconds: requests slower than it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub slow: BTreeMap<u32, EventCounts>,
    /// By name: what the application tracked.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub named: BTreeMap<String, EventCounts>,
}

impl ArmCounts {
    /// Adds another's counts; never overflows.
    pub fn add(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.success = self.success.saturating_add(other.success);
        self.failure = self.failure.saturating_add(other.failure);
        self.error = self.error.saturating_add(other.error);
        self.cancelled = self.cancelled.saturating_add(other.cancelled);
        self.mixed = self.mixed.saturating_add(other.mixed);
        self.new_units = self.new_units.saturating_add(other.new_units);
        remember(&mut self.reporters, &other.reporters);
        self.errors.add(&other.errors);
        self.not_success.add(&other.not_success);
        for (limit_ms, counts) in &other.slow {
            if self.slow.len() < LIMITS || self.slow.contains_key(limit_ms) {
                self.slow.entry(*limit_ms).or_default().add(counts);
            }
        }
        for (name, counts) in &other.named {
            let has_room = self.named.len() < NAMES;
            match self.named.get_mut(name) {
                Some(known) => known.add(counts),
                None if has_room => drop(self.named.insert(name.clone(), counts.clone())),
                None => {}
            }
        }
    }

    /// Requests that stand in rates: success, failure and error.
    pub fn judged(&self) -> u64 {
        self.success.saturating_add(self.failure).saturating_add(self.error)
    }

    /// The counts of one event, if it was told of.
    pub fn event(&self, event: &Event) -> Option<&EventCounts> {
        match event {
            Event::Error => Some(&self.errors),
            Event::NotSuccess => Some(&self.not_success),
            Event::Slow { limit_ms } => self.slow.get(limit_ms),
            Event::Named { name } => self.named.get(name),
        }
    }
}

/// What one flag's arms did in one second (or in any longer window: tests take windows as they come). Only what is
/// credited to the rollout revision of the release's present step counts; while it is rolled back, of its last step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Second {
    /// In by bucket.
    pub treatment: ArmCounts,
    /// Out by bucket.
    pub control: ArmCounts,
    /// In by cohort.
    pub cohort: ArmCounts,
    /// What other sources said, by the text of their trigger.
    pub readings: Vec<(String, super::Reading)>,
}

impl Second {
    /// Adds another node's counts of the same time.
    pub fn add(&mut self, other: &Self) {
        self.treatment.add(&other.treatment);
        self.control.add(&other.control);
        self.cohort.add(&other.cohort);
        self.readings.extend(other.readings.iter().cloned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_saturate_and_samples_stay_bounded_and_distinct() {
        let mut sum = ArmCounts { requests: u64::MAX, ..ArmCounts::default() };
        for unit in 0..200 {
            let errors = EventCounts { count: 2, first: 1, units: vec![unit, unit], instances: vec!["a".into()], ..EventCounts::default() };
            sum.add(&ArmCounts { requests: 2, error: 2, errors, ..ArmCounts::default() });
        }
        assert_eq!((sum.requests, sum.error, sum.errors.first), (u64::MAX, 400, 200));
        assert_eq!((sum.errors.units.len(), sum.errors.instances.len()), (REMEMBERED, 1));
    }
}
