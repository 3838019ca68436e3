//! Projects.

use sqlx::FromRow;

use super::{Store, StoreError, Tx, with_db, with_tx};

const FIND: &str = "select id, key, name, created_at, version from projects where key = $1";
const FIND_BY_ID: &str = "select id, key, name, created_at, version from projects where id = $1";
const LIST: &str = "select id, key, name, created_at, version from projects where key > $1 order by key limit $2";
const INSERT: &str = "insert into projects (key, name, created_at, version) values ($1, $2, $3, 1) returning id";
const RENAME: &str = "update projects set name = $2, version = version + 1 where id = $1 and version = $3";
/// An update that changes nothing but locks the row, on both databases.
const LOCK: &str = "update projects set created_at = created_at where id = $1";

/// A namespace of flags.
#[derive(Debug, Clone, FromRow)]
pub struct ProjectRow {
    /// Row id.
    pub id: i64,
    /// Its key.
    pub key: String,
    /// Its name.
    pub name: String,
    /// Epoch milliseconds.
    pub created_at: i64,
    /// For `If-Match`.
    pub version: i64,
}

impl Store {
    /// The project with this key.
    ///
    /// # Errors
    /// The database away.
    pub async fn find_project(&self, key: &str) -> Result<Option<ProjectRow>, StoreError> {
        with_db!(self, |db| sqlx::query_as(FIND).bind(key).fetch_optional(db).await)
    }

    /// The project of this row.
    ///
    /// # Errors
    /// The database away.
    pub async fn find_project_by_id(&self, id: i64) -> Result<Option<ProjectRow>, StoreError> {
        with_db!(self, |db| sqlx::query_as(FIND_BY_ID).bind(id).fetch_optional(db).await)
    }

    /// Up to `limit` projects with keys after `after`, in key order.
    ///
    /// # Errors
    /// The database away.
    pub async fn list_projects(&self, after: &str, limit: i64) -> Result<Vec<ProjectRow>, StoreError> {
        with_db!(self, |db| sqlx::query_as(LIST).bind(after).bind(limit).fetch_all(db).await)
    }
}

impl Tx {
    /// A new project; its id.
    ///
    /// # Errors
    /// The key taken; the database away.
    pub async fn insert_project(&mut self, key: &str, name: &str, at: i64) -> Result<i64, StoreError> {
        with_tx!(self, |db| sqlx::query_scalar(INSERT).bind(key).bind(name).bind(at).fetch_one(db).await)
    }

    /// Locks a project until the transaction ends, so that flags and environments, each of which needs a row for every
    /// one of the others, are not made at once. Taken before any environment's lock. Whether there is such a project.
    ///
    /// # Errors
    /// The database away.
    pub async fn lock_project(&mut self, id: i64) -> Result<bool, StoreError> {
        let locked = with_tx!(self, |db| sqlx::query(LOCK).bind(id).execute(db).await.map(|done| done.rows_affected()))?;
        Ok(locked > 0)
    }

    /// Another name for a project, if `row` is still what stands.
    ///
    /// # Errors
    /// The database away.
    pub async fn rename_project(&mut self, row: &ProjectRow, name: &str) -> Result<bool, StoreError> {
        let renamed = with_tx!(self, |db| {
            let query = sqlx::query(RENAME).bind(row.id).bind(name).bind(row.version);
            query.execute(db).await.map(|done| done.rows_affected())
        })?;
        Ok(renamed > 0)
    }
}
