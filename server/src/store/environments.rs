//! Environments: the row that is the lock, the number and the digest of what is served.

use sqlx::FromRow;
use storyflag_evaluation::Identity;

use super::{Store, StoreError, Tx, bits, from_bits, with_db, with_tx};

/// A client may lie about what it runs, and each new incarnation makes every application load everything: so at most once in
/// ten minutes.
const RAISED_EVERY_MS: i64 = 600_000;

macro_rules! columns {
    () => {
        "id, project, key, name, protected, revision, incarnation, regressed, digest, flags, item_bytes, changed_at, settings, options, version, \
         exists (select 1 from channels where channels.environment = environments.id) as has_channels"
    };
}

const FIND: &str = concat!("select ", columns!(), " from environments where project = $1 and key = $2");
const FIND_BY_ID: &str = concat!("select ", columns!(), " from environments where id = $1");
const LIST: &str = concat!("select ", columns!(), " from environments where project = $1 order by id");
const HEADS: &str = "select id, revision, incarnation, digest, settings, regressed from environments order by id";
const HEAD: &str = "select id, revision, incarnation, digest, settings, regressed from environments where id = $1";
const INSERT: &str = "insert into environments (project, key, name, protected, revision, incarnation, raised_at, regressed, digest, flags, item_bytes, \
     changed_at, settings, options, version) values ($1, $2, $3, $4, 0, $5, 0, false, 0, 0, 0, $5, 0, $6, 1) returning id";
/// A regressed environment takes a new incarnation with its next write, `$3` after the last one at the earliest.
const LOCK_AND_ADVANCE: &str = concat!(
    "update environments set revision = revision + 1, \
     changed_at = case when $2 > changed_at then $2 else changed_at end, \
     incarnation = case when regressed and $2 - raised_at >= $3 then case when $2 > incarnation then $2 else incarnation + 1 end else incarnation end, \
     raised_at = case when regressed and $2 - raised_at >= $3 then $2 else raised_at end, \
     regressed = case when regressed and $2 - raised_at >= $3 then false else regressed end \
     where id = $1 returning ",
    columns!()
);
/// Locks without a revision: what it decides may turn out not to change what is served.
const LOCK: &str = concat!("update environments set revision = revision where id = $1 returning ", columns!());
const SETTLE: &str = "update environments set digest = $2, flags = $3, item_bytes = $4 where id = $1";
/// Takes no revision: nothing else is served, so history has no row for one.
const RAISE: &str = concat!(
    "update environments set incarnation = case when $2 > incarnation then $2 else incarnation + 1 end, raised_at = $2, regressed = false \
     where id = $1 returning ",
    columns!()
);
const MARK_REGRESSED: &str =
    "update environments set regressed = true where id = $1 and incarnation = $2 and revision = $3 and digest = $4 and regressed = false";
const TOUCH_SETTINGS: &str = "update environments set settings = settings + 1 where id = $1";
const UPDATE: &str = "update environments set name = $2, protected = $3, options = $4, version = version + 1, settings = settings + 1 where id = $1 and version = $5";
const FLAG_ITEMS: &str = "select item from targetings where environment = $1 order by key";
const COHORT_ITEMS: &str = "select item from cohorts where environment = $1 and deleted_at is null order by key";

/// An environment.
#[derive(Debug, Clone, FromRow)]
pub struct EnvironmentRow {
    /// Row id.
    pub id: i64,
    /// Its project's row.
    pub project: i64,
    /// Its key.
    pub key: String,
    /// Its name.
    pub name: String,
    /// Whether changes need a reason and a release manager.
    pub protected: bool,
    /// What it serves, counted.
    pub revision: i64,
    /// Epoch milliseconds at which its history last started anew.
    pub incarnation: i64,
    /// Whether the database was found to have gone back.
    pub regressed: bool,
    digest: i64,
    /// How many flags it serves.
    pub flags: i64,
    /// The bytes of all its items.
    pub item_bytes: i64,
    /// Epoch milliseconds of the last revision.
    pub changed_at: i64,
    /// Counts writes that are not served: keys and settings.
    pub settings: i64,
    /// JSON: what bounds manual changes.
    pub options: String,
    /// Of its settings, for `If-Match`.
    pub version: i64,
    /// Whether somebody is told of what happens in it.
    pub has_channels: bool,
}

impl EnvironmentRow {
    /// The identity of what it serves.
    pub fn identity(&self) -> Identity {
        Identity { incarnation: from_bits(self.incarnation), revision: from_bits(self.revision), digest: from_bits(self.digest) }
    }
}

/// What every node reads once a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct Head {
    /// The environment's row.
    pub id: i64,
    revision: i64,
    incarnation: i64,
    digest: i64,
    /// See [`EnvironmentRow::settings`].
    pub settings: i64,
    /// See [`EnvironmentRow::regressed`].
    pub regressed: bool,
}

impl Head {
    /// The identity of what the environment serves.
    pub fn identity(&self) -> Identity {
        Identity { incarnation: from_bits(self.incarnation), revision: from_bits(self.revision), digest: from_bits(self.digest) }
    }
}

#[cfg(test)]
impl Head {
    /// A head as the database would tell it.
    pub(crate) fn of(id: i64, identity: Identity) -> Self {
        let (revision, incarnation, digest) = (bits(identity.revision), bits(identity.incarnation), bits(identity.digest));
        Self { id, revision, incarnation, digest, settings: 0, regressed: false }
    }
}

/// Everything that an environment serves, at one moment.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Which ruleset this is.
    pub head: Head,
    /// Wire texts, by key order.
    pub flags: Vec<String>,
    /// Wire texts, by key order.
    pub cohorts: Vec<String>,
}

/// An environment to be.
#[derive(Debug, Clone)]
pub struct NewEnvironment<'a> {
    /// Its project's row.
    pub project: i64,
    /// Its key.
    pub key: &'a str,
    /// Its name.
    pub name: &'a str,
    /// See [`EnvironmentRow::protected`].
    pub protected: bool,
    /// See [`EnvironmentRow::options`].
    pub options: &'a str,
    /// Epoch milliseconds.
    pub at: i64,
}

impl Store {
    /// The environment with this key.
    ///
    /// # Errors
    /// The database away.
    pub async fn find_environment(&self, project: i64, key: &str) -> Result<Option<EnvironmentRow>, StoreError> {
        with_db!(self, |db| sqlx::query_as(FIND).bind(project).bind(key).fetch_optional(db).await)
    }

    /// The environment of this row.
    ///
    /// # Errors
    /// The database away.
    pub async fn find_environment_by_id(&self, id: i64) -> Result<Option<EnvironmentRow>, StoreError> {
        with_db!(self, |db| sqlx::query_as(FIND_BY_ID).bind(id).fetch_optional(db).await)
    }

    /// All environments of a project, in the order in which they are locked.
    ///
    /// # Errors
    /// The database away.
    pub async fn list_environments(&self, project: i64) -> Result<Vec<EnvironmentRow>, StoreError> {
        with_db!(self, |db| sqlx::query_as(LIST).bind(project).fetch_all(db).await)
    }

    /// The heads of all environments.
    ///
    /// # Errors
    /// The database away.
    pub async fn heads(&self) -> Result<Vec<Head>, StoreError> {
        with_db!(self, |db| sqlx::query_as(HEADS).fetch_all(db).await)
    }

    /// Everything that an environment serves, read in one snapshot; `None` if there is no such environment.
    ///
    /// # Errors
    /// The database away.
    pub async fn load_environment(&self, id: i64) -> Result<Option<Loaded>, StoreError> {
        let mut tx = self.begin_snapshot().await?;
        let head: Option<Head> = with_tx!(&mut tx, |db| sqlx::query_as(HEAD).bind(id).fetch_optional(db).await)?;
        let Some(head) = head else { return Ok(None) };
        let flags = with_tx!(&mut tx, |db| sqlx::query_scalar(FLAG_ITEMS).bind(id).fetch_all(db).await)?;
        let cohorts = with_tx!(&mut tx, |db| sqlx::query_scalar(COHORT_ITEMS).bind(id).fetch_all(db).await)?;
        tx.rollback().await?;
        Ok(Some(Loaded { head, flags, cohorts }))
    }

    /// Notes that the database went back, if it still stands at this head.
    ///
    /// # Errors
    /// The database away.
    pub async fn mark_regressed(&self, id: i64, head: Identity) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let (incarnation, revision, digest) = (bits(head.incarnation), bits(head.revision), bits(head.digest));
        let marked = with_tx!(&mut tx, |db| {
            let query = sqlx::query(MARK_REGRESSED).bind(id).bind(incarnation).bind(revision).bind(digest);
            query.execute(db).await.map(|done| done.rows_affected())
        })?;
        tx.commit().await?;
        Ok(marked > 0)
    }
}

impl Tx {
    /// All environments of a project, in the order in which they are locked. Under [`Tx::lock_project`] none is added meanwhile.
    ///
    /// # Errors
    /// The database away.
    pub async fn list_environments(&mut self, project: i64) -> Result<Vec<EnvironmentRow>, StoreError> {
        with_tx!(self, |db| sqlx::query_as(LIST).bind(project).fetch_all(db).await)
    }

    /// A new environment; its id.
    ///
    /// # Errors
    /// The key taken; the database away.
    pub async fn insert_environment(&mut self, new: &NewEnvironment<'_>) -> Result<i64, StoreError> {
        with_tx!(self, |db| {
            let query = sqlx::query_scalar(INSERT).bind(new.project).bind(new.key).bind(new.name).bind(new.protected);
            query.bind(new.at).bind(new.options).fetch_one(db).await
        })
    }

    /// The first statement of every write that is served: locks the environment and takes its next revision.
    /// The row comes back as it stands after it; `None` if there is no such environment.
    ///
    /// # Errors
    /// The database away.
    pub async fn lock_and_advance(&mut self, id: i64, now: i64) -> Result<Option<EnvironmentRow>, StoreError> {
        self.lock_and_advance_after(RAISED_EVERY_MS, id, now).await
    }

    /// The same for a kill, which must reach applications that hold more than a database that went back: a regressed
    /// environment takes a new incarnation with it, however recent the last one is.
    ///
    /// # Errors
    /// The same.
    pub async fn lock_and_advance_for_kill(&mut self, id: i64, now: i64) -> Result<Option<EnvironmentRow>, StoreError> {
        // Less than any difference between clocks.
        self.lock_and_advance_after(i64::MIN, id, now).await
    }

    /// Locks the environment as it stands: for whoever looks first and may then take a revision, or not.
    ///
    /// # Errors
    /// The database away.
    pub async fn lock_environment(&mut self, id: i64) -> Result<Option<EnvironmentRow>, StoreError> {
        with_tx!(self, |db| sqlx::query_as(LOCK).bind(id).fetch_optional(db).await)
    }

    async fn lock_and_advance_after(&mut self, since_raised_ms: i64, id: i64, now: i64) -> Result<Option<EnvironmentRow>, StoreError> {
        with_tx!(self, |db| sqlx::query_as(LOCK_AND_ADVANCE).bind(id).bind(now).bind(since_raised_ms).fetch_optional(db).await)
    }

    /// The digest and sizes of what the environment now serves.
    ///
    /// # Errors
    /// The database away.
    pub async fn settle_environment(&mut self, id: i64, digest: u64, flags: i64, item_bytes: i64) -> Result<(), StoreError> {
        with_tx!(self, |db| sqlx::query(SETTLE).bind(id).bind(bits(digest)).bind(flags).bind(item_bytes).execute(db).await.map(drop))?;
        Ok(())
    }

    /// Starts a new incarnation by hand, at the revision that stands. The row comes back as it stands after it; `None` if
    /// there is no such environment.
    ///
    /// # Errors
    /// The database away.
    pub async fn raise_incarnation(&mut self, id: i64, now: i64) -> Result<Option<EnvironmentRow>, StoreError> {
        with_tx!(self, |db| sqlx::query_as(RAISE).bind(id).bind(now).fetch_optional(db).await)
    }

    /// Tells every node that keys or settings changed.
    ///
    /// # Errors
    /// The database away.
    pub async fn touch_settings(&mut self, id: i64) -> Result<(), StoreError> {
        with_tx!(self, |db| sqlx::query(TOUCH_SETTINGS).bind(id).execute(db).await.map(drop))?;
        Ok(())
    }

    /// Changes settings, if `row` is still what stands.
    ///
    /// # Errors
    /// The database away.
    pub async fn update_environment(
        &mut self,
        row: &EnvironmentRow,
        name: &str,
        protected: bool,
        options: &str,
    ) -> Result<bool, StoreError> {
        let changed = with_tx!(self, |db| {
            let query = sqlx::query(UPDATE).bind(row.id).bind(name).bind(protected).bind(options).bind(row.version);
            query.execute(db).await.map(|done| done.rows_affected())
        })?;
        Ok(changed > 0)
    }
}
