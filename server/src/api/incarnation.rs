//! A new history, begun by hand.

use axum::{extract::State, http::HeaderMap, response::Response};

use super::{
    InEnvironment,
    body::{At, Body, Params, WriteFields, WriteParams},
    environments::{EnvironmentView, view},
    problems::WriteProblems,
    writes::{self, Wrote},
};
use crate::{app::App, auth::Caller, error::Error};

/// Begins a new incarnation: every SDK takes what the database has, even where it ran a later revision
#[utoipa::path(post, path = "/api/v1/projects/{project}/environments/{environment}/incarnation", tag = "environments",
    params(InEnvironment, WriteParams), request_body = WriteFields, responses((status = 200, body = Wrote<EnvironmentView>), WriteProblems))]
pub async fn raise_incarnation(
    State(app): State<App>,
    caller: Caller,
    At(at): At<InEnvironment>,
    Params(params): Params<WriteParams>,
    headers: HeaderMap,
    Body(body): Body<WriteFields>,
) -> Result<Response, Error> {
    let dry_run = params.dry_run;
    let ask = params.ask(caller, body, &headers)?;
    let place = app.place(&ask.caller, &at.project, &at.environment).await?;
    ask.matches(place.environment.version)?;
    let done = app.raise_incarnation(&ask, &place).await?;
    Ok(writes::answer(dry_run, done, |_| None, view, |row| Some(row.version)))
}
