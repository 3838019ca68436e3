//! The report of a release: what it did, told from what stands in the database.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};
use storyflag_evaluation::Arm;
use storyflag_release::{
    evidence::{ArmCounts, EventCounts},
    machine::Record,
    plan::Progress,
    report::{ArmSums, Note, NoteKind, Report, Told, Transition, Units, figures},
};

use super::{EntryKind, ReleaseState};
use crate::{
    app::{App, now_ms},
    error::Error,
    store::{MinuteRow, Registers, TransitionRow},
};

/// In milliseconds.
const MINUTE_MS: i64 = 60_000;

impl App {
    /// A release's report, as far as it got.
    ///
    /// # Errors
    /// 409 where its plan cannot be read any more; the database away.
    pub async fn release_report(&self, state: &ReleaseState) -> Result<Report, Error> {
        Ok(Report::of(&self.told(state).await?))
    }

    /// What a plan's document shows of a release.
    pub(super) async fn progress(&self, state: &ReleaseState) -> Result<Progress, Error> {
        Ok(figures(&self.told(state).await?))
    }

    /// The report that is told the next day: for machines, and as Markdown for people.
    pub(super) async fn report_for_notice(&self, environment: i64, key: &str) -> Result<Value, Error> {
        let row = self.store.find_release(environment, key).await?;
        let row = row.ok_or_else(|| Error::internal("a report of a release that is gone"))?;
        let report = self.release_report(&self.release_state(row, None).await?).await?;
        Ok(json!({ "summary": report.summary(), "markdown": report.markdown(), "report": report }))
    }

    async fn told(&self, state: &ReleaseState) -> Result<Told, Error> {
        let row = &state.row;
        let Some(plan) = state.reading().plan else {
            return Err(Error::Conflict("this version of the service does not understand the plan that was released".to_owned(), None));
        };
        let minutes = self.store.minute_sums(row.environment, &row.flag).await?;
        let exposed = self.store.exposed_registers(row.environment, &row.flag).await?;
        let place = self.place_of(row.environment).await?;
        Ok(Told {
            release: row.key.clone(),
            environment: place.environment.key,
            plan,
            course: state.stored.carried.course.clone(),
            time_scale: u32::try_from(row.time_scale).unwrap_or(1),
            state: state.stored.run.state.clone(),
            transitions: state.transitions.iter().map(transition).collect(),
            notes: self.notes(state).await?,
            sums: sums(state, &minutes, &exposed),
            units: units(state, &exposed),
            now_ms: now_ms(),
        })
    }

    async fn notes(&self, state: &ReleaseState) -> Result<Vec<Note>, Error> {
        let entries = self.release_timeline(state).await?;
        let note = |entry: super::Entry| {
            let kind = match (entry.kind, entry.topic.as_deref()) {
                (EntryKind::Transition, _) | (EntryKind::Notice, Some("release.transition")) => return None,
                (EntryKind::Change, _) => NoteKind::Change,
                (EntryKind::Notice, Some("release.alert")) => NoteKind::Alert,
                (EntryKind::Notice, Some("release.escalation")) => NoteKind::Escalation,
                (EntryKind::Notice, _) => NoteKind::Notice,
            };
            Some(Note { kind, at_ms: entry.at, actor: entry.actor, text: entry.text })
        };
        Ok(entries.into_iter().filter_map(note).collect())
    }
}

fn transition(row: &TransitionRow) -> Transition {
    let record = Record {
        number: u64::try_from(row.number).unwrap_or_default(),
        at_ms: row.at,
        from: row.from_phase.clone(),
        to: row.to_phase.clone(),
        step: usize::try_from(row.step).unwrap_or_default(),
        actor: row.actor.clone(),
        evidence: row.evidence.clone(),
    };
    Transition { record, revision: row.revision.and_then(|revision| u64::try_from(revision).ok()) }
}

/// Whether a revision is one that the release set.
fn is_own(state: &ReleaseState, revision: u64) -> bool {
    state.transitions.iter().any(|row| row.revision.and_then(|own| u64::try_from(own).ok()) == Some(revision))
}

fn sums(state: &ReleaseState, minutes: &[MinuteRow], exposed: &[(u64, Arm, Registers)]) -> Vec<ArmSums> {
    let mut sums: BTreeMap<(u64, &'static str), ArmSums> = BTreeMap::new();
    // What comes after the end is no part of the release.
    let last = state.row.ended_at.unwrap_or(i64::MAX) / MINUTE_MS;
    for row in minutes.iter().filter(|row| is_own(state, row.rollout_revision) && row.minute <= last) {
        let sum = sums.entry((row.rollout_revision, row.arm.name())).or_insert_with(|| ArmSums::new(row.rollout_revision, row.arm));
        add(sum, row);
    }
    for (revision, arm, registers) in exposed {
        if let Some(sum) = sums.get_mut(&(*revision, arm.name())) {
            sum.units = Some(registers.estimate());
        }
    }
    sums.into_values().collect()
}

fn add(sum: &mut ArmSums, row: &MinuteRow) {
    let (from, to) = (row.minute.saturating_mul(MINUTE_MS), row.minute.saturating_add(1).saturating_mul(MINUTE_MS));
    let (first, last) = sum.seen_ms.unwrap_or((from, to));
    sum.seen_ms = Some((first.min(from), last.max(to)));
    let counts = &row.counts;
    sum.counts.add(&ArmCounts {
        requests: counts.requests,
        success: counts.success,
        failure: counts.failure,
        error: counts.error,
        cancelled: counts.cancelled,
        mixed: counts.mixed,
        new_units: counts.new_units,
        slow: counts.slow.iter().map(|(limit_ms, count)| (*limit_ms, event(*count))).collect(),
        named: counts.named.iter().map(|(name, tracked)| (name.clone(), event(tracked.count))).collect(),
        ..ArmCounts::default()
    });
    for (name, tracked) in &counts.named {
        *sum.values.entry(name.clone()).or_default() += tracked.sum;
    }
    sum.latency_us.extend(counts.latency_us.pairs());
}

fn event(count: u64) -> EventCounts {
    EventCounts { count, ..EventCounts::default() }
}

/// Distinct units over every step: the union of what each step met.
fn units(state: &ReleaseState, exposed: &[(u64, Arm, Registers)]) -> Units {
    let mut by_arm: HashMap<&'static str, Registers> = HashMap::new();
    let mut all: Option<Registers> = None;
    for (_, arm, registers) in exposed.iter().filter(|(revision, ..)| is_own(state, *revision)) {
        by_arm.entry(arm.name()).or_insert_with(|| registers.clone()).merge(registers);
        if matches!(arm, Arm::Treatment | Arm::Cohort) {
            all.get_or_insert_with(|| registers.clone()).merge(registers);
        }
    }
    let of = |arm: Arm| by_arm.get(arm.name()).map(Registers::estimate);
    Units {
        exposed: all.as_ref().map(Registers::estimate),
        treatment: of(Arm::Treatment),
        control: of(Arm::Control),
        cohort: of(Arm::Cohort),
    }
}
