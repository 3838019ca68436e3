//! The template's words for conditions, people and times.

use super::rollout;
use crate::plan::{Audience, Bound, Condition, Kind, Measure, Message, When};

/// `code_readiness` as a heading: `Code Readiness`.
pub(super) fn title(name: &str) -> String {
    let words = name.split(['_', ' ']).map(|word| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_uppercase().chain(letters).collect::<String>()).unwrap_or_default()
    });
    words.collect::<Vec<_>>().join(" ")
}

pub(super) fn target_words(condition: &Condition) -> String {
    let (sign, bound) = (condition.comparison.sign(), condition.bound);
    match (&condition.measure, bound) {
        (Measure::ErrorRate, Bound::Share(_)) => format!("Error rate: {sign} {bound}"),
        (Measure::SuccessRate, Bound::Share(_)) => format!("Success rate: {sign} {bound}"),
        (Measure::Latency(quantile), _) => format!("Response time ({}): {sign} {bound}", quantile.name()),
        _ => condition.text.clone(),
    }
}

pub(super) fn trigger_words(condition: &Condition) -> String {
    let (sign, bound) = (condition.comparison.sign(), condition.bound);
    match (&condition.measure, bound) {
        (Measure::ErrorRate, Bound::Share(_)) => format!("Error rate {sign} {bound}"),
        (Measure::SuccessRate, Bound::Share(_)) => format!("Success rate {sign} {bound}"),
        (Measure::Latency(quantile), _) => format!("Response time {sign} {bound} ({})", quantile.name()),
        _ => condition.text.clone(),
    }
}

/// Before, during or after the deployment.
pub(super) const fn phase(when: When) -> usize {
    match when {
        When::Before(_) | When::MorningOfDeployment => 0,
        When::Every(_) | When::Immediately => 1,
        When::UponCompletion | When::NextDay => 2,
    }
}

pub(super) fn label(message: &Message) -> String {
    let known = match (message.kind, message.to) {
        (Kind::Announcement, Audience::Team) => "Team Notification",
        (Kind::Announcement, Audience::Stakeholders) => "Stakeholder Update",
        (Kind::Status, Audience::Team) => "Status Updates",
        (Kind::Escalation, Audience::OnCall) => "Issue Escalation",
        (Kind::Success, Audience::Team) => "Success Notification",
        (Kind::Report, Audience::Stakeholders) => "Metrics Report",
        (kind, to) => return format!("{} to {}", title(kind.name()), to.name().replace('_', " ")),
    };
    known.to_owned()
}

pub(super) fn when_words(when: When) -> String {
    match when {
        When::Before(span) => format!("{} before", rollout::words(span)),
        When::Every(span) => format!("Every {}", rollout::words(span)),
        When::Immediately => "Immediate".to_owned(),
        When::UponCompletion => "Upon completion".to_owned(),
        When::MorningOfDeployment => "Morning of deployment".to_owned(),
        When::NextDay => "Next day".to_owned(),
    }
}
