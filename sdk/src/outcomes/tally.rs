//! What is counted in one arm, for the units of one shard.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    hash::{BuildHasher, Hasher},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use super::{Outcome, distinct::Distinct, latency::Latency};
use crate::message::{ArmCounts, UNITS_PER_EVENT};

/// Units that are remembered in one arm at one rollout revision.
pub(crate) const MOST_UNITS: usize = 100_000;

/// The bit of a unit that has had a request; events have the bits below.
const EXPOSED: u32 = 1 << 31;

/// The first event that has its name from the application; before it are `error`, `not_success` and one for each limit.
pub(super) const FIRST_OF_THE_APPLICATION: usize = 2 + MOST_LIMITS;
/// Latency limits that are looked at.
pub(super) const MOST_LIMITS: usize = 8;
/// Different names of events that an application may track.
pub(super) const MOST_NAMES: usize = 16;

/// Events, a bit each, in the order of their names.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Events(pub(super) u32);

impl Events {
    pub(super) fn with(self, event: usize) -> Self {
        Self(self.0 | u32::try_from(event).ok().and_then(|event| 1_u32.checked_shl(event)).unwrap_or(0))
    }

    fn each(self) -> impl Iterator<Item = usize> {
        let mut rest = self.0 & !EXPOSED;
        std::iter::from_fn(move || {
            let event = (rest != 0).then(|| rest.trailing_zeros())?;
            rest &= rest.wrapping_sub(1);
            usize::try_from(event).ok()
        })
    }
}

/// A unit that is remembered.
#[derive(Debug, Default)]
struct Unit {
    /// What it has had so far.
    had: Events,
    /// The second in which it was last seen with a request; seconds begin with 1.
    seen: u32,
}

/// Spreads units over a map. They are hashes already, but those of one shard and a small percentage have bits in common
/// at both ends; and who may choose many units must not choose where they fall.
#[derive(Debug, Clone, Copy)]
struct Spread {
    seed: u64,
    hash: u64,
}

impl Default for Spread {
    fn default() -> Self {
        Self { seed: fastrand::u64(..) | 1, hash: 0 }
    }
}

impl BuildHasher for Spread {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        *self
    }
}

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.hash
    }

    /// The upper half of the product depends on every bit of the number, and so does the sum of both.
    fn write_u64(&mut self, number: u64) {
        let product = u128::from(number ^ self.seed.rotate_left(32)).wrapping_mul(u128::from(self.seed));
        let (low, high) = (product & u128::from(u64::MAX), product >> 64);
        self.hash = u64::try_from(low ^ high).unwrap_or(0);
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(self.hash ^ u64::from(*byte)));
    }
}

/// An event in this second.
#[derive(Debug, Default)]
struct Event {
    count: u64,
    sum: f64,
    first: u64,
    /// Units with a request in this second that had the event before it: all others are at risk.
    immune: u64,
    units: Vec<u64>,
}

/// The counts of this second, and the units since the rollout revision.
#[derive(Debug, Default)]
pub(super) struct Tally {
    success: u64,
    failure: u64,
    error: u64,
    cancelled: u64,
    mixed: u64,
    new_units: u64,
    overflow: u64,
    /// Different units with a request in this second.
    seen: u64,
    events: BTreeMap<usize, Event>,
    latency: Latency,
    distinct: Distinct,
    units: HashMap<u64, Unit, Spread>,
}

impl Tally {
    /// A request has ended.
    pub(super) fn count(&mut self, outcome: Outcome, us: u64, happened: Events) {
        let count = match outcome {
            Outcome::Success => &mut self.success,
            Outcome::Failure => &mut self.failure,
            Outcome::Error => &mut self.error,
            Outcome::Cancelled => &mut self.cancelled,
        };
        *count = count.saturating_add(1);
        if outcome != Outcome::Cancelled {
            self.latency.add(us);
        }
        for event in happened.each() {
            let event = self.event(event);
            event.count = event.count.saturating_add(1);
        }
    }

    /// A request saw another arm, too.
    pub(super) fn count_mixed(&mut self) {
        self.mixed = self.mixed.saturating_add(1);
    }

    /// A bound was reached.
    pub(super) fn count_overflow(&mut self) {
        self.overflow = self.overflow.saturating_add(1);
    }

    /// The application tells of an event.
    pub(super) fn count_event(&mut self, event: usize, value: f64) {
        let event = self.event(event);
        event.count = event.count.saturating_add(1);
        let sum = event.sum + value;
        // JSON has no infinity: a value that would lead there is not added.
        if sum.is_finite() {
            event.sum = sum;
        }
    }

    /// A unit had these events, in a request that ended in this second if one is given.
    pub(super) fn count_unit(&mut self, hash: u64, second: u32, request: Option<Outcome>, happened: Events, remembered: &AtomicUsize) {
        if request.is_some() {
            // Beyond the bound, too.
            self.distinct.add(hash);
        }
        let unit = match self.units.entry(hash) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(_) if remembered.load(Relaxed) >= MOST_UNITS => return self.count_overflow(),
            Entry::Vacant(new) => {
                // Other shards may be at the same point: the bound is passed by one unit a shard at most.
                remembered.fetch_add(1, Relaxed);
                new.insert(Unit::default())
            }
        };
        if request.is_some() && unit.had.0 & EXPOSED == 0 {
            unit.had.0 |= EXPOSED;
            self.new_units = self.new_units.saturating_add(1);
        }
        // What was cancelled is in no rate: such a request could not have shown an error.
        let at_risk = request.is_some_and(|outcome| outcome != Outcome::Cancelled);
        let mut immune = Events::default();
        if at_risk && unit.seen != second {
            unit.seen = second;
            self.seen = self.seen.saturating_add(1);
            immune = unit.had;
        }
        let first = Events(happened.0 & !unit.had.0);
        unit.had.0 |= happened.0;
        for event in immune.each() {
            let event = self.event(event);
            event.immune = event.immune.saturating_add(1);
        }
        for event in first.each() {
            let event = self.event(event);
            event.first = event.first.saturating_add(1);
            if event.units.len() < UNITS_PER_EVENT {
                event.units.push(hash);
            }
        }
    }

    fn event(&mut self, event: usize) -> &mut Event {
        self.events.entry(event).or_default()
    }

    /// Takes what was counted in this second; units stay.
    pub(super) fn take_into(&mut self, row: &mut ArmCounts, latency: &mut BTreeMap<u64, u64>, name_of: impl Fn(usize) -> String) {
        let seen = std::mem::take(&mut self.seen);
        for (sum, count) in [
            (&mut row.success, &mut self.success),
            (&mut row.failure, &mut self.failure),
            (&mut row.error, &mut self.error),
            (&mut row.cancelled, &mut self.cancelled),
            (&mut row.mixed, &mut self.mixed),
            (&mut row.new_units, &mut self.new_units),
            (&mut row.overflow, &mut self.overflow),
        ] {
            *sum = sum.saturating_add(std::mem::take(count));
        }
        // Who was seen is at risk of every event that has a name, those that nobody had included.
        row.events.values_mut().for_each(|event| event.at_risk = event.at_risk.saturating_add(seen));
        for (index, event) in std::mem::take(&mut self.events) {
            let name = name_of(index);
            let custom = index >= FIRST_OF_THE_APPLICATION;
            let sum = row.events.entry(name).or_default();
            sum.count = sum.count.saturating_add(event.count);
            sum.first = sum.first.saturating_add(event.first);
            sum.at_risk = sum.at_risk.saturating_sub(event.immune);
            if custom && event.count > 0 {
                sum.sum = Some(sum.sum.unwrap_or(0.0) + event.sum).filter(|sum| sum.is_finite());
            }
            let room = UNITS_PER_EVENT.saturating_sub(sum.units.len());
            sum.units.extend(event.units.iter().take(room).map(|hash| format!("{hash:016x}")));
        }
        for (upper, count) in self.latency.take() {
            let sum = latency.entry(upper).or_default();
            *sum = sum.saturating_add(count);
        }
    }

    /// Writes the digits of its registers between those of the other shards.
    pub(super) fn write_distinct(&self, shard: usize, digits: &mut Vec<u8>) {
        self.distinct.write(shard, digits);
    }
}
