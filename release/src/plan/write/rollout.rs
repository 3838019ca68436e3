//! Steps in the sentences of the template.

use crate::plan::{Bake, Plan, Span, Step, checklist::slug};

/// Whether every step can be said in a sentence that reads back as it.
pub(super) fn is_sayable(plan: &Plan) -> bool {
    let is_single = |step: &Step| plan.steps.iter().filter(|other| other.percentage == step.percentage).count() == 1;
    plan.steps.iter().all(|step| is_single(step) && step.cohorts.iter().all(|cohort| is_name(cohort)))
}

fn is_name(cohort: &str) -> bool {
    let words = cohort.replace('-', " ");
    slug(&words) == cohort && !words.split(' ').any(|word| word == "and") && !matches!(cohort, "all-users" | "everyone")
}

/// The lines of the rollout, and for each step the number of its own.
pub(super) fn lines(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    for step in &plan.steps {
        if step.approval {
            lines.push("Wait for approval".to_owned());
        }
        lines.push(sentence(step));
        lines.push(match step.bake {
            Bake::For(span) => format!("Monitor for {}", words(span)),
            Bake::Overnight => "Monitor overnight".to_owned(),
        });
    }
    lines
}

fn sentence(step: &Step) -> String {
    let percent = step.percentage.percent();
    if !step.cohorts.is_empty() {
        let names: Vec<String> = step.cohorts.iter().map(|cohort| cohort.replace('-', " ")).collect();
        return format!("Enable for {} ({percent}%)", names.join(" and "));
    }
    if step.percentage == storyflag_evaluation::Percentage::ALL {
        return "Full rollout (100%)".to_owned();
    }
    format!("Increase to {percent}% of users")
}

/// Rows of the schedule: the steps that have a date.
pub(super) fn rows(plan: &Plan) -> Vec<String> {
    let dated = plan.steps.iter().enumerate().filter_map(|(index, step)| step.not_before.map(|date| (index, step, date)));
    let row = |(index, step, date): (usize, &Step, jiff::civil::DateTime)| {
        format!("| Step {} | {} | Increase to {}% | |", index + 1, date.strftime("%Y-%m-%d %H:%M"), step.percentage.percent())
    };
    dated.map(row).collect()
}

/// A length of time in words where one unit says it: `4 hours`.
pub(super) fn words(span: Span) -> String {
    for (unit, millis) in [("day", 86_400_000), ("hour", 3_600_000), ("minute", 60_000), ("second", 1_000)] {
        if span.millis() > 0 && span.millis().is_multiple_of(millis) {
            let count = span.millis() / millis;
            return format!("{count} {unit}{}", if count == 1 { "" } else { "s" });
        }
    }
    span.to_string()
}
