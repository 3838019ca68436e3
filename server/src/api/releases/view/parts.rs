//! The parts of what is told of a release, each from where it stands.

use std::collections::BTreeMap;

use storyflag_release::{
    evidence::{ArmCounts, Evidence, Reading, Share, TRIGGER_ALPHA, Test},
    machine::{Calendar, Cause, Course, Phase, State},
    plan::{self, Gate, Plan},
};

use super::{AlertView, ArmView, CauseView, CheckView, NextStep, RollbackView, StepNow, StepView, TelemetryHealth, TriggerView};
use crate::{api::time, app::ReleaseState};

pub(super) fn step_now(course: &Course, state: &State) -> Option<StepNow> {
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

pub(super) fn steps(told: &ReleaseState) -> Vec<StepView> {
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

pub(super) fn next(course: &Course, calendar: &dyn Calendar, state: &State, now: i64) -> Option<NextStep> {
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

pub(super) fn cause(phase: &Phase) -> Option<CauseView> {
    let (Phase::RollingBack { cause, .. } | Phase::RolledBack { cause, .. }) = phase else { return None };
    let (kind, by, name) = match cause {
        Cause::Kill { by } => ("kill", Some(by.clone()), None),
        Cause::Command { by, .. } => ("command", Some(by.clone()), None),
        Cause::Trigger { name, .. } => ("trigger", None, Some(name.clone())),
    };
    Some(CauseView { kind, by, name, evidence: cause.line() })
}

pub(super) fn rollback(course: &Course, phase: &Phase) -> Option<RollbackView> {
    let planned_ms = course.rollback_time_ms;
    match phase {
        Phase::RollingBack { .. } => Some(RollbackView { verified: None, silent: Vec::new(), took_ms: None, planned_ms }),
        Phase::RolledBack { verified, silent, took_ms, .. } => {
            Some(RollbackView { verified: Some(*verified), silent: silent.clone(), took_ms: Some(*took_ms), planned_ms })
        }
        _ => None,
    }
}

pub(super) fn health(state: &State) -> TelemetryHealth {
    let health = &state.health;
    TelemetryHealth {
        instances: health.heard,
        current: health.current,
        behind: health.behind,
        behind_names: health.behind_names.clone(),
        healthy: health.is_healthy(),
    }
}

pub(super) fn triggers(course: &Course, evidence: &Evidence) -> Vec<TriggerView> {
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

pub(super) fn arms(evidence: &Evidence) -> BTreeMap<&'static str, ArmView> {
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

pub(super) fn alerts(course: &Course, state: &State) -> Vec<AlertView> {
    let is_open = |index: usize| state.alerts.get(index).is_some_and(storyflag_release::evidence::Detector::is_open);
    let view = |(index, alert): (usize, &storyflag_release::machine::Alert)| AlertView {
        name: alert.name.clone(),
        condition: alert.condition.clone(),
        open: is_open(index),
    };
    course.alerts.iter().enumerate().map(view).collect()
}

pub(super) fn checklist(plan: &Plan, state: &State) -> Vec<CheckView> {
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
