//! How it ended, in one line.

use super::{
    Moment, TargetsReport, Told,
    steps::{Visit, is_forced},
    words::{between, span},
};
use crate::machine::{Cause, Phase};

/// How the release ended or stands: the first line of every report.
pub(super) fn line(told: &Told, visits: &[Visit<'_>], targets: &TargetsReport) -> String {
    let state = &told.state;
    let place = told.course.name_step(state.step);
    let line = match &state.phase {
        Phase::Scheduled { start_ms: Some(start_ms) } => format!("scheduled, starts by itself at {}", local(told, *start_ms)),
        Phase::Scheduled { start_ms: None } => "scheduled: it starts when somebody says so".to_owned(),
        Phase::Running(_) => format!("running at {place} for {}: {}", since_step(told, visits), state.phase.name()),
        Phase::Paused { by, reason } => {
            format!("paused at {place} by {}", because(by, reason))
        }
        Phase::RollingBack { cause, .. } => {
            format!("rolling back from {place} after {}: {}", since_step(told, visits), cause_line(cause))
        }
        Phase::RolledBack { cause, verified, silent, took_ms } => {
            let verified = if *verified {
                format!("verified after {}", span(between(0, *took_ms)))
            } else if silent.is_empty() {
                format!("not verified within {}", span(between(0, *took_ms)))
            } else {
                format!("not verified within {}: {} not seen to run the baseline", span(between(0, *took_ms)), silent.join(", "))
            };
            format!("rolled back at {place} after {}: {}; {verified}", since_step(told, visits), cause_line(cause))
        }
        Phase::Completed { .. } => {
            let targets = targets.verdict.map_or("no target named".to_owned(), |verdict| format!("targets {verdict}"));
            format!("completed at {place} after {}{}: {targets}", took(told), forced(visits))
        }
        Phase::Superseded { by } => {
            format!("superseded at {place} after {}: {by} took over, and the flag is no longer watched", since_step(told, visits))
        }
        Phase::Cancelled { by, reason } => format!("cancelled before the first step by {}", because(by, reason)),
    };
    if told.course.is_plain_schedule() && state.started_ms.is_some() {
        format!("{line}; by time alone, nothing turned it back")
    } else {
        line
    }
}

fn because(by: &str, reason: &str) -> String {
    if reason.trim().is_empty() { by.to_owned() } else { format!("{by}: {reason}") }
}

fn cause_line(cause: &Cause) -> String {
    match cause {
        Cause::Command { by, reason } => format!("asked for by {by}: {reason}"),
        Cause::Kill { .. } | Cause::Trigger { .. } => cause.line(),
    }
}

/// From when the last step was taken to when it was left, or until now.
fn since_step(told: &Told, visits: &[Visit<'_>]) -> String {
    let Some(visit) = visits.last() else { return "no time".to_owned() };
    span(between(visit.taken_ms(), visit.left_ms().unwrap_or(told.now_ms)))
}

fn took(told: &Told) -> String {
    let ended_ms = told.state.ended_ms.unwrap_or(told.now_ms);
    told.state.started_ms.map_or("no time".to_owned(), |started_ms| span(between(started_ms, ended_ms)))
}

fn forced(visits: &[Visit<'_>]) -> String {
    let left = visits.last().and_then(|visit| visit.left).map(|left| &left.record).filter(|record| is_forced(record));
    left.and_then(|record| record.actor.as_ref()).map_or(String::new(), |actor| format!(", its last step ended by force by {actor}"))
}

/// A time of the calendar's zone: `2026-12-01 16:00`.
pub(super) fn local(told: &Told, ms: i64) -> String {
    let calendar = &told.plan.calendar;
    let zone = calendar.timezone.iana_name().unwrap_or("UTC");
    format!("{} {zone}", calendar.local(Moment::of(ms).timestamp()).strftime("%Y-%m-%d %H:%M"))
}
