//! SQL, one file a noun: the only place that names sqlx.
//!
//! Every text is written once, with `$1` placeholders and portable types; times and seeds come from the caller.
//! What must differ between SQLite and Postgres stands in `backend`.
//!
//! Reads of one statement are on [`Store`]; what is written, and what is read under a lock, is on [`Tx`]. Every call is
//! bounded in time: with the database away it fails within seconds as [`StoreError::Unavailable`], and works again when
//! the database is back.

mod backend;
mod changes;
mod channels;
mod cohorts;
mod environments;
mod error;
mod exposed_units;
mod flags;
mod freezes;
mod instances;
mod keys;
mod members;
mod minutes;
mod outbox;
mod plans;
mod projects;
mod releases;
mod seconds;
mod signing_keys;
mod targetings;
mod telemetry_nodes;
#[cfg(test)]
pub(crate) mod tests;
mod usage;

use std::{future::Future, io, sync::Arc, time::Duration};

use backend::{Pools, Transaction};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

pub use changes::{ChangeRow, NewChange};
pub use channels::ChannelRow;
pub use cohorts::CohortRow;
pub use environments::{EnvironmentRow, Head, Loaded, NewEnvironment};
pub use error::StoreError;
pub use exposed_units::{ExposedRow, Registers};
pub use flags::{FlagFilter, FlagRow};
pub use freezes::FreezeRow;
pub use instances::InstanceRow;
pub use keys::KeyRow;
pub use minutes::{Latency, MinuteCounts, MinuteRow, NodeMinuteRow, Tracked};
pub use outbox::{ChannelWaiting, DueRow, LOG, NewNotice, NoticeRow, Waiting};
pub use plans::{PlanEntry, PlanRow};
pub use projects::ProjectRow;
pub use releases::{NewRun, ReleaseFilter, ReleaseHead, ReleaseRow, TransitionRow};
pub use seconds::{NodeHead, NodeRows, SecondRow};
pub use signing_keys::SigningKeyRow;
pub use targetings::TargetingRow;
pub use usage::{UsageRow, UsedRow};

/// Runs one body on a reader's connection of whichever database this is; the body is compiled for both, so it may use all of sqlx.
macro_rules! with_db {
    ($store:expr, |$db:ident| $body:expr) => {{
        let pools = $store.pools();
        match pools {
            $crate::store::backend::Pools::Sqlite { read: $db, .. } => $crate::store::bounded(pools.patience(), async { $body }).await,
            $crate::store::backend::Pools::Postgres { read: $db, .. } => $crate::store::bounded(pools.patience(), async { $body }).await,
        }
    }};
}

/// The same inside a transaction.
macro_rules! with_tx {
    ($tx:expr, |$db:ident| $body:expr) => {{
        let (transaction, patience) = $tx.parts();
        match transaction {
            $crate::store::backend::Transaction::Sqlite(transaction) => {
                let $db = &mut **transaction;
                $crate::store::bounded(patience, async { $body }).await
            }
            $crate::store::backend::Transaction::Postgres(transaction) => {
                let $db = &mut **transaction;
                $crate::store::bounded(patience, async { $body }).await
            }
        }
    }};
}

/// Writes many rows by few statements: `$head` names table and columns, `$tail` says what a conflict does. How many rows were written.
macro_rules! insert_rows {
    ($tx:expr, $head:expr, $rows:expr, |$values:ident, $row:ident| $bind:expr, $tail:expr) => {{
        let mut written = 0_u64;
        for rows in $rows.chunks($crate::store::ROWS_AT_ONCE) {
            let chunk = with_tx!($tx, |db| {
                let mut query = sqlx::QueryBuilder::new($head);
                query.push_values(rows, |mut $values, $row| {
                    $bind;
                });
                query.push($tail);
                query.build().persistent(false).execute(db).await.map(|done| done.rows_affected())
            })?;
            written = written.saturating_add(chunk);
        }
        written
    }};
}

/// A statement that ends in `in (`, given its list: `$first` are the values that stand before it.
macro_rules! any_of {
    ($head:expr, [$($first:expr, $between:expr),*], $list:expr) => {{
        let mut query = sqlx::QueryBuilder::new($head);
        $(
            query.push_bind($first).push($between);
        )*
        let mut list = query.separated(", ");
        for item in $list {
            list.push_bind(item);
        }
        query.push(")");
        query
    }};
}

use {any_of, insert_rows, with_db, with_tx};

/// Rows of one statement: times ten columns far below SQLite's 32,766 placeholders and Postgres' 65,535.
const ROWS_AT_ONCE: usize = 500;
/// Who reads a whole environment waits longer for a statement than others do.
const SNAPSHOT_PATIENCE: Duration = Duration::from_secs(30);

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pools: Arc<Pools>,
    /// One fewer than there are writers' connections, where there are several: what may not wait finds one free.
    turns: Arc<Semaphore>,
    /// Wakes who delivers messages: there are new ones.
    told: Arc<Notify>,
}

/// A transaction; dropped without [`Tx::commit`], it is undone.
pub struct Tx {
    transaction: Transaction,
    patience: Duration,
    told: Arc<Notify>,
    /// Whether there is something to deliver once it is so.
    has_told: bool,
    /// Given back after the connection is.
    _turn: Option<OwnedSemaphorePermit>,
}

impl Store {
    /// Opens `sqlite:path` (created when missing) or `postgres://...` and brings the schema up to date.
    /// `connections` is the most that Postgres is asked for, or the number of SQLite's readers.
    ///
    /// # Errors
    /// An address that is neither, a database that is away, a schema that cannot be brought up to date.
    pub async fn open(address: &str, connections: u32) -> Result<Self, StoreError> {
        let pools = Arc::new(Pools::open(address, connections).await?);
        let turns = Arc::new(Semaphore::new(pools.turns()));
        Ok(Self { pools, turns, told: Arc::default() })
    }

    fn pools(&self) -> &Pools {
        &self.pools
    }

    /// Begins a transaction that writes, in its turn.
    ///
    /// # Errors
    /// When the database is away, or the queue of writers does not move.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        let turn = Arc::clone(&self.turns).acquire_owned();
        // Nobody closes the semaphore.
        let turn = bounded(self.pools.queue_patience(), async { turn.await.map_err(|_| sqlx::Error::PoolClosed) }).await?;
        Ok(Tx { _turn: Some(turn), ..self.begin_ahead().await? })
    }

    /// Runs a statement that removes a few rows older than `$1`, until there are none: no lock is held for long.
    async fn prune(&self, statement: &'static str, before: i64) -> Result<(), StoreError> {
        loop {
            let mut tx = self.begin().await?;
            let removed = with_tx!(tx, |db| sqlx::query(statement).bind(before).execute(db).await.map(|done| done.rows_affected()))?;
            tx.commit().await?;
            if removed == 0 {
                return Ok(());
            }
        }
    }

    /// The same ahead of everybody who waits for a turn: for a kill.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn begin_ahead(&self) -> Result<Tx, StoreError> {
        let patience = self.pools.patience();
        Ok(self.tx(bounded(patience, self.pools.begin()).await?, patience))
    }

    /// Begins a transaction that reads one moment, and can only read.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn begin_snapshot(&self) -> Result<Tx, StoreError> {
        let transaction = bounded(self.pools.patience(), self.pools.begin_snapshot()).await?;
        Ok(self.tx(transaction, SNAPSHOT_PATIENCE))
    }

    fn tx(&self, transaction: Transaction, patience: Duration) -> Tx {
        Tx { transaction, patience, told: Arc::clone(&self.told), has_told: false, _turn: None }
    }

    /// Waits until something was told on this node, since this was asked last.
    pub async fn told(&self) {
        self.told.notified().await;
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// When it is away.
    pub async fn ping(&self) -> Result<(), StoreError> {
        with_db!(self, |db| sqlx::query("select 1").execute(db).await.map(drop))
    }

    /// `sqlite` or `postgres`.
    pub fn kind(&self) -> &'static str {
        self.pools.kind()
    }

    /// Lets go of all connections.
    pub async fn close(&self) {
        self.pools.close().await;
    }
}

impl Tx {
    fn parts(&mut self) -> (&mut Transaction, Duration) {
        (&mut self.transaction, self.patience)
    }

    /// Makes it so.
    ///
    /// # Errors
    /// When the database is away: then nothing was done, unless the answer to the commit itself was lost.
    pub async fn commit(self) -> Result<(), StoreError> {
        bounded(self.patience, self.transaction.commit()).await?;
        if self.has_told {
            self.told.notify_one();
        }
        Ok(())
    }

    /// Undoes it; also what dropping does, but at once.
    ///
    /// # Errors
    /// When the database is away: it will undo it by itself.
    pub async fn rollback(self) -> Result<(), StoreError> {
        bounded(self.patience, self.transaction.rollback()).await
    }
}

/// A network that swallows packets answers nothing, not even an error: no statement is waited for without end.
async fn bounded<T>(patience: Duration, statement: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, StoreError> {
    match tokio::time::timeout(patience, statement).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, "no answer from the database")).into()),
    }
}

/// A u64 in a BIGINT column: the same 64 bits. Only digests use the upper half.
fn bits(value: u64) -> i64 {
    value.cast_signed()
}

/// See [`bits`].
fn from_bits(value: i64) -> u64 {
    value.cast_unsigned()
}
