//! How the API writes what rulesets hold: percentages in percent instead of millionths.

use serde::Serialize;
use serde_json::Value;
use storyflag_evaluation::{Condition, Fault, Percentage, Prerequisite, Rollout, Rule, Serve, Weight};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr,
        schema::{ObjectBuilder, Schema, Type},
    },
};

use super::fields::{Fields, FromJson};

/// A variant's name, or a split of several by weight.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum ServeForm {
    /// One variant for all.
    #[schema(example = "on")]
    Variant(String),
    /// In list order; the weights sum to exactly 100.
    Split(Vec<WeightForm>),
}

/// One part of a split.
#[derive(Debug, Serialize, ToSchema)]
pub struct WeightForm {
    /// The variant's name.
    pub variant: String,
    /// Its share in percent, at most four decimals.
    #[schema(minimum = 0, maximum = 100, example = 33.3333)]
    pub weight: f64,
}

/// A rule: who all of `if` hold for is served `serve`.
#[derive(Debug, Serialize, ToSchema)]
pub struct RuleForm {
    /// Shown in answers; unique in its targeting.
    #[schema(example = "germany")]
    pub id: String,
    /// All must hold; none holds for everybody.
    #[serde(rename = "if")]
    pub conditions: Vec<ConditionForm>,
    /// What they get.
    pub serve: ServeForm,
}

/// A condition: `{"attribute": "country", "in": ["DE"], "not": true}` or `{"in_cohort": "internal-users"}`.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct ConditionForm(pub Condition);

impl PartialSchema for ConditionForm {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Object)
            .description(Some(
                "Either `attribute` with one operator (equals, in, contains, starts_with, ends_with, matches, less, at_most, greater, at_least, \
                 before, after, semver_equals, semver_less, semver_at_most, semver_greater, semver_at_least, exists), or `in_cohort`; \
                 `not` turns it round, but absence and a wrong type stay false",
            ))
            .examples([serde_json::json!({"attribute": "country", "in": ["DE"]}), serde_json::json!({"in_cohort": "internal-users", "not": true})])
            .into()
    }
}

impl ToSchema for ConditionForm {}

/// Another flag that must serve one of these variants.
#[derive(Debug, Serialize, ToSchema)]
pub struct PrerequisiteForm {
    /// Its key.
    #[schema(example = "US-100-cart")]
    pub flag: String,
    /// The variants that meet it.
    pub variants: Vec<String>,
}

/// Cohorts that are always in, plus a percentage of everyone else.
#[derive(Debug, Serialize, ToSchema)]
pub struct RolloutForm {
    /// Their keys.
    #[schema(example = json!(["internal-users"]))]
    pub cohorts: Vec<String>,
    /// In percent, at most four decimals.
    #[schema(minimum = 0, maximum = 100, example = 0.1)]
    pub percentage: f64,
    /// What who is in gets.
    pub serve: ServeForm,
    /// The variant of who is out; the targeting's `off` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<String>,
}

impl From<&Serve> for ServeForm {
    fn from(serve: &Serve) -> Self {
        match serve {
            Serve::Variant(variant) => Self::Variant(variant.clone()),
            Serve::Split(weights) => Self::Split(
                weights.iter().map(|one| WeightForm { variant: one.variant.clone(), weight: one.millionths.percent() }).collect(),
            ),
        }
    }
}

impl From<&Rule> for RuleForm {
    fn from(rule: &Rule) -> Self {
        let conditions = rule.conditions.iter().cloned().map(ConditionForm).collect();
        Self { id: rule.id.clone(), conditions, serve: (&rule.serve).into() }
    }
}

impl From<&Prerequisite> for PrerequisiteForm {
    fn from(prerequisite: &Prerequisite) -> Self {
        Self { flag: prerequisite.flag.clone(), variants: prerequisite.variants.clone() }
    }
}

impl From<&Rollout> for RolloutForm {
    fn from(rollout: &Rollout) -> Self {
        Self {
            cohorts: rollout.cohorts.clone(),
            percentage: rollout.millionths.percent(),
            serve: (&rollout.serve).into(),
            otherwise: rollout.otherwise.clone(),
        }
    }
}

impl FromJson for Serve {
    fn from_json(value: &Value, at: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        match value {
            Value::String(_) => String::from_json(value, at, faults).map(Self::Variant),
            Value::Array(_) => Vec::<Weight>::from_json(value, at, faults).map(Self::Split),
            _ => {
                let detail = "must be a variant's name, or a split such as [{\"variant\": \"a\", \"weight\": 50}, ...]".to_owned();
                faults.push(Fault { pointer: at.to_owned(), detail });
                None
            }
        }
    }
}

impl FromJson for Weight {
    fn from_json(value: &Value, at: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        let mut fields = Fields::of(value, at, faults)?;
        let (variant, weight) = (fields.required("variant"), fields.required::<Percentage>("weight"));
        fields.end();
        Some(Self { variant: variant?, millionths: weight? })
    }
}

impl FromJson for Rule {
    fn from_json(value: &Value, at: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        let mut fields = Fields::of(value, at, faults)?;
        let id = fields.required::<String>("id");
        let (conditions, serve) = (fields.required("if"), fields.required("serve"));
        if id.as_ref().is_some_and(String::is_empty) {
            fields.fault("id", "is empty; answers name the rule that decided by it");
        }
        fields.end();
        Some(Self { id: id?, conditions: conditions?, serve: serve? })
    }
}

impl FromJson for Prerequisite {
    fn from_json(value: &Value, at: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        let mut fields = Fields::of(value, at, faults)?;
        let (flag, variants) = (fields.required("flag"), fields.required("variants"));
        fields.end();
        Some(Self { flag: flag?, variants: variants? })
    }
}

impl FromJson for Rollout {
    fn from_json(value: &Value, at: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        let mut fields = Fields::of(value, at, faults)?;
        let rollout = Self {
            cohorts: fields.optional("cohorts").unwrap_or_default(),
            millionths: fields.required("percentage").unwrap_or_default(),
            serve: fields.required("serve").unwrap_or(Serve::Split(Vec::new())),
            otherwise: fields.optional::<Option<String>>("otherwise").flatten(),
        };
        let mut seen = std::collections::BTreeSet::new();
        if let Some(twice) = rollout.cohorts.iter().find(|cohort| !seen.insert(cohort.as_str())) {
            fields.fault("cohorts", format!("names {twice:?} twice"));
        }
        fields.end();
        Some(rollout)
    }
}
