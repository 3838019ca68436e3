//! Two things timed in turn, so that a machine that is slow for a while is slow for both.

use std::{hint::black_box, sync::Barrier, thread};

use cpu_time::ThreadTime;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region};

/// A side of a comparison: does its work for turns `from..to` and returns something that depends on all of it.
pub type Work<'a> = &'a (dyn Fn(usize, usize) -> u64 + Sync);

/// Medians of many short turns.
pub struct Times {
    pub ours: f64,
    pub floor: f64,
    /// The median of the turns' ratios, not the ratio of the medians.
    pub ratio: f64,
}

impl Times {
    /// In a larger unit.
    pub fn each(self, of: u32) -> Self {
        Self { ours: self.ours / f64::from(of), floor: self.floor / f64::from(of), ratio: self.ratio }
    }
}

/// How many turns a median wants.
pub const TURNS: usize = 301;

/// Times both sides; `count` operations are one turn.
pub fn compare(turns: usize, count: usize, ours: Work<'_>, floor: Work<'_>) -> Times {
    let (mut ours_ns, mut floor_ns, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    time(ours, count);
    time(floor, count);
    for turn in 0..turns {
        // Who goes first takes turns as well.
        let (first, second) = if turn % 2 == 0 { (ours, floor) } else { (floor, ours) };
        let (first, second) = (time(first, count), time(second, count));
        let (a, b) = if turn % 2 == 0 { (first, second) } else { (second, first) };
        ours_ns.push(a / count as f64);
        floor_ns.push(b / count as f64);
        ratios.push(a / b);
    }
    Times { ours: median(ours_ns), floor: median(floor_ns), ratio: median(ratios) }
}

/// How many times as much two threads get done as one, ours in relation to the floor's.
pub fn scaling(count: usize, ours: Work<'_>, floor: Work<'_>) -> Times {
    let gain = |work: Work<'_>| 2.0 * time(work, count) / on_two_threads(work, count);
    let (mut all_ours, mut all_floor, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS / 3 {
        let (ours, floor) = (gain(ours), gain(floor));
        all_ours.push(ours);
        all_floor.push(floor);
        ratios.push(ours / floor);
    }
    Times { ours: median(all_ours), floor: median(all_floor), ratio: median(ratios) }
}

fn time(work: Work<'_>, count: usize) -> f64 {
    let start = ThreadTime::now();
    black_box(work(0, count));
    start.elapsed().as_secs_f64() * 1e9
}

fn on_two_threads(work: Work<'_>, count: usize) -> f64 {
    let barrier = Barrier::new(2);
    let run = |from: usize| {
        barrier.wait();
        let start = ThreadTime::now();
        black_box(work(from, from + count));
        start.elapsed().as_secs_f64() * 1e9
    };
    thread::scope(|scope| {
        let other = scope.spawn(|| run(count));
        let own = run(0);
        own.max(other.join().unwrap_or(f64::INFINITY))
    })
}

/// How often something asks the allocator.
pub fn allocations(count: usize, work: Work<'_>) -> usize {
    work(0, count);
    let region = Region::new(&INSTRUMENTED_SYSTEM);
    black_box(work(0, count));
    let change = region.change();
    change.allocations + change.reallocations
}

/// The bytes that something still holds when it is done.
pub fn bytes_held<T>(make: impl FnOnce() -> T) -> usize {
    let region = Region::new(&INSTRUMENTED_SYSTEM);
    let made = black_box(make());
    let change = region.change();
    drop(made);
    change.bytes_allocated.saturating_sub(change.bytes_deallocated)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
