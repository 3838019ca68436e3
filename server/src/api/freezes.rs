//! Freezes: times in which nothing is raised.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use storyflag_evaluation::Fault;
use utoipa::{IntoParams, ToSchema};

use super::{
    InEnvironment,
    body::{Answer, At, Body, Params, WriteFields, WriteParams},
    fields::{Fields, FromJson},
    problems::{ReadProblems, WriteProblems},
    time,
    writes::DryRun,
};
use crate::{
    app::{App, FreezeDefinition, now_ms},
    auth::Caller,
    error::Error,
    store::FreezeRow,
};

/// Where a freeze lies.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct FreezePath {
    /// The project's key.
    #[param(example = "default")]
    pub project: String,
    /// The environment's key.
    #[param(example = "production")]
    pub environment: String,
    /// The freeze's id.
    #[param(example = "freeze-0123456789ab")]
    pub freeze: String,
}

/// Which freezes.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub struct FreezeParams {
    /// Those that have ended, too.
    pub all: bool,
}

/// A freeze: nothing is raised in the environment meanwhile, by hand or by a release. What is safe passes.
#[derive(Debug, Serialize, ToSchema)]
pub struct FreezeView {
    /// Its id.
    pub id: String,
    /// When it begins.
    pub from: String,
    /// When it is over.
    pub to: String,
    /// Why.
    pub reason: String,
    /// Whether it holds now.
    pub holds: bool,
    /// When it was made.
    pub created_at: String,
    /// Who made it.
    pub created_by: String,
}

/// Freezes, the earliest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct FreezeList {
    /// Those that have not ended, unless all were asked for.
    pub freezes: Vec<FreezeView>,
}

/// When an environment is frozen, and why.
#[derive(Debug, ToSchema)]
pub struct FreezeBody {
    /// When it begins, RFC 3339; now unless given.
    #[schema(example = "2026-12-20T00:00:00Z")]
    pub from: Option<String>,
    /// When it is over, RFC 3339.
    #[schema(example = "2027-01-04T08:00:00Z")]
    pub to: String,
    /// Why; whoever is refused meanwhile is told.
    #[schema(example = "the holidays")]
    pub reason: String,
    #[schema(ignore)]
    definition: FreezeDefinition,
}

impl FromJson for FreezeBody {
    fn from_json(value: &Value, at: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        let mut fields = Fields::of(value, at, faults)?;
        let (from, to) = (fields.optional::<String>("from"), fields.required::<String>("to"));
        let mut moment = |name: &str, text: &Option<String>| {
            let text = text.as_ref()?;
            let read = text.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_millisecond);
            read.map_err(|_| fields.fault(name, format!("is {text:?}; a time is RFC 3339, such as 2026-12-20T00:00:00Z"))).ok()
        };
        let (from_ms, to_ms) = (moment("from", &from), moment("to", &to));
        if from_ms.zip(to_ms).is_some_and(|(from, to)| to <= from) {
            fields.fault("to", "is not after \"from\"");
        } else if to_ms.is_some_and(|to| to <= now_ms()) {
            fields.fault("to", "is over already");
        }
        let reason = fields.required::<String>("reason").map(|reason| reason.trim().to_owned());
        if reason.as_ref().is_some_and(|reason| !reason.chars().any(char::is_alphanumeric)) {
            fields.fault("reason", "says nothing: whoever is refused meanwhile wants to know why");
        }
        fields.end();
        let (to, to_ms, reason) = (to?, to_ms?, reason?);
        Some(Self { from, to, reason: reason.clone(), definition: FreezeDefinition { from: from_ms, to: to_ms, reason } })
    }
}

fn view(row: &FreezeRow) -> FreezeView {
    let now = now_ms();
    FreezeView {
        id: row.id.clone(),
        from: time(row.from_at),
        to: time(row.to_at),
        reason: row.reason.clone(),
        holds: row.from_at <= now && now < row.to_at,
        created_at: time(row.created_at),
        created_by: row.created_by.clone(),
    }
}

fn definition(row: &FreezeRow) -> Value {
    json!({"from": time(row.from_at), "to": time(row.to_at), "reason": row.reason})
}

/// Lists freezes
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/freezes", tag = "freezes", params(InEnvironment, FreezeParams),
    responses((status = 200, body = FreezeList), ReadProblems))]
pub async fn list_freezes(
    State(app): State<App>,
    caller: Caller,
    At(at): At<InEnvironment>,
    Params(params): Params<FreezeParams>,
) -> Result<Answer<FreezeList>, Error> {
    let place = app.place(&caller, &at.project, &at.environment).await?;
    Ok(Answer::ok(FreezeList { freezes: app.list_freezes(&place, params.all).await?.iter().map(view).collect() }))
}

/// Freezes an environment for a time
///
/// Meanwhile nothing is raised, by hand or by a release; `force` of a release manager passes. Lowering, kills, pauses and
/// rollbacks always pass.
#[utoipa::path(post, path = "/api/v1/projects/{project}/environments/{environment}/freezes", tag = "freezes", params(InEnvironment, WriteParams),
    request_body = FreezeBody, responses((status = 200, body = DryRun, description = "With `dry_run`: nothing is frozen."), (status = 201, body = FreezeView), WriteProblems))]
pub async fn create_freeze(
    State(app): State<App>,
    caller: Caller,
    At(at): At<InEnvironment>,
    Params(params): Params<WriteParams>,
    headers: HeaderMap,
    Body(body): Body<FreezeBody>,
) -> Result<Response, Error> {
    let ask = params.ask(caller, WriteFields::default(), &headers)?;
    let place = app.place(&ask.caller, &at.project, &at.environment).await?;
    let done = app.create_freeze(&ask, &place, body.definition).await?;
    if ask.dry_run {
        return Ok(Answer::ok(DryRun::of(None, Some(&definition(&done.after)))).into_response());
    }
    Ok(Answer { status: StatusCode::CREATED, version: None, body: view(&done.after) }.into_response())
}

/// Ends a freeze, or takes back one to come
#[utoipa::path(delete, path = "/api/v1/projects/{project}/environments/{environment}/freezes/{freeze}", tag = "freezes", params(FreezePath, WriteParams),
    responses((status = 200, body = DryRun, description = "With `dry_run`: it stands."), (status = 204, description = "It does not hold any more."), WriteProblems))]
pub async fn delete_freeze(
    State(app): State<App>,
    caller: Caller,
    At(at): At<FreezePath>,
    Params(params): Params<WriteParams>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let ask = params.ask(caller, WriteFields::default(), &headers)?;
    let place = app.place(&ask.caller, &at.project, &at.environment).await?;
    let done = app.delete_freeze(&ask, &place, &at.freeze).await?;
    if ask.dry_run {
        return Ok(Answer::ok(DryRun::of(Some(&definition(&done.after)), None)).into_response());
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}
