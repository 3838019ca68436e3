//! What must differ between SQLite and Postgres, all of it.

use std::{str::FromStr, sync::Arc, time::Duration};

use sqlx::{
    PgPool, Postgres, Sqlite, SqlitePool, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::StoreError;

/// How long a call waits for a connection before the database counts as away.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// A row lock that is waited for longer than this is somebody's stuck transaction.
const LOCK_TIMEOUT: &str = "10s";
/// SQLite has one writer; who waits longer than this in its queue is told so.
const WRITER_TIMEOUT: Duration = Duration::from_secs(20);

/// The database.
#[derive(Clone)]
pub struct Store {
    pools: Arc<Pools>,
}

pub(super) enum Pools {
    /// One writer, so that writes queue in the process instead of failing with "locked"; readers apart.
    Sqlite {
        read: SqlitePool,
        write: SqlitePool,
    },
    Postgres(PgPool),
}

/// A transaction; dropped without [`Tx::commit`], it is undone.
pub enum Tx {
    /// See [`Store`].
    Sqlite(Transaction<'static, Sqlite>),
    /// See [`Store`].
    Postgres(Transaction<'static, Postgres>),
}

impl Store {
    /// Opens `sqlite:path` (created when missing) or `postgres://...` and brings the schema up to date.
    ///
    /// # Errors
    /// An address that is neither, a database that is away, a schema that cannot be brought up to date.
    pub async fn open(address: &str, connections: u32) -> Result<Self, StoreError> {
        let pools = if address.starts_with("sqlite:") {
            open_sqlite(address, connections).await?
        } else if address.starts_with("postgres:") || address.starts_with("postgresql:") {
            open_postgres(address, connections).await?
        } else {
            return Err(StoreError::Address(format!(
                "{address:?} is no database address: give sqlite:storyflag.db or postgres://user@host/name"
            )));
        };
        Ok(Self { pools: Arc::new(pools) })
    }

    pub(super) fn pools(&self) -> &Pools {
        &self.pools
    }

    /// Begins a transaction that writes.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        Ok(match self.pools() {
            Pools::Sqlite { write, .. } => Tx::Sqlite(write.begin_with("begin immediate").await?),
            Pools::Postgres(pool) => Tx::Postgres(pool.begin().await?),
        })
    }

    /// Begins a transaction that reads one moment.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn begin_snapshot(&self) -> Result<Tx, StoreError> {
        Ok(match self.pools() {
            Pools::Sqlite { read, .. } => Tx::Sqlite(read.begin().await?),
            Pools::Postgres(pool) => Tx::Postgres(pool.begin_with("begin isolation level repeatable read read only").await?),
        })
    }

    /// `sqlite` or `postgres`.
    pub fn kind(&self) -> &'static str {
        match self.pools() {
            Pools::Sqlite { .. } => "sqlite",
            Pools::Postgres(_) => "postgres",
        }
    }

    /// Lets go of all connections.
    pub async fn close(&self) {
        match self.pools() {
            Pools::Sqlite { read, write } => {
                read.close().await;
                write.close().await;
            }
            Pools::Postgres(pool) => pool.close().await,
        }
    }
}

impl Tx {
    /// Makes it so.
    ///
    /// # Errors
    /// When the database is away: then nothing was done, unless the answer to the commit itself was lost.
    pub async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(transaction) => transaction.commit().await?,
            Self::Postgres(transaction) => transaction.commit().await?,
        }
        Ok(())
    }

    /// Undoes it; also what dropping does, but at once.
    ///
    /// # Errors
    /// When the database is away: it will undo it by itself.
    pub async fn rollback(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(transaction) => transaction.rollback().await?,
            Self::Postgres(transaction) => transaction.rollback().await?,
        }
        Ok(())
    }
}

async fn open_sqlite(address: &str, connections: u32) -> Result<Pools, StoreError> {
    let options = SqliteConnectOptions::from_str(address)?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // An acknowledged write survives the loss of power.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(ACQUIRE_TIMEOUT);
    let write = SqlitePoolOptions::new().max_connections(1).acquire_timeout(WRITER_TIMEOUT).connect_with(options.clone()).await?;
    sqlx::migrate!("../migrations/sqlite").run(&write).await?;
    let read = SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options.read_only(true))
        .await?;
    Ok(Pools::Sqlite { read, write })
}

async fn open_postgres(address: &str, connections: u32) -> Result<Pools, StoreError> {
    let options = PgConnectOptions::from_str(address)?.application_name("storyflag").options([("lock_timeout", LOCK_TIMEOUT)]);
    let pool = PgPoolOptions::new().max_connections(connections).acquire_timeout(ACQUIRE_TIMEOUT).connect_with(options).await?;
    sqlx::migrate!("../migrations/postgres").run(&pool).await?;
    Ok(Pools::Postgres(pool))
}
