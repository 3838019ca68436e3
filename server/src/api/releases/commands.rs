//! What people ask of a release.

use axum::{extract::State, http::HeaderMap};
use serde::Deserialize;
use serde_json::Value;
use storyflag_evaluation::{Fault, Percentage};
use storyflag_release::machine::CommandKind;
use utoipa::{IntoParams, ToSchema};

use super::{ReleasePath, answer, view::ReleaseView};
use crate::{
    api::{
        body::{Answer, At, Body, Params, WriteFields, WriteParams},
        fields::{Fields, FromJson},
        problems::WriteProblems,
    },
    app::App,
    auth::Caller,
    error::Error,
    scheduler::Scheduler,
};

/// The body of a start.
#[derive(Debug, Default, ToSchema)]
pub struct StartBody {
    /// The percentage of the step to begin with; the first unless given.
    #[schema(value_type = Option<f64>)]
    pub from: Option<Percentage>,
    /// Why, `force`.
    #[schema(inline)]
    pub write: WriteFields,
}

impl FromJson for StartBody {
    fn from_json(value: &Value, at: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        let mut fields = Fields::of(value, at, faults)?;
        let body = Self { from: fields.optional("from"), write: WriteFields::read(&mut fields) };
        fields.end();
        Some(body)
    }
}

/// The body of a tick.
#[derive(Debug, ToSchema)]
pub struct TickBody {
    /// Whether it is done.
    pub done: bool,
    /// Why.
    #[schema(inline)]
    pub write: WriteFields,
}

impl FromJson for TickBody {
    fn from_json(value: &Value, at: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        let mut fields = Fields::of(value, at, faults)?;
        let (done, write) = (fields.required("done"), WriteFields::read(&mut fields));
        fields.end();
        Some(Self { done: done?, write })
    }
}

/// Where a check box lies.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct ItemPath {
    /// The project's key.
    #[param(example = "default")]
    pub project: String,
    /// The environment's key.
    #[param(example = "staging")]
    pub environment: String,
    /// The release's id.
    #[param(example = "DP-123-checkout-1")]
    pub release: String,
    /// The check box's id.
    #[param(example = "code-reviewed-and-approved")]
    pub item: String,
}

/// What a command is called with.
struct Called {
    at: ReleasePath,
    params: WriteParams,
    headers: HeaderMap,
}

impl Called {
    async fn carry_out(
        self,
        (app, scheduler): (App, Scheduler),
        caller: Caller,
        body: WriteFields,
        kind: impl FnOnce(&crate::store::ReleaseRow) -> Result<CommandKind, Error>,
    ) -> Result<Answer<ReleaseView>, Error> {
        let ask = self.params.ask(caller, body, &self.headers)?;
        let place = app.place(&ask.caller, &self.at.project, &self.at.environment).await?;
        let kind = kind(&app.find_release_row(&place, &self.at.release).await?)?;
        let (row, stored) = scheduler.command(&ask, &place, &self.at.release, kind).await?;
        answer(&app, row, stored, Vec::new()).await
    }
}

macro_rules! commands {
    ($($(#[$doc:meta])* $name:ident $path:literal $kind:expr;)+) => { $(
        $(#[$doc])*
        #[utoipa::path(post, path = concat!("/api/v1/projects/{project}/environments/{environment}/releases/{release}", $path), tag = "releases",
            params(ReleasePath, WriteParams), request_body = WriteFields, responses((status = 200, body = ReleaseView), WriteProblems))]
        pub async fn $name(
            State(app): State<App>,
            State(scheduler): State<Scheduler>,
            caller: Caller,
            At(at): At<ReleasePath>,
            Params(params): Params<WriteParams>,
            headers: HeaderMap,
            Body(body): Body<WriteFields>,
        ) -> Result<Answer<ReleaseView>, Error> {
            Called { at, params, headers }.carry_out((app, scheduler), caller, body, |_| Ok($kind)).await
        }
    )+ };
}

commands! {
    /// Pauses a release: it stays where it is, and its triggers are judged all the same
    pause_release "/pause" CommandKind::Pause;
    /// Resumes a paused release
    resume_release "/resume" CommandKind::Resume;
    /// Approves what waits for it; needs `If-Match`
    approve_release "/approve" CommandKind::Approve;
    /// Takes the next step now, whatever is missing; needs a reason and `If-Match`
    advance_release "/advance" CommandKind::Advance;
    /// Rolls a release back: its baseline is written at once
    rollback_release "/rollback" CommandKind::Rollback;
    /// Calls a release off before its first step
    cancel_release "/cancel" CommandKind::Cancel;
}

/// Starts a release: its first step is taken, or the one named
#[utoipa::path(post, path = "/api/v1/projects/{project}/environments/{environment}/releases/{release}/start", tag = "releases",
    params(ReleasePath, WriteParams), request_body = StartBody, responses((status = 200, body = ReleaseView), WriteProblems))]
pub async fn start_release(
    State(app): State<App>,
    State(scheduler): State<Scheduler>,
    caller: Caller,
    At(at): At<ReleasePath>,
    Params(params): Params<WriteParams>,
    headers: HeaderMap,
    Body(body): Body<StartBody>,
) -> Result<Answer<ReleaseView>, Error> {
    let from = body.from;
    let kind = {
        let app = app.clone();
        move |row: &crate::store::ReleaseRow| Ok(CommandKind::Start { from: from.map(|from| app.step_of_release(row, from)).transpose()? })
    };
    Called { at, params, headers }.carry_out((app, scheduler), caller, body.write, kind).await
}

/// Ticks a check box, or clears it
#[utoipa::path(put, path = "/api/v1/projects/{project}/environments/{environment}/releases/{release}/checklist/{item}", tag = "releases",
    params(ItemPath, WriteParams), request_body = TickBody, responses((status = 200, body = ReleaseView), WriteProblems))]
pub async fn tick_item(
    State(app): State<App>,
    State(scheduler): State<Scheduler>,
    caller: Caller,
    At(ItemPath { project, environment, release, item }): At<ItemPath>,
    Params(params): Params<WriteParams>,
    headers: HeaderMap,
    Body(body): Body<TickBody>,
) -> Result<Answer<ReleaseView>, Error> {
    let done = body.done;
    let kind = {
        let app = app.clone();
        move |row: &crate::store::ReleaseRow| Ok(CommandKind::Tick { item: app.item_of_release(row, &item)?, done })
    };
    let at = ReleasePath { project, environment, release };
    Called { at, params, headers }.carry_out((app, scheduler), caller, body.write, kind).await
}
