//! The percentage that a release manager raises.

use axum::{
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::Value;
use storyflag_evaluation::{Fault, Percentage, Rollout};
use utoipa::ToSchema;

use super::{
    body::{Answer, At, Body, Params, WriteFields, WriteParams},
    fields::{Fields, FromJson},
    forms::RolloutForm,
    problems::WriteProblems,
    targetings::{self, TargetingAnswer, TargetingPath},
    writes::Wrote,
};
use crate::{app::App, auth::Caller, error::Error};

/// A bump.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"percentage": 1, "from": 0.1, "reason": "an hour without errors"}))]
pub struct BumpBody {
    /// To so many percent, at most four decimals.
    #[schema(value_type = f64, minimum = 0, maximum = 100)]
    percentage: Percentage,
    /// Only if this is what stands: else 409 with what does.
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 100)]
    from: Option<Percentage>,
    #[serde(flatten)]
    write: WriteFields,
}

impl FromJson for BumpBody {
    fn from_json(value: &Value, at: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        let mut fields = Fields::of(value, at, faults)?;
        let percentage = fields.required("percentage");
        let from = fields.optional("from");
        let write = WriteFields::read(&mut fields);
        fields.end();
        Some(Self { percentage: percentage?, from, write })
    }
}

/// What a bump did.
#[derive(Debug, Serialize, ToSchema)]
pub struct BumpAnswer {
    /// What stood, in percent.
    #[schema(example = 0.1)]
    pub from: f64,
    /// What stands, in percent.
    #[schema(example = 1)]
    pub to: f64,
    /// The environment's revision that made it, or that stood when nothing changed.
    pub revision: i64,
    /// How many instances of applications were heard of lately: so many will serve it a moment later.
    pub instances: usize,
    /// What the caller should know, such as "not enabled here: nobody is served".
    pub warnings: Vec<String>,
    /// For `If-Match`.
    pub version: i64,
}

/// Raises or lowers the percentage
#[utoipa::path(patch, path = "/api/v1/projects/{project}/environments/{environment}/flags/{flag}/rollout", tag = "targetings", params(TargetingPath, WriteParams),
    request_body = BumpBody, responses((status = 200, body = Wrote<BumpAnswer>), WriteProblems))]
pub async fn bump_rollout(
    State(app): State<App>,
    caller: Caller,
    At(at): At<TargetingPath>,
    Params(params): Params<WriteParams>,
    headers: HeaderMap,
    Body(body): Body<BumpBody>,
) -> Result<Response, Error> {
    let dry_run = params.dry_run;
    let ask = params.ask(caller, body.write, &headers)?;
    let place = app.place(&ask.caller, &at.project, &at.environment).await?;
    let done = app.bump(&ask, &place, &at.flag, body.percentage, body.from).await?;
    if dry_run {
        return Ok(targetings::answer(&app, place.environment.id, dry_run, done).await);
    }
    let stood = done.before.as_ref().unwrap_or(&done.after);
    let answer = BumpAnswer {
        from: stood.item.rollout.millionths.percent(),
        to: done.after.item.rollout.millionths.percent(),
        revision: done.revision.unwrap_or_default(),
        instances: app.count_instances(place.environment.id).await,
        warnings: done.warnings,
        version: done.after.row.version,
    };
    Ok(Answer::versioned(answer.version, answer).into_response())
}

/// Replaces the whole rollout: cohorts, percentage, what is served
#[utoipa::path(put, path = "/api/v1/projects/{project}/environments/{environment}/flags/{flag}/rollout", tag = "targetings", params(TargetingPath, WriteParams),
    request_body = RolloutForm, responses((status = 200, body = Wrote<TargetingAnswer>), WriteProblems))]
pub async fn put_rollout(
    State(app): State<App>,
    caller: Caller,
    At(at): At<TargetingPath>,
    Params(params): Params<WriteParams>,
    headers: HeaderMap,
    Body(rollout): Body<Rollout>,
) -> Result<Response, Error> {
    let dry_run = params.dry_run;
    let ask = params.ask(caller, WriteFields::default(), &headers)?;
    let place = app.place(&ask.caller, &at.project, &at.environment).await?;
    let done = app.put_rollout(&ask, &place, &at.flag, rollout).await?;
    Ok(targetings::answer(&app, place.environment.id, dry_run, done).await)
}
