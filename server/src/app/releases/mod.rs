//! Releases: one execution of a plan in one environment. What people ask of one under way goes through the scheduler, which
//! alone knows what it rests on; here it is created and looked at, and here is what it writes.

mod books;
mod copy;
mod create;
mod owning;
mod report;
mod timeline;

use storyflag_evaluation::Percentage;
use storyflag_release::{
    machine::{Command, CommandKind, Phase},
    plan::{self, Media, Reading},
    run::Run,
};

pub(super) use self::owning::{Edit, Owning, name_cohort, owned_changed, refuse_while_live};
pub use self::{
    books::AppBooks,
    create::NewRelease,
    timeline::{Entry, EntryKind},
};
use super::{App, Ask, Place, environments::Settings, now_ms, targetings::reason_given};
use crate::{
    auth::Right,
    error::Error,
    scheduler::Stored,
    store::{ReleaseFilter, ReleaseRow, TransitionRow},
};

/// A release as it stands.
#[derive(Debug, Clone)]
pub struct ReleaseState {
    /// Its row.
    pub row: ReleaseRow,
    /// What is carried out, and where it stands: at least as new as the row.
    pub stored: Stored,
    /// Its transitions, in order.
    pub transitions: Vec<TransitionRow>,
}

impl App {
    /// Up to `limit` releases with rows before `before`, newest first.
    ///
    /// # Errors
    /// The database away.
    pub async fn list_releases(&self, place: &Place, filter: &ReleaseFilter, before: i64, limit: i64) -> Result<Vec<ReleaseRow>, Error> {
        Ok(self.store.list_releases(place.environment.id, filter, before, limit).await?)
    }

    /// A release's row.
    ///
    /// # Errors
    /// 404; the database away.
    pub async fn find_release_row(&self, place: &Place, key: &str) -> Result<ReleaseRow, Error> {
        let row = self.store.find_release(place.environment.id, key).await?;
        row.ok_or_else(|| Error::no_such("release", key))
    }

    /// A release as its row tells it, or as `fresh` does, which a scheduler has in memory.
    ///
    /// # Errors
    /// The database away.
    pub async fn release_state(&self, row: ReleaseRow, fresh: Option<Stored>) -> Result<ReleaseState, Error> {
        let transitions = self.store.list_transitions(row.id, 0).await?;
        let stored = copy::stored(&row)?;
        let is_newer = |fresh: &Stored| (fresh.head.number, fresh.head.snapshot) >= (stored.head.number, stored.head.snapshot);
        let stored = fresh.filter(is_newer).unwrap_or(stored);
        Ok(ReleaseState { row, stored, transitions })
    }

    /// A release that was just created.
    ///
    /// # Errors
    /// A fault of ours.
    pub fn new_release_state(&self, row: ReleaseRow) -> Result<ReleaseState, Error> {
        Ok(ReleaseState { stored: copy::stored(&row)?, row, transitions: Vec::new() })
    }

    /// The index of the step of a release that goes to a percentage.
    ///
    /// # Errors
    /// 422 where none does.
    pub fn step_of_release(&self, row: &ReleaseRow, from: Percentage) -> Result<usize, Error> {
        let steps = &copy::stored(row)?.carried.course.steps;
        let index = steps.iter().position(|step| step.percentage == from);
        index.ok_or_else(|| {
            let steps: Vec<String> = steps.iter().map(|step| step.percentage.percent().to_string()).collect();
            Error::invalid("/from", format!("is {}, and no step goes there: one of {}", from.percent(), steps.join(", ")))
        })
    }

    /// The index of a release's check box.
    ///
    /// # Errors
    /// 404, naming those that are there.
    pub fn item_of_release(&self, row: &ReleaseRow, item: &str) -> Result<usize, Error> {
        let reading = reading_of(row);
        let items: Vec<&str> =
            reading.plan.iter().flat_map(|plan| &plan.checklists).flat_map(|list| &list.items).map(|item| item.id.as_str()).collect();
        let index = items.iter().position(|known| *known == item);
        index.ok_or_else(|| Error::NotFound(format!("there is no check box {item:?} in {}: {}", row.key, items.join(", "))))
    }

    /// The plan's document with what happened written into it; a plan that was put as YAML or JSON as Markdown of ours.
    ///
    /// # Errors
    /// The database away.
    pub async fn release_document(&self, state: &ReleaseState) -> Result<String, Error> {
        let document = match state.row.media.as_str() {
            "markdown" => state.row.document.clone(),
            _ => state.reading().plan.map(|plan| plan::write(Media::Markdown, &plan)).unwrap_or_default(),
        };
        Ok(plan::write_back(&document, &self.progress(state).await?))
    }

    /// Whether a command may be given: the right, and the reason. What is safe needs neither reason nor version.
    ///
    /// # Errors
    /// 403, 409, 422.
    pub fn may_command(&self, ask: &Ask, place: &Place, row: &ReleaseRow, command: &CommandKind) -> Result<(), Error> {
        let right = match command {
            CommandKind::Pause | CommandKind::Rollback | CommandKind::Cancel => Right::Lower,
            CommandKind::Approve | CommandKind::Advance => Right::Advance,
            // Past the calendar, a freeze or an open box.
            CommandKind::Start { .. } if ask.force => Right::Advance,
            CommandKind::Start { .. } | CommandKind::Schedule { .. } | CommandKind::Resume | CommandKind::Tick { .. } => Right::Change,
        };
        ask.caller.may(right, &place.project.key, &place.environment)?;
        if right == Right::Lower || matches!(command, CommandKind::Tick { .. }) {
            return Ok(());
        }
        reason_given(ask, &place.environment)?;
        let settings = Settings::of(&place.environment);
        if right == Right::Advance && settings.approver_is_not_author && row.created_by == ask.caller.subject {
            return Err(Error::Forbidden(format!(
                "in environment {:?} somebody else approves than who created the release",
                place.environment.key
            )));
        }
        Ok(())
    }

    /// Refuses what raises while the environment is frozen.
    ///
    /// # Errors
    /// 409, naming the freeze; the database away.
    pub async fn refuse_frozen(&self, place: &Place) -> Result<(), Error> {
        let now = now_ms();
        let rows = self.store.list_freezes(place.environment.id, now).await?;
        match rows.iter().find(|row| row.from_at <= now) {
            None => Ok(()),
            Some(freeze) => {
                let detail = format!("environment {:?} is frozen ({}): \"force\": true passes", place.environment.key, freeze.reason);
                Err(Error::Conflict(detail, None))
            }
        }
    }

    /// A command as the machine takes it.
    pub fn command_of(&self, ask: &Ask, kind: CommandKind) -> Command {
        Command { kind, actor: ask.caller.subject.clone(), reason: ask.reason.clone(), force: ask.force }
    }
}

impl ReleaseState {
    /// What the plan's document says, that was copied when the release was created.
    pub fn reading(&self) -> Reading {
        reading_of(&self.row)
    }
}

fn reading_of(row: &ReleaseRow) -> Reading {
    super::plans::read_document(super::plans::media_named(&row.media), &row.document)
}

/// A phase's name in the API, and in rows.
pub fn phase_name(phase: &Phase) -> &'static str {
    match phase {
        Phase::Scheduled { .. } => "scheduled",
        Phase::Running(_) => "running",
        Phase::Paused { .. } => "paused",
        Phase::RollingBack { .. } => "rolling_back",
        Phase::RolledBack { .. } => "rolled_back",
        Phase::Completed { .. } => "completed",
        Phase::Superseded { .. } => "superseded",
        Phase::Cancelled { .. } => "cancelled",
    }
}

/// Whether a release drives its flag: between its first step and its end.
fn drives(run: &Run) -> bool {
    run.state.started_ms.is_some() && !run.state.has_ended()
}
