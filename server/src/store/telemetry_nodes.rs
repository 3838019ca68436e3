//! How far the seconds of each node go: where whoever reads seconds looks first.

use super::{Store, StoreError, Tx, with_db, with_tx};

const LIST: &str = "select node, second from telemetry_nodes where environment = $1 order by node";

impl Store {
    /// The (node, last second) of every node that wrote seconds of an environment.
    ///
    /// # Errors
    /// The database away.
    pub async fn node_seconds(&self, environment: i64) -> Result<Vec<(String, i64)>, StoreError> {
        with_db!(self, |db| sqlx::query_as(LIST).bind(environment).fetch_all(db).await)
    }
}

impl Tx {
    /// The same under a lock.
    ///
    /// # Errors
    /// The database away.
    pub async fn node_seconds(&mut self, environment: i64) -> Result<Vec<(String, i64)>, StoreError> {
        with_tx!(self, |db| sqlx::query_as(LIST).bind(environment).fetch_all(db).await)
    }
}
