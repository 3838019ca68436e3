//! Releases: where each stands, replaced by compare-and-set.

use sqlx::FromRow;

use super::{Store, StoreError, Tx, with_db, with_tx};

macro_rules! columns {
    () => {
        "id, environment, key, plan, flag, media, document, plan_version, course, time_scale, run, number, snapshot, phase, live, watching, created_at, created_by, ended_at"
    };
}

const HEADS: &str = "select environment, id, number, snapshot from releases where watching order by environment, id";
const FIND: &str = concat!("select ", columns!(), " from releases where environment = $1 and key = $2");
const FIND_BY_ID: &str = concat!("select ", columns!(), " from releases where id = $1");
const FIND_LIVE: &str = concat!("select ", columns!(), " from releases where environment = $1 and flag = $2 and live");
const LIVE: &str = concat!("select ", columns!(), " from releases where environment = $1 and live order by id");
const LIST: &str = concat!(
    "select ",
    columns!(),
    " from releases where environment = $1 and id < $2 and ($3 = '' or plan = $3) and ($4 = '' or flag = $4) and (live or not $5) order by id desc limit $6"
);
const HEAD: &str = "select environment, id, number, snapshot from releases where id = $1";
const COUNT: &str = "select count(*) from releases where environment = $1 and plan = $2";
const INSERT: &str = "insert into releases (environment, key, plan, flag, media, document, plan_version, course, time_scale, run, number, snapshot, \
     phase, live, watching, created_at, created_by) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, $12, true, true, $13, $14) returning id";
const REPLACE: &str = "update releases set run = $4, number = $5, snapshot = snapshot + 1, phase = $6, live = $7, ended_at = $8 \
     where id = $1 and number = $2 and snapshot = $3";
const UNWATCH: &str = "update releases set watching = false, snapshot = snapshot + 1 where id = $1 and watching";
const WATCHERS: &str = "select count(*) from releases where environment = $1 and flag = $2 and watching and id <> $3";
const INSERT_TRANSITION: &str = "insert into release_transitions (release, number, at, from_phase, to_phase, step, actor, evidence, revision) \
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const TRANSITIONS: &str = "select number, at, from_phase, to_phase, step, actor, evidence, revision from release_transitions \
     where release = $1 and number > $2 order by number";

/// A release.
#[derive(Debug, Clone, FromRow)]
pub struct ReleaseRow {
    /// Row id.
    pub id: i64,
    /// Its environment's row.
    pub environment: i64,
    /// `DP-123-checkout-1`
    pub key: String,
    /// The plan's key.
    pub plan: String,
    /// The flag's key.
    pub flag: String,
    /// What the document is written in: `yaml`, `json`, `markdown`.
    pub media: String,
    /// The plan's document, as it was when the release was created.
    pub document: String,
    /// The plan's version then.
    pub plan_version: i64,
    /// What is carried out: JSON of the release kernel's course.
    pub course: String,
    /// By what its times are divided.
    pub time_scale: i64,
    /// Where it stands: JSON of the release kernel's run.
    pub run: String,
    /// Counts transitions.
    pub number: i64,
    /// Counts writes of the row.
    pub snapshot: i64,
    /// `scheduled`, `running`, `paused`, `rolling_back`, `rolled_back`, `completed`, `superseded`, `cancelled`.
    pub phase: String,
    /// Whether it has not ended.
    pub live: bool,
    /// Whether its flag is watched for it.
    pub watching: bool,
    /// Epoch milliseconds.
    pub created_at: i64,
    /// Who created it.
    pub created_by: String,
    /// Epoch milliseconds.
    pub ended_at: Option<i64>,
}

/// Which writing of a release this is: what a compare-and-set compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, FromRow)]
pub struct ReleaseHead {
    /// The environment's row.
    pub environment: i64,
    /// The release's row.
    pub id: i64,
    /// Counts transitions.
    pub number: i64,
    /// Counts writes of the row.
    pub snapshot: i64,
}

/// A transition of a release.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct TransitionRow {
    /// From 1, without a gap.
    pub number: i64,
    /// Epoch milliseconds.
    pub at: i64,
    /// The phase before, in words.
    pub from_phase: String,
    /// The phase after, in words.
    pub to_phase: String,
    /// The index of the step.
    pub step: i64,
    /// Who asked for it, if somebody did.
    pub actor: Option<String>,
    /// What it rests on.
    pub evidence: String,
    /// The environment's revision that it made, if it changed what is served.
    pub revision: Option<i64>,
}

/// Which releases a list tells of.
#[derive(Debug, Clone, Default)]
pub struct ReleaseFilter {
    /// Of this plan; empty for any.
    pub plan: String,
    /// Of this flag; empty for any.
    pub flag: String,
    /// Only those that have not ended.
    pub live: bool,
}

/// What replaces a release's row.
#[derive(Debug, Clone)]
pub struct NewRun<'a> {
    /// JSON of the release kernel's run.
    pub run: &'a str,
    /// Counts transitions.
    pub number: i64,
    /// See [`ReleaseRow::phase`].
    pub phase: &'a str,
    /// Whether it has not ended.
    pub live: bool,
    /// Epoch milliseconds.
    pub ended_at: Option<i64>,
}

impl ReleaseRow {
    /// Which writing of it this is.
    pub fn head(&self) -> ReleaseHead {
        ReleaseHead { environment: self.environment, id: self.id, number: self.number, snapshot: self.snapshot }
    }
}

impl Store {
    /// The heads of every release whose flag is watched, in all environments.
    ///
    /// # Errors
    /// The database away.
    pub async fn release_heads(&self) -> Result<Vec<ReleaseHead>, StoreError> {
        with_db!(self, |db| sqlx::query_as(HEADS).fetch_all(db).await)
    }

    /// The release with this key.
    ///
    /// # Errors
    /// The database away.
    pub async fn find_release(&self, environment: i64, key: &str) -> Result<Option<ReleaseRow>, StoreError> {
        with_db!(self, |db| sqlx::query_as(FIND).bind(environment).bind(key).fetch_optional(db).await)
    }

    /// The release of this row.
    ///
    /// # Errors
    /// The database away.
    pub async fn find_release_by_id(&self, id: i64) -> Result<Option<ReleaseRow>, StoreError> {
        with_db!(self, |db| sqlx::query_as(FIND_BY_ID).bind(id).fetch_optional(db).await)
    }

    /// Up to `limit` releases with rows before `before`, newest first.
    ///
    /// # Errors
    /// The database away.
    pub async fn list_releases(
        &self,
        environment: i64,
        filter: &ReleaseFilter,
        before: i64,
        limit: i64,
    ) -> Result<Vec<ReleaseRow>, StoreError> {
        with_db!(self, |db| {
            let query = sqlx::query_as(LIST).bind(environment).bind(before).bind(&filter.plan).bind(&filter.flag);
            query.bind(filter.live).bind(limit).fetch_all(db).await
        })
    }

    /// The transitions of a release after a number, in order.
    ///
    /// # Errors
    /// The database away.
    pub async fn list_transitions(&self, release: i64, after: i64) -> Result<Vec<TransitionRow>, StoreError> {
        with_db!(self, |db| sqlx::query_as(TRANSITIONS).bind(release).bind(after).fetch_all(db).await)
    }
}

impl Tx {
    /// Which writing of a release stands.
    ///
    /// # Errors
    /// The database away.
    pub async fn find_release_head(&mut self, id: i64) -> Result<Option<ReleaseHead>, StoreError> {
        with_tx!(self, |db| sqlx::query_as(HEAD).bind(id).fetch_optional(db).await)
    }

    /// The release of a flag that has not ended, if there is one.
    ///
    /// # Errors
    /// The database away.
    pub async fn find_live_release(&mut self, environment: i64, flag: &str) -> Result<Option<ReleaseRow>, StoreError> {
        with_tx!(self, |db| sqlx::query_as(FIND_LIVE).bind(environment).bind(flag).fetch_optional(db).await)
    }

    /// The releases of an environment that have not ended.
    ///
    /// # Errors
    /// The database away.
    pub async fn list_live_releases(&mut self, environment: i64) -> Result<Vec<ReleaseRow>, StoreError> {
        with_tx!(self, |db| sqlx::query_as(LIVE).bind(environment).fetch_all(db).await)
    }

    /// How many releases of a plan there have been in an environment.
    ///
    /// # Errors
    /// The database away.
    pub async fn count_releases(&mut self, environment: i64, plan: &str) -> Result<i64, StoreError> {
        with_tx!(self, |db| sqlx::query_scalar(COUNT).bind(environment).bind(plan).fetch_one(db).await)
    }

    /// A new release; its row id. The row's own id and what is said of its end are not looked at.
    ///
    /// # Errors
    /// Another one of the flag has not ended; the database away.
    pub async fn insert_release(&mut self, row: &ReleaseRow) -> Result<i64, StoreError> {
        with_tx!(self, |db| {
            let query = sqlx::query_scalar(INSERT).bind(row.environment).bind(&row.key).bind(&row.plan).bind(&row.flag);
            let query = query.bind(&row.media).bind(&row.document).bind(row.plan_version).bind(&row.course).bind(row.time_scale);
            let query = query.bind(&row.run).bind(row.number).bind(&row.phase).bind(row.created_at).bind(&row.created_by);
            query.fetch_one(db).await
        })
    }

    /// Replaces where a release stands, if `head` is still what stands.
    ///
    /// # Errors
    /// The database away.
    pub async fn replace_run(&mut self, head: ReleaseHead, new: &NewRun<'_>) -> Result<bool, StoreError> {
        let replaced = with_tx!(self, |db| {
            let query = sqlx::query(REPLACE).bind(head.id).bind(head.number).bind(head.snapshot);
            let query = query.bind(new.run).bind(new.number).bind(new.phase).bind(new.live).bind(new.ended_at);
            query.execute(db).await.map(|done| done.rows_affected())
        })?;
        Ok(replaced > 0)
    }

    /// Notes that the flag is not watched for a release any more; whether it was.
    ///
    /// # Errors
    /// The database away.
    pub async fn unwatch_release(&mut self, id: i64) -> Result<bool, StoreError> {
        let was = with_tx!(self, |db| sqlx::query(UNWATCH).bind(id).execute(db).await.map(|done| done.rows_affected()))?;
        Ok(was > 0)
    }

    /// Whether a flag is watched for another release.
    ///
    /// # Errors
    /// The database away.
    pub async fn is_watched_for_another(&mut self, environment: i64, flag: &str, release: i64) -> Result<bool, StoreError> {
        let others: i64 = with_tx!(self, |db| sqlx::query_scalar(WATCHERS).bind(environment).bind(flag).bind(release).fetch_one(db).await)?;
        Ok(others > 0)
    }

    /// A transition of a release.
    ///
    /// # Errors
    /// The number taken; the database away.
    pub async fn insert_transition(&mut self, release: i64, row: &TransitionRow) -> Result<(), StoreError> {
        with_tx!(self, |db| {
            let query = sqlx::query(INSERT_TRANSITION).bind(release).bind(row.number).bind(row.at).bind(&row.from_phase);
            let query = query.bind(&row.to_phase).bind(row.step).bind(&row.actor).bind(&row.evidence).bind(row.revision);
            query.execute(db).await.map(drop)
        })
    }
}
