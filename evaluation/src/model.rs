//! The wire form of what an environment serves: the JSON of a flag and of a cohort, as nodes deliver it.
//!
//! Unknown fields are ignored, since formats grow. An unknown operator is an error, which makes that one item unsupported.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{condition::Condition, percentage::Percentage};

/// A flag with its targeting in one environment. The first four fields are the envelope, understood by every version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlagItem {
    /// The flag's key.
    pub key: String,
    /// Set by a kill, cleared only by a person's revive: everybody gets `off`.
    pub killed: bool,
    /// The variant of who is not in.
    pub off: String,
    /// Name to value; all values have one type.
    pub variants: BTreeMap<String, serde_json::Value>,
    /// False: everybody gets `off`.
    pub enabled: bool,
    /// The seed text that is hashed; the key unless given at creation.
    pub seed: String,
    /// The attribute whose value is hashed; `targetingKey` for the targeting key.
    pub unit: String,
    /// All must be met before anything else is looked at.
    #[serde(default)]
    pub prerequisites: Vec<Prerequisite>,
    /// Unit to variant.
    #[serde(default)]
    pub overrides: BTreeMap<String, String>,
    /// In order; the first that holds decides.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// What decides when nothing before it did.
    pub rollout: Rollout,
    /// Whether browsers and phones may see the flag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<bool>,
    /// Present while a release watches the flag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<Watch>,
}

/// Another flag that must serve one of these variants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prerequisite {
    /// Its key.
    pub flag: String,
    /// The variants that meet it.
    pub variants: Vec<String>,
}

/// Who all of `conditions` hold for is served `serve`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Shown in answers; unique in its targeting.
    pub id: String,
    /// All must hold; none holds for everybody.
    #[serde(rename = "if", default)]
    pub conditions: Vec<Condition>,
    /// What they get.
    pub serve: Serve,
}

/// One variant, or a split of several by weight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Serve {
    /// The variant for all.
    Variant(String),
    /// In list order; the weights sum to exactly 100 %.
    Split(Vec<Weight>),
}

/// One part of a split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weight {
    /// The variant's name.
    pub variant: String,
    /// Its share.
    pub millionths: Percentage,
}

/// Cohorts that are always in, plus a percentage of everyone else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// Their keys.
    #[serde(default)]
    pub cohorts: Vec<String>,
    /// The percentage.
    pub millionths: Percentage,
    /// What who is in gets.
    pub serve: Serve,
    /// The variant of who is out; the flag's `off` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<String>,
}

/// What SDKs measure while a release watches a flag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// The revision that set the rollout which is being watched.
    pub rollout_revision: u64,
    /// Every latency limit of triggers, alerts and targets, in milliseconds; at most 8.
    pub limits_ms: Vec<u32>,
}

/// A named set of units: a list, or conditions, or both with "or" between them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CohortItem {
    /// The cohort's key.
    pub key: String,
    /// The attribute that its list names; `targetingKey` for the targeting key.
    pub unit: String,
    /// The hash seed of its list, random at creation; hex text on the wire.
    #[serde(serialize_with = "seed_to_hex", deserialize_with = "seed_from_hex")]
    pub seed: u64,
    /// Its list, fetched beside the ruleset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<ListReference>,
    /// All must hold; none holds for nobody.
    #[serde(rename = "if", default)]
    pub conditions: Vec<Condition>,
}

/// Names a list by what it contains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListReference {
    /// XXH3_128 of the list's bytes, 32 hex digits.
    pub digest: String,
    /// How many units it has.
    pub count: u64,
}

fn seed_to_hex<S: Serializer>(seed: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{seed:016x}"))
}

fn seed_from_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    u64::from_str_radix(&text, 16).map_err(|_| de::Error::custom(format!("{text} is not a seed in hex")))
}
