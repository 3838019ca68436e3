//! Histories by the thousand.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::pin,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    task::{Context, Poll, Waker},
    time::Instant,
};

use super::{
    bugs::Bug,
    checks::check,
    desk::Met,
    model::Model,
    world::{BEGINS_MS, History, Options, run},
};

/// The seed of what is replayed, in the environment.
const SEED: &str = "STORYFLAG_SEED";
/// How many histories are run, instead of the usual number.
const HISTORIES: &str = "STORYFLAG_HISTORIES";
const ON_THE_MODEL: u64 = 90_000;

pub(crate) type Coverage = BTreeMap<(&'static str, &'static str), Met>;

/// What many histories came to.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) met: Coverage,
    pub(crate) faults: usize,
    pub(crate) commands: usize,
    pub(crate) transitions: usize,
    pub(crate) ends: BTreeMap<&'static str, usize>,
}

impl Tally {
    pub(crate) fn take(&mut self, history: &History) {
        for (key, met) in &history.met {
            let known = self.met.entry(*key).or_default();
            known.done += met.done;
            known.refused += met.refused;
        }
        self.faults += history.faults;
        self.commands += history.answers.len();
        for dump in &history.dumps {
            self.transitions += dump.transitions.len();
            *self.ends.entry(dump.run.state.phase.name()).or_default() += 1;
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        for (key, met) in other.met {
            let known = self.met.entry(key).or_default();
            known.done += met.done;
            known.refused += met.refused;
        }
        self.faults += other.faults;
        self.commands += other.commands;
        self.transitions += other.transitions;
        for (end, count) in other.ends {
            *self.ends.entry(end).or_default() += count;
        }
    }
}

/// A history on the model: nothing in it ever waits for anything real.
pub(crate) fn on_the_model(seed: u64, bug: Option<Bug>, talks: bool) -> History {
    let model = Model::new(bug == Some(Bug::SupersededIgnored));
    let options = Options { seed, bug, talks, begins: BEGINS_MS, releases: 1, serial: false, incarnation: None };
    let mut history = pin!(run(model, options));
    match history.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(history) => history,
        Poll::Pending => panic!("seed {seed}: the model waits for something"),
    }
}

pub(crate) fn number_of(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|error| panic!("{variable}={text}: {error}")))
}

/// Panics with what is wrong, and how to see it again.
pub(crate) fn fail(seed: u64, test: &str, broken: &[String]) -> ! {
    panic!(
        "seed {seed}:\n  {}\nreplay: {SEED}={seed} cargo test -p storyflag-simulation --test simulation {test} -- --nocapture",
        broken.join("\n  ")
    )
}

pub(crate) fn replayed() -> Option<u64> {
    number_of(SEED)
}

pub(crate) fn print_log(history: &History) {
    for line in &history.desk.state().log {
        println!("{line}");
    }
    for dump in &history.dumps {
        for row in &dump.transitions {
            println!("{row:?}");
        }
        for change in &dump.changes {
            println!("{change:?}");
        }
    }
}

#[test]
fn histories_on_the_model() {
    const NAME: &str = "histories_on_the_model";
    if let Some(seed) = replayed() {
        let history = on_the_model(seed, None, true);
        print_log(&history);
        let broken = check(&history);
        return if broken.is_empty() { println!("seed {seed}: all is well") } else { fail(seed, NAME, &broken) };
    }
    let histories = number_of(HISTORIES).unwrap_or(ON_THE_MODEL);
    let (began, next, failed) = (Instant::now(), AtomicU64::new(0), AtomicUsize::new(0));
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(2);
    let worker = || {
        let mut tally = Tally::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= histories || failed.load(Ordering::Relaxed) > 0 {
                return tally;
            }
            let history = on_the_model(seed, None, false);
            let broken = check(&history);
            if !broken.is_empty() {
                failed.fetch_add(1, Ordering::Relaxed);
                fail(seed, NAME, &broken);
            }
            tally.take(&history);
        }
    };
    let tally = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let mut tally = Tally::default();
        for worker in workers {
            match worker.join() {
                Ok(part) => tally.add(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        tally
    });
    let seconds = began.elapsed().as_secs_f64();
    println!("{histories} histories on the model in {seconds:.1} s on {threads} threads: {:.0} a second", histories as f64 / seconds);
    println!("{} transitions, {} faults, {} commands and edits", tally.transitions, tally.faults, tally.commands);
    println!("ends: {:?}", tally.ends);
}
