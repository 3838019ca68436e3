//! Deployment plans: the documents as they were put.

use sqlx::FromRow;

use super::{Store, StoreError, Tx, with_db, with_tx};

macro_rules! told {
    () => {
        "key, media, story, flag, approach, version, created_at, updated_at, updated_by"
    };
}

const FIND: &str = concat!("select id, project, document, deleted_at, ", told!(), " from plans where project = $1 and key = $2");
const LIST: &str = concat!("select ", told!(), " from plans where project = $1 and key > $2 and deleted_at is null order by key limit $3");
const INSERT: &str = "insert into plans (project, key, media, document, story, flag, approach, version, created_at, updated_at, updated_by, deleted_at) \
     values ($1, $2, $3, $4, $5, $6, $7, 1, $8, $8, $9, null)";
const UPDATE: &str = "update plans set media = $2, document = $3, story = $4, flag = $5, approach = $6, created_at = $7, updated_at = $8, updated_by = $9, \
     deleted_at = $10, version = version + 1 where id = $1";

/// A plan without its document: what a list tells of it.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct PlanEntry {
    /// Its key.
    pub key: String,
    /// What it is written in: `yaml`, `json`, `markdown`.
    pub media: String,
    /// The story that it releases; may be empty.
    pub story: String,
    /// The flag that it drives; empty where nothing is executed here.
    pub flag: String,
    /// `feature_flag`, `canary`, `blue_green`, `rolling`.
    pub approach: String,
    /// For `If-Match`; goes on when a deleted key comes back.
    pub version: i64,
    /// Epoch milliseconds.
    pub created_at: i64,
    /// Epoch milliseconds.
    pub updated_at: i64,
    /// Who put it last.
    pub updated_by: String,
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct PlanRow {
    /// Row id.
    pub id: i64,
    /// Its project's row.
    pub project: i64,
    /// What a list tells of it.
    #[sqlx(flatten)]
    pub entry: PlanEntry,
    /// Word for word.
    pub document: String,
    /// Epoch milliseconds.
    pub deleted_at: Option<i64>,
}

impl Store {
    /// The plan with this key, deleted or not.
    ///
    /// # Errors
    /// The database away.
    pub async fn find_plan(&self, project: i64, key: &str) -> Result<Option<PlanRow>, StoreError> {
        with_db!(self, |db| sqlx::query_as(FIND).bind(project).bind(key).fetch_optional(db).await)
    }

    /// Up to `limit` plans with keys after `after`, in key order.
    ///
    /// # Errors
    /// The database away.
    pub async fn list_plans(&self, project: i64, after: &str, limit: i64) -> Result<Vec<PlanEntry>, StoreError> {
        with_db!(self, |db| sqlx::query_as(LIST).bind(project).bind(after).bind(limit).fetch_all(db).await)
    }
}

impl Tx {
    /// The plan with this key, deleted or not.
    ///
    /// # Errors
    /// The database away.
    pub async fn find_plan(&mut self, project: i64, key: &str) -> Result<Option<PlanRow>, StoreError> {
        with_tx!(self, |db| sqlx::query_as(FIND).bind(project).bind(key).fetch_optional(db).await)
    }

    /// A new plan at version 1. The row's own id and version are not looked at.
    ///
    /// # Errors
    /// The key taken; the database away.
    pub async fn insert_plan(&mut self, row: &PlanRow) -> Result<(), StoreError> {
        with_tx!(self, |db| {
            let entry = &row.entry;
            let query = sqlx::query(INSERT).bind(row.project).bind(&entry.key).bind(&entry.media).bind(&row.document);
            let query = query.bind(&entry.story).bind(&entry.flag).bind(&entry.approach);
            query.bind(entry.created_at).bind(&entry.updated_by).execute(db).await.map(drop)
        })
    }

    /// Writes everything that may change of a plan, at its next version.
    ///
    /// # Errors
    /// The database away.
    pub async fn update_plan(&mut self, row: &PlanRow) -> Result<(), StoreError> {
        with_tx!(self, |db| {
            let entry = &row.entry;
            let query = sqlx::query(UPDATE).bind(row.id).bind(&entry.media).bind(&row.document).bind(&entry.story);
            let query = query.bind(&entry.flag).bind(&entry.approach).bind(entry.created_at).bind(entry.updated_at);
            query.bind(&entry.updated_by).bind(row.deleted_at).execute(db).await.map(drop)
        })
    }
}
