//! Which processes run the SDK, and what they run.

use std::collections::BTreeMap;

use sqlx::FromRow;

use super::{Store, StoreError, Tx, insert_rows, with_db, with_tx};

const LIST: &str = "select environment, instance, node, sdk, applied, last_seen_at, goodbye from instances where environment = $1 and last_seen_at >= $2 order by instance limit $3";
const SEEN: &str =
    "select environment, instance, node, sdk, applied, last_seen_at, goodbye from instances where last_seen_at >= $1 and node <> $2";
const COUNT: &str = "select count(*) from instances where environment = $1 and last_seen_at >= $2 and not goodbye";
const PUT: &str = "insert into instances (environment, instance, node, sdk, applied, last_seen_at, goodbye) ";
const PUT_AGAIN: &str = " on conflict (environment, instance) do update set node = excluded.node, sdk = excluded.sdk, applied = excluded.applied, \
     last_seen_at = excluded.last_seen_at, goodbye = excluded.goodbye where excluded.last_seen_at >= instances.last_seen_at";
const PRUNE: &str = "delete from instances where last_seen_at < $1";

/// A process that reported.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct InstanceRow {
    /// The environment's row.
    pub environment: i64,
    /// Its own random id.
    pub instance: String,
    /// The node that it reported to.
    pub node: String,
    /// Its SDK, such as `rust/0.1.0`.
    pub sdk: String,
    /// The identity that it runs.
    pub applied: String,
    /// Epoch milliseconds.
    pub last_seen_at: i64,
    /// Whether it said that it ends.
    pub goodbye: bool,
}

impl Store {
    /// The instances of an environment that were seen since a moment.
    ///
    /// # Errors
    /// The database away.
    pub async fn list_instances(&self, environment: i64, since: i64, limit: i64) -> Result<Vec<InstanceRow>, StoreError> {
        with_db!(self, |db| sqlx::query_as(LIST).bind(environment).bind(since).bind(limit).fetch_all(db).await)
    }

    /// The instances that other nodes heard of since a moment, of all environments.
    ///
    /// # Errors
    /// The database away.
    pub async fn instances_of_others(&self, since: i64, node: &str) -> Result<Vec<InstanceRow>, StoreError> {
        with_db!(self, |db| sqlx::query_as(SEEN).bind(since).bind(node).fetch_all(db).await)
    }

    /// How many instances of an environment were seen since a moment and did not say goodbye.
    ///
    /// # Errors
    /// The database away.
    pub async fn count_instances(&self, environment: i64, since: i64) -> Result<i64, StoreError> {
        with_db!(self, |db| sqlx::query_scalar(COUNT).bind(environment).bind(since).fetch_one(db).await)
    }
}

impl Tx {
    /// Writes what a node heard: of each instance the latest word stands, whichever node it reached.
    ///
    /// # Errors
    /// The database away.
    pub async fn put_instances(&mut self, heard: &[InstanceRow]) -> Result<(), StoreError> {
        // In key order, so that two nodes that write the same instances wait for one another instead of dead-locking;
        // and once each, because Postgres refuses to touch a row twice in one statement.
        let mut latest = BTreeMap::new();
        for row in heard {
            let standing = latest.entry((row.environment, &row.instance)).or_insert(row);
            if row.last_seen_at >= standing.last_seen_at {
                *standing = row;
            }
        }
        let rows: Vec<_> = latest.into_values().collect();
        insert_rows!(
            self,
            PUT,
            rows,
            |values, row| {
                values.push_bind(row.environment).push_bind(&row.instance).push_bind(&row.node).push_bind(&row.sdk);
                values.push_bind(&row.applied).push_bind(row.last_seen_at).push_bind(row.goodbye);
            },
            PUT_AGAIN
        );
        Ok(())
    }

    /// Forgets instances that were last seen before a moment.
    ///
    /// # Errors
    /// The database away.
    pub async fn prune_instances(&mut self, before: i64) -> Result<(), StoreError> {
        with_tx!(self, |db| sqlx::query(PRUNE).bind(before).execute(db).await.map(drop))
    }
}
