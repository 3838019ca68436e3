//! What a world's tasks share, and what is written down of what they did.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard},
};

use storyflag_release::machine::{Command, Notice, Owned, Record};
use storyflag_server::scheduler::Seen;

use super::{bugs::Bug, gate::Gate};

/// Shared by all tasks of a world.
pub(crate) struct Desk {
    pub(crate) gate: Gate,
    /// Whether one transaction begins only after the other: SQLite has one writer.
    pub(crate) serial: bool,
    pub(crate) bug: Option<Bug>,
    /// Whether the log is kept.
    pub(crate) talks: bool,
    /// When the world began.
    pub(crate) begins: i64,
    state: Mutex<Shared>,
}

#[derive(Default)]
pub(crate) struct Shared {
    /// Milliseconds by no node's clock.
    pub(crate) time: i64,
    /// By how much each process' clock is wrong.
    pub(crate) offsets: HashMap<u64, i64>,
    pub(crate) away: bool,
    /// The transaction that holds the environment's row.
    pub(crate) writer: Option<u64>,
    /// Whether it has written a release's row.
    pub(crate) row_held: bool,
    pub(crate) tokens: u64,
    /// So many of the next commits are made, and their answer is lost.
    pub(crate) lose_answers: usize,
    /// So many of the next operations fail.
    pub(crate) fail: usize,
    /// Rows are read twice.
    pub(crate) doubled_rows: bool,
    pub(crate) commits: Vec<Commit>,
    /// What breaks a rule and is seen while it happens.
    pub(crate) broken: Vec<String>,
    pub(crate) met: BTreeMap<(&'static str, &'static str), Met>,
    pub(crate) log: Vec<String>,
    /// For the bugs that read before the lock: the targetings as a node saw them last.
    pub(crate) seen: HashMap<(u64, String), Seen>,
}

/// What a release's transaction made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Commit {
    pub(crate) time: i64,
    /// When it began.
    pub(crate) began: i64,
    /// The process.
    pub(crate) process: u64,
    pub(crate) release: String,
    pub(crate) writes: Vec<(u64, Owned)>,
    pub(crate) records: Vec<(Record, Option<u64>)>,
    pub(crate) notices: Vec<Notice>,
    pub(crate) command: Option<Command>,
    /// Whether the answer arrived.
    pub(crate) told: bool,
}

/// How often a command met a state.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Met {
    pub(crate) done: u64,
    pub(crate) refused: u64,
}

impl Desk {
    pub(crate) fn new(serial: bool, bug: Option<Bug>, talks: bool, begins: i64) -> Self {
        Self { gate: Gate::default(), serial, bug, talks, begins, state: Mutex::default() }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, Shared> {
        self.state.lock().unwrap()
    }

    pub(crate) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    pub(crate) fn break_rule(&self, what: String) {
        let mut state = self.state();
        // One is enough to fail, a few to understand.
        if state.broken.len() < 20 {
            let time = state.time;
            state.broken.push(format!("{}: {what}", self.seconds(time)));
        }
    }

    pub(crate) fn log(&self, line: impl FnOnce() -> String) {
        if self.talks {
            let line = line();
            let mut state = self.state();
            let time = state.time;
            state.log.push(format!("{} {line}", self.seconds(time)));
        }
    }

    /// A moment, in seconds since the world began.
    pub(crate) fn seconds(&self, time: i64) -> String {
        format!("{:9.3}", (time - self.begins) as f64 / 1_000.0)
    }
}
