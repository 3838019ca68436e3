//! A model of the store: what it promises, and no more. Transactions see what is committed, and are committed whole.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard},
};

use jiff::Timestamp;
use storyflag_evaluation::Identity;
use storyflag_release::{
    machine::{Command, Effect, Input, Notice, Owned, Record, State, Targeting, step},
    plan::Freeze,
    run::{Row, Run},
};
use storyflag_server::{
    error::Error,
    scheduler::{Books, Carried, Entry, NodeHead, Seen, Stored, Written},
    store::ReleaseHead,
};

use super::{
    plan::{READING, percent},
    shelf::{Change, Created, Dump, Edit, New, Serves, Shelf, Transition},
};

pub(crate) const ENVIRONMENT: i64 = 1;

/// The store. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Model {
    tables: Arc<Mutex<Tables>>,
    /// For the bug that a human's change ends nothing.
    supersedes_nothing: bool,
}

#[derive(Default)]
struct Tables {
    revision: u64,
    settings: i64,
    flags: BTreeMap<String, Flag>,
    changes: Vec<(String, Change)>,
    releases: BTreeMap<i64, ReleaseRow>,
    transitions: Vec<(i64, Transition)>,
    notices: Vec<(String, String, String)>,
    seconds: BTreeMap<String, Vec<Row>>,
    freezes: Vec<Freeze>,
    tokens: u64,
}

#[derive(Default, Clone)]
struct Flag {
    serves: Serves,
    rules: u32,
    by: String,
}

struct ReleaseRow {
    stored: Stored,
    live: bool,
    watching: bool,
    /// The transaction that has written it and is not over.
    held_by: Option<u64>,
}

pub(crate) struct ModelEntry {
    model: Model,
    token: u64,
    taken: u64,
    writes: Vec<Write>,
}

enum Write {
    Rollout { flag: String, change: Change },
    Record(i64, Transition),
    Tell(String, String, String),
    Replace(ReleaseHead, Box<Run>),
}

impl Model {
    pub(crate) fn new(supersedes_nothing: bool) -> Self {
        Self { tables: Arc::default(), supersedes_nothing }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap()
    }
}

impl Flag {
    fn seen(&self) -> Seen {
        let Serves { owned, killed, rollout_revision } = self.serves.clone();
        Seen { owned, rollout_revision, killed, by: self.by.clone() }
    }
}

impl Tables {
    fn put(&mut self, flag: &str, mut change: Change, sets_rollout: bool) -> u64 {
        self.revision += 1;
        change.revision = self.revision;
        let known = self.flags.get_mut(flag).unwrap();
        (known.serves.owned, known.serves.killed, known.by) = (change.owned.clone(), change.killed, change.by.clone());
        if sets_rollout {
            known.serves.rollout_revision = known.serves.rollout_revision.map(|_| change.revision);
        }
        self.changes.push((flag.to_owned(), change));
        self.revision
    }

    fn replace(&mut self, head: ReleaseHead, run: &Run) {
        let row = self.releases.get_mut(&head.id).unwrap();
        row.live = !run.state.has_ended();
        row.stored.head = ReleaseHead { number: run.state.number as i64, snapshot: row.stored.head.snapshot + 1, ..head };
        row.stored.run = run.clone();
    }

    fn is_taken(&self, id: i64, number: u64) -> bool {
        self.transitions.iter().any(|(release, row)| (*release, row.number) == (id, number as i64))
    }
}

impl Books for Model {
    type Entry<'b> = ModelEntry;

    async fn begin(&self, _: &Carried) -> Result<ModelEntry, Error> {
        let mut tables = self.tables();
        tables.tokens += 1;
        Ok(ModelEntry { model: self.clone(), token: tables.tokens, taken: 0, writes: Vec::new() })
    }

    async fn load(&self, id: i64) -> Result<Option<Stored>, Error> {
        let tables = self.tables();
        Ok(tables.releases.get(&id).filter(|row| row.watching).map(|row| row.stored.clone()))
    }

    async fn nodes(&self) -> Result<Vec<NodeHead>, Error> {
        let tables = self.tables();
        let head = |(node, rows): (&String, &Vec<Row>)| NodeHead { node: node.clone(), second: rows.last().unwrap().second };
        Ok(tables.seconds.iter().map(head).collect())
    }

    async fn rows(&self, node: &str, after: i64) -> Result<Vec<Row>, Error> {
        let tables = self.tables();
        let rows = tables.seconds.get(node).map(Vec::as_slice).unwrap_or_default();
        let first = rows.partition_point(|row| row.second <= after);
        Ok(rows[first..].to_vec())
    }

    async fn stands(&self) -> Result<Identity, Error> {
        Ok(identity(self.tables().revision))
    }

    async fn written_since(&self, flags: &HashSet<String>, since: Identity) -> Result<Option<Written>, Error> {
        let tables = self.tables();
        let written = tables.changes.iter().rev().take_while(|(_, change)| change.revision > since.revision);
        let own = written.map(|(flag, _)| flag).filter(|flag| flags.contains(*flag));
        let seen = own.map(|flag| (flag.clone(), Some(tables.flags[flag].seen()))).collect();
        Ok(Some(Written { seen, at: identity(tables.revision) }))
    }

    async fn targetings(&self, flags: &HashSet<String>) -> Result<HashMap<String, Seen>, Error> {
        let tables = self.tables();
        Ok(flags.iter().map(|flag| (flag.clone(), tables.flags[flag].seen())).collect())
    }

    async fn freezes(&self, now: i64) -> Result<Vec<Freeze>, Error> {
        let tables = self.tables();
        Ok(tables.freezes.iter().filter(|freeze| freeze.to.as_millisecond() > now).cloned().collect())
    }

    async fn snapshot(&self, stored: &[&Stored]) -> Result<Vec<bool>, Error> {
        let mut tables = self.tables();
        let write = |stored: &&Stored| {
            let stands = tables.releases[&stored.head.id].stored.head == stored.head;
            if stands {
                tables.replace(stored.head, &stored.run);
            }
            stands
        };
        Ok(stored.iter().map(write).collect())
    }

    async fn unwatch(&self, stored: &Stored) -> Result<(), Error> {
        let mut tables = self.tables();
        let row = tables.releases.get_mut(&stored.head.id).unwrap();
        row.watching = false;
        row.stored.head.snapshot += 1;
        let flag = &stored.carried.flag;
        if !tables.releases.values().any(|row| row.watching && row.stored.carried.flag == *flag) {
            let Flag { serves, .. } = tables.flags[flag].clone();
            let by = format!("release:{}", stored.carried.key);
            tables.put(flag, Change { revision: 0, by, owned: serves.owned, killed: serves.killed }, false);
            tables.flags.get_mut(flag).unwrap().serves.rollout_revision = None;
        }
        Ok(())
    }
}

impl Entry for ModelEntry {
    async fn lock(&mut self) -> Result<(), Error> {
        // Whoever drives the world lets one go on after the other.
        Ok(())
    }

    async fn head(&mut self, id: i64) -> Result<Option<ReleaseHead>, Error> {
        Ok(self.model.tables().releases.get(&id).map(|row| row.stored.head))
    }

    async fn targeting(&mut self, flag: &str) -> Result<Option<Seen>, Error> {
        Ok(self.model.tables().flags.get(flag).map(Flag::seen))
    }

    async fn write_rollout(&mut self, carried: &Carried, owned: &Owned, _: &str) -> Result<Identity, Error> {
        let tables = self.model.tables();
        self.taken += 1;
        let (revision, killed) = (tables.revision + self.taken, tables.flags[&carried.flag].serves.killed);
        let by = format!("release:{}", carried.key);
        self.writes.push(Write::Rollout { flag: carried.flag.clone(), change: Change { revision, by, owned: owned.clone(), killed } });
        Ok(identity(revision))
    }

    async fn record(&mut self, id: i64, record: &Record, revision: Option<u64>) -> Result<(), Error> {
        if self.model.tables().is_taken(id, record.number) {
            return Err(Error::Internal);
        }
        self.writes.push(Write::Record(id, transition(record, revision)));
        Ok(())
    }

    async fn tell(&mut self, carried: &Carried, notice: &Notice, _: &State, _: Option<&serde_json::Value>) -> Result<(), Error> {
        self.writes.push(Write::Tell(carried.key.clone(), notice.to.clone(), notice.slot.clone()));
        Ok(())
    }

    fn audit(&mut self, _: &Carried, _: &Command) {}

    async fn replace(&mut self, head: ReleaseHead, run: &Run) -> Result<bool, Error> {
        let mut tables = self.model.tables();
        let row = tables.releases.get_mut(&head.id).unwrap();
        if row.stored.head != head || row.held_by.is_some_and(|by| by != self.token) {
            return Ok(false);
        }
        row.held_by = Some(self.token);
        self.writes.push(Write::Replace(head, Box::new(run.clone())));
        Ok(true)
    }

    async fn commit(mut self) -> Result<(), Error> {
        let writes = std::mem::take(&mut self.writes);
        let mut tables = self.model.tables();
        for write in writes {
            match write {
                Write::Rollout { flag, change } => drop(tables.put(&flag, change, true)),
                Write::Record(id, row) => tables.transitions.push((id, row)),
                Write::Tell(release, to, slot) => tables.notices.push((release, to, slot)),
                Write::Replace(head, run) => tables.replace(head, &run),
            }
        }
        drop(tables);
        Ok(())
    }
}

impl Drop for ModelEntry {
    fn drop(&mut self) {
        for row in self.model.tables().releases.values_mut().filter(|row| row.held_by == Some(self.token)) {
            row.held_by = None;
        }
    }
}

impl Shelf for Model {
    type Books = Self;

    fn books(&self) -> Self {
        self.clone()
    }

    async fn heads(&self) -> Result<Vec<ReleaseHead>, Error> {
        Ok(self.tables().releases.values().filter(|row| row.watching).map(|row| row.stored.head).collect())
    }

    async fn stands(&self) -> Result<(u64, i64), Error> {
        let tables = self.tables();
        Ok((tables.revision, tables.settings))
    }

    async fn head_of(&self, id: i64) -> Result<ReleaseHead, Error> {
        Ok(self.tables().releases[&id].stored.head)
    }

    async fn serves(&self) -> Vec<(String, Serves)> {
        self.tables().flags.iter().map(|(key, flag)| (key.clone(), flag.serves.clone())).collect()
    }

    async fn put_rows(&self, rows: &[Row]) {
        let mut tables = self.tables();
        for row in rows {
            tables.seconds.entry(row.node.clone()).or_default().push(row.clone());
        }
    }

    async fn edit(&self, flag: &str, edit: &Edit, by: &str) -> Result<Option<u64>, Error> {
        let mut tables = self.tables();
        if let Edit::Freeze { from, to } = edit {
            let moment = |at: i64| Timestamp::from_millisecond(at).unwrap();
            tables.freezes.push(Freeze { from: moment(*from), to: moment(*to) });
            tables.settings += 1;
            return Ok(None);
        }
        let before = tables.flags[flag].clone();
        let mut after = before.clone();
        match edit {
            Edit::Kill => after.serves.killed = true,
            Edit::Revive => after.serves.killed = false,
            Edit::Raise { to, .. } | Edit::Lower { to } => after.serves.owned.percentage = *to,
            Edit::Rule => after.rules += 1,
            Edit::Freeze { .. } => {}
        }
        if (&after.serves, after.rules) == (&before.serves, before.rules) {
            return Ok(None);
        }
        let owned_changed = after.serves.owned != before.serves.owned;
        let lowers = after.serves.owned.percentage <= before.serves.owned.percentage;
        let driving = |row: &&ReleaseRow| {
            let state = &row.stored.run.state;
            row.stored.carried.flag == flag && row.live && state.started_ms.is_some() && !state.has_ended()
        };
        let driver = tables.releases.values().find(driving).map(|row| row.stored.clone());
        let takes_over = !matches!(edit, Edit::Raise { take_over: false, .. });
        if driver.is_some() && owned_changed && !lowers && !takes_over {
            return Err(Error::Conflict("a release drives this flag".to_owned(), None));
        }
        let change = Change { revision: 0, by: by.to_owned(), owned: after.serves.owned.clone(), killed: after.serves.killed };
        let revision = tables.put(flag, change, owned_changed);
        tables.flags.get_mut(flag).unwrap().rules = after.rules;
        if let Some(driver) = driver.filter(|_| owned_changed && !self.supersedes_nothing) {
            let seen = tables.flags[flag].seen();
            tables.supersede(&driver, &seen);
        }
        Ok(Some(revision))
    }

    async fn create(&self, new: &New) -> Created {
        let mut tables = self.tables();
        let owned = Owned { enabled: true, percentage: new.percentage, ..Owned::default() };
        let serves = Serves { owned: owned.clone(), killed: false, rollout_revision: Some(0) };
        tables.flags.insert(new.flag.clone(), Flag { serves, rules: 0, by: "mia".to_owned() });
        let change = Change { revision: 0, by: "mia".to_owned(), owned, killed: false };
        let revision = tables.put(&new.flag, change, true);
        let id = tables.releases.len() as i64 + 1;
        let key = format!("DP-{id}-1");
        let (course, plan) = new.spec.course(&key);
        let queries = if new.spec.kind.reading { vec![(READING.to_owned(), "queue".to_owned())] } else { Vec::new() };
        let carried = Carried { key, flag: new.flag.clone(), course, calendar: plan.calendar, limits_ms: Vec::new(), queries };
        let mut state = State::scheduled(new.start_at);
        (state.from, state.was_killed) = (new.from, Some(false));
        let mut run = Run::scheduled(state, identity(revision), new.now);
        run.cursors = tables.seconds.iter().map(|(node, rows)| (node.clone(), rows.last().unwrap().second)).collect();
        let head = ReleaseHead { environment: ENVIRONMENT, id, number: 0, snapshot: 0 };
        let carried = Arc::new(carried);
        let stored = Stored { head, carried: Arc::clone(&carried), run };
        tables.releases.insert(id, ReleaseRow { stored, live: true, watching: true, held_by: None });
        Created { id, spec: new.spec.clone(), carried, revision }
    }

    async fn dump(&self, release: &Created) -> Dump {
        let tables = self.tables();
        let flag = &release.carried.flag;
        let row = &tables.releases[&release.id];
        let of_flag = tables.changes.iter().filter(|(key, change)| key == flag && change.revision >= release.revision);
        let notices = tables.notices.iter().filter(|(key, ..)| *key == release.carried.key);
        Dump {
            changes: of_flag.map(|(_, change)| change.clone()).collect(),
            transitions: tables.transitions.iter().filter(|(id, _)| *id == release.id).map(|(_, row)| row.clone()).collect(),
            run: row.stored.run.clone(),
            number: row.stored.head.number,
            live: row.live,
            watching: row.watching,
            serves: tables.flags[flag].serves.clone(),
            notices: Some(notices.map(|(_, to, slot)| (to.clone(), slot.clone())).collect()),
        }
    }
}

impl Tables {
    /// As the service does in the transaction that changes the flag.
    fn supersede(&mut self, driver: &Stored, seen: &Seen) {
        let Stored { head, carried, run } = driver;
        let rollout_changed = seen.rollout_revision != Some(run.rollout_revision);
        let targeting = Targeting { owned: seen.owned.clone(), rollout_changed, killed: seen.killed, by: seen.by.clone() };
        let now = run.state.ticked_ms.unwrap_or_default();
        let (state, effects) = step(&carried.course, run.state.clone(), &Input::tick(targeting), &carried.calendar(&[]), now);
        self.replace(*head, &Run { state, ..run.clone() });
        for effect in effects {
            match effect {
                Effect::Record(record) => self.transitions.push((head.id, transition(&record, None))),
                Effect::Notify(notice) => self.notices.push((carried.key.clone(), notice.to, notice.slot)),
                _ => {}
            }
        }
    }
}

pub(crate) fn identity(revision: u64) -> Identity {
    Identity { incarnation: 1, revision, digest: 0 }
}

fn transition(record: &Record, revision: Option<u64>) -> Transition {
    Transition {
        number: record.number as i64,
        from: record.from.clone(),
        to: record.to.clone(),
        step: record.step,
        actor: record.actor.clone(),
        evidence: record.evidence.clone(),
        revision,
    }
}

/// The percentages that people write.
pub(crate) const BY_HAND: [f64; 6] = [0.0, 0.05, 0.5, 5.0, 33.0, 75.0];

pub(crate) fn by_hand(index: usize) -> storyflag_evaluation::Percentage {
    percent(BY_HAND[index])
}
