//! Environments: what bounds manual changes in them, and how one begins.

use serde::{Deserialize, Serialize};
use storyflag_evaluation::{ItemKind, Percentage};
use utoipa::ToSchema;

use super::{
    App, Ask, Done, check_key,
    items::{born, encode},
    write::Write,
};
use crate::{
    auth::{Caller, Right},
    error::Error,
    store::{EnvironmentRow, NewEnvironment, ProjectRow, TargetingRow},
};

/// What bounds manual changes in a protected environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Settings {
    /// Whether every change but a safe one needs a reason.
    pub reason_required: bool,
    /// The most that one manual change multiplies a percentage by.
    #[schema(example = 10)]
    pub max_factor: f64,
    /// The most that a manual change raises from 0, in percent.
    #[schema(example = 1)]
    pub max_first_percentage: f64,
    /// Whether a release is approved by somebody else than who started it.
    pub approver_is_not_author: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { reason_required: true, max_factor: 10.0, max_first_percentage: 1.0, approver_is_not_author: false }
    }
}

impl Settings {
    /// Of an environment.
    pub fn of(row: &EnvironmentRow) -> Self {
        serde_json::from_str(&row.options).unwrap_or_default()
    }

    /// Whether a manual change in a protected environment may go from one percentage to another.
    pub(super) fn allow(&self, from: Percentage, to: Percentage) -> bool {
        if to <= from {
            return true;
        }
        // In millionths, where ten times 0.57 % is 5.7 %, and with room for what binary fractions of a factor lose.
        let millionths = |percentage: Percentage| f64::from(percentage.millionths());
        let most = if from == Percentage::ZERO { self.max_first_percentage * 10_000.0 } else { millionths(from) * self.max_factor };
        millionths(to) <= most + 1e-6
    }
}

/// What a PUT of an environment says.
#[derive(Debug, Clone, Default)]
pub struct EnvironmentDefinition {
    /// Its name.
    pub name: Option<String>,
    /// Whether it is protected.
    pub protected: Option<bool>,
    /// What bounds manual changes.
    pub settings: Option<Settings>,
}

impl App {
    /// All environments of a project, in the order in which they were made.
    ///
    /// # Errors
    /// 404; the database away.
    pub async fn list_environments(&self, caller: &Caller, project: &str) -> Result<(ProjectRow, Vec<EnvironmentRow>), Error> {
        let project = self.project(project).await?;
        let mut rows = self.store.list_environments(project.id).await?;
        rows.retain(|row| caller.reaches(&project.key, &row.key).is_ok());
        Ok((project, rows))
    }

    /// Makes an environment, in which every flag of the project is born, or changes its settings.
    ///
    /// # Errors
    /// 403, 404, 412, 422; the database away.
    pub async fn put_environment(
        &self,
        ask: &Ask,
        project: &str,
        key: &str,
        definition: EnvironmentDefinition,
    ) -> Result<Done<EnvironmentRow>, Error> {
        check_key("/environment", "environment", key)?;
        ask.caller.may_in_project(Right::Administer, project)?;
        let project = self.project(project).await?;
        let mut write = Write::begin(self, ask).await?;
        write.tx.lock_project(project.id).await?;
        let rows = write.tx.list_environments(project.id).await?;
        match rows.into_iter().find(|row| row.key == key) {
            Some(row) => self.change_environment(write, ask, row, definition).await,
            None => self.create_environment(write, ask, &project, key, definition).await,
        }
    }

    async fn change_environment(
        &self,
        mut write: Write<'_>,
        ask: &Ask,
        before: EnvironmentRow,
        definition: EnvironmentDefinition,
    ) -> Result<Done<EnvironmentRow>, Error> {
        ask.matches(before.version)?;
        let settings = definition.settings.unwrap_or_else(|| Settings::of(&before));
        let mut after = before.clone();
        after.name = definition.name.unwrap_or(after.name);
        after.protected = definition.protected.unwrap_or(after.protected);
        after.options = serde_json::to_string(&settings).map_err(Error::internal)?;
        let unchanged = (&before.name, before.protected, Settings::of(&before)) == (&after.name, after.protected, settings);
        if unchanged {
            write.undo().await?;
        } else {
            if before.protected && ask.reason.is_none() {
                return Err(Error::invalid("/reason", "is missing: the environment is protected, so say why"));
            }
            if !write.tx.update_environment(&before, &after.name, after.protected, &after.options).await? {
                return Err(Error::conflict("", "somebody else changed it at this moment: read it again"));
            }
            after.version = after.version.saturating_add(1);
            write.audit(after.project, Some(after.id), "environment", &after.key, Some(audit_of(&after)));
            write.commit().await?;
            self.announce_settings(ask).await;
        }
        Ok(Done { before: Some(before), after, revision: None, changed: !unchanged, warnings: Vec::new() })
    }

    async fn create_environment(
        &self,
        mut write: Write<'_>,
        ask: &Ask,
        project: &ProjectRow,
        key: &str,
        definition: EnvironmentDefinition,
    ) -> Result<Done<EnvironmentRow>, Error> {
        ask.matches_nothing()?;
        let name = definition.name.unwrap_or_else(|| key.to_owned());
        // Production is what nobody wants to find out was not protected.
        let protected = definition.protected.unwrap_or(key == "production");
        let options = serde_json::to_string(&definition.settings.unwrap_or_default()).map_err(Error::internal)?;
        let new = NewEnvironment { project: project.id, key, name: &name, protected, options: &options, at: write.now };
        let id = write.tx.insert_environment(&new).await?;
        let flags = write.tx.list_live_flags(project.id).await?;
        // Where nothing is served yet there is no revision to make.
        if !flags.is_empty() {
            write.lock(id).await?;
        }
        let mut rows = Vec::with_capacity(flags.len());
        for flag in &flags {
            let item = encode(&born(flag)?)?;
            write.put(id, ItemKind::Flag, &flag.key, None, Some(item.clone()))?;
            rows.push(TargetingRow {
                environment: id,
                flag: flag.id,
                key: flag.key.clone(),
                version: 1,
                item,
                updated_at: write.now,
                updated_by: ask.caller.subject.clone(),
            });
        }
        write.tx.insert_targetings(&rows).await?;
        write.settle().await?;
        let rows = write.tx.list_environments(project.id).await?;
        let after = rows.into_iter().find(|row| row.id == id).ok_or_else(|| Error::internal("a new environment is not there"))?;
        write.audit(project.id, Some(id), "environment", key, Some(audit_of(&after)));
        let revision = write.commit().await?;
        self.announce_settings(ask).await;
        Ok(Done { before: None, after, revision, changed: true, warnings: Vec::new() })
    }

    /// Keys, settings or environments changed here: this node has read them again when the writer is answered, the
    /// others within a second.
    pub(super) async fn announce_settings(&self, ask: &Ask) {
        if !ask.dry_run {
            self.hub.refreshed().await;
        }
    }
}

fn audit_of(row: &EnvironmentRow) -> String {
    serde_json::json!({"name": row.name, "protected": row.protected, "settings": Settings::of(row)}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_times_as_much_is_exactly_that_for_every_percentage() {
        let settings = Settings::default();
        let of = |millionths| Percentage::from_millionths(millionths).unwrap();
        for from in 1..100_000 {
            assert!(settings.allow(of(from), of(from * 10)), "{from} millionths");
            assert!(!settings.allow(of(from), of(from * 10 + 1)), "{from} millionths");
        }
        for (from, to, allowed) in [(0, 10_000, true), (0, 10_001, false), (500_000, 1_000_000, true), (1_000_000, 0, true)] {
            assert_eq!(settings.allow(of(from), of(to)), allowed, "from {from} to {to}");
        }
    }
}
