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

use super::{Scope, watching::Watching};

thread_local! {
    /// The scope of what this thread is doing.
    static CURRENT: RefCell<Option<Scope>> = const { RefCell::new(None) };
}

/// The scope of this thread.
pub(super) fn scope() -> Option<Scope> {
    CURRENT.try_with(|current| current.try_borrow().ok()?.clone()).ok().flatten()
}

/// The thread is in a scope for as long as this lives.
pub(super) struct Entered {
    previous: Option<Scope>,
    /// It belongs to this thread.
    not_send: PhantomData<*const ()>,
}

impl Entered {
    pub(super) fn new(scope: &Scope) -> Self {
        Self { previous: replace(Some(scope.clone())), not_send: PhantomData }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        // Dropped outside the thread's cell: the last clone of a scope counts as it goes.
        drop(replace(self.previous.take()));
    }
}

/// The same without a clone: the scope moves into the thread and back to its owner.
#[cfg(feature = "tower")]
pub(super) struct Lent<'a> {
    owner: &'a mut Option<Scope>,
    previous: Option<Scope>,
    /// The thread was unwinding before: another's panic.
    was_panicking: bool,
    not_send: PhantomData<*const ()>,
}

#[cfg(feature = "tower")]
impl<'a> Lent<'a> {
    pub(super) fn new(owner: &'a mut Option<Scope>) -> Self {
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
            && let Some(scope) = self.owner
        {
            scope.finish(super::Outcome::Error);
        }
    }
}

fn replace(scope: Option<Scope>) -> Option<Scope> {
    // A thread that is being torn down is in no scope.
    CURRENT.try_with(|current| current.try_borrow_mut().map_or(None, |mut current| std::mem::replace(&mut *current, scope))).ok().flatten()
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
    if let Some(scope) = Scope::current() {
        scope.track(name, value);
    }
}

/// Remembers an evaluation in the scope that this code runs in. `what` is asked only if there is one.
pub(crate) fn remember<'a>(what: impl FnOnce() -> Option<(&'a Arc<Watching>, Arm, Option<u64>)>) {
    let _ = CURRENT.try_with(|current| {
        let Ok(current) = current.try_borrow() else { return };
        if let Some(scope) = &*current
            && let Some((watching, arm, unit)) = what()
        {
            scope.remember(watching, arm, unit);
        }
    });
}
