//! A release in sentences: where it stands, what comes next, what to type.

use jiff::Timestamp;

use super::figures::moment;
use crate::cli::{
    releases::shape::{Entry, Release},
    table::{counted, lasting},
};

/// Where it stands: `1 %, step 2 of 5, since 14:03:11 UTC`.
pub(in crate::cli::releases) fn place_in_words(release: &Release, now: Timestamp) -> String {
    if release.is_scheduled() {
        return match &release.start_at {
            Some(at) => format!("starts by itself at {} UTC", moment(at, now)),
            None => "starts when told".to_owned(),
        };
    }
    let Some(step) = &release.step else { return String::new() };
    let place = format!("{} %, step {} of {}", step.percentage, step.number, step.of);
    if release.ended {
        let passed =
            |from: &str, to: &str| Some(to.parse::<Timestamp>().ok()?.as_millisecond() - from.parse::<Timestamp>().ok()?.as_millisecond());
        let took = release.started_at.as_deref().zip(release.ended_at.as_deref()).and_then(|(from, to)| passed(from, to));
        return took.map(|took_ms| format!("at {place}, after {}", lasting(took_ms))).unwrap_or_else(|| format!("at {place}"));
    }
    if step.since.is_empty() { place } else { format!("{place}, since {} UTC", moment(&step.since, now)) }
}

/// What a person may have to do; none while it goes on by itself.
pub(in crate::cli::releases) fn advice(release: &Release, environment: &str) -> Option<String> {
    let id = &release.id;
    let call = |verb: &str| format!("storyflag release {verb} {id} -e {environment}");
    let open = u64::try_from(release.to_tick().count()).unwrap_or(u64::MAX);
    Some(match (release.phase.as_str(), release.state.as_str()) {
        ("scheduled", _) if open > 0 => {
            format!("{} to tick before the start: {}", counted(open, "item"), call("tick"))
        }
        ("scheduled", _) if release.start_at.is_none() => call("start"),
        ("paused", _) => format!("{} (triggers are judged all the same)", call("resume")),
        (_, "awaiting approval: thin evidence") => format!("too few requests to show that the limits hold: {}", call("approve")),
        (_, "awaiting approval") => format!("the next step waits for a human: {}", call("approve")),
        (_, "holding: sample ratio") => format!("the arms have other shares than they should; find out why, then {}", call("approve")),
        (_, "holding: no data") => "nothing: it goes on by itself when the applications report again".to_owned(),
        (_, "holding: source error") => "nothing: it goes on by itself when the source answers again".to_owned(),
        (_, "holding: control fails alike") => format!("the old version fails, too; {} is always open", call("rollback")),
        ("rolled_back", _) if release.rollback.as_ref().is_some_and(|rollback| !rollback.verified) => {
            "see to these instances: they may still serve the new version".to_owned()
        }
        _ => return None,
    })
}

/// One line of a timeline, but for its time.
pub(in crate::cli::releases) fn entry_in_words(entry: &Entry) -> String {
    let by = if entry.actor.is_empty() { String::new() } else { format!(" by {}", entry.actor) };
    let (what, text) = match entry.kind.as_str() {
        "notice" if entry.audience.is_empty() => ("told".to_owned(), &entry.text),
        "notice" => (format!("told {}", entry.audience.replace('_', " ")), &entry.text),
        "change" => (format!("changed{by}"), &entry.text),
        _ => {
            let at = entry.percentage.map(|percentage| format!(" at {percentage} %")).unwrap_or_default();
            (format!("{}{at}{by}", entry.to), &entry.text)
        }
    };
    if text.is_empty() { what } else { format!("{what}: {text}") }
}

/// One line for a log.
pub(in crate::cli::releases) fn status_in_words(release: &Release) -> String {
    let mut parts = vec![release.doing()];
    if let Some(step) = &release.step {
        let baked = format!("{} of {} baked", lasting(step.baked_ms), lasting(step.bake_ms));
        parts.push(format!("at {} %, step {} of {}, {baked}", step.percentage, step.number, step.of));
    }
    let mut text = parts.join(" ");
    // Before the start it would be about nobody.
    if release.step.is_some() && !release.evidence.is_empty() {
        text.push_str(&format!("; {}", release.evidence));
    }
    if let Some(next) = release.next.as_ref().filter(|_| !release.ended) {
        let what = next.percentage.map_or_else(|| "the end".to_owned(), |percentage| format!("{percentage} %"));
        text.push_str(&format!("; next {what}"));
        if let Some(left_ms) = next.left_ms {
            text.push_str(&format!(" in {} at the earliest", lasting(left_ms)));
        }
    }
    let open: Vec<&str> = release.alerts.iter().filter(|alert| alert.open).map(|alert| alert.name.as_str()).collect();
    if !open.is_empty() {
        text.push_str(&format!("; alerts open: {}", open.join(", ")));
    }
    text
}
