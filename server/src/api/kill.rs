//! Kill and revive.

use axum::{extract::State, http::HeaderMap, response::Response};

use super::{
    body::{At, Body, Params, WriteFields, WriteParams},
    problems::WriteProblems,
    targetings::{self, TargetingAnswer, TargetingPath},
    writes::Wrote,
};
use crate::{app::App, auth::Caller, error::Error};

/// Characters of a reason that are kept of a kill: within the bound for all reasons whatever their bytes.
const LONGEST_REASON: usize = 256;

/// Kills a flag here: everybody gets `off`, until it is revived
#[utoipa::path(post, path = "/api/v1/projects/{project}/environments/{environment}/flags/{flag}/kill", tag = "targetings", params(TargetingPath, WriteParams),
    request_body = WriteFields, responses((status = 200, body = Wrote<TargetingAnswer>), WriteProblems))]
pub async fn kill_flag(
    State(app): State<App>,
    caller: Caller,
    At(at): At<TargetingPath>,
    Params(params): Params<WriteParams>,
    body: Result<Body<WriteFields>, Error>,
) -> Result<Response, Error> {
    let dry_run = params.dry_run;
    let (body, unread) = match body {
        Ok(Body(body)) => (body, None),
        Err(error) => (WriteFields::default(), Some(format!("killed all the same, but the body was not understood: {error}"))),
    };
    // A kill is not refused for how it is wrapped: no condition, and of a reason as much as fits.
    let reason =
        body.reason.or(params.reason).map(|reason| reason.chars().filter(|letter| !letter.is_control()).take(LONGEST_REASON).collect());
    let ask = WriteParams { reason: None, ..params }.ask(caller, WriteFields { reason, ..body }, &HeaderMap::new())?;
    let place = app.place(&ask.caller, &at.project, &at.environment).await?;
    let mut done = app.kill(&ask, &place, &at.flag).await?;
    done.warnings.extend(unread);
    Ok(targetings::answer(&app, place.environment.id, dry_run, done).await)
}

/// Revives a killed flag: the same users as before are served
#[utoipa::path(post, path = "/api/v1/projects/{project}/environments/{environment}/flags/{flag}/revive", tag = "targetings", params(TargetingPath, WriteParams),
    request_body = WriteFields, responses((status = 200, body = Wrote<TargetingAnswer>), WriteProblems))]
pub async fn revive_flag(
    State(app): State<App>,
    caller: Caller,
    At(at): At<TargetingPath>,
    Params(params): Params<WriteParams>,
    headers: HeaderMap,
    Body(body): Body<WriteFields>,
) -> Result<Response, Error> {
    let dry_run = params.dry_run;
    let ask = params.ask(caller, body, &headers)?;
    let place = app.place(&ask.caller, &at.project, &at.environment).await?;
    let done = app.revive(&ask, &place, &at.flag).await?;
    Ok(targetings::answer(&app, place.environment.id, dry_run, done).await)
}
