//! The audit: everything that was written.

use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    InEnvironment, Page,
    body::{Answer, At, Params},
    next_after,
    problems::ReadProblems,
    time,
};
use crate::{app::App, auth::Caller, error::Error};

/// One change.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChangeView {
    /// The order of writing.
    pub id: i64,
    /// The environment's revision that it made; missing for what is not served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// When.
    pub at: String,
    /// Who.
    pub actor: String,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The request's id.
    pub request: String,
    /// `flag`, `cohort`: served; `project`, `environment`, `flag_definition`, `plan`, `key`, `incarnation`: not served.
    pub kind: String,
    /// Of what.
    pub key: String,
    /// What stands since, as it is served; null: removed.
    #[schema(value_type = Option<Object>)]
    pub after: Option<Value>,
}

/// Changes, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChangeList {
    /// The page.
    pub changes: Vec<ChangeView>,
    /// What to ask for as `after`; missing on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Lists everything that was written in an environment and in its project as a whole, newest first
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/changes", tag = "history", params(InEnvironment, Page),
    responses((status = 200, body = ChangeList), ReadProblems))]
pub async fn list_changes(
    State(app): State<App>,
    caller: Caller,
    At(at): At<InEnvironment>,
    Params(page): Params<Page>,
) -> Result<Answer<ChangeList>, Error> {
    let place = app.place(&caller, &at.project, &at.environment).await?;
    let rows = app.list_changes(&place, page.below()?, page.limit()).await?;
    let next = next_after(&rows, page.limit(), |row| row.id.to_string());
    let view = |row: crate::store::ChangeRow| ChangeView {
        id: row.id,
        revision: row.revision,
        at: time(row.at),
        actor: row.actor,
        reason: row.reason,
        request: row.request,
        kind: row.kind,
        key: row.key,
        after: row.after.and_then(|text| serde_json::from_str(&text).ok()),
    };
    Ok(Answer::ok(ChangeList { changes: rows.into_iter().map(view).collect(), next }))
}
