//! What the scheduler reads and writes, as it sees it: a few questions, and one kind of transaction.
//!
//! The service keeps these books in its database (`app/releases/books.rs`); simulations keep them in memory.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    future::Future,
    sync::Arc,
};

use serde_json::Value;
use storyflag_evaluation::Identity;
use storyflag_release::{
    PlanCalendar,
    machine::{Calendar, Command, Course, Input, Notice, Outcome, Owned, Record, State, step},
    plan::{self, Freeze},
    run::{Row, Run},
};

use super::Moment;
use crate::{error::Error, store::ReleaseHead};

/// What does not change of a release.
#[derive(Debug, Clone)]
pub struct Carried {
    /// `DP-123-checkout-1`
    pub key: String,
    /// The flag's key.
    pub flag: String,
    /// What is carried out.
    pub course: Course,
    /// The plan's calendar; under a time scale one without gates.
    pub calendar: plan::Calendar,
    /// The latencies that are counted, in milliseconds.
    pub limits_ms: Vec<u32>,
    /// Other sources that conditions ask: (the condition's text, the query).
    pub queries: Vec<(String, String)>,
}

/// A release as the books hold it.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Which writing of it this is.
    pub head: ReleaseHead,
    /// What does not change of it.
    pub carried: Arc<Carried>,
    /// Where it stands.
    pub run: Run,
}

/// A targeting as a release sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// What releases own of it.
    pub owned: Owned,
    /// The revision that set it, as the flag's watch tells; none where nothing watches the flag.
    pub rollout_revision: Option<u64>,
    /// Whether it is killed.
    pub killed: bool,
    /// Who wrote it last.
    pub by: String,
}

/// What was written of an environment's targetings.
#[derive(Debug, Clone, Default)]
pub struct Written {
    /// By flag; none where it is served no more.
    pub seen: HashMap<String, Option<Seen>>,
    /// What stood when this was read, or something earlier.
    pub at: Identity,
}

/// How far a node's rows go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeHead {
    /// The node.
    pub node: String,
    /// Its last second.
    pub second: i64,
}

/// The books of one environment.
pub trait Books: Send + Sync {
    /// A transaction.
    type Entry<'b>: Entry
    where
        Self: 'b;

    /// Begins a transaction in a release's name.
    fn begin(&self, carried: &Carried) -> impl Future<Output = Result<Self::Entry<'_>, Error>> + Send;

    /// A release as it stands, if it is there.
    fn load(&self, id: i64) -> impl Future<Output = Result<Option<Stored>, Error>> + Send;

    /// How far the rows of every node go.
    fn nodes(&self) -> impl Future<Output = Result<Vec<NodeHead>, Error>> + Send;

    /// Rows of a node after a second, in order; not necessarily all.
    fn rows(&self, node: &str, after: i64) -> impl Future<Output = Result<Vec<Row>, Error>> + Send;

    /// Which ruleset stands.
    fn stands(&self) -> impl Future<Output = Result<Identity, Error>> + Send;

    /// Those of these flags' targetings that were written after a ruleset; none where that cannot be told, as after a restored
    /// backup.
    fn written_since(&self, flags: &HashSet<String>, since: Identity) -> impl Future<Output = Result<Option<Written>, Error>> + Send;

    /// Targetings as they stand, outside of any lock: enough to see whether to look closer.
    fn targetings(&self, flags: &HashSet<String>) -> impl Future<Output = Result<HashMap<String, Seen>, Error>> + Send;

    /// The times in which nothing is raised, as far as they are not over.
    fn freezes(&self, now: i64) -> impl Future<Output = Result<Vec<Freeze>, Error>> + Send;

    /// Writes where quiet releases stand, in one transaction: of each whether nobody else had written it.
    fn snapshot(&self, stored: &[&Stored]) -> impl Future<Output = Result<Vec<bool>, Error>> + Send;

    /// The figures of a release's report, as they are told the next day; none where there are none to tell.
    fn report(&self, carried: &Carried) -> impl Future<Output = Result<Option<Value>, Error>> + Send {
        let _ = carried;
        std::future::ready(Ok(None))
    }

    /// Ends the watch of a flag for a release whose report is out.
    fn unwatch(&self, stored: &Stored) -> impl Future<Output = Result<(), Error>> + Send;

    /// What time it is.
    fn moment(&self) -> Moment {
        Moment::now()
    }

    /// The machine.
    fn step(&self, course: &Course, state: State, input: &Input, calendar: &dyn Calendar, now: i64) -> Outcome {
        step(course, state, input, calendar, now)
    }
}

/// One transaction under the environment's lock. Dropped before its commit, nothing happened.
pub trait Entry: Send {
    /// Takes the lock. Everything else comes after it.
    fn lock(&mut self) -> impl Future<Output = Result<(), Error>> + Send;

    /// Which writing of a release stands.
    fn head(&mut self, id: i64) -> impl Future<Output = Result<Option<ReleaseHead>, Error>> + Send;

    /// The targeting of a flag.
    fn targeting(&mut self, flag: &str) -> impl Future<Output = Result<Option<Seen>, Error>> + Send;

    /// Writes what the release owns, at the environment's next revision; the ruleset that comes with it.
    fn write_rollout(&mut self, carried: &Carried, owned: &Owned, why: &str) -> impl Future<Output = Result<Identity, Error>> + Send;

    /// A row of the release's timeline.
    fn record(&mut self, id: i64, record: &Record, revision: Option<u64>) -> impl Future<Output = Result<(), Error>> + Send;

    /// Something that people are told.
    fn tell(
        &mut self,
        carried: &Carried,
        notice: &Notice,
        state: &State,
        report: Option<&Value>,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// That somebody asked for something.
    fn audit(&mut self, carried: &Carried, command: &Command);

    /// Replaces where the release stands, if `head` is still what stands.
    fn replace(&mut self, head: ReleaseHead, run: &Run) -> impl Future<Output = Result<bool, Error>> + Send;

    /// Makes all of it so.
    fn commit(self) -> impl Future<Output = Result<(), Error>> + Send;
}

impl Carried {
    /// When its steps may go, with an environment's freezes.
    pub fn calendar<'a>(&'a self, freezes: &'a [Freeze]) -> PlanCalendar<'a> {
        PlanCalendar { calendar: Cow::Borrowed(&self.calendar), freezes: Cow::Borrowed(freezes) }
    }
}
