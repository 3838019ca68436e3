//! Reads the heads of all environments once a second, always, and takes from the database what this node lacks.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};

use futures_util::{StreamExt, stream};
use storyflag_evaluation::{Identity, ItemKind};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::{
    bus::BusStatus,
    claims::contradicts,
    derive::{Outcome, Revision},
    environment::Environment,
    hub::Shared,
    items::CommittedItem,
};
use crate::store::{ChangeRow, Head, StoreError};

/// Who is further behind reads the whole.
const FURTHEST_BEHIND: u64 = 1_024;
/// Who lacks more bytes than this, too.
const MOST_HISTORY: usize = 8 * 1_024 * 1_024;
/// Rows of history that are read at a time; a revision is never cut.
const PAGE: i64 = 256;
/// How many environments are read at a time.
const AT_ONCE: usize = 4;

pub(super) struct Follower {
    shared: Arc<Shared>,
    /// The counters of settings for which keys were last read.
    settings: HashMap<i64, i64>,
}

impl Follower {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, settings: HashMap::new() }
    }

    pub(super) async fn run(mut self, shutdown: CancellationToken) {
        let shared = Arc::clone(&self.shared);
        // The first round is over when the hub has started.
        let first = Instant::now().checked_add(shared.options.follow).unwrap_or_else(Instant::now);
        let mut ticks = interval_at(first, shared.options.follow);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let work = async {
            loop {
                tokio::select! {
                    _ = ticks.tick() => {}
                    () = shared.follow.notified() => {}
                }
                let outcome = self.round().await;
                let up = !matches!(outcome, Err(StoreError::Unavailable(_)));
                shared.metrics.database_up.set(i64::from(up));
                shared.metrics.bus_up.set(i64::from(shared.bus.status() != BusStatus::Down));
                let was_up = shared.database_up.swap(up, Ordering::Relaxed);
                match outcome {
                    Ok(()) if !was_up => tracing::info!("the database is back"),
                    Err(error) if was_up || up => tracing::warn!(%error, "the heads could not be followed: what is served stays"),
                    _ => {}
                }
            }
        };
        let _: Option<()> = shutdown.run_until_cancelled(work).await;
    }

    /// Reads the heads once, and acts on them.
    pub(super) async fn round(&mut self) -> Result<(), StoreError> {
        let asked = self.shared.asked.load(Ordering::SeqCst);
        let outcome = self.follow_all().await;
        self.shared.done.send_replace(asked);
        outcome
    }

    async fn follow_all(&mut self) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        // Both from before the heads are read: what is newer may rightly be above them.
        let served: HashMap<i64, Identity> = shared.environments.load().iter().map(|(id, served)| (*id, served.identity())).collect();
        let mut claims = shared.claims.take();
        let heads = match shared.store.heads().await {
            Ok(heads) => heads,
            Err(error) => {
                shared.claims.put_back(claims);
                return Err(error);
            }
        };
        let all = heads.iter().map(|head| {
            let mut witnesses = claims.remove(&head.id).unwrap_or_default();
            let before = served.get(&head.id).copied();
            witnesses.extend(before);
            follow(&shared, *head, before, witnesses)
        });
        let all: Vec<_> = all.collect();
        let environments = stream::iter(all).buffer_unordered(AT_ONCE).collect::<Vec<Result<(), StoreError>>>();
        // Beside one another: a revoked key does not wait for an environment that takes its time.
        let (outcomes, keys) = tokio::join!(environments, self.follow_keys(&heads));
        outcomes.into_iter().chain([keys]).collect()
    }

    async fn follow_keys(&mut self, heads: &[Head]) -> Result<(), StoreError> {
        let shared = &self.shared;
        let settings: HashMap<i64, i64> = heads.iter().map(|head| (head.id, head.settings)).collect();
        if !shared.keys_due.swap(false, Ordering::SeqCst) && settings == self.settings {
            return Ok(());
        }
        let rows = match shared.store.list_live_keys().await {
            Ok(rows) => rows,
            Err(error) => {
                shared.keys_due.store(true, Ordering::SeqCst);
                return Err(error);
            }
        };
        self.settings = settings;
        let (keys, revoked) = shared.keys.load().renew(rows);
        shared.keys.store(Arc::new(keys));
        for id in revoked {
            if let Some(environment) = shared.environments.load().get(&id) {
                environment.wake();
            }
        }
        Ok(())
    }
}

/// Brings one environment to its head. `before` is what was served before the head was read.
async fn follow(shared: &Arc<Shared>, head: Head, before: Option<Identity>, witnesses: Vec<Identity>) -> Result<(), StoreError> {
    let identity = head.identity();
    if !head.regressed && witnesses.iter().any(|witness| contradicts(*witness, identity)) {
        match shared.store.mark_regressed(head.id, identity).await {
            Ok(true) => {
                shared.metrics.regressed.inc();
                tracing::warn!(environment = head.id, %identity, "the database went back: the next write begins a new incarnation");
            }
            Ok(false) => {}
            // News does not wait for that, and who saw it is heard again.
            Err(error) => {
                tracing::warn!(environment = head.id, %error, "the database went back, which could not be marked yet");
                witnesses
                    .into_iter()
                    .filter(|witness| contradicts(*witness, identity))
                    .for_each(|witness| shared.claims.hold(head.id, witness));
            }
        }
    }
    let environment = shared.environments.load().get(&head.id).cloned();
    let (Some(environment), Some(before)) = (environment, before) else { return load(shared, head.id).await };
    if before == identity || environment.identity() == identity {
        if environment.ruleset().missing_lists().next().is_some() {
            shared.fetch.notify_one();
        }
        return Ok(());
    }
    if let Some(revisions) = history(shared, head.id, before, identity).await? {
        match environment.catch_up(revisions, identity) {
            Outcome::Applied => {
                shared.metrics.followed.inc();
                shared.shown(head.id);
                return Ok(());
            }
            Outcome::Old | Outcome::Early => return Ok(()),
            Outcome::Astray => shared.metrics.astray.inc(),
        };
    }
    reload(shared, &environment, before).await
}

/// What history tells between two heads, unless the whole is as good.
async fn history(shared: &Shared, id: i64, from: Identity, to: Identity) -> Result<Option<Vec<Revision>>, StoreError> {
    let behind = to.revision.checked_sub(from.revision);
    if from.incarnation != to.incarnation || behind.is_none_or(|behind| behind > FURTHEST_BEHIND) {
        return Ok(None);
    }
    let (mut rows, mut bytes) = (Vec::new(), 0_usize);
    let Ok(mut revision) = i64::try_from(from.revision) else { return Ok(None) };
    while u64::try_from(revision).is_ok_and(|revision| revision < to.revision) {
        let page = shared.store.changes_since(id, revision, PAGE).await?;
        let Some(last) = page.last().and_then(|row| row.revision) else { break };
        bytes = page.iter().filter_map(|row| row.after.as_ref()).map(String::len).fold(bytes, usize::saturating_add);
        if bytes > MOST_HISTORY {
            return Ok(None);
        }
        revision = last;
        rows.extend(page);
    }
    Ok(Some(revisions(rows)))
}

/// An environment that is new to this node.
async fn load(shared: &Arc<Shared>, id: i64) -> Result<(), StoreError> {
    let Some(loaded) = shared.store.load_environment(id).await? else { return Ok(()) };
    let Some(environment) = on_a_thread(move || Environment::new(loaded)).await else { return Ok(()) };
    let environment = Arc::new(environment);
    tell_of_faults(&environment);
    shared.environments.rcu(|environments| {
        let mut environments = HashMap::clone(environments);
        environments.entry(id).or_insert_with(|| Arc::clone(&environment));
        environments
    });
    shared.shown(id);
    Ok(())
}

/// The whole of an environment that this node has otherwise.
async fn reload(shared: &Arc<Shared>, environment: &Arc<Environment>, expected: Identity) -> Result<(), StoreError> {
    let Some(loaded) = shared.store.load_environment(environment.id()).await? else { return Ok(()) };
    shared.metrics.reloaded.inc();
    let replaced = Arc::clone(environment);
    if on_a_thread(move || replaced.replace(loaded, expected)).await == Some(true) {
        tell_of_faults(environment);
        shared.shown(environment.id());
    }
    Ok(())
}

/// Compiling thousands of flags takes a while: streams are served meanwhile.
async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

fn tell_of_faults(environment: &Environment) {
    let ruleset = environment.ruleset();
    if !ruleset.is_whole() {
        let (id, identity, digest) = (environment.id(), ruleset.identity(), ruleset.digest());
        tracing::error!(environment = id, %identity, "the items in the database have the digest {digest:016x}: SDKs refuse them");
    }
    for flag in ruleset.flags() {
        if let Some(why) = flag.unsupported() {
            tracing::warn!(environment = environment.id(), flag = flag.key(), why, "the flag is not understood by this version");
        }
    }
}

/// Rows of history, by revision. What is not an item is of no interest here, its revision is.
fn revisions(rows: Vec<ChangeRow>) -> Vec<Revision> {
    let mut revisions: Vec<Revision> = Vec::new();
    for row in rows {
        let Some(revision) = row.revision.and_then(|revision| u64::try_from(revision).ok()) else { continue };
        if revisions.last().is_none_or(|last| last.revision != revision) {
            revisions.push(Revision { revision, items: Vec::new() });
        }
        let kind = [ItemKind::Flag, ItemKind::Cohort].into_iter().find(|kind| kind.name() == row.kind);
        if let (Some(kind), Some(last)) = (kind, revisions.last_mut()) {
            last.items.push(CommittedItem { kind, key: row.key.into(), after: row.after.map(Into::into) });
        }
    }
    revisions
}

/// Fetches lists whenever some are missing.
pub(super) async fn fetch_lists_forever(shared: Arc<Shared>, shutdown: CancellationToken) {
    let work = async {
        loop {
            shared.fetch.notified().await;
            fetch_lists(&shared).await;
        }
    };
    let _: Option<()> = shutdown.run_until_cancelled(work).await;
}

/// Fetches the lists that are named and not there. What fails is tried again by a later round.
pub(super) async fn fetch_lists(shared: &Arc<Shared>) {
    for environment in shared.environments.load_full().values() {
        let ruleset = environment.ruleset();
        for (cohort, digest) in ruleset.missing_lists() {
            let bytes = match environment.list(cohort, digest) {
                Some(bytes) => Some(bytes),
                None => match shared.store.find_list(environment.id(), digest).await {
                    Ok(bytes) => bytes.map(Into::into),
                    Err(error) => return tracing::warn!(%error, "lists could not be read"),
                },
            };
            if bytes.is_some_and(|bytes| !environment.put_list(cohort, digest, bytes)) {
                tracing::error!(environment = environment.id(), cohort, digest, "the list is not what its digest says");
            }
        }
    }
}
