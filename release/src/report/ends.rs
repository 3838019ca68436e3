//! How it ended: targets, rollback, check boxes, units, events.

use std::collections::BTreeSet;

use serde::Serialize;
use storyflag_evaluation::Arm;

use super::{
    ArmSums, EventFigures, Moment, Rate, Told,
    figures::sums_of,
    steps::{Visit, arm_of},
    words::between,
};
use crate::{
    machine::{Phase, State, Targets},
    plan::Gate,
};

/// The targets, as the last step's bake says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TargetsReport {
    /// `met`, `not met` or `not proven`; none without a target, and before the last step is over: targets are judged at the end.
    pub verdict: Option<&'static str>,
    /// One by one.
    pub targets: Vec<TargetReport>,
}

/// One target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TargetReport {
    /// As the plan writes it.
    pub name: String,
    /// `met`, `not met` or `not proven`; none before the end.
    pub verdict: Option<&'static str>,
    /// Requests of treatment and cohort that miss it, in the present or last step; none for what is not counted here.
    pub missed: Option<Rate>,
    /// How many of all may, 0 to 1.
    pub limit: Option<f64>,
}

/// A rollback, its time against the plan's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RollbackReport {
    /// `trigger`, `command` or `kill`.
    pub cause: &'static str,
    /// The trigger, as the plan writes it.
    pub trigger: Option<String>,
    /// Who asked for it.
    pub by: Option<String>,
    /// What it rests on.
    pub evidence: String,
    /// When it was decided.
    pub decided_at: Option<Moment>,
    /// Whether every instance was seen to run the baseline, and exposures ceased. None while it is awaited.
    pub verified: Option<bool>,
    /// Instances that were not seen to run it.
    pub silent: Vec<String>,
    /// From the decision to the end; none while it is awaited.
    pub took_ms: Option<u64>,
    /// As the plan says.
    pub planned_ms: u64,
    /// Whether it was verified within the plan's time; none while it is awaited.
    pub within_plan: Option<bool>,
}

/// A check box.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BoxReport {
    /// Its id.
    pub item: String,
    /// What was to be done.
    pub text: String,
    /// What it is about.
    pub group: String,
    /// `start` or `complete`.
    pub gate: Gate,
    /// Whether it is ticked.
    pub done: bool,
    /// Who ticked it; none where the plan came with it ticked.
    pub by: Option<String>,
    /// When.
    pub at: Option<Moment>,
}

/// Distinct units, as estimated: off by some 2 % as a rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct UnitsReport {
    /// How many; none where nobody knows.
    pub units: Option<u64>,
    /// Whether there may be more: it is the largest step's number, where steps cannot be united.
    pub at_least: bool,
}

/// Distinct units ever exposed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Exposed {
    /// To the feature: in by bucket or by cohort.
    pub exposed: UnitsReport,
    /// In by bucket.
    pub treatment: UnitsReport,
    /// Out by bucket.
    pub control: UnitsReport,
    /// In by cohort.
    pub cohort: UnitsReport,
}

/// A tracked event, over all steps.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BusinessEvent {
    /// As the application calls it.
    pub name: String,
    /// In by bucket.
    pub treatment: EventFigures,
    /// Out by bucket.
    pub control: EventFigures,
    /// In by cohort.
    pub cohort: EventFigures,
}

/// Targets of the plan; those that count no requests are never proven here.
pub(super) fn targets(told: &Told) -> TargetsReport {
    let is_over = matches!(told.state.phase, Phase::Completed { .. });
    let target = |condition: &crate::plan::Condition| {
        let target = told.course.targets.iter().find(|target| target.name == condition.text);
        let is_watched = told.state.started_ms.is_some();
        let judged = target.map(|target| target.judge(&told.state.evidence)).filter(|_| is_watched);
        let verdict = judged.map_or(Targets::NotProven, |judged| judged.0);
        TargetReport {
            name: condition.text.clone(),
            verdict: is_over.then(|| verdict.name()),
            missed: judged.map(|(_, hits, trials)| Rate::of(hits, trials)),
            limit: target.map(|target| target.limit.percent() / 100.0),
        }
    };
    let targets: Vec<TargetReport> = told.plan.targets.iter().map(target).collect();
    // A target that the machine does not count is not proven, whatever the others say.
    let all_counted = targets.iter().all(|target| target.missed.is_some());
    let verdict = match told.state.phase {
        Phase::Completed { targets: Targets::Met } if !all_counted => Some(Targets::NotProven.name()),
        Phase::Completed { targets: verdict } if !targets.is_empty() => Some(verdict.name()),
        _ => None,
    };
    TargetsReport { verdict, targets }
}

/// The rollback, if there was one.
pub(super) fn rollback(told: &Told) -> Option<RollbackReport> {
    let (cause, ended) = match &told.state.phase {
        Phase::RollingBack { cause, .. } => (cause, None),
        Phase::RolledBack { cause, verified, silent, took_ms } => (cause, Some((*verified, silent.clone(), *took_ms))),
        _ => return None,
    };
    let (kind, trigger, by) = match cause {
        crate::machine::Cause::Kill { by } => ("kill", None, Some(by.clone())),
        crate::machine::Cause::Command { by, .. } => ("command", None, Some(by.clone())),
        crate::machine::Cause::Trigger { name, .. } => ("trigger", Some(name.clone()), None),
    };
    let decided = told.transitions.iter().rev().find(|transition| transition.record.to == "rolling back");
    let planned_ms = told.course.rollback_time_ms;
    Some(RollbackReport {
        cause: kind,
        trigger,
        by,
        evidence: cause.line(),
        decided_at: decided.map(|transition| Moment::of(transition.record.at_ms)),
        verified: ended.as_ref().map(|(verified, _, _)| *verified),
        took_ms: ended.as_ref().map(|(_, _, took_ms)| between(0, *took_ms)),
        within_plan: ended.as_ref().map(|(verified, _, took_ms)| *verified && *took_ms <= planned_ms),
        silent: ended.map(|(_, silent, _)| silent).unwrap_or_default(),
        planned_ms: between(0, planned_ms),
    })
}

/// Every check box, in the plan's order: the order in which ticks are numbered.
pub(super) fn checklist(told: &Told) -> Vec<BoxReport> {
    let items = told.plan.checklists.iter().flat_map(|list| list.items.iter().map(move |item| (list, item)));
    let boxes = items.enumerate().map(|(index, (list, item))| {
        let tick = told.state.ticks.get(&index);
        BoxReport {
            item: item.id.clone(),
            text: item.text.clone(),
            group: list.group.clone(),
            gate: list.gate,
            done: item.done || tick.is_some(),
            by: tick.map(|tick| tick.by.clone()),
            at: tick.map(|tick| Moment::of(tick.at_ms)),
        }
    });
    boxes.collect()
}

/// Distinct units of each arm.
pub(super) fn exposed(told: &Told, visits: &[Visit<'_>]) -> Exposed {
    let steps = |arm: Arm| visits.iter().filter_map(move |visit| sums_of(&told.sums, visit.taken.revision, arm)?.units);
    let of = |united: Option<u64>, steps: &mut dyn Iterator<Item = u64>| match united {
        Some(units) => UnitsReport { units: Some(units), at_least: false },
        None => {
            let (mut largest, mut known) = (None, 0_u64);
            for units in steps {
                (largest, known) = (largest.max(Some(units)), known.saturating_add(1));
            }
            // What one step alone knows is all there is.
            UnitsReport { units: largest, at_least: largest.is_some() && (known > 1 || visits.len() > 1) }
        }
    };
    let both = visits.iter().filter_map(|visit| {
        let units = |arm| sums_of(&told.sums, visit.taken.revision, arm).and_then(|sums| sums.units);
        let (treatment, cohort) = (units(Arm::Treatment), units(Arm::Cohort));
        treatment.or(cohort).map(|_| treatment.unwrap_or(0).saturating_add(cohort.unwrap_or(0)))
    });
    let mut both = both.collect::<Vec<_>>().into_iter();
    Exposed {
        exposed: of(told.units.exposed, &mut both),
        treatment: of(told.units.treatment, &mut steps(Arm::Treatment)),
        control: of(told.units.control, &mut steps(Arm::Control)),
        cohort: of(told.units.cohort, &mut steps(Arm::Cohort)),
    }
}

/// Every tracked event. Per unit only where all of an arm's units are known.
pub(super) fn events(told: &Told, visits: &[Visit<'_>], exposed: &Exposed) -> Vec<BusinessEvent> {
    let sum = |arm: Arm| {
        let mut sum = ArmSums::new(0, arm);
        visits.iter().filter_map(|visit| arm_of(told, visit, arm)).for_each(|more| sum.add(&more));
        sum
    };
    let (treatment, control, cohort) = (sum(Arm::Treatment), sum(Arm::Control), sum(Arm::Cohort));
    let names: BTreeSet<&String> = [&treatment, &control, &cohort].into_iter().flat_map(|sums| sums.counts.named.keys()).collect();
    let figures = |name: &str, sums: &ArmSums, units: UnitsReport| {
        let count = sums.counts.named.get(name).map_or(0, |event| event.count);
        let units = units.units.filter(|_| !units.at_least);
        EventFigures::of(count, units, sums.values.get(name).copied())
    };
    let event = |name: &String| BusinessEvent {
        name: name.clone(),
        treatment: figures(name, &treatment, exposed.treatment),
        control: figures(name, &control, exposed.control),
        cohort: figures(name, &cohort, exposed.cohort),
    };
    names.into_iter().map(event).collect()
}

/// `scheduled`, `running`, `paused`, `rolling_back`, `rolled_back`, `completed`, `superseded` or `cancelled`.
pub(super) fn phase(state: &State) -> &'static str {
    match state.phase {
        Phase::Scheduled { .. } => "scheduled",
        Phase::Running(_) => "running",
        Phase::Paused { .. } => "paused",
        Phase::RollingBack { .. } => "rolling_back",
        Phase::RolledBack { .. } => "rolled_back",
        Phase::Completed { .. } => "completed",
        Phase::Superseded { .. } => "superseded",
        Phase::Cancelled { .. } => "cancelled",
    }
}
