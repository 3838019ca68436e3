//! What the caller reads, and a report is made of.

use std::collections::BTreeMap;

use storyflag_evaluation::Arm;

use crate::{
    evidence::ArmCounts,
    machine::{Course, Record, State},
    plan::Plan,
};

/// All that is known of a release. Times are epoch milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// The release's id: `DP-123-checkout-1`.
    pub release: String,
    /// The environment in which it runs.
    pub environment: String,
    /// The plan as it was copied when the release was created.
    pub plan: Plan,
    /// What is carried out of it, its times divided by `time_scale`.
    pub course: Course,
    /// By what the plan's times were divided: 1 in real time.
    pub time_scale: u32,
    /// Where it stands, or how it ended.
    pub state: State,
    /// Every transition, in the order of their numbers.
    pub transitions: Vec<Transition>,
    /// What else stands in the timeline. One that was told to several audiences may stand here several times.
    pub notes: Vec<Note>,
    /// What was counted, one entry for each revision of the rollout and arm. Of the last step up to the release's end: the flag
    /// is watched for a day more, and what comes then is no part of the release.
    pub sums: Vec<ArmSums>,
    /// Distinct units over all steps, where the caller can unite what it knows of each.
    pub units: Units,
    /// The report's time.
    pub now_ms: i64,
}

/// A transition, and what it wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// As the machine recorded it.
    pub record: Record,
    /// The environment's revision that came with it, if it changed what is served.
    pub revision: Option<u64>,
}

/// Something that happened beside the transitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What it is.
    pub kind: NoteKind,
    /// When, in epoch milliseconds.
    pub at_ms: i64,
    /// Who did it; nobody when the service did.
    pub actor: Option<String>,
    /// In words.
    pub text: String,
}

/// What a note is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoteKind {
    /// Somebody changed the flag or its targeting: a kill and a revival are changes too.
    Change,
    /// An alert opened or closed, in the machine's words.
    Alert,
    /// A human was called, in the machine's words.
    Escalation,
    /// Anything else that people were told. What tells of a transition is left out: it stands there already.
    Notice,
}

/// What one arm counted at one revision of the rollout.
#[derive(Debug, Clone, PartialEq)]
pub struct ArmSums {
    /// The revision that set the rollout under which it was counted.
    pub revision: u64,
    /// The arm.
    pub arm: Arm,
    /// The first and the last time at which something was counted, in epoch milliseconds.
    pub seen_ms: Option<(i64, i64)>,
    /// Requests, outcomes, slow requests by limit, named events, first events and units at risk.
    pub counts: ArmCounts,
    /// By the name of a tracked event: the sum of its values, in the application's unit.
    pub values: BTreeMap<String, f64>,
    /// Latency: (the bucket's upper bound in microseconds, requests). In any order.
    pub latency_us: Vec<(u64, u64)>,
    /// Distinct units ever exposed at this revision, as estimated.
    pub units: Option<u64>,
}

impl ArmSums {
    /// Nothing counted yet.
    pub fn new(revision: u64, arm: Arm) -> Self {
        Self { revision, arm, seen_ms: None, counts: ArmCounts::default(), values: BTreeMap::new(), latency_us: Vec::new(), units: None }
    }
}

/// Distinct units over all steps of a release, as estimated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Units {
    /// In by bucket or by cohort.
    pub exposed: Option<u64>,
    /// In by bucket.
    pub treatment: Option<u64>,
    /// Out by bucket.
    pub control: Option<u64>,
    /// In by cohort.
    pub cohort: Option<u64>,
}

impl Units {
    /// Of one arm.
    pub fn of(&self, arm: Arm) -> Option<u64> {
        match arm {
            Arm::Treatment => self.treatment,
            Arm::Control => self.control,
            Arm::Cohort => self.cohort,
            Arm::Outside => None,
        }
    }
}
