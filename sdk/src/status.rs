//! How a client tells how it is doing.

use std::time::SystemTime;

use storyflag_evaluation::{EvaluationError, Identity};
use tokio::sync::watch;

use crate::shared::{News, Shared};

/// Where what is served comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// There is no ruleset yet: every answer is the caller's default.
    NotReady,
    /// What is served was good once (on disk, or until the connection was lost), and nobody confirms it now.
    Stale,
    /// Changes arrive as they are made.
    Streaming,
    /// The stream is not to be had: the ruleset is asked for every half minute.
    Polling,
    /// From a file or fixed by the application: it never changes.
    Fixed,
    /// The client was closed: it goes on answering with what it had.
    Closed,
}

/// How a client is doing: for a health page, a log line or a person who wonders.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Status {
    /// Where what is served comes from.
    pub state: State,
    /// The ruleset that is served.
    pub identity: Option<Identity>,
    /// Since when nobody confirms it.
    pub stale_since: Option<SystemTime>,
    /// Flags and cohorts that this version does not understand, each with the reason. Unsupported flags answer with the
    /// caller's default, killed ones with their off variant.
    pub unsupported: Vec<(String, String)>,
    /// Cohorts whose list has not arrived; the list before it stands, or nobody is listed.
    pub missing_lists: Vec<String>,
    /// What went wrong last, even if it is over.
    pub last_error: Option<String>,
    /// The address that is asked.
    pub endpoint: Option<String>,
    /// How many answers were the caller's default so far, by error.
    pub errors: Vec<(EvaluationError, u64)>,
}

impl Status {
    pub(crate) fn of(shared: &Shared, endpoints: &[String]) -> Self {
        let condition = shared.condition();
        let served = shared.served();
        let ruleset = &served.ruleset;
        let flags = ruleset.flags().filter_map(|flag| Some((flag.key().to_owned(), flag.unsupported()?.to_owned())));
        let cohorts = ruleset.unsupported_cohorts().map(|(cohort, why)| (format!("cohort {cohort}"), why.to_owned()));
        Self {
            state: condition.state,
            identity: served.is_ready.then(|| ruleset.identity()),
            stale_since: condition.stale_since,
            unsupported: flags.chain(cohorts).collect(),
            missing_lists: ruleset.missing_lists().map(|(cohort, _)| cohort.to_owned()).collect(),
            last_error: condition.last_error,
            endpoint: endpoints.get(condition.endpoint).cloned(),
            errors: shared.usage().errors(),
        }
    }
}

/// Tells when something else is served: see [`crate::Client::changes`].
#[derive(Debug)]
pub struct Changes {
    news: watch::Receiver<News>,
}

impl Changes {
    pub(crate) fn of(shared: &Shared) -> Self {
        Self { news: shared.watch_news() }
    }

    /// Waits until what is served has changed since the last call, or since [`crate::Client::changes`], and returns the
    /// newest identity. Several changes in between are one; the newest is never missed. A list that arrives or a kill that
    /// goes before its ruleset is told with the identity that is already there.
    ///
    /// `None` when nothing will change any more: the client is closed, or gone.
    pub async fn next(&mut self) -> Option<Identity> {
        loop {
            self.news.changed().await.ok()?;
            let News { identity, is_closed } = *self.news.borrow_and_update();
            if is_closed {
                return None;
            }
            if identity.is_some() {
                return identity;
            }
        }
    }
}
