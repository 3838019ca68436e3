//! Targetings: who gets which variant in one environment.

use std::collections::BTreeMap;

use axum::{extract::State, http::HeaderMap, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use storyflag_evaluation::{Fault, FlagItem, Prerequisite, Rollout, Rule};
use utoipa::{IntoParams, ToSchema};

use super::{
    InEnvironment, Page,
    body::{Answer, At, Body, Params, Told, WriteFields, WriteParams},
    conditions,
    fields::{Fields, FromJson},
    forms::{PrerequisiteForm, RolloutForm, RuleForm},
    next_after,
    problems::{ReadProblems, WriteProblems},
    time,
    writes::{self, UnitsMoved, Wrote},
};
use crate::{
    app::{App, Done, TargetingDefinition, TargetingState, moved},
    auth::Caller,
    error::Error,
};

/// Where a targeting lies.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct TargetingPath {
    /// The project's key.
    #[param(example = "default")]
    pub project: String,
    /// The environment's key.
    #[param(example = "production")]
    pub environment: String,
    /// The flag's key.
    #[param(example = "US-123-checkout")]
    pub flag: String,
}

/// A flag's targeting in one environment.
#[derive(Debug, Serialize, ToSchema)]
pub struct TargetingView {
    /// The flag's key.
    pub key: String,
    /// False: everybody gets `off`.
    pub enabled: bool,
    /// Set by a kill, cleared only by a revive: everybody gets `off`.
    pub killed: bool,
    /// The attribute whose value is hashed; `targetingKey` for the targeting key.
    pub unit: String,
    /// The variant of who is not in.
    pub off: String,
    /// All must be met before anything else is looked at.
    pub prerequisites: Vec<PrerequisiteForm>,
    /// Unit to variant.
    pub overrides: BTreeMap<String, String>,
    /// In order; the first that holds decides.
    pub rules: Vec<RuleForm>,
    /// What decides when nothing before it did.
    pub rollout: RolloutForm,
    /// Why not all of it is told: a newer version of the service wrote what this one does not understand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unsupported: Option<String>,
    /// For `If-Match`.
    pub version: i64,
    /// The environment's revision that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// When it was last changed.
    pub updated_at: String,
    /// Who changed it last.
    pub updated_by: String,
}

/// A targeting after a write.
#[derive(Debug, Serialize, ToSchema)]
pub struct TargetingAnswer {
    /// What stands now.
    #[serde(flatten)]
    pub targeting: TargetingView,
    /// How many instances of applications were heard of lately: so many will serve it a moment later.
    pub instances: usize,
    /// False: it was so already.
    pub changed: bool,
    /// What the caller should know.
    pub warnings: Vec<String>,
}

/// What is on in an environment.
#[derive(Debug, Serialize, ToSchema)]
pub struct TargetingSummary {
    /// The flag's key.
    pub key: String,
    /// Whether anybody may get anything but `off`.
    pub enabled: bool,
    /// Whether it is killed.
    pub killed: bool,
    /// In percent.
    pub percentage: f64,
    /// Cohorts that are always in.
    pub cohorts: Vec<String>,
    /// How many rules decide before the rollout.
    pub rules: usize,
    /// How many units are named.
    pub overrides: usize,
    /// Why not all of it is told: a newer version of the service wrote what this one does not understand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unsupported: Option<String>,
    /// For `If-Match`.
    pub version: i64,
    /// When it was last changed.
    pub updated_at: String,
    /// Who changed it last.
    pub updated_by: String,
}

/// What is on in an environment, by flag.
#[derive(Debug, Serialize, ToSchema)]
pub struct TargetingList {
    /// The page.
    pub flags: Vec<TargetingSummary>,
    /// What to ask for as `after`; missing on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A whole targeting. What is missing is as at a flag's birth, but `off` and `rollout` stay as they are.
#[derive(Debug, ToSchema)]
pub struct TargetingBody {
    /// False: everybody gets `off`; true unless given.
    enabled: Option<bool>,
    /// The attribute whose value is hashed; `targetingKey` unless given.
    unit: Option<String>,
    /// The variant of who is not in.
    off: Option<String>,
    /// All must be met before anything else is looked at.
    #[schema(value_type = Option<Vec<PrerequisiteForm>>)]
    prerequisites: Option<Vec<Prerequisite>>,
    /// Unit to variant.
    overrides: Option<BTreeMap<String, String>>,
    /// In order; the first that holds decides.
    #[schema(value_type = Option<Vec<RuleForm>>)]
    rules: Option<Vec<Rule>>,
    /// What decides when nothing before it did.
    #[schema(value_type = Option<RolloutForm>)]
    rollout: Option<Rollout>,
    /// As a GET told it; a PUT does not kill or revive.
    killed: Option<bool>,
    /// As a GET told it.
    revision: Option<i64>,
    #[schema(ignore)]
    told: Told,
}

impl TargetingBody {
    fn definition(self) -> TargetingDefinition {
        TargetingDefinition {
            enabled: self.enabled.unwrap_or(true),
            unit: self.unit.unwrap_or_else(|| "targetingKey".to_owned()),
            off: self.off,
            prerequisites: self.prerequisites.unwrap_or_default(),
            overrides: self.overrides.unwrap_or_default(),
            rules: self.rules.unwrap_or_default(),
            rollout: self.rollout,
            killed: self.killed,
            revision: self.revision,
        }
    }
}

impl FromJson for TargetingBody {
    fn from_json(value: &Value, at: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        let mut fields = Fields::of(value, at, faults)?;
        let body = Self {
            enabled: fields.optional("enabled"),
            unit: fields.optional("unit"),
            off: fields.optional("off"),
            prerequisites: fields.optional("prerequisites"),
            overrides: fields.optional("overrides"),
            rules: fields.optional("rules"),
            rollout: fields.optional("rollout"),
            killed: fields.optional("killed"),
            revision: fields.optional("revision"),
            told: Told::read(&mut fields, &["unsupported", "updated_at", "updated_by", "instances", "changed", "warnings"]),
        };
        fields.end();
        let rules = value.get("rules").and_then(Value::as_array).into_iter().flatten().enumerate();
        let lists = rules.filter_map(|(index, rule)| Some((format!("{at}/rules/{index}/if"), rule.get("if")?)));
        conditions::also_uncompilable(lists, faults);
        Some(body)
    }
}

/// As the API tells it.
pub fn view(state: &TargetingState, revision: Option<i64>) -> TargetingView {
    let item = &state.item;
    let (version, updated_at, updated_by) = (state.row.version, time(state.row.updated_at), state.row.updated_by.clone());
    TargetingView { unsupported: state.unsupported.clone(), version, revision, updated_at, updated_by, ..view_of(item) }
}

/// What an item says, without what is known of its row.
pub fn view_of(item: &FlagItem) -> TargetingView {
    TargetingView {
        key: item.key.clone(),
        enabled: item.enabled,
        killed: item.killed,
        unit: item.unit.clone(),
        off: item.off.clone(),
        prerequisites: item.prerequisites.iter().map(Into::into).collect(),
        overrides: item.overrides.clone(),
        rules: item.rules.iter().map(Into::into).collect(),
        rollout: (&item.rollout).into(),
        unsupported: None,
        version: 0,
        revision: None,
        updated_at: String::new(),
        updated_by: String::new(),
    }
}

/// The answer of a write that concerns a whole targeting.
pub async fn answer(app: &App, environment: i64, dry_run: bool, done: Done<TargetingState>) -> Response {
    let (revision, warnings) = (done.revision, done.warnings.clone());
    let changed = done.changed;
    let instances = app.count_instances(environment).await;
    let view =
        |state: &TargetingState| TargetingAnswer { targeting: view(state, revision), instances, changed, warnings: warnings.clone() };
    writes::answer(dry_run, done, units_moved, view, |state| Some(state.row.version))
}

/// How exposure moves, by bucket: of those that nothing before the rollout decides.
pub fn units_moved(done: &Done<TargetingState>) -> Option<UnitsMoved> {
    // Of what is not understood nobody knows how many it serves.
    if done.after.unsupported.is_some() {
        return None;
    }
    let (added, lost) = moved(&done.before.as_ref()?.item, &done.after.item);
    Some(UnitsMoved { added: added.percent(), lost: lost.percent() })
}

/// Lists what is on in an environment
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/flags", tag = "targetings", params(InEnvironment, Page),
    responses((status = 200, body = TargetingList), ReadProblems))]
pub async fn list_targetings(
    State(app): State<App>,
    caller: Caller,
    At(at): At<InEnvironment>,
    Params(page): Params<Page>,
) -> Result<Answer<TargetingList>, Error> {
    let place = app.place(&caller, &at.project, &at.environment).await?;
    let states = app.list_targetings(&place, &page.after, page.limit()).await?;
    let next = next_after(&states, page.limit(), |state| state.row.key.clone());
    let summary = |state: &TargetingState| TargetingSummary {
        key: state.row.key.clone(),
        enabled: state.item.enabled,
        killed: state.item.killed,
        percentage: state.item.rollout.millionths.percent(),
        cohorts: state.item.rollout.cohorts.clone(),
        rules: state.item.rules.len(),
        overrides: state.item.overrides.len(),
        unsupported: state.unsupported.clone(),
        version: state.row.version,
        updated_at: time(state.row.updated_at),
        updated_by: state.row.updated_by.clone(),
    };
    Ok(Answer::ok(TargetingList { flags: states.iter().map(summary).collect(), next }))
}

/// Reads a flag's targeting
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/flags/{flag}", tag = "targetings", params(TargetingPath),
    responses((status = 200, body = TargetingView), ReadProblems))]
pub async fn find_targeting(State(app): State<App>, caller: Caller, At(at): At<TargetingPath>) -> Result<Answer<TargetingView>, Error> {
    let place = app.place(&caller, &at.project, &at.environment).await?;
    let (state, revision) = app.read_targeting(&place, &at.flag).await?;
    Ok(Answer::versioned(state.row.version, view(&state, Some(revision))))
}

/// Replaces a flag's whole targeting, but for the kill
#[utoipa::path(put, path = "/api/v1/projects/{project}/environments/{environment}/flags/{flag}", tag = "targetings", params(TargetingPath, WriteParams),
    request_body = TargetingBody, responses((status = 200, body = Wrote<TargetingAnswer>), WriteProblems))]
pub async fn put_targeting(
    State(app): State<App>,
    caller: Caller,
    At(at): At<TargetingPath>,
    Params(params): Params<WriteParams>,
    headers: HeaderMap,
    Body(mut body): Body<TargetingBody>,
) -> Result<Response, Error> {
    let dry_run = params.dry_run;
    let told = std::mem::take(&mut body.told);
    let ask = told.holds(&at.flag, params.ask(caller, WriteFields::default(), &headers)?)?;
    let place = app.place(&ask.caller, &at.project, &at.environment).await?;
    let done = app.put_targeting(&ask, &place, &at.flag, body.definition()).await?;
    Ok(answer(&app, place.environment.id, dry_run, done).await)
}
