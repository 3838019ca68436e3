//! The units of a cohort's list, each with the revisions from and to which it holds.
//!
//! A whole list is a new *generation*: written beside the standing one in transactions of their own, and made current in one row.

use super::{Store, StoreError, Tx, with_db, with_tx};

const NEW_GENERATION: &str = "insert into cohort_generations (cohort, generation, from_revision, to_revision, created_at) \
     values ($1, (select coalesce(max(generation), 0) + 1 from cohort_generations where cohort = $1), null, null, $2) returning generation";
const INSERT: &str = "insert into cohort_members (cohort, generation, unit, from_revision, to_revision) values ($1, $2, $3, $4, null) on conflict do nothing";
const BEGIN_GENERATION: &str = "update cohort_generations set from_revision = $3 where cohort = $1 and generation = $2";
const END_GENERATION: &str = "update cohort_generations set to_revision = $3 where cohort = $1 and generation = $2";
const END_MEMBER: &str =
    "update cohort_members set to_revision = $4 where cohort = $1 and generation = $2 and unit = $3 and to_revision is null";
const FIND_MEMBER: &str = "select count(*) from cohort_members where cohort = $1 and generation = $2 and unit = $3 and to_revision is null";
const PAGE: &str =
    "select unit from cohort_members where cohort = $1 and generation = $2 and unit > $3 and to_revision is null order by unit limit $4";
const HELD: &str = "select count(*) from cohort_members m join cohort_generations g on g.cohort = m.cohort and g.generation = m.generation \
     where m.cohort = $1 and m.unit = $2 and g.from_revision <= $3 and (g.to_revision is null or g.to_revision > $3) \
     and m.from_revision <= $3 and (m.to_revision is null or m.to_revision > $3)";
const SWEEP_MEMBERS: &str = "delete from cohort_members where exists (select 1 from cohort_generations g where g.cohort = cohort_members.cohort \
     and g.generation = cohort_members.generation and g.from_revision is null and g.created_at < $1)";
const SWEEP_GENERATIONS: &str = "delete from cohort_generations where from_revision is null and created_at < $1";

impl Store {
    /// Up to `limit` units of a generation that hold now, after `after`, in order.
    ///
    /// # Errors
    /// The database away.
    pub async fn list_members(&self, cohort: i64, generation: i64, after: &str, limit: i64) -> Result<Vec<String>, StoreError> {
        Ok(with_db!(self, |db| sqlx::query_scalar(PAGE).bind(cohort).bind(generation).bind(after).bind(limit).fetch_all(db).await)?)
    }

    /// Whether a unit was in a cohort's list at a revision.
    ///
    /// # Errors
    /// The database away.
    pub async fn was_member(&self, cohort: i64, unit: &str, revision: i64) -> Result<bool, StoreError> {
        let count: i64 = with_db!(self, |db| sqlx::query_scalar(HELD).bind(cohort).bind(unit).bind(revision).fetch_one(db).await)?;
        Ok(count > 0)
    }

    /// Removes generations that were begun before `before` and never made current: their writer is gone.
    ///
    /// # Errors
    /// The database away.
    pub async fn sweep_generations(&self, before: i64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        with_tx!(&mut tx, |db| sqlx::query(SWEEP_MEMBERS).bind(before).execute(db).await.map(drop))?;
        with_tx!(&mut tx, |db| sqlx::query(SWEEP_GENERATIONS).bind(before).execute(db).await.map(drop))?;
        tx.commit().await
    }
}

impl Tx {
    /// A new generation, not current yet.
    ///
    /// # Errors
    /// Two at once; the database away.
    pub async fn begin_generation(&mut self, cohort: i64, at: i64) -> Result<i64, StoreError> {
        Ok(with_tx!(self, |db| sqlx::query_scalar(NEW_GENERATION).bind(cohort).bind(at).fetch_one(db).await)?)
    }

    /// Adds units to a generation, from a revision on (0 in a new generation, which begins as a whole).
    ///
    /// # Errors
    /// The database away.
    pub async fn insert_members(&mut self, cohort: i64, generation: i64, units: &[String], from: i64) -> Result<(), StoreError> {
        for unit in units {
            with_tx!(self, |db| sqlx::query(INSERT).bind(cohort).bind(generation).bind(unit).bind(from).execute(db).await.map(drop))?;
        }
        Ok(())
    }

    /// Ends a unit's membership at a revision.
    ///
    /// # Errors
    /// The database away.
    pub async fn end_member(&mut self, cohort: i64, generation: i64, unit: &str, revision: i64) -> Result<bool, StoreError> {
        let ended = with_tx!(self, |db| {
            let query = sqlx::query(END_MEMBER).bind(cohort).bind(generation).bind(unit).bind(revision);
            query.execute(db).await.map(|done| done.rows_affected())
        })?;
        Ok(ended > 0)
    }

    /// Whether a unit is in a generation now.
    ///
    /// # Errors
    /// The database away.
    pub async fn is_member(&mut self, cohort: i64, generation: i64, unit: &str) -> Result<bool, StoreError> {
        let count: i64 = with_tx!(self, |db| sqlx::query_scalar(FIND_MEMBER).bind(cohort).bind(generation).bind(unit).fetch_one(db).await)?;
        Ok(count > 0)
    }

    /// Makes `next` current from a revision on, and ends the generation before it.
    ///
    /// # Errors
    /// The database away.
    pub async fn switch_generation(&mut self, cohort: i64, before: i64, next: i64, revision: i64) -> Result<(), StoreError> {
        with_tx!(self, |db| sqlx::query(END_GENERATION).bind(cohort).bind(before).bind(revision).execute(db).await.map(drop))?;
        with_tx!(self, |db| sqlx::query(BEGIN_GENERATION).bind(cohort).bind(next).bind(revision).execute(db).await.map(drop))?;
        Ok(())
    }
}
