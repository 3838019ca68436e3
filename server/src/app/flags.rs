//! Flags: what is the same in every environment.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use storyflag_evaluation::{Fault, FlagItem, ItemKind, check_flag};

use super::{
    App, Ask, Done, FlagDefinition, FlagPatch, check_key,
    exposure::serves_only_off,
    flag_definition::{audit_of, row_of, same_content, tags_of},
    items::{Understood, born, decode, encode, refuse, understand, variants_of},
    references,
    releases::refuse_while_live,
    write::Write,
};
use crate::{
    auth::{Right, Role},
    error::Error,
    store::{EnvironmentRow, FlagFilter, FlagRow, ProjectRow, TargetingRow},
};

/// A flag that was asked for within so many milliseconds is in use.
const IN_USE_MS: i64 = 24 * 3600 * 1000;

impl App {
    /// Flags in key order.
    ///
    /// # Errors
    /// 404; the database away.
    pub async fn list_flags(&self, project: &str, filter: &FlagFilter) -> Result<Vec<FlagRow>, Error> {
        let project = self.project(project).await?;
        Ok(self.store.list_flags(project.id, filter).await?)
    }

    /// The flag with this key, archived or not.
    ///
    /// # Errors
    /// 404; the database away.
    pub async fn find_flag(&self, project: &str, key: &str) -> Result<FlagRow, Error> {
        let project = self.project(project).await?;
        match self.store.find_flag(project.id, key).await? {
            Some(row) => Ok(row),
            None => Err(self.or_near_in(Error::no_such("flag", key), &project, key).await),
        }
    }

    /// Creates a flag, which is born in every environment, enabled and at 0 %. The same again changes nothing; another
    /// content replaces it only where `If-Match` says which version.
    ///
    /// # Errors
    /// 403, 404, 409, 412, 422; the database away.
    pub async fn put_flag(&self, ask: &Ask, project: &str, key: &str, definition: FlagDefinition) -> Result<Done<FlagRow>, Error> {
        check_key("/flag", "flag", key)?;
        ask.caller.may_in_project(Right::Change, project)?;
        let project = self.project(project).await?;
        let mut write = Write::begin(self, ask).await?;
        write.tx.lock_project(project.id).await?;
        let before = write.tx.find_flag(project.id, key).await?;
        before.as_ref().map_or(Ok(()), refuse_tombstone)?;
        let wanted = row_of(&project, key, definition, before.as_ref(), write.now)?;
        match before {
            None => {
                ask.matches_nothing()?;
                self.create_flag(write, ask, wanted).await
            }
            Some(before) => {
                if ask.if_match.is_none() && !same_content(&before, &wanted) {
                    let version = before.version;
                    return Err(Error::Conflict(
                        format!("flag {key:?} is there with another content: PATCH it, or send If-Match: \"{version}\" to replace it"),
                        None,
                    ));
                }
                self.update_flag(write, ask, &project, before, wanted).await
            }
        }
    }

    /// Changes parts of a flag.
    ///
    /// # Errors
    /// 403, 404, 409, 412, 422; the database away.
    pub async fn patch_flag(&self, ask: &Ask, project: &str, key: &str, patch: FlagPatch) -> Result<Done<FlagRow>, Error> {
        ask.caller.may_in_project(Right::Change, project)?;
        let project = self.project(project).await?;
        let mut write = Write::begin(self, ask).await?;
        write.tx.lock_project(project.id).await?;
        let before = write.tx.find_flag(project.id, key).await?.ok_or_else(|| Error::no_such("flag", key))?;
        refuse_tombstone(&before)?;
        let definition = FlagDefinition {
            story: patch.story.unwrap_or_else(|| before.story.clone()),
            description: patch.description.unwrap_or_else(|| before.description.clone()),
            variants: Some(patch.variants.map_or_else(|| variants_of(&before), Ok)?),
            off: Some(patch.off.unwrap_or_else(|| before.off.clone())),
            serve: Some(patch.serve.unwrap_or_else(|| before.serve.clone())),
            tags: patch.tags.unwrap_or_else(|| tags_of(&before)),
            owner: patch.owner.unwrap_or_else(|| before.owner.clone()),
            seed: None,
            client: patch.client.unwrap_or(before.client),
        };
        let wanted = row_of(&project, key, definition, Some(&before), write.now)?;
        self.update_flag(write, ask, &project, before, wanted).await
    }

    /// Archives a flag: it is gone everywhere, and its key is never used again.
    ///
    /// # Errors
    /// 403, 404, 409, 412, 422; the database away.
    pub async fn archive_flag(&self, ask: &Ask, project: &str, key: &str) -> Result<Done<FlagRow>, Error> {
        ask.caller.may_in_project(Right::Change, project)?;
        let project = self.project(project).await?;
        let mut write = Write::begin(self, ask).await?;
        write.tx.lock_project(project.id).await?;
        let before = write.tx.find_flag(project.id, key).await?.ok_or_else(|| Error::no_such("flag", key))?;
        if before.archived_at.is_some() {
            write.undo().await?;
            return Ok(Done { before: Some(before.clone()), after: before, revision: None, changed: false, warnings: Vec::new() });
        }
        ask.matches(before.version)?;
        for environment in write.tx.list_environments(project.id).await? {
            let environment = write.lock(environment.id).await?;
            // It is gone from every environment, for ever: who is here for some of them only may not.
            ask.caller.reaches(&project.key, &environment.key)?;
            let Some(targeting) = write.tx.find_targeting(environment.id, key).await? else { continue };
            refuse_while_live(&mut write, &environment, key, "a flag that is released is not archived").await?;
            self.may_archive(&mut write, ask, &project, &environment, &targeting).await?;
            write.tx.delete_targeting(environment.id, key).await?;
            write.put(environment.id, ItemKind::Flag, key, Some(&targeting.item), None)?;
        }
        if !write.tx.archive_flag(&before, write.now).await? {
            return Err(Error::conflict("", "somebody else changed it at this moment: read it again"));
        }
        let after =
            FlagRow { archived_at: Some(write.now), updated_at: write.now, version: before.version.saturating_add(1), ..before.clone() };
        write.audit(project.id, None, "flag_definition", key, None);
        write.commit().await?;
        Ok(Done { before: Some(before), after, revision: None, changed: true, warnings: Vec::new() })
    }

    async fn may_archive(
        &self,
        write: &mut Write<'_>,
        ask: &Ask,
        project: &ProjectRow,
        environment: &EnvironmentRow,
        targeting: &TargetingRow,
    ) -> Result<(), Error> {
        let key = &targeting.key;
        let Understood { item, unsupported } = understand(&targeting.item)?;
        // What is not understood may serve anything.
        let only_off = unsupported.is_none() && serves_only_off(&item);
        may_touch(ask, project, environment, only_off)?;
        let named_by = references::flags_that_name_flag(&mut write.tx, environment.id, key).await?;
        if !named_by.is_empty() {
            return Err(Error::Conflict(
                format!("in environment {:?} it is a prerequisite of {}: change those first", environment.key, named_by.join(", ")),
                None,
            ));
        }
        let serves = environment.protected && !only_off;
        let last_asked = self.store.last_asked(environment.id, key).await?;
        let in_use = last_asked.is_some_and(|at| write.now.saturating_sub(at) < IN_USE_MS);
        if !serves && !in_use {
            return Ok(());
        }
        let environment = &environment.key;
        let why = if serves {
            format!("it still serves something in the protected environment {environment:?}")
        } else {
            format!("an application asked for it in environment {environment:?} within the last day")
        };
        if !ask.force {
            return Err(Error::Conflict(format!("{why}: force=true archives it all the same, and takes an admin"), None));
        }
        if ask.caller.role < Role::Admin {
            return Err(Error::Forbidden(format!("{why}, so archiving it takes an admin")));
        }
        Ok(())
    }

    async fn create_flag(&self, mut write: Write<'_>, ask: &Ask, wanted: FlagRow) -> Result<Done<FlagRow>, Error> {
        let item = born(&wanted)?;
        let id = write.tx.insert_flag(&wanted).await?;
        let text = encode(&item)?;
        for environment in write.tx.list_environments(wanted.project).await? {
            write.lock(environment.id).await?;
            let row = TargetingRow {
                environment: environment.id,
                flag: id,
                key: wanted.key.clone(),
                version: 1,
                item: text.clone(),
                updated_at: write.now,
                updated_by: ask.caller.subject.clone(),
            };
            write.tx.insert_targeting(&row).await?;
            write.put(environment.id, ItemKind::Flag, &wanted.key, None, Some(text.clone()))?;
        }
        write.audit(wanted.project, None, "flag_definition", &wanted.key, Some(audit_of(&wanted)));
        write.commit().await?;
        Ok(Done { before: None, after: FlagRow { id, ..wanted }, revision: None, changed: true, warnings: Vec::new() })
    }

    async fn update_flag(
        &self,
        mut write: Write<'_>,
        ask: &Ask,
        project: &ProjectRow,
        before: FlagRow,
        wanted: FlagRow,
    ) -> Result<Done<FlagRow>, Error> {
        ask.matches(before.version)?;
        if same_content(&before, &wanted) {
            write.undo().await?;
            return Ok(Done { before: Some(before.clone()), after: before, revision: None, changed: false, warnings: Vec::new() });
        }
        let variants = variants_of(&wanted)?;
        if variants_of(&before)? != variants || before.client != wanted.client {
            let gone: BTreeSet<String> = variants_of(&before)?.into_keys().filter(|name| !variants.contains_key(name)).collect();
            for environment in write.tx.list_environments(project.id).await? {
                let environment = write.lock(environment.id).await?;
                redefine(&mut write, ask, project, &environment, &wanted, &variants, &gone).await?;
            }
        }
        if !write.tx.update_flag(&wanted).await? {
            return Err(Error::conflict("", "somebody else changed it at this moment: read it again"));
        }
        write.audit(project.id, None, "flag_definition", &wanted.key, Some(audit_of(&wanted)));
        write.commit().await?;
        let after = FlagRow { version: wanted.version.saturating_add(1), ..wanted };
        Ok(Done { before: Some(before), after, revision: None, changed: true, warnings: Vec::new() })
    }
}

/// Gives a flag's targeting in one environment its new variants.
async fn redefine(
    write: &mut Write<'_>,
    ask: &Ask,
    project: &ProjectRow,
    environment: &EnvironmentRow,
    wanted: &FlagRow,
    variants: &BTreeMap<String, Value>,
    gone: &BTreeSet<String>,
) -> Result<(), Error> {
    let targeting = write.tx.find_targeting(environment.id, &wanted.key).await?;
    let targeting = targeting.ok_or_else(|| Error::internal("a live flag without a targeting"))?;
    let mut item = decode(&targeting.item)?;
    if item.variants != *variants {
        refuse_while_live(write, environment, &wanted.key, "the variants of a flag that is released do not change").await?;
    }
    if item.variants.get(&item.off) == variants.get(&item.off) {
        may_touch(ask, project, environment, serves_only_off(&item))?;
    } else {
        may_change_off(ask, project, environment, &item)?;
    }
    item.variants = variants.clone();
    item.client = wanted.client.then_some(true);
    let in_environment = |fault: Fault| Fault { detail: format!("in environment {:?}: {}", environment.key, fault.detail), ..fault };
    refuse(check_flag(&item).into_iter().map(in_environment).collect())?;
    if !gone.is_empty() {
        let named_by = references::flags_that_need_variants(&mut write.tx, environment.id, &wanted.key, gone).await?;
        if !named_by.is_empty() {
            let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
            let detail = format!("{} is what {} in environment {:?} needs", gone.join(", "), named_by.join(", "), environment.key);
            return Err(Error::conflict("/variants", detail));
        }
    }
    let text = encode(&item)?;
    if text == targeting.item {
        return Err(Error::internal("new variants that change nothing"));
    }
    write.put(environment.id, ItemKind::Flag, &wanted.key, Some(&targeting.item), Some(text.clone()))?;
    write.tx.update_targeting(environment.id, &wanted.key, &text, write.now, &ask.caller.subject).await?;
    Ok(())
}

/// A flag-level write needs the right, and the reason, of every environment in which the flag may serve anything but off.
fn may_touch(ask: &Ask, project: &ProjectRow, environment: &EnvironmentRow, only_off: bool) -> Result<(), Error> {
    if only_off {
        return Ok(());
    }
    ask.caller.may(Right::Change, &project.key, environment)?;
    super::targetings::reason_given(ask, environment)
}

/// What the off variant stands for is what everybody gets who is out, and everybody while the flag is killed.
fn may_change_off(ask: &Ask, project: &ProjectRow, environment: &EnvironmentRow, item: &FlagItem) -> Result<(), Error> {
    ask.caller.may(Right::Change, &project.key, environment)?;
    super::targetings::reason_given(ask, environment)?;
    let (place, off) = (&environment.key, &item.off);
    if item.killed {
        let detail =
            format!("changes {off:?}, which everybody gets in environment {place:?} while the flag is killed there: revive it first");
        return Err(Error::conflict("/variants", detail));
    }
    if environment.protected && !ask.force {
        let detail =
            format!("changes {off:?}, which everybody who is out gets in the protected environment {place:?}, unless force=true says so");
        return Err(Error::invalid("/variants", detail));
    }
    Ok(())
}

fn refuse_tombstone(row: &FlagRow) -> Result<(), Error> {
    match row.archived_at {
        None => Ok(()),
        Some(_) => Err(Error::Conflict(format!("flag {:?} was archived, and keys are never used again: choose another", row.key), None)),
    }
}
