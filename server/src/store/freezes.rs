//! Freezes: times in which nothing is raised.

use sqlx::FromRow;

use super::{Store, StoreError, Tx, with_db, with_tx};

macro_rules! columns {
    () => {
        "id, environment, from_at, to_at, reason, created_at, created_by"
    };
}

const LIST: &str = concat!("select ", columns!(), " from freezes where environment = $1 and to_at > $2 order by from_at, id");
const FIND: &str = concat!("select ", columns!(), " from freezes where environment = $1 and id = $2");
/// Of several the one that ends last: it tells when something can be raised again.
const AT: &str =
    concat!("select ", columns!(), " from freezes where environment = $1 and from_at <= $2 and to_at > $2 order by to_at desc, id limit 1");
const INSERT: &str = concat!("insert into freezes (", columns!(), ") values ($1, $2, $3, $4, $5, $6, $7)");
const DELETE: &str = "delete from freezes where environment = $1 and id = $2";

/// A freeze.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct FreezeRow {
    /// Its id.
    pub id: String,
    /// The environment's row.
    pub environment: i64,
    /// Epoch milliseconds from which on nothing is raised.
    pub from_at: i64,
    /// Epoch milliseconds from which on it is over.
    pub to_at: i64,
    /// Why.
    pub reason: String,
    /// Epoch milliseconds.
    pub created_at: i64,
    /// By whom.
    pub created_by: String,
}

impl Store {
    /// The freezes of an environment that end after a moment, the earliest first.
    ///
    /// # Errors
    /// The database away.
    pub async fn list_freezes(&self, environment: i64, ending_after: i64) -> Result<Vec<FreezeRow>, StoreError> {
        with_db!(self, |db| sqlx::query_as(LIST).bind(environment).bind(ending_after).fetch_all(db).await)
    }
}

impl Tx {
    /// The freeze that holds at a moment, if one does; of several the one that ends last.
    ///
    /// # Errors
    /// The database away.
    pub async fn freeze_at(&mut self, environment: i64, now: i64) -> Result<Option<FreezeRow>, StoreError> {
        with_tx!(self, |db| sqlx::query_as(AT).bind(environment).bind(now).fetch_optional(db).await)
    }

    /// The freeze with this id.
    ///
    /// # Errors
    /// The database away.
    pub async fn find_freeze(&mut self, environment: i64, id: &str) -> Result<Option<FreezeRow>, StoreError> {
        with_tx!(self, |db| sqlx::query_as(FIND).bind(environment).bind(id).fetch_optional(db).await)
    }

    /// The freezes of an environment that end after a moment, the earliest first.
    ///
    /// # Errors
    /// The database away.
    pub async fn list_freezes(&mut self, environment: i64, ending_after: i64) -> Result<Vec<FreezeRow>, StoreError> {
        with_tx!(self, |db| sqlx::query_as(LIST).bind(environment).bind(ending_after).fetch_all(db).await)
    }

    /// A new freeze.
    ///
    /// # Errors
    /// The database away.
    pub async fn insert_freeze(&mut self, row: &FreezeRow) -> Result<(), StoreError> {
        with_tx!(self, |db| {
            let query = sqlx::query(INSERT).bind(&row.id).bind(row.environment).bind(row.from_at).bind(row.to_at);
            query.bind(&row.reason).bind(row.created_at).bind(&row.created_by).execute(db).await.map(drop)
        })
    }

    /// Deletes a freeze.
    ///
    /// # Errors
    /// The database away.
    pub async fn delete_freeze(&mut self, environment: i64, id: &str) -> Result<(), StoreError> {
        with_tx!(self, |db| sqlx::query(DELETE).bind(environment).bind(id).execute(db).await.map(drop))
    }
}
