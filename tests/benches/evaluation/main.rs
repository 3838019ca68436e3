//! Evaluation and loading, each beside a floor written by hand: `cargo bench -p storyflag-tests --bench evaluation`.
//!
//! Only ratios count. Ours and the floor take short turns, timed by the processor's time of their thread, and the
//! median of the turns' ratios stands, so that a busy machine matters little.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a benchmark, not a library"
)]

mod floor;
mod measure;
mod ours;
mod plain;
mod served;
mod workloads;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use crate::{
    measure::{TURNS, Times, allocations, bytes_held, compare, scaling},
    ours::Ours,
    workloads::{USERS, World, document},
};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

/// What is measured, and how good it should be.
struct Measurement<'w> {
    name: String,
    unit: &'static str,
    /// The ratio to the floor, at most.
    goal: f64,
    run: Box<dyn FnOnce() -> Line + 'w>,
}

/// One line of the answer.
struct Line {
    times: Times,
    /// `None` where allocations do not matter.
    allocations: Option<usize>,
}

impl Line {
    fn print(&self, name: &str, unit: &str, goal: f64) -> bool {
        let allocations = self.allocations.map_or_else(|| "-".to_owned(), |count| count.to_string());
        let good = self.times.ratio <= goal && self.allocations.unwrap_or(0) == 0;
        let Times { ours, floor, ratio } = self.times;
        let verdict = if good { "ok" } else { "OVER" };
        println!("{name:<44} {ours:>10.1} {floor:>10.1} {unit:<6} {ratio:>6.2}x {goal:>6.2}x {allocations:>7}  {verdict}");
        good
    }
}

fn main() {
    let world = World::new();
    world.agree();
    println!("{:<44} {:>10} {:>10} {:<6} {:>7} {:>7} {:>7}", "", "ours", "floor", "", "ratio", "goal", "allocs");
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str()));
    let mut good = true;
    for measurement in evaluation(&world).into_iter().chain(threads(&world)).chain(loading()) {
        if wanted(&measurement.name) {
            good &= (measurement.run)().print(&measurement.name, measurement.unit, measurement.goal);
        }
    }
    println!("{}", if good { "every goal is met" } else { "NOT every goal is met" });
}

type Work<'w> = Box<dyn Fn(usize, usize) -> u64 + Sync + 'w>;
type Sides<'w> = (Work<'w>, Work<'w>);

/// How often each flag is asked in a request, where requests are told apart.
const ASKS: usize = 100;

/// Where our side is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// By a client that reports nothing.
    Quiet,
    /// Of a watched flag, by a client that reports: outside of any request.
    Watched,
    /// The same in a scope for each request, which asks for one user again and again.
    InScope,
}

impl Asked {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Quiet, ""), (Self::Watched, ", telemetry on"), (Self::InScope, ", telemetry on, in a scope")];

    fn ours(self, world: &World) -> &Ours {
        if self == Self::Quiet { &world.ours } else { &world.served.ours }
    }

    /// Asks for turns `from..to`: user after user, or a hundred times for each.
    fn each(self, from: usize, to: usize, ask: impl Fn(usize) -> u64) -> u64 {
        if self != Self::InScope {
            return (from..to).map(|turn| ask(turn % USERS)).sum();
        }
        let request = |first: usize| served::in_a_scope(|| (first..to.min(first + ASKS)).map(|_| ask(first / ASKS % USERS)).sum::<u64>());
        (from..to).step_by(ASKS).map(request).sum()
    }

    fn each_of_floor(self, from: usize, to: usize, ask: impl Fn(usize) -> u64) -> u64 {
        let user = |turn: usize| if self == Self::InScope { turn / ASKS % USERS } else { turn % USERS };
        (from..to).map(|turn| ask(user(turn))).sum()
    }
}

/// What is asked of ours and of the floor, user after user.
fn flag<'w>(world: &'w World, asked: Asked, key: &'static str) -> Sides<'w> {
    let client = asked.ours(world);
    let ours = move |from, to| asked.each(from, to, |user| u64::from(client.is_on(key, &world.contexts[user])));
    let floor = move |from, to| asked.each_of_floor(from, to, |user| u64::from(world.floor.variant(key, &world.users[user])));
    (Box::new(ours), Box::new(floor))
}

fn colour<'w>(world: &'w World, asked: Asked, key: &'static str) -> Sides<'w> {
    let requests = if asked == Asked::Quiet { &world.requests } else { &world.served_requests };
    let ours = move |from, to| asked.each(from, to, |user| requests[user].string(key, "").len() as u64);
    let floor = move |from, to| asked.each_of_floor(from, to, |user| u64::from(world.floor.variant(key, &world.users[user])));
    (Box::new(ours), Box::new(floor))
}

/// A context that is asked for everything once is a request.
fn all(world: &World, asked: Asked) -> Sides<'_> {
    let client = asked.ours(world);
    let ask = move |turn: usize| client.on_of(&world.mixed, &world.contexts[turn % USERS]);
    let ours = move |from: usize, to| match asked {
        Asked::InScope => (from..to).map(|turn| served::in_a_scope(|| ask(turn))).sum(),
        _ => (from..to).map(ask).sum(),
    };
    let floor = move |from, to| (from..to).map(|turn| world.floor.on_of(&world.mixed, &world.users[turn % USERS])).sum();
    (Box::new(ours), Box::new(floor))
}

fn evaluation(world: &World) -> Vec<Measurement<'_>> {
    Asked::ALL.into_iter().flat_map(|(asked, how)| workloads(world, asked, how)).collect()
}

fn workloads<'w>(world: &'w World, asked: Asked, how: &'static str) -> impl Iterator<Item = Measurement<'w>> {
    let workloads = [
        ("W1 on for all", 2.2, 4_000, flag(world, asked, "w1-on")),
        ("W2 10 % by key, 10,000 users", 2.2, 4_000, flag(world, asked, "w2-ten")),
        ("W3 1,000 ids or an e-mail suffix, else 1 %", 2.5, 4_000, flag(world, asked, "w3-cohort")),
        ("W4 the last of ten rules, then a 4-way split", 2.5, 2_000, colour(world, asked, "w4-rules")),
        ("W5 1,000 mixed flags for one context", 2.5, 4, all(world, asked)),
    ];
    workloads.into_iter().map(move |(workload, goal, count, (ours, floor))| {
        // A request's context is the application's to make; W5 makes one, the others are given theirs. A scope is made for
        // each request.
        let counts = !workload.starts_with("W5") && asked != Asked::InScope;
        let run = move || Line { times: compare(TURNS, count, &*ours, &*floor), allocations: counts.then(|| allocations(count, &*ours)) };
        let name = if how.is_empty() { workload.to_owned() } else { format!("{}{how}", &workload[..2]) };
        Measurement { name, unit: "ns", goal, run: Box::new(run) }
    })
}

/// Scaling: a ratio above 1 is better than the floor, so it is turned round to fit the table.
fn threads(world: &World) -> Vec<Measurement<'_>> {
    let measurement = |(name, key): (&'static str, &'static str)| {
        let run = move || {
            let (ours, floor) = flag(world, Asked::Quiet, key);
            let times = scaling(100_000, &*ours, &*floor);
            Line { times: Times { ratio: 1.0 / times.ratio, ..times }, allocations: None }
        };
        Measurement { name: name.to_owned(), unit: "times", goal: 1.0 / 0.95, run: Box::new(run) }
    };
    [("two threads get done as much as one, W1", "w1-on"), ("two threads get done as much as one, W2", "w2-ten")].map(measurement).into()
}

fn loading<'w>() -> Vec<Measurement<'w>> {
    let time = |name, count, turns| {
        let run = move || {
            let text = document(count);
            let ours = |from, to| (from..to).map(|_| ours::load(&text).map_or(0, |ruleset| ruleset.len() as u64)).sum();
            let floor = |from, to| (from..to).map(|_| plain::load(&text).map_or(0, |flags| flags.len() as u64)).sum();
            Line { times: compare(turns, 1, &ours, &floor).each(1_000), allocations: None }
        };
        Measurement { name: str::to_owned(name), unit: "us", goal: 3.0, run: Box::new(run) }
    };
    let memory = |name, count| {
        let run = move || {
            let text = document(count);
            let (ours, floor) = (bytes_held(|| ours::load(&text)), bytes_held(|| plain::load(&text)));
            let times = Times { ours: ours as f64, floor: floor as f64, ratio: ours as f64 / floor as f64 };
            Line { times: times.each(1_024), allocations: None }
        };
        Measurement { name: str::to_owned(name), unit: "KiB", goal: 3.0, run: Box::new(run) }
    };
    vec![
        time("load 1,000 flags: time", 1_000, 61),
        memory("load 1,000 flags: memory", 1_000),
        time("load 10,000 flags: time", 10_000, 15),
        memory("load 10,000 flags: memory", 10_000),
    ]
}

impl World {
    /// Both sides answer alike, or there is nothing to compare.
    fn agree(&self) {
        for (context, user) in self.contexts.iter().zip(&self.users) {
            for key in ["w1-on", "w2-ten", "w3-cohort"] {
                assert_eq!(self.ours.is_on(key, context), self.floor.variant(key, user) == 1, "{key} {context:?}");
            }
        }
        let (context, user) = (&self.contexts[7], &self.users[7]);
        assert_eq!(self.ours.on_of(&self.mixed, context), self.floor.on_of(&self.mixed, user));
        assert!(!self.requests[7].string("w4-rules", "").is_empty());
    }
}
