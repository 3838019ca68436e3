//! Why the database did not do what it was asked.

use thiserror::Error;

use super::backend;

/// Why the database did not do what it was asked.
#[derive(Debug, Error)]
pub enum StoreError {
    /// It cannot be reached, or not soon enough; the same call may succeed later.
    #[error("the database is away: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// A unique key is taken: somebody else was faster. On Postgres the transaction is spoilt: begin another one.
    #[error("taken: {0}")]
    Taken(#[source] sqlx::Error),
    /// Postgres has no NUL in texts, so nothing there is called so.
    #[error("a text with a NUL: {0}")]
    Nul(#[source] sqlx::Error),
    /// Anything else is a fault of this program.
    #[error(transparent)]
    Other(sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("migrations: {0}")]
    Migration(#[source] sqlx::migrate::MigrateError),
    /// The address is of no database that is understood.
    #[error("{0}")]
    Address(String),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) if database.is_unique_violation() => Self::Taken(error),
            sqlx::Error::Database(database) if backend::is_away(database.as_ref()) => Self::Unavailable(error),
            sqlx::Error::Database(database) if database.code().is_some_and(|code| code == "22021") => Self::Nul(error),
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_) => Self::Unavailable(error),
            _ => Self::Other(error),
        }
    }
}

impl From<sqlx::migrate::MigrateError> for StoreError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        match error {
            // The connection was lost before or during it: no fault of the schema.
            sqlx::migrate::MigrateError::Execute(cause) => match Self::from(cause) {
                Self::Unavailable(cause) => Self::Unavailable(cause),
                Self::Taken(cause) | Self::Nul(cause) | Self::Other(cause) => Self::Migration(sqlx::migrate::MigrateError::Execute(cause)),
                other => other,
            },
            other => Self::Migration(other),
        }
    }
}
