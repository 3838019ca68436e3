//! What was heard of watched flags, minute by minute, for reports; and which units were exposed. Time is a parameter.

use std::collections::{BTreeMap, HashMap};

use storyflag_evaluation::Arm;

use super::seconds::{ArmSums, Closed};
use crate::store::{ExposedRow, MinuteCounts, NodeMinuteRow, Registers, Tracked};

/// What is written again after so long, in milliseconds: a report is never older.
const WRITE_EVERY_MS: i64 = 10_000;
/// Minutes that are kept while they cannot be written.
const MINUTES: usize = 5;
/// Arms of one flag, by rollout revision, in one minute.
const ARMS: usize = 64;

/// Of each environment and flag, the units by rollout revision and arm.
type Exposed = HashMap<(i64, String), Vec<(u64, Arm, Registers)>>;

/// What is being added up, and what waits to be written.
#[derive(Debug, Default)]
pub(super) struct Minutes {
    /// Ascending; all but the last are over.
    minutes: BTreeMap<i64, HashMap<(i64, String), Vec<Sum>>>,
    exposed: Exposed,
    written_at: i64,
    /// Rows that were given up.
    dropped: u64,
}

#[derive(Debug)]
struct Sum {
    rollout_revision: u64,
    arm: Arm,
    counts: MinuteCounts,
    written: bool,
}

/// What is to be written.
#[derive(Debug, Default)]
pub(super) struct UnwrittenMinutes {
    pub(super) minutes: Vec<NodeMinuteRow>,
    pub(super) exposed: Vec<ExposedRow>,
}

impl Minutes {
    /// Adds a second to its minute.
    pub(super) fn add(&mut self, closed: Closed) {
        let sums = self.minutes.entry(closed.second.div_euclid(60)).or_default();
        for (flag, arms) in closed.flags {
            let key = (closed.environment, flag);
            for mut arm in arms {
                let place = (arm.rollout_revision, arm.arm);
                if let Some(registers) = arm.details.exposed.take() {
                    add_exposed(&mut self.exposed, &key, place, registers);
                }
                let of_flag = entry(sums, &key);
                let has_room = of_flag.len() < ARMS;
                match of_flag.iter_mut().find(|sum| (sum.rollout_revision, sum.arm) == place) {
                    Some(sum) => {
                        sum.counts.add(&counts(arm));
                        sum.written = false;
                    }
                    None if has_room => {
                        of_flag.push(Sum { rollout_revision: place.0, arm: place.1, counts: counts(arm), written: false });
                    }
                    None => self.dropped = self.dropped.saturating_add(1),
                }
            }
        }
        self.drop_oldest();
    }

    /// Whether it is time to write: every ten seconds, and when a minute is over.
    pub(super) fn is_due(&self, now: i64) -> bool {
        // A clock that was put back is no reason to wait.
        self.minutes.len() > 1 || now.saturating_sub(self.written_at).abs() >= WRITE_EVERY_MS
    }

    /// Takes what waits to be written. What is not over stays here, too, and is written again when it has grown.
    pub(super) fn take_unwritten(&mut self, now: i64) -> UnwrittenMinutes {
        self.written_at = now;
        let last = self.minutes.pop_last();
        let mut rows: Vec<NodeMinuteRow> = Vec::new();
        for (minute, sums) in std::mem::take(&mut self.minutes) {
            for ((environment, flag), arms) in sums {
                let unwritten = arms.into_iter().filter(|sum| !sum.written);
                rows.extend(unwritten.map(|sum| row(environment, &flag, minute, &sum)));
            }
        }
        if let Some((minute, mut sums)) = last {
            for ((environment, flag), arms) in &mut sums {
                for sum in arms.iter_mut().filter(|sum| !sum.written) {
                    sum.written = true;
                    rows.push(row(*environment, flag, minute, sum));
                }
            }
            self.minutes.insert(minute, sums);
        }
        let exposed = std::mem::take(&mut self.exposed).into_iter().flat_map(|((environment, flag), arms)| {
            let row = move |(rollout_revision, arm, registers)| {
                let flag = flag.clone();
                ExposedRow { environment, flag, rollout_revision, arm, registers }
            };
            arms.into_iter().map(row)
        });
        UnwrittenMinutes { minutes: rows, exposed: exposed.collect() }
    }

    /// They could not be written: they wait again.
    pub(super) fn put_back(&mut self, unwritten: UnwrittenMinutes) {
        for NodeMinuteRow { environment, flag, rollout_revision, arm, minute, counts } in unwritten.minutes {
            let of_flag = entry(self.minutes.entry(minute).or_default(), &(environment, flag));
            match of_flag.iter_mut().find(|sum| (sum.rollout_revision, sum.arm) == (rollout_revision, arm)) {
                // It is not over: what stands here holds what was taken.
                Some(sum) => sum.written = false,
                None => of_flag.push(Sum { rollout_revision, arm, counts, written: false }),
            }
        }
        for ExposedRow { environment, flag, rollout_revision, arm, registers } in unwritten.exposed {
            add_exposed(&mut self.exposed, &(environment, flag), (rollout_revision, arm), registers);
        }
        self.drop_oldest();
    }

    /// How many rows were given up since this was asked last.
    pub(super) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    fn drop_oldest(&mut self) {
        while self.minutes.len() > MINUTES {
            let Some((_, sums)) = self.minutes.pop_first() else { return };
            let rows = sums.values().flatten().filter(|sum| !sum.written).count();
            self.dropped = self.dropped.saturating_add(u64::try_from(rows).unwrap_or(u64::MAX));
        }
    }
}

fn entry<'a, T>(map: &'a mut HashMap<(i64, String), Vec<T>>, key: &(i64, String)) -> &'a mut Vec<T> {
    map.entry(key.clone()).or_default()
}

fn add_exposed(exposed: &mut Exposed, key: &(i64, String), place: (u64, Arm), registers: Registers) {
    let of_flag = entry(exposed, key);
    let has_room = of_flag.len() < ARMS;
    match of_flag.iter_mut().find(|(revision, arm, _)| (*revision, *arm) == place) {
        Some((_, _, known)) => known.merge(&registers),
        None if has_room => of_flag.push((place.0, place.1, registers)),
        // They come again in a minute.
        None => {}
    }
}

fn row(environment: i64, flag: &str, minute: i64, sum: &Sum) -> NodeMinuteRow {
    let (rollout_revision, arm, counts) = (sum.rollout_revision, sum.arm, sum.counts.clone());
    NodeMinuteRow { environment, flag: flag.to_owned(), rollout_revision, arm, minute, counts }
}

fn counts(sums: ArmSums) -> MinuteCounts {
    let ArmSums { counts, details, .. } = sums;
    let tracked = |(name, event): (String, storyflag_release::evidence::EventCounts)| {
        let sum = details.sums.get(&name).copied().unwrap_or_default();
        (name, Tracked { count: event.count, sum })
    };
    MinuteCounts {
        requests: counts.requests,
        success: counts.success,
        failure: counts.failure,
        error: counts.error,
        cancelled: counts.cancelled,
        mixed: counts.mixed,
        new_units: counts.new_units,
        overflow: details.overflow,
        slow: counts.slow.into_iter().map(|(limit_ms, event)| (limit_ms, event.count)).collect(),
        named: counts.named.into_iter().map(tracked).collect(),
        latency_us: details.latency_us,
    }
}

#[cfg(test)]
#[path = "tests/minutes.rs"]
mod tests;
