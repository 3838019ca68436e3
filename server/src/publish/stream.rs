//! One client's stream: it knows only what it sent last, and asks the environment what comes next.
//!
//! There is no queue. Whoever reads slowly finds the shared encodings of what it missed, or the whole; what a stream
//! holds is the same at all times.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, stream};
use storyflag_evaluation::Identity;
use tokio::{
    sync::watch,
    time::{Duration, Instant, timeout_at},
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
    heartbeat_at: Instant,
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
        Self { hub: Arc::clone(hub), environment, key, latest, sent: applied, heartbeat_at: Instant::now(), ended: false, _open: open }
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
            let now = Instant::now();
            if now >= self.heartbeat_at {
                self.heartbeat_at = after(now, self.hub.options.heartbeat);
                return Some(latest.heartbeat.clone());
            }
            if let Ok(Err(_)) = timeout_at(self.heartbeat_at, self.latest.changed()).await {
                return None;
            }
        }
    }
}

fn after(now: Instant, pause: Duration) -> Instant {
    now.checked_add(pause).unwrap_or(now)
}
