//! Cohorts and the lists that SDKs fetch.

use sqlx::FromRow;

use super::{Store, StoreError, Tx, with_db, with_tx};

macro_rules! columns {
    () => {
        "id, environment, key, description, version, generation, members, item, deleted_at, updated_at"
    };
}

const FIND: &str = concat!("select ", columns!(), " from cohorts where environment = $1 and key = $2");
const LIST: &str =
    concat!("select ", columns!(), " from cohorts where environment = $1 and key > $2 and deleted_at is null order by key limit $3");
const INSERT: &str = "insert into cohorts (environment, key, description, version, generation, members, item, deleted_at, updated_at) \
     values ($1, $2, $3, 1, 0, 0, $4, null, $5) returning id";
const UPDATE: &str = "update cohorts set description = $2, item = $3, members = $4, generation = $5, deleted_at = $6, updated_at = $7, version = version + 1 \
     where id = $1 returning version";
/// A list that is there already is new again: a sweep that would take it waits for this write, and then leaves it.
const PUT_LIST: &str = "insert into cohort_lists (environment, digest, cohort, bytes, created_at) values ($1, $2, $3, $4, $5) on conflict (environment, digest) do update set created_at = excluded.created_at";
const GET_LIST: &str = "select bytes from cohort_lists where environment = $1 and digest = $2";
/// Two cohorts with empty lists share a digest, so every cohort's item is asked.
const PRUNE_LISTS: &str = "delete from cohort_lists where environment = $1 and created_at < $2 and not exists \
     (select 1 from cohorts c where c.environment = cohort_lists.environment and c.deleted_at is null and c.item like '%' || cohort_lists.digest || '%')";

/// A cohort. A deleted one keeps its row: its key may come back, its history stays.
#[derive(Debug, Clone, FromRow)]
pub struct CohortRow {
    /// Row id.
    pub id: i64,
    /// The environment's row.
    pub environment: i64,
    /// Its key.
    pub key: String,
    /// What it is for; may be empty.
    pub description: String,
    /// For `If-Match`.
    pub version: i64,
    /// The generation of members that stands; 0 before the first.
    pub generation: i64,
    /// How many units its list has.
    pub members: i64,
    /// The wire text that is served.
    pub item: String,
    /// Epoch milliseconds.
    pub deleted_at: Option<i64>,
    /// Epoch milliseconds.
    pub updated_at: i64,
}

impl Store {
    /// The cohort with this key, deleted or not.
    ///
    /// # Errors
    /// The database away.
    pub async fn find_cohort(&self, environment: i64, key: &str) -> Result<Option<CohortRow>, StoreError> {
        with_db!(self, |db| sqlx::query_as(FIND).bind(environment).bind(key).fetch_optional(db).await)
    }

    /// Up to `limit` cohorts with keys after `after`, in key order.
    ///
    /// # Errors
    /// The database away.
    pub async fn list_cohorts(&self, environment: i64, after: &str, limit: i64) -> Result<Vec<CohortRow>, StoreError> {
        with_db!(self, |db| sqlx::query_as(LIST).bind(environment).bind(after).bind(limit).fetch_all(db).await)
    }

    /// A list's bytes as SDKs fetch them.
    ///
    /// # Errors
    /// The database away.
    pub async fn find_list(&self, environment: i64, digest: &str) -> Result<Option<Vec<u8>>, StoreError> {
        with_db!(self, |db| sqlx::query_scalar(GET_LIST).bind(environment).bind(digest).fetch_optional(db).await)
    }
}

impl Tx {
    /// The cohort with this key, deleted or not.
    ///
    /// # Errors
    /// The database away.
    pub async fn find_cohort(&mut self, environment: i64, key: &str) -> Result<Option<CohortRow>, StoreError> {
        with_tx!(self, |db| sqlx::query_as(FIND).bind(environment).bind(key).fetch_optional(db).await)
    }

    /// A new cohort without members, at version 1; its id.
    ///
    /// # Errors
    /// The key taken; the database away.
    pub async fn insert_cohort(&mut self, environment: i64, key: &str, description: &str, item: &str, at: i64) -> Result<i64, StoreError> {
        with_tx!(self, |db| {
            let query = sqlx::query_scalar(INSERT).bind(environment).bind(key).bind(description).bind(item);
            query.bind(at).fetch_one(db).await
        })
    }

    /// Writes everything that may change of a cohort; its new version.
    ///
    /// # Errors
    /// The database away.
    pub async fn update_cohort(&mut self, row: &CohortRow) -> Result<i64, StoreError> {
        with_tx!(self, |db| {
            let query = sqlx::query_scalar(UPDATE).bind(row.id).bind(&row.description).bind(&row.item).bind(row.members);
            query.bind(row.generation).bind(row.deleted_at).bind(row.updated_at).fetch_one(db).await
        })
    }

    /// Keeps a list under its digest.
    ///
    /// # Errors
    /// The database away.
    pub async fn put_list(&mut self, environment: i64, cohort: &str, digest: &str, bytes: &[u8], at: i64) -> Result<(), StoreError> {
        with_tx!(self, |db| {
            let query = sqlx::query(PUT_LIST).bind(environment).bind(digest).bind(cohort).bind(bytes).bind(at);
            query.execute(db).await.map(drop)
        })?;
        Ok(())
    }

    /// A list's bytes, as they stand under the environment's lock.
    ///
    /// # Errors
    /// The database away.
    pub async fn find_list(&mut self, environment: i64, digest: &str) -> Result<Option<Vec<u8>>, StoreError> {
        with_tx!(self, |db| sqlx::query_scalar(GET_LIST).bind(environment).bind(digest).fetch_optional(db).await)
    }

    /// Forgets lists that were made before a moment and that no cohort names any more. An SDK that still asks for one
    /// is told to ask for the whole.
    ///
    /// # Errors
    /// The database away.
    pub async fn prune_lists(&mut self, environment: i64, before: i64) -> Result<(), StoreError> {
        with_tx!(self, |db| sqlx::query(PRUNE_LISTS).bind(environment).bind(before).execute(db).await.map(drop))
    }
}
