//! The processes that run the SDK, and how they use flags.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    InEnvironment, Page,
    body::{Answer, At, Params},
    problems::ReadProblems,
    time,
};
use crate::{app::App, auth::Caller, error::Error};

/// A process that runs the SDK.
#[derive(Debug, Serialize, ToSchema)]
pub struct InstanceView {
    /// Its own random id.
    pub instance: String,
    /// Its SDK.
    #[schema(example = "rust/0.1.0")]
    pub sdk: String,
    /// What it runs: `incarnation-revision-digest`.
    pub applied: String,
    /// When it was last heard of.
    pub last_seen_at: String,
    /// Whether it said that it ends.
    pub goodbye: bool,
}

/// The processes that were heard of within the last hour.
#[derive(Debug, Serialize, ToSchema)]
pub struct InstanceList {
    /// How many of them were heard of lately and have not said goodbye.
    pub live: usize,
    /// By their ids.
    pub instances: Vec<InstanceView>,
}

/// How often a variant was served.
#[derive(Debug, Serialize, ToSchema)]
pub struct UsageView {
    /// The flag's key.
    pub flag: String,
    /// The variant's name.
    pub variant: String,
    /// Since the environment was made.
    pub count: i64,
    /// When it was last asked for.
    pub last_asked_at: String,
}

/// How flags are used.
#[derive(Debug, Serialize, ToSchema)]
pub struct UsageList {
    /// By flag and variant.
    pub usage: Vec<UsageView>,
}

/// Lists the processes that run the SDK, and what they run
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/instances", tag = "instances", params(InEnvironment, Page),
    responses((status = 200, body = InstanceList), ReadProblems))]
pub async fn list_instances(
    State(app): State<App>,
    caller: Caller,
    At(at): At<InEnvironment>,
    Params(page): Params<Page>,
) -> Result<Answer<InstanceList>, Error> {
    let place = app.place(&caller, &at.project, &at.environment).await?;
    let rows = app.list_instances(&place, page.limit()).await?;
    let view = |row: crate::store::InstanceRow| InstanceView {
        instance: row.instance,
        sdk: row.sdk,
        applied: row.applied,
        last_seen_at: time(row.last_seen_at),
        goodbye: row.goodbye,
    };
    let live = app.count_instances(place.environment.id).await;
    Ok(Answer::ok(InstanceList { live, instances: rows.into_iter().map(view).collect() }))
}

/// Lists how often each variant was served
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/usage", tag = "instances", params(InEnvironment),
    responses((status = 200, body = UsageList), ReadProblems))]
pub async fn list_usage(State(app): State<App>, caller: Caller, At(at): At<InEnvironment>) -> Result<Answer<UsageList>, Error> {
    let place = app.place(&caller, &at.project, &at.environment).await?;
    let rows = app.list_usage(&place).await?;
    let view = |row: crate::store::UsedRow| UsageView {
        flag: row.flag,
        variant: row.variant,
        count: row.count,
        last_asked_at: time(row.last_asked_at),
    };
    Ok(Answer::ok(UsageList { usage: rows.into_iter().map(view).collect() }))
}
