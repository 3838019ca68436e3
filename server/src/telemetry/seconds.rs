//! What is heard of watched flags, added up second by second. Time is a parameter.

use std::collections::{BTreeMap, HashMap};

use storyflag::{ArmCounts, EventCounts, TelemetryMessage};
use storyflag_evaluation::{Arm, Identity, Ruleset};
use storyflag_release::{
    evidence,
    run::{self, NodeSecond, Watched},
};

use crate::store::{Latency, Registers};

/// A second that nobody came to write is closed by the next message after so long, in milliseconds.
const LONGEST_MS: i64 = 1_000;
/// Rollout revisions of one flag that are counted in one second, beside the one that the ruleset names: a client could
/// make them up.
const REVISIONS: usize = 8;
/// Different events of an application that are counted in one arm.
const NAMES: usize = 256;
/// Different latency limits that are counted in one arm: those of the ruleset now and before.
const LIMITS: usize = 64;
/// Failed units that an event names.
const UNITS: usize = 8;
/// Instances that an event names: enough to see that it is not one alone.
const INSTANCES: usize = 2;

/// The second that is being added up.
#[derive(Debug, Default)]
pub(super) struct Seconds {
    open: HashMap<i64, HashMap<String, Vec<ArmSums>>>,
    /// When its first message came.
    begun: Option<i64>,
    /// The number of the last one that was closed.
    last: i64,
    /// Of each environment, the ruleset that was last looked at, and whether anything is watched in it.
    watching: HashMap<i64, (Identity, bool)>,
}

/// What was heard of one arm of a flag.
#[derive(Debug)]
pub(super) struct ArmSums {
    pub(super) rollout_revision: u64,
    pub(super) arm: Arm,
    pub(super) counts: evidence::ArmCounts,
    pub(super) details: Details,
}

/// What stands in minutes alone.
#[derive(Debug, Default)]
pub(super) struct Details {
    pub(super) latency_us: Latency,
    /// Of what the application tracked.
    pub(super) sums: BTreeMap<String, f64>,
    pub(super) overflow: u64,
    /// Units since the rollout revision, where some process told of them.
    pub(super) exposed: Option<Registers>,
}

/// A second that is over.
#[derive(Debug)]
pub(super) struct Closed {
    pub(super) environment: i64,
    pub(super) second: i64,
    pub(super) flags: HashMap<String, Vec<ArmSums>>,
}

impl Seconds {
    /// Whether the second that is being added up is over before `now`.
    pub(super) fn is_over(&self, now: i64) -> bool {
        self.begun.is_some_and(|begun| now.saturating_sub(begun) >= LONGEST_MS)
    }

    /// Adds up a message, if anything is watched in its environment; how many of its parts tell of nothing that is known.
    pub(super) fn take(&mut self, environment: i64, ruleset: &Ruleset, message: &TelemetryMessage, now: i64) -> u64 {
        if !self.is_watching(environment, ruleset) {
            return count(message.watched.len());
        }
        self.begun.get_or_insert(now);
        let flags = self.open.entry(environment).or_default();
        let mut ignored = 0_u64;
        for row in &message.watched {
            let watch = ruleset.flag(&row.flag).and_then(|flag| flag.watch());
            let arm = watch.and_then(|watch| {
                // A name only where there is none: almost always there is one.
                if !flags.contains_key(&row.flag) {
                    flags.insert(row.flag.clone(), Vec::new());
                }
                arm_of(flags.get_mut(&row.flag)?, row, watch.rollout_revision)
            });
            let unknown = arm.map_or(1, |arm| arm.add(row, &message.instance));
            ignored = ignored.saturating_add(unknown);
        }
        ignored
    }

    /// Closes the second: one for each environment in which something is watched and somebody reported. Its number is the
    /// clock's, and always higher than the last one's.
    pub(super) fn close(&mut self, now: i64) -> Vec<Closed> {
        if self.begun.take().is_none() {
            return Vec::new();
        }
        self.last = now.div_euclid(1_000).max(self.last.saturating_add(1));
        let second = self.last;
        self.open.drain().map(|(environment, flags)| Closed { environment, second, flags }).collect()
    }

    fn is_watching(&mut self, environment: i64, ruleset: &Ruleset) -> bool {
        let identity = ruleset.identity();
        match self.watching.get(&environment) {
            Some((known, is_watching)) if *known == identity => *is_watching,
            _ => {
                let is_watching = ruleset.flags().any(|flag| flag.watch().is_some());
                self.watching.insert(environment, (identity, is_watching));
                is_watching
            }
        }
    }
}

impl Closed {
    /// The row of it, with who reported.
    pub(super) fn row(&self, mut instances: Vec<run::Heard>) -> NodeSecond {
        let mut watched: Vec<_> = self
            .flags
            .iter()
            .flat_map(|(flag, arms)| {
                arms.iter().map(|sums| Watched {
                    flag: flag.clone(),
                    rollout_revision: sums.rollout_revision,
                    arm: sums.arm,
                    counts: sums.counts.clone(),
                })
            })
            .collect();
        let place = |arm: Arm| Arm::ALL.iter().position(|known| *known == arm);
        watched.sort_unstable_by(|left, right| {
            (&left.flag, left.rollout_revision, place(left.arm)).cmp(&(&right.flag, right.rollout_revision, place(right.arm)))
        });
        instances.sort_unstable_by(|left, right| left.instance.cmp(&right.instance));
        NodeSecond { watched, instances }
    }
}

/// Where a row is added; none where its flag has too many revisions.
fn arm_of<'a>(arms: &'a mut Vec<ArmSums>, row: &ArmCounts, present: u64) -> Option<&'a mut ArmSums> {
    let known = arms.iter().position(|sums| sums.rollout_revision == row.rollout_revision && sums.arm == row.arm);
    let index = known.or_else(|| {
        let others = arms.iter().filter(|sums| sums.arm == row.arm && sums.rollout_revision != present).count();
        (row.rollout_revision == present || others < REVISIONS).then(|| {
            let (counts, details) = Default::default();
            arms.push(ArmSums { rollout_revision: row.rollout_revision, arm: row.arm, counts, details });
            arms.len().saturating_sub(1)
        })
    });
    arms.get_mut(index?)
}

impl ArmSums {
    /// Adds a row of an instance; how many of its events are not known.
    fn add(&mut self, row: &ArmCounts, instance: &str) -> u64 {
        let counts = &mut self.counts;
        for (sum, more) in [
            (&mut counts.requests, row.requests),
            (&mut counts.success, row.success),
            (&mut counts.failure, row.failure),
            (&mut counts.error, row.error),
            (&mut counts.cancelled, row.cancelled),
            (&mut counts.mixed, row.mixed),
            (&mut counts.new_units, row.new_units),
            (&mut self.details.overflow, row.overflow),
        ] {
            *sum = sum.saturating_add(more);
        }
        if row.requests > 0 && counts.reporters.len() < INSTANCES && !counts.reporters.iter().any(|known| known == instance) {
            counts.reporters.push(instance.to_owned());
        }
        row.latency_us.iter().for_each(|(upper, count)| self.details.latency_us.add(*upper, *count));
        if let Some(told) = row.distinct_units.as_deref().and_then(Registers::read) {
            match &mut self.details.exposed {
                Some(known) => known.merge(&told),
                none => *none = Some(told),
            }
        }
        let mut ignored = 0_u64;
        for (name, event) in &row.events {
            match event_named(counts, name) {
                Some(sum) => add(sum, event, instance),
                None => ignored = ignored.saturating_add(1),
            }
            if let Some(sum) = event.sum {
                self.details.add_sum(name, sum);
            }
        }
        ignored
    }
}

impl Details {
    fn add_sum(&mut self, name: &str, more: f64) {
        if !self.sums.contains_key(name) && self.sums.len() < NAMES {
            self.sums.insert(name.to_owned(), 0.0);
        }
        if let Some(sum) = self.sums.get_mut(name)
            && (*sum + more).is_finite()
        {
            *sum += more;
        }
    }
}

/// Where an event is added: `error`, `not_success`, `slow_1000`, and what the application calls otherwise.
fn event_named<'a>(counts: &'a mut evidence::ArmCounts, name: &str) -> Option<&'a mut evidence::EventCounts> {
    if name == "error" {
        return Some(&mut counts.errors);
    }
    if name == "not_success" {
        return Some(&mut counts.not_success);
    }
    if let Some(limit) = name.strip_prefix("slow_") {
        let limit_ms = limit.parse().ok()?;
        let has_room = counts.slow.len() < LIMITS || counts.slow.contains_key(&limit_ms);
        return has_room.then(|| counts.slow.entry(limit_ms).or_default());
    }
    if !counts.named.contains_key(name) {
        if counts.named.len() >= NAMES {
            return None;
        }
        counts.named.insert(name.to_owned(), evidence::EventCounts::default());
    }
    counts.named.get_mut(name)
}

fn add(sum: &mut evidence::EventCounts, event: &EventCounts, instance: &str) {
    sum.count = sum.count.saturating_add(event.count);
    sum.at_risk = sum.at_risk.saturating_add(event.at_risk);
    sum.first = sum.first.saturating_add(event.first);
    for unit in event.units.iter().filter_map(|unit| u64::from_str_radix(unit, 16).ok()) {
        if sum.units.len() < UNITS && !sum.units.contains(&unit) {
            sum.units.push(unit);
        }
    }
    if event.count > 0 && sum.instances.len() < INSTANCES && !sum.instances.iter().any(|known| known == instance) {
        sum.instances.push(instance.to_owned());
    }
}

fn count(parts: usize) -> u64 {
    u64::try_from(parts).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "tests/seconds.rs"]
mod tests;
