//! SQL, one file a noun: the only place that names sqlx.
//!
//! Every text is written once, with `$1` placeholders and portable types; times and seeds come from the caller.
//! What must differ between SQLite and Postgres stands in [`backend`].

mod backend;
mod changes;
mod cohorts;
mod environments;
mod flags;
mod instances;
mod keys;
mod members;
mod projects;
mod signing_keys;
mod targetings;

use thiserror::Error;

pub use backend::{Store, Tx};
pub use changes::{ChangeRow, NewChange};
pub use cohorts::CohortRow;
pub use environments::{EnvironmentRow, Head, Loaded, NewEnvironment};
pub use flags::{FlagFilter, FlagRow};
pub use instances::{InstanceRow, UsageRow};
pub use keys::KeyRow;
pub use projects::ProjectRow;
pub use signing_keys::SigningKeyRow;
pub use targetings::TargetingRow;

/// Why the database did not do what it was asked.
#[derive(Debug, Error)]
pub enum StoreError {
    /// It cannot be reached, or not soon enough; the same call may succeed later.
    #[error("the database is away: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// A unique key is taken: somebody else was faster.
    #[error("taken: {0}")]
    Taken(#[source] sqlx::Error),
    /// Anything else is a fault of this program.
    #[error(transparent)]
    Other(sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("migrations: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The address is of no database that is understood.
    #[error("{0}")]
    Address(String),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) if database.is_unique_violation() => Self::Taken(error),
            sqlx::Error::Database(database) if is_away(database.as_ref()) => Self::Unavailable(error),
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_) => Self::Unavailable(error),
            _ => Self::Other(error),
        }
    }
}

/// Postgres: connection exceptions (08), operator intervention (57), out of resources (53), read-only (25006), lock time-out (55P03).
/// SQLite: busy (5), locked (6), I/O error (10), full (13), cannot open (14).
fn is_away(error: &dyn sqlx::error::DatabaseError) -> bool {
    let code = error.code().unwrap_or_default();
    if error.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
        return code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 10 | 13 | 14));
    }
    code.starts_with("08") || code.starts_with("57") || code.starts_with("53") || code == "25006" || code == "55P03"
}

/// A u64 in a BIGINT column: the same 64 bits.
fn bits(value: u64) -> i64 {
    value.cast_signed()
}

/// See [`bits`].
fn from_bits(value: i64) -> u64 {
    value.cast_unsigned()
}

/// Runs one body on whichever database this is; the body is compiled for both, so it may use all of sqlx.
macro_rules! with_db {
    ($store:expr, |$db:ident| $body:expr) => {
        match $store.pools() {
            $crate::store::backend::Pools::Sqlite { read: $db, .. } => $body,
            $crate::store::backend::Pools::Postgres($db) => $body,
        }
    };
}

/// The same inside a transaction.
macro_rules! with_tx {
    ($tx:expr, |$db:ident| $body:expr) => {
        match $tx {
            $crate::store::backend::Tx::Sqlite(transaction) => {
                let $db = &mut **transaction;
                $body
            }
            $crate::store::backend::Tx::Postgres(transaction) => {
                let $db = &mut **transaction;
                $body
            }
        }
    };
}

use {with_db, with_tx};

