//! Projects.

use axum::{extract::State, http::HeaderMap, response::Response};
use serde::Serialize;
use serde_json::Value;
use storyflag_evaluation::Fault;
use utoipa::ToSchema;

use super::{
    InProject, Page,
    body::{Answer, At, Body, Params, Told, WriteFields, WriteParams},
    fields::{Fields, FromJson},
    next_after,
    problems::{ReadProblems, WriteProblems},
    time,
    writes::{self, Wrote},
};
use crate::{app::App, auth::Caller, error::Error, store::ProjectRow};

/// A namespace of flags.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProjectView {
    /// Its key.
    pub key: String,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_at: String,
    /// For `If-Match`.
    pub version: i64,
}

/// Projects, by key.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProjectList {
    /// The page.
    pub projects: Vec<ProjectView>,
    /// What to ask for as `after`; missing on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What a project is.
#[derive(Debug, Default, ToSchema)]
pub struct ProjectBody {
    /// Its name; the key unless given.
    pub name: Option<String>,
    #[schema(ignore)]
    told: Told,
}

impl FromJson for ProjectBody {
    fn from_json(value: &Value, at: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        let mut fields = Fields::of(value, at, faults)?;
        let body = Self { name: fields.optional("name"), told: Told::read(&mut fields, &["created_at"]) };
        fields.end();
        Some(body)
    }
}

fn view(row: &ProjectRow) -> ProjectView {
    ProjectView { key: row.key.clone(), name: row.name.clone(), created_at: time(row.created_at), version: row.version }
}

/// Lists projects
#[utoipa::path(get, path = "/api/v1/projects", tag = "projects", params(Page), responses((status = 200, body = ProjectList), ReadProblems))]
pub async fn list_projects(State(app): State<App>, _: Caller, Params(page): Params<Page>) -> Result<Answer<ProjectList>, Error> {
    let rows = app.list_projects(&page.after, page.limit()).await?;
    let next = next_after(&rows, page.limit(), |row| row.key.clone());
    Ok(Answer::ok(ProjectList { projects: rows.iter().map(view).collect(), next }))
}

/// Reads a project
#[utoipa::path(get, path = "/api/v1/projects/{project}", tag = "projects", params(InProject), responses((status = 200, body = ProjectView), ReadProblems))]
pub async fn find_project(State(app): State<App>, _: Caller, At(at): At<InProject>) -> Result<Answer<ProjectView>, Error> {
    let row = app.project(&at.project).await?;
    Ok(Answer::versioned(row.version, view(&row)))
}

/// Makes a project, or renames it
#[utoipa::path(put, path = "/api/v1/projects/{project}", tag = "projects", params(InProject, WriteParams), request_body = ProjectBody,
    responses((status = 200, body = Wrote<ProjectView>), (status = 201, body = ProjectView), WriteProblems))]
pub async fn put_project(
    State(app): State<App>,
    caller: Caller,
    At(at): At<InProject>,
    Params(params): Params<WriteParams>,
    headers: HeaderMap,
    Body(body): Body<ProjectBody>,
) -> Result<Response, Error> {
    let dry_run = params.dry_run;
    let ask = body.told.holds(&at.project, params.ask(caller, WriteFields::default(), &headers)?)?;
    let done = app.put_project(&ask, &at.project, body.name).await?;
    Ok(writes::answer(dry_run, done, |_| None, view, |row| Some(row.version)))
}
