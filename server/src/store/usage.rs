//! How often flags are asked for, and when last.

use std::collections::BTreeMap;

use sqlx::FromRow;

use super::{InstanceRow, NodeRows, Store, StoreError, Tx, insert_rows, with_db, with_tx};

const ADD: &str = "insert into flag_usage (environment, flag, variant, count, last_asked_at) ";
const ADD_AGAIN: &str = " on conflict (environment, flag, variant) do update set count = case when flag_usage.count < 4611686018427387904 then flag_usage.count + excluded.count else flag_usage.count end, \
     last_asked_at = case when excluded.last_asked_at > flag_usage.last_asked_at then excluded.last_asked_at else flag_usage.last_asked_at end";
const LAST_ASKED: &str = "select max(last_asked_at) from flag_usage where environment = $1 and flag = $2";
const LIST: &str = "select flag, variant, count, last_asked_at from flag_usage where environment = $1 order by flag, variant";

/// How often a variant was served since the last report.
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

/// How often a variant was served in all.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct UsedRow {
    /// The flag's key.
    pub flag: String,
    /// The variant's name.
    pub variant: String,
    /// Since the environment was made.
    pub count: i64,
    /// Epoch milliseconds.
    pub last_asked_at: i64,
}

impl Store {
    /// When a flag was last asked for; `None` if never.
    ///
    /// # Errors
    /// The database away.
    pub async fn last_asked(&self, environment: i64, flag: &str) -> Result<Option<i64>, StoreError> {
        with_db!(self, |db| sqlx::query_scalar(LAST_ASKED).bind(environment).bind(flag).fetch_one(db).await)
    }

    /// The use of all flags of an environment, by flag and variant.
    ///
    /// # Errors
    /// The database away.
    pub async fn list_usage(&self, environment: i64) -> Result<Vec<UsedRow>, StoreError> {
        with_db!(self, |db| sqlx::query_as(LIST).bind(environment).fetch_all(db).await)
    }

    /// The same without anything watched: who reported, and how flags were used.
    ///
    /// # Errors
    /// The database away: nothing was written.
    pub async fn put_telemetry(&self, instances: &[InstanceRow], usage: &[UsageRow], at: i64, forget: i64) -> Result<(), StoreError> {
        self.put_node_rows(&NodeRows { instances, usage, ..NodeRows::default() }, at, forget).await
    }
}

impl Tx {
    /// Adds to the counts.
    ///
    /// # Errors
    /// The database away.
    pub async fn add_usage(&mut self, usage: &[UsageRow], at: i64) -> Result<(), StoreError> {
        // Each row once and in key order: see `put_instances`.
        let mut sums = BTreeMap::new();
        for row in usage {
            let sum: &mut i64 = sums.entry((row.environment, &row.flag, &row.variant)).or_default();
            *sum = sum.saturating_add(row.count);
        }
        let rows: Vec<_> = sums.into_iter().collect();
        insert_rows!(
            self,
            ADD,
            rows,
            |values, row| {
                let ((environment, flag, variant), count) = row;
                values.push_bind(*environment).push_bind(*flag).push_bind(*variant).push_bind(*count).push_bind(at);
            },
            ADD_AGAIN
        );
        Ok(())
    }
}
