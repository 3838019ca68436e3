//! Cohorts: named sets of units.

use axum::{extract::State, http::HeaderMap, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use storyflag_evaluation::{CohortItem, Condition, Fault};
use utoipa::{IntoParams, ToSchema};

use super::{
    InEnvironment, Page,
    body::{Answer, At, Body, Params, Told, WriteFields, WriteParams},
    conditions,
    fields::{Fields, FromJson},
    forms::ConditionForm,
    next_after,
    problems::{ReadProblems, WriteProblems},
    time,
    writes::{self, Wrote},
};
use crate::{
    app::{App, CohortDefinition},
    auth::Caller,
    error::Error,
    store::CohortRow,
};

/// Where a cohort lies.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct CohortPath {
    /// The project's key.
    #[param(example = "default")]
    pub project: String,
    /// The environment's key.
    #[param(example = "production")]
    pub environment: String,
    /// The cohort's key.
    #[param(example = "internal-users")]
    pub cohort: String,
}

/// A cohort. Its list is at `/members`.
#[derive(Debug, Serialize, ToSchema)]
pub struct CohortView {
    /// Its key.
    pub key: String,
    /// What it is for.
    pub description: String,
    /// The attribute that its list names; `targetingKey` for the targeting key.
    pub unit: String,
    /// All must hold; none: only the list counts. Who is in the list is in, too.
    #[serde(rename = "if")]
    pub conditions: Vec<ConditionForm>,
    /// How many units its list has.
    pub members: i64,
    /// For `If-Match`.
    pub version: i64,
    /// When it was last changed.
    pub updated_at: String,
}

/// Cohorts, by key.
#[derive(Debug, Serialize, ToSchema)]
pub struct CohortList {
    /// The page.
    pub cohorts: Vec<CohortView>,
    /// What to ask for as `after`; missing on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What a cohort is. Its list is put at `/members`.
#[derive(Debug, Default, ToSchema)]
#[schema(example = json!({"description": "Us", "if": [{"attribute": "email", "ends_with": "@example.com"}]}))]
pub struct CohortBody {
    /// What it is for.
    description: Option<String>,
    /// The attribute that its list names; `targetingKey` unless given.
    unit: Option<String>,
    /// All must hold; none: only the list counts.
    #[serde(rename = "if")]
    #[schema(value_type = Option<Vec<ConditionForm>>)]
    conditions: Option<Vec<Condition>>,
    #[schema(ignore)]
    told: Told,
}

impl FromJson for CohortBody {
    fn from_json(value: &Value, at: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        let mut fields = Fields::of(value, at, faults)?;
        let body = Self {
            description: fields.optional("description"),
            unit: fields.optional("unit"),
            conditions: fields.optional("if"),
            told: Told::read(&mut fields, &["members", "updated_at"]),
        };
        fields.end();
        conditions::also_uncompilable(value.get("if").map(|list| (format!("{at}/if"), list)).into_iter(), faults);
        Some(body)
    }
}

fn view((row, item): &(CohortRow, CohortItem)) -> CohortView {
    CohortView {
        key: row.key.clone(),
        description: row.description.clone(),
        unit: item.unit.clone(),
        conditions: item.conditions.iter().cloned().map(ConditionForm).collect(),
        members: row.members,
        version: row.version,
        updated_at: time(row.updated_at),
    }
}

/// Lists cohorts
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/cohorts", tag = "cohorts", params(InEnvironment, Page),
    responses((status = 200, body = CohortList), ReadProblems))]
pub async fn list_cohorts(
    State(app): State<App>,
    caller: Caller,
    At(at): At<InEnvironment>,
    Params(page): Params<Page>,
) -> Result<Answer<CohortList>, Error> {
    let place = app.place(&caller, &at.project, &at.environment).await?;
    let rows = app.list_cohorts(&place, &page.after, page.limit()).await?;
    let next = next_after(&rows, page.limit(), |(row, _)| row.key.clone());
    Ok(Answer::ok(CohortList { cohorts: rows.iter().map(view).collect(), next }))
}

/// Reads a cohort
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/cohorts/{cohort}", tag = "cohorts", params(CohortPath),
    responses((status = 200, body = CohortView), ReadProblems))]
pub async fn find_cohort(State(app): State<App>, caller: Caller, At(at): At<CohortPath>) -> Result<Answer<CohortView>, Error> {
    let place = app.place(&caller, &at.project, &at.environment).await?;
    let found = app.find_cohort(&place, &at.cohort).await?;
    Ok(Answer::versioned(found.0.version, view(&found)))
}

/// Creates a cohort, or replaces its description, unit and conditions
#[utoipa::path(put, path = "/api/v1/projects/{project}/environments/{environment}/cohorts/{cohort}", tag = "cohorts", params(CohortPath, WriteParams),
    request_body = CohortBody, responses((status = 200, body = Wrote<CohortView>), (status = 201, body = CohortView), WriteProblems))]
pub async fn put_cohort(
    State(app): State<App>,
    caller: Caller,
    At(at): At<CohortPath>,
    Params(params): Params<WriteParams>,
    headers: HeaderMap,
    Body(body): Body<CohortBody>,
) -> Result<Response, Error> {
    let dry_run = params.dry_run;
    let ask = body.told.holds(&at.cohort, params.ask(caller, WriteFields::default(), &headers)?)?;
    let place = app.place(&ask.caller, &at.project, &at.environment).await?;
    let definition = CohortDefinition {
        description: body.description.unwrap_or_default(),
        unit: body.unit,
        conditions: body.conditions.unwrap_or_default(),
    };
    let done = app.put_cohort(&ask, &place, &at.cohort, definition).await?;
    Ok(writes::answer(dry_run, done, |_| None, view, |(row, _)| Some(row.version)))
}

/// Deletes a cohort that no flag names
#[utoipa::path(delete, path = "/api/v1/projects/{project}/environments/{environment}/cohorts/{cohort}", tag = "cohorts", params(CohortPath, WriteParams),
    responses((status = 200, body = Wrote<CohortView>), WriteProblems))]
pub async fn delete_cohort(
    State(app): State<App>,
    caller: Caller,
    At(at): At<CohortPath>,
    Params(params): Params<WriteParams>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let dry_run = params.dry_run;
    let ask = params.ask(caller, WriteFields::default(), &headers)?;
    let place = app.place(&ask.caller, &at.project, &at.environment).await?;
    let done = app.delete_cohort(&ask, &place, &at.cohort).await?;
    Ok(writes::answer(dry_run, done, |_| None, view, |(row, _)| Some(row.version)))
}
