//! What a release came to.

use axum::{
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use storyflag_release::plan::Media;

use super::{ReleasePath, state_at};
use crate::{
    api::{
        body::{Answer, At},
        documents,
        problems::ReadProblems,
    },
    app::App,
    auth::Caller,
    error::Error,
    scheduler::Scheduler,
};

/// Reports a release: rates with their intervals, evidence, holds, targets; as `text/markdown` for people
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/releases/{release}/report", tag = "releases", params(ReleasePath),
    responses((status = 200, content((Object = "application/json"), (String = "text/markdown"))), ReadProblems))]
pub async fn release_report(
    State(app): State<App>,
    State(scheduler): State<Scheduler>,
    caller: Caller,
    At(at): At<ReleasePath>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let state = state_at(&app, &scheduler, &caller, &at).await?;
    let report = app.release_report(&state).await?;
    let mut response = match documents::wanted(&headers) {
        Some(Media::Markdown) => documents::answer(Media::Markdown, state.row.number, report.markdown()),
        _ => Answer::ok(serde_json::to_value(&report).map_err(Error::internal)?).into_response(),
    };
    response.headers_mut().append(http::header::VARY, http::HeaderValue::from_static("accept"));
    Ok(response)
}
