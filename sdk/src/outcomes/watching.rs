//! One watched flag at one revision of its rollout, and what was counted for it.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use storyflag_evaluation::{Arm, Watch};

use super::{
    Outcome, SHARDS,
    tally::{Events, FIRST_OF_THE_APPLICATION, MOST_LIMITS, MOST_NAMES, Tally},
};
use crate::message::{ArmCounts, EventCounts};

const LONGEST_NAME: usize = 64;
const ERROR: usize = 0;
const NOT_SUCCESS: usize = 1;
const FIRST_LIMIT: usize = 2;

/// What is counted for a watched flag since its rollout was set.
///
/// Units are spread over shards by the lowest bits of their hashes, each behind a lock of its own that is held for a
/// hundred nanoseconds: two threads meet there only when they serve units of one shard at the same moment.
#[derive(Debug)]
pub(crate) struct Watching {
    /// The client whose flag it is.
    pub(super) owner: u64,
    pub(super) incarnation: u64,
    pub(super) flag: Box<str>,
    pub(super) watch: Watch,
    limits_ms: Vec<u32>,
    shards: [Mutex<Shard>; SHARDS],
    /// Units that all shards remember, by arm.
    remembered: [AtomicUsize; 4],
}

/// What is watched in this process, by whichever client.
static WATCHED: AtomicUsize = AtomicUsize::new(0);

/// Whether there is anything to remember for anybody.
#[cfg(feature = "tower")]
#[inline]
pub(super) fn is_anything_watched() -> bool {
    WATCHED.load(Relaxed) > 0
}

impl Drop for Watching {
    fn drop(&mut self) {
        WATCHED.fetch_sub(1, Relaxed);
    }
}

#[derive(Debug)]
struct Shard {
    /// Counts the seconds that were closed.
    second: u32,
    arms: [Tally; 4],
    /// What the application's events are called here.
    names: Vec<Box<str>>,
}

impl Default for Shard {
    fn default() -> Self {
        Self { second: 1, arms: Default::default(), names: Vec::new() }
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    pub(super) outcome: Outcome,
    pub(super) latency: Duration,
}

impl Watching {
    pub(super) fn new(owner: u64, incarnation: u64, flag: &str, watch: &Watch) -> Self {
        let (shards, remembered) = Default::default();
        let mut limits_ms = watch.limits_ms.clone();
        limits_ms.sort_unstable();
        limits_ms.dedup();
        limits_ms.truncate(MOST_LIMITS);
        WATCHED.fetch_add(1, Relaxed);
        Self { owner, incarnation, flag: flag.into(), watch: watch.clone(), limits_ms, shards, remembered }
    }

    /// A request with these units in this arm has ended. It counts once, however many units it had.
    pub(super) fn credit(&self, arm: Arm, units: impl Iterator<Item = Option<u64>>, ended: Ended) {
        let happened = self.happened(ended);
        let us = u64::try_from(ended.latency.as_micros()).unwrap_or(u64::MAX);
        for (index, unit) in units.enumerate() {
            let mut shard = self.shard(unit);
            let (second, tally) = shard.arm(arm);
            if index == 0 {
                tally.count(ended.outcome, us, happened);
            }
            if let Some(hash) = unit {
                tally.count_unit(hash, second, Some(ended.outcome), happened, self.remembered(arm));
            }
        }
    }

    /// A request saw this arm first and then another.
    pub(super) fn credit_mixed(&self, arm: Arm, unit: Option<u64>) {
        self.shard(unit).arm(arm).1.count_mixed();
    }

    /// Something was lost to a bound.
    pub(super) fn credit_overflow(&self, arm: Arm, unit: Option<u64>) {
        self.shard(unit).arm(arm).1.count_overflow();
    }

    /// The application tells of an event of a unit in this arm.
    pub(super) fn credit_event(&self, arm: Arm, unit: Option<u64>, name: &str, value: f64) {
        let mut shard = self.shard(unit);
        let Some(event) = shard.event(name) else { return shard.arm(arm).1.count_overflow() };
        let (second, tally) = shard.arm(arm);
        tally.count_event(event, value);
        if let Some(hash) = unit {
            tally.count_unit(hash, second, None, Events::default().with(event), self.remembered(arm));
        }
    }

    /// Ends the second: its counts, a row for each arm.
    pub(super) fn close_second(&self, with_distinct: bool) -> Vec<ArmCounts> {
        let mut rows: Vec<_> = Arm::ALL.map(|arm| (self.empty_row(arm), BTreeMap::new(), Vec::new())).into();
        for (number, shard) in self.shards.iter().enumerate() {
            let mut shard = lock(shard);
            shard.second = shard.second.wrapping_add(1).max(1);
            let Shard { arms, names, .. } = &mut *shard;
            for (tally, (row, latency, digits)) in arms.iter_mut().zip(&mut rows) {
                tally.take_into(row, latency, |event| self.name_of(event, names));
                if with_distinct {
                    tally.write_distinct(number, digits);
                }
            }
        }
        let rows = rows.into_iter().map(|(mut row, latency, digits)| {
            row.requests = [row.success, row.failure, row.error, row.cancelled].into_iter().fold(0, u64::saturating_add);
            row.latency_us = latency.into_iter().collect();
            row.distinct_units = String::from_utf8(digits).ok().filter(|digits| !digits.is_empty());
            row
        });
        rows.collect()
    }

    fn empty_row(&self, arm: Arm) -> ArmCounts {
        let standard = (0..FIRST_LIMIT.saturating_add(self.limits_ms.len())).map(|event| self.name_of(event, &[]));
        let custom = self.shards.iter().flat_map(|shard| lock(shard).names.iter().map(|name| name.to_string()).collect::<Vec<_>>());
        let mut row = ArmCounts::new(&self.flag, self.watch.rollout_revision, arm);
        row.events = standard.chain(custom).map(|name| (name, EventCounts::default())).collect();
        row
    }

    fn name_of(&self, event: usize, names: &[Box<str>]) -> String {
        match event {
            ERROR => "error".to_owned(),
            NOT_SUCCESS => "not_success".to_owned(),
            FIRST_LIMIT..FIRST_OF_THE_APPLICATION => {
                let limit = self.limits_ms.get(event.saturating_sub(FIRST_LIMIT)).copied().unwrap_or(0);
                format!("slow_{limit}")
            }
            event => names.get(event.saturating_sub(FIRST_OF_THE_APPLICATION)).map_or_else(String::new, |name| name.to_string()),
        }
    }

    /// The standard events of a request.
    fn happened(&self, ended: Ended) -> Events {
        let none = Events::default();
        let judged = match ended.outcome {
            Outcome::Cancelled => return none,
            Outcome::Success => none,
            Outcome::Failure => none.with(NOT_SUCCESS),
            Outcome::Error => none.with(ERROR).with(NOT_SUCCESS),
        };
        let over = |limit_ms: &u32| ended.latency > Duration::from_millis(u64::from(*limit_ms));
        let slow = self.limits_ms.iter().enumerate().filter(|(_, limit)| over(limit));
        slow.fold(judged, |events, (index, _)| events.with(FIRST_LIMIT.saturating_add(index)))
    }

    fn shard(&self, unit: Option<u64>) -> MutexGuard<'_, Shard> {
        let [first, rest @ ..] = &self.shards;
        let number = u64::try_from(SHARDS).ok().and_then(|shards| usize::try_from(unit? % shards).ok()).unwrap_or(0);
        lock(number.checked_sub(1).and_then(|number| rest.get(number)).unwrap_or(first))
    }

    fn remembered(&self, arm: Arm) -> &AtomicUsize {
        of_arm(&self.remembered, arm)
    }
}

impl Shard {
    fn arm(&mut self, arm: Arm) -> (u32, &mut Tally) {
        let [treatment, control, cohort, outside] = &mut self.arms;
        let tally = match arm {
            Arm::Treatment => treatment,
            Arm::Control => control,
            Arm::Cohort => cohort,
            Arm::Outside => outside,
        };
        (self.second, tally)
    }

    /// The event of this name; none where the name cannot be one, or there are too many.
    fn event(&mut self, name: &str) -> Option<usize> {
        let known = self.names.iter().position(|known| **known == *name);
        let index = known.or_else(|| {
            let is_ours = matches!(name, "" | "error" | "not_success") || name.starts_with("slow_");
            let fits = self.names.len() < MOST_NAMES && name.len() <= LONGEST_NAME;
            (fits && !is_ours).then(|| {
                self.names.push(name.into());
                self.names.len().saturating_sub(1)
            })
        })?;
        Some(FIRST_OF_THE_APPLICATION.saturating_add(index))
    }
}

fn of_arm<T>([treatment, control, cohort, outside]: &[T; 4], arm: Arm) -> &T {
    match arm {
        Arm::Treatment => treatment,
        Arm::Control => control,
        Arm::Cohort => cohort,
        Arm::Outside => outside,
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // Nothing in it can panic half-way; a poisoned lock says nothing about the counts.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
