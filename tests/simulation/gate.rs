//! Where futures stop: before every operation, so that whoever drives them can let another one go first, or drop them there.

use std::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll},
};

/// What a task is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Op {
    Heads,
    Load,
    Nodes,
    Rows,
    Targetings,
    Freezes,
    Snapshot,
    Unwatch,
    Begin,
    Lock,
    Head,
    Targeting,
    Write,
    Record,
    Tell,
    Replace,
    Commit,
    /// It is committed, and whoever did it does not know yet.
    Committed,
    Edit,
}

pub(crate) const OPS: [Op; 19] = [
    Op::Heads,
    Op::Load,
    Op::Nodes,
    Op::Rows,
    Op::Targetings,
    Op::Freezes,
    Op::Snapshot,
    Op::Unwatch,
    Op::Begin,
    Op::Lock,
    Op::Head,
    Op::Targeting,
    Op::Write,
    Op::Record,
    Op::Tell,
    Op::Replace,
    Op::Commit,
    Op::Committed,
    Op::Edit,
];

/// One for all tasks of a world: they are polled one at a time.
#[derive(Debug, Default)]
pub(crate) struct Gate(AtomicUsize);

impl Gate {
    /// Stops once.
    pub(crate) fn pass(&self, op: Op) -> Pass<'_> {
        Pass { gate: self, op, passed: false }
    }

    /// Before what the task that was just polled has stopped, if it has stopped here.
    pub(crate) fn stopped(&self) -> Option<Op> {
        OPS.get(self.0.swap(0, Ordering::Relaxed).wrapping_sub(1)).copied()
    }
}

pub(crate) struct Pass<'g> {
    gate: &'g Gate,
    op: Op,
    passed: bool,
}

impl Future for Pass<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.passed {
            return Poll::Ready(());
        }
        self.passed = true;
        self.gate.0.store(self.op as usize + 1, Ordering::Relaxed);
        Poll::Pending
    }
}

/// Where a task is after it was let go on.
pub(crate) enum Went<T> {
    /// Before this.
    Stopped(Op),
    /// At its end.
    Done(T),
}

/// Lets a task go on to its next stop. What it waits for in between (a real database) is waited for.
pub(crate) async fn go_on<T>(gate: &Gate, task: &mut Pin<Box<dyn Future<Output = T>>>) -> Went<T> {
    std::future::poll_fn(|context| match task.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Went::Done(done)),
        Poll::Pending => match gate.stopped() {
            Some(op) => Poll::Ready(Went::Stopped(op)),
            None => Poll::Pending,
        },
    })
    .await
}
