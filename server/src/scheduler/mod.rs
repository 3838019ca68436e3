//! Wakes releases that are due, tells the release kernel what is new, and commits what it says.
//!
//! Any number of nodes do this over one database, without leases: every node has every release in its memory and evaluates
//! it once a second; what changes something is evaluated again under the environment's lock, and one node wins. Nothing
//! that decides lives in one node alone: what SDKs report stands in rows that every node folds in the same order.

mod books;
mod follower;
mod hearing;
mod targetings;
mod transition;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use futures_util::future::join_all;
use prometheus_client::{metrics::counter::Counter, registry::Registry};
use storyflag_release::{
    evidence::Reading,
    machine::{CommandKind, Input},
    run::Run,
};
use tokio::{sync::Mutex, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

pub use self::{
    books::{Books, Carried, Entry, NodeHead, Seen, Stored, Written},
    follower::{Follower, Readings},
    hearing::Moment,
};
use crate::{
    app::{App, AppBooks, Ask, Place},
    error::Error,
    store::{ReleaseHead, ReleaseRow},
    telemetry::Sources,
};

/// How often time comes.
const TICK: Duration = Duration::from_secs(1);
/// Between two looks, however much is written.
const BREATH: Duration = Duration::from_millis(100);

/// Carries releases out. Cheap to clone.
#[derive(Clone)]
pub struct Scheduler {
    shared: Arc<Shared>,
}

struct Shared {
    app: App,
    sources: Sources,
    /// By the environment's row.
    followers: Mutex<HashMap<i64, Arc<Mutex<Follower<AppBooks>>>>>,
    metrics: Metrics,
}

#[derive(Clone, Default)]
struct Metrics {
    ticks: Counter,
    failures: Counter,
}

impl Scheduler {
    /// Begins, and goes on until `shutdown`.
    pub fn start(app: App, sources: Sources, shutdown: CancellationToken, registry: &mut Registry) -> Self {
        let metrics = Metrics::default();
        registry.register("storyflag_scheduler_ticks", "Looks at all releases under way", metrics.ticks.clone());
        registry.register(
            "storyflag_scheduler_failures",
            "Looks at an environment's releases that failed and are repeated",
            metrics.failures.clone(),
        );
        let scheduler = Self { shared: Arc::new(Shared { app, sources, followers: Mutex::default(), metrics }) };
        let own = scheduler.clone();
        tokio::spawn(async move { own.run(shutdown).await });
        scheduler
    }

    async fn run(&self, shutdown: CancellationToken) {
        let stirred = self.shared.app.stirred();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut moved = BTreeMap::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
                () = stirred.notified() => {}
            }
            self.tick(&mut moved).await;
            if shutdown.run_until_cancelled(tokio::time::sleep(BREATH)).await.is_none() {
                return;
            }
        }
    }

    /// Looks at every environment in which something is watched. `moved` has what each stood at when it was looked at last.
    async fn tick(&self, moved: &mut BTreeMap<i64, (u64, i64)>) {
        self.shared.metrics.ticks.inc();
        let store = self.shared.app.store();
        let heads = match store.release_heads().await {
            Ok(heads) => heads,
            // The hub says so already.
            Err(_) => {
                self.shared.metrics.failures.inc();
                return;
            }
        };
        let mut by_environment: BTreeMap<i64, Vec<ReleaseHead>> = BTreeMap::new();
        for head in heads {
            by_environment.entry(head.environment).or_default().push(head);
        }
        let mut followers = self.shared.followers.lock().await;
        followers.retain(|environment, _| by_environment.contains_key(environment));
        drop(followers);
        if by_environment.is_empty() {
            return self.shared.sources.want([]);
        }
        let Ok(environments) = store.heads().await else { return };
        // Side by side: one whose row somebody holds does not hold the others up.
        let looks = by_environment.into_iter().map(|(environment, heads)| {
            let stands = environments.iter().find(|head| head.id == environment).map(|head| (head.identity().revision, head.settings));
            let is_moved = stands.is_none() || moved.get(&environment).copied() != stands;
            async move { (environment, stands, self.look(environment, &heads, is_moved).await) }
        });
        let mut queries = BTreeSet::new();
        for (environment, stands, looked) in join_all(looks).await {
            match (looked, stands) {
                (Ok(asked), Some(stands)) => {
                    queries.extend(asked);
                    moved.insert(environment, stands);
                }
                (Ok(asked), None) => queries.extend(asked),
                (Err(error), _) => {
                    moved.remove(&environment);
                    self.shared.metrics.failures.inc();
                    tracing::warn!(%error, environment, "releases could not be carried on; they are looked at again");
                }
            }
        }
        self.shared.sources.want(queries.iter().map(String::as_str));
    }

    /// Looks at one environment; the queries that its releases ask of other sources.
    async fn look(&self, environment: i64, heads: &[ReleaseHead], is_moved: bool) -> Result<Vec<String>, Error> {
        let follower = self.follower(environment).await?;
        let mut follower = follower.lock().await;
        let done = follower.tick(heads, is_moved, &self.readings()).await;
        let queries = follower.list().flat_map(|stored| &stored.carried.queries).map(|(_, query)| query.clone()).collect();
        done.map(|()| queries)
    }

    /// What other sources answered last.
    fn readings(&self) -> impl Fn(&str) -> Option<Reading> + Sync {
        |query| self.shared.sources.latest(query)
    }

    async fn follower(&self, environment: i64) -> Result<Arc<Mutex<Follower<AppBooks>>>, Error> {
        let mut followers = self.shared.followers.lock().await;
        if let Some(follower) = followers.get(&environment) {
            return Ok(Arc::clone(follower));
        }
        let books = AppBooks::new(self.shared.app.clone(), &self.shared.app.place_of(environment).await?);
        let follower = Arc::new(Mutex::new(Follower::new(books)));
        followers.insert(environment, Arc::clone(&follower));
        Ok(follower)
    }

    /// Carries out what somebody asks of a release.
    ///
    /// # Errors
    /// 403, 404, 409, 412, 422, 428; the database away.
    pub async fn command(&self, ask: &Ask, place: &Place, key: &str, kind: CommandKind) -> Result<(ReleaseRow, Stored), Error> {
        let app = &self.shared.app;
        let row = app.find_release_row(place, key).await?;
        app.may_command(ask, place, &row, &kind)?;
        let needs_match = matches!(kind, CommandKind::Approve | CommandKind::Advance);
        if needs_match && ask.if_match.is_none() {
            let detail = format!("what you decide on must be what stands: send If-Match with the ETag of {key} as you read it");
            return Err(Error::PreconditionRequired(detail));
        }
        let heeds_match = needs_match || matches!(kind, CommandKind::Start { .. } | CommandKind::Resume);
        let matches = |number: u64| if heeds_match { ask.matches(i64::try_from(number).unwrap_or(i64::MAX)) } else { Ok(()) };
        let follower = self.follower(place.environment.id).await?;
        let mut follower = follower.lock().await;
        if matches!(kind, CommandKind::Advance) && !ask.force {
            app.refuse_frozen(place).await?;
        }
        if ask.dry_run {
            follower.look(row.head(), &self.readings()).await?;
            let stands = follower.find(key).map_or(row.number, |stored| stored.head.number);
            matches(u64::try_from(stands).unwrap_or_default())?;
            let stored = follower.would(row.id, &app.command_of(ask, kind))?;
            return Ok((row, stored));
        }
        let stored = follower.command(row.head(), &app.command_of(ask, kind), &matches, &self.readings()).await?;
        drop(follower);
        let row = app.find_release_row(place, key).await?;
        Ok((row, stored))
    }

    /// A release as this node has it in memory, which is fresher than its row.
    pub async fn find(&self, environment: i64, key: &str) -> Option<Stored> {
        let follower = self.shared.followers.lock().await.get(&environment).map(Arc::clone)?;
        let follower = follower.lock().await;
        follower.find(key).cloned()
    }
}

/// What the machine is told when somebody's own write changed the targeting.
pub(crate) fn machine_input(run: &Run, seen: &Seen) -> Input {
    Input { health: None, ..transition::input(run, seen, transition::News::default(), None) }
}
