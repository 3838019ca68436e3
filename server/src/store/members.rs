//! The units of a cohort's list, each with the revisions from and to which it holds.
//!
//! A whole list is a new *generation*: written beside the standing one in transactions of their own, outside the
//! environment's lock, and made current in one row. What changes within a generation adds and ends rows.

use super::{Store, StoreError, Tx, any_of, insert_rows, with_db, with_tx};

const NEW_GENERATION: &str = "insert into cohort_generations (cohort, generation, from_revision, to_revision, created_at) \
     values ($1, (select coalesce(max(generation), 0) + 1 from cohort_generations where cohort = $1), null, null, $2) returning generation";
const INSERT: &str = "insert into cohort_members (cohort, generation, unit, from_revision) ";
/// Who stands in a list twice is in it once.
const INSERT_AGAIN: &str = " on conflict do nothing";
/// A swept generation has an end but no beginning, and never becomes current.
const BEGIN_GENERATION: &str = "update cohort_generations set from_revision = $3 where cohort = $1 and generation = $2 and from_revision is null and to_revision is null";
const END_GENERATION: &str = "update cohort_generations set to_revision = $3 where cohort = $1 and generation = $2 and from_revision is not null and to_revision is null";
const END_MEMBERS: &str = "update cohort_members set to_revision = ";
const FIND_MEMBERS: &str = "select unit from cohort_members where to_revision is null and cohort = ";
const COUNT: &str = "select count(*) from cohort_members where cohort = $1 and generation = $2 and to_revision is null";
const PAGE: &str =
    "select unit from cohort_members where cohort = $1 and generation = $2 and unit > $3 and to_revision is null order by unit limit $4";
const HELD: &str = "select count(*) from cohort_members m join cohort_generations g on g.cohort = m.cohort and g.generation = m.generation \
     where m.cohort = $1 and m.unit = $2 and g.from_revision <= $3 and (g.to_revision is null or g.to_revision > $3) \
     and m.from_revision <= $3 and (m.to_revision is null or m.to_revision > $3)";
const UNFINISHED: &str =
    "select cohort, generation from cohort_generations where from_revision is null and created_at < $1 order by cohort, generation";
const CONDEMN: &str = "update cohort_generations set to_revision = 0 where cohort = $1 and generation = $2 and from_revision is null";
/// Up to the thousandth unit, which is found once: `in (select ... limit)` is searched again for every row by Postgres.
const SWEEP_MEMBERS: &str = "delete from cohort_members where cohort = $1 and generation = $2 and unit <= (select max(unit) from \
     (select unit from cohort_members where cohort = $1 and generation = $2 order by unit limit 1000) as first)";
const SWEEP_GENERATION: &str =
    "delete from cohort_generations where cohort = $1 and generation = $2 and from_revision is null and to_revision = 0";

impl Store {
    /// Up to `limit` units of a generation that hold now, after `after`, in order.
    ///
    /// # Errors
    /// The database away.
    pub async fn list_members(&self, cohort: i64, generation: i64, after: &str, limit: i64) -> Result<Vec<String>, StoreError> {
        with_db!(self, |db| sqlx::query_scalar(PAGE).bind(cohort).bind(generation).bind(after).bind(limit).fetch_all(db).await)
    }

    /// How many units of a generation hold now.
    ///
    /// # Errors
    /// The database away.
    pub async fn count_members(&self, cohort: i64, generation: i64) -> Result<i64, StoreError> {
        with_db!(self, |db| sqlx::query_scalar(COUNT).bind(cohort).bind(generation).fetch_one(db).await)
    }

    /// Whether a unit was in a cohort's list at a revision.
    ///
    /// # Errors
    /// The database away.
    pub async fn was_member(&self, cohort: i64, unit: &str, revision: i64) -> Result<bool, StoreError> {
        let count: i64 = with_db!(self, |db| sqlx::query_scalar(HELD).bind(cohort).bind(unit).bind(revision).fetch_one(db).await)?;
        Ok(count > 0)
    }

    /// Removes generations that were begun before `before` and never made current: their writer is gone. In steps
    /// that hold no lock for long; one that is cut short is continued by the next call.
    ///
    /// # Errors
    /// The database away.
    pub async fn sweep_generations(&self, before: i64) -> Result<(), StoreError> {
        let unfinished: Vec<(i64, i64)> = with_db!(self, |db| sqlx::query_as(UNFINISHED).bind(before).fetch_all(db).await)?;
        for (cohort, generation) in unfinished {
            self.drop_generation(cohort, generation).await?;
        }
        Ok(())
    }

    /// Removes a generation unless it became current.
    ///
    /// # Errors
    /// The database away.
    pub async fn drop_generation(&self, cohort: i64, generation: i64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let condemned = with_tx!(tx, |db| {
            let query = sqlx::query(CONDEMN).bind(cohort).bind(generation);
            query.execute(db).await.map(|done| done.rows_affected())
        })?;
        tx.commit().await?;
        if condemned == 0 {
            return Ok(());
        }
        self.sweep(cohort, generation).await
    }

    async fn sweep(&self, cohort: i64, generation: i64) -> Result<(), StoreError> {
        loop {
            let mut tx = self.begin().await?;
            let swept = with_tx!(tx, |db| {
                let query = sqlx::query(SWEEP_MEMBERS).bind(cohort).bind(generation);
                query.execute(db).await.map(|done| done.rows_affected())
            })?;
            if swept == 0 {
                with_tx!(tx, |db| sqlx::query(SWEEP_GENERATION).bind(cohort).bind(generation).execute(db).await.map(drop))?;
            }
            tx.commit().await?;
            if swept == 0 {
                return Ok(());
            }
        }
    }
}

impl Tx {
    /// A new generation, not current yet.
    ///
    /// # Errors
    /// Taken, when two begin at once; the database away.
    pub async fn begin_generation(&mut self, cohort: i64, at: i64) -> Result<i64, StoreError> {
        with_tx!(self, |db| sqlx::query_scalar(NEW_GENERATION).bind(cohort).bind(at).fetch_one(db).await)
    }

    /// Adds units to a generation, from a revision on (0 in a new generation, which begins as a whole). How many were
    /// new: a unit that is there from the same revision on is left alone.
    ///
    /// # Errors
    /// No such generation (it was never begun, or was swept); the database away.
    pub async fn insert_members(&mut self, cohort: i64, generation: i64, units: &[String], from: i64) -> Result<u64, StoreError> {
        Ok(insert_rows!(
            self,
            INSERT,
            units,
            |values, unit| values.push_bind(cohort).push_bind(generation).push_bind(unit).push_bind(from),
            INSERT_AGAIN
        ))
    }

    /// Ends the membership of units at a revision; how many held.
    ///
    /// # Errors
    /// The database away.
    pub async fn end_members(&mut self, cohort: i64, generation: i64, units: &[String], revision: i64) -> Result<u64, StoreError> {
        let mut ended = 0_u64;
        for units in units.chunks(super::ROWS_AT_ONCE) {
            let chunk = with_tx!(self, |db| {
                let mut query = any_of!(
                    END_MEMBERS,
                    [revision, " where to_revision is null and cohort = ", cohort, " and generation = ", generation, " and unit in ("],
                    units
                );
                query.build().persistent(false).execute(db).await.map(|done| done.rows_affected())
            })?;
            ended = ended.saturating_add(chunk);
        }
        Ok(ended)
    }

    /// Ends a unit's membership at a revision; whether it held.
    ///
    /// # Errors
    /// The database away.
    pub async fn end_member(&mut self, cohort: i64, generation: i64, unit: &str, revision: i64) -> Result<bool, StoreError> {
        Ok(self.end_members(cohort, generation, &[unit.to_owned()], revision).await? > 0)
    }

    /// Which of these units are in a generation now, in no order.
    ///
    /// # Errors
    /// The database away.
    pub async fn find_members(&mut self, cohort: i64, generation: i64, units: &[String]) -> Result<Vec<String>, StoreError> {
        let mut found = Vec::new();
        for units in units.chunks(super::ROWS_AT_ONCE) {
            let chunk: Vec<String> = with_tx!(self, |db| {
                let mut query = any_of!(FIND_MEMBERS, [cohort, " and generation = ", generation, " and unit in ("], units);
                query.build_query_scalar().persistent(false).fetch_all(db).await
            })?;
            found.extend(chunk);
        }
        Ok(found)
    }

    /// Whether a unit is in a generation now.
    ///
    /// # Errors
    /// The database away.
    pub async fn is_member(&mut self, cohort: i64, generation: i64, unit: &str) -> Result<bool, StoreError> {
        Ok(!self.find_members(cohort, generation, &[unit.to_owned()]).await?.is_empty())
    }

    /// How many units of a generation hold now.
    ///
    /// # Errors
    /// The database away.
    pub async fn count_members(&mut self, cohort: i64, generation: i64) -> Result<i64, StoreError> {
        with_tx!(self, |db| sqlx::query_scalar(COUNT).bind(cohort).bind(generation).fetch_one(db).await)
    }

    /// Ends a generation at a revision: its cohort is deleted, and a list under the same key begins anew.
    ///
    /// # Errors
    /// The database away.
    pub async fn end_generation(&mut self, cohort: i64, generation: i64, revision: i64) -> Result<(), StoreError> {
        with_tx!(self, |db| sqlx::query(END_GENERATION).bind(cohort).bind(generation).bind(revision).execute(db).await.map(drop))
    }

    /// Makes `next` current from a revision on, and ends the generation before it (0: there was none).
    ///
    /// # Errors
    /// `next` was swept meanwhile, or is not new; the database away.
    pub async fn switch_generation(&mut self, cohort: i64, before: i64, next: i64, revision: i64) -> Result<(), StoreError> {
        self.end_generation(cohort, before, revision).await?;
        let begun = with_tx!(self, |db| {
            let query = sqlx::query(BEGIN_GENERATION).bind(cohort).bind(next).bind(revision);
            query.execute(db).await.map(|done| done.rows_affected())
        })?;
        if begun == 0 {
            return Err(StoreError::Other(sqlx::Error::RowNotFound));
        }
        Ok(())
    }
}
