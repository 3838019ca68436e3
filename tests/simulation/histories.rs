//! Histories by the thousand.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::pin,
    rc::Rc,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Instant,
};

use storyflag_server::app::now_ms;

use super::{
    bugs::Bug,
    checks::check,
    coverage,
    desk::Met,
    model::Model,
    sqlite::{Database, FLAGS, Sqlite},
    world::{BEGINS_MS, History, Options, run},
};

/// The seed of what is replayed, in the environment.
const SEED: &str = "STORYFLAG_SEED";
/// How many histories are run, instead of the usual number.
const HISTORIES: &str = "STORYFLAG_HISTORIES";
const ON_THE_MODEL: u64 = 90_000;
const ON_SQLITE: u64 = 10_000;

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
}

/// A history on the model: nothing in it ever waits for anything real.
pub(crate) fn on_the_model(seed: u64, bug: Option<Bug>, talks: bool) -> History {
    let model = Model::new(bug == Some(Bug::SupersededIgnored));
    let options = Options { seed, bug, talks, begins: BEGINS_MS, releases: 1, serial: false, incarnation: None };
    at_once(run(model, options))
}

/// What comes of a future that never waits for anything real.
pub(crate) fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("the model waits for something"),
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

/// Runs every seed below `histories` on two threads. What is wrong is shown for a few seeds, not for the first alone: what
/// they have in common tells more.
pub(crate) fn run_all(test: &str, histories: u64, worker: impl Fn(&AtomicU64, &dyn Fn(u64, &History) -> bool) + Sync) -> Tally {
    let (next, failures) = (AtomicU64::new(0), Mutex::new(Vec::<(u64, Vec<String>)>::new()));
    let tally = Mutex::new(Tally::default());
    let take = |seed: u64, history: &History| {
        let broken = check(history);
        if !broken.is_empty() {
            failures.lock().unwrap().push((seed, broken));
        }
        tally.lock().unwrap().take(history);
        failures.lock().unwrap().len() < 8
    };
    let began = Instant::now();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2).map(|_| scope.spawn(|| worker(&next, &take))).collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
    });
    let failures = failures.into_inner().unwrap();
    if let Some((seed, _)) = failures.iter().min_by_key(|(seed, _)| *seed) {
        let all: Vec<String> = failures.iter().map(|(seed, broken)| format!("{seed}: {}", broken.join("\n    "))).collect();
        fail(*seed, test, &all);
    }
    let (tally, seconds) = (tally.into_inner().unwrap(), began.elapsed().as_secs_f64());
    let count: usize = tally.ends.values().sum();
    println!("{test}: {count} in {seconds:.1} s: {:.0} a second", count as f64 / seconds);
    println!("{} transitions, {} faults, {} commands and edits, seeds below {histories}", tally.transitions, tally.faults, tally.commands);
    println!("ends: {:?}", tally.ends);
    tally
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
    let tally = run_all(NAME, histories, |next, take| {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= histories || !take(seed, &on_the_model(seed, None, false)) {
                return;
            }
        }
    });
    let missing = coverage::print(&tally.met);
    if histories >= ON_THE_MODEL {
        assert_eq!(missing, Vec::<String>::new(), "no history has these");
    }
}

/// Several releases at once in each, so that each look at the database is one for all of them.
#[test]
fn histories_on_sqlite() {
    const NAME: &str = "histories_on_sqlite";
    let (only, histories) = (replayed(), number_of(HISTORIES).unwrap_or(ON_SQLITE).div_ceil(FLAGS as u64));
    let tally = run_all(NAME, histories, |next, take| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let database = Rc::new(Database::open(&format!("{:?}", std::thread::current().id())).await);
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let seed = only.unwrap_or(number);
                if number >= histories || only.is_some() && number > 0 {
                    break;
                }
                let environment = database.environment(number).await;
                let history = on_sqlite(&environment, seed, only.is_some()).await;
                if only.is_some() {
                    print_log(&history);
                }
                if !take(seed, &history) {
                    break;
                }
            }
            database.close().await;
        });
    });
    assert!(only.is_some() || tally.faults >= 3 * histories as usize);
}

async fn on_sqlite(environment: &Sqlite, seed: u64, talks: bool) -> History {
    let incarnation = Some(environment.incarnation());
    let options = Options { seed, bug: None, talks, begins: now_ms(), releases: FLAGS, serial: true, incarnation };
    let history = run(environment.clone(), options).await;
    environment.forget().await;
    history
}
