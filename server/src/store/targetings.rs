//! Targetings: the wire text of a flag in an environment is the one truth about it.

use sqlx::FromRow;

use super::{Store, StoreError, Tx, any_of, insert_rows, with_db, with_tx};

const FIND: &str =
    "select environment, flag, key, version, item, updated_at, updated_by from targetings where environment = $1 and key = $2";
const LIST: &str = "select environment, flag, key, version, item, updated_at, updated_by from targetings where environment = $1 and key > $2 order by key limit $3";
const ITEMS: &str = "select key, item from targetings where environment = $1";
const FIND_MANY: &str = "select environment, flag, key, version, item, updated_at, updated_by from targetings where environment = ";
const INSERT: &str = "insert into targetings (environment, flag, key, version, item, updated_at, updated_by) ";
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
        with_db!(self, |db| sqlx::query_as(FIND).bind(environment).bind(key).fetch_optional(db).await)
    }

    /// Up to `limit` targetings with keys after `after`, in key order.
    ///
    /// # Errors
    /// The database away.
    pub async fn list_targetings(&self, environment: i64, after: &str, limit: i64) -> Result<Vec<TargetingRow>, StoreError> {
        with_db!(self, |db| sqlx::query_as(LIST).bind(environment).bind(after).bind(limit).fetch_all(db).await)
    }

    /// The targetings with these keys, as far as there are any, in no order.
    ///
    /// # Errors
    /// The database away.
    pub async fn find_targetings(&self, environment: i64, keys: &[String]) -> Result<Vec<TargetingRow>, StoreError> {
        let mut found = Vec::new();
        for keys in keys.chunks(super::ROWS_AT_ONCE) {
            let chunk: Vec<TargetingRow> = with_db!(self, |db| {
                let mut query = any_of!(FIND_MANY, [environment, " and key in ("], keys);
                query.build_query_as().persistent(false).fetch_all(db).await
            })?;
            found.extend(chunk);
        }
        Ok(found)
    }
}

impl Tx {
    /// One targeting, as it stands under the environment's lock.
    ///
    /// # Errors
    /// The database away.
    pub async fn find_targeting(&mut self, environment: i64, key: &str) -> Result<Option<TargetingRow>, StoreError> {
        with_tx!(self, |db| sqlx::query_as(FIND).bind(environment).bind(key).fetch_optional(db).await)
    }

    /// The targetings with these keys, as far as there are any, in no order.
    ///
    /// # Errors
    /// The database away.
    pub async fn find_targetings(&mut self, environment: i64, keys: &[String]) -> Result<Vec<TargetingRow>, StoreError> {
        let mut found = Vec::new();
        for keys in keys.chunks(super::ROWS_AT_ONCE) {
            let chunk: Vec<TargetingRow> = with_tx!(self, |db| {
                let mut query = any_of!(FIND_MANY, [environment, " and key in ("], keys);
                query.build_query_as().persistent(false).fetch_all(db).await
            })?;
            found.extend(chunk);
        }
        Ok(found)
    }

    /// The (key, wire text) of every flag that an environment serves.
    ///
    /// # Errors
    /// The database away.
    pub async fn list_flag_items(&mut self, environment: i64) -> Result<Vec<(String, String)>, StoreError> {
        with_tx!(self, |db| sqlx::query_as(ITEMS).bind(environment).fetch_all(db).await)
    }

    /// A new targeting, at version 1.
    ///
    /// # Errors
    /// One is there already; the database away.
    pub async fn insert_targeting(&mut self, row: &TargetingRow) -> Result<(), StoreError> {
        self.insert_targetings(std::slice::from_ref(row)).await
    }

    /// Many new targetings, at version 1, by few statements: of a new environment.
    ///
    /// # Errors
    /// One is there already; the database away.
    pub async fn insert_targetings(&mut self, rows: &[TargetingRow]) -> Result<(), StoreError> {
        insert_rows!(
            self,
            INSERT,
            rows,
            |values, row| {
                values.push_bind(row.environment).push_bind(row.flag).push_bind(&row.key).push_bind(1_i64);
                values.push_bind(&row.item).push_bind(row.updated_at).push_bind(&row.updated_by);
            },
            ""
        );
        Ok(())
    }

    /// Another text for a targeting; its new version.
    ///
    /// # Errors
    /// The database away.
    pub async fn update_targeting(&mut self, environment: i64, key: &str, item: &str, at: i64, by: &str) -> Result<i64, StoreError> {
        with_tx!(self, |db| sqlx::query_scalar(UPDATE).bind(environment).bind(key).bind(item).bind(at).bind(by).fetch_one(db).await)
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
