//! Books that are watched and disturbed: each operation stops at the gate first, fails while the database is away, and is
//! written down. Planted bugs live here.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use storyflag_evaluation::Identity;
use storyflag_release::{
    machine::{Calendar, Command, Course, Input, Notice, Outcome, Owned, Record, State},
    plan::Freeze,
    run::{Row, Run},
};
use storyflag_server::{
    error::Error,
    scheduler::{Books, Carried, Entry, Moment, NodeHead, Seen, Stored, Written},
    store::ReleaseHead,
};

use super::{
    bugs::Bug,
    desk::{Commit, Desk},
    evaluation,
    gate::Op,
};

/// A process's books.
pub(crate) struct Watched<B> {
    inner: B,
    pub(crate) desk: Arc<Desk>,
    pub(crate) process: u64,
    /// For the bug that compares with what it knows: each release's head as this process knows it.
    known: Mutex<HashMap<i64, ReleaseHead>>,
}

/// A process's transaction.
pub(crate) struct WatchedEntry<'b, B: Books + 'b> {
    /// Until the commit.
    inner: Option<B::Entry<'b>>,
    books: &'b Watched<B>,
    token: u64,
    commit: Commit,
    replaced: Option<ReleaseHead>,
}

impl<'b, B: Books> Drop for WatchedEntry<'b, B> {
    fn drop(&mut self) {
        self.books.desk.let_go(self.token);
    }
}

pub(crate) fn away() -> Error {
    Error::Unavailable { retry_after: 1 }
}

impl Desk {
    /// Stops, and fails where the database does.
    pub(crate) async fn go(&self, op: Op) -> Result<(), Error> {
        self.gate.pass(op).await;
        let mut state = self.state();
        if state.away {
            return Err(away());
        }
        if state.fail > 0 {
            state.fail -= 1;
            return Err(away());
        }
        Ok(())
    }

    /// Waits for the environment's row.
    pub(crate) async fn hold(&self, op: Op, token: u64) -> Result<(), Error> {
        loop {
            self.go(op).await?;
            let mut state = self.state();
            if state.writer.is_none() || state.writer == Some(token) {
                state.writer = Some(token);
                return Ok(());
            }
        }
    }

    pub(crate) fn token(&self) -> u64 {
        let mut state = self.state();
        state.tokens += 1;
        state.tokens
    }

    pub(crate) fn let_go(&self, token: u64) {
        let mut state = self.state();
        if state.writer == Some(token) {
            (state.writer, state.row_held) = (None, false);
        }
    }
}

impl<B: Books> Watched<B> {
    pub(crate) fn new(inner: B, desk: Arc<Desk>, process: u64) -> Self {
        Self { inner, desk, process, known: Mutex::default() }
    }

    fn note_seen<'s>(&self, seen: impl IntoIterator<Item = (&'s String, &'s Seen)>) {
        if self.desk.has(Bug::TargetingBeforeLock) || self.desk.has(Bug::KillBeforeLock) {
            let known = seen.into_iter().map(|(flag, seen)| ((self.process, flag.clone()), seen.clone()));
            self.desk.state().seen.extend(known);
        }
    }

    fn knows(&self, head: ReleaseHead) {
        if self.desk.has(Bug::NoCompareAndSet) {
            self.known.lock().unwrap().insert(head.id, head);
        }
    }
}

impl<'b, B: Books> WatchedEntry<'b, B> {
    fn inner(&mut self) -> &mut B::Entry<'b> {
        self.inner.as_mut().unwrap()
    }
}

impl<B: Books> Books for Watched<B> {
    type Entry<'b>
        = WatchedEntry<'b, B>
    where
        Self: 'b;

    async fn begin(&self, carried: &Carried) -> Result<Self::Entry<'_>, Error> {
        let token = self.desk.token();
        if self.desk.serial {
            self.desk.hold(Op::Begin, token).await?;
        } else {
            self.desk.go(Op::Begin).await?;
        }
        let inner = match self.inner.begin(carried).await {
            Ok(inner) => inner,
            Err(error) => {
                self.desk.let_go(token);
                return Err(error);
            }
        };
        let began = self.desk.state().time;
        let commit = Commit { began, process: self.process, release: carried.key.clone(), ..Commit::default() };
        Ok(WatchedEntry { inner: Some(inner), books: self, token, commit, replaced: None })
    }

    async fn load(&self, id: i64) -> Result<Option<Stored>, Error> {
        self.desk.go(Op::Load).await?;
        let stored = self.inner.load(id).await?;
        if let Some(stored) = &stored {
            self.knows(stored.head);
        }
        Ok(stored)
    }

    async fn nodes(&self) -> Result<Vec<NodeHead>, Error> {
        self.desk.go(Op::Nodes).await?;
        self.inner.nodes().await
    }

    async fn rows(&self, node: &str, after: i64) -> Result<Vec<Row>, Error> {
        self.desk.go(Op::Rows).await?;
        let mut rows = self.inner.rows(node, after).await?;
        if self.desk.state().doubled_rows {
            let again = rows.clone();
            rows.extend(again);
        }
        Ok(rows)
    }

    async fn stands(&self) -> Result<Identity, Error> {
        self.desk.go(Op::Targetings).await?;
        self.inner.stands().await
    }

    async fn written_since(&self, flags: &HashSet<String>, since: Identity) -> Result<Option<Written>, Error> {
        self.desk.go(Op::Targetings).await?;
        let written = self.inner.written_since(flags, since).await?;
        let seen = written.iter().flat_map(|written| &written.seen);
        self.note_seen(seen.filter_map(|(flag, seen)| Some((flag, seen.as_ref()?))));
        Ok(written)
    }

    async fn targetings(&self, flags: &HashSet<String>) -> Result<HashMap<String, Seen>, Error> {
        self.desk.go(Op::Targetings).await?;
        let seen = self.inner.targetings(flags).await?;
        self.note_seen(&seen);
        Ok(seen)
    }

    async fn freezes(&self, now: i64) -> Result<Vec<Freeze>, Error> {
        self.desk.go(Op::Freezes).await?;
        if self.desk.has(Bug::NoFreeze) { Ok(Vec::new()) } else { self.inner.freezes(now).await }
    }

    async fn snapshot(&self, stored: &[&Stored]) -> Result<Vec<bool>, Error> {
        // Rows that another transaction has written are waited for.
        loop {
            self.desk.go(Op::Snapshot).await?;
            let state = self.desk.state();
            if !(state.row_held || self.desk.serial && state.writer.is_some()) {
                break;
            }
        }
        let mut mine: Vec<Stored> = stored.iter().map(|stored| (*stored).clone()).collect();
        for stored in &mut mine {
            if self.desk.has(Bug::LostCursor) {
                stored.run.cursors.clear();
            }
            if self.desk.has(Bug::SnapshotOverwrites)
                && let Some(stands) = self.inner.load(stored.head.id).await?
            {
                stored.head = stands.head;
            }
        }
        let written = self.inner.snapshot(&mine.iter().collect::<Vec<_>>()).await?;
        self.desk.log(|| format!("process {} snapshots {written:?}", self.process));
        Ok(written)
    }

    async fn unwatch(&self, stored: &Stored) -> Result<(), Error> {
        let token = self.desk.token();
        self.desk.hold(Op::Unwatch, token).await?;
        let done = self.inner.unwatch(stored).await;
        self.desk.let_go(token);
        done
    }

    fn moment(&self) -> Moment {
        let state = self.desk.state();
        let offset = state.offsets.get(&self.process).copied().unwrap_or_default();
        Moment { now_ms: state.time + offset, steady: Duration::from_millis(state.time.unsigned_abs()) }
    }

    fn step(&self, course: &Course, state: State, input: &Input, calendar: &dyn Calendar, now: i64) -> Outcome {
        evaluation::step(self, course, state, input, calendar, now)
    }
}

impl<'b, B: Books> Entry for WatchedEntry<'b, B> {
    async fn lock(&mut self) -> Result<(), Error> {
        let desk = &self.books.desk;
        if desk.has(Bug::NoLock) {
            desk.go(Op::Lock).await?;
        } else {
            desk.hold(Op::Lock, self.token).await?;
        }
        self.inner().lock().await
    }

    async fn head(&mut self, id: i64) -> Result<Option<ReleaseHead>, Error> {
        self.books.desk.go(Op::Head).await?;
        let head = self.inner().head(id).await?;
        let known = self.books.known.lock().unwrap().get(&id).copied();
        Ok(if self.books.desk.has(Bug::NoCompareAndSet) { known.or(head) } else { head })
    }

    async fn targeting(&mut self, flag: &str) -> Result<Option<Seen>, Error> {
        self.books.desk.go(Op::Targeting).await?;
        let seen = self.inner().targeting(flag).await?;
        let desk = &self.books.desk;
        let before = || desk.state().seen.get(&(self.books.process, flag.to_owned())).cloned();
        Ok(match (desk.bug, before()) {
            (Some(Bug::TargetingBeforeLock), Some(before)) => Some(before),
            (Some(Bug::KillBeforeLock), Some(before)) => seen.map(|seen| Seen { killed: before.killed, ..seen }),
            _ => seen,
        })
    }

    async fn write_rollout(&mut self, carried: &Carried, owned: &Owned, why: &str) -> Result<Identity, Error> {
        self.books.desk.go(Op::Write).await?;
        let written = self.inner().write_rollout(carried, owned, why).await?;
        self.commit.writes.push((written.revision, owned.clone()));
        Ok(written)
    }

    async fn record(&mut self, id: i64, record: &Record, revision: Option<u64>) -> Result<(), Error> {
        let desk = Arc::clone(&self.books.desk);
        desk.go(Op::Record).await?;
        self.commit.records.push((record.clone(), revision));
        match desk.bug {
            Some(Bug::NoRecord) if record.number.is_multiple_of(3) => return Ok(()),
            Some(Bug::NoEvidence) if record.number.is_multiple_of(3) => {
                return self.inner().record(id, &Record { evidence: String::new(), ..record.clone() }, revision).await;
            }
            _ => {}
        }
        let done = self.inner().record(id, record, revision).await;
        if let Err(error) = &done
            && !matches!(error, Error::Unavailable { .. })
        {
            desk.break_rule(format!("{} records number {} again: {error:?}", self.commit.release, record.number));
        }
        done
    }

    async fn tell(&mut self, carried: &Carried, notice: &Notice, state: &State, report: Option<&serde_json::Value>) -> Result<(), Error> {
        let desk = Arc::clone(&self.books.desk);
        desk.go(Op::Tell).await?;
        if desk.has(Bug::LostNotice) && notice.slot.ends_with('2') {
            return Ok(());
        }
        if desk.has(Bug::DoubledNotice) && notice.slot.ends_with('2') {
            self.commit.notices.push(notice.clone());
            self.inner().tell(carried, notice, state, report).await?;
        }
        self.commit.notices.push(notice.clone());
        self.inner().tell(carried, notice, state, report).await
    }

    fn audit(&mut self, carried: &Carried, command: &Command) {
        self.commit.command = Some(command.clone());
        self.inner().audit(carried, command);
    }

    async fn replace(&mut self, head: ReleaseHead, run: &Run) -> Result<bool, Error> {
        let desk = Arc::clone(&self.books.desk);
        desk.go(Op::Replace).await?;
        let head = match desk.bug {
            Some(Bug::NoCompareAndSet) => self.inner().head(head.id).await?.unwrap_or(head),
            _ => head,
        };
        let run = &if desk.has(Bug::LostCursor) { Run { cursors: [].into(), ..run.clone() } } else { run.clone() };
        let replaced = self.inner().replace(head, run).await?;
        if replaced {
            let number = run.state.number as i64;
            self.replaced = Some(ReleaseHead { number, snapshot: head.snapshot + 1, ..head });
        }
        let mut state = desk.state();
        if state.writer == Some(self.token) {
            state.row_held = replaced;
        }
        Ok(replaced)
    }

    async fn commit(self) -> Result<(), Error> {
        let mut this = self;
        let desk = Arc::clone(&this.books.desk);
        desk.go(Op::Commit).await?;
        let (token, mut commit) = (this.token, std::mem::take(&mut this.commit));
        // What drops a transaction lets go of the row: here the commit does, after it.
        this.token = 0;
        let inner = this.inner.take().unwrap();
        let done = inner.commit().await;
        desk.let_go(token);
        done?;
        if let Some(head) = this.replaced {
            this.books.knows(head);
        }
        let lost = {
            let mut state = desk.state();
            let lost = state.lose_answers > 0;
            state.lose_answers -= usize::from(lost);
            (commit.time, commit.told) = (state.time, !lost);
            state.commits.push(commit.clone());
            lost
        };
        desk.log(|| said(&commit));
        desk.gate.pass(Op::Committed).await;
        if lost { Err(away()) } else { Ok(()) }
    }
}

fn said(commit: &Commit) -> String {
    let records: Vec<String> = commit
        .records
        .iter()
        .map(|(record, revision)| {
            let revision = revision.map(|revision| format!(" (revision {revision})")).unwrap_or_default();
            format!("{} {} -> {}, step {}{revision}: {}", record.number, record.from, record.to, record.step + 1, record.evidence)
        })
        .collect();
    let lost = if commit.told { "" } else { ", and the answer is lost" };
    format!("process {} of {}: {}{lost}", commit.process, commit.release, records.join("; "))
}
