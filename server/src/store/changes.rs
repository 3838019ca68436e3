//! One history: append-only, the audit, what a lagging node lacks, and the past.

use sqlx::FromRow;

use super::{Store, StoreError, Tx, insert_rows, with_db, with_tx};

macro_rules! columns {
    () => {
        "id, revision, at, actor, reason, request, kind, key, after"
    };
}

const INSERT: &str = "insert into changes (project, environment, revision, at, actor, reason, request, kind, key, after) ";
const SINCE: &str = concat!(
    "select ",
    columns!(),
    " from changes where environment = $1 and revision > $2 and revision <= coalesce(\
     (select revision from changes where environment = $1 and revision > $2 order by revision, id limit 1 offset $3 - 1), \
     9223372036854775807) order by revision, id"
);
/// The latest row of every item up to a revision, unless it says that the item was removed.
const ITEMS_AT: &str = concat!(
    "select ",
    columns!(),
    " from changes c where environment = $1 and revision <= $2 and after is not null and not exists \
     (select 1 from changes n where n.environment = c.environment and n.kind = c.kind and n.key = c.key \
     and n.revision > c.revision and n.revision <= $2) order by kind, key"
);
const ITEM_AT: &str =
    "select after from changes where environment = $1 and kind = $2 and key = $3 and revision <= $4 order by revision desc limit 1";
const REVISION_AT: &str =
    "select revision from changes where environment = $1 and at <= $2 and revision is not null order by at desc, revision desc limit 1";
const MOMENT_OF: &str = "select at from changes where environment = $1 and revision <= $2 order by revision desc limit 1";
const KEYS_AT: &str = "select distinct key from changes where environment = $1 and kind = $2 and revision <= $3 order by key";
const BETWEEN: &str = concat!(
    "select ",
    columns!(),
    " from changes where environment = $1 and kind = $2 and key = $3 and at > $4 and at <= $5 order by revision limit $6"
);
const HISTORY: &str = concat!(
    "select ",
    columns!(),
    " from changes where environment = $1 and kind = $2 and key = $3 and revision < $4 order by revision desc limit $5"
);
const AUDIT: &str = concat!(
    "select ",
    columns!(),
    " from changes where (environment = $1 or (environment is null and project = $2)) and id < $3 order by id desc limit $4"
);

/// A row of history.
#[derive(Debug, Clone, FromRow)]
pub struct ChangeRow {
    /// Row id: the order of writing.
    pub id: i64,
    /// The revision that it made; none for what is not served.
    pub revision: Option<i64>,
    /// Epoch milliseconds; never before the change before it.
    pub at: i64,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// The request's id.
    pub request: String,
    /// `flag` and `cohort` are served; `project`, `environment`, `flag_definition`, `plan`, `key`, `incarnation` are audit.
    pub kind: String,
    /// Of what.
    pub key: String,
    /// The item's wire text, verbatim; none when it was removed.
    pub after: Option<String>,
}

/// A row to append.
#[derive(Debug, Clone)]
pub struct NewChange<'a> {
    /// The project's row.
    pub project: i64,
    /// The environment's row, if it is of one.
    pub environment: Option<i64>,
    /// See [`ChangeRow`], as for all below.
    pub revision: Option<i64>,
    /// Epoch milliseconds.
    pub at: i64,
    /// Who.
    pub actor: &'a str,
    /// Why.
    pub reason: Option<&'a str>,
    /// The request's id.
    pub request: &'a str,
    /// Of what kind.
    pub kind: &'a str,
    /// Of what.
    pub key: &'a str,
    /// What stands now.
    pub after: Option<&'a str>,
}

impl Store {
    /// What was served after a revision, in order. A revision has several rows where a write touched several items: it
    /// is never cut, so the answer may be a little longer than `limit` rows.
    ///
    /// # Errors
    /// The database away.
    pub async fn changes_since(&self, environment: i64, revision: i64, limit: i64) -> Result<Vec<ChangeRow>, StoreError> {
        with_db!(self, |db| sqlx::query_as(SINCE).bind(environment).bind(revision).bind(limit.max(1)).fetch_all(db).await)
    }

    /// The wire text of an item as it stood at a revision; `None` if there was none.
    ///
    /// # Errors
    /// The database away.
    pub async fn item_at(&self, environment: i64, kind: &str, key: &str, revision: i64) -> Result<Option<String>, StoreError> {
        let found: Option<Option<String>> = with_db!(self, |db| sqlx::query_scalar(ITEM_AT)
            .bind(environment)
            .bind(kind)
            .bind(key)
            .bind(revision)
            .fetch_optional(db)
            .await)?;
        Ok(found.flatten())
    }

    /// Everything that was served at a revision: the last row of each item, by kind and key.
    ///
    /// # Errors
    /// The database away.
    pub async fn items_at(&self, environment: i64, revision: i64) -> Result<Vec<ChangeRow>, StoreError> {
        with_db!(self, |db| sqlx::query_as(ITEMS_AT).bind(environment).bind(revision).fetch_all(db).await)
    }

    /// The last revision made at or before a moment; `None` before the first.
    ///
    /// # Errors
    /// The database away.
    pub async fn revision_at(&self, environment: i64, at: i64) -> Result<Option<i64>, StoreError> {
        with_db!(self, |db| sqlx::query_scalar(REVISION_AT).bind(environment).bind(at).fetch_optional(db).await)
    }

    /// When a revision, or the last one before it, was made.
    ///
    /// # Errors
    /// The database away.
    pub async fn moment_of(&self, environment: i64, revision: i64) -> Result<Option<i64>, StoreError> {
        with_db!(self, |db| sqlx::query_scalar(MOMENT_OF).bind(environment).bind(revision).fetch_optional(db).await)
    }

    /// The keys of all items of a kind that were ever served up to a revision.
    ///
    /// # Errors
    /// The database away.
    pub async fn keys_at(&self, environment: i64, kind: &str, revision: i64) -> Result<Vec<String>, StoreError> {
        with_db!(self, |db| sqlx::query_scalar(KEYS_AT).bind(environment).bind(kind).bind(revision).fetch_all(db).await)
    }

    /// One item's changes after a moment and up to another, oldest first.
    ///
    /// # Errors
    /// The database away.
    pub async fn changes_between(
        &self,
        environment: i64,
        kind: &str,
        key: &str,
        (after, until): (i64, i64),
        limit: i64,
    ) -> Result<Vec<ChangeRow>, StoreError> {
        with_db!(self, |db| {
            let query = sqlx::query_as(BETWEEN).bind(environment).bind(kind).bind(key).bind(after).bind(until);
            query.bind(limit).fetch_all(db).await
        })
    }

    /// One item's changes below a revision, newest first.
    ///
    /// # Errors
    /// The database away.
    pub async fn history(&self, environment: i64, kind: &str, key: &str, below: i64, limit: i64) -> Result<Vec<ChangeRow>, StoreError> {
        with_db!(self, |db| {
            let query = sqlx::query_as(HISTORY).bind(environment).bind(kind).bind(key).bind(below);
            query.bind(limit).fetch_all(db).await
        })
    }

    /// Everything that was written in an environment, and in its project as a whole, below a row id, newest first.
    ///
    /// # Errors
    /// The database away.
    pub async fn audit(&self, environment: i64, project: i64, below: i64, limit: i64) -> Result<Vec<ChangeRow>, StoreError> {
        with_db!(self, |db| sqlx::query_as(AUDIT).bind(environment).bind(project).bind(below).bind(limit).fetch_all(db).await)
    }
}

impl Tx {
    /// Appends to history.
    ///
    /// # Errors
    /// The same item twice in one revision; the database away.
    pub async fn insert_change(&mut self, change: &NewChange<'_>) -> Result<(), StoreError> {
        self.insert_changes(std::slice::from_ref(change)).await
    }

    /// Appends many rows to history, by few statements.
    ///
    /// # Errors
    /// The same item twice in one revision; the database away.
    pub async fn insert_changes(&mut self, changes: &[NewChange<'_>]) -> Result<(), StoreError> {
        insert_rows!(
            self,
            INSERT,
            changes,
            |values, change| {
                values.push_bind(change.project).push_bind(change.environment).push_bind(change.revision).push_bind(change.at);
                values.push_bind(change.actor).push_bind(change.reason).push_bind(change.request);
                values.push_bind(change.kind).push_bind(change.key).push_bind(change.after);
            },
            ""
        );
        Ok(())
    }
}
