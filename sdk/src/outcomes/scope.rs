//! What belongs to one piece of work, such as a request: the watched flags that it asked for, and how it ended.

use std::{
    borrow::Cow,
    fmt,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use storyflag_evaluation::Arm;
use tokio::time::Instant;

use super::{
    Outcome,
    current::{self, Entered, InScope},
    watching::{Ended, Watching},
};

/// What one scope remembers at most of each kind: evaluations, and events.
const MOST: usize = 64;

/// One piece of work whose outcome counts for the watched flags that it asks for: a request, a job, a message.
///
/// With the `tower` feature, [`OutcomeLayer`](crate::OutcomeLayer) opens and finishes one for every request. Other code
/// does it by hand:
///
/// ```
/// use storyflag::{Client, Context, Outcome, Scope};
///
/// # let flags = Client::fixed([("US-125-invoices", true)]);
/// # fn send_invoice(_new: bool) -> Result<(), std::io::Error> { Ok(()) }
/// let scope = Scope::open();
/// let sent = scope.enter(|| send_invoice(flags.is_on("US-125-invoices", &Context::new("account-7"))));
/// scope.finish(if sent.is_ok() { Outcome::Success } else { Outcome::Error });
/// ```
///
/// Its clones are one scope. The first end counts; when the last clone is dropped without one, the work was
/// [`Outcome::Cancelled`], or an [`Outcome::Error`] if a panic dropped it. At most 64 evaluations are remembered.
#[derive(Clone)]
pub struct Scope {
    work: Arc<Work>,
}

/// What all clones share.
pub(super) struct Work {
    opened: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    /// Most ask for one watched flag and one unit: the first needs no allocation.
    first: Option<Asked>,
    rest: Option<Box<Rest>>,
    is_finished: bool,
}

/// What few scopes have: all others are made, moved and dropped without it.
#[derive(Default)]
struct Rest {
    more: Vec<Asked>,
    /// Told by the application before the end.
    events: Vec<(Cow<'static, str>, f64)>,
}

/// A watched flag that was asked for, for one unit.
struct Asked {
    watching: Arc<Watching>,
    arm: Arm,
    unit: Option<u64>,
}

impl Scope {
    /// Opens a scope: latency counts from now on.
    pub fn open() -> Self {
        Self::of(Work::begin())
    }

    pub(super) fn of(work: Work) -> Self {
        Self { work: Arc::new(work) }
    }

    /// The scope that this code runs in, to carry it to where it would not go by itself: a spawned task or a thread.
    ///
    /// ```
    /// # async fn work() {}
    /// # async fn handler() {
    /// match storyflag::Scope::current() {
    ///     Some(scope) => drop(tokio::spawn(scope.run(work()))),
    ///     None => drop(tokio::spawn(work())),
    /// }
    /// # }
    /// ```
    pub fn current() -> Option<Self> {
        current::scope()
    }

    /// Runs `work` in this scope. A scope inside another takes its place until it is left.
    pub fn enter<T>(&self, work: impl FnOnce() -> T) -> T {
        let _entered = Entered::new(self);
        work()
    }

    /// Runs a future in this scope, on whatever threads it is polled.
    pub fn run<F: Future>(&self, future: F) -> InScope<F> {
        InScope::new(future, self.clone())
    }

    /// The work has ended; it took the time since the scope was opened.
    pub fn finish(&self, outcome: Outcome) {
        self.work.state().finish(outcome, || self.work.opened.elapsed());
    }

    /// The work has ended and took so long. Only the first end counts; what is asked for afterwards does not, and events
    /// still do.
    pub fn finish_after(&self, outcome: Outcome, latency: Duration) {
        self.work.state().finish(outcome, || latency);
    }

    /// Something has happened in this scope that plans may watch: `purchase`, `sign_up`.
    ///
    /// It is counted for every watched flag that the scope asks for, whether before or after.
    pub fn track(&self, name: impl Into<Cow<'static, str>>, value: f64) {
        let name = name.into();
        self.work.state().track(name, value);
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.work.state()
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.work.state();
        formatter.debug_struct("Scope").field("asked", &state.asked().count()).field("is_finished", &state.is_finished).finish()
    }
}

impl Work {
    /// Latency counts from now on.
    pub(super) fn begin() -> Self {
        Self { opened: Instant::now(), state: Mutex::default() }
    }

    /// What is remembered, where nobody else has it: there is nothing to lock.
    pub(super) fn own(&mut self) -> &mut State {
        self.state.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The end, where nobody else has it.
    pub(super) fn finish(&mut self, outcome: Outcome) {
        let opened = self.opened;
        self.own().finish(outcome, || opened.elapsed());
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.finish(if thread::panicking() { Outcome::Error } else { Outcome::Cancelled });
    }
}

impl State {
    /// Something has happened that plans may watch.
    pub(super) fn track(&mut self, name: Cow<'static, str>, value: f64) {
        let value = finite(value);
        if self.is_finished {
            self.credit_events(&[(name, value)]);
        } else if self.rest().events.len() < MOST {
            self.rest().events.push((name, value));
        }
    }

    /// Remembers that a watched flag was asked for.
    pub(super) fn remember(&mut self, watching: &Arc<Watching>, arm: Arm, unit: Option<u64>) {
        let is_known = |asked: &Asked| Arc::ptr_eq(&asked.watching, watching) && asked.arm == arm && asked.unit == unit;
        if self.is_finished || self.asked().any(is_known) {
            return;
        }
        let asked = Asked { watching: Arc::clone(watching), arm, unit };
        if self.first.is_none() {
            self.first = Some(asked);
        } else if self.rest().more.len() < MOST.saturating_sub(1) {
            self.rest().more.push(asked);
        } else {
            watching.credit_overflow(arm, unit);
        }
    }

    /// Credits the end, if it is the first. The clock is read only where somebody wants to know.
    fn finish(&mut self, outcome: Outcome, latency: impl FnOnce() -> Duration) {
        if std::mem::replace(&mut self.is_finished, true) || self.first.is_none() {
            return;
        }
        let ended = Ended { outcome, latency: latency() };
        match (&self.first, &mut self.rest) {
            (Some(only), None) => only.watching.credit(only.arm, std::iter::once(only.unit), ended),
            (_, rest) => {
                let events = rest.as_mut().map(|rest| std::mem::take(&mut rest.events)).unwrap_or_default();
                self.credit(ended);
                self.credit_events(&events);
            }
        }
    }

    fn rest(&mut self) -> &mut Rest {
        self.rest.get_or_insert_default()
    }

    fn asked(&self) -> impl Iterator<Item = &Asked> {
        self.first.iter().chain(self.rest.iter().flat_map(|rest| &rest.more))
    }

    /// What was asked for of each flag: the first, and whether all the others agree with it.
    fn flags(&self) -> impl Iterator<Item = (&Asked, bool)> {
        let firsts = self.asked().enumerate().filter(|(index, asked)| !self.asked().take(*index).any(|earlier| earlier.is_of(asked)));
        firsts.map(|(_, first)| {
            let agrees = |asked: &Asked| !first.is_of(asked) || Arc::ptr_eq(&first.watching, &asked.watching) && first.arm == asked.arm;
            (first, self.asked().all(agrees))
        })
    }

    fn credit(&self, ended: Ended) {
        for (first, is_pure) in self.flags() {
            if is_pure {
                let units = self.asked().filter(|asked| first.is_of(asked)).map(|asked| asked.unit);
                first.watching.credit(first.arm, units, ended);
            } else {
                first.watching.credit_mixed(first.arm, first.unit);
            }
        }
    }

    /// An event counts once for each flag; where a flag was asked for several units, it is the first one's.
    fn credit_events(&self, events: &[(Cow<'static, str>, f64)]) {
        for (first, _) in self.flags().filter(|(_, is_pure)| *is_pure) {
            for (name, value) in events {
                first.watching.credit_event(first.arm, first.unit, name, *value);
            }
        }
    }
}

impl Asked {
    /// Whether both are of one client's flag, whichever revision its rollout had.
    fn is_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.watching, &other.watching)
            || self.watching.owner == other.watching.owner && self.watching.flag == other.watching.flag
    }
}

/// A value that JSON has; events are counted whatever their value.
pub(super) fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { 0.0 }
}
