//! A release, as it is told.

mod parts;

use std::collections::BTreeMap;

use serde::Serialize;
use storyflag_release::{machine::Phase, plan::Plan};
use utoipa::ToSchema;

use crate::{
    api::time,
    app::{ReleaseState, phase_name},
};

/// A release.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReleaseView {
    /// Its id: the plan's key and a counter.
    #[schema(example = "DP-123-checkout-1")]
    pub release: String,
    /// The plan's key.
    pub plan: String,
    /// The story that it releases.
    pub story: Option<String>,
    /// The flag that it drives.
    pub flag: String,
    /// Counts transitions: its `ETag`.
    pub number: u64,
    /// `scheduled`, `running`, `paused`, `rolling_back`, `rolled_back`, `completed`, `superseded` or `cancelled`.
    pub phase: &'static str,
    /// The same, closer: `baking`, `holding: no data`, `awaiting approval`.
    pub state: &'static str,
    /// Whether it has come to an end.
    pub ended: bool,
    /// When it was created.
    pub created_at: String,
    /// By whom.
    pub created_by: String,
    /// When it starts by itself.
    pub start_at: Option<String>,
    /// When its first step was taken.
    pub started_at: Option<String>,
    /// When it ended.
    pub ended_at: Option<String>,
    /// By what the plan's times are divided.
    pub time_scale: i64,
    /// The present step; none before the start.
    pub step: Option<StepNow>,
    /// All steps.
    pub steps: Vec<StepView>,
    /// The step after the present one.
    pub next: Option<NextStep>,
    /// Why it was turned back.
    pub cause: Option<CauseView>,
    /// What became of the rollback.
    pub rollback: Option<RollbackView>,
    /// `met`, `not met` or `not proven`.
    pub targets: Option<&'static str>,
    /// What the present step rests on, in one line.
    pub evidence: String,
    /// How telemetry stands.
    pub health: TelemetryHealth,
    /// What turns back. Not in lists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<TriggerView>,
    /// The present step's counts by arm: `treatment`, `control`, `cohort`. Not in lists.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub arms: BTreeMap<&'static str, ArmView>,
    /// What tells people.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<AlertView>,
    /// Every check box. Not in lists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checklist: Vec<CheckView>,
    /// What the caller should know.
    pub warnings: Vec<String>,
    /// What was added to the plan by its reader.
    pub assumed: Vec<String>,
}

/// The step that a release is at.
#[derive(Debug, Serialize, ToSchema)]
pub struct StepNow {
    /// From 1.
    pub number: usize,
    /// Of so many.
    pub of: usize,
    /// In percent.
    pub percentage: f64,
    /// Cohorts that are in.
    pub cohorts: Vec<String>,
    /// When it was taken.
    pub since: String,
    /// The healthy time that it is to be watched, in milliseconds.
    pub bake_ms: i64,
    /// The healthy time that it was watched, in milliseconds.
    pub baked_ms: i64,
    /// Whether somebody approved to go on.
    pub approved: bool,
}

/// A step.
#[derive(Debug, Serialize, ToSchema)]
pub struct StepView {
    /// From 1.
    pub number: usize,
    /// In percent.
    pub percentage: f64,
    /// Cohorts that are in from here on.
    pub cohorts: Vec<String>,
    /// The healthy time that it is to be watched, in milliseconds.
    pub bake_ms: i64,
    /// Whether it bakes until a night is over.
    pub overnight: bool,
    /// Whether somebody must approve before it is taken.
    pub approval: bool,
    /// Not taken before.
    pub not_before: Option<String>,
    /// When it was taken.
    pub taken_at: Option<String>,
    /// When the next one was taken, or the release ended.
    pub over_at: Option<String>,
    /// The environment's revision that it made.
    pub revision: Option<i64>,
}

/// The step to come.
#[derive(Debug, Serialize, ToSchema)]
pub struct NextStep {
    /// In percent; none where the present step is the last.
    pub percentage: Option<f64>,
    /// When it is taken at the earliest.
    pub earliest_at: String,
    /// The healthy time that is missing, in milliseconds.
    pub left_ms: i64,
}

/// Why a release was turned back.
#[derive(Debug, Serialize, ToSchema)]
pub struct CauseView {
    /// `trigger`, `command` or `kill`.
    pub kind: &'static str,
    /// Who; none for a trigger.
    pub by: Option<String>,
    /// The trigger, as the plan writes it.
    pub name: Option<String>,
    /// The counts, or the reason.
    pub evidence: String,
}

/// What became of a rollback.
#[derive(Debug, Serialize, ToSchema)]
pub struct RollbackView {
    /// Whether every instance was seen to run the baseline; none while it is not known yet.
    pub verified: Option<bool>,
    /// Instances that were not seen to.
    pub silent: Vec<String>,
    /// From the decision to the end, in milliseconds.
    pub took_ms: Option<i64>,
    /// The plan's time for it, in milliseconds.
    pub planned_ms: i64,
}

/// A trigger.
#[derive(Debug, Serialize, ToSchema)]
pub struct TriggerView {
    /// As the plan writes it.
    pub name: String,
    /// `absolute`, `relative` or `reading`.
    pub kind: &'static str,
    /// Evidence against the step: at `turns_back_at` it turns back.
    pub e: f64,
    /// Where evidence turns back.
    pub turns_back_at: f64,
    /// From 0 to 1: how far it is from nothing to turning back, on the scale on which evidence adds up.
    pub bar: f64,
    /// Whether the limit is shown to hold; none for what needs no proof to go on.
    pub shown_to_hold: Option<bool>,
    /// What another source said last.
    pub last: Option<String>,
}

/// The counts of an arm in the present step.
#[derive(Debug, Serialize, ToSchema)]
pub struct ArmView {
    /// All requests.
    pub requests: u64,
    /// Went well.
    pub success: u64,
    /// Failed by the caller's fault.
    pub failure: u64,
    /// Failed by ours.
    pub error: u64,
    /// The client went away.
    pub cancelled: u64,
    /// Saw two arms.
    pub mixed: u64,
    /// Errors of all, from 0 to 1; none without requests.
    pub error_rate: Option<f64>,
    /// Successes of all, from 0 to 1.
    pub success_rate: Option<f64>,
    /// By limit in milliseconds: slower than it, from 0 to 1.
    pub slow: BTreeMap<u32, f64>,
    /// Units seen for the first time.
    pub new_units: u64,
}

/// How telemetry stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct TelemetryHealth {
    /// Heard of in the last minute.
    pub instances: u64,
    /// Of these, how many have just reported and run the present step.
    pub current: u64,
    /// Not seen to run the release's last write.
    pub behind: u64,
    /// Some of those by name.
    pub behind_names: Vec<String>,
    /// Whether it is enough to go on.
    pub healthy: bool,
}

/// An alert.
#[derive(Debug, Serialize, ToSchema)]
pub struct AlertView {
    /// Its name.
    pub name: String,
    /// When it speaks.
    pub condition: String,
    /// Whether it does.
    pub open: bool,
}

/// A check box.
#[derive(Debug, Serialize, ToSchema)]
pub struct CheckView {
    /// Its id.
    pub item: String,
    /// What is to be done.
    pub text: String,
    /// What it is about.
    pub group: String,
    /// `start` or `complete`.
    pub gate: &'static str,
    /// Whether it is done.
    pub done: bool,
    /// By whom.
    pub by: Option<String>,
    /// When.
    pub at: Option<String>,
}

impl ReleaseView {
    /// Of a release and the plan that it copied; `now` in epoch milliseconds.
    pub fn of(told: &ReleaseState, plan: Option<&Plan>, assumed: Vec<String>, now: i64) -> Self {
        let (row, stored) = (&told.row, &told.stored);
        let (state, course) = (&stored.run.state, &stored.carried.course);
        let start_ms = if let Phase::Scheduled { start_ms } = state.phase { start_ms } else { None };
        Self {
            release: row.key.clone(),
            plan: row.plan.clone(),
            story: plan.and_then(|plan| plan.story.clone()),
            flag: row.flag.clone(),
            number: state.number,
            phase: phase_name(&state.phase),
            state: state.phase.name(),
            ended: state.has_ended(),
            created_at: time(row.created_at),
            created_by: row.created_by.clone(),
            start_at: start_ms.map(time),
            started_at: state.started_ms.map(time),
            ended_at: state.ended_ms.map(time),
            time_scale: row.time_scale,
            step: parts::step_now(course, state),
            steps: parts::steps(told),
            next: parts::next(course, &stored.carried.calendar(&[]), state, now),
            cause: parts::cause(&state.phase),
            rollback: parts::rollback(course, &state.phase),
            targets: if let Phase::Completed { targets } = state.phase { Some(targets.name()) } else { None },
            evidence: state.counts_line(course),
            health: parts::health(state),
            triggers: parts::triggers(course, &state.evidence),
            arms: parts::arms(&state.evidence),
            alerts: parts::alerts(course, state),
            checklist: plan.map(|plan| parts::checklist(plan, state)).unwrap_or_default(),
            warnings: Vec::new(),
            assumed,
        }
    }

    /// What a list tells of it.
    pub fn in_list(mut self) -> Self {
        self.triggers.clear();
        self.arms.clear();
        self.checklist.clear();
        self.assumed.clear();
        self
    }
}
