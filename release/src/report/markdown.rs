//! The report as a document.

use super::{
    Approved, Entry, Held, Incident, Moment, Report, StepReport, TargetReport, UnitsReport, tables,
    words::{block, code, plain, share, span},
};
use crate::{evidence::count, plan::Gate};

/// How many lines of the timeline a document shows, from either end.
const SHOWN: usize = 200;

pub(super) fn write(report: &Report) -> String {
    let parts = [
        head(report),
        tables::steps(report),
        tables::rates(report),
        tables::latencies(report),
        targets(report),
        rollback(report),
        list("Incidents", report.incidents.iter().map(|incident| incident_line(report, incident)).collect(), "None."),
        list("Holds", report.holds.iter().map(|held| hold_line(report, held)).collect(), "None: it went on by itself."),
        list("Approvals", report.approvals.iter().map(|approved| approval_line(report, approved)).collect(), "None was asked for."),
        tables::units(report),
        tables::events(report),
        checklist(report),
        timeline(report),
    ];
    let mut text = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n");
    text.push_str("\n---\n\n");
    text.push_str(&format!("*Written {} ({}). ", moment(report, report.written_at), plain(&report.time_zone)));
    text.push_str("Ranges hold at every moment at once, each but with a chance of 5 %. ");
    text.push_str("Rates count requests; treatment against control counts units and the first time that it befell each.*\n");
    text
}

fn head(report: &Report) -> String {
    let mut text = format!("# Release report: {}\n\n**Outcome**: {}\n\n", plain(&report.release), plain(&report.outcome));
    let mut fact = |name: &str, value: String| text.push_str(&format!("- **{name}**: {value}\n"));
    fact("Flag", code(&report.flag));
    if !report.environment.is_empty() {
        fact("Environment", plain(&report.environment));
    }
    if let Some(story) = &report.story {
        fact("Story", plain(story));
    }
    fact("Plan", plain(&report.plan));
    fact("State", plain(report.state));
    if let Some(started_at) = report.started_at {
        fact("Started", moment(report, started_at));
    }
    if let Some(ended_at) = report.ended_at {
        fact("Ended", moment(report, ended_at));
    }
    if let Some(took_ms) = report.took_ms {
        fact(if report.ended { "Took" } else { "Under way for" }, span(took_ms));
    }
    if report.time_scale > 1 {
        fact("Time scale", format!("the plan's times were divided by {}", report.time_scale));
    }
    fact("Units ever exposed", units(report.units.exposed));
    if !report.watched {
        fact("Watched", "nothing: a plain schedule by time".to_owned());
    }
    if !report.open.is_empty() {
        let open = report.open.iter().map(|text| plain(text)).collect::<Vec<_>>().join("; ");
        fact("Still open", open);
    }
    text
}

/// A local time of the plan's zone.
pub(super) fn moment(report: &Report, at: Moment) -> String {
    report.calendar.local(at.timestamp()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// `about 12,300`; what nobody knows is said so.
pub(super) fn units(units: UnitsReport) -> String {
    match units.units {
        None => "not known".to_owned(),
        Some(0) => "none".to_owned(),
        Some(known) if units.at_least => format!("at least about {}", count(known)),
        Some(known) => format!("about {}", count(known)),
    }
}

/// A step's place: `10 % (step 3 of 5)`.
pub(super) fn place(step: &StepReport) -> String {
    format!("{} % (step {} of {})", step.percentage, step.number, step.of)
}

fn section(title: &str) -> String {
    format!("## {title}\n\n")
}

fn list(title: &str, lines: Vec<String>, none: &str) -> String {
    let mut text = section(title);
    if lines.is_empty() {
        text.push_str(&format!("{none}\n"));
    }
    for line in lines {
        text.push_str(&format!("- {line}\n"));
    }
    text
}

fn by(actor: Option<&String>) -> String {
    actor.map(|actor| format!(" by {}", plain(actor))).unwrap_or_default()
}

fn incident_line(report: &Report, incident: &Incident) -> String {
    let until = match incident.until {
        Some(until) => format!(", until {}", moment(report, until)),
        None if incident.open => ", still open".to_owned(),
        None if incident.kind == "alert" => ", not closed before the end".to_owned(),
        None => String::new(),
    };
    format!("**{}** {}{until}{}: {}", incident.kind, moment(report, incident.at), by(incident.by.as_ref()), plain(&incident.text))
}

fn hold_line(report: &Report, held: &Held) -> String {
    let how_long = if held.until.is_some() { span(held.took_ms) } else { format!("{} so far", span(held.took_ms)) };
    let why = if held.why.trim().is_empty() { "no reason given".to_owned() } else { plain(&held.why) };
    let (state, from, actor) = (plain(&held.state), moment(report, held.from), by(held.by.as_ref()));
    format!("**{state}** in step {} from {from}{actor}, {how_long}: {why}", held.step)
}

fn approval_line(report: &Report, approved: &Approved) -> String {
    let waited = if approved.waited_ms > 0 { format!(" after {}", span(approved.waited_ms)) } else { String::new() };
    let reason = approved.reason.as_ref().map_or("no reason given".to_owned(), |reason| plain(reason));
    let (at, who) = (moment(report, approved.at), plain(&approved.by));
    format!("**{}** in step {} by {who}, {at}{waited}: {reason}. Known then: {}", approved.what, approved.step, plain(&approved.evidence))
}

fn targets(report: &Report) -> String {
    let mut text = section("Targets");
    if report.targets.targets.is_empty() {
        text.push_str("The plan names none.\n");
        return text;
    }
    match (report.targets.verdict, report.started_at) {
        (Some(verdict), _) => text.push_str(&format!("**{verdict}**, over treatment and cohort in the last step's bake.\n\n")),
        (None, Some(_)) => {
            text.push_str("Not judged: they are when the last step is over. The counts are those of the last step taken.\n\n")
        }
        (None, None) => text.push_str("Not judged: no step was taken.\n\n"),
    }
    text.push_str("| Target | Verdict | Requests that miss it | May be |\n|---|---|---|---|\n");
    for target in &report.targets.targets {
        text.push_str(&target_row(target));
    }
    text
}

fn target_row(target: &TargetReport) -> String {
    let missed = target.missed.map_or("not counted".to_owned(), |rate| tables::rate(&rate));
    let limit = target.limit.map_or("not counted".to_owned(), share);
    format!("| {} | {} | {missed} | {limit} |\n", code(&target.name), target.verdict.unwrap_or("not judged"))
}

fn rollback(report: &Report) -> String {
    let Some(rollback) = &report.rollback else { return String::new() };
    let mut text = section("Rollback");
    text.push_str(&format!("- **Cause**: {}\n", plain(&rollback.evidence)));
    if let Some(trigger) = &rollback.trigger {
        text.push_str(&format!("- **Trigger**: {}\n", code(trigger)));
    }
    if let Some(at) = rollback.decided_at {
        text.push_str(&format!("- **Decided**: {}\n", moment(report, at)));
    }
    let planned = span(rollback.planned_ms);
    let took = match (rollback.took_ms, rollback.within_plan) {
        (Some(took_ms), Some(true)) => format!("{}, within the plan's {planned}", span(took_ms)),
        (Some(took_ms), _) if rollback.verified == Some(true) => format!("{}, longer than the plan's {planned}", span(took_ms)),
        (Some(took_ms), _) => format!("not verified after {}; the plan says {planned}", span(took_ms)),
        (None, _) => format!("still under way; the plan says {planned}"),
    };
    text.push_str(&format!("- **Time**: {took}\n"));
    let verified = match rollback.verified {
        Some(true) => "every instance heard of runs what was before, and the treatment is no longer served".to_owned(),
        Some(false) if rollback.silent.is_empty() => "no: it was not seen that the treatment is no longer served".to_owned(),
        Some(false) => {
            let silent = rollback.silent.iter().map(|instance| plain(instance)).collect::<Vec<_>>().join(", ");
            format!("no: not seen to run what was before: {silent}")
        }
        None => "not yet".to_owned(),
    };
    text.push_str(&format!("- **Verified**: {verified}\n"));
    if !report.runbook.is_empty() {
        text.push_str("\n### Runbook\n\nThe plan's commands, for people: the service carries none of them out.\n");
        for (name, command) in &report.runbook.0 {
            text.push_str(&format!("\n**{}**\n\n{}", plain(name), block(command)));
        }
    }
    text
}

fn checklist(report: &Report) -> String {
    if report.checklist.is_empty() {
        return String::new();
    }
    let mut text = section("Checklist");
    for (gate, title) in [(Gate::Start, "Before the start"), (Gate::Complete, "For completion")] {
        let items: Vec<_> = report.checklist.iter().filter(|item| item.gate == gate).collect();
        if items.is_empty() {
            continue;
        }
        let done = items.iter().filter(|item| item.done).count();
        text.push_str(&format!("**{title}**: {done} of {}\n\n", items.len()));
        for item in items {
            let mark = if item.done { 'x' } else { ' ' };
            let who = match (&item.by, item.at) {
                (Some(by), Some(at)) => format!(" ({}, {})", plain(by), moment(report, at)),
                _ if item.done => " (ticked in the plan)".to_owned(),
                _ => String::new(),
            };
            text.push_str(&format!("- [{mark}] {}{who}\n", plain(&item.text)));
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn timeline(report: &Report) -> String {
    let mut text = section("Timeline");
    if report.timeline.is_empty() {
        text.push_str("Nothing has happened.\n");
        return text;
    }
    text.push_str("| Time | What | Step | Who | On what |\n|---|---|---|---|---|\n");
    // Status messages say what the transitions say.
    let entries: Vec<_> = report.timeline.iter().filter(|entry| entry.kind != "notice").collect();
    let left_out = entries.len().saturating_sub(SHOWN.saturating_mul(2));
    let mut step_before = None;
    for (place, entry) in entries.into_iter().enumerate() {
        let takes = entry.to.as_deref() == Some("baking") && (entry.from.as_deref() == Some("scheduled") || entry.step != step_before);
        step_before = entry.step.or(step_before);
        if left_out > 0 && place == SHOWN {
            text.push_str(&format!("| | | | | {} lines are left out here |\n", count(u64::try_from(left_out).unwrap_or(u64::MAX))));
        }
        if left_out == 0 || place < SHOWN || place >= SHOWN.saturating_add(left_out) {
            text.push_str(&entry_row(report, entry, takes));
        }
    }
    text
}

fn entry_row(report: &Report, entry: &Entry, takes_step: bool) -> String {
    let what = match (&entry.to, entry.percentage) {
        (Some(_), Some(percentage)) if takes_step => format!("**{percentage} %**"),
        (Some(to), _) => plain(to),
        (None, _) => entry.kind.to_owned(),
    };
    let step = entry.step.map(|step| step.to_string()).unwrap_or_default();
    let actor = entry.actor.as_ref().map(|actor| plain(actor)).unwrap_or_default();
    let text = if entry.text.trim().is_empty() { "no reason given".to_owned() } else { plain(&entry.text) };
    format!("| {} | {what} | {step} | {actor} | {text} |\n", moment(report, entry.at))
}
