//! **Outcomes report themselves**: how the work went that asked for a watched flag, by arm.
//!
//! A [`Scope`] remembers which watched flags were asked for in it, and credits its end to them: `scope.rs`, `current.rs`, and
//! `layer.rs` for requests. [`Watching`] counts for one flag since its rollout was set: `watching.rs`, which spreads units over
//! shards of `tally.rs`. [`Outcomes`] knows what a client watches now, and closes a second after the other: what the
//! reporter then sends.

mod current;
mod distinct;
mod latency;
#[cfg(feature = "tower")]
mod layer;
mod scope;
mod tally;
#[cfg(test)]
mod tests;
mod watching;

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use storyflag_evaluation::{Arm, FlagView, Ruleset};
use tokio::{
    sync::{Notify, watch},
    time::{MissedTickBehavior, interval},
};

#[cfg(feature = "tower")]
pub use self::layer::{Head, OutcomeFuture, OutcomeLayer, OutcomeService};
pub(crate) use self::{current::remember, watching::Watching};
pub use self::{
    current::{InScope, track},
    scope::Scope,
};
use crate::message::ArmCounts;

const SHARDS: usize = 8;
const SECOND: Duration = Duration::from_secs(1);
/// Seconds that wait for a service that is away. Older news would be taken for new ones when it is back.
const MOST_WAITING: usize = 10;
/// The number of different units is told once in so many seconds.
const DISTINCT_EVERY: u32 = 60;

/// How a piece of work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It went well.
    Success,
    /// It failed by the caller's fault: a bad request, something that is not there.
    Failure,
    /// It failed by ours: an exception, a time-out, something behind us that is away.
    Error,
    /// Nobody waited for its end. In no rate.
    Cancelled,
}

/// What one client counts.
#[derive(Debug)]
pub(crate) struct Outcomes {
    owner: u64,
    /// False for a client that reports nothing.
    is_wanted: bool,
    state: Mutex<State>,
    /// A second was closed.
    closed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// What is watched now or has something left to tell.
    watching: Vec<Kept>,
    waiting: VecDeque<Vec<ArmCounts>>,
    dropped: u64,
}

#[derive(Debug)]
struct Kept {
    watching: Arc<Watching>,
    is_watched: bool,
}

/// The watched flags of a ruleset, by their counters.
#[derive(Debug, Default)]
pub(crate) struct Watched(Box<[(Range<u32>, Arc<Watching>)]>);

/// Seconds that are told together.
#[derive(Debug, Default)]
pub(crate) struct Seconds {
    seconds: VecDeque<Vec<ArmCounts>>,
    /// How many were dropped before them.
    pub(crate) dropped: u64,
}

impl Watched {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The flag that has this counter.
    pub(crate) fn find(&self, slot: u32) -> Option<&Arc<Watching>> {
        let index = self.0.partition_point(|(slots, _)| slots.end <= slot);
        self.0.get(index).filter(|(slots, _)| slots.contains(&slot)).map(|(_, watching)| watching)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Watching>> {
        self.0.iter().map(|(_, watching)| watching)
    }
}

impl Watching {
    pub(crate) fn flag(&self) -> &str {
        &self.flag
    }

    /// The application tells of an event of a unit, outside of any scope.
    pub(crate) fn track(&self, arm: Arm, unit: Option<u64>, name: &str, value: f64) {
        self.credit_event(arm, unit, name, scope::finite(value));
    }

    fn is_of(&self, incarnation: u64, flag: &FlagView<'_>) -> bool {
        self.incarnation == incarnation && *self.flag == *flag.key() && Some(&self.watch) == flag.watch()
    }
}

impl Outcomes {
    /// A client's, if it reports.
    pub(crate) fn new(is_wanted: bool) -> Self {
        static CLIENTS: AtomicU64 = AtomicU64::new(0);
        Self { owner: CLIENTS.fetch_add(1, Relaxed), is_wanted, state: Mutex::default(), closed: Notify::new() }
    }

    /// Watches what a ruleset that is going to be served watches.
    pub(crate) fn watch(&self, ruleset: &Ruleset) -> Watched {
        let mut watched = Vec::new();
        if !self.is_wanted {
            return Watched::default();
        }
        let incarnation = ruleset.identity().incarnation;
        let mut state = self.state();
        // Revisions of another incarnation may mean something else.
        state.watching.retain(|kept| kept.watching.incarnation == incarnation);
        state.watching.iter_mut().for_each(|kept| kept.is_watched = false);
        for flag in ruleset.flags() {
            let Some(watch) = flag.watch() else { continue };
            let watching = match state.watching.iter_mut().find(|kept| kept.watching.is_of(incarnation, &flag)) {
                Some(kept) => {
                    kept.is_watched = true;
                    Arc::clone(&kept.watching)
                }
                None => {
                    let watching = Arc::new(Watching::new(self.owner, incarnation, flag.key(), watch));
                    state.watching.push(Kept { watching: Arc::clone(&watching), is_watched: true });
                    watching
                }
            };
            let variants = u32::try_from(flag.variants().count()).unwrap_or(u32::MAX);
            watched.push((flag.slot()..flag.slot().saturating_add(variants), watching));
        }
        watched.sort_unstable_by_key(|(slots, _)| slots.start);
        Watched(watched.into())
    }

    /// Closes a second after the other while something is watched. Never ends.
    pub(crate) async fn run(&self, mut news: watch::Receiver<impl Sized>) {
        loop {
            if self.state().watching.is_empty() {
                if news.changed().await.is_err() {
                    return std::future::pending().await;
                }
                continue;
            }
            let mut ticks = interval(SECOND);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks.tick().await;
            let mut second = 0_u32;
            while !self.state().watching.is_empty() {
                ticks.tick().await;
                second = second.wrapping_add(1);
                self.close_second(second.is_multiple_of(DISTINCT_EVERY));
            }
        }
    }

    /// Waits until a second is closed. One that was closed before counts, once.
    pub(crate) async fn second(&self) {
        self.closed.notified().await;
    }

    /// Ends the present second.
    pub(crate) fn close_second(&self, with_distinct: bool) {
        let mut state = self.state();
        let mut rows = Vec::new();
        state.watching.retain(|kept| {
            // Whoever still holds it may count on; so this is looked at before what was counted.
            let may_go = !kept.is_watched && Arc::strong_count(&kept.watching) == 1;
            let counted = kept.watching.close_second(with_distinct);
            rows.extend(counted.into_iter().filter(|row| kept.is_watched || !row.is_zero()));
            !may_go
        });
        // What is not watched any more and only held, by a scope perhaps, is no reason to say something every second.
        if !rows.is_empty() {
            state.waiting.push_back(rows);
            state.drop_oldest();
            self.closed.notify_one();
        }
    }

    /// Takes the seconds that wait.
    pub(crate) fn take(&self) -> Seconds {
        let mut state = self.state();
        Seconds { seconds: std::mem::take(&mut state.waiting), dropped: std::mem::take(&mut state.dropped) }
    }

    /// They were not taken: they are told with those that came after them.
    pub(crate) fn put_back(&self, mut seconds: Seconds) {
        let mut state = self.state();
        seconds.seconds.append(&mut state.waiting);
        state.waiting = seconds.seconds;
        state.dropped = state.dropped.saturating_add(seconds.dropped);
        state.drop_oldest();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn drop_oldest(&mut self) {
        while self.waiting.len() > MOST_WAITING {
            self.waiting.pop_front();
            self.dropped = self.dropped.saturating_add(1);
        }
    }
}

impl Seconds {
    /// Their sums, a row for each flag, rollout revision and arm.
    pub(crate) fn sum(&self) -> Vec<ArmCounts> {
        let mut sums: Vec<ArmCounts> = Vec::new();
        for row in self.seconds.iter().flatten() {
            match sums.iter_mut().find(|sum| sum.is_of(row)) {
                Some(sum) => sum.add(row),
                None => sums.push(row.clone()),
            }
        }
        sums
    }
}
