//! Where a release stands. All of it can be stored as JSON.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use storyflag_evaluation::Percentage;

use crate::evidence::{Detector, Evidence, Health};

/// Where a release stands. Times are epoch milliseconds, spans milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Counts transitions: what If-Match on a release compares.
    pub number: u64,
    /// What it is doing.
    pub phase: Phase,
    /// The index of the step to begin with, where whoever created the release named one.
    #[serde(default)]
    pub from: Option<usize>,
    /// The index of its present step; 0 before the first.
    pub step: usize,
    /// When the present step was taken.
    pub step_ms: i64,
    /// Healthy time that the present step was watched.
    pub bake_ms: i64,
    /// Whether a human approved to go on from the present step.
    pub approved: bool,
    /// Whether the arms were shown to hold other shares than they should, and nobody has approved since.
    pub unfair: bool,
    /// What the present step rests on; before the start, today's traffic.
    pub evidence: Evidence,
    /// What the release owns, as it was at the start: a rollback writes it back.
    pub baseline: Option<Owned>,
    /// What the release owns, as it wrote it last.
    pub written: Option<Owned>,
    /// Telemetry, as last told.
    pub health: Health,
    /// How long ago it was told.
    pub health_age_ms: i64,
    /// For how long telemetry has been missing.
    pub silent_ms: i64,
    /// Treatment exposures a second, averaged over the last minute.
    pub exposures_per_s: f64,
    /// How long `exposures_per_s` has been measured, at most a minute.
    pub exposures_ms: i64,
    /// The evaluation before.
    pub ticked_ms: Option<i64>,
    /// When the first step was taken.
    pub started_ms: Option<i64>,
    /// When it came to an end.
    pub ended_ms: Option<i64>,
    /// Whether the flag was killed when it was last looked at before the start.
    pub was_killed: Option<bool>,
    /// One detector per alert, over the whole release.
    pub alerts: Vec<Detector>,
    /// Ticks of the check boxes, by index.
    pub ticks: BTreeMap<usize, Ticked>,
    /// The last slot that each message of the communication plan was written for, by index.
    pub sent: BTreeMap<usize, i64>,
}

/// What a release owns of one targeting, and nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owned {
    /// Whether the targeting is on.
    pub enabled: bool,
    /// The rollout's percentage.
    pub percentage: Percentage,
    /// The rollout's cohorts.
    pub cohorts: BTreeSet<String>,
}

/// What a release is doing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Not started.
    Scheduled {
        /// When it will start by itself.
        start_ms: Option<i64>,
    },
    /// Under way.
    Running(Doing),
    /// A human stopped it where it is. Triggers are still judged.
    Paused {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// The baseline is written; who runs it is not yet known.
    RollingBack {
        /// Why.
        cause: Cause,
        /// Since when.
        since_ms: i64,
        /// Time waited, a tick at most 2 s.
        waited_ms: i64,
        /// Treatment exposures a second before.
        exposures_before_per_s: f64,
        /// The latest ticks: (their length, treatment exposures in them).
        recent: Vec<(i64, u64)>,
    },
    /// Turned back.
    RolledBack {
        /// Why.
        cause: Cause,
        /// Whether every instance was seen to run the baseline and exposures ceased.
        verified: bool,
        /// Instances that were not seen to run it.
        silent: Vec<String>,
        /// From the decision to the end.
        took_ms: i64,
    },
    /// The last step is over.
    Completed {
        /// What the targets say.
        targets: Targets,
    },
    /// A human took over.
    Superseded {
        /// Who.
        by: String,
    },
    /// Called off before the first step.
    Cancelled {
        /// Who, or what.
        by: String,
        /// Why.
        reason: String,
    },
}

/// What a running release is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doing {
    /// Watching the present step.
    Baking,
    /// Something must pass first.
    Holding(Hold),
    /// A human must say yes.
    AwaitingApproval(Approval),
    /// The next step may not go yet.
    AwaitingCalendar {
        /// When it may.
        until_ms: i64,
    },
}

/// Why a release holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// Telemetry is missing. Goes on by itself.
    NoData,
    /// Another source does not answer. Goes on by itself.
    SourceError {
        /// Which, and what it said.
        evidence: String,
    },
    /// The arms hold other shares than they should: evidence may be biased. Waits for `approve`.
    SampleRatio,
    /// A trigger fires, but the control fails alike and the plan says to hold then.
    ControlFails {
        /// The counts.
        evidence: String,
    },
    /// The bake is complete, and limits are not yet shown to hold.
    ThinEvidence,
}

/// Why a human must say yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Approval {
    /// The next step says so.
    Planned,
    /// Evidence stayed thin: a human's word replaces it.
    ThinEvidence,
}

/// Why a release was turned back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The flag was killed.
    Kill {
        /// By whom.
        by: String,
    },
    /// Somebody asked for it.
    Command {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// A trigger fired.
    Trigger {
        /// As the plan writes it.
        name: String,
        /// The counts.
        evidence: String,
    },
}

/// What the targets say in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Targets {
    /// All are shown to hold.
    Met,
    /// One is shown to be missed.
    NotMet,
    /// Neither.
    NotProven,
}

/// Who ticked a check box, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticked {
    /// Who.
    pub by: String,
    /// When.
    pub at_ms: i64,
}

impl State {
    /// A release that has just been created, to start by itself at `start_ms` or when told.
    pub fn scheduled(start_ms: Option<i64>) -> Self {
        Self {
            number: 0,
            phase: Phase::Scheduled { start_ms },
            from: None,
            step: 0,
            step_ms: 0,
            bake_ms: 0,
            approved: false,
            unfair: false,
            evidence: Evidence::default(),
            baseline: None,
            written: None,
            health: Health::default(),
            health_age_ms: 0,
            silent_ms: 0,
            exposures_per_s: 0.0,
            exposures_ms: 0,
            ticked_ms: None,
            started_ms: None,
            ended_ms: None,
            was_killed: None,
            alerts: Vec::new(),
            ticks: BTreeMap::new(),
            sent: BTreeMap::new(),
        }
    }

    /// Whether it has come to an end: nothing is ever written by it again.
    pub fn has_ended(&self) -> bool {
        self.phase.is_end()
    }
}

impl Phase {
    /// Whether nothing comes after it.
    pub fn is_end(&self) -> bool {
        matches!(self, Self::RolledBack { .. } | Self::Completed { .. } | Self::Superseded { .. } | Self::Cancelled { .. })
    }

    /// Its name, for timelines: `awaiting approval`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Scheduled { .. } => "scheduled",
            Self::Running(Doing::Baking) => "baking",
            Self::Running(Doing::Holding(Hold::NoData)) => "holding: no data",
            Self::Running(Doing::Holding(Hold::SourceError { .. })) => "holding: source error",
            Self::Running(Doing::Holding(Hold::SampleRatio)) => "holding: sample ratio",
            Self::Running(Doing::Holding(Hold::ControlFails { .. })) => "holding: control fails alike",
            Self::Running(Doing::Holding(Hold::ThinEvidence)) => "holding: thin evidence",
            Self::Running(Doing::AwaitingApproval(Approval::Planned)) => "awaiting approval",
            Self::Running(Doing::AwaitingApproval(Approval::ThinEvidence)) => "awaiting approval: thin evidence",
            Self::Running(Doing::AwaitingCalendar { .. }) => "awaiting the calendar",
            Self::Paused { .. } => "paused",
            Self::RollingBack { .. } => "rolling back",
            Self::RolledBack { verified: true, .. } => "rolled back",
            Self::RolledBack { verified: false, .. } => "rolled back, not verified",
            Self::Completed { .. } => "completed",
            Self::Superseded { .. } => "superseded",
            Self::Cancelled { .. } => "cancelled",
        }
    }
}

impl Cause {
    /// In words, evidence first.
    pub fn line(&self) -> String {
        match self {
            Self::Kill { by } => format!("killed by {by}"),
            Self::Command { by, reason } => format!("rolled back by {by}: {reason}"),
            Self::Trigger { evidence, .. } => evidence.clone(),
        }
    }
}

impl Targets {
    /// In words: `not met`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::NotMet => "not met",
            Self::NotProven => "not proven",
        }
    }
}
