//! What must differ between SQLite and Postgres, all of it.

use std::{io, path::Path, str::FromStr, time::Duration};

use sqlx::{
    Connection, PgConnection, PgPool, Postgres, Sqlite, SqlitePool,
    error::DatabaseError,
    migrate::{Migrate, MigrateError, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteError, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::StoreError;

/// How long a call waits for a connection before the database counts as away.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long one statement may take on Postgres, the wait for its connection included. Twice what a lock is waited for.
const POSTGRES_PATIENCE: Duration = Duration::from_secs(6);
/// SQLite has no network to lose; only a disk that stalls.
const SQLITE_PATIENCE: Duration = Duration::from_secs(20);
/// How long a pooled Postgres connection may take to show that it still lives.
const PING_TIMEOUT: Duration = Duration::from_millis(500);
/// A row lock that is waited for longer than this is somebody's stuck transaction.
const LOCK_TIMEOUT: &str = "3s";
/// A node that vanished inside a transaction holds the environment's lock no longer than this.
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "10s";
/// SQLite has one writer; who waits longer than this in its queue is told so.
const WRITER_TIMEOUT: Duration = Duration::from_secs(10);
/// Prepared statements kept per Postgres connection: more than there are SQL texts.
const STATEMENT_CACHE: usize = 256;

const BEGIN_SQLITE_WRITE: &str = "begin immediate";
const BEGIN_POSTGRES_SNAPSHOT: &str = "begin isolation level repeatable read read only";

/// Readers and writers apart, so that a crowd that waits for one environment's lock never starves a read.
pub(super) enum Pools {
    /// One writer, so that writes queue in the process, in order, instead of failing with "locked".
    Sqlite { read: SqlitePool, write: SqlitePool },
    /// Half of the connections each.
    Postgres { read: PgPool, write: PgPool },
}

/// An open transaction.
pub(super) enum Transaction {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    Postgres(sqlx::Transaction<'static, Postgres>),
}

impl Pools {
    pub(super) async fn open(address: &str, connections: u32) -> Result<Self, StoreError> {
        if address.starts_with("sqlite:") {
            open_sqlite(address, connections.max(1)).await
        } else if address.starts_with("postgres:") || address.starts_with("postgresql:") {
            open_postgres(address, connections).await
        } else {
            Err(StoreError::Address(format!(
                "{:?} is no database address: give sqlite:storyflag.db or postgres://user@host/name",
                without_password(address)
            )))
        }
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "sqlite",
            Self::Postgres { .. } => "postgres",
        }
    }

    /// How long one statement may take.
    pub(super) fn patience(&self) -> Duration {
        match self {
            Self::Sqlite { .. } => SQLITE_PATIENCE,
            Self::Postgres { .. } => POSTGRES_PATIENCE,
        }
    }

    /// How many transactions that may wait are begun at once: one connection is left for those that may not.
    pub(super) fn turns(&self) -> usize {
        let writers = match self {
            Self::Sqlite { write, .. } => write.options().get_max_connections(),
            Self::Postgres { write, .. } => write.options().get_max_connections(),
        };
        usize::try_from(writers.saturating_sub(1).max(1)).unwrap_or(1)
    }

    /// How long a writer waits for its turn.
    pub(super) fn queue_patience(&self) -> Duration {
        match self {
            Self::Sqlite { .. } => WRITER_TIMEOUT,
            Self::Postgres { .. } => ACQUIRE_TIMEOUT,
        }
    }

    pub(super) async fn begin(&self) -> Result<Transaction, sqlx::Error> {
        Ok(match self {
            // Takes the write lock now: a deferred transaction would fail with "locked" when it first writes.
            Self::Sqlite { write, .. } => Transaction::Sqlite(write.begin_with(BEGIN_SQLITE_WRITE).await?),
            Self::Postgres { write, .. } => Transaction::Postgres(write.begin().await?),
        })
    }

    pub(super) async fn begin_snapshot(&self) -> Result<Transaction, sqlx::Error> {
        Ok(match self {
            // In WAL mode a reader sees one moment by itself, from its first statement on.
            Self::Sqlite { read, .. } => Transaction::Sqlite(read.begin().await?),
            Self::Postgres { read, .. } => Transaction::Postgres(read.begin_with(BEGIN_POSTGRES_SNAPSHOT).await?),
        })
    }

    pub(super) async fn close(&self) {
        match self {
            // The writer last: the last connection to close folds the write-ahead log into the file.
            Self::Sqlite { read, write } => {
                read.close().await;
                write.close().await;
            }
            Self::Postgres { read, write } => {
                read.close().await;
                write.close().await;
            }
        }
    }
}

impl Transaction {
    pub(super) async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(transaction) => transaction.commit().await,
            Self::Postgres(transaction) => transaction.commit().await,
        }
    }

    pub(super) async fn rollback(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(transaction) => transaction.rollback().await,
            Self::Postgres(transaction) => transaction.rollback().await,
        }
    }
}

/// Whether the same statement may succeed later, or elsewhere.
///
/// Postgres: connection exceptions (08), operator intervention (57), out of resources (53), read-only after a fail-over
/// (25006), idle in transaction too long (25P03), lock time-out (55P03), deadlock and serialisation (40), a database
/// that is shut (55000) or not there (3D000) while it is copied or put back.
/// SQLite: busy (5), locked (6), I/O error (10), full (13), cannot open (14).
pub(super) fn is_away(error: &dyn DatabaseError) -> bool {
    let code = error.code().unwrap_or_default();
    if error.try_downcast_ref::<SqliteError>().is_some() {
        return code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 10 | 13 | 14));
    }
    ["08", "57", "53", "40"].iter().any(|class| code.starts_with(class)) || ["25006", "25P03", "3D000", "55000", "55P03"].contains(&&*code)
}

fn without_password(address: &str) -> &str {
    address.split_once('@').map_or(address, |(_, host)| host)
}

async fn open_sqlite(address: &str, connections: u32) -> Result<Pools, StoreError> {
    let options = SqliteConnectOptions::from_str(address).map_err(|error| StoreError::Address(error.to_string()))?;
    // Each connection to memory would be a database of its own.
    if address.contains(":memory:") || address.contains("mode=memory") || options.get_filename() == Path::new("") {
        return Err(StoreError::Address(format!("{address:?}: readers and the writer need one file; give sqlite:storyflag.db")));
    }
    let options = options
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // An acknowledged write survives the loss of power.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(ACQUIRE_TIMEOUT);
    let pool = || SqlitePoolOptions::new().test_before_acquire(false).max_lifetime(None).idle_timeout(None);
    let write = pool().max_connections(1).acquire_timeout(WRITER_TIMEOUT).connect_with(options.clone()).await?;
    migrate_sqlite(&write).await?;
    let readers = SqliteConnectOptions::from_str(address)?.foreign_keys(true).busy_timeout(ACQUIRE_TIMEOUT).read_only(true);
    let read = pool().max_connections(connections).acquire_timeout(ACQUIRE_TIMEOUT).connect_with(readers).await?;
    Ok(Pools::Sqlite { read, write })
}

async fn open_postgres(address: &str, connections: u32) -> Result<Pools, StoreError> {
    let options =
        PgConnectOptions::from_str(address).map_err(|error| StoreError::Address(error.to_string()))?.application_name("storyflag");
    migrate_postgres(options.clone()).await?;
    let options = options
        .statement_cache_capacity(STATEMENT_CACHE)
        .options([("lock_timeout", LOCK_TIMEOUT), ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_TIMEOUT)]);
    let writers = (connections / 2).max(1);
    let readers = connections.saturating_sub(writers).max(1);
    let write = postgres_pool(writers).connect_with(options.clone()).await?;
    // What only reads is held to it, as SQLite's readers are.
    let read = postgres_pool(readers).connect_with(options.options([("default_transaction_read_only", "on")])).await?;
    Ok(Pools::Postgres { read, write })
}

/// A connection whose other end is gone without a word is found out when it is taken and when it is given back, and
/// thrown away: sqlx's own ping would wait for as long as TCP does.
fn postgres_pool(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(|connection, _| Box::pin(lives(connection)))
        .after_release(|connection, _| Box::pin(lives(connection)))
}

async fn lives(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    match tokio::time::timeout(PING_TIMEOUT, connection.ping()).await {
        Ok(outcome) => outcome.map(|()| true),
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer to a ping").into()),
    }
}

/// A node of the version before may start against a schema that is already one step on: migrations only ever add.
fn tolerant(mut migrator: Migrator) -> Migrator {
    migrator.set_ignore_missing(true);
    migrator
}

/// `Migrator::run` takes its connection in a way that makes the future impossible to spawn; this is what it calls.
async fn run<C: Migrate>(migrator: &Migrator, connection: &mut C) -> Result<(), MigrateError> {
    migrator.run_direct(None, connection, false).await
}

/// sqlx takes no lock of its own on SQLite, so the whole is one transaction that does.
async fn migrate_sqlite(write: &SqlitePool) -> Result<(), StoreError> {
    let mut transaction = write.begin_with(BEGIN_SQLITE_WRITE).await?;
    run(&tolerant(sqlx::migrate!("../migrations/sqlite")), &mut *transaction).await?;
    Ok(transaction.commit().await?)
}

/// On a connection of its own, under sqlx's advisory lock: nodes that start together wait for the one that migrates,
/// however long it takes, so the lock time-out is not set here.
async fn migrate_postgres(options: PgConnectOptions) -> Result<(), StoreError> {
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(ACQUIRE_TIMEOUT).connect_with(options).await?;
    let mut connection = pool.acquire().await?;
    let outcome = run(&tolerant(sqlx::migrate!("../migrations/postgres")), &mut *connection).await;
    drop(connection);
    pool.close().await;
    Ok(outcome?)
}
