//! The steps: when each was taken, how it was watched, what it measured and how it ended.

use serde::Serialize;
use storyflag_evaluation::Arm;

use super::{
    ArmFigures, ArmSums, Comparison, Moment, Told, Transition,
    figures::{comparisons, sums_of},
    words::between,
};
use crate::{
    evidence::ArmCounts,
    machine::{Record, Step},
};

/// One step of the plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepReport {
    /// Counted from 1.
    pub number: usize,
    /// Of so many.
    pub of: usize,
    /// Of everyone outside the cohorts, in percent.
    pub percentage: f64,
    /// Cohorts that are in from here on.
    pub cohorts: Vec<String>,
    /// When it was taken; none: it was not.
    pub taken_at: Option<Moment>,
    /// When it was over.
    pub over_at: Option<Moment>,
    /// From the one to the other, or until now.
    pub took_ms: Option<u64>,
    /// How long it was watched.
    pub bake: BakeReport,
    /// The environment's revision that set it: what its outcomes are credited to.
    pub revision: Option<u64>,
    /// Who took it; nobody when the machine did.
    pub by: Option<String>,
    /// What it was taken on.
    pub evidence: Option<String>,
    /// `not taken`, `under way`, `next step`, `advanced by force`, or the phase that ended it: `rolled back`.
    pub ended: String,
    /// What it was ended on: the evidence of that decision.
    pub ended_by: Option<String>,
    /// Treatment and control, and the cohorts' units where there were any.
    pub arms: Vec<ArmFigures>,
    /// Treatment against control.
    pub comparisons: Vec<Comparison>,
}

/// How long a step was watched while telemetry was healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BakeReport {
    /// As the plan says.
    pub planned_ms: u64,
    /// Whether it went on to the end of a night.
    pub overnight: bool,
    /// As it was; none where that is not known: a step that was left by force.
    pub healthy_ms: Option<u64>,
    /// Whether it was at least so long: a step that was left in order had all of its bake.
    pub at_least: bool,
}

/// A step that was taken, as the transitions tell.
pub(super) struct Visit<'t> {
    /// Its index.
    pub(super) step: usize,
    pub(super) taken: &'t Transition,
    /// The transition that ended it.
    pub(super) left: Option<&'t Transition>,
}

impl Visit<'_> {
    pub(super) fn taken_ms(&self) -> i64 {
        self.taken.record.at_ms
    }

    pub(super) fn left_ms(&self) -> Option<i64> {
        self.left.map(|left| left.record.at_ms)
    }

    /// Whether somebody ended it before its time.
    fn was_forced(&self) -> bool {
        self.left.is_some_and(|left| is_forced(&left.record))
    }
}

/// Whether a record that leaves a step was somebody's: the machine goes on, and completes, in nobody's name.
pub(super) fn is_forced(record: &Record) -> bool {
    record.actor.is_some() && matches!(record.to.as_str(), "baking" | "completed")
}

/// Whether a transition takes a step, after one that stood at step `before`.
pub(super) fn takes_step(transition: &Transition, before: Option<usize>) -> bool {
    let record = &transition.record;
    record.to == "baking" && (record.from == "scheduled" || before.is_some_and(|before| before != record.step))
}

/// Every step that was taken, in order.
pub(super) fn visits(told: &Told) -> Vec<Visit<'_>> {
    let mut visits: Vec<Visit<'_>> = Vec::new();
    let mut before = None;
    for transition in &told.transitions {
        let record = &transition.record;
        let takes = takes_step(transition, before);
        let ends = matches!(record.to.as_str(), "rolling back" | "completed" | "superseded");
        if let Some(open) = visits.last_mut().filter(|open| open.left.is_none() && (takes || ends)) {
            open.left = Some(transition);
        }
        if takes {
            visits.push(Visit { step: record.step, taken: transition, left: None });
        }
        before = Some(record.step);
    }
    visits
}

/// What one arm counted in a step. The present step's own evidence may be further than the sums, which come by the minute.
pub(super) fn arm_of(told: &Told, visit: &Visit<'_>, arm: Arm) -> Option<ArmSums> {
    let counted = sums_of(&told.sums, visit.taken.revision, arm);
    let evidence = &told.state.evidence;
    let fresh: Option<&ArmCounts> = match arm {
        Arm::Treatment => Some(&evidence.treatment),
        Arm::Control => Some(&evidence.control),
        Arm::Cohort => Some(&evidence.cohort),
        Arm::Outside => None,
    };
    let is_present = visit.step == told.state.step;
    let fresh = fresh.filter(|fresh| is_present && fresh.requests > counted.as_ref().map_or(0, |counted| counted.counts.requests));
    let Some(fresh) = fresh else { return counted };
    let mut sums = counted.unwrap_or_else(|| ArmSums::new(visit.taken.revision.unwrap_or_default(), arm));
    sums.counts = fresh.clone();
    Some(sums)
}

/// Every step of the plan, taken or not.
pub(super) fn reports(told: &Told) -> Vec<StepReport> {
    let visits = visits(told);
    let of = told.course.steps.len();
    let report = |(index, step): (usize, &Step)| {
        let visit = visits.iter().find(|visit| visit.step == index);
        let mut report = StepReport {
            number: index.saturating_add(1),
            of,
            percentage: step.percentage.percent(),
            cohorts: step.cohorts.clone(),
            taken_at: None,
            over_at: None,
            took_ms: None,
            bake: BakeReport { planned_ms: between(0, step.bake()), overnight: step.overnight, healthy_ms: None, at_least: false },
            revision: None,
            by: None,
            evidence: None,
            ended: "not taken".to_owned(),
            ended_by: None,
            arms: Vec::new(),
            comparisons: Vec::new(),
        };
        if let Some(visit) = visit {
            fill(&mut report, told, visit);
        }
        report
    };
    told.course.steps.iter().enumerate().map(report).collect()
}

fn fill(report: &mut StepReport, told: &Told, visit: &Visit<'_>) {
    let taken = &visit.taken.record;
    report.taken_at = Some(Moment::of(visit.taken_ms()));
    report.over_at = visit.left_ms().map(Moment::of);
    report.took_ms = Some(between(visit.taken_ms(), visit.left_ms().unwrap_or(told.now_ms)));
    report.revision = visit.taken.revision;
    report.by.clone_from(&taken.actor);
    report.evidence = Some(taken.evidence.clone());
    report.ended = ended(visit);
    report.ended_by = visit.left.map(|left| left.record.evidence.clone());
    let is_present = visit.step == told.state.step;
    if is_present {
        report.bake.healthy_ms = Some(between(0, told.state.bake_ms));
    } else if !visit.was_forced() {
        (report.bake.healthy_ms, report.bake.at_least) = (Some(report.bake.planned_ms), true);
    }
    let arms = [Arm::Treatment, Arm::Control, Arm::Cohort].map(|arm| arm_of(told, visit, arm));
    let limits_ms: Vec<u32> = told.plan.limits_ms().into_iter().filter_map(|limit_ms| u32::try_from(limit_ms).ok()).collect();
    if let [Some(treatment), Some(control), _] = &arms {
        report.comparisons = comparisons(&treatment.counts, &control.counts);
    }
    let is_told = |sums: &&ArmSums| sums.arm != Arm::Cohort || sums.counts.requests > 0;
    report.arms = arms.iter().flatten().filter(is_told).map(|sums| ArmFigures::of(sums, &limits_ms)).collect();
}

fn ended(visit: &Visit<'_>) -> String {
    match visit.left.map(|left| &left.record) {
        None => "under way".to_owned(),
        Some(record) if is_forced(record) => "advanced by force".to_owned(),
        Some(record) if record.to == "baking" => "next step".to_owned(),
        Some(record) if record.to == "rolling back" => "rolled back".to_owned(),
        Some(record) => record.to.clone(),
    }
}
