//! What a release owns while it drives a flag: `enabled` and `rollout`. Whoever changes them takes over.

use storyflag_evaluation::FlagItem;
use storyflag_release::machine::{Effect, Phase, step};

use super::{books, copy, drives};
use crate::{
    app::{Ask, Place, write::Write},
    auth::Right,
    error::Error,
    scheduler::{Stored, machine_input},
    store::{EnvironmentRow, ReleaseRow},
};

/// How often a row that is being written down by another node is read again.
const TRIES: usize = 5;

/// What a change replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edit {
    /// Something of the targeting, whatever else it holds.
    Part,
    /// All of the targeting or of its rollout: what the caller read must be what stands.
    Whole,
}

/// The release of a flag that is about to be changed by somebody else.
pub(crate) struct Owning {
    row: ReleaseRow,
    stored: Stored,
}

impl Owning {
    /// The live release of a flag that is watched.
    pub(crate) async fn find(write: &mut Write<'_>, environment: i64, item: &FlagItem) -> Result<Option<Self>, Error> {
        if item.watch.is_none() {
            return Ok(None);
        }
        let Some(row) = write.tx.find_live_release(environment, &item.key).await? else { return Ok(None) };
        let stored = copy::stored(&row)?;
        Ok(Some(Self { row, stored }))
    }

    /// Whether somebody may change its flag like this.
    ///
    /// # Errors
    /// 403, 409 and 428, naming the release.
    pub(crate) fn allows(
        &self,
        ask: &Ask,
        project: &str,
        environment: &EnvironmentRow,
        edit: Edit,
        (before, after): (&FlagItem, &FlagItem),
        is_safe: bool,
    ) -> Result<(), Error> {
        let key = &self.row.key;
        if before.unit != after.unit {
            let detail = format!("is what {key} counts by: roll it back or cancel it first");
            return Err(Error::conflict("/unit", detail));
        }
        let state = &self.stored.run.state;
        let heeds_kill = matches!(state.phase, Phase::Running(_) | Phase::Paused { .. }) || state.was_killed == Some(false);
        if before.killed && !after.killed && heeds_kill {
            let detail = format!("{key} has not turned back from the kill yet: revive the flag once it has");
            return Err(Error::Conflict(detail, None));
        }
        if !drives(&self.stored.run) {
            return Ok(());
        }
        if edit == Edit::Whole && ask.if_match.is_none() {
            return Err(Error::PreconditionRequired(format!("{key} drives this flag: send If-Match with the ETag of what you read")));
        }
        if !owned_changed(before, after) || is_safe {
            return Ok(());
        }
        if !ask.take_over {
            let detail = format!(
                "{key} drives this flag: roll it back, or take over with \"take_over\": true (--take-over), and nothing watches the flag then"
            );
            return Err(Error::Conflict(detail, None));
        }
        ask.caller.may(Right::Advance, project, environment)
    }

    /// Ends the release where the change takes over; what the caller should know.
    pub(crate) async fn supersede(
        self,
        write: &mut Write<'_>,
        place: &Place,
        before: &FlagItem,
        after: &FlagItem,
    ) -> Result<Vec<String>, Error> {
        if !drives(&self.stored.run) || !owned_changed(before, after) {
            return Ok(Vec::new());
        }
        let (id, environment, key) = (self.row.id, self.row.environment, self.row.key.clone());
        let (mut stored, now) = (self.stored, write.now);
        let seen = books::seen_of(after, write.subject());
        for _ in 0..TRIES {
            let mut run = stored.run.clone();
            let input = machine_input(&run, &seen);
            let calendar = stored.carried.calendar(&[]);
            let (state, effects) = step(&stored.carried.course, run.state, &input, &calendar, now);
            run.state = state;
            // Another node may be writing down where it stands: that takes no lock of the environment.
            if !books::replace(&mut write.tx, stored.head, &run).await? {
                match write.tx.find_live_release(environment, &after.key).await? {
                    Some(row) => stored = copy::stored(&row)?,
                    None => return Ok(Vec::new()),
                }
                continue;
            }
            for effect in &effects {
                match effect {
                    Effect::Record(record) => books::insert_record(write, id, record, None).await?,
                    Effect::Notify(notice) => {
                        books::tell(write, &books::Named::of(place), &stored.carried, notice, &run.state, None).await?
                    }
                    Effect::SetRollout(_) | Effect::WriteBaseline(_) | Effect::Refuse { .. } => {}
                }
            }
            return Ok(vec![format!("{key} superseded: nothing watches this flag now")]);
        }
        Err(Error::conflict("", "others are changing this release at this moment: try again"))
    }
}

/// Whether what releases own is another.
pub(crate) fn owned_changed(before: &FlagItem, after: &FlagItem) -> bool {
    before.enabled != after.enabled || before.rollout != after.rollout
}

/// # Errors
/// 409 for a flag that a live release drives or waits for: `what` it is, that cannot change under it.
pub(crate) async fn refuse_while_live(write: &mut Write<'_>, environment: &EnvironmentRow, flag: &str, what: &str) -> Result<(), Error> {
    match write.tx.find_live_release(environment.id, flag).await? {
        None => Ok(()),
        Some(live) => {
            let way_out = if live.phase == "scheduled" { "cancel it" } else { "roll it back, or wait for its end," };
            Err(Error::Conflict(
                format!("in environment {:?} {} is under way, and {what}: {way_out} first", environment.key, live.key),
                None,
            ))
        }
    }
}

/// The live releases whose baseline or steps name a cohort.
pub(crate) async fn name_cohort(write: &mut Write<'_>, environment: i64, cohort: &str) -> Result<Vec<String>, Error> {
    let mut named_by = Vec::new();
    for row in write.tx.list_live_releases(environment).await? {
        let stored = copy::stored(&row)?;
        let in_steps = stored.carried.course.steps.iter().any(|step| step.cohorts.iter().any(|known| known == cohort));
        let in_baseline = stored.run.state.baseline.as_ref().is_some_and(|baseline| baseline.cohorts.contains(cohort));
        if in_steps || in_baseline {
            named_by.push(row.key);
        }
    }
    Ok(named_by)
}
