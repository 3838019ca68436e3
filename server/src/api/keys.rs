//! SDK keys.

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
use crate::{app::App, auth::Caller, error::Error, store::KeyRow};

/// Where a key lies.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct KeyPath {
    /// The project's key.
    pub project: String,
    /// The environment's key.
    pub environment: String,
    /// The id of the SDK key: the part after `sfs_`.
    pub key: String,
}

/// An SDK key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyView {
    /// The part that may be shown.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// When it was made.
    pub created_at: String,
    /// Who made it.
    pub created_by: String,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<String>,
}

/// A key that was just made.
#[derive(Debug, Serialize, ToSchema)]
pub struct NewKeyView {
    /// What the application is given: shown here, and never again.
    #[schema(example = "sfs_0123456789abcdef_...")]
    pub key: String,
    /// What is kept of it.
    #[serde(flatten)]
    pub view: KeyView,
}

/// All keys of an environment.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyList {
    /// Oldest first.
    pub keys: Vec<KeyView>,
}

/// What a key is for.
#[derive(Debug, ToSchema)]
pub struct KeyBody {
    /// Such as the application's name.
    #[schema(example = "web shop")]
    pub name: String,
}

impl FromJson for KeyBody {
    fn from_json(value: &Value, at: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        let mut fields = Fields::of(value, at, faults)?;
        let name = fields.required::<String>("name");
        fields.end();
        Some(Self { name: name? })
    }
}

fn view(row: &KeyRow) -> KeyView {
    KeyView {
        id: row.id.clone(),
        name: row.name.clone(),
        created_at: time(row.created_at),
        created_by: row.created_by.clone(),
        revoked_at: row.revoked_at.map(time),
    }
}

/// Lists SDK keys, without their secrets
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/keys", tag = "keys", params(InEnvironment),
    responses((status = 200, body = KeyList), ReadProblems))]
pub async fn list_keys(State(app): State<App>, caller: Caller, At(at): At<InEnvironment>) -> Result<Answer<KeyList>, Error> {
    let place = app.place(&caller, &at.project, &at.environment).await?;
    Ok(Answer::ok(KeyList { keys: app.list_keys(&place).await?.iter().map(view).collect() }))
}

/// Makes an SDK key, which is shown once
#[utoipa::path(post, path = "/api/v1/projects/{project}/environments/{environment}/keys", tag = "keys", params(InEnvironment, WriteParams),
    request_body = KeyBody, responses((status = 200, body = DryRun, description = "With `dry_run`: no key was made."), (status = 201, body = NewKeyView), WriteProblems))]
pub async fn create_key(
    State(app): State<App>,
    caller: Caller,
    At(at): At<InEnvironment>,
    Params(params): Params<WriteParams>,
    headers: HeaderMap,
    Body(body): Body<KeyBody>,
) -> Result<Response, Error> {
    let ask = params.ask(caller, WriteFields::default(), &headers)?;
    let place = app.place(&ask.caller, &at.project, &at.environment).await?;
    let done = app.create_key(&ask, &place, &body.name).await?;
    if ask.dry_run {
        // A key that was not made is not shown: it would never work.
        return Ok(Answer::ok(DryRun::of(None, Some(&json!({ "name": body.name })))).into_response());
    }
    let body = NewKeyView { key: done.after.text, view: view(&done.after.row) };
    Ok(Answer { status: StatusCode::CREATED, version: None, body }.into_response())
}

/// Revokes an SDK key
#[utoipa::path(delete, path = "/api/v1/projects/{project}/environments/{environment}/keys/{key}", tag = "keys", params(KeyPath, WriteParams),
    responses((status = 200, body = DryRun, description = "With `dry_run`: it was not revoked."), (status = 204, description = "Revoked: every node closes its streams within about a second."), WriteProblems))]
pub async fn revoke_key(
    State(app): State<App>,
    caller: Caller,
    At(at): At<KeyPath>,
    Params(params): Params<WriteParams>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let ask = params.ask(caller, WriteFields::default(), &headers)?;
    let place = app.place(&ask.caller, &at.project, &at.environment).await?;
    app.revoke_key(&ask, &place, &at.key).await?;
    if ask.dry_run {
        return Ok(Answer::ok(DryRun::of(Some(&json!({ "id": at.key })), None)).into_response());
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}
