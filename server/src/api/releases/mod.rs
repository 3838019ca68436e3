//! Releases: plans that carry themselves out.

pub mod commands;
pub mod events;
pub mod report;
pub mod timeline;
pub mod view;

use axum::{
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use storyflag_evaluation::{Fault, Percentage};
use storyflag_release::plan::Media;
use utoipa::{IntoParams, ToSchema};

use self::view::ReleaseView;
use super::{
    InEnvironment,
    body::{Answer, At, Body, Params, WriteFields, WriteParams},
    documents,
    fields::{Fields, FromJson},
    next_after,
    problems::{ReadProblems, WriteProblems},
    writes::{DryRun, Wrote},
};
use crate::{
    app::{App, NewRelease, Place, ReleaseState, now_ms},
    auth::Caller,
    error::Error,
    scheduler::{Scheduler, Stored},
    store::{ReleaseFilter, ReleaseRow},
};

/// Where a release lies.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct ReleasePath {
    /// The project's key.
    #[param(example = "default")]
    pub project: String,
    /// The environment's key.
    #[param(example = "staging")]
    pub environment: String,
    /// The release's id.
    #[param(example = "DP-123-checkout-1")]
    pub release: String,
}

/// Which releases are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub struct ReleasesAsked {
    /// Those of this plan.
    pub plan: String,
    /// Those of this flag.
    pub flag: String,
    /// Only those that have not ended.
    pub live: bool,
    /// What comes after the page before: its `next`.
    pub after: String,
    /// At most so many, 1 to 1000.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: i64,
}

impl Default for ReleasesAsked {
    fn default() -> Self {
        Self { plan: String::new(), flag: String::new(), live: false, after: String::new(), limit: 100 }
    }
}

/// Releases, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReleaseList {
    /// The page.
    pub releases: Vec<ReleaseView>,
    /// What to ask for as `after`; missing on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A release to be.
#[derive(Debug, Default, ToSchema)]
#[schema(example = json!({"plan": "DP-123-checkout"}))]
pub struct NewReleaseBody {
    /// The plan's key.
    pub plan: String,
    /// When it starts by itself, RFC 3339; else when it is told to.
    #[schema(value_type = Option<String>)]
    pub start_at: Option<jiff::Timestamp>,
    /// The percentage of the step to begin with; the first unless given.
    #[schema(value_type = Option<f64>)]
    pub from: Option<Percentage>,
    /// By what the plan's bakes, announcements and status slots are divided, 1 to 10,000; the calendar is ignored then. Not in protected
    /// environments.
    pub time_scale: Option<u32>,
    /// Why, `force`.
    #[schema(inline)]
    pub write: WriteFields,
}

impl FromJson for NewReleaseBody {
    fn from_json(value: &Value, at: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        let mut fields = Fields::of(value, at, faults)?;
        let plan = fields.required::<String>("plan");
        let start_at = moment(&mut fields, "start_at");
        let from = fields.optional("from");
        let time_scale = fields.optional::<i64>("time_scale").and_then(|time_scale| {
            let detail = || format!("is {time_scale}; 1 to 10000");
            u32::try_from(time_scale).map_err(|_| fields.fault("time_scale", detail())).ok()
        });
        let write = WriteFields::read(&mut fields);
        fields.end();
        Some(Self { plan: plan?, start_at, from, time_scale, write })
    }
}

/// A time in a body.
fn moment(fields: &mut Fields<'_>, name: &'static str) -> Option<jiff::Timestamp> {
    let text = fields.optional::<String>(name)?;
    let detail = || format!("is {text:?}, not a time such as 2026-12-01T14:03:00Z");
    text.parse().map_err(|_| fields.fault(name, detail())).ok()
}

/// A release as it is told, from the plan that it copied.
fn told(state: &ReleaseState) -> ReleaseView {
    let reading = state.reading();
    ReleaseView::of(state, reading.plan.as_ref(), reading.assumed.clone(), now_ms())
}

/// A release, for whoever may read it.
async fn state_at(app: &App, scheduler: &Scheduler, caller: &Caller, at: &ReleasePath) -> Result<ReleaseState, Error> {
    let place = app.place(caller, &at.project, &at.environment).await?;
    let row = app.find_release_row(&place, &at.release).await?;
    state_of(app, scheduler, &place, row).await
}

async fn state_of(app: &App, scheduler: &Scheduler, place: &Place, row: ReleaseRow) -> Result<ReleaseState, Error> {
    let fresh = scheduler.find(place.environment.id, &row.key).await;
    app.release_state(row, fresh).await
}

/// The answer to a write of a release.
async fn answer(app: &App, row: ReleaseRow, stored: Stored, warnings: Vec<String>) -> Result<Answer<ReleaseView>, Error> {
    let state = app.release_state(row, Some(stored)).await?;
    let mut view = told(&state);
    view.warnings = warnings;
    Ok(Answer::versioned(i64::try_from(view.number).unwrap_or(i64::MAX), view))
}

/// Lists releases
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/releases", tag = "releases", params(InEnvironment, ReleasesAsked),
    responses((status = 200, body = ReleaseList), ReadProblems))]
pub async fn list_releases(
    State(app): State<App>,
    State(scheduler): State<Scheduler>,
    caller: Caller,
    At(at): At<InEnvironment>,
    Params(asked): Params<ReleasesAsked>,
) -> Result<Answer<ReleaseList>, Error> {
    let place = app.place(&caller, &at.project, &at.environment).await?;
    let limit = asked.limit.clamp(1, 1_000);
    let before = match asked.after.as_str() {
        "" => i64::MAX,
        after => after.parse().map_err(|_| Error::invalid("/after", "is not the \"next\" of a page"))?,
    };
    let filter = ReleaseFilter { plan: asked.plan, flag: asked.flag, live: asked.live };
    let rows = app.list_releases(&place, &filter, before, limit).await?;
    let next = next_after(&rows, limit, |row| row.id.to_string());
    let mut releases = Vec::with_capacity(rows.len());
    for row in rows {
        releases.push(told(&state_of(&app, &scheduler, &place, row).await?).in_list());
    }
    Ok(Answer::ok(ReleaseList { releases, next }))
}

/// Creates a release of a plan: it waits for its start
#[utoipa::path(post, path = "/api/v1/projects/{project}/environments/{environment}/releases", tag = "releases", params(InEnvironment, WriteParams),
    request_body = NewReleaseBody, responses((status = 201, body = ReleaseView), (status = 200, description = "With `dry_run`", body = Wrote<ReleaseView>), WriteProblems))]
pub async fn create_release(
    State(app): State<App>,
    caller: Caller,
    At(at): At<InEnvironment>,
    Params(params): Params<WriteParams>,
    headers: HeaderMap,
    Body(body): Body<NewReleaseBody>,
) -> Result<Response, Error> {
    let ask = params.ask(caller, body.write, &headers)?;
    let place = app.place(&ask.caller, &at.project, &at.environment).await?;
    let new = NewRelease { plan: body.plan, start_at: body.start_at, from: body.from, time_scale: body.time_scale };
    let done = app.create_release(&ask, &place, new).await?;
    let state = app.new_release_state(done.after)?;
    let mut view = told(&state);
    view.warnings = done.warnings;
    if ask.dry_run {
        let after = serde_json::to_value(&view).ok();
        let warnings = std::mem::take(&mut view.warnings);
        return Ok(Answer::ok(DryRun { warnings, ..DryRun::of(None, after.as_ref()) }).into_response());
    }
    Ok(Answer::versioned(0, view).created(true).into_response())
}

/// Reads a release; as `text/markdown` it is the plan's document with ticks and figures
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/releases/{release}", tag = "releases", params(ReleasePath),
    responses((status = 200, content((ReleaseView = "application/json"), (String = "text/markdown"))), ReadProblems))]
pub async fn find_release(
    State(app): State<App>,
    State(scheduler): State<Scheduler>,
    caller: Caller,
    At(at): At<ReleasePath>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let state = state_at(&app, &scheduler, &caller, &at).await?;
    let number = state.row.number;
    let mut response = match documents::wanted(&headers) {
        Some(Media::Markdown) => documents::answer(Media::Markdown, number, app.release_document(&state).await?),
        _ => {
            let view = told(&state);
            Answer::versioned(i64::try_from(view.number).unwrap_or(i64::MAX), view).into_response()
        }
    };
    response.headers_mut().append(http::header::VARY, http::HeaderValue::from_static("accept"));
    Ok(response)
}
