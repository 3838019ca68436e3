//! What a world asks of a store, beside what the scheduler does: the model's and the real one's answers are checked alike.

use std::sync::Arc;

use storyflag_evaluation::Percentage;
use storyflag_release::{
    machine::Owned,
    run::{Row, Run},
};
use storyflag_server::{
    error::Error,
    scheduler::{Books, Carried},
    store::ReleaseHead,
};

use super::plan::Spec;

/// A store.
pub(crate) trait Shelf: Clone + 'static {
    type Books: Books + 'static;

    fn books(&self) -> Self::Books;

    /// The heads of what is watched.
    async fn heads(&self) -> Result<Vec<ReleaseHead>, Error>;

    /// What the environment stands at: (revision, settings).
    async fn stands(&self) -> Result<(u64, i64), Error>;

    /// The head of a release.
    async fn head_of(&self, id: i64) -> Result<ReleaseHead, Error>;

    /// What every flag serves: (flag, what, the revision that set it).
    async fn serves(&self) -> Vec<(String, Serves)>;

    async fn put_rows(&self, rows: &[Row]);

    /// A change by hand, in one go: the revision that it made, if it changed anything.
    async fn edit(&self, flag: &str, edit: &Edit, by: &str) -> Result<Option<u64>, Error>;

    async fn create(&self, new: &New) -> Created;

    /// What stands in the end.
    async fn dump(&self, release: &Created) -> Dump;
}

/// What a flag serves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Serves {
    pub(crate) owned: Owned,
    pub(crate) killed: bool,
    /// None while it is not watched.
    pub(crate) rollout_revision: Option<u64>,
}

/// A change by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Edit {
    Kill,
    Revive,
    Raise {
        to: Percentage,
        take_over: bool,
    },
    Lower {
        to: Percentage,
    },
    /// A rule that serves nobody anything new.
    Rule,
    /// Between moments of the true time.
    Freeze {
        from: i64,
        to: i64,
    },
}

/// A release that is to be.
#[derive(Debug, Clone)]
pub(crate) struct New {
    pub(crate) flag: String,
    pub(crate) spec: Spec,
    pub(crate) start_at: Option<i64>,
    /// The step to begin with.
    pub(crate) from: Option<usize>,
    /// What the flag serves before.
    pub(crate) percentage: Percentage,
    pub(crate) now: i64,
}

/// A release.
#[derive(Debug, Clone)]
pub(crate) struct Created {
    pub(crate) id: i64,
    pub(crate) spec: Spec,
    pub(crate) carried: Arc<Carried>,
    /// The revision with which it began to watch.
    pub(crate) revision: u64,
}

/// What there is of a release and its flag.
#[derive(Debug, Clone)]
pub(crate) struct Dump {
    /// Of the flag, in the order of revisions, from the release's creation on.
    pub(crate) changes: Vec<Change>,
    pub(crate) transitions: Vec<Transition>,
    pub(crate) run: Run,
    pub(crate) number: i64,
    pub(crate) live: bool,
    pub(crate) watching: bool,
    pub(crate) serves: Serves,
    /// (audience, slot), where the store keeps them.
    pub(crate) notices: Option<Vec<(String, String)>>,
}

/// A revision of a flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) by: String,
    pub(crate) owned: Owned,
    pub(crate) killed: bool,
}

/// A row of the timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transition {
    pub(crate) number: i64,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) step: usize,
    pub(crate) actor: Option<String>,
    pub(crate) evidence: String,
    pub(crate) revision: Option<u64>,
}
