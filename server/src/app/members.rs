//! The units of a cohort's list: replaced whole, in a stream, or added and removed one by one.
//!
//! A whole list is written beside the standing one, in transactions of its own and outside the environment's lock, and
//! made current in one row: neither a kill nor another write waits for it.

use std::time::Duration;

use storyflag_evaluation::{CohortItem, CohortList, ItemKind, ListReference, unit_hash};

use tokio_util::sync::CancellationToken;

use super::{
    App, Ask, Done, Place,
    cohorts::{item_of, may_change},
    now_ms,
    write::Write,
};
use crate::{
    auth::Right,
    error::Error,
    store::{CohortRow, EnvironmentRow, Store, StoreError},
};

/// The most units of a list.
pub const MOST_MEMBERS: usize = 100_000;
/// The most units that one PATCH adds and removes.
pub const MEMBERS_AT_ONCE: usize = 10_000;
/// The longest unit, in bytes.
pub const LONGEST_UNIT: usize = 256;
/// Units that are written in one transaction.
const CHUNK: usize = 1_000;
/// A writer that has not finished after so long is gone.
const UNFINISHED_MS: i64 = 3_600_000;
/// An SDK that still asks for a list that was replaced so long ago asks for the whole instead.
const LISTS_KEPT_MS: i64 = 3_600_000;
/// How often all that is done.
const SWEEP_EVERY: Duration = Duration::from_secs(600);

/// Units as they arrive.
pub trait Units {
    /// The next unit; `None` at the end.
    fn next(&mut self) -> impl Future<Output = Result<Option<String>, Error>> + Send;
}

/// What a change of a list did.
#[derive(Debug, Clone, Copy)]
pub struct MembersChanged {
    /// Units that were not in it before; all of them for a whole list.
    pub added: u64,
    /// Units that are not in it any more.
    pub removed: u64,
    /// How many units it has.
    pub count: u64,
}

impl App {
    /// Up to `limit` units of a cohort's list, after `after`, in order.
    ///
    /// # Errors
    /// 404; the database away.
    pub async fn list_members(&self, place: &Place, key: &str, after: &str, limit: i64) -> Result<(CohortRow, Vec<String>), Error> {
        let (row, _) = self.find_cohort(place, key).await?;
        let units = self.store.list_members(row.id, row.generation, after, limit).await?;
        Ok((row, units))
    }

    /// Replaces a cohort's list by what arrives.
    ///
    /// # Errors
    /// 403, 404, 412, 413, 422; the database away. Nothing changed then.
    pub async fn put_members<U: Units>(&self, ask: &Ask, place: &Place, key: &str, units: U) -> Result<Done<MembersChanged>, Error> {
        may_change(ask, place, &place.environment)?;
        let (row, item) = self.find_cohort(place, key).await?;
        ask.matches(row.version)?;
        let generation = self.begin_list(ask, row.id).await?;
        let mut unfinished = Unfinished { store: self.store.clone(), cohort: row.id, generation };
        let done = self.write_list(ask, place, key, generation, (&row, &item), units).await;
        unfinished.generation = None;
        // What did not become current is dropped at once, not by the sweep of an hour later; that one takes what fails here.
        let is_current = done.as_ref().is_ok_and(|done| done.changed);
        if let Some(generation) = generation.filter(|_| !is_current)
            && let Err(error) = self.store.drop_generation(row.id, generation).await
        {
            tracing::info!(%error, "what was written of a list is left for the sweep");
        }
        done
    }

    /// Writes what arrives to a generation, and makes it the list that counts.
    async fn write_list<U: Units>(
        &self,
        ask: &Ask,
        place: &Place,
        key: &str,
        generation: Option<i64>,
        (row, item): (&CohortRow, &CohortItem),
        mut units: U,
    ) -> Result<Done<MembersChanged>, Error> {
        let mut hashes: Vec<u64> = Vec::new();
        let mut chunk: Vec<String> = Vec::with_capacity(CHUNK);
        loop {
            let unit = units.next().await?;
            let ended = unit.is_none();
            if let Some(unit) = unit {
                hashes.push(unit_hash(unit.as_bytes(), item.seed));
                chunk.push(unit);
            }
            if hashes.len() > MOST_MEMBERS {
                return Err(Error::TooLarge(format!("the list has more than {MOST_MEMBERS} units")));
            }
            if (ended && !chunk.is_empty()) || chunk.len() >= CHUNK {
                if let Some(generation) = generation {
                    let mut tx = self.store.begin().await?;
                    tx.insert_members(row.id, generation, &chunk, 0).await?;
                    tx.commit().await?;
                }
                chunk.clear();
            }
            if ended {
                break;
            }
        }
        self.switch_list(ask, place, key, generation, CohortList::from_hashes(hashes)).await
    }

    /// A new generation to write to; none for a dry run, which only counts.
    async fn begin_list(&self, ask: &Ask, cohort: i64) -> Result<Option<i64>, Error> {
        if ask.dry_run {
            return Ok(None);
        }
        let mut tx = self.store.begin().await?;
        let generation = tx.begin_generation(cohort, now_ms()).await?;
        tx.commit().await?;
        Ok(Some(generation))
    }

    /// Makes a generation that was written the list that counts.
    async fn switch_list(
        &self,
        ask: &Ask,
        place: &Place,
        key: &str,
        generation: Option<i64>,
        list: CohortList,
    ) -> Result<Done<MembersChanged>, Error> {
        let mut write = Write::begin(self, ask).await?;
        let environment = write.lock(place.environment.id).await?;
        may_change(ask, place, &environment)?;
        let row = write.tx.find_cohort(environment.id, key).await?;
        let row = row.filter(|row| row.deleted_at.is_none()).ok_or_else(|| Error::no_such("cohort", key))?;
        ask.matches(row.version)?;
        let removed = u64::try_from(row.members).unwrap_or_default();
        let count = u64::try_from(list.len()).unwrap_or(u64::MAX);
        let item = item_of(&row)?;
        if item.list.as_ref().is_some_and(|reference| reference.digest == list.digest()) {
            let revision = write.undo().await?;
            let after = MembersChanged { added: 0, removed: 0, count };
            return Ok(Done { before: None, after, revision, changed: false, warnings: Vec::new() });
        }
        let revision = match generation {
            None => write.undo().await?,
            Some(generation) => {
                write.tx.switch_generation(row.id, row.generation, generation, environment.revision).await?;
                settle(write, &environment, CohortRow { generation, ..row }, item, &list).await?
            }
        };
        let after = MembersChanged { added: count, removed, count };
        Ok(Done { before: None, after, revision, changed: true, warnings: Vec::new() })
    }

    /// Adds units to a cohort's list and takes units from it.
    ///
    /// # Errors
    /// 403, 404, 412, 422; the database away.
    pub async fn patch_members(
        &self,
        ask: &Ask,
        place: &Place,
        key: &str,
        add: Vec<String>,
        remove: Vec<String>,
    ) -> Result<Done<MembersChanged>, Error> {
        ask.caller.may(Right::Change, &place.project.key, &place.environment)?;
        let mut write = Write::begin(self, ask).await?;
        let environment = write.lock(place.environment.id).await?;
        may_change(ask, place, &environment)?;
        let row = write.tx.find_cohort(environment.id, key).await?;
        let mut row = row.filter(|row| row.deleted_at.is_none()).ok_or_else(|| Error::no_such("cohort", key))?;
        ask.matches(row.version)?;
        let item = item_of(&row)?;
        if row.generation == 0 {
            row.generation = write.tx.begin_generation(row.id, write.now).await?;
            write.tx.switch_generation(row.id, 0, row.generation, environment.revision).await?;
        }
        let mut hashes = match &item.list {
            None => std::collections::BTreeSet::new(),
            Some(reference) => {
                let bytes = write.tx.find_list(environment.id, &reference.digest).await?;
                let bytes = bytes.ok_or_else(|| Error::internal("a cohort names a list that is not there"))?;
                CohortList::from_bytes(&bytes).map_err(Error::internal)?.hashes().iter().copied().collect()
            }
        };
        let standing: std::collections::BTreeSet<String> =
            write.tx.find_members(row.id, row.generation, &[add.as_slice(), remove.as_slice()].concat()).await?.into_iter().collect();
        let added: Vec<String> = unique(add.into_iter().filter(|unit| !standing.contains(unit)));
        let removed: Vec<String> = unique(remove.into_iter().filter(|unit| standing.contains(unit)));
        if added.is_empty() && removed.is_empty() {
            let revision = write.undo().await?;
            let count = u64::try_from(row.members).unwrap_or_default();
            return Ok(Done {
                before: None,
                after: MembersChanged { added: 0, removed: 0, count },
                revision,
                changed: false,
                warnings: Vec::new(),
            });
        }
        write.tx.insert_members(row.id, row.generation, &added, environment.revision).await?;
        write.tx.end_members(row.id, row.generation, &removed, environment.revision).await?;
        for unit in &removed {
            hashes.remove(&unit_hash(unit.as_bytes(), item.seed));
        }
        hashes.extend(added.iter().map(|unit| unit_hash(unit.as_bytes(), item.seed)));
        if hashes.len() > MOST_MEMBERS {
            return Err(Error::invalid("/add", format!("makes a list of {} units; at most {MOST_MEMBERS}", hashes.len())));
        }
        let list = CohortList::from_hashes(hashes.into_iter().collect());
        let count = |units: &[String]| u64::try_from(units.len()).unwrap_or(u64::MAX);
        let after = MembersChanged { added: count(&added), removed: count(&removed), count: u64::try_from(list.len()).unwrap_or(u64::MAX) };
        let revision = settle(write, &environment, row, item, &list).await?;
        Ok(Done { before: None, after, revision, changed: true, warnings: Vec::new() })
    }

    /// Removes, from time to time, what writers that are gone have left, and lists that nobody names any more. What fails
    /// is done next time.
    pub async fn sweep_forever(&self, shutdown: CancellationToken) {
        let sweeping = async {
            loop {
                tokio::time::sleep(SWEEP_EVERY).await;
                if let Err(error) = self.sweep().await {
                    tracing::info!(%error, "sweeping was put off");
                }
            }
        };
        let _: Option<()> = shutdown.run_until_cancelled(sweeping).await;
    }

    async fn sweep(&self) -> Result<(), StoreError> {
        let now = now_ms();
        self.store.sweep_generations(now.saturating_sub(UNFINISHED_MS)).await?;
        for head in self.store.heads().await? {
            let mut tx = self.store.begin().await?;
            tx.prune_lists(head.id, now.saturating_sub(LISTS_KEPT_MS)).await?;
            tx.commit().await?;
        }
        Ok(())
    }
}

/// A list whose writer may be cut off in the middle: then what it wrote is dropped.
struct Unfinished {
    store: Store,
    cohort: i64,
    generation: Option<i64>,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let (Some(generation), Ok(runtime)) = (self.generation, tokio::runtime::Handle::try_current()) else { return };
        let (store, cohort) = (self.store.clone(), self.cohort);
        // What fails is left for the sweep.
        runtime.spawn(async move { store.drop_generation(cohort, generation).await });
    }
}

/// Writes the list, and the item that names it.
async fn settle(
    mut write: Write<'_>,
    environment: &EnvironmentRow,
    row: CohortRow,
    item: CohortItem,
    list: &CohortList,
) -> Result<Option<i64>, Error> {
    let digest = list.digest();
    let now = write.now;
    write.tx.put_list(environment.id, &row.key, &digest, &list.to_bytes(), now).await?;
    let count = u64::try_from(list.len()).unwrap_or(u64::MAX);
    let item = CohortItem { list: Some(ListReference { digest, count }), ..item };
    let text = serde_json::to_string(&item).map_err(Error::internal)?;
    write.put(environment.id, ItemKind::Cohort, &row.key, Some(&row.item), Some(text.clone()))?;
    let members = i64::try_from(count).unwrap_or(i64::MAX);
    write.tx.update_cohort(&CohortRow { item: text, members, updated_at: now, ..row }).await?;
    write.commit().await
}

fn unique(units: impl Iterator<Item = String>) -> Vec<String> {
    units.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}
