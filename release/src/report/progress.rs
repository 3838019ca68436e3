//! What happened, for the document in which it was planned.

use storyflag_evaluation::Arm;

use super::{
    Moment, Told,
    steps::{Visit, arm_of, visits},
    words::share,
};
use crate::{
    evidence::{ArmCounts, Share, count, float},
    plan::{Progress, StepProgress, Tick},
};

/// Ticks and steps with their figures, to be written into the plan's document.
pub fn figures(told: &Told) -> Progress {
    let items = told.plan.checklists.iter().flat_map(|list| &list.items).enumerate();
    let ticks = items.filter_map(|(index, item)| {
        let tick = told.state.ticks.get(&index)?;
        Some(Tick { item: item.id.clone(), by: tick.by.clone(), at: Moment::of(tick.at_ms).timestamp() })
    });
    let steps = visits(told).into_iter().map(|visit| StepProgress {
        step: visit.step,
        from: Moment::of(visit.taken_ms()).timestamp(),
        to: visit.left_ms().map(|to_ms| Moment::of(to_ms).timestamp()),
        figures: step_figures(told, &visit),
    });
    Progress { ticks: ticks.collect(), steps: steps.collect() }
}

/// `12,345 requests, error rate 0.02 %, control 0.03 %`; nothing where nothing was counted.
fn step_figures(told: &Told, visit: &Visit<'_>) -> String {
    let counts = |arm| arm_of(told, visit, arm).map(|sums| sums.counts).unwrap_or_default();
    let (mut exposed, control) = (counts(Arm::Treatment), counts(Arm::Control));
    exposed.add(&counts(Arm::Cohort));
    if exposed.requests == 0 {
        return String::new();
    }
    let rate = |counts: &ArmCounts| {
        let (hits, trials) = Share::Error.of(counts);
        (trials > 0).then(|| share(float(hits) / float(trials)))
    };
    let plural = if exposed.requests == 1 { "" } else { "s" };
    let mut figures = format!("{} request{plural}", count(exposed.requests));
    if let Some(rate) = rate(&exposed) {
        figures.push_str(&format!(", error rate {rate}"));
    }
    if let Some(rate) = rate(&control) {
        figures.push_str(&format!(", control {rate}"));
    }
    figures
}
