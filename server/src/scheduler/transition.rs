//! One evaluation that changes something: a transaction under the environment's lock.

use std::time::Duration;

use serde_json::Value;
use storyflag_release::{
    evidence::{Health, Second},
    machine::{Command, Effect, Input, Phase, State, Targeting},
    run::Run,
};

use super::books::{Books, Entry, Seen, Stored};
use crate::{error::Error, store::ReleaseHead};

/// Nothing goes on by itself upon what was heard longer ago.
const NEWS_COUNT_FOR: Duration = Duration::from_secs(2);

/// What is new of telemetry since the evaluation before.
#[derive(Debug, Clone, Default)]
pub(super) struct News {
    pub(super) seconds: Vec<Second>,
    pub(super) health: Health,
    /// When it was heard, by the clock that never jumps. What has ended hears nothing.
    pub(super) heard: Option<Duration>,
}

/// What a transaction is asked for, beside what time brings.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    /// What somebody asks for.
    pub(super) command: Option<Command>,
    /// The figures of a report that is due.
    pub(super) report: Option<Value>,
}

/// What became of a transaction.
#[derive(Debug)]
pub(super) enum Transacted {
    /// The release as it stands now.
    Done(Box<Stored>),
    /// The command is not carried out: why, and how the release stands where something else was done meanwhile.
    Refused(Vec<String>, Option<Box<Stored>>),
    /// Somebody else was faster: what is in memory is old.
    Stale,
}

/// What the machine is told.
pub(super) fn input(run: &Run, seen: &Seen, news: News, command: Option<Command>) -> Input {
    let targeting = Targeting {
        owned: seen.owned.clone(),
        rollout_changed: run.state.started_ms.is_some() && seen.rollout_revision != Some(run.rollout_revision),
        killed: seen.killed,
        by: seen.by.clone(),
    };
    Input { targeting, command, seconds: news.seconds, health: Some(news.health) }
}

/// Evaluates `stored` in a transaction of its own, and commits what comes out of it: all of it, or nothing.
///
/// The lock comes first; the release, its targeting and the freezes are read after it. So a release is never a step further than a
/// kill that was answered before, whichever node wrote either.
pub(super) async fn transact<B: Books>(books: &B, stored: &Stored, news: &News, asked: Asked, now: i64) -> Result<Transacted, Error> {
    let Asked { command, report } = asked;
    let carried = &stored.carried;
    let mut entry = books.begin(carried).await?;
    entry.lock().await?;
    if entry.head(stored.head.id).await? != Some(stored.head) {
        return Ok(Transacted::Stale);
    }
    let Some(seen) = entry.targeting(&carried.flag).await? else {
        return Err(Error::NotFound(format!("flag {:?} has no targeting here", carried.flag)));
    };
    // Whoever freezes the environment takes the same lock.
    let freezes = books.freezes(now).await?;
    let mut run = stored.run.clone();
    follow_before_start(&mut run, &seen);
    let input = input(&run, &seen, news.clone(), command.clone());
    let (state, effects) = books.step(&carried.course, run.state, &input, &carried.calendar(&freezes), now);
    let refused = refused(&effects);
    // A command that is refused beside something that happens by itself, such as a rollback, does not hold that back.
    if !refused.is_empty() && effects.len() == 1 {
        return Ok(Transacted::Refused(refused, None));
    }
    // A node that stood still before it came here, or waited for the lock, looks again. Turning back waits for nothing.
    let is_old = news.heard.is_some_and(|heard| books.moment().steady.saturating_sub(heard) > NEWS_COUNT_FOR);
    if is_old && command.is_none() && goes_on(&state, &effects) {
        return Ok(Transacted::Stale);
    }
    run.state = state;
    apply(&mut entry, stored, &mut run, &effects, report.as_ref(), now).await?;
    if let Some(command) = command.filter(|_| refused.is_empty()) {
        entry.audit(carried, &command);
    }
    if !entry.replace(stored.head, &run).await? {
        return Ok(Transacted::Stale);
    }
    entry.commit().await?;
    let number = i64::try_from(run.state.number).unwrap_or(i64::MAX);
    let head = ReleaseHead { number, snapshot: stored.head.snapshot.saturating_add(1), ..stored.head };
    let stored = Box::new(Stored { head, carried: stored.carried.clone(), run });
    Ok(if refused.is_empty() { Transacted::Done(stored) } else { Transacted::Refused(refused, Some(stored)) })
}

/// Every reason why a command is not carried out.
pub(super) fn refused(effects: &[Effect]) -> Vec<String> {
    effects.iter().filter_map(|effect| if let Effect::Refuse { why } = effect { Some(why.clone()) } else { None }).flatten().collect()
}

/// Whether a release takes a step, or is completed.
fn goes_on(state: &State, effects: &[Effect]) -> bool {
    matches!(state.phase, Phase::Completed { .. }) && !effects.is_empty()
        || effects.iter().any(|effect| matches!(effect, Effect::SetRollout(_)))
}

/// Before the first step a release owns nothing: whoever changes the rollout then changes what is counted as today's traffic.
pub(super) fn follow_before_start(run: &mut Run, seen: &Seen) {
    if run.state.started_ms.is_none()
        && let Some(revision) = seen.rollout_revision
    {
        (run.rollout_revision, run.credited_revision) = (revision, revision);
    }
}

async fn apply<E: Entry>(
    entry: &mut E,
    stored: &Stored,
    run: &mut Run,
    effects: &[Effect],
    report: Option<&Value>,
    now: i64,
) -> Result<(), Error> {
    let carried = &stored.carried;
    let why = effects.iter().find_map(|effect| if let Effect::Record(record) = effect { Some(record.evidence.clone()) } else { None });
    let why = why.unwrap_or_default();
    let mut revision = None;
    for effect in effects {
        match effect {
            Effect::SetRollout(owned) | Effect::WriteBaseline(owned) => {
                let written = entry.write_rollout(carried, owned, &why).await?;
                run.wrote(written, now, matches!(effect, Effect::SetRollout(_)));
                revision = Some(written.revision);
            }
            // What was written before its record came of it.
            Effect::Record(record) => entry.record(stored.head.id, record, revision.take()).await?,
            Effect::Notify(notice) => entry.tell(carried, notice, &run.state, report).await?,
            Effect::Refuse { .. } => {}
        }
    }
    Ok(())
}
