//! Deployment plans: documents that people write; checked, kept word for word, and read again whenever they are asked for.

use serde_json::json;
use storyflag_release::plan::{Approach, Fault, Media, Plan, Reading, read};

use super::{App, Ask, Done, check_key, write::Write};
use crate::{
    auth::Right,
    error::Error,
    store::{FlagRow, PlanEntry, PlanRow},
};

/// What a document is written in, and how rows name it.
const MEDIA: [(&str, Media); 3] = [("yaml", Media::Yaml), ("json", Media::Json), ("markdown", Media::Markdown)];

/// A plan, and what its document says today.
#[derive(Debug, Clone)]
pub struct StoredPlan {
    /// As it was put.
    pub row: PlanRow,
    /// As it is read.
    pub reading: Reading,
    /// What stands in the way of a release of it.
    pub warnings: Vec<String>,
}

impl StoredPlan {
    fn of(row: PlanRow, reading: Reading, flag: Option<&FlagRow>) -> Self {
        let warnings = warnings_of(&row.entry.flag, flag);
        Self { row, reading, warnings }
    }

    /// What it is written in.
    pub fn media(&self) -> Media {
        media_named(&self.row.entry.media)
    }

    /// The plan, if it can be executed here.
    ///
    /// # Errors
    /// 422: a document with faults, or another approach.
    pub fn executable(self) -> Result<Plan, Error> {
        executable(self.reading)
    }
}

/// The plan that a document says, if it can be executed here.
///
/// # Errors
/// 422: a document with faults, or another approach.
pub fn executable(reading: Reading) -> Result<Plan, Error> {
    match (reading.not_executable, reading.plan) {
        (Some(fault), _) => Err(Error::InvalidDocument(vec![fault])),
        (None, Some(plan)) => Ok(plan),
        (None, None) => Err(Error::InvalidDocument(reading.faults)),
    }
}

/// Reads a document; what cannot be kept is at fault as well.
pub fn read_document(media: Media, text: &str) -> Reading {
    let mut reading = read(media, text);
    // Postgres keeps no NUL character in text.
    if let Some((before, _)) = text.split_once('\0') {
        let line_start = before.rfind('\n').map_or(0, |at| at.saturating_add(1));
        let column = before.get(line_start..).unwrap_or_default().chars().count().saturating_add(1);
        let line = before.matches('\n').count().saturating_add(1);
        reading.faults.push(Fault { line, column, pointer: String::new(), detail: "has a NUL character".to_owned() });
        reading.faults.sort_by_key(|fault| (fault.line, fault.column));
        reading.plan = None;
    }
    reading
}

impl App {
    /// Up to `limit` plans with keys after `after`, without their documents.
    ///
    /// # Errors
    /// 404; the database away.
    pub async fn list_plans(&self, project: &str, after: &str, limit: i64) -> Result<Vec<PlanEntry>, Error> {
        let project = self.project(project).await?;
        Ok(self.store.list_plans(project.id, after, limit).await?)
    }

    /// A plan.
    ///
    /// # Errors
    /// 404; the database away.
    pub async fn find_plan(&self, project: &str, key: &str) -> Result<StoredPlan, Error> {
        let project = self.project(project).await?;
        let row = self.store.find_plan(project.id, key).await?;
        let row = row.filter(|row| row.deleted_at.is_none()).ok_or_else(|| Error::no_such("plan", key))?;
        let flag = self.store.find_flag(project.id, &row.entry.flag).await?;
        let reading = read_row(&row);
        Ok(StoredPlan::of(row, reading, flag.as_ref()))
    }

    /// Creates a plan, or replaces it. A release that has begun has a copy of its own.
    ///
    /// # Errors
    /// 403, 404, 412, 422 with every fault of the document; the database away.
    pub async fn put_plan(&self, ask: &Ask, project: &str, key: &str, media: Media, text: &str) -> Result<Done<StoredPlan>, Error> {
        check_key("/plan", "plan", key)?;
        ask.caller.may_in_project(Right::Change, project)?;
        let project = self.project(project).await?;
        let reading = read_document(media, text);
        let Some(plan) = reading.plan.clone() else { return Err(Error::InvalidDocument(reading.faults)) };
        if plan.plan != key {
            return Err(Error::invalid("/plan", format!("is {:?}, but the path says {key:?}, and keys do not change", plan.plan)));
        }
        let mut write = Write::begin(self, ask).await?;
        // Two who put the same key come one after the other.
        write.tx.lock_project(project.id).await?;
        let flag = write.tx.find_flag(project.id, &plan.flag).await?;
        let known = write.tx.find_plan(project.id, key).await?;
        let before = known.clone().filter(|row| row.deleted_at.is_none());
        match &before {
            None => ask.matches_nothing()?,
            Some(row) => ask.matches(row.entry.version)?,
        }
        let mut after = wanted(known.as_ref(), project.id, &plan, media, text);
        let changed = before.as_ref().is_none_or(|row| (&row.entry.media, &row.document) != (&after.entry.media, &after.document));
        if let Some(row) = before.as_ref().filter(|_| !changed) {
            after = row.clone();
            write.undo().await?;
        } else {
            after.entry.updated_at = write.now;
            after.entry.updated_by.clone_from(&ask.caller.subject);
            if before.is_none() {
                after.entry.created_at = write.now;
            }
            match &known {
                None => write.tx.insert_plan(&after).await?,
                Some(_) => write.tx.update_plan(&after).await?,
            }
            let audit = json!({ "media": after.entry.media, "document": after.document });
            write.audit(project.id, None, "plan", key, Some(audit.to_string()));
            write.commit().await?;
        }
        let before = before.map(|row| {
            let reading = read_row(&row);
            StoredPlan { row, reading, warnings: Vec::new() }
        });
        let after = StoredPlan::of(after, reading, flag.as_ref());
        let warnings = after.warnings.clone();
        Ok(Done { before, after, revision: None, changed, warnings })
    }

    /// Deletes a plan. What was released by it stays as it is.
    ///
    /// # Errors
    /// 403, 404, 412; the database away.
    pub async fn delete_plan(&self, ask: &Ask, project: &str, key: &str) -> Result<Done<StoredPlan>, Error> {
        ask.caller.may_in_project(Right::Change, project)?;
        let project = self.project(project).await?;
        let mut write = Write::begin(self, ask).await?;
        write.tx.lock_project(project.id).await?;
        let row = write.tx.find_plan(project.id, key).await?;
        let row = row.filter(|row| row.deleted_at.is_none()).ok_or_else(|| Error::no_such("plan", key))?;
        ask.matches(row.entry.version)?;
        let mut after = row.clone();
        after.deleted_at = Some(write.now);
        after.entry.updated_at = write.now;
        after.entry.updated_by.clone_from(&ask.caller.subject);
        after.entry.version = after.entry.version.saturating_add(1);
        write.tx.update_plan(&after).await?;
        write.audit(project.id, None, "plan", key, None);
        write.commit().await?;
        let reading = read_row(&row);
        let stored = |row| StoredPlan { row, reading: reading.clone(), warnings: Vec::new() };
        Ok(Done { before: Some(stored(row)), after: stored(after), revision: None, changed: true, warnings: Vec::new() })
    }
}

/// What a row's name of a media type means.
pub(super) fn media_named(name: &str) -> Media {
    MEDIA.iter().find(|(known, _)| *known == name).map_or(Media::Yaml, |(_, media)| *media)
}

/// What a stored document says. A later version of this service may find faults that the one before it did not.
fn read_row(row: &PlanRow) -> Reading {
    read_document(media_named(&row.entry.media), &row.document)
}

fn wanted(known: Option<&PlanRow>, project: i64, plan: &Plan, media: Media, text: &str) -> PlanRow {
    let name = MEDIA.iter().find(|(_, known)| *known == media).map_or("yaml", |(name, _)| name);
    let entry = PlanEntry {
        key: plan.plan.clone(),
        media: name.to_owned(),
        story: plan.story.clone().unwrap_or_default(),
        flag: plan.flag.clone(),
        approach: approach_name(plan.approach).to_owned(),
        version: known.map_or(1, |row| row.entry.version.saturating_add(1)),
        created_at: known.map_or(0, |row| row.entry.created_at),
        updated_at: 0,
        updated_by: String::new(),
    };
    PlanRow { id: known.map_or(0, |row| row.id), project, entry, document: text.to_owned(), deleted_at: None }
}

/// As documents write it.
const fn approach_name(approach: Approach) -> &'static str {
    match approach {
        Approach::FeatureFlag => "feature_flag",
        Approach::Canary => "canary",
        Approach::BlueGreen => "blue_green",
        Approach::Rolling => "rolling",
    }
}

/// A plan may be written before its flag.
fn warnings_of(key: &str, flag: Option<&FlagRow>) -> Vec<String> {
    let warning = match flag {
        _ if key.is_empty() => return Vec::new(),
        None => format!("there is no flag {key:?} yet: create it before a release of this plan starts"),
        Some(flag) if flag.archived_at.is_some() => format!("flag {key:?} is archived: no release of this plan can start"),
        Some(_) => return Vec::new(),
    };
    vec![warning]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nul_character_is_a_fault_where_it_is() {
        let reading = read_document(Media::Markdown, "# Deployment Plan: DP-1-a\n\nü\0");
        let found = reading.faults.iter().find(|fault| fault.detail.contains("NUL"));
        assert_eq!(found.map(|fault| (fault.line, fault.column)), Some((3, 2)));
        assert!(reading.plan.is_none());
    }
}
