//! What happened to a release.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::{ReleasePath, state_at};
use crate::{
    api::{
        body::{Answer, At},
        problems::ReadProblems,
        time,
    },
    app::{App, Entry, EntryKind, ReleaseState},
    auth::Caller,
    error::Error,
    scheduler::Scheduler,
};

/// A release's timeline, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct Timeline {
    /// What happened.
    pub timeline: Vec<EntryView>,
}

/// One thing that happened.
#[derive(Debug, Serialize, ToSchema)]
pub struct EntryView {
    /// What it is.
    pub kind: EntryKind,
    /// When.
    pub at: String,
    /// Counts transitions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<i64>,
    /// The state before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The state after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The step, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<usize>,
    /// Its percentage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percentage: Option<f64>,
    /// Who did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// What it rests on, or what was said.
    pub text: String,
    /// The environment's revision that it made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// Who was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
}

impl EntryView {
    /// Of an entry of a release's timeline.
    pub fn of(entry: Entry, told: &ReleaseState) -> Self {
        let steps = &told.stored.carried.course.steps;
        let percentage = entry.step.and_then(|step| steps.get(step)).map(|step| step.percentage.percent());
        Self {
            kind: entry.kind,
            at: time(entry.at),
            number: entry.number,
            from: entry.from,
            to: entry.to,
            step: entry.step.map(|step| step.saturating_add(1)),
            percentage,
            actor: entry.actor,
            text: entry.text,
            revision: entry.revision,
            audience: entry.audience,
        }
    }
}

/// Reads what happened to a release, and on what grounds
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/releases/{release}/timeline", tag = "releases", params(ReleasePath),
    responses((status = 200, body = Timeline), ReadProblems))]
pub async fn release_timeline(
    State(app): State<App>,
    State(scheduler): State<Scheduler>,
    caller: Caller,
    At(at): At<ReleasePath>,
) -> Result<Answer<Timeline>, Error> {
    let state = state_at(&app, &scheduler, &caller, &at).await?;
    let entries = app.release_timeline(&state).await?;
    Ok(Answer::ok(Timeline { timeline: entries.into_iter().map(|entry| EntryView::of(entry, &state)).collect() }))
}
