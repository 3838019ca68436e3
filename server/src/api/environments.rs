//! Environments and their settings.

use axum::{extract::State, http::HeaderMap, response::Response};
use serde::Serialize;
use serde_json::Value;
use storyflag_evaluation::Fault;
use utoipa::ToSchema;

use super::{
    InEnvironment, InProject,
    body::{Answer, At, Body, Params, Told, WriteFields, WriteParams},
    fields::{Fields, FromJson},
    problems::{ReadProblems, WriteProblems},
    time,
    writes::{self, Wrote},
};
use crate::{
    app::{App, EnvironmentDefinition, Settings},
    auth::Caller,
    error::Error,
    store::EnvironmentRow,
};

/// An environment.
#[derive(Debug, Serialize, ToSchema)]
pub struct EnvironmentView {
    /// Its key.
    pub key: String,
    /// Its name.
    pub name: String,
    /// Whether changes need a reason and a release manager.
    pub protected: bool,
    /// What bounds manual changes while it is protected.
    pub settings: Settings,
    /// What it serves, counted.
    pub revision: i64,
    /// Which history the revision is of: `incarnation-revision-digest`.
    pub identity: String,
    /// Whether the database was found to have gone back: the next write begins a new history.
    pub regressed: bool,
    /// How many flags it serves.
    pub flags: i64,
    /// When it last served something new.
    pub changed_at: String,
    /// Of its settings, for `If-Match`.
    pub version: i64,
}

/// Environments, in the order in which they were made.
#[derive(Debug, Serialize, ToSchema)]
pub struct EnvironmentList {
    /// All of them.
    pub environments: Vec<EnvironmentView>,
}

/// What an environment is; what is missing stays as it is.
#[derive(Debug, Default, ToSchema)]
pub struct EnvironmentBody {
    /// Its name; the key unless given.
    pub name: Option<String>,
    /// Whether changes need a reason and a release manager; `production` is unless told otherwise.
    pub protected: Option<bool>,
    /// What bounds manual changes while it is protected.
    pub settings: Option<Settings>,
    #[schema(ignore)]
    told: Told,
}

impl FromJson for Settings {
    fn from_json(value: &Value, at: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        let mut fields = Fields::of(value, at, faults)?;
        let default = Self::default();
        let settings = Self {
            reason_required: fields.optional("reason_required").unwrap_or(default.reason_required),
            max_factor: fields.optional("max_factor").unwrap_or(default.max_factor),
            max_first_percentage: fields.optional("max_first_percentage").unwrap_or(default.max_first_percentage),
            approver_is_not_author: fields.optional("approver_is_not_author").unwrap_or(default.approver_is_not_author),
        };
        if settings.max_factor < 1.0 {
            fields.fault("max_factor", format!("is {}; at least 1", settings.max_factor));
        }
        if !(0.0..=100.0).contains(&settings.max_first_percentage) {
            fields.fault("max_first_percentage", format!("is {}; a percentage is 0 to 100", settings.max_first_percentage));
        }
        fields.end();
        Some(settings)
    }
}

impl FromJson for EnvironmentBody {
    fn from_json(value: &Value, at: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        let mut fields = Fields::of(value, at, faults)?;
        let body = Self {
            name: fields.optional("name"),
            protected: fields.optional("protected"),
            settings: fields.optional("settings"),
            told: Told::read(&mut fields, &["revision", "identity", "regressed", "flags", "changed_at"]),
        };
        fields.end();
        Some(body)
    }
}

pub(super) fn view(row: &EnvironmentRow) -> EnvironmentView {
    EnvironmentView {
        key: row.key.clone(),
        name: row.name.clone(),
        protected: row.protected,
        settings: Settings::of(row),
        revision: row.revision,
        identity: row.identity().to_string(),
        regressed: row.regressed,
        flags: row.flags,
        changed_at: time(row.changed_at),
        version: row.version,
    }
}

/// Lists a project's environments
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments", tag = "environments", params(InProject), responses((status = 200, body = EnvironmentList), ReadProblems))]
pub async fn list_environments(State(app): State<App>, caller: Caller, At(at): At<InProject>) -> Result<Answer<EnvironmentList>, Error> {
    let (_, rows) = app.list_environments(&caller, &at.project).await?;
    Ok(Answer::ok(EnvironmentList { environments: rows.iter().map(view).collect() }))
}

/// Reads an environment
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}", tag = "environments", params(InEnvironment), responses((status = 200, body = EnvironmentView), ReadProblems))]
pub async fn find_environment(State(app): State<App>, caller: Caller, At(at): At<InEnvironment>) -> Result<Answer<EnvironmentView>, Error> {
    let place = app.place(&caller, &at.project, &at.environment).await?;
    Ok(Answer::versioned(place.environment.version, view(&place.environment)))
}

/// Makes an environment, or changes its settings
#[utoipa::path(put, path = "/api/v1/projects/{project}/environments/{environment}", tag = "environments", params(InEnvironment, WriteParams), request_body = EnvironmentBody,
    responses((status = 200, body = Wrote<EnvironmentView>), (status = 201, body = EnvironmentView), WriteProblems))]
pub async fn put_environment(
    State(app): State<App>,
    caller: Caller,
    At(at): At<InEnvironment>,
    Params(params): Params<WriteParams>,
    headers: HeaderMap,
    Body(body): Body<EnvironmentBody>,
) -> Result<Response, Error> {
    let dry_run = params.dry_run;
    let ask = body.told.holds(&at.environment, params.ask(caller, WriteFields::default(), &headers)?)?;
    let definition = EnvironmentDefinition { name: body.name, protected: body.protected, settings: body.settings };
    let done = app.put_environment(&ask, &at.project, &at.environment, definition).await?;
    Ok(writes::answer(dry_run, done, |_| None, view, |row| Some(row.version)))
}
