//! "Was user-42 in at 14:03, and why?"

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use storyflag_evaluation::{Context, Fault};
use utoipa::{IntoParams, ToSchema};

use super::{
    InEnvironment,
    body::{Answer, At, Body, Params},
    fields::{Fields, FromJson},
    problems::ReadProblems,
    targetings::TargetingPath,
};
use crate::{
    app::{App, Explained, Explanation, Question},
    auth::Caller,
    error::Error,
};

/// More attributes than this has no application that is well.
const MOST_ATTRIBUTES: usize = 200;

/// Who is asked about.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub struct ExplainParams {
    /// The targeting key.
    #[param(example = "user-42")]
    pub unit: Option<String>,
    /// A moment in the past, RFC 3339; now unless given.
    #[param(example = "2026-12-01T14:03:00Z")]
    pub at: Option<String>,
}

/// Who is asked about, with attributes.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"context": {"targetingKey": "user-42", "country": "DE"}, "at": "2026-12-01T14:03:00Z"}))]
pub struct ExplainBody {
    /// `targetingKey` and attributes.
    #[schema(value_type = Object)]
    context: Context,
    /// A moment in the past, RFC 3339; now unless given.
    #[schema(value_type = Option<String>)]
    at: Option<i64>,
}

/// What a flag answers, and why.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExplainView {
    /// The flag's key.
    pub flag: String,
    /// What is served; null: the caller's default.
    #[schema(value_type = Value)]
    pub value: Option<Value>,
    /// Its name; null: the caller's default.
    pub variant: Option<String>,
    /// STATIC, DEFAULT, TARGETING_MATCH, SPLIT, DISABLED or ERROR.
    pub reason: &'static str,
    /// Whether the flag is killed: with DISABLED, what else it could be is not enabled.
    pub killed: bool,
    /// What went wrong, with ERROR.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'static str>,
    /// The rule that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The unit's bucket, 0 to 999999, where the rollout looked at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket: Option<u32>,
    /// treatment, control, cohort or outside.
    pub arm: &'static str,
    /// The least percentage at which this unit is in by bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enters_at: Option<f64>,
    /// Attributes that rules and cohorts looked at and that were not in the context: with them the answer may be another.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_given: Vec<String>,
    /// The cohorts, and the rules as `rule "id"`, that could not be judged without them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub wanted_by: Vec<String>,
    /// The environment's revision that answers.
    pub revision: u64,
}

/// What every flag answers.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExplainList {
    /// The environment's revision that answers.
    pub revision: u64,
    /// By key.
    pub flags: Vec<ExplainView>,
}

impl FromJson for ExplainBody {
    fn from_json(value: &Value, at: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        let mut fields = Fields::of(value, at, faults)?;
        let context = fields.required::<Value>("context");
        let moment = fields.optional::<String>("at");
        let context = context.and_then(|context| {
            let count = context.as_object().map_or(0, serde_json::Map::len);
            if count > MOST_ATTRIBUTES {
                fields.fault("context", format!("has {count} attributes; at most {MOST_ATTRIBUTES}"));
                return None;
            }
            let read = serde_json::from_value::<Context>(context);
            read.map_err(|error| fields.fault("context", error.to_string())).ok()
        });
        let at = match moment.as_deref().map(moment_of) {
            Some(Err(detail)) => {
                fields.fault("at", detail);
                None
            }
            Some(Ok(at)) => Some(at),
            None => None,
        };
        fields.end();
        Some(Self { context: context?, at })
    }
}

fn moment_of(text: &str) -> Result<i64, String> {
    let at: jiff::Timestamp = text.parse().map_err(|_| {
        if text.parse::<jiff::civil::DateTime>().is_ok() {
            return format!("is {text:?}, without the offset from UTC: such as 2026-12-01T14:03:00Z, or with +01:00 in place of Z");
        }
        format!("is {text:?}, not a time such as 2026-12-01T14:03:00Z")
    })?;
    Ok(at.as_millisecond())
}

fn view(revision: u64, answer: Explanation) -> ExplainView {
    ExplainView {
        flag: answer.flag,
        value: answer.value,
        variant: answer.variant,
        reason: answer.reason.name(),
        killed: answer.killed,
        error: answer.error,
        rule: answer.rule,
        bucket: answer.bucket,
        arm: answer.arm,
        enters_at: answer.enters_at.map(|percentage| percentage.percent()),
        not_given: answer.not_given.attributes.into_iter().collect(),
        wanted_by: answer.not_given.wanted_by.into_iter().collect(),
        revision,
    }
}

fn first(explained: Explained) -> Result<Answer<ExplainView>, Error> {
    let revision = explained.revision;
    let answer = explained.answers.into_iter().next().ok_or_else(|| Error::internal("an explanation without an answer"))?;
    Ok(Answer::ok(view(revision, answer)))
}

/// Explains what a unit gets, and why
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/flags/{flag}/explain", tag = "explain", params(TargetingPath, ExplainParams),
    responses((status = 200, body = ExplainView), ReadProblems))]
pub async fn explain_unit(
    State(app): State<App>,
    caller: Caller,
    At(at): At<TargetingPath>,
    Params(params): Params<ExplainParams>,
) -> Result<Answer<ExplainView>, Error> {
    let moment = params.at.as_deref().map(moment_of).transpose().map_err(|detail| Error::invalid("/at", detail))?;
    let context = params.unit.map_or_else(Context::without_key, Context::new);
    let place = app.remembered_place(&caller, &at.project, &at.environment).await?;
    first(app.explain(&place, &at.flag, &Question { context, at: moment }).await?)
}

/// Explains what a context gets, and why
#[utoipa::path(post, path = "/api/v1/projects/{project}/environments/{environment}/flags/{flag}/explain", tag = "explain", params(TargetingPath),
    request_body = ExplainBody, responses((status = 200, body = ExplainView), ReadProblems))]
pub async fn explain_context(
    State(app): State<App>,
    caller: Caller,
    At(at): At<TargetingPath>,
    Body(body): Body<ExplainBody>,
) -> Result<Answer<ExplainView>, Error> {
    let place = app.remembered_place(&caller, &at.project, &at.environment).await?;
    first(app.explain(&place, &at.flag, &Question { context: body.context, at: body.at }).await?)
}

/// Explains every flag for one context
#[utoipa::path(post, path = "/api/v1/projects/{project}/environments/{environment}/explain", tag = "explain", params(InEnvironment),
    request_body = ExplainBody, responses((status = 200, body = ExplainList), ReadProblems))]
pub async fn explain_all(
    State(app): State<App>,
    caller: Caller,
    At(at): At<InEnvironment>,
    Body(body): Body<ExplainBody>,
) -> Result<Answer<ExplainList>, Error> {
    let place = app.remembered_place(&caller, &at.project, &at.environment).await?;
    let Explained { revision, answers } = app.explain_all(&place, &Question { context: body.context, at: body.at }).await?;
    Ok(Answer::ok(ExplainList { revision, flags: answers.into_iter().map(|answer| view(revision, answer)).collect() }))
}
