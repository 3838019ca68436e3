//! The key that signs tokens, one for all nodes.

use sqlx::FromRow;

use super::{Store, StoreError, Tx, with_db, with_tx};

const LIST: &str = "select id, private_key, created_at from signing_keys order by slot";
/// Slot 1 is taken once, whatever number of nodes start together.
const INSERT: &str = "insert into signing_keys (id, slot, private_key, created_at) values ($1, 1, $2, $3) on conflict do nothing";

/// A signing key.
#[derive(Clone, FromRow)]
pub struct SigningKeyRow {
    /// The `kid` of its tokens.
    pub id: String,
    /// PKCS #8 in PEM.
    pub private_key: String,
    /// Epoch milliseconds.
    pub created_at: i64,
}

impl Store {
    /// All signing keys, the one that signs first.
    ///
    /// # Errors
    /// The database away.
    pub async fn list_signing_keys(&self) -> Result<Vec<SigningKeyRow>, StoreError> {
        with_db!(self, |db| sqlx::query_as(LIST).fetch_all(db).await)
    }

    /// The key that signs: the first one, which is `candidate` unless another node, or this one in the past, was faster.
    ///
    /// # Errors
    /// The database away.
    pub async fn signing_key(&self, candidate: &SigningKeyRow) -> Result<SigningKeyRow, StoreError> {
        let mut tx = self.begin().await?;
        tx.insert_first_signing_key(candidate).await?;
        let first = with_tx!(tx, |db| sqlx::query_as(LIST).fetch_one(db).await)?;
        tx.commit().await?;
        Ok(first)
    }
}

impl Tx {
    /// Makes this the first signing key, unless there is one.
    ///
    /// # Errors
    /// The database away.
    pub async fn insert_first_signing_key(&mut self, row: &SigningKeyRow) -> Result<(), StoreError> {
        with_tx!(self, |db| sqlx::query(INSERT).bind(&row.id).bind(&row.private_key).bind(row.created_at).execute(db).await.map(drop))?;
        Ok(())
    }
}
