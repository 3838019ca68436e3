//! Targetings: who gets which variant in one environment. Everything that changes one goes through [`App::change`].

use std::collections::BTreeMap;

use storyflag_evaluation::{Condition, Fault, FlagItem, ItemKind, Operator, Percentage, Prerequisite, Rollout, Rule, Test, check_flag};

use super::{
    App, Ask, Done, Place,
    environments::Settings,
    exposure::{exposure, is_safe},
    freezes,
    items::{Understood, encode, not_understood, refuse, understand, with_killed},
    references,
    releases::{Edit, Owning, owned_changed},
    write::Write,
};
use crate::{
    auth::Right,
    error::Error,
    store::{EnvironmentRow, TargetingRow},
};

const MOST_OVERRIDES: usize = 1_000;
const MOST_RULES: usize = 200;
/// Conditions of one rule, values of one list: what an evaluation may have to walk through.
const MOST_CONDITIONS: usize = 50;
const MOST_PREREQUISITES: usize = 50;
/// Each may take 256 KiB once compiled, at every node and in every application.
pub(super) const MOST_PATTERNS: usize = 20;

/// A targeting as it stands.
#[derive(Debug, Clone)]
pub struct TargetingState {
    /// Its row.
    pub row: TargetingRow,
    /// What its wire text says.
    pub item: FlagItem,
    /// Why `item` is not all that the text says: a newer version of the service wrote it.
    pub unsupported: Option<String>,
}

/// What a PUT of a whole targeting says. What is missing is as at a flag's birth.
#[derive(Debug, Clone)]
pub struct TargetingDefinition {
    /// False: everybody gets `off`.
    pub enabled: bool,
    /// The attribute whose value is hashed.
    pub unit: String,
    /// The variant of who is not in; the one that stands unless given.
    pub off: Option<String>,
    /// All must be met.
    pub prerequisites: Vec<Prerequisite>,
    /// Unit to variant.
    pub overrides: BTreeMap<String, String>,
    /// In order.
    pub rules: Vec<Rule>,
    /// What decides when nothing before it did; the one that stands unless given.
    pub rollout: Option<Rollout>,
    /// As a GET told it: accepted where it is so.
    pub killed: Option<bool>,
    /// The same.
    pub revision: Option<i64>,
}

impl TargetingState {
    fn of(row: TargetingRow) -> Result<Self, Error> {
        let Understood { item, unsupported } = understand(&row.item)?;
        Ok(Self { row, item, unsupported })
    }

    /// The text of a change. One that only kills or revives keeps all else of it, understood or not.
    fn text_of(&self, item: &FlagItem) -> Result<String, Error> {
        if *item == self.item {
            Ok(self.row.item.clone())
        } else if (FlagItem { killed: self.item.killed, ..item.clone() }) == self.item {
            with_killed(&self.row.item, item.killed)
        } else {
            encode(item)
        }
    }
}

impl App {
    /// Up to `limit` targetings of an environment with keys after `after`.
    ///
    /// # Errors
    /// The database away.
    pub async fn list_targetings(&self, place: &Place, after: &str, limit: i64) -> Result<Vec<TargetingState>, Error> {
        let rows = self.store.list_targetings(place.environment.id, after, limit).await?;
        rows.into_iter().map(TargetingState::of).collect()
    }

    /// A flag's targeting, and the revision that made it.
    ///
    /// # Errors
    /// 404; the database away.
    pub async fn find_targeting(&self, place: &Place, flag: &str) -> Result<(TargetingState, i64), Error> {
        let row = self.store.find_targeting(place.environment.id, flag).await?;
        let state = TargetingState::of(row.ok_or_else(|| Error::no_such("flag", flag))?)?;
        Ok((state, self.made_at(place.environment.id, flag).await?))
    }

    /// The revision that made a flag's targeting what it is.
    async fn made_at(&self, environment: i64, flag: &str) -> Result<i64, Error> {
        let last = self.store.history(environment, ItemKind::Flag.name(), flag, i64::MAX, 1).await?;
        Ok(last.first().and_then(|change| change.revision).unwrap_or_default())
    }

    /// Replaces a whole targeting, but for the kill.
    ///
    /// # Errors
    /// 403, 404, 409, 412, 422; the database away.
    pub async fn put_targeting(
        &self,
        ask: &Ask,
        place: &Place,
        flag: &str,
        definition: TargetingDefinition,
    ) -> Result<Done<TargetingState>, Error> {
        let made_at = match definition.revision {
            Some(_) => Some(self.made_at(place.environment.id, flag).await?),
            None => None,
        };
        self.change(ask, place, flag, Edit::Whole, |state| {
            told_as_it_is(state, &definition, made_at)?;
            let item = &state.item;
            Ok(FlagItem {
                enabled: definition.enabled,
                unit: definition.unit,
                off: definition.off.unwrap_or_else(|| item.off.clone()),
                prerequisites: definition.prerequisites,
                overrides: definition.overrides,
                rules: definition.rules,
                rollout: definition.rollout.unwrap_or_else(|| item.rollout.clone()),
                ..item.clone()
            })
        })
        .await
    }

    /// Changes a targeting: the right, the reason and the bounds are those of what the change turns out to be. What this
    /// version does not understand it does not change.
    pub(super) async fn change(
        &self,
        ask: &Ask,
        place: &Place,
        flag: &str,
        kind: Edit,
        edit: impl FnOnce(&TargetingState) -> Result<FlagItem, Error>,
    ) -> Result<Done<TargetingState>, Error> {
        // Who may not even lower does not get as far as the lock.
        ask.caller.may(Right::Lower, &place.project.key, &place.environment)?;
        let write = Write::begin(self, ask).await?;
        let edit = |state: &TargetingState| match &state.unsupported {
            None => edit(state),
            Some(why) => Err(not_understood(why)),
        };
        self.change_within(write, ask, place, flag, kind, edit).await
    }

    /// The same of any targeting, in a write that has begun.
    pub(super) async fn change_within(
        &self,
        mut write: Write<'_>,
        ask: &Ask,
        place: &Place,
        flag: &str,
        kind: Edit,
        edit: impl FnOnce(&TargetingState) -> Result<FlagItem, Error>,
    ) -> Result<Done<TargetingState>, Error> {
        let environment = write.lock(place.environment.id).await?;
        let row = write.tx.find_targeting(environment.id, flag).await?;
        let before = TargetingState::of(row.ok_or_else(|| Error::no_such("flag", flag))?)?;
        ask.matches(before.row.version)?;
        let mut item = edit(&before)?;
        // A write that raised the incarnation is made even where it changes nothing: the same kill again must reach SDKs
        // that hold more than a database that went back.
        let raised = environment.incarnation != place.environment.incarnation;
        if item == before.item && !raised {
            write.undo().await?;
            let revision = Some(self.made_at(environment.id, flag).await?);
            let warnings = warnings(&before);
            return Ok(Done { before: Some(before.clone()), after: before, revision, changed: false, warnings });
        }
        if before.item.killed && item.killed && item.off != before.item.off {
            return Err(Error::conflict("/off", "is what everybody gets while the flag is killed: revive it first"));
        }
        let is_safe = is_safe(&before.item, &item);
        let owning = Owning::find(&mut write, environment.id, &before.item).await?;
        if let Some(owning) = &owning {
            owning.allows(ask, &place.project.key, &environment, kind, (&before.item, &item), is_safe)?;
        }
        if !is_safe {
            self.check_forward(&mut write, ask, place, &environment, &before.item, &item).await?;
            freezes::refuse_raise(&mut write.tx, ask, place, &environment, (&before.item, &item), write.now).await?;
        }
        note_new_rollout(&before.item, &mut item, environment.identity().revision);
        let text = before.text_of(&item)?;
        write.put(environment.id, ItemKind::Flag, flag, Some(&before.row.item), Some(text.clone()))?;
        let subject = &ask.caller.subject;
        let version = write.tx.update_targeting(environment.id, flag, &text, write.now, subject).await?;
        let row = TargetingRow { version, item: text, updated_at: write.now, updated_by: subject.clone(), ..before.row.clone() };
        let superseded = match owning {
            Some(owning) => owning.supersede(&mut write, place, &before.item, &item).await?,
            None => Vec::new(),
        };
        let revision = write.commit().await?;
        let after = TargetingState { row, item, unsupported: before.unsupported.clone() };
        let warnings = superseded.into_iter().chain(warnings(&after)).collect();
        Ok(Done { before: Some(before), after, revision, changed: true, warnings })
    }

    /// What a change that is not safe needs: the right, the reason, bounds, and that all of it fits together.
    async fn check_forward(
        &self,
        write: &mut Write<'_>,
        ask: &Ask,
        place: &Place,
        environment: &EnvironmentRow,
        before: &FlagItem,
        after: &FlagItem,
    ) -> Result<(), Error> {
        let mut faults = may_go_forward(ask, &place.project.key, environment, before, after)?;
        let bounds = check_bounds(after);
        let within = bounds.is_empty();
        faults.extend(bounds);
        faults.extend(missing_unit(after));
        // What is out of bounds is not looked into any further: that would be work without bound.
        if within {
            faults.extend(check_flag(after));
            faults.extend(references::check(&mut write.tx, environment.id, before, after).await?);
        }
        refuse(faults)
    }
}

/// What is counted under another rollout is counted anew; and only releases say what is watched.
fn note_new_rollout(before: &FlagItem, after: &mut FlagItem, revision: u64) {
    after.watch.clone_from(&before.watch);
    let is_new = owned_changed(before, after);
    if let Some(watch) = after.watch.as_mut().filter(|_| is_new) {
        watch.rollout_revision = revision;
    }
}

/// What a GET told may be PUT back; what is not so any more, or is not for a PUT to change, is named.
fn told_as_it_is(state: &TargetingState, told: &TargetingDefinition, made_at: Option<i64>) -> Result<(), Error> {
    let mut faults = Vec::new();
    if told.killed.is_some_and(|killed| killed != state.item.killed) {
        let (word, path) = if state.item.killed { ("killed", "/revive") } else { ("not killed", "/kill") };
        let detail = format!("it is {word}, and a PUT does not change that: POST {path}");
        faults.push(Fault { pointer: "/killed".to_owned(), detail });
    }
    if let (Some(revision), Some(made_at)) = (told.revision, made_at)
        && revision != made_at
    {
        let detail = format!("is {revision}, but revision {made_at} made what stands: read it again");
        faults.push(Fault { pointer: "/revision".to_owned(), detail });
    }
    refuse(faults)
}

/// Who may not is told so alone; what else a protected environment wants is a fault among the others.
fn may_go_forward(
    ask: &Ask,
    project: &str,
    environment: &EnvironmentRow,
    before: &FlagItem,
    after: &FlagItem,
) -> Result<Vec<Fault>, Error> {
    let right = if before.killed && !after.killed { Right::Advance } else { Right::Change };
    ask.caller.may(right, project, environment)?;
    let mut faults: Vec<Fault> = missing_reason(ask, environment).into_iter().collect();
    let (from, to) = (exposure(before, &before.off), exposure(after, &before.off));
    let settings = Settings::of(environment);
    if !environment.protected || ask.force || settings.allow(from, to) {
        return Ok(faults);
    }
    let allowed = if from == Percentage::ZERO {
        format!("at most {} % from 0", settings.max_first_percentage)
    } else {
        format!("at most {} times as much", settings.max_factor)
    };
    let detail = format!("goes from {from} to {to}; one change in a protected environment goes {allowed}, unless \"force\": true says so");
    faults.push(Fault { pointer: "/rollout/percentage".to_owned(), detail });
    Ok(faults)
}

/// # Errors
/// 422 where the environment wants a reason and there is none.
pub(super) fn reason_given(ask: &Ask, environment: &EnvironmentRow) -> Result<(), Error> {
    refuse(missing_reason(ask, environment).into_iter().collect())
}

fn missing_reason(ask: &Ask, environment: &EnvironmentRow) -> Option<Fault> {
    if !environment.protected || ask.reason.is_some() || !Settings::of(environment).reason_required {
        return None;
    }
    let detail = format!("is missing: environment {:?} is protected, so say why", environment.key);
    Some(Fault { pointer: "/reason".to_owned(), detail })
}

fn warnings(state: &TargetingState) -> Vec<String> {
    let mut warnings = Vec::new();
    if state.item.killed {
        warnings.push("killed here: nobody is served until it is revived".to_owned());
    } else if !state.item.enabled {
        warnings.push("not enabled here: nobody is served".to_owned());
    }
    if let Some(why) = &state.unsupported {
        warnings.push(format!("a newer version of the service wrote it, and not all of it is told here: {why}"));
    }
    warnings
}

/// Whether a condition is a regular expression.
pub(super) fn has_pattern(condition: &Condition) -> bool {
    matches!(condition.test, Test::Attribute(_, Operator::Matches(_)))
}

fn check_bounds(item: &FlagItem) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut at_most = |pointer: &str, what: &str, count: usize, most: usize| {
        if count > most {
            faults.push(Fault { pointer: pointer.to_owned(), detail: format!("has {count} {what}; at most {most}") });
        }
    };
    at_most("/overrides", "overrides", item.overrides.len(), MOST_OVERRIDES);
    at_most("/rules", "rules", item.rules.len(), MOST_RULES);
    at_most("/prerequisites", "prerequisites", item.prerequisites.len(), MOST_PREREQUISITES);
    at_most("/rollout/cohorts", "cohorts", item.rollout.cohorts.len(), MOST_CONDITIONS);
    for (index, rule) in item.rules.iter().enumerate() {
        at_most(&format!("/rules/{index}/if"), "conditions", rule.conditions.len(), MOST_CONDITIONS);
    }
    let patterns = item.rules.iter().flat_map(|rule| &rule.conditions).filter(|condition| has_pattern(condition)).count();
    at_most("/rules", "regular expressions", patterns, MOST_PATTERNS);
    faults
}

fn missing_unit(item: &FlagItem) -> Option<Fault> {
    let detail = || "is empty; the targeting key is \"targetingKey\"".to_owned();
    item.unit.is_empty().then(|| Fault { pointer: "/unit".to_owned(), detail: detail() })
}
