//! Flags: what is the same in every environment.

use sqlx::FromRow;

use super::{Store, StoreError, Tx, with_db, with_tx};

macro_rules! columns {
    () => {
        "id, project, key, story, description, variants, off, serve, tags, owner, seed, client, archived_at, version, created_at, updated_at"
    };
}

const FIND: &str = concat!("select ", columns!(), " from flags where project = $1 and key = $2");
const LIVE: &str = concat!("select ", columns!(), " from flags where project = $1 and archived_at is null order by key");
const LIST: &str = concat!(
    "select ",
    columns!(),
    " from flags where project = $1 and key > $2 and ($3 = (archived_at is not null)) \
     and ($4 = '' or lower(key) like $4 escape '\\' or lower(description) like $4 escape '\\' or lower(story) like $4 escape '\\') \
     and ($5 = '' or lower(tags) like $5 escape '\\') and ($6 = '' or story = $6) order by key limit $7"
);
const INSERT: &str = "insert into flags (project, key, story, description, variants, off, serve, tags, owner, seed, client, archived_at, version, created_at, updated_at) \
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, null, 1, $12, $12) returning id";
const UPDATE: &str = "update flags set story = $3, description = $4, variants = $5, off = $6, serve = $7, tags = $8, owner = $9, client = $10, updated_at = $11, \
     version = version + 1 where id = $1 and version = $2";
const ARCHIVE: &str = "update flags set archived_at = $3, updated_at = $3, version = version + 1 where id = $1 and version = $2";

/// A flag.
#[derive(Debug, Clone, FromRow)]
pub struct FlagRow {
    /// Row id.
    pub id: i64,
    /// Its project's row.
    pub project: i64,
    /// Its key.
    pub key: String,
    /// The user story it releases; may be empty.
    pub story: String,
    /// What it is for; may be empty.
    pub description: String,
    /// JSON: name to value.
    pub variants: String,
    /// The variant that a targeting is born with for who is out.
    pub off: String,
    /// The variant that a targeting is born with for who is in.
    pub serve: String,
    /// JSON: a list of texts.
    pub tags: String,
    /// Who answers for it; may be empty.
    pub owner: String,
    /// The seed text of its buckets; never changes.
    pub seed: String,
    /// Whether browsers and phones may see it.
    pub client: bool,
    /// Epoch milliseconds; an archived key is a tombstone and is never used again.
    pub archived_at: Option<i64>,
    /// For `If-Match`.
    pub version: i64,
    /// Epoch milliseconds.
    pub created_at: i64,
    /// Epoch milliseconds.
    pub updated_at: i64,
}

/// Which flags to list.
#[derive(Debug, Clone, Default)]
pub struct FlagFilter {
    /// Keys after this one.
    pub after: String,
    /// At most so many.
    pub limit: i64,
    /// Archived ones instead of live ones.
    pub archived: bool,
    /// Part of the key, description or story, in any case; empty for all.
    pub query: String,
    /// A tag; empty for all.
    pub tag: String,
    /// A story; empty for all.
    pub story: String,
}

/// A pattern for `like` that finds `text` anywhere, in any case.
fn anywhere(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let escaped = text.to_lowercase().replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{escaped}%")
}

impl Store {
    /// The flag with this key, archived or not.
    ///
    /// # Errors
    /// The database away.
    pub async fn find_flag(&self, project: i64, key: &str) -> Result<Option<FlagRow>, StoreError> {
        with_db!(self, |db| sqlx::query_as(FIND).bind(project).bind(key).fetch_optional(db).await)
    }

    /// Flags in key order.
    ///
    /// # Errors
    /// The database away.
    pub async fn list_flags(&self, project: i64, filter: &FlagFilter) -> Result<Vec<FlagRow>, StoreError> {
        let tag = if filter.tag.is_empty() { String::new() } else { anywhere(&format!("\"{}\"", filter.tag)) };
        with_db!(self, |db| {
            let query = sqlx::query_as(LIST).bind(project).bind(&filter.after).bind(filter.archived).bind(anywhere(&filter.query));
            query.bind(tag).bind(&filter.story).bind(filter.limit).fetch_all(db).await
        })
    }
}

impl Tx {
    /// The flag with this key, archived or not.
    ///
    /// # Errors
    /// The database away.
    pub async fn find_flag(&mut self, project: i64, key: &str) -> Result<Option<FlagRow>, StoreError> {
        with_tx!(self, |db| sqlx::query_as(FIND).bind(project).bind(key).fetch_optional(db).await)
    }

    /// All flags of a project that are not archived.
    ///
    /// # Errors
    /// The database away.
    pub async fn list_live_flags(&mut self, project: i64) -> Result<Vec<FlagRow>, StoreError> {
        with_tx!(self, |db| sqlx::query_as(LIVE).bind(project).fetch_all(db).await)
    }

    /// A new flag at version 1; its id. The row's own id and version are not looked at.
    ///
    /// # Errors
    /// The key taken; the database away.
    pub async fn insert_flag(&mut self, row: &FlagRow) -> Result<i64, StoreError> {
        with_tx!(self, |db| {
            let query =
                sqlx::query_scalar(INSERT).bind(row.project).bind(&row.key).bind(&row.story).bind(&row.description).bind(&row.variants);
            let query = query.bind(&row.off).bind(&row.serve).bind(&row.tags).bind(&row.owner).bind(&row.seed).bind(row.client);
            query.bind(row.created_at).fetch_one(db).await
        })
    }

    /// Writes what may change of a flag, if its version still stands.
    ///
    /// # Errors
    /// The database away.
    pub async fn update_flag(&mut self, row: &FlagRow) -> Result<bool, StoreError> {
        let changed = with_tx!(self, |db| {
            let query = sqlx::query(UPDATE).bind(row.id).bind(row.version).bind(&row.story).bind(&row.description).bind(&row.variants);
            let query = query.bind(&row.off).bind(&row.serve).bind(&row.tags).bind(&row.owner).bind(row.client).bind(row.updated_at);
            query.execute(db).await.map(|done| done.rows_affected())
        })?;
        Ok(changed > 0)
    }

    /// Archives a flag, if its version still stands.
    ///
    /// # Errors
    /// The database away.
    pub async fn archive_flag(&mut self, row: &FlagRow, at: i64) -> Result<bool, StoreError> {
        let changed = with_tx!(self, |db| sqlx::query(ARCHIVE)
            .bind(row.id)
            .bind(row.version)
            .bind(at)
            .execute(db)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(changed > 0)
    }
}
