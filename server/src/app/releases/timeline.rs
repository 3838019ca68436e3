//! What happened to a release, in order: its own transitions, and what others did to its flag meanwhile.

use serde::Serialize;
use utoipa::ToSchema;

use super::ReleaseState;
use crate::{
    app::App,
    error::Error,
    store::{NoticeRow, TransitionRow},
};

/// The most changes of the flag that a timeline tells.
const MOST_CHANGES: i64 = 500;

/// What an entry of a timeline is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// The release went from one phase or step to another.
    Transition,
    /// Somebody changed the flag's targeting.
    Change,
    /// People were told something.
    Notice,
}

/// One entry of a timeline.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What it is.
    pub kind: EntryKind,
    /// Epoch milliseconds.
    pub at: i64,
    /// Counts transitions.
    pub number: Option<i64>,
    /// The phase before.
    pub from: Option<String>,
    /// The phase after.
    pub to: Option<String>,
    /// The index of the step.
    pub step: Option<usize>,
    /// Who did it; for a notice, none.
    pub actor: Option<String>,
    /// What it rests on, or what was said.
    pub text: String,
    /// The environment's revision that it made.
    pub revision: Option<i64>,
    /// Who was told.
    pub audience: Option<String>,
    /// What kind of message it was: `release.alert`.
    pub topic: Option<String>,
}

impl Entry {
    /// A transition.
    pub fn transition(row: &TransitionRow) -> Self {
        Self {
            kind: EntryKind::Transition,
            at: row.at,
            number: Some(row.number),
            from: Some(row.from_phase.clone()),
            to: Some(row.to_phase.clone()),
            step: usize::try_from(row.step).ok(),
            actor: row.actor.clone(),
            text: row.evidence.clone(),
            revision: row.revision,
            audience: None,
            topic: None,
        }
    }

    fn notice(row: &NoticeRow) -> Self {
        Self {
            kind: EntryKind::Notice,
            at: row.created_at,
            number: None,
            from: None,
            to: None,
            step: None,
            actor: None,
            text: row.text(),
            revision: None,
            audience: Some(row.audience.clone()),
            topic: Some(row.kind.clone()),
        }
    }
}

impl App {
    /// A release's timeline.
    ///
    /// # Errors
    /// The database away.
    pub async fn release_timeline(&self, state: &ReleaseState) -> Result<Vec<Entry>, Error> {
        let mut entries: Vec<Entry> = state.transitions.iter().map(Entry::transition).collect();
        let row = &state.row;
        let own: Vec<i64> = state.transitions.iter().filter_map(|row| row.revision).collect();
        let until = row.ended_at.unwrap_or(i64::MAX);
        let changes = self.store.changes_between(row.environment, "flag", &row.flag, (row.created_at, until), MOST_CHANGES).await?;
        // Its own writes stand in its transitions.
        for change in changes.into_iter().filter(|change| change.revision.is_none_or(|revision| !own.contains(&revision))) {
            let reason = change.reason.unwrap_or_else(|| "no reason given".to_owned());
            entries.push(Entry {
                kind: EntryKind::Change,
                at: change.at,
                number: None,
                from: None,
                to: None,
                step: None,
                actor: Some(change.actor),
                text: format!("the targeting was changed: {reason}"),
                revision: change.revision,
                audience: None,
                topic: None,
            });
        }
        let notices = self.store.list_notices(row.environment, &row.key).await?;
        entries.extend(notices.iter().map(Entry::notice));
        entries.sort_by_key(|entry| (entry.at, entry.kind, entry.number));
        Ok(entries)
    }
}
