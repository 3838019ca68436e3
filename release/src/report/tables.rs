//! The report's tables of figures.

use std::collections::BTreeSet;

use super::{
    ArmFigures, BusinessEvent, Comparison, EventFigures, Latency, Rate, Report, StepReport, UnitsReport,
    markdown::{moment, place, units as about},
    words::{latency, number_of, plain, range, share, span},
};
use crate::evidence::count;

const NONE: &str = "no requests";

fn is_taken(step: &&StepReport) -> bool {
    step.taken_at.is_some()
}

fn arm<'s>(step: &'s StepReport, name: &str) -> Option<&'s ArmFigures> {
    step.arms.iter().find(|figures| figures.arm == name)
}

fn has_cohorts(report: &Report) -> bool {
    report.steps.iter().any(|step| arm(step, "cohort").is_some())
}

/// When each step was taken, how long it was watched and how it ended.
pub(super) fn steps(report: &Report) -> String {
    let mut text = "## Steps\n\n| Step | From | To | Took | Healthy bake | Treatment | Control | Revision | Ended |\n".to_owned();
    text.push_str("|---|---|---|---|---|---|---|---|---|\n");
    for step in &report.steps {
        let cohorts: Vec<String> = step.cohorts.iter().map(|cohort| plain(cohort)).collect();
        let with = if cohorts.is_empty() { String::new() } else { format!(", with {}", cohorts.join(", ")) };
        let name = format!("{}. {} %{with}", step.number, step.percentage);
        let Some(taken_at) = step.taken_at else {
            text.push_str(&format!("| {name} | | | | {} planned | | | | not taken |\n", planned(step)));
            continue;
        };
        let to = step.over_at.map(|at| moment(report, at)).unwrap_or_default();
        let took = step.took_ms.map(span).unwrap_or_default();
        let requests = |name: &str| arm(step, name).filter(|figures| figures.requests > 0).map_or(NONE.to_owned(), requests_of);
        let revision = step.revision.map(|revision| revision.to_string()).unwrap_or_default();
        text.push_str(&format!(
            "| {name} | {} | {to} | {took} | {} | {} | {} | {revision} | {} |\n",
            moment(report, taken_at),
            baked(step),
            requests("treatment"),
            requests("control"),
            plain(&step.ended)
        ));
    }
    text
}

fn requests_of(figures: &ArmFigures) -> String {
    let units = figures.units.map(|units| format!(", about {} units", count(units))).unwrap_or_default();
    format!("{} requests{units}", count(figures.requests))
}

fn planned(step: &StepReport) -> String {
    let span = span(step.bake.planned_ms);
    if step.bake.overnight { format!("overnight, {span}") } else { span }
}

fn baked(step: &StepReport) -> String {
    match step.bake.healthy_ms {
        Some(healthy_ms) if step.bake.at_least => format!("at least {}", span(healthy_ms)),
        Some(healthy_ms) => format!("{} of {}", span(healthy_ms), planned(step)),
        None => format!("not known, of {}", planned(step)),
    }
}

/// Rates of treatment against control, step by step.
pub(super) fn rates(report: &Report) -> String {
    let cohorts = has_cohorts(report);
    let mut text = "## What was measured\n\n".to_owned();
    if !report.steps.iter().any(|step| is_taken(&step)) {
        text.push_str("Nothing: no step was taken.\n");
        return text;
    }
    let (head, rule) = if cohorts { (" Cohorts |", "---|") } else { ("", "") };
    text.push_str(&format!("| Step | Rate | Treatment | Control |{head} Treatment against control |\n|---|---|---|---|{rule}---|\n"));
    for step in report.steps.iter().filter(is_taken) {
        for (row, (name, measure)) in measures(step).into_iter().enumerate() {
            let place = if row == 0 { place(step) } else { String::new() };
            let of = |of: &str| arm(step, of).and_then(|figures| measure.rate(figures)).map_or(NONE.to_owned(), |found| rate(&found));
            let cohort = if cohorts { format!(" {} |", of("cohort")) } else { String::new() };
            let compared = step.comparisons.iter().find(|comparison| comparison.measure == measure.compared());
            let against = compared.map_or_else(|| incomparable(step).to_owned(), comparison);
            let against = if measure == Measured::Success && compared.is_some() { format!("without success {against}") } else { against };
            text.push_str(&format!("| {place} | {name} | {} | {} |{cohort} {against} |\n", of("treatment"), of("control")));
        }
    }
    text
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Measured {
    Error,
    Success,
    Slow(u32),
}

impl Measured {
    fn rate(self, figures: &ArmFigures) -> Option<Rate> {
        match self {
            Self::Error => Some(figures.error_rate),
            Self::Success => Some(figures.success_rate),
            Self::Slow(limit_ms) => figures.slow.get(&limit_ms).copied(),
        }
    }

    /// What compares the arms in it: success is told by those that were none.
    fn compared(self) -> String {
        match self {
            Self::Error => "error".to_owned(),
            Self::Success => "not_success".to_owned(),
            Self::Slow(limit_ms) => format!("slow_{limit_ms}"),
        }
    }
}

fn measures(step: &StepReport) -> Vec<(String, Measured)> {
    let limits: BTreeSet<u32> = step.arms.iter().flat_map(|figures| figures.slow.keys().copied()).collect();
    let mut measures = vec![("errors".to_owned(), Measured::Error), ("success".to_owned(), Measured::Success)];
    measures.extend(limits.into_iter().map(|limit_ms| (format!("slower than {limit_ms} ms"), Measured::Slow(limit_ms))));
    measures
}

/// `0.4 % (12 of 3,000; 0.2 to 0.8 %)`.
pub(super) fn rate(rate: &Rate) -> String {
    let (Some(value), Some(low), Some(high)) = (rate.value, rate.low, rate.high) else { return NONE.to_owned() };
    format!("{} ({} of {}; {})", share(value), count(rate.count), count(rate.of), range(low, high))
}

/// `3.16x (1.87 to 5.13), higher; 64 against 186 units`.
fn comparison(comparison: &Comparison) -> String {
    let low = number_of(comparison.low);
    let times = match (comparison.ratio, comparison.high) {
        (Some(ratio), Some(high)) => format!("{}x ({low} to {})", number_of(ratio), number_of(high)),
        _ => format!("at least {low}x"),
    };
    format!("{times}, {}; {} against {} units", comparison.says, count(comparison.treatment), count(comparison.control))
}

/// Why two arms cannot be compared.
fn incomparable(step: &StepReport) -> &'static str {
    let is_empty = |name: &str| arm(step, name).is_none_or(|figures| figures.requests == 0);
    match (is_empty("treatment"), is_empty("control")) {
        (false, false) => "none in either",
        (true, false) => "no treatment",
        (false, true) => "no control",
        (true, true) => "no requests",
    }
}

/// Quantiles of latency, step by step and arm by arm.
pub(super) fn latencies(report: &Report) -> String {
    let mut rows = String::new();
    for step in report.steps.iter().filter(is_taken) {
        for figures in &step.arms {
            let found = figures.latency_ms;
            if let (Some(p50), Some(p95), Some(p99)) = (found.p50, found.p95, found.p99) {
                rows.push_str(&format!(
                    "| {} | {} | {} | {} | {} |\n",
                    place(step),
                    figures.arm,
                    quantile(p50),
                    quantile(p95),
                    quantile(p99)
                ));
            }
        }
    }
    if rows.is_empty() {
        return String::new();
    }
    format!("### Latency\n\n| Step | Arm | p50 | p95 | p99 |\n|---|---|---|---|---|\n{rows}")
}

fn quantile(found: Latency) -> String {
    format!("{} ({} to {})", latency(found.value), latency(found.low), latency(found.high))
}

/// Distinct units ever exposed.
pub(super) fn units(report: &Report) -> String {
    let exposed = &report.units;
    let mut text = "## Units ever exposed\n\n".to_owned();
    let arms = [
        ("To the feature", exposed.exposed),
        ("In by bucket (treatment)", exposed.treatment),
        ("In by cohort", exposed.cohort),
        ("Out by bucket (control)", exposed.control),
    ];
    if arms.iter().all(|(_, units)| units.units.is_none()) {
        text.push_str("Not known: no distinct units were told.\n");
        return text;
    }
    let told = |(_, units): &&(&str, UnitsReport)| units.units.is_some();
    arms.iter().filter(told).for_each(|(name, units)| text.push_str(&format!("- **{name}**: {}\n", about(*units))));
    text
}

/// What the application tracked.
pub(super) fn events(report: &Report) -> String {
    if report.events.is_empty() && report.watch.is_empty() {
        return String::new();
    }
    let mut text = "## Business events\n\n".to_owned();
    if report.events.is_empty() {
        text.push_str("The application tracked none.\n");
    } else {
        text.push_str("| Event | Treatment | Control | Cohorts |\n|---|---|---|---|\n");
        report.events.iter().for_each(|event| text.push_str(&event_row(event)));
        text.push_str("\nSums over all steps: the arms had other shares at other times, so these numbers do not compare them.\n");
    }
    if !report.watch.is_empty() {
        let watch = report.watch.iter().map(|text| plain(text)).collect::<Vec<_>>().join("; ");
        text.push_str(&format!("\nTo be looked at by people, as the plan says: {watch}\n"));
    }
    text
}

fn event_row(event: &BusinessEvent) -> String {
    let cell = |figures: &EventFigures| {
        let mut cell = count(figures.count);
        if let Some(per_unit) = figures.per_unit {
            cell.push_str(&format!(", {} per unit", number_of(per_unit)));
        }
        if let Some(sum) = figures.value_sum {
            cell.push_str(&format!(", value {}", number_of(sum)));
        }
        cell
    };
    format!("| {} | {} | {} | {} |\n", plain(&event.name), cell(&event.treatment), cell(&event.control), cell(&event.cohort))
}
