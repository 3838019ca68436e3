//! Which scope a thread or a future runs in.

use std::{
    borrow::Cow,
    cell::RefCell,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use storyflag_evaluation::Arm;

#[cfg(feature = "tower")]
use super::Outcome;
use super::{
    Scope,
    scope::{State, Work},
    watching::Watching,
};

thread_local! {
    /// The work that this thread is doing.
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
}

/// Work that a thread may be doing.
pub(super) enum Current {
    /// Nobody else knows of it: it needs neither a count nor a lock. It goes into the thread and back at every poll, so it is
    /// behind a pointer: copies of what was just written cost more than a short-lived allocation.
    #[cfg_attr(not(feature = "tower"), allow(dead_code, reason = "the layer's"))]
    Own(Box<Work>),
    /// Somebody has, or had, a clone.
    Shared(Scope),
}

impl Current {
    /// Shares it from now on.
    fn share(self) -> Scope {
        match self {
            Self::Own(work) => Scope::of(*work),
            Self::Shared(scope) => scope,
        }
    }

    /// The work has ended.
    #[cfg(feature = "tower")]
    pub(super) fn finish(&mut self, outcome: Outcome) {
        match self {
            Self::Own(work) => work.finish(outcome),
            Self::Shared(scope) => scope.finish(outcome),
        }
    }
}

/// The scope of this thread.
pub(super) fn scope() -> Option<Scope> {
    let share = |current: &RefCell<Option<Current>>| {
        let mut current = current.try_borrow_mut().ok()?;
        let scope = current.take()?.share();
        *current = Some(Current::Shared(scope.clone()));
        Some(scope)
    };
    CURRENT.try_with(share).ok().flatten()
}

/// The thread is in a scope for as long as this lives.
pub(super) struct Entered {
    previous: Option<Current>,
    /// It belongs to this thread.
    not_send: PhantomData<*const ()>,
}

impl Entered {
    pub(super) fn new(scope: &Scope) -> Self {
        Self { previous: replace(Some(Current::Shared(scope.clone()))), not_send: PhantomData }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        // Dropped outside the thread's cell: the last clone of a scope counts as it goes.
        drop(replace(self.previous.take()));
    }
}

/// The same for work that its owner keeps: it moves into the thread and back.
#[cfg(feature = "tower")]
pub(super) struct Lent<'a> {
    owner: &'a mut Option<Current>,
    previous: Option<Current>,
    /// The thread was unwinding before: another's panic.
    was_panicking: bool,
    not_send: PhantomData<*const ()>,
}

#[cfg(feature = "tower")]
impl<'a> Lent<'a> {
    pub(super) fn new(owner: &'a mut Option<Current>) -> Self {
        let previous = replace(owner.take());
        Self { owner, previous, was_panicking: std::thread::panicking(), not_send: PhantomData }
    }
}

#[cfg(feature = "tower")]
impl Drop for Lent<'_> {
    fn drop(&mut self) {
        *self.owner = replace(self.previous.take());
        // A future lives on after a panic, until whoever caught it drops it: so the panic is told here.
        if std::thread::panicking()
            && !self.was_panicking
            && let Some(work) = self.owner
        {
            work.finish(Outcome::Error);
        }
    }
}

fn replace(work: Option<Current>) -> Option<Current> {
    // A thread that is being torn down is in no scope.
    CURRENT.try_with(|current| current.try_borrow_mut().map_or(None, |mut current| std::mem::replace(&mut *current, work))).ok().flatten()
}

pin_project! {
    /// A future that runs in a scope; see [`Scope::run`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct InScope<F> {
        #[pin]
        future: F,
        scope: Scope,
    }
}

impl<F> InScope<F> {
    pub(super) fn new(future: F, scope: Scope) -> Self {
        Self { future, scope }
    }
}

impl<F: Future> Future for InScope<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _entered = Entered::new(this.scope);
        this.future.poll(context)
    }
}

/// Tells the scope that this code runs in, if there is one, that something has happened; see [`Scope::track`].
pub fn track(name: impl Into<Cow<'static, str>>, value: f64) {
    if !CURRENT.try_with(|current| current.try_borrow().is_ok_and(|current| current.is_some())).unwrap_or(false) {
        return;
    }
    let name = name.into();
    in_current(|state| state.track(name, value));
}

/// Remembers an evaluation in the scope that this code runs in. `what` is asked only if there is one.
pub(crate) fn remember<'a>(what: impl FnOnce() -> Option<(&'a Arc<Watching>, Arm, Option<u64>)>) {
    in_current(|state| {
        if let Some((watching, arm, unit)) = what() {
            state.remember(watching, arm, unit);
        }
    });
}

/// Does something with what the thread's scope remembers, if there is one. It must not come back here.
fn in_current(what: impl FnOnce(&mut State)) {
    let _ = CURRENT.try_with(|current| {
        let Ok(mut current) = current.try_borrow_mut() else { return };
        match &mut *current {
            Some(Current::Own(work)) => what(work.own()),
            Some(Current::Shared(scope)) => what(&mut scope.state()),
            None => {}
        }
    });
}
