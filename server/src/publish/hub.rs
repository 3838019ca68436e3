//! The hub: everything that is served, and everybody who listens.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use prometheus_client::registry::Registry;
use storyflag_evaluation::Identity;
use tokio::sync::{Notify, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    admission::{self, Admission, Rate},
    bus::{Bus, BusStatus, News},
    claims::{Claims, contradicts},
    derive::Outcome,
    environment::Environment,
    follower::{self, Follower},
    frame,
    items::CommittedItem,
    keys::{KeyScope, Keys},
    metrics::{Metrics, OfEnvironment},
    stream::Feed,
};
use crate::store::{Store, StoreError};

/// How long [`Hub::refreshed`] waits at most.
const REFRESH_PATIENCE: Duration = Duration::from_secs(2);
/// How far the clocks of nodes may be apart.
const CLOCKS_APART_MS: i64 = 300_000;
/// How long [`Hub::drain`] waits for clients that do not read.
const DRAIN_PATIENCE: Duration = Duration::from_secs(10);

/// What can be set about publishing.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How often a stream says that it lives, and what the head is.
    pub heartbeat: Duration,
    /// How often the heads of all environments are read.
    pub follow: Duration,
    /// How fast new streams are let in.
    pub admission: Rate,
}

impl Default for Options {
    fn default() -> Self {
        Self { heartbeat: Duration::from_secs(5), follow: Duration::from_secs(1), admission: Rate::default() }
    }
}

/// What a write made of an environment.
#[derive(Debug, Clone)]
pub struct Committed {
    /// The environment's row.
    pub environment: i64,
    /// What it serves now.
    pub identity: Identity,
    /// What was done to which items.
    pub items: Vec<CommittedItem>,
}

/// A stream that was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// When to try again.
    pub retry_after: Duration,
}

/// Everything that is served. Cheap to clone.
#[derive(Clone)]
pub struct Hub {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) bus: Bus,
    pub(super) options: Options,
    pub(super) environments: ArcSwap<HashMap<i64, Arc<Environment>>>,
    pub(super) keys: ArcSwap<Keys>,
    pub(super) claims: Claims,
    pub(super) metrics: Metrics,
    admission: Admission,
    /// Wakes the follower.
    pub(super) follow: Notify,
    /// Wakes who fetches lists.
    pub(super) fetch: Notify,
    /// Keys are to be read again whatever the heads say.
    pub(super) keys_due: AtomicBool,
    /// Rounds of the follower that were asked for, and the last of them that is over.
    pub(super) asked: AtomicU64,
    pub(super) done: watch::Sender<u64>,
    pub(super) database_up: AtomicBool,
    pub(super) streams: TaskTracker,
    /// Set once, when the node drains.
    pub(super) goodbye: OnceLock<Bytes>,
}

impl Hub {
    /// Reads every environment and every live key, and begins to follow the database and the bus, until `shutdown`.
    ///
    /// # Errors
    /// The database away.
    pub async fn start(
        store: Store,
        bus: Bus,
        node: Arc<str>,
        options: Options,
        shutdown: CancellationToken,
        registry: &mut Registry,
    ) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared {
            store,
            bus,
            options,
            environments: ArcSwap::default(),
            keys: ArcSwap::default(),
            claims: Claims::default(),
            metrics: Metrics::register(registry),
            admission: Admission::new(options.admission, Instant::now()),
            follow: Notify::new(),
            fetch: Notify::new(),
            keys_due: AtomicBool::new(true),
            asked: AtomicU64::new(0),
            done: watch::Sender::new(0),
            database_up: AtomicBool::new(true),
            streams: TaskTracker::new(),
            goodbye: OnceLock::new(),
        });
        let mut follower = Follower::new(Arc::clone(&shared));
        follower.round().await?;
        follower::fetch_lists(&shared).await;
        let heard = Arc::clone(&shared);
        shared.bus.listen(node, shutdown.clone(), move |news| heard.hear(news));
        tokio::spawn(follower::fetch_lists_forever(Arc::clone(&shared), shutdown.clone()));
        tokio::spawn(follower.run(shutdown));
        Ok(Self { shared })
    }

    /// Shows what a write made, at once where it can be, and tells the other nodes. To be called after the commit and
    /// before the writer is answered; it waits for nothing.
    pub fn publish(&self, committed: &Committed) {
        let shared = &self.shared;
        let outcome = match self.environment(committed.environment) {
            Some(environment) => environment.offer(committed.identity, committed.items.clone()),
            None => Outcome::Astray,
        };
        match outcome {
            Outcome::Applied => shared.shown(committed.environment),
            Outcome::Old => {}
            Outcome::Early | Outcome::Astray => shared.follow.notify_one(),
        }
        shared.metrics.published.inc();
        shared.bus.announce(News::Head(committed.environment, committed.identity));
    }

    /// What an environment serves, by its row.
    pub fn environment(&self, id: i64) -> Option<Arc<Environment>> {
        self.shared.environments.load().get(&id).cloned()
    }

    /// Keys, settings or environments were changed here: they are read again now, here and on the other nodes.
    pub fn refresh(&self) {
        let _ = self.ask();
        self.shared.bus.announce(News::Settings);
    }

    /// The same, and waits until it is so on this node; at most two seconds.
    pub async fn refreshed(&self) {
        let asked = self.ask();
        self.shared.bus.announce(News::Settings);
        let mut done = self.shared.done.subscribe();
        let _ = tokio::time::timeout(REFRESH_PATIENCE, done.wait_for(|done| *done >= asked)).await;
    }

    fn ask(&self) -> u64 {
        self.shared.keys_due.store(true, Ordering::SeqCst);
        let asked = self.shared.asked.fetch_add(1, Ordering::SeqCst).saturating_add(1);
        self.shared.follow.notify_one();
        asked
    }

    /// Whose SDK key this is: by its SHA-256, in memory.
    pub fn find_key(&self, presented: &str) -> Option<KeyScope> {
        self.shared.keys.load().find(presented)
    }

    /// What a client says it runs. If that cannot be, it is held against the heads that are read next; confirmed, the
    /// environment is marked as regressed.
    pub fn claim(&self, environment: i64, claimed: Identity) {
        // An incarnation is the millisecond at which it was raised, so nobody honest runs one from the future.
        let newest = u64::try_from(jiff::Timestamp::now().as_millisecond().saturating_add(CLOCKS_APART_MS)).unwrap_or_default();
        if claimed.incarnation > newest {
            return;
        }
        if self.environment(environment).is_some_and(|served| contradicts(claimed, served.identity())) {
            self.shared.claims.hold(environment, claimed);
        }
    }

    /// The events for a client that runs `applied`, from now on and without end.
    ///
    /// # Errors
    /// When too many come at once, or this node drains.
    pub fn open(
        &self,
        key: KeyScope,
        applied: Option<Identity>,
    ) -> Result<impl Stream<Item = Result<Bytes, Infallible>> + Send + use<>, Refused> {
        let shared = &self.shared;
        let environment = self.environment(key.environment);
        let Some(environment) = environment.filter(|_| shared.goodbye.get().is_none() && shared.admission.admit(Instant::now())) else {
            shared.metrics.refused.inc();
            return Err(Refused { retry_after: admission::retry_after() });
        };
        shared.metrics.admitted.inc();
        if let Some(applied) = applied {
            self.claim(key.environment, applied);
        }
        Ok(Feed::open(shared, environment, key, applied).events().map(Ok))
    }

    /// How many streams are open.
    pub fn streams(&self) -> usize {
        self.shared.streams.len()
    }

    /// How the way to the other nodes is.
    pub fn bus(&self) -> BusStatus {
        self.shared.bus.status()
    }

    /// Whether the database answered when the heads were last read.
    pub fn database_up(&self) -> bool {
        self.shared.database_up.load(Ordering::Relaxed)
    }

    /// Says goodbye to every stream, with a window in which to come back elsewhere, and waits until all are closed, ten
    /// seconds at most. No stream is let in any more.
    pub async fn drain(&self, window: Duration) {
        let _ = self.shared.goodbye.set(frame::goodbye(window));
        self.shared.environments.load().values().for_each(|environment| environment.wake());
        self.shared.streams.close();
        let _ = tokio::time::timeout(DRAIN_PATIENCE, self.shared.streams.wait()).await;
    }
}

impl Shared {
    /// After an environment came to show something else.
    pub(super) fn shown(&self, environment: i64) {
        let Some(environment) = self.environments.load().get(&environment).cloned() else { return };
        let revision = i64::try_from(environment.identity().revision).unwrap_or(i64::MAX);
        self.metrics.head.get_or_create(&OfEnvironment { environment: environment.id() }).set(revision);
        if environment.ruleset().missing_lists().next().is_some() {
            self.fetch.notify_one();
        }
    }

    fn hear(&self, news: News) {
        let known = match news {
            News::Head(id, identity) => self.environments.load().get(&id).is_some_and(|served| served.identity() == identity),
            News::Settings => false,
        };
        if !known {
            self.follow.notify_one();
        }
    }
}
