//! The scheduler's books in the database.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};
use storyflag_evaluation::{FlagItem, Identity, ItemKind, Watch};
use storyflag_release::{
    machine::{Command, CommandKind, Notice, NoticeKind, Owned, Record, State},
    plan::Freeze,
    run::{Row, Run},
};

use super::{copy, phase_name};
use crate::{
    app::{
        App, Ask, Place,
        items::{decode, encode, understand},
        write::Write,
    },
    auth::Caller,
    error::Error,
    scheduler::{Books, Carried, Entry, NodeHead, Seen, Stored, Written},
    store::{FreezeRow, NewNotice, NewRun, ReleaseHead, TargetingRow, TransitionRow},
};

/// Rows of a node that are read at once: an hour of seconds.
const ROWS_AT_ONCE: i64 = 3_600;
/// Changes that are read one by one: beyond, all targetings are read.
const CHANGES_AT_ONCE: i64 = 500;

/// The books of one environment.
#[derive(Clone)]
pub struct AppBooks {
    app: App,
    project: i64,
    place: Named,
}

/// An environment, by its row and by its name.
#[derive(Debug, Clone)]
pub(in crate::app) struct Named {
    id: i64,
    environment: String,
    project: String,
}

impl Named {
    /// The environment of a place.
    pub(in crate::app) fn of(place: &Place) -> Self {
        Self { id: place.environment.id, environment: place.environment.key.clone(), project: place.project.key.clone() }
    }
}

/// A transaction of a release.
pub struct AppEntry<'b> {
    books: &'b AppBooks,
    write: Write<'b>,
}

impl AppBooks {
    /// Of this environment.
    pub fn new(app: App, place: &Place) -> Self {
        Self { app, project: place.project.id, place: Named::of(place) }
    }
}

impl Books for AppBooks {
    type Entry<'b> = AppEntry<'b>;

    async fn begin(&self, carried: &Carried) -> Result<AppEntry<'_>, Error> {
        Ok(AppEntry { books: self, write: Write::begin_own(&self.app, ask(carried)).await? })
    }

    async fn load(&self, id: i64) -> Result<Option<Stored>, Error> {
        let row = self.app.store.find_release_by_id(id).await?;
        row.as_ref().map(copy::stored).transpose()
    }

    async fn nodes(&self) -> Result<Vec<NodeHead>, Error> {
        let heads = self.app.store.node_seconds(self.place.id).await?;
        Ok(heads.into_iter().map(|(node, second)| NodeHead { node, second }).collect())
    }

    async fn rows(&self, node: &str, after: i64) -> Result<Vec<Row>, Error> {
        Ok(self.app.store.seconds_after(self.place.id, node, after, ROWS_AT_ONCE).await?)
    }

    async fn stands(&self) -> Result<Identity, Error> {
        let row = self.app.store.find_environment_by_id(self.place.id).await?;
        Ok(row.map(|row| row.identity()).unwrap_or_default())
    }

    async fn written_since(&self, flags: &HashSet<String>, since: Identity) -> Result<Option<Written>, Error> {
        let at = self.stands().await?;
        if at.incarnation != since.incarnation || at.revision < since.revision {
            return Ok(None);
        }
        let after = i64::try_from(since.revision).unwrap_or(i64::MAX);
        let changes = self.app.store.changes_since(self.place.id, after, CHANGES_AT_ONCE).await?;
        if i64::try_from(changes.len()).unwrap_or(i64::MAX) >= CHANGES_AT_ONCE {
            return Ok(None);
        }
        let own = changes.into_iter().filter(|change| change.kind == ItemKind::Flag.name() && flags.contains(&change.key));
        // Of several changes of a flag the last one stays.
        let seen = own.map(|change| {
            let seen = change.after.map(|item| Ok::<_, Error>(seen_of(&understand(&item)?.item, &change.actor))).transpose()?;
            Ok((change.key, seen))
        });
        Ok(Some(Written { seen: seen.collect::<Result<_, Error>>()?, at }))
    }

    async fn targetings(&self, flags: &HashSet<String>) -> Result<HashMap<String, Seen>, Error> {
        let flags: Vec<String> = flags.iter().cloned().collect();
        let rows = self.app.store.find_targetings(self.place.id, &flags).await?;
        rows.iter().map(|row| Ok((row.key.clone(), seen(row)?))).collect()
    }

    async fn freezes(&self, now: i64) -> Result<Vec<Freeze>, Error> {
        Ok(self.app.store.list_freezes(self.place.id, now).await?.iter().filter_map(freeze).collect())
    }

    async fn snapshot(&self, stored: &[&Stored]) -> Result<Vec<bool>, Error> {
        let mut tx = self.app.store.begin().await?;
        let mut written = Vec::with_capacity(stored.len());
        // In one order on every node, so that two that write the same releases wait for one another and no more.
        for stored in stored {
            written.push(replace(&mut tx, stored.head, &stored.run).await?);
        }
        tx.commit().await?;
        Ok(written)
    }

    async fn report(&self, carried: &Carried) -> Result<Option<Value>, Error> {
        match self.app.report_for_notice(self.place.id, &carried.key).await {
            Ok(report) => Ok(Some(report)),
            Err(error @ Error::Unavailable { .. }) => Err(error),
            Err(error) => {
                tracing::error!(%error, release = carried.key, "a report cannot be written");
                Ok(None)
            }
        }
    }

    async fn unwatch(&self, stored: &Stored) -> Result<(), Error> {
        let flag = &stored.carried.flag;
        let mut entry = self.begin(&stored.carried).await?;
        entry.lock().await?;
        let write = &mut entry.write;
        // Every node comes here in the same second; the first does it.
        if !write.tx.unwatch_release(stored.head.id).await? {
            return Ok(());
        }
        let targeting = write.tx.find_targeting(self.place.id, flag).await?;
        let is_watched = write.tx.is_watched_for_another(self.place.id, flag, stored.head.id).await?;
        if let Some(targeting) = targeting.filter(|_| !is_watched) {
            write.because("its report is out: nothing watches this flag now".to_owned());
            entry.write_item(&targeting, |item, _| item.watch = None).await?;
        }
        entry.commit().await
    }
}

impl Entry for AppEntry<'_> {
    async fn lock(&mut self) -> Result<(), Error> {
        self.write.hold(self.books.place.id).await.map(drop)
    }

    async fn head(&mut self, id: i64) -> Result<Option<ReleaseHead>, Error> {
        Ok(self.write.tx.find_release_head(id).await?)
    }

    async fn targeting(&mut self, flag: &str) -> Result<Option<Seen>, Error> {
        let row = self.write.tx.find_targeting(self.books.place.id, flag).await?;
        row.as_ref().map(seen).transpose()
    }

    async fn write_rollout(&mut self, carried: &Carried, owned: &Owned, why: &str) -> Result<Identity, Error> {
        self.write.because(why.to_owned());
        let targeting = self.write.tx.find_targeting(self.books.place.id, &carried.flag).await?;
        let targeting = targeting.ok_or_else(|| Error::internal("a release whose flag is gone"))?;
        let edit = |item: &mut FlagItem, revision| {
            item.enabled = owned.enabled;
            item.rollout.millionths = owned.percentage;
            item.rollout.cohorts = owned.cohorts.iter().cloned().collect();
            item.watch = Some(Watch { rollout_revision: revision, limits_ms: carried.limits_ms.clone() });
        };
        self.write_item(&targeting, edit).await
    }

    async fn record(&mut self, id: i64, record: &Record, revision: Option<u64>) -> Result<(), Error> {
        insert_record(&mut self.write, id, record, revision).await
    }

    async fn tell(&mut self, carried: &Carried, notice: &Notice, state: &State, report: Option<&Value>) -> Result<(), Error> {
        let report = report.filter(|_| notice.kind == NoticeKind::Report);
        tell(&mut self.write, &self.books.place, carried, notice, state, report).await
    }

    fn audit(&mut self, carried: &Carried, command: &Command) {
        let after = json!({ "command": command.kind, "reason": command.reason, "force": command.force, "by": command.actor });
        let kind = if matches!(command.kind, CommandKind::Tick { .. }) { "checklist" } else { "release" };
        self.write.audit(self.books.project, Some(self.books.place.id), kind, &carried.key, Some(after.to_string()));
    }

    async fn replace(&mut self, head: ReleaseHead, run: &Run) -> Result<bool, Error> {
        replace(&mut self.write.tx, head, run).await
    }

    async fn commit(self) -> Result<(), Error> {
        self.write.commit().await.map(drop)
    }
}

impl AppEntry<'_> {
    /// Takes a revision, and writes a targeting with it.
    async fn write_item(&mut self, targeting: &TargetingRow, edit: impl FnOnce(&mut FlagItem, u64)) -> Result<Identity, Error> {
        let environment = self.write.lock(self.books.place.id).await?;
        let mut item = decode(&targeting.item)?;
        edit(&mut item, environment.identity().revision);
        let (text, now) = (encode(&item)?, self.write.now);
        self.write.put(environment.id, ItemKind::Flag, &targeting.key, Some(&targeting.item), Some(text.clone()))?;
        let by = self.write.subject().to_owned();
        self.write.tx.update_targeting(environment.id, &targeting.key, &text, now, &by).await?;
        Ok(environment.identity())
    }
}

fn freeze(row: &FreezeRow) -> Option<Freeze> {
    let moment = |at| jiff::Timestamp::from_millisecond(at).ok();
    Some(Freeze { from: moment(row.from_at)?, to: moment(row.to_at)? })
}

/// In whose name a release writes.
fn ask(carried: &Carried) -> Ask {
    let caller = Caller::release(&carried.key);
    Ask { caller, reason: None, force: true, take_over: false, dry_run: false, if_match: None, told_version: None }
}

/// A targeting as a release sees it. Whatever a newer version wrote beside it, this much every version understands.
pub(super) fn seen(row: &TargetingRow) -> Result<Seen, Error> {
    let item = understand(&row.item)?.item;
    Ok(seen_of(&item, &row.updated_by))
}

pub(super) fn seen_of(item: &FlagItem, by: &str) -> Seen {
    let rollout = &item.rollout;
    Seen {
        owned: Owned { enabled: item.enabled, percentage: rollout.millionths, cohorts: rollout.cohorts.iter().cloned().collect() },
        rollout_revision: item.watch.as_ref().map(|watch| watch.rollout_revision),
        killed: item.killed,
        by: by.to_owned(),
    }
}

pub(super) async fn insert_record(write: &mut Write<'_>, id: i64, record: &Record, revision: Option<u64>) -> Result<(), Error> {
    let integer = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let row = TransitionRow {
        number: integer(record.number),
        at: record.at_ms,
        from_phase: record.from.clone(),
        to_phase: record.to.clone(),
        step: i64::try_from(record.step).unwrap_or(i64::MAX),
        actor: record.actor.clone(),
        evidence: record.evidence.clone(),
        revision: revision.map(integer),
    };
    Ok(write.tx.insert_transition(id, &row).await?)
}

/// Something that people are told, with where it happened.
pub(super) async fn tell(
    write: &mut Write<'_>,
    place: &Named,
    carried: &Carried,
    notice: &Notice,
    state: &State,
    report: Option<&Value>,
) -> Result<(), Error> {
    // Ids are counted per environment: whoever is paged reads which one it is.
    let text = match notice.text.strip_prefix(&carried.key) {
        Some(rest) => format!("{} in {}{rest}", carried.key, place.environment),
        None => notice.text.clone(),
    };
    let step = carried.course.steps.get(state.step).filter(|_| state.started_ms.is_some());
    let mut data = json!({
        "text": text, "project": place.project, "environment": place.environment, "release": carried.key, "flag": carried.flag,
        "phase": phase_name(&state.phase), "state": state.phase.name(), "number": state.number,
        "step": step.map(|_| state.step.saturating_add(1)), "percentage": step.map(|step| step.percentage.percent()),
    });
    if let (Some(report), Some(fields)) = (report, data.as_object_mut()) {
        fields.insert("report".to_owned(), report.clone());
    }
    // Without the audience: a channel that is several of them hears it once.
    let event = format!("{}/{}", carried.key, notice.slot);
    let kind = match notice.kind {
        NoticeKind::Transition => "release.transition",
        NoticeKind::Alert => "release.alert",
        NoticeKind::Escalation => "release.escalation",
        NoticeKind::Announcement => "release.announcement",
        NoticeKind::Status => "release.status",
        NoticeKind::Completion => "release.completion",
        NoticeKind::Report => "release.report",
    };
    let notice = NewNotice { event: &event, audience: &notice.to, kind, release: Some(&carried.key), data };
    let now = write.now;
    Ok(write.tx.tell(place.id, &[notice], now).await?)
}

pub(super) async fn replace(tx: &mut crate::store::Tx, head: ReleaseHead, run: &Run) -> Result<bool, Error> {
    let text = serde_json::to_string(run).map_err(Error::internal)?;
    let new = NewRun {
        run: &text,
        number: i64::try_from(run.state.number).unwrap_or(i64::MAX),
        phase: phase_name(&run.state.phase),
        live: !run.state.has_ended(),
        ended_at: run.state.ended_ms,
    };
    Ok(tx.replace_run(head, &new).await?)
}
