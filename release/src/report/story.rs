//! What happened: holds, approvals, incidents, and the timeline of it all.

use serde::Serialize;

use super::{
    Moment, Note, NoteKind, Told,
    steps::{is_forced, takes_step},
    words::between,
};
use crate::machine::Record;

/// A time in which the release did not go on by itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Held {
    /// The phase: `holding: no data`, `awaiting approval`, `awaiting the calendar`, `paused`.
    pub state: String,
    /// The number of the step.
    pub step: usize,
    /// Since when.
    pub from: Moment,
    /// Until when; none: it still holds.
    pub until: Option<Moment>,
    /// How long, until now at the latest.
    pub took_ms: u64,
    /// Who paused it.
    pub by: Option<String>,
    /// Why.
    pub why: String,
}

/// Somebody's word that let the release go on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Approved {
    /// What was approved: `approval`, `thin evidence`, `sample ratio`, `advanced by force`.
    pub what: &'static str,
    /// The number of the step that was left, or went on.
    pub step: usize,
    /// When.
    pub at: Moment,
    /// How long it had been waited for; nothing for what nobody waited for.
    pub waited_ms: u64,
    /// Who.
    pub by: String,
    /// Why, if they said so.
    pub reason: Option<String>,
    /// What was known then.
    pub evidence: String,
}

/// Something that went wrong, or that somebody was called for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Incident {
    /// `alert`, `escalation`, `rollback`, `kill` or `superseded`.
    pub kind: &'static str,
    /// When.
    pub at: Moment,
    /// When it was over: an alert closed, a rollback ended. None: it was not, or it is no span.
    pub until: Option<Moment>,
    /// Whether it lasts.
    pub open: bool,
    /// Who, where somebody did it.
    pub by: Option<String>,
    /// In words.
    pub text: String,
}

/// One line of the timeline.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// `transition`, `change`, `alert`, `escalation` or `notice`.
    pub kind: &'static str,
    /// When.
    pub at: Moment,
    /// A transition's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// The phase before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The phase after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The number of the step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<usize>,
    /// The step's percentage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percentage: Option<f64>,
    /// Who; nobody when the service did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// What it rests on, or what was said.
    pub text: String,
    /// The environment's revision that came with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
}

fn holds_in(phase: &str) -> bool {
    phase == "paused" || phase.starts_with("holding: ") || phase.starts_with("awaiting ")
}

/// Every hold, each from one transition to the next.
pub(super) fn holds(told: &Told) -> Vec<Held> {
    let nexts = told.transitions.iter().skip(1).map(Some).chain([None]);
    let pairs = told.transitions.iter().zip(nexts).filter(|(transition, _)| holds_in(&transition.record.to));
    let held = pairs.map(|(transition, next)| {
        let record = &transition.record;
        let until_ms = next.map(|next| next.record.at_ms);
        Held {
            state: record.to.clone(),
            step: record.step.saturating_add(1),
            from: Moment::of(record.at_ms),
            until: until_ms.map(Moment::of),
            took_ms: between(record.at_ms, until_ms.unwrap_or(told.now_ms)),
            by: record.actor.clone(),
            why: record.evidence.clone(),
        }
    });
    held.collect()
}

/// Every approval, and every step that was taken by force.
pub(super) fn approvals(told: &Told) -> Vec<Approved> {
    let mut approvals = Vec::new();
    let mut before: Option<&Record> = None;
    for transition in &told.transitions {
        let record = &transition.record;
        let step_before = before.map(|before| before.step);
        let takes = takes_step(transition, step_before);
        let what = match (record.from.as_str(), record.to.as_str()) {
            ("scheduled", _) => None,
            (_, "baking") if takes && is_forced(record) => Some("advanced by force"),
            (_, "completed") if is_forced(record) => Some("advanced by force"),
            ("awaiting approval", "baking") if !takes => Some("approval"),
            ("awaiting approval: thin evidence", "baking") if !takes => Some("thin evidence"),
            ("holding: sample ratio", "baking") if !takes => Some("sample ratio"),
            _ => None,
        };
        if let (Some(what), Some(by)) = (what, &record.actor) {
            let waited = before.filter(|before| holds_in(&before.to));
            approvals.push(Approved {
                what,
                step: step_before.unwrap_or(record.step).saturating_add(1),
                at: Moment::of(record.at_ms),
                waited_ms: waited.map_or(0, |before| between(before.at_ms, record.at_ms)),
                by: by.clone(),
                reason: reason(&record.evidence),
                evidence: record.evidence.clone(),
            });
        }
        before = Some(record);
    }
    approvals
}

/// Why somebody approved: the machine writes it in brackets after the counts, which hold no such words.
fn reason(evidence: &str) -> Option<String> {
    let marks = ["(approved: ", "(sample ratio approved: ", "(advanced by force: "];
    let found = marks.iter().filter_map(|mark| evidence.find(mark).map(|at| at.saturating_add(mark.len()))).min()?;
    let reason = evidence.get(found..)?;
    Some(reason.strip_suffix(')').unwrap_or(reason).to_owned())
}

/// Alerts, escalations, rollbacks, kills and take-overs, in the order of time.
pub(super) fn incidents(told: &Told) -> Vec<Incident> {
    let notes = distinct(told);
    let mut incidents = alerts(told, &notes);
    incidents.extend(turns(told));
    let own = notes.iter().filter(|note| note.kind == NoteKind::Escalation);
    incidents.extend(own.map(|note| Incident {
        kind: "escalation",
        at: Moment::of(note.at_ms),
        until: None,
        open: false,
        by: note.actor.clone(),
        text: said(told, note).to_owned(),
    }));
    incidents.sort_by_key(|incident| incident.at);
    incidents
}

/// Rollbacks and take-overs.
fn turns(told: &Told) -> Vec<Incident> {
    let incident = |kind, record: &Record| Incident {
        kind,
        at: Moment::of(record.at_ms),
        until: None,
        open: false,
        by: record.actor.clone(),
        text: record.evidence.clone(),
    };
    let mut turns = Vec::new();
    for (index, transition) in told.transitions.iter().enumerate() {
        let record = &transition.record;
        match record.to.as_str() {
            "rolling back" => {
                let killed = record.actor.as_ref().is_some_and(|actor| record.evidence == format!("killed by {actor}"));
                let over = told.transitions.get(index.saturating_add(1)).map(|next| Moment::of(next.record.at_ms));
                let kind = if killed { "kill" } else { "rollback" };
                turns.push(Incident { until: over, open: over.is_none(), ..incident(kind, record) });
            }
            "superseded" => turns.push(incident("superseded", record)),
            _ => {}
        }
    }
    turns
}

/// Every time an alert stood, from its opening to its closing.
fn alerts(told: &Told, notes: &[&Note]) -> Vec<Incident> {
    let mut incidents: Vec<(String, Incident)> = Vec::new();
    for note in notes.iter().filter(|note| note.kind == NoteKind::Alert) {
        let says = |name: &str, word: &str| note.text.contains(&format!("alert {name} {word} ("));
        let named = told.course.alerts.iter().map(|alert| alert.name.as_str());
        let closed = named.clone().find(|name| says(name, "closed"));
        let open = incidents.iter_mut().rev().find(|(name, incident)| Some(name.as_str()) == closed && incident.open);
        if let Some((_, incident)) = open {
            (incident.until, incident.open) = (Some(Moment::of(note.at_ms)), false);
            continue;
        }
        let opened = named.clone().find(|name| says(name, "opened")).unwrap_or_default();
        let text = said(told, note).to_owned();
        let at = Moment::of(note.at_ms);
        incidents.push((opened.to_owned(), Incident { kind: "alert", at, until: None, open: !opened.is_empty(), by: None, text }));
    }
    // An alert is judged until the release turns back or ends: after that nobody knows.
    if told.state.has_ended() {
        incidents.iter_mut().for_each(|(_, incident)| incident.open = false);
    }
    incidents.into_iter().map(|(_, incident)| incident).collect()
}

/// The notes in the order of time, each once whatever number of audiences was told. What tells of a transition stands there already.
fn distinct(told: &Told) -> Vec<&Note> {
    let mut sorted: Vec<&Note> = told.notes.iter().filter(|note| !tells_of_a_transition(told, note)).collect();
    sorted.sort_by_key(|note| note.at_ms);
    let mut distinct: Vec<&Note> = Vec::with_capacity(sorted.len());
    for note in sorted {
        let mut at_once = distinct.iter().rev().take_while(|known| known.at_ms == note.at_ms);
        if !at_once.any(|known| known.kind == note.kind && known.text == note.text) {
            distinct.push(note);
        }
    }
    distinct
}

fn tells_of_a_transition(told: &Told, note: &Note) -> bool {
    let is_message = matches!(note.kind, NoteKind::Escalation | NoteKind::Notice);
    let mut at_once = told.transitions.iter().map(|transition| &transition.record).filter(|record| record.at_ms == note.at_ms);
    is_message && at_once.any(|record| said(told, note).starts_with(&format!("{}: {} at ", record.evidence, record.to)))
}

/// A note's text without the release's id before it.
fn said<'n>(told: &Told, note: &'n Note) -> &'n str {
    note.text.strip_prefix(told.release.as_str()).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(&note.text)
}

/// Transitions and notes, in the order of time; of one moment, transitions first and in the order of their numbers.
pub(super) fn timeline(told: &Told) -> Vec<Entry> {
    let transitions = told.transitions.iter().map(|transition| {
        let record = &transition.record;
        Entry {
            kind: "transition",
            at: Moment::of(record.at_ms),
            number: Some(record.number),
            from: Some(record.from.clone()),
            to: Some(record.to.clone()),
            step: Some(record.step.saturating_add(1)),
            percentage: told.course.steps.get(record.step).map(|step| step.percentage.percent()),
            actor: record.actor.clone(),
            text: record.evidence.clone(),
            revision: transition.revision,
        }
    });
    let notes = distinct(told).into_iter().map(|note| Entry {
        kind: match note.kind {
            NoteKind::Change => "change",
            NoteKind::Alert => "alert",
            NoteKind::Escalation => "escalation",
            NoteKind::Notice => "notice",
        },
        at: Moment::of(note.at_ms),
        number: None,
        from: None,
        to: None,
        step: None,
        percentage: None,
        actor: note.actor.clone(),
        text: said(told, note).to_owned(),
        revision: None,
    });
    let mut entries: Vec<Entry> = transitions.chain(notes).collect();
    entries.sort_by_key(|entry| entry.at);
    entries
}
