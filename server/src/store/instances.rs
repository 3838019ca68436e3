//! Which processes run the SDK, what they run, and how flags are used.

use sqlx::FromRow;

use super::{Store, StoreError, with_db, with_tx};

const LIST: &str = "select environment, instance, node, sdk, applied, last_seen_at, goodbye from instances where environment = $1 and last_seen_at >= $2 order by instance limit $3";
const SEEN: &str =
    "select environment, instance, node, sdk, applied, last_seen_at, goodbye from instances where last_seen_at >= $1 and node <> $2";
const PUT: &str = "insert into instances (environment, instance, node, sdk, applied, last_seen_at, goodbye) values ($1, $2, $3, $4, $5, $6, $7) \
     on conflict (environment, instance) do update set node = excluded.node, sdk = excluded.sdk, applied = excluded.applied, \
     last_seen_at = excluded.last_seen_at, goodbye = excluded.goodbye where excluded.last_seen_at >= instances.last_seen_at";
const PRUNE: &str = "delete from instances where last_seen_at < $1";
const ADD_USAGE: &str = "insert into flag_usage (environment, flag, variant, count, last_asked_at) values ($1, $2, $3, $4, $5) \
     on conflict (environment, flag, variant) do update set count = flag_usage.count + excluded.count, last_asked_at = excluded.last_asked_at";
const LAST_ASKED: &str = "select max(last_asked_at) from flag_usage where environment = $1 and flag = $2";

/// A process that reported.
#[derive(Debug, Clone, FromRow)]
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

/// How often a variant was served.
#[derive(Debug, Clone)]
pub struct UsageRow {
    /// The environment's row.
    pub environment: i64,
    /// The flag's key.
    pub flag: String,
    /// The variant's name.
    pub variant: String,
    /// Since the last row.
    pub count: i64,
}

impl Store {
    /// The instances of an environment that were seen since a moment.
    ///
    /// # Errors
    /// The database away.
    pub async fn list_instances(&self, environment: i64, since: i64, limit: i64) -> Result<Vec<InstanceRow>, StoreError> {
        Ok(with_db!(self, |db| sqlx::query_as(LIST).bind(environment).bind(since).bind(limit).fetch_all(db).await)?)
    }

    /// The instances that other nodes heard of since a moment, of all environments.
    ///
    /// # Errors
    /// The database away.
    pub async fn instances_of_others(&self, since: i64, node: &str) -> Result<Vec<InstanceRow>, StoreError> {
        Ok(with_db!(self, |db| sqlx::query_as(SEEN).bind(since).bind(node).fetch_all(db).await)?)
    }

    /// When a flag was last asked for; `None` if never.
    ///
    /// # Errors
    /// The database away.
    pub async fn last_asked(&self, environment: i64, flag: &str) -> Result<Option<i64>, StoreError> {
        Ok(with_db!(self, |db| sqlx::query_scalar(LAST_ASKED).bind(environment).bind(flag).fetch_one(db).await)?)
    }

    /// Writes what a node heard, and forgets instances that were last seen before `forget`.
    ///
    /// # Errors
    /// The database away: nothing was written.
    pub async fn put_telemetry(&self, instances: &[InstanceRow], usage: &[UsageRow], at: i64, forget: i64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        for row in instances {
            with_tx!(&mut tx, |db| {
                let query = sqlx::query(PUT).bind(row.environment).bind(&row.instance).bind(&row.node).bind(&row.sdk);
                query.bind(&row.applied).bind(row.last_seen_at).bind(row.goodbye).execute(db).await.map(drop)
            })?;
        }
        for row in usage {
            with_tx!(&mut tx, |db| {
                let query = sqlx::query(ADD_USAGE).bind(row.environment).bind(&row.flag).bind(&row.variant).bind(row.count);
                query.bind(at).execute(db).await.map(drop)
            })?;
        }
        with_tx!(&mut tx, |db| sqlx::query(PRUNE).bind(forget).execute(db).await.map(drop))?;
        tx.commit().await
    }
}
