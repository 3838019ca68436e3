//! SDK keys: shown once, stored hashed.

use sqlx::FromRow;

use super::{Store, StoreError, Tx, with_db, with_tx};

const LIVE: &str = "select id, environment, name, hash, created_at, created_by, revoked_at from keys where revoked_at is null";
const LIST: &str =
    "select id, environment, name, hash, created_at, created_by, revoked_at from keys where environment = $1 order by created_at, id";
const INSERT: &str =
    "insert into keys (id, environment, name, hash, created_at, created_by, revoked_at) values ($1, $2, $3, $4, $5, $6, null)";
const REVOKE: &str = "update keys set revoked_at = $3 where id = $1 and environment = $2 and revoked_at is null";

/// An SDK key, without its secret.
#[derive(Debug, Clone, FromRow)]
pub struct KeyRow {
    /// The part of the key that may be shown.
    pub id: String,
    /// The environment's row.
    pub environment: i64,
    /// What it is for.
    pub name: String,
    /// SHA-256 of the whole key, in hex.
    pub hash: String,
    /// Epoch milliseconds.
    pub created_at: i64,
    /// Who made it.
    pub created_by: String,
    /// Epoch milliseconds; a revoked key never works again.
    pub revoked_at: Option<i64>,
}

impl Store {
    /// Every key that works, of all environments.
    ///
    /// # Errors
    /// The database away.
    pub async fn list_live_keys(&self) -> Result<Vec<KeyRow>, StoreError> {
        with_db!(self, |db| sqlx::query_as(LIVE).fetch_all(db).await)
    }

    /// All keys of an environment, revoked ones too.
    ///
    /// # Errors
    /// The database away.
    pub async fn list_keys(&self, environment: i64) -> Result<Vec<KeyRow>, StoreError> {
        with_db!(self, |db| sqlx::query_as(LIST).bind(environment).fetch_all(db).await)
    }
}

impl Tx {
    /// A new key.
    ///
    /// # Errors
    /// The database away.
    pub async fn insert_key(&mut self, row: &KeyRow) -> Result<(), StoreError> {
        with_tx!(self, |db| {
            let query = sqlx::query(INSERT).bind(&row.id).bind(row.environment).bind(&row.name).bind(&row.hash);
            query.bind(row.created_at).bind(&row.created_by).execute(db).await.map(drop)
        })?;
        Ok(())
    }

    /// Revokes a key; false if there is no such live key.
    ///
    /// # Errors
    /// The database away.
    pub async fn revoke_key(&mut self, environment: i64, id: &str, at: i64) -> Result<bool, StoreError> {
        let revoked = with_tx!(self, |db| sqlx::query(REVOKE)
            .bind(id)
            .bind(environment)
            .bind(at)
            .execute(db)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(revoked > 0)
    }
}
