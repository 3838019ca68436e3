//! Deployment plans: put as Markdown, YAML or JSON, and told with everything that was found in them.

use axum::{
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use storyflag_release::plan::{Kept, Media, Reading, write};
use utoipa::{IntoParams, ToSchema};

use super::{
    InProject, Page,
    body::{Answer, At, Params, WriteFields, WriteParams},
    documents::{self, Document},
    next_after,
    problems::{ReadProblems, WriteProblems},
    time,
    writes::DryRun,
};
use crate::{
    app::{App, Done, StoredPlan},
    auth::Caller,
    error::{Error, ProblemFault},
    store::PlanEntry,
};

/// Where a plan lies.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct PlanPath {
    /// The project's key.
    #[param(example = "default")]
    pub project: String,
    /// The plan's key.
    #[param(example = "DP-123-checkout")]
    pub plan: String,
}

/// What a list tells of a plan.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlanEntryView {
    /// Its key.
    pub key: String,
    /// The story that it releases.
    pub story: String,
    /// The flag that it drives; empty where nothing is executed here.
    pub flag: String,
    /// `feature_flag`; `canary`, `blue_green` and `rolling` are kept and not executed here.
    pub approach: String,
    /// What it was put in: `markdown`, `yaml` or `json`. Asked for in that, it comes as it was put.
    pub media: String,
    /// For `If-Match`.
    pub version: i64,
    /// When it was made.
    pub created_at: String,
    /// When it was last put.
    pub updated_at: String,
    /// By whom.
    pub updated_by: String,
}

/// Plans, by key.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlanList {
    /// The page.
    pub plans: Vec<PlanEntryView>,
    /// What to ask for as `after`; missing on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A plan, and what its document was read as.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlanView {
    #[serde(flatten)]
    entry: PlanEntryView,
    #[serde(flatten)]
    found: Found,
    /// What stands in the way of a release of it, such as a flag that is not there yet.
    warnings: Vec<String>,
}

/// What was found in a plan's document.
#[derive(Debug, Serialize, ToSchema)]
pub struct Found {
    /// The plan in its canonical form; missing only where a later version of the service finds faults.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub plan: Option<Value>,
    /// Everything that is not right.
    pub faults: Vec<ProblemFault>,
    /// What the reader added, a line each.
    pub assumed: Vec<String>,
    /// What is kept word for word and not executed.
    pub kept: Vec<KeptView>,
    /// Where and why the plan, though well written, cannot be executed here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_executable: Option<ProblemFault>,
}

/// A part of a document that is not executed.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeptView {
    /// Where it begins, from 1.
    pub line: usize,
    /// Word for word.
    pub text: String,
}

/// What a PUT would do.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlanDryRun {
    #[serde(flatten)]
    would: DryRun,
    #[serde(flatten)]
    found: Found,
}

/// What a write of a plan answers: what stands now, or with `dry_run` what the write would do.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "describes answers; no value is ever made")]
pub enum PlanWrote {
    /// What stands now.
    Stands(PlanView),
    /// With `dry_run`.
    Would(PlanDryRun),
}

impl Found {
    /// Of a reading.
    pub fn of(reading: &Reading) -> Self {
        let kept = |kept: &Kept| KeptView { line: kept.line, text: kept.text.clone() };
        Self {
            plan: reading.plan.as_ref().and_then(|plan| serde_json::to_value(plan).ok()),
            faults: reading.faults.iter().map(ProblemFault::of_document).collect(),
            assumed: reading.assumed.clone(),
            kept: reading.kept.iter().map(kept).collect(),
            not_executable: reading.not_executable.as_ref().map(ProblemFault::of_document),
        }
    }
}

fn entry(row: &PlanEntry) -> PlanEntryView {
    PlanEntryView {
        key: row.key.clone(),
        story: row.story.clone(),
        flag: row.flag.clone(),
        approach: row.approach.clone(),
        media: row.media.clone(),
        version: row.version,
        created_at: time(row.created_at),
        updated_at: time(row.updated_at),
        updated_by: row.updated_by.clone(),
    }
}

fn view(plan: &StoredPlan) -> PlanView {
    PlanView { entry: entry(&plan.row.entry), found: Found::of(&plan.reading), warnings: plan.warnings.clone() }
}

/// Lists plans
#[utoipa::path(get, path = "/api/v1/projects/{project}/plans", tag = "plans", params(InProject, Page), responses((status = 200, body = PlanList), ReadProblems))]
pub async fn list_plans(
    State(app): State<App>,
    _: Caller,
    At(at): At<InProject>,
    Params(page): Params<Page>,
) -> Result<Answer<PlanList>, Error> {
    let rows = app.list_plans(&at.project, &page.after, page.limit()).await?;
    let next = next_after(&rows, page.limit(), |row| row.key.clone());
    Ok(Answer::ok(PlanList { plans: rows.iter().map(entry).collect(), next }))
}

/// Reads a plan: what was found in it, or the document
///
/// `Accept` says which: `application/json` is what was found in it, every other media type the document. In the media type
/// that it was put in, that is word for word as it was put; in another one, the same plan in its canonical form.
#[utoipa::path(get, path = "/api/v1/projects/{project}/plans/{plan}", tag = "plans", params(PlanPath),
    responses((status = 200, content((PlanView = "application/json"), (String = "text/markdown"), (String = "application/yaml"),
        (Value = "application/vnd.storyflag.plan+json"))), ReadProblems))]
pub async fn find_plan(State(app): State<App>, _: Caller, At(at): At<PlanPath>, headers: HeaderMap) -> Result<Response, Error> {
    let found = app.find_plan(&at.project, &at.plan).await?;
    let version = found.row.entry.version;
    let mut response = match documents::wanted(&headers) {
        None => Answer::versioned(version, view(&found)).into_response(),
        Some(media) => documents::answer(media, version, document(found, media)?),
    };
    response.headers_mut().append(http::header::VARY, http::HeaderValue::from_static("accept"));
    Ok(response)
}

/// The document: as it was put, or the same plan in another media type.
fn document(found: StoredPlan, media: Media) -> Result<String, Error> {
    if found.media() == media {
        return Ok(found.row.document);
    }
    match found.reading.plan {
        Some(plan) => Ok(write(media, &plan)),
        None => Err(Error::InvalidDocument(found.reading.faults)),
    }
}

/// Creates a plan, or replaces it
///
/// `Content-Type` says what it is written in: `text/markdown`, `application/yaml` or `application/json`. A document with
/// faults is refused, with every fault at its line and column, and nothing is kept of it. A plan for another approach than
/// a feature flag is kept and not executed here.
#[utoipa::path(put, path = "/api/v1/projects/{project}/plans/{plan}", tag = "plans", params(PlanPath, WriteParams),
    request_body(content((String = "text/markdown"), (String = "application/yaml"), (Value = "application/json"))),
    responses((status = 200, body = PlanWrote), (status = 201, body = PlanView), WriteProblems))]
pub async fn put_plan(
    State(app): State<App>,
    caller: Caller,
    At(at): At<PlanPath>,
    Params(params): Params<WriteParams>,
    headers: HeaderMap,
    Document { media, text }: Document,
) -> Result<Response, Error> {
    let ask = params.ask(caller, WriteFields::default(), &headers)?;
    let done = app.put_plan(&ask, &at.project, &at.plan, media, &text).await?;
    if ask.dry_run {
        return Ok(would(&done, Some(&done.after)));
    }
    let created = done.before.is_none();
    Ok(Answer::versioned(done.after.row.entry.version, view(&done.after)).created(created).into_response())
}

/// Deletes a plan
///
/// What was released by it stays as it is: a release has a copy of its own.
#[utoipa::path(delete, path = "/api/v1/projects/{project}/plans/{plan}", tag = "plans", params(PlanPath, WriteParams),
    responses((status = 200, body = PlanWrote), WriteProblems))]
pub async fn delete_plan(
    State(app): State<App>,
    caller: Caller,
    At(at): At<PlanPath>,
    Params(params): Params<WriteParams>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let ask = params.ask(caller, WriteFields::default(), &headers)?;
    let done = app.delete_plan(&ask, &at.project, &at.plan).await?;
    if ask.dry_run {
        return Ok(would(&done, None));
    }
    Ok(Answer::versioned(done.after.row.entry.version, view(&done.after)).into_response())
}

fn would(done: &Done<StoredPlan>, after: Option<&StoredPlan>) -> Response {
    let json = |plan: &StoredPlan| plan.reading.plan.as_ref().and_then(|plan| serde_json::to_value(plan).ok());
    let mut would = DryRun::of(done.before.as_ref().and_then(json).as_ref(), after.and_then(json).as_ref());
    would.warnings.clone_from(&done.warnings);
    Answer::ok(PlanDryRun { would, found: Found::of(&done.after.reading) }).into_response()
}
