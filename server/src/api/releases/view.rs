//! A release, as it is told.

use std::collections::BTreeMap;

use serde::Serialize;
use storyflag_release::{
    evidence::{ArmCounts, Evidence, Reading, Share, TRIGGER_ALPHA, Test},
    machine::{Calendar, Cause, Course, Phase, State},
    plan::{self, Gate, Plan},
};
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
            step: step_now(course, state),
            steps: steps(told),
            next: next(course, &stored.carried.calendar(&[]), state, now),
            cause: cause(&state.phase),
            rollback: rollback(course, &state.phase),
            targets: if let Phase::Completed { targets } = state.phase { Some(targets.name()) } else { None },
            evidence: state.counts_line(course),
            health: health(state),
            triggers: triggers(course, &state.evidence),
            arms: arms(&state.evidence),
            alerts: alerts(course, state),
            checklist: plan.map(|plan| checklist(plan, state)).unwrap_or_default(),
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

fn step_now(course: &Course, state: &State) -> Option<StepNow> {
    state.started_ms?;
    let step = course.steps.get(state.step)?;
    Some(StepNow {
        number: state.step.saturating_add(1),
        of: course.steps.len(),
        percentage: step.percentage.percent(),
        cohorts: state.written.as_ref().map(|written| written.cohorts.iter().cloned().collect()).unwrap_or_default(),
        since: time(state.step_ms),
        bake_ms: step.bake(),
        baked_ms: state.bake_ms,
        approved: state.approved,
    })
}

fn steps(told: &ReleaseState) -> Vec<StepView> {
    let state = &told.stored.run.state;
    let own = told.stored.carried.course.steps.iter().enumerate();
    let view = |(index, step): (usize, &storyflag_release::machine::Step)| {
        let is_this = |at: i64| usize::try_from(at).is_ok_and(|at| at == index);
        // The step's own write has a revision; a rollback, which stands at the same step, comes later.
        let taken = told.transitions.iter().find(|row| is_this(row.step) && row.revision.is_some() && row.to_phase == "baking");
        let over = told.transitions.iter().find(|row| taken.is_some_and(|taken| row.number > taken.number) && row.revision.is_some());
        StepView {
            number: index.saturating_add(1),
            percentage: step.percentage.percent(),
            cohorts: step.cohorts.clone(),
            bake_ms: step.bake(),
            overnight: step.overnight,
            approval: step.approval,
            not_before: step.not_before_ms.map(time),
            taken_at: taken.map(|row| time(row.at)),
            over_at: taken.and(over.map(|row| row.at).or(state.ended_ms)).map(time),
            revision: taken.and_then(|row| row.revision),
        }
    };
    own.map(view).collect()
}

fn next(course: &Course, calendar: &dyn Calendar, state: &State, now: i64) -> Option<NextStep> {
    if state.started_ms.is_none() || !matches!(state.phase, Phase::Running(_) | Phase::Paused { .. }) {
        return None;
    }
    let present = course.steps.get(state.step)?;
    let following = course.steps.get(state.step.saturating_add(1));
    let left_ms = present.bake().saturating_sub(state.bake_ms).max(0);
    let earliest_ms = now.saturating_add(left_ms).max(following.and_then(|step| step.not_before_ms).unwrap_or(now));
    // The end waits for no calendar.
    let earliest_ms = if following.is_some() { calendar.next_allowed_ms(earliest_ms).max(earliest_ms) } else { earliest_ms };
    Some(NextStep { percentage: following.map(|step| step.percentage.percent()), earliest_at: time(earliest_ms), left_ms })
}

fn cause(phase: &Phase) -> Option<CauseView> {
    let (Phase::RollingBack { cause, .. } | Phase::RolledBack { cause, .. }) = phase else { return None };
    let (kind, by, name) = match cause {
        Cause::Kill { by } => ("kill", Some(by.clone()), None),
        Cause::Command { by, .. } => ("command", Some(by.clone()), None),
        Cause::Trigger { name, .. } => ("trigger", None, Some(name.clone())),
    };
    Some(CauseView { kind, by, name, evidence: cause.line() })
}

fn rollback(course: &Course, phase: &Phase) -> Option<RollbackView> {
    let planned_ms = course.rollback_time_ms;
    match phase {
        Phase::RollingBack { .. } => Some(RollbackView { verified: None, silent: Vec::new(), took_ms: None, planned_ms }),
        Phase::RolledBack { verified, silent, took_ms, .. } => {
            Some(RollbackView { verified: Some(*verified), silent: silent.clone(), took_ms: Some(*took_ms), planned_ms })
        }
        _ => None,
    }
}

fn health(state: &State) -> TelemetryHealth {
    let health = &state.health;
    TelemetryHealth {
        instances: health.heard,
        current: health.current,
        behind: health.behind,
        behind_names: health.behind_names.clone(),
        healthy: health.is_healthy(),
    }
}

fn triggers(course: &Course, evidence: &Evidence) -> Vec<TriggerView> {
    let turns_back_at = 1.0 / TRIGGER_ALPHA;
    let unproven = evidence.unproven(&course.triggers);
    let (e_values, readings) = (evidence.e_values(), evidence.readings());
    let view = |(index, trigger): (usize, &storyflag_release::evidence::Trigger)| {
        let e = e_values.get(index).copied().unwrap_or(0.0);
        let kind = match trigger.test {
            Test::Absolute { .. } => "absolute",
            Test::Relative { .. } => "relative",
            Test::Reading { .. } => "reading",
        };
        TriggerView {
            name: trigger.name.clone(),
            kind,
            e: if e.is_finite() { e } else { f64::MAX },
            turns_back_at,
            bar: if e > 1.0 { (e.ln() / turns_back_at.ln()).min(1.0) } else { 0.0 },
            shown_to_hold: (kind == "absolute").then(|| !unproven.contains(&index)),
            last: readings.get(index).and_then(Option::as_ref).map(|reading| match reading {
                Reading::Value(value) => value.to_string(),
                Reading::SourceError(why) => why.clone(),
            }),
        }
    };
    course.triggers.iter().enumerate().map(view).collect()
}

fn arms(evidence: &Evidence) -> BTreeMap<&'static str, ArmView> {
    [("treatment", &evidence.treatment), ("control", &evidence.control), ("cohort", &evidence.cohort)]
        .map(|(name, arm)| (name, arm_view(arm)))
        .into()
}

#[allow(clippy::cast_precision_loss, reason = "a rate, for people")]
fn arm_view(counts: &ArmCounts) -> ArmView {
    let rate = |share: Share| {
        let (hits, trials) = share.of(counts);
        (trials > 0).then(|| hits as f64 / trials as f64)
    };
    ArmView {
        requests: counts.requests,
        success: counts.success,
        failure: counts.failure,
        error: counts.error,
        cancelled: counts.cancelled,
        mixed: counts.mixed,
        error_rate: rate(Share::Error),
        success_rate: rate(Share::NotSuccess).map(|rate| 1.0 - rate),
        slow: counts.slow.keys().filter_map(|limit_ms| Some((*limit_ms, rate(Share::Slow { limit_ms: *limit_ms })?))).collect(),
        new_units: counts.new_units,
    }
}

fn alerts(course: &Course, state: &State) -> Vec<AlertView> {
    let is_open = |index: usize| state.alerts.get(index).is_some_and(storyflag_release::evidence::Detector::is_open);
    let view = |(index, alert): (usize, &storyflag_release::machine::Alert)| AlertView {
        name: alert.name.clone(),
        condition: alert.condition.clone(),
        open: is_open(index),
    };
    course.alerts.iter().enumerate().map(view).collect()
}

fn checklist(plan: &Plan, state: &State) -> Vec<CheckView> {
    let items = plan.checklists.iter().flat_map(|list| list.items.iter().map(move |item| (list, item)));
    let view = |(index, (list, item)): (usize, (&plan::Checklist, &plan::Item))| {
        let tick = state.ticks.get(&index);
        CheckView {
            item: item.id.clone(),
            text: item.text.clone(),
            group: list.group.clone(),
            gate: if list.gate == Gate::Start { "start" } else { "complete" },
            done: tick.is_some(),
            by: tick.map(|tick| tick.by.clone()),
            at: tick.map(|tick| time(tick.at_ms)),
        }
    };
    items.enumerate().map(view).collect()
}
