//! Targetings: the wire text of a flag in an environment is the one truth about it.

use sqlx::FromRow;

use super::{Store, StoreError, Tx, with_db, with_tx};

const FIND: &str =
    "select environment, flag, key, version, item, updated_at, updated_by from targetings where environment = $1 and key = $2";
const LIST: &str = "select environment, flag, key, version, item, updated_at, updated_by from targetings where environment = $1 and key > $2 order by key limit $3";
const ITEMS: &str = "select key, item from targetings where environment = $1";
const INSERT: &str =
    "insert into targetings (environment, flag, key, version, item, updated_at, updated_by) values ($1, $2, $3, 1, $4, $5, $6)";
const UPDATE: &str = "update targetings set item = $3, version = version + 1, updated_at = $4, updated_by = $5 where environment = $1 and key = $2 returning version";
const DELETE: &str = "delete from targetings where environment = $1 and key = $2";

/// A flag's targeting in one environment.
#[derive(Debug, Clone, FromRow)]
pub struct TargetingRow {
    /// The environment's row.
    pub environment: i64,
    /// The flag's row.
    pub flag: i64,
    /// The flag's key.
    pub key: String,
    /// For `If-Match`.
    pub version: i64,
    /// The wire text that is served.
    pub item: String,
    /// Epoch milliseconds.
    pub updated_at: i64,
    /// Who wrote it last.
    pub updated_by: String,
}

impl Store {
    /// One targeting.
    ///
    /// # Errors
    /// The database away.
    pub async fn find_targeting(&self, environment: i64, key: &str) -> Result<Option<TargetingRow>, StoreError> {
        Ok(with_db!(self, |db| sqlx::query_as(FIND).bind(environment).bind(key).fetch_optional(db).await)?)
    }

    /// Up to `limit` targetings with keys after `after`, in key order.
    ///
    /// # Errors
    /// The database away.
    pub async fn list_targetings(&self, environment: i64, after: &str, limit: i64) -> Result<Vec<TargetingRow>, StoreError> {
        Ok(with_db!(self, |db| sqlx::query_as(LIST).bind(environment).bind(after).bind(limit).fetch_all(db).await)?)
    }
}

impl Tx {
    /// One targeting, as it stands under the environment's lock.
    ///
    /// # Errors
    /// The database away.
    pub async fn find_targeting(&mut self, environment: i64, key: &str) -> Result<Option<TargetingRow>, StoreError> {
        Ok(with_tx!(self, |db| sqlx::query_as(FIND).bind(environment).bind(key).fetch_optional(db).await)?)
    }

    /// The (key, wire text) of every flag that an environment serves.
    ///
    /// # Errors
    /// The database away.
    pub async fn list_flag_items(&mut self, environment: i64) -> Result<Vec<(String, String)>, StoreError> {
        Ok(with_tx!(self, |db| sqlx::query_as(ITEMS).bind(environment).fetch_all(db).await)?)
    }

    /// A new targeting, at version 1.
    ///
    /// # Errors
    /// One is there already; the database away.
    pub async fn insert_targeting(&mut self, row: &TargetingRow) -> Result<(), StoreError> {
        with_tx!(self, |db| {
            let query = sqlx::query(INSERT).bind(row.environment).bind(row.flag).bind(&row.key).bind(&row.item);
            query.bind(row.updated_at).bind(&row.updated_by).execute(db).await.map(drop)
        })?;
        Ok(())
    }

    /// Another text for a targeting; its new version.
    ///
    /// # Errors
    /// The database away.
    pub async fn update_targeting(&mut self, environment: i64, key: &str, item: &str, at: i64, by: &str) -> Result<i64, StoreError> {
        Ok(with_tx!(self, |db| sqlx::query_scalar(UPDATE).bind(environment).bind(key).bind(item).bind(at).bind(by).fetch_one(db).await)?)
    }

    /// Removes a targeting: its flag is archived.
    ///
    /// # Errors
    /// The database away.
    pub async fn delete_targeting(&mut self, environment: i64, key: &str) -> Result<(), StoreError> {
        with_tx!(self, |db| sqlx::query(DELETE).bind(environment).bind(key).execute(db).await.map(drop))?;
        Ok(())
    }
}
