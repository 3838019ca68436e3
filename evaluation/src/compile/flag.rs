//! Flags with everything resolved that can be before a context is known.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    cohort::CohortNames,
    condition::{AttributeNames, CompiledCondition, compile},
};
use crate::{
    answer::{Arm, EvaluationError, Outcome, Reason},
    bucket::{flag_seed, split_seed},
    context::UnitName,
    identity::{ItemKind, item_hash},
    model::{FlagItem, Rollout, Serve, Watch},
    percentage::Percentage,
    value::Value,
};

/// One flag, ready to be asked.
#[derive(Debug, Clone)]
pub(crate) struct Flag {
    pub(crate) key: Box<str>,
    /// How it is answered.
    pub(crate) plan: Plan,
    pub(crate) variants: Arc<[Variant]>,
    /// Counters of the application's use start here, one a variant.
    pub(crate) slot: u32,
    pub(crate) off: u16,
    /// Killed by its item; a local kill is laid over it.
    pub(crate) killed: bool,
    pub(crate) unit: UnitName,
    pub(crate) rollout: CompiledRollout,
    pub(crate) targeting: Option<Box<CompiledTargeting>>,
    /// Of its wire text.
    pub(crate) hash: u64,
    pub(crate) watch: Option<Box<Watch>>,
    pub(crate) unsupported: Option<Box<str>>,
}

/// A named value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Variant {
    pub(crate) name: Box<str>,
    pub(crate) value: Value,
}

/// The shortest way to the answer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Plan {
    /// The same for everybody.
    Fixed(Outcome),
    /// One percentage, one variant for who is in, nothing else: one hash.
    Bucket,
    /// Everything has to be looked at.
    Full,
}

#[derive(Debug, Clone)]
pub(crate) struct CompiledRollout {
    pub(crate) seed: u64,
    pub(crate) below: u32,
    pub(crate) otherwise: u16,
    pub(crate) serve: CompiledServe,
}

#[derive(Debug, Clone)]
pub(crate) enum CompiledServe {
    One(u16),
    /// (first bucket that is not in it, variant), ascending.
    Split(Box<[(u32, u16)]>),
}

/// What only some targetings have.
#[derive(Debug, Clone)]
pub(crate) struct CompiledTargeting {
    pub(crate) split_seed: u64,
    pub(crate) prerequisites: Box<[CompiledPrerequisite]>,
    pub(crate) overrides: BTreeMap<Box<str>, u16>,
    pub(crate) attributes: Box<[Box<str>]>,
    pub(crate) rules: Box<[CompiledRule]>,
    pub(crate) cohorts: Box<[u32]>,
    /// Every cohort that the targeting names, in rules too.
    pub(crate) names_cohorts: Box<[u32]>,
}

#[derive(Debug, Clone)]
pub(crate) struct CompiledPrerequisite {
    pub(crate) flag: Box<str>,
    pub(crate) variants: Box<[Box<str>]>,
}

#[derive(Debug, Clone)]
pub(crate) struct CompiledRule {
    pub(crate) id: Box<str>,
    pub(crate) conditions: Box<[CompiledCondition]>,
    pub(crate) serve: CompiledServe,
}

/// What a compile shares between flags: cohort places, and the few sets of variants that most flags have in common.
pub(crate) struct Workshop<'a> {
    pub(crate) cohorts: &'a mut CohortNames,
    pub(crate) recent: Vec<Arc<[Variant]>>,
}

impl Flag {
    /// The flag of a wire text. An item without a readable key cannot be asked for and is left out.
    pub(crate) fn compile(text: &str, workshop: &mut Workshop<'_>) -> Option<Self> {
        let hash = item_hash(ItemKind::Flag, text);
        let compiled =
            serde_json::from_str::<FlagItem>(text).map_err(|error| error.to_string()).and_then(|item| Self::of_item(item, hash, workshop));
        compiled.map_or_else(|why| Self::of_envelope(text, hash, &why), Some)
    }

    fn of_item(item: FlagItem, hash: u64, workshop: &mut Workshop<'_>) -> Result<Self, String> {
        let variants = workshop.variants(item.variants)?;
        let off = index_of(&variants, &item.off)?;
        let mut targeting = CompiledTargeting {
            split_seed: split_seed(&item.seed),
            prerequisites: item
                .prerequisites
                .into_iter()
                .map(|one| CompiledPrerequisite { flag: one.flag.into(), variants: one.variants.into_iter().map(Into::into).collect() })
                .collect(),
            overrides: item
                .overrides
                .into_iter()
                .map(|(unit, variant)| Ok((unit.into(), index_of(&variants, &variant)?)))
                .collect::<Result<_, String>>()?,
            attributes: [].into(),
            rules: [].into(),
            cohorts: item.rollout.cohorts.iter().map(|key| workshop.cohorts.place(key)).collect(),
            names_cohorts: [].into(),
        };
        let mut names = AttributeNames::default();
        let rules = item.rules.iter().map(|rule| {
            let conditions = compile(&rule.conditions, &mut names, Some(workshop.cohorts))?;
            Ok(CompiledRule { id: rule.id.as_str().into(), conditions, serve: compile_serve(&rule.serve, &variants)? })
        });
        targeting.rules = rules.collect::<Result<_, String>>()?;
        targeting.attributes = names.into_boxed();
        targeting.names_cohorts = targeting.named_cohorts();
        let rollout = compile_rollout(&item.rollout, &item.seed, off, &variants)?;
        let bare = targeting.is_bare() && matches!(rollout.serve, CompiledServe::One(_));
        let mut flag = Self {
            key: item.key.into(),
            plan: Plan::Full,
            slot: 0,
            off,
            killed: item.killed,
            unit: UnitName::new(&item.unit),
            rollout,
            targeting: (!bare).then(|| Box::new(targeting)),
            hash,
            watch: item.watch.map(Box::new),
            unsupported: None,
            variants,
        };
        flag.plan = flag.plan(item.enabled);
        Ok(flag)
    }

    fn plan(&self, enabled: bool) -> Plan {
        if self.killed || !enabled {
            return Plan::Fixed(Outcome::disabled(self.off));
        }
        match (&self.targeting, &self.rollout.serve, self.rollout.below) {
            (None, CompiledServe::One(_), 0) => Plan::Fixed(Outcome::served(self.rollout.otherwise, Reason::Static, Arm::Control)),
            (None, CompiledServe::One(variant), below) if below == Percentage::ALL.millionths() => {
                Plan::Fixed(Outcome::served(*variant, Reason::Static, Arm::Treatment))
            }
            (None, ..) => Plan::Bucket,
            _ => Plan::Full,
        }
    }

    /// What every version understands of a flag, so that a kill still reaches it.
    fn of_envelope(text: &str, hash: u64, why: &str) -> Option<Self> {
        #[derive(serde::Deserialize)]
        struct Key {
            key: Box<str>,
        }
        #[derive(serde::Deserialize)]
        struct Envelope {
            killed: bool,
            off: String,
            variants: BTreeMap<String, serde_json::Value>,
        }
        let Key { key } = serde_json::from_str(text).ok()?;
        let envelope = serde_json::from_str::<Envelope>(text).ok();
        let variants: Arc<[Variant]> = envelope
            .iter()
            .flat_map(|envelope| &envelope.variants)
            .filter_map(|(name, json)| Some(Variant { name: name.as_str().into(), value: Value::from_json(json.clone())? }))
            .collect();
        let off = envelope.as_ref().and_then(|envelope| index_of(&variants, &envelope.off).ok());
        let killed = envelope.is_some_and(|envelope| envelope.killed);
        let plan = match off {
            Some(off) if killed => Plan::Fixed(Outcome::disabled(off)),
            _ => Plan::Fixed(Outcome::error(EvaluationError::ParseError)),
        };
        let rollout = CompiledRollout { seed: 0, below: 0, otherwise: 0, serve: CompiledServe::One(0) };
        let unit = UnitName::TargetingKey;
        let off = off.unwrap_or(Outcome::NO_VARIANT);
        Some(Self {
            key,
            plan,
            variants,
            slot: 0,
            off,
            killed,
            unit,
            rollout,
            targeting: None,
            hash,
            watch: None,
            unsupported: Some(why.into()),
        })
    }

    /// The answer of the flag while it is killed: its off variant, if anything is known of that.
    pub(crate) fn when_killed(&self) -> Outcome {
        if self.off == Outcome::NO_VARIANT { Outcome::error(EvaluationError::ParseError) } else { Outcome::disabled(self.off) }
    }
}

impl CompiledTargeting {
    /// Whether there is nothing but a percentage.
    pub(crate) fn is_bare(&self) -> bool {
        self.prerequisites.is_empty() && self.overrides.is_empty() && self.rules.is_empty() && self.cohorts.is_empty()
    }

    fn named_cohorts(&self) -> Box<[u32]> {
        let in_rules = self.rules.iter().flat_map(|rule| &rule.conditions).filter_map(|condition| match &condition.test {
            super::condition::CompiledTest::InCohort(place) => Some(*place),
            super::condition::CompiledTest::Attribute(..) => None,
        });
        self.cohorts.iter().copied().chain(in_rules).collect()
    }
}

impl Workshop<'_> {
    /// Variants of one type, shared with the last few flags that had the same.
    fn variants(&mut self, json: BTreeMap<String, serde_json::Value>) -> Result<Arc<[Variant]>, String> {
        if json.is_empty() || json.len() > usize::from(Outcome::NO_VARIANT) {
            return Err(format!("{} variants", json.len()));
        }
        let mut variants = Vec::with_capacity(json.len());
        for (name, json) in json {
            let value = Value::from_json(json).ok_or_else(|| format!("variant {name:?} is neither boolean, string, number nor object"))?;
            variants.push(Variant { name: name.into(), value });
        }
        if variants.windows(2).any(|pair| matches!(pair, [left, right] if left.value.kind() != right.value.kind())) {
            return Err("variants of mixed types".to_owned());
        }
        if let Some(known) = self.recent.iter().find(|known| known[..] == variants[..]) {
            return Ok(Arc::clone(known));
        }
        let variants: Arc<[Variant]> = variants.into();
        if self.recent.len() >= 8 {
            self.recent.remove(0);
        }
        self.recent.push(Arc::clone(&variants));
        Ok(variants)
    }
}

fn index_of(variants: &[Variant], name: &str) -> Result<u16, String> {
    let index = variants.iter().position(|variant| *variant.name == *name).ok_or_else(|| format!("no variant {name:?}"))?;
    u16::try_from(index).map_err(|_| "too many variants".to_owned())
}

fn compile_rollout(rollout: &Rollout, seed: &str, off: u16, variants: &[Variant]) -> Result<CompiledRollout, String> {
    let otherwise = rollout.otherwise.as_deref().map_or(Ok(off), |otherwise| index_of(variants, otherwise))?;
    Ok(CompiledRollout {
        seed: flag_seed(seed),
        below: rollout.millionths.millionths(),
        otherwise,
        serve: compile_serve(&rollout.serve, variants)?,
    })
}

fn compile_serve(serve: &Serve, variants: &[Variant]) -> Result<CompiledServe, String> {
    let weights = match serve {
        Serve::Variant(variant) => return Ok(CompiledServe::One(index_of(variants, variant)?)),
        Serve::Split(weights) => weights,
    };
    let mut end = 0_u32;
    let mut boundaries = Vec::with_capacity(weights.len());
    for weight in weights {
        end = end.saturating_add(weight.millionths.millionths());
        boundaries.push((end, index_of(variants, &weight.variant)?));
    }
    if end != Percentage::ALL.millionths() {
        return Err(format!("the weights sum to {} %, not to 100 %", f64::from(end) / 10_000.0));
    }
    Ok(CompiledServe::Split(boundaries.into()))
}
