//! One client's stream: it knows only what it sent last, and asks the environment what comes next.
//!
//! There is no queue. Whoever reads slowly finds the shared encodings of what it missed, or the whole; what a stream
//! holds is the same at all times.

use std::{pin::Pin, sync::Arc};

use bytes::Bytes;
use futures_util::{Stream, stream};
use storyflag_evaluation::Identity;
use tokio::{
    select,
    sync::watch,
    time::{Duration, Instant, Sleep, sleep_until},
};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::{
    environment::{Environment, Latest, Next},
    hub::Shared,
    keys::KeyScope,
};

/// An open stream.
pub(super) struct Feed {
    hub: Arc<Shared>,
    environment: Arc<Environment>,
    key: KeyScope,
    latest: watch::Receiver<Arc<Latest>>,
    sent: Option<Identity>,
    /// Rings when the next heartbeat is due. It is kept, since setting a timer anew for each change would cost more than
    /// the change.
    heartbeat: Pin<Box<Sleep>>,
    ended: bool,
    _open: Open,
}

/// Counted while it lives.
struct Open {
    hub: Arc<Shared>,
    _token: TaskTrackerToken,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.hub.metrics.streams.dec();
    }
}

impl Feed {
    pub(super) fn open(hub: &Arc<Shared>, environment: Arc<Environment>, key: KeyScope, applied: Option<Identity>) -> Self {
        hub.metrics.streams.inc();
        let latest = environment.subscribe();
        let open = Open { hub: Arc::clone(hub), _token: hub.streams.token() };
        // The first heartbeat comes as soon as everything is said.
        let now = Instant::now();
        // Timers ring late by up to a millisecond or two, and this one should not.
        let heartbeat = Box::pin(sleep_until(now.checked_sub(Duration::from_millis(2)).unwrap_or(now)));
        Self { hub: Arc::clone(hub), environment, key, latest, sent: applied, heartbeat, ended: false, _open: open }
    }

    pub(super) fn events(self) -> impl Stream<Item = Bytes> + Send + 'static {
        stream::unfold(self, |mut feed| async { feed.next().await.map(|event| (event, feed)) })
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let latest = Arc::clone(&self.latest.borrow_and_update());
            if self.ended || self.key.is_revoked() {
                return None;
            }
            if let Some(goodbye) = self.hub.goodbye.get() {
                self.ended = true;
                return Some(goodbye.clone());
            }
            if let Next::Send(identity, event) = self.environment.next(self.sent, &latest) {
                self.sent = Some(identity);
                return Some(event);
            }
            select! {
                biased;
                changed = self.latest.changed() => changed.ok()?,
                () = &mut self.heartbeat => {
                    self.heartbeat.as_mut().reset(after(Instant::now(), self.hub.options.heartbeat));
                    return Some(latest.heartbeat.clone());
                }
            }
        }
    }
}

fn after(now: Instant, pause: Duration) -> Instant {
    now.checked_add(pause).unwrap_or(now)
}
