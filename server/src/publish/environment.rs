//! What one environment serves, in memory.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use storyflag_evaluation::{Identity, ItemKind, Ruleset};
use tokio::sync::watch;

use super::{
    derive::{Outcome, Revision, compile, derive},
    frame,
    items::{CommittedItem, Items},
    lists::Lists,
    ring::{Ring, Step},
    whole::Whole,
};
use crate::store::Loaded;

/// Revisions that were told before the one that comes before them. Beyond these the database is asked.
const EARLY: usize = 64;

/// What one environment serves. Reading it takes no lock.
pub struct Environment {
    id: i64,
    ruleset: ArcSwap<Ruleset>,
    /// Wakes every stream.
    latest: watch::Sender<Arc<Latest>>,
    state: Mutex<State>,
    /// Locked before `state`, never after it.
    whole: Mutex<Option<Arc<Whole>>>,
    lists: Lists,
}

/// What a stream needs when it is up to date but for one revision, as almost all are.
pub(super) struct Latest {
    pub(super) identity: Identity,
    pub(super) heartbeat: Bytes,
    step: Option<Step>,
}

struct State {
    identity: Identity,
    items: Arc<Items>,
    ring: Ring,
    early: BTreeMap<u64, (Identity, Vec<CommittedItem>)>,
}

/// What a stream sends next.
pub(super) enum Next {
    /// It is where it should be.
    Nothing,
    /// This, and then it stands there.
    Send(Identity, Bytes),
}

impl Environment {
    pub(super) fn new(loaded: Loaded) -> Self {
        let (id, identity) = (loaded.head.id, loaded.head.identity());
        let ruleset = compile(&loaded, None);
        let items = Arc::new(Items::new(loaded.flags, loaded.cohorts));
        let latest = Latest { identity, heartbeat: frame::heartbeat(identity), step: None };
        Self {
            id,
            ruleset: ArcSwap::from_pointee(ruleset),
            latest: watch::Sender::new(Arc::new(latest)),
            state: Mutex::new(State { identity, items, ring: Ring::default(), early: BTreeMap::new() }),
            whole: Mutex::new(None),
            lists: Lists::default(),
        }
    }

    /// Its row.
    pub fn id(&self) -> i64 {
        self.id
    }

    /// What evaluates here.
    pub fn ruleset(&self) -> Arc<Ruleset> {
        self.ruleset.load_full()
    }

    /// Which ruleset is served.
    pub fn identity(&self) -> Identity {
        self.latest.borrow().identity
    }

    /// Waits until this pair or a higher one is served; false if that takes longer than `patience`.
    pub async fn reached(&self, identity: Identity, patience: Duration) -> bool {
        let mut latest = self.latest.subscribe();
        let reached = latest.wait_for(|latest| latest.identity.pair() >= identity.pair());
        matches!(tokio::time::timeout(patience, reached).await, Ok(Ok(_)))
    }

    /// Everything at the present revision, encoded once.
    pub fn whole(&self) -> Arc<Whole> {
        let mut whole = lock(&self.whole);
        let (identity, items) = self.present();
        match &*whole {
            Some(whole) if whole.identity() == identity => Arc::clone(whole),
            _ => Arc::clone(whole.insert(Arc::new(Whole::encode(identity, &items)))),
        }
    }

    /// Everything at a recent revision, at least at `sent`, from which the ring leads on: many who lag behind while much
    /// is written share one encoding.
    fn recent_whole(&self, sent: Identity) -> Arc<Whole> {
        let cached = lock(&self.whole).clone().filter(|whole| {
            let state = lock(&self.state);
            let enough = sent.incarnation != state.identity.incarnation || whole.identity().pair() >= sent.pair();
            enough && state.ring.bytes_after(whole.identity()).is_some_and(|behind| behind <= whole.body().len() / 4)
        });
        cached.unwrap_or_else(|| self.whole())
    }

    fn present(&self) -> (Identity, Arc<Items>) {
        let state = lock(&self.state);
        (state.identity, Arc::clone(&state.items))
    }

    /// What a stream that stands at `sent` sends next.
    pub(super) fn next(&self, sent: Option<Identity>, latest: &Latest) -> Next {
        let head = latest.identity;
        let Some(sent) = sent else {
            // Somebody may ask for the whole because what it has is wrong: nothing but the head is surely not lower.
            let whole = self.whole();
            return Next::Send(whole.identity(), whole.event());
        };
        let is_ahead = |of: Identity| sent.incarnation == of.incarnation && sent.revision > of.revision;
        // Either this node is behind, or the database went back: nothing lower is ever told as news.
        if sent == head || is_ahead(head) {
            return Next::Nothing;
        }
        if let Some(step) = latest.step.as_ref().filter(|step| step.from == sent) {
            return Next::Send(step.to, step.event.clone());
        }
        if let Some(step) = lock(&self.state).ring.after(sent) {
            return Next::Send(step.to, step.event.clone());
        }
        let whole = self.recent_whole(sent);
        // It may have gone back between the two looks.
        if is_ahead(whole.identity()) { Next::Nothing } else { Next::Send(whole.identity(), whole.event()) }
    }

    /// What a write made, as it was committed.
    pub(super) fn offer(&self, identity: Identity, items: Vec<CommittedItem>) -> Outcome {
        let mut state = lock(&self.state);
        let served = state.identity;
        if identity.incarnation != served.incarnation {
            return if identity.incarnation < served.incarnation { Outcome::Old } else { Outcome::Astray };
        }
        if identity.revision <= served.revision {
            return if identity.revision == served.revision && identity != served { Outcome::Astray } else { Outcome::Old };
        }
        if identity.revision != served.revision.saturating_add(1) {
            // Two writers' answers overtook one another.
            if state.early.len() < EARLY {
                state.early.insert(identity.revision, (identity, items));
            }
            return Outcome::Early;
        }
        let mut outcome = self.apply(&mut state, &[Revision { revision: identity.revision, items }], identity);
        while outcome == Outcome::Applied {
            let next = state.identity.revision.saturating_add(1);
            let Some((identity, items)) = state.early.remove(&next) else { break };
            if identity.incarnation == state.identity.incarnation {
                outcome = self.apply(&mut state, &[Revision { revision: next, items }], identity);
            }
        }
        outcome
    }

    /// What history tells after the revision that is served, up to `head`.
    pub(super) fn catch_up(&self, mut revisions: Vec<Revision>, head: Identity) -> Outcome {
        let mut state = lock(&self.state);
        let served = state.identity;
        if head == served || (head.incarnation == served.incarnation && head.revision < served.revision) {
            return Outcome::Old;
        }
        // A publication may have come first.
        revisions.retain(|revision| revision.revision > served.revision && revision.revision <= head.revision);
        let expected = served.revision.saturating_add(1)..=head.revision;
        if head.incarnation != served.incarnation || !revisions.iter().map(|revision| revision.revision).eq(expected) {
            return Outcome::Astray;
        }
        self.apply(&mut state, &revisions, head)
    }

    /// All or nothing: the digest must be right afterwards.
    fn apply(&self, state: &mut State, revisions: &[Revision], head: Identity) -> Outcome {
        let mut undo = Vec::new();
        let mut steps = Vec::with_capacity(revisions.len());
        let mut from = state.identity;
        let items = Arc::make_mut(&mut state.items);
        for revision in revisions {
            for item in &revision.items {
                let before = items.set(item.kind, &item.key, item.after.clone());
                undo.push((item.kind, &item.key, before));
            }
            let to = Identity { incarnation: head.incarnation, revision: revision.revision, digest: items.digest() };
            steps.push((from, to, &revision.items));
            from = to;
        }
        let ruleset = if from == head { derive(&self.ruleset(), revisions, head) } else { None };
        let Some(ruleset) = ruleset else {
            for (kind, key, before) in undo.into_iter().rev() {
                items.set(kind, key, before);
            }
            return Outcome::Astray;
        };
        for (from, to, items) in steps {
            state.ring.push(Step { from, to, event: frame::change(from.revision, to, items) });
        }
        self.show(state, ruleset, head);
        for item in revisions.iter().flat_map(|revision| &revision.items) {
            if item.kind == ItemKind::Cohort && item.after.is_none() {
                self.lists.forget(&item.key);
            }
        }
        Outcome::Applied
    }

    /// Takes the whole as it was read, if what is served is still `expected` or older. False if it is not taken.
    pub(super) fn replace(&self, loaded: Loaded, expected: Identity) -> bool {
        let identity = loaded.head.identity();
        let ruleset = compile(&loaded, Some(&self.ruleset()));
        let items = Items::new(loaded.flags, loaded.cohorts);
        let mut state = lock(&self.state);
        if state.identity == identity || (state.identity != expected && state.identity.pair() >= identity.pair()) {
            return false;
        }
        state.items = Arc::new(items);
        state.ring.clear();
        state.early.retain(|_, (early, _)| early.incarnation == identity.incarnation);
        self.show(&mut state, ruleset, identity);
        true
    }

    fn show(&self, state: &mut State, ruleset: Ruleset, identity: Identity) {
        state.identity = identity;
        while state.early.first_entry().is_some_and(|entry| *entry.key() <= identity.revision) {
            state.early.pop_first();
        }
        self.ruleset.store(Arc::new(ruleset));
        // The ring's last step leads here, or there is none.
        let step = state.ring.last().filter(|step| step.to == identity).cloned();
        self.latest.send_replace(Arc::new(Latest { identity, heartbeat: frame::heartbeat(identity), step }));
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Arc<Latest>> {
        self.latest.subscribe()
    }

    /// Lets every stream look around: its key may be revoked, or the node may drain.
    pub(super) fn wake(&self) {
        self.latest.send_modify(|_| {});
    }

    /// The bytes of a cohort's list, if they are in memory.
    pub fn list(&self, cohort: &str, digest: &str) -> Option<Bytes> {
        self.lists.find(cohort, digest)
    }

    /// Whether a cohort of this name is served.
    pub fn has_cohort(&self, cohort: &str) -> bool {
        lock(&self.state).items.text(ItemKind::Cohort, cohort).is_some()
    }

    /// A list that was read; false if it is not what its digest says.
    pub(super) fn put_list(&self, cohort: &str, digest: &str, bytes: Bytes) -> bool {
        let Some(list) = self.lists.put(cohort, digest, bytes) else { return false };
        // Under the lock, so that no change is lost between load and store.
        let _state = lock(&self.state);
        self.ruleset.store(Arc::new(self.ruleset().with_list(cohort, digest, list)));
        true
    }
}

/// What a thread that panicked left half done has another digest than it should, and is read anew.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
