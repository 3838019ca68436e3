//! What an evaluation says must be done. All of it is committed together, with the state, or not at all.

use serde::{Deserialize, Serialize};

use super::{Owned, State};

/// One thing to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// A step: write these into the targeting.
    SetRollout(Owned),
    /// A rollback: write the baseline back into the targeting.
    WriteBaseline(Owned),
    /// A row of the timeline. Unique per release and number.
    Record(Record),
    /// Tell people. Unique per release, audience and slot.
    Notify(Notice),
    /// The command is not carried out.
    Refuse {
        /// Every reason, in words.
        why: Vec<String>,
    },
}

/// A transition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Counts them, from 1, without a gap.
    pub number: u64,
    /// When, in epoch milliseconds.
    pub at_ms: i64,
    /// The phase before: [`Phase::name`](super::Phase::name).
    pub from: String,
    /// The phase after.
    pub to: String,
    /// The index of the step.
    pub step: usize,
    /// Who asked for it; nobody when the machine decided.
    pub actor: Option<String>,
    /// What it rests on, in one line.
    pub evidence: String,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What is said.
    pub kind: NoticeKind,
    /// To whom: `team`, `on_call`, `stakeholders`.
    pub to: String,
    /// With the release and the audience, its identity: written once, delivered at least once.
    pub slot: String,
    /// What to say, evidence first.
    pub text: String,
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// The release went from one phase or step to another.
    Transition,
    /// An alert opened or closed.
    Alert,
    /// A human is needed now.
    Escalation,
    /// The release is about to start.
    Announcement,
    /// How it stands.
    Status,
    /// It is done.
    Completion,
    /// What happened: the caller adds the figures.
    Report,
}

/// What an evaluation gives: the state after it, and what must be done.
pub type Outcome = (State, Vec<Effect>);
