//! What nodes heard of watched flags, second by second, and how far each node has come.
//!
//! A node alone writes its rows, in order and in one transaction with its head: whoever reads up to the head misses none.

use storyflag_release::run::{NodeSecond, Row};

use super::{InstanceRow, Store, StoreError, Tx, UsageRow, insert_rows, with_db, with_tx};

const PUT: &str = "insert into telemetry_seconds (environment, node, second, heard) ";
/// The answer to a commit was lost, and the same rows come again.
const PUT_AGAIN: &str = " on conflict (environment, node, second) do nothing";
const PUT_HEAD: &str = "insert into telemetry_nodes (environment, node, second) ";
const PUT_HEAD_AGAIN: &str =
    " on conflict (environment, node) do update set second = excluded.second where excluded.second > telemetry_nodes.second";
const HEADS: &str = "select environment, node, second from telemetry_nodes order by environment, node";
const AFTER: &str =
    "select second, heard from telemetry_seconds where environment = $1 and node = $2 and second > $3 order by second limit $4";
/// Up to the five hundredth, which is found once; see `members`.
const PRUNE: &str = "delete from telemetry_seconds where environment = $1 and node = $2 and second <= (select max(second) from \
     (select second from telemetry_seconds where environment = $1 and node = $2 and second < $3 order by second limit 500) as first)";
const PRUNE_HEAD: &str = "delete from telemetry_nodes where environment = $1 and node = $2 and second < $3 and not exists \
     (select 1 from telemetry_seconds s where s.environment = telemetry_nodes.environment and s.node = telemetry_nodes.node)";

/// What a node heard in one second in one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecondRow {
    /// The environment's row.
    pub environment: i64,
    /// The node's number for it.
    pub second: i64,
    /// What it heard.
    pub heard: NodeSecond,
}

/// How far a node has come in an environment.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct NodeHead {
    /// The environment's row.
    pub environment: i64,
    /// The node.
    pub node: String,
    /// The last second that it wrote.
    pub second: i64,
}

/// All that a node writes at once.
#[derive(Debug, Clone, Copy, Default)]
pub struct NodeRows<'a> {
    /// The node.
    pub node: &'a str,
    /// Who reported.
    pub instances: &'a [InstanceRow],
    /// How flags were used.
    pub usage: &'a [UsageRow],
    /// What was heard of watched flags, ascending.
    pub seconds: &'a [SecondRow],
}

impl Store {
    /// Writes what a node heard, and forgets instances that were last seen before `forget`: all or nothing.
    ///
    /// # Errors
    /// The database away: nothing was written, unless the answer to the commit itself was lost.
    pub async fn put_node_rows(&self, rows: &NodeRows<'_>, at: i64, forget: i64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        tx.put_seconds(rows.node, rows.seconds).await?;
        tx.put_instances(rows.instances).await?;
        tx.add_usage(rows.usage, at).await?;
        tx.prune_instances(forget).await?;
        tx.commit().await
    }

    /// How far every node has come in every environment.
    ///
    /// # Errors
    /// The database away.
    pub async fn telemetry_heads(&self) -> Result<Vec<NodeHead>, StoreError> {
        with_db!(self, |db| sqlx::query_as(HEADS).fetch_all(db).await)
    }

    /// Up to `limit` rows of a node in an environment after a second, ascending. One that this version cannot read stands
    /// there empty, so that whoever follows it comes past it.
    ///
    /// # Errors
    /// The database away.
    pub async fn seconds_after(&self, environment: i64, node: &str, after: i64, limit: i64) -> Result<Vec<Row>, StoreError> {
        let rows: Vec<(i64, String)> =
            with_db!(self, |db| sqlx::query_as(AFTER).bind(environment).bind(node).bind(after).bind(limit).fetch_all(db).await)?;
        let read = |(second, text): (i64, String)| {
            let heard = serde_json::from_str(&text).unwrap_or_else(|error| {
                tracing::warn!(%error, environment, node, second, "a second of telemetry could not be read");
                NodeSecond::default()
            });
            Row { node: node.to_owned(), second, heard }
        };
        Ok(rows.into_iter().map(read).collect())
    }

    /// Removes seconds before `before`, and the nodes that have none left. In steps that hold no lock for long.
    ///
    /// # Errors
    /// The database away.
    pub async fn prune_seconds(&self, before: i64) -> Result<(), StoreError> {
        for NodeHead { environment, node, second } in self.telemetry_heads().await? {
            while self.write(PRUNE, environment, &node, before).await? > 0 {}
            if second < before {
                self.write(PRUNE_HEAD, environment, &node, before).await?;
            }
        }
        Ok(())
    }

    async fn write(&self, statement: &'static str, environment: i64, node: &str, before: i64) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let written = with_tx!(tx, |db| {
            let query = sqlx::query(statement).bind(environment).bind(node).bind(before);
            query.execute(db).await.map(|done| done.rows_affected())
        })?;
        tx.commit().await?;
        Ok(written)
    }
}

impl Tx {
    /// Writes seconds of a node, ascending, and how far it has come.
    ///
    /// # Errors
    /// The database away.
    pub async fn put_seconds(&mut self, node: &str, seconds: &[SecondRow]) -> Result<(), StoreError> {
        let mut rows = Vec::with_capacity(seconds.len());
        let mut heads: Vec<(i64, i64)> = Vec::new();
        for row in seconds {
            // Integers, texts and lists of them: always JSON.
            let heard = serde_json::to_string(&row.heard).map_err(|error| StoreError::Other(sqlx::Error::Encode(error.into())))?;
            rows.push((row, heard));
            match heads.iter_mut().find(|(environment, _)| *environment == row.environment) {
                Some((_, second)) => *second = row.second.max(*second),
                None => heads.push((row.environment, row.second)),
            }
        }
        insert_rows!(
            self,
            PUT,
            rows,
            |values, row| {
                values.push_bind(row.0.environment).push_bind(node).push_bind(row.0.second).push_bind(&row.1);
            },
            PUT_AGAIN
        );
        insert_rows!(
            self,
            PUT_HEAD,
            heads,
            |values, head| {
                values.push_bind(head.0).push_bind(node).push_bind(head.1);
            },
            PUT_HEAD_AGAIN
        );
        Ok(())
    }
}
