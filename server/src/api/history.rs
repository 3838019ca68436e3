//! The past of a targeting, and the way back to it.

use axum::{extract::State, http::HeaderMap, response::Response};
use serde::Serialize;
use serde_json::Value;
use storyflag_evaluation::Fault;
use utoipa::ToSchema;

use super::{
    Page,
    body::{Answer, At, Body, Params, WriteFields, WriteParams},
    fields::{Fields, FromJson},
    problems::{ReadProblems, WriteProblems},
    targetings::{self, TargetingAnswer, TargetingPath, view_of},
    time,
    writes::{Difference, Wrote, differences},
};
use crate::{
    app::{App, HistoryEntry},
    auth::Caller,
    error::Error,
};

/// One change of a targeting.
#[derive(Debug, Serialize, ToSchema)]
pub struct HistoryView {
    /// The environment's revision that it made.
    pub revision: i64,
    /// When.
    pub at: String,
    /// Who.
    pub actor: String,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The request's id.
    pub request: String,
    /// `created`, `changed` or `archived`.
    pub kind: &'static str,
    /// What changed.
    pub differences: Vec<Difference>,
}

/// Changes of a targeting, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct HistoryList {
    /// The page.
    pub history: Vec<HistoryView>,
    /// What to ask for as `after`; missing on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Back to a revision.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"revision": 812, "reason": "the rule was wrong"}))]
pub struct RevertBody {
    /// What stood at this revision of the environment is to stand again.
    revision: i64,
    #[serde(flatten)]
    write: WriteFields,
}

impl FromJson for RevertBody {
    fn from_json(value: &Value, at: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        let mut fields = Fields::of(value, at, faults)?;
        let revision = fields.required("revision");
        let write = WriteFields::read(&mut fields);
        fields.end();
        Some(Self { revision: revision?, write })
    }
}

fn entry(entry: &HistoryEntry) -> HistoryView {
    let json = |item: &Option<_>| item.as_ref().and_then(|item| serde_json::to_value(view_of(item)).ok());
    HistoryView {
        revision: entry.change.revision.unwrap_or_default(),
        at: time(entry.change.at),
        actor: entry.change.actor.clone(),
        reason: entry.change.reason.clone(),
        request: entry.change.request.clone(),
        kind: match (&entry.before, &entry.after) {
            (_, None) => "archived",
            (None, Some(_)) => "created",
            (Some(_), Some(_)) => "changed",
        },
        differences: differences(json(&entry.before).as_ref(), json(&entry.after).as_ref()),
    }
}

/// Lists what was done to a targeting, newest first
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/flags/{flag}/history", tag = "history", params(TargetingPath, Page),
    responses((status = 200, body = HistoryList), ReadProblems))]
pub async fn list_history(
    State(app): State<App>,
    caller: Caller,
    At(at): At<TargetingPath>,
    Params(page): Params<Page>,
) -> Result<Answer<HistoryList>, Error> {
    let place = app.place(&caller, &at.project, &at.environment).await?;
    let entries = app.history(&place, &at.flag, page.below()?, page.limit()).await?;
    let history: Vec<HistoryView> = entries.iter().map(entry).collect();
    let next = super::next_after(&history, page.limit(), |entry| entry.revision.to_string());
    Ok(Answer::ok(HistoryList { history, next }))
}

/// Gives a flag the targeting that it had at a revision
#[utoipa::path(post, path = "/api/v1/projects/{project}/environments/{environment}/flags/{flag}/revert", tag = "history", params(TargetingPath, WriteParams),
    request_body = RevertBody, responses((status = 200, body = Wrote<TargetingAnswer>), WriteProblems))]
pub async fn revert_targeting(
    State(app): State<App>,
    caller: Caller,
    At(at): At<TargetingPath>,
    Params(params): Params<WriteParams>,
    headers: HeaderMap,
    Body(body): Body<RevertBody>,
) -> Result<Response, Error> {
    let dry_run = params.dry_run;
    let ask = params.ask(caller, body.write, &headers)?;
    let place = app.place(&ask.caller, &at.project, &at.environment).await?;
    let done = app.revert(&ask, &place, &at.flag, body.revision).await?;
    Ok(targetings::answer(&app, place.environment.id, dry_run, done).await)
}
