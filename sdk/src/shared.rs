//! What a client and its task share: what is served, and how things stand.

use std::{sync::Arc, time::SystemTime};

use arc_swap::{ArcSwap, Guard};
use storyflag_evaluation::{Evaluation, EvaluationError, Identity, Ruleset, Value};
use tokio::sync::watch;

use crate::{
    Context,
    outcomes::{Outcomes, Watched, remember},
    problem::Problem,
    status::State,
    usage::Usage,
};

/// A ruleset and where its use is counted: all that an evaluation needs, behind one pointer.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) ruleset: Ruleset,
    /// Whether there is a ruleset at all.
    pub(crate) is_ready: bool,
    pub(crate) usage: Arc<Usage>,
    /// The flags whose outcomes are counted; almost always none.
    pub(crate) watched: Watched,
}

/// How things stand, beside what is served.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Condition {
    pub(crate) state: State,
    pub(crate) stale_since: Option<SystemTime>,
    /// Which endpoint is asked.
    pub(crate) endpoint: usize,
    pub(crate) last_error: Option<String>,
    /// Whether the network has answered with a ruleset since the start.
    pub(crate) has_answer: bool,
    /// Whether every endpoint has been tried in vain since the start.
    pub(crate) all_failed: bool,
    /// Lists that are named and not there.
    pub(crate) missing_lists: usize,
}

/// What changes when something else is served.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct News {
    pub(crate) identity: Option<Identity>,
    pub(crate) is_closed: bool,
}

/// One client's shared part.
#[derive(Debug)]
pub(crate) struct Shared {
    served: ArcSwap<Served>,
    usage: Arc<Usage>,
    outcomes: Outcomes,
    news: watch::Sender<News>,
    condition: watch::Sender<Condition>,
}

impl Shared {
    /// A client that has nothing to serve yet, and reports or does not.
    pub(crate) fn new(state: State, outcomes: Outcomes) -> Self {
        let usage = Arc::new(Usage::new());
        let nothing = Served { ruleset: Ruleset::empty(), is_ready: false, usage: Arc::clone(&usage), watched: Watched::default() };
        let condition =
            Condition { state, stale_since: None, endpoint: 0, last_error: None, has_answer: false, all_failed: false, missing_lists: 0 };
        Self {
            served: ArcSwap::from_pointee(nothing),
            usage,
            outcomes,
            news: watch::Sender::new(News::default()),
            condition: watch::Sender::new(condition),
        }
    }

    /// What is served now; it stays whole for as long as it is held.
    #[inline]
    pub(crate) fn served(&self) -> Guard<Arc<Served>> {
        self.served.load()
    }

    /// Serves this from now on.
    pub(crate) fn serve(&self, ruleset: Ruleset) {
        self.usage.learn(&ruleset);
        let (identity, missing) = (ruleset.identity(), ruleset.missing_lists().count());
        let watched = self.outcomes.watch(&ruleset);
        self.served.store(Arc::new(Served { ruleset, is_ready: true, usage: Arc::clone(&self.usage), watched }));
        self.change(|condition| condition.missing_lists = missing);
        self.news.send_modify(|news| news.identity = Some(identity));
    }

    /// Which ruleset is applied, if any.
    pub(crate) fn applied(&self) -> Option<Identity> {
        let served = self.served();
        served.is_ready.then(|| served.ruleset.identity())
    }

    /// The service has confirmed what is served, by this way.
    pub(crate) fn confirmed(&self, state: State) {
        let before = self.condition().state;
        self.change(|condition| {
            condition.state = state;
            condition.stale_since = None;
            condition.has_answer = true;
        });
        if before != state {
            tracing::info!(?state, applied = %self.applied().unwrap_or_default(), "storyflag: up to date");
        }
    }

    /// Nobody confirms what is served any more.
    pub(crate) fn stale(&self) {
        let state = if self.served().is_ready { State::Stale } else { State::NotReady };
        self.change(|condition| {
            condition.state = state;
            if state == State::Stale {
                condition.stale_since.get_or_insert_with(SystemTime::now);
            }
        });
    }

    /// Something has gone wrong that a person may want to know.
    pub(crate) fn tell(&self, problem: &Problem) {
        let text = problem.to_string();
        if self.condition.borrow().last_error.as_ref() == Some(&text) {
            tracing::debug!(%problem, "storyflag: the same again");
        } else {
            tracing::warn!(%problem, "storyflag: keeps what it has");
        }
        self.change(|condition| condition.last_error = Some(text));
    }

    /// The task has ended.
    pub(crate) fn closed(&self) {
        self.change(|condition| {
            condition.state = State::Closed;
            condition.stale_since.get_or_insert_with(SystemTime::now);
        });
        self.news.send_modify(|news| news.is_closed = true);
    }

    /// Changes how things stand. Nobody is woken where nothing changes, as with almost every ruleset.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Condition)) {
        self.condition.send_if_modified(|condition| {
            let before = condition.clone();
            change(condition);
            *condition != before
        });
    }

    /// How things stand.
    pub(crate) fn condition(&self) -> Condition {
        self.condition.borrow().clone()
    }

    /// To wait until things stand otherwise.
    pub(crate) fn watch_condition(&self) -> watch::Receiver<Condition> {
        self.condition.subscribe()
    }

    /// To wait until something else is served.
    pub(crate) fn watch_news(&self) -> watch::Receiver<News> {
        self.news.subscribe()
    }

    /// The counters.
    pub(crate) fn usage(&self) -> &Usage {
        &self.usage
    }

    /// What is counted for watched flags.
    pub(crate) fn outcomes(&self) -> &Outcomes {
        &self.outcomes
    }
}

impl Served {
    /// The value that the flag has for this context, if `read` takes it. Counted.
    #[inline]
    pub(crate) fn ask<'a, T>(&'a self, key: &str, context: &Context, read: impl FnOnce(&'a Value) -> Option<T>) -> Option<T> {
        let answer = self.ruleset.evaluate(key, context);
        if let (Some(value), Some(slot)) = (answer.value(), answer.slot()) {
            if let Some(value) = read(value) {
                self.usage.count(slot);
                self.remember(slot, &answer, context);
                return Some(value);
            }
            self.usage.count_error(EvaluationError::TypeMismatch);
            return None;
        }
        self.usage.count_error(self.error(answer.error()));
        None
    }

    /// Remembers the answer in the scope that this code runs in, if its flag is watched.
    #[inline]
    pub(crate) fn remember(&self, slot: u32, answer: &Evaluation<'_>, context: &Context) {
        if !self.watched.is_empty() {
            self.remember_watched(slot, answer, context);
        }
    }

    #[inline(never)]
    fn remember_watched(&self, slot: u32, answer: &Evaluation<'_>, context: &Context) {
        remember(|| Some((self.watched.find(slot)?, answer.arm(), answer.unit_hash(context))));
    }

    /// Counts an event of the context's unit for every watched flag, in the arm that the flag has it in.
    pub(crate) fn track(&self, context: &Context, name: &str, value: f64) {
        for watching in self.watched.iter() {
            let answer = self.ruleset.evaluate(watching.flag(), context);
            if answer.error().is_none() {
                watching.track(answer.arm(), answer.unit_hash(context), name, value);
            }
        }
    }

    /// The error that the caller is told: where there is no ruleset, no flag is missing.
    pub(crate) fn error(&self, error: Option<EvaluationError>) -> EvaluationError {
        if self.is_ready { error.unwrap_or(EvaluationError::ParseError) } else { EvaluationError::NotReady }
    }
}
