//! Cohorts: named sets of units, by list and by conditions.

use storyflag_evaluation::{CohortItem, Condition, Fault, ItemKind, check_cohort};

use super::{
    App, Ask, Done, Place, check_key,
    items::refuse,
    references,
    releases::name_cohort,
    targetings::{MOST_PATTERNS, has_pattern, reason_given},
    write::Write,
};
use crate::{
    auth::Right,
    error::Error,
    store::{CohortRow, EnvironmentRow},
};

const MOST_CONDITIONS: usize = 200;

/// What a PUT of a cohort says. Its list is put beside it.
#[derive(Debug, Clone, Default)]
pub struct CohortDefinition {
    /// What it is for.
    pub description: String,
    /// The attribute that its list names; `targetingKey` unless given.
    pub unit: Option<String>,
    /// All must hold; none: only the list counts.
    pub conditions: Vec<Condition>,
}

impl App {
    /// Up to `limit` cohorts with keys after `after`.
    ///
    /// # Errors
    /// The database away.
    pub async fn list_cohorts(&self, place: &Place, after: &str, limit: i64) -> Result<Vec<(CohortRow, CohortItem)>, Error> {
        let rows = self.store.list_cohorts(place.environment.id, after, limit).await?;
        rows.into_iter().map(|row| item_of(&row).map(|item| (row, item))).collect()
    }

    /// A cohort.
    ///
    /// # Errors
    /// 404; the database away.
    pub async fn find_cohort(&self, place: &Place, key: &str) -> Result<(CohortRow, CohortItem), Error> {
        let row = self.store.find_cohort(place.environment.id, key).await?;
        let row = row.filter(|row| row.deleted_at.is_none()).ok_or_else(|| Error::no_such("cohort", key))?;
        let item = item_of(&row)?;
        Ok((row, item))
    }

    /// Creates a cohort, or replaces its description, unit and conditions; another content replaces only where
    /// `If-Match` says which version.
    ///
    /// # Errors
    /// 403, 404, 409, 412, 422; the database away.
    pub async fn put_cohort(
        &self,
        ask: &Ask,
        place: &Place,
        key: &str,
        definition: CohortDefinition,
    ) -> Result<Done<(CohortRow, CohortItem)>, Error> {
        check_key("/cohort", "cohort", key)?;
        ask.caller.may(Right::Change, &place.project.key, &place.environment)?;
        let mut write = Write::begin(self, ask).await?;
        let environment = write.lock(place.environment.id).await?;
        may_change(ask, place, &environment)?;
        let row = write.tx.find_cohort(environment.id, key).await?;
        let live = row.as_ref().filter(|row| row.deleted_at.is_none());
        let before = live.map(|row| item_of(row).map(|item| (row.clone(), item))).transpose()?;
        let item = wanted(key, &definition, before.as_ref().map(|(_, item)| item), row.as_ref())?;
        refuse(faults_of(&item))?;
        match &before {
            None => ask.matches_nothing()?,
            Some((row, stands)) => {
                ask.matches(row.version)?;
                if *stands == item && row.description == definition.description {
                    let revision = write.undo().await?;
                    let after = (row.clone(), item);
                    return Ok(Done { before, after, revision, changed: false, warnings: Vec::new() });
                }
                if ask.if_match.is_none() {
                    let detail = format!(
                        "cohort {key:?} is there with another content: send If-Match: \"{}\" to replace it; its list is at /members",
                        row.version
                    );
                    return Err(Error::Conflict(detail, None));
                }
            }
        }
        let text = serde_json::to_string(&item).map_err(Error::internal)?;
        let old_text = before.as_ref().map(|(row, _)| row.item.as_str());
        write.put(environment.id, ItemKind::Cohort, key, old_text, Some(text.clone()))?;
        let after = match row {
            None => {
                let id = write.tx.insert_cohort(environment.id, key, &definition.description, &text, write.now).await?;
                CohortRow {
                    id,
                    environment: environment.id,
                    key: key.to_owned(),
                    description: definition.description,
                    version: 1,
                    generation: 0,
                    members: 0,
                    item: text,
                    deleted_at: None,
                    updated_at: write.now,
                }
            }
            Some(row) => {
                let mut row = CohortRow { description: definition.description, item: text, deleted_at: None, updated_at: write.now, ..row };
                row.version = write.tx.update_cohort(&row).await?;
                row
            }
        };
        let revision = write.commit().await?;
        Ok(Done { before, after: (after, item), revision, changed: true, warnings: Vec::new() })
    }

    /// Deletes a cohort that no flag names.
    ///
    /// # Errors
    /// 403, 404, 409, 412, 422; the database away.
    pub async fn delete_cohort(&self, ask: &Ask, place: &Place, key: &str) -> Result<Done<(CohortRow, CohortItem)>, Error> {
        ask.caller.may(Right::Change, &place.project.key, &place.environment)?;
        let mut write = Write::begin(self, ask).await?;
        let environment = write.lock(place.environment.id).await?;
        may_change(ask, place, &environment)?;
        let row = write.tx.find_cohort(environment.id, key).await?;
        let row = row.filter(|row| row.deleted_at.is_none()).ok_or_else(|| Error::no_such("cohort", key))?;
        ask.matches(row.version)?;
        let released_by = name_cohort(&mut write, environment.id, key).await?;
        if !released_by.is_empty() {
            return Err(Error::Conflict(format!("cohort {key:?} is named by {}, which is under way", released_by.join(", ")), None));
        }
        let named_by = references::flags_that_name_cohort(&mut write.tx, environment.id, key).await?;
        if !named_by.is_empty() {
            return Err(Error::Conflict(format!("cohort {key:?} is named by {}: change those first", named_by.join(", ")), None));
        }
        let item = item_of(&row)?;
        write.put(environment.id, ItemKind::Cohort, key, Some(&row.item), None)?;
        write.tx.end_generation(row.id, row.generation, environment.revision).await?;
        let mut after = CohortRow { deleted_at: Some(write.now), generation: 0, members: 0, updated_at: write.now, ..row.clone() };
        after.version = write.tx.update_cohort(&after).await?;
        let revision = write.commit().await?;
        Ok(Done { before: Some((row, item.clone())), after: (after, item), revision, changed: true, warnings: Vec::new() })
    }
}

/// The right and the reason that a change of a cohort needs, under the environment's lock.
pub(super) fn may_change(ask: &Ask, place: &Place, environment: &EnvironmentRow) -> Result<(), Error> {
    ask.caller.may(Right::Change, &place.project.key, environment)?;
    reason_given(ask, environment)
}

/// What a cohort's wire text says.
pub(super) fn item_of(row: &CohortRow) -> Result<CohortItem, Error> {
    serde_json::from_str(&row.item).map_err(Error::internal)
}

fn wanted(key: &str, definition: &CohortDefinition, before: Option<&CohortItem>, row: Option<&CohortRow>) -> Result<CohortItem, Error> {
    // A key that comes back keeps its seed: what SDKs still hold of it means the same.
    let seed = match (before, row) {
        (Some(item), _) => item.seed,
        (None, Some(row)) => item_of(row)?.seed,
        (None, None) => fresh_seed()?,
    };
    Ok(CohortItem {
        key: key.to_owned(),
        unit: definition.unit.clone().unwrap_or_else(|| "targetingKey".to_owned()),
        seed,
        list: before.and_then(|item| item.list.clone()),
        conditions: definition.conditions.clone(),
    })
}

fn fresh_seed() -> Result<u64, Error> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(Error::internal)?;
    Ok(u64::from_be_bytes(bytes))
}

fn faults_of(item: &CohortItem) -> Vec<Fault> {
    let patterns = item.conditions.iter().filter(|condition| has_pattern(condition)).count();
    if patterns > MOST_PATTERNS {
        let detail = format!("has {patterns} regular expressions; at most {MOST_PATTERNS}");
        return vec![Fault { pointer: "/if".to_owned(), detail }];
    }
    let mut faults = check_cohort(item);
    if item.unit.is_empty() {
        faults.push(Fault { pointer: "/unit".to_owned(), detail: "is empty; the targeting key is \"targetingKey\"".to_owned() });
    }
    if item.conditions.len() > MOST_CONDITIONS {
        let detail = format!("has {} conditions; at most {MOST_CONDITIONS}", item.conditions.len());
        faults.push(Fault { pointer: "/if".to_owned(), detail });
    }
    faults
}
