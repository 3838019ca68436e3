//! What an evaluation is told.

use serde::{Deserialize, Serialize};

use super::Owned;
use crate::evidence::{Health, Second};

/// Everything that is new since the evaluation before. With nothing new it still tells that time has come.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// What the targeting is now. It is read in the transaction that commits what this evaluation says: a state read
    /// before the targeting would take the release's own last write for a human's.
    pub targeting: Targeting,
    /// What somebody asks for.
    pub command: Option<Command>,
    /// What was counted, in order. Rows of several nodes for one second are added up first.
    pub seconds: Vec<Second>,
    /// How telemetry stands. The last told is believed for 3 s.
    pub health: Option<Health>,
}

impl Input {
    /// Time has come.
    pub fn tick(targeting: Targeting) -> Self {
        Self { targeting, command: None, seconds: Vec::new(), health: None }
    }

    /// The same, with a command.
    #[must_use]
    pub fn with_command(mut self, command: Command) -> Self {
        self.command = Some(command);
        self
    }

    /// The same, with what was counted and how telemetry stands.
    #[must_use]
    pub fn with_seconds(mut self, seconds: Vec<Second>, health: Health) -> Self {
        self.seconds = seconds;
        self.health = Some(health);
        self
    }
}

/// A targeting as a release sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Targeting {
    /// What releases own of it.
    pub owned: Owned,
    /// Whether the rest of the rollout (what it serves, and otherwise) was changed since the release's last write.
    pub rollout_changed: bool,
    /// Whether it is killed.
    pub killed: bool,
    /// Who wrote it last.
    pub by: String,
}

/// What somebody asks of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// What.
    pub kind: CommandKind,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// Whether what may be passed by force is passed.
    pub force: bool,
}

/// The kinds of command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandKind {
    /// Take the first step, or the one named.
    Start {
        /// The index of the step to begin with.
        from: Option<usize>,
    },
    /// Start by itself then, or not.
    Schedule {
        /// In epoch milliseconds.
        start_ms: Option<i64>,
    },
    /// Stay where it is.
    Pause,
    /// Go on.
    Resume,
    /// Say yes to what waits for it.
    Approve,
    /// Take the next step now, whatever is missing.
    Advance,
    /// Write the baseline back.
    Rollback,
    /// Call it off before the first step.
    Cancel,
    /// Tick a check box, or clear it.
    Tick {
        /// Its index.
        item: usize,
        /// Whether it is done.
        done: bool,
    },
}

/// When steps may go. Time zones are the caller's: epoch milliseconds in, epoch milliseconds out.
pub trait Calendar {
    /// The first moment, `at_ms` or later, at which a step may go.
    fn next_allowed_ms(&self, at_ms: i64) -> i64;
    /// The first end of a night at `at_ms` or later.
    fn night_ends_ms(&self, at_ms: i64) -> i64;
    /// The morning of the day on which `at_ms` lies.
    fn morning_ms(&self, at_ms: i64) -> i64;
}

/// A calendar without gates: any moment will do.
#[derive(Debug, Clone, Copy, Default)]
pub struct Always;

impl Calendar for Always {
    fn next_allowed_ms(&self, at_ms: i64) -> i64 {
        at_ms
    }

    fn night_ends_ms(&self, at_ms: i64) -> i64 {
        at_ms
    }

    fn morning_ms(&self, at_ms: i64) -> i64 {
        at_ms
    }
}
