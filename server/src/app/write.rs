//! One write: the environment's row first, then the rest, then history, then the commit, then the news.

use std::borrow::Cow;

use storyflag_evaluation::{Identity, ItemKind, item_hash};

use super::{App, Ask, now_ms, telling};
use crate::{
    error::Error,
    publish::{Committed, CommittedItem},
    store::{EnvironmentRow, NewChange, Tx},
};

/// The most flags that an environment serves. Below what an SDK takes, as all bounds here.
const MOST_FLAGS: i64 = 5_000;
/// The most bytes of items that an environment serves.
const MOST_ITEM_BYTES: i64 = 16 * 1024 * 1024;
/// The most bytes of one item.
const MOST_BYTES_AN_ITEM: usize = 256 * 1024;

/// A write under way. Dropped without [`Write::commit`], nothing happened.
pub(super) struct Write<'a> {
    app: &'a App,
    ask: Cow<'a, Ask>,
    /// For what each noun writes.
    pub(super) tx: Tx,
    /// Epoch milliseconds at which it began.
    pub(super) now: i64,
    locked: Vec<Locked>,
    audits: Vec<Audit>,
    /// Whether it is a kill.
    ahead: bool,
}

/// An environment that the write has locked, at its next revision.
struct Locked {
    row: EnvironmentRow,
    digest: u64,
    flags: i64,
    item_bytes: i64,
    items: Vec<CommittedItem>,
    /// What people are told; nothing where nobody listens.
    told: Vec<telling::Change>,
}

/// A write that is not served: a row of history without a revision.
struct Audit {
    project: i64,
    environment: Option<i64>,
    kind: &'static str,
    key: String,
    after: Option<String>,
}

impl<'a> Write<'a> {
    pub(super) async fn begin(app: &'a App, ask: &'a Ask) -> Result<Self, Error> {
        Ok(Self::with(app, Cow::Borrowed(ask), app.store.begin().await?))
    }

    /// The same ahead of every write that waits for its turn: for a kill.
    pub(super) async fn begin_ahead(app: &'a App, ask: &'a Ask) -> Result<Self, Error> {
        Ok(Self { ahead: true, ..Self::with(app, Cow::Borrowed(ask), app.store.begin_ahead().await?) })
    }

    /// The same in the name of the service, which asks for itself.
    pub(super) async fn begin_own(app: &'a App, ask: Ask) -> Result<Self, Error> {
        Ok(Self::with(app, Cow::Owned(ask), app.store.begin().await?))
    }

    fn with(app: &'a App, ask: Cow<'a, Ask>, tx: Tx) -> Self {
        Self { app, ask, tx, now: now_ms(), locked: Vec::new(), audits: Vec::new(), ahead: false }
    }

    /// Locks an environment and takes its next revision. Several are locked in id order.
    pub(super) async fn lock(&mut self, environment: i64) -> Result<EnvironmentRow, Error> {
        let row = match self.ahead {
            true => self.tx.lock_and_advance_for_kill(environment, self.now).await?,
            false => self.tx.lock_and_advance(environment, self.now).await?,
        };
        let row = row.ok_or_else(|| Error::NotFound("the environment is gone".to_owned()))?;
        let identity = row.identity();
        let (flags, item_bytes) = (row.flags, row.item_bytes);
        self.locked.push(Locked { row: row.clone(), digest: identity.digest, flags, item_bytes, items: Vec::new(), told: Vec::new() });
        Ok(row)
    }

    /// Locks an environment without a revision: what is found under the lock says whether one is taken, by [`Write::lock`].
    pub(super) async fn hold(&mut self, environment: i64) -> Result<EnvironmentRow, Error> {
        let row = self.tx.lock_environment(environment).await?;
        row.ok_or_else(|| Error::NotFound("the environment is gone".to_owned()))
    }

    /// Who writes.
    pub(super) fn subject(&self) -> &str {
        &self.ask.caller.subject
    }

    /// Says why, where that is known only under the lock.
    pub(super) fn because(&mut self, reason: String) {
        self.ask.to_mut().reason = Some(reason);
    }

    /// What an environment serves from now on under a key, and what it served before.
    pub(super) fn put(
        &mut self,
        environment: i64,
        kind: ItemKind,
        key: &str,
        before: Option<&str>,
        after: Option<String>,
    ) -> Result<(), Error> {
        let locked = self.locked.iter_mut().find(|locked| locked.row.id == environment);
        let locked = locked.ok_or_else(|| Error::internal("an item of an environment that is not locked"))?;
        let size = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
        let flag = i64::from(kind == ItemKind::Flag);
        if let Some(text) = before {
            locked.digest = locked.digest.wrapping_sub(item_hash(kind, text));
            locked.flags = locked.flags.saturating_sub(flag);
            locked.item_bytes = locked.item_bytes.saturating_sub(size(text));
        }
        if let Some(text) = &after {
            locked.digest = locked.digest.wrapping_add(item_hash(kind, text));
            locked.flags = locked.flags.saturating_add(flag);
            locked.item_bytes = locked.item_bytes.saturating_add(size(text));
            check_bounds(locked, text, before.map_or(0, str::len))?;
        }
        if let Some(before) = before.filter(|_| telling::is_heard(&self.ask, &locked.row)) {
            locked.told.push(telling::Change { kind, key: key.to_owned(), before: before.to_owned(), after: after.clone() });
        }
        locked.items.push(CommittedItem { kind, key: key.into(), after: after.map(Into::into) });
        Ok(())
    }

    /// A row of history for what is not served.
    pub(super) fn audit(&mut self, project: i64, environment: Option<i64>, kind: &'static str, key: &str, after: Option<String>) {
        self.audits.push(Audit { project, environment, kind, key: key.to_owned(), after });
    }

    /// Writes what the locked environments now hold into their rows, so that they can be read before the commit, too.
    pub(super) async fn settle(&mut self) -> Result<(), Error> {
        for locked in &self.locked {
            self.tx.settle_environment(locked.row.id, locked.digest, locked.flags, locked.item_bytes).await?;
        }
        Ok(())
    }

    /// Writes history, makes all of it so, and tells every node; a dry run is undone here. The revision of the (last)
    /// environment, if one was locked.
    pub(super) async fn commit(mut self) -> Result<Option<i64>, Error> {
        self.settle().await?;
        for locked in &self.locked {
            let rows: Vec<NewChange<'_>> = locked.items.iter().map(|item| row_of(&self.ask, locked, item)).collect();
            self.tx.insert_changes(&rows).await?;
        }
        let audits: Vec<NewChange<'_>> = self.audits.iter().map(|audit| row_of_audit(&self.ask, self.now, audit)).collect();
        self.tx.insert_changes(&audits).await?;
        if self.ask.dry_run {
            let revision = self.locked.last().map(|locked| locked.row.revision.saturating_sub(1));
            self.tx.rollback().await?;
            return Ok(revision);
        }
        for locked in self.locked.iter().filter(|locked| !locked.told.is_empty()) {
            telling::tell(&mut self.tx, &self.ask, &locked.row, &locked.told).await?;
        }
        let revision = self.locked.last().map(|locked| locked.row.revision);
        self.tx.commit().await?;
        for locked in self.locked {
            let identity = Identity { digest: locked.digest, ..locked.row.identity() };
            self.app.hub.publish(&Committed { environment: locked.row.id, identity, items: locked.items });
        }
        self.app.stirred.notify_one();
        Ok(revision)
    }

    /// Leaves everything as it was. The revision of the (last) environment as it stands.
    pub(super) async fn undo(self) -> Result<Option<i64>, Error> {
        let revision = self.locked.last().map(|locked| locked.row.revision.saturating_sub(1));
        self.tx.rollback().await?;
        Ok(revision)
    }
}

fn row_of<'r>(ask: &'r Ask, locked: &'r Locked, item: &'r CommittedItem) -> NewChange<'r> {
    NewChange {
        project: locked.row.project,
        environment: Some(locked.row.id),
        revision: Some(locked.row.revision),
        at: locked.row.changed_at,
        actor: &ask.caller.subject,
        reason: ask.reason.as_deref(),
        request: &ask.caller.request_id,
        kind: item.kind.name(),
        key: &item.key,
        after: item.after.as_deref(),
    }
}

fn row_of_audit<'r>(ask: &'r Ask, now: i64, audit: &'r Audit) -> NewChange<'r> {
    NewChange {
        project: audit.project,
        environment: audit.environment,
        revision: None,
        at: now,
        actor: &ask.caller.subject,
        reason: ask.reason.as_deref(),
        request: &ask.caller.request_id,
        kind: audit.kind,
        key: &audit.key,
        after: audit.after.as_deref(),
    }
}

/// A write that makes nothing larger is never refused for its size; `true` may become `false`.
fn check_bounds(locked: &Locked, text: &str, before: usize) -> Result<(), Error> {
    if text.len() <= before.saturating_add(1) {
        return Ok(());
    }
    let environment = &locked.row.key;
    if text.len() > MOST_BYTES_AN_ITEM {
        return Err(Error::invalid("", format!("has {} bytes as it is served; at most {MOST_BYTES_AN_ITEM}", text.len())));
    }
    if locked.flags > MOST_FLAGS {
        return Err(Error::invalid("", format!("environment {environment:?} would have more than {MOST_FLAGS} flags: archive some")));
    }
    if locked.item_bytes > MOST_ITEM_BYTES {
        let bytes = locked.item_bytes;
        return Err(Error::invalid("", format!("environment {environment:?} would serve {bytes} bytes; at most {MOST_ITEM_BYTES}")));
    }
    Ok(())
}
