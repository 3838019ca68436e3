//! Channels: where people hear of what happens in an environment.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use storyflag_evaluation::Fault;
use utoipa::{IntoParams, ToSchema};

use super::{
    InEnvironment,
    body::{Answer, At, Body, Params, Told, WriteFields, WriteParams},
    fields::{Fields, FromJson, wrong_type},
    problems::{ReadProblems, WriteProblems},
    time,
    writes::{DryRun, Wrote},
};
use crate::{
    app::{AUDIENCES, App, ChannelDefinition, StoredChannel},
    auth::Caller,
    error::Error,
    notify::Address,
};

const WEBHOOK: &str = "webhook";

/// Where a channel lies.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct ChannelPath {
    /// The project's key.
    #[param(example = "default")]
    pub project: String,
    /// The environment's key.
    #[param(example = "production")]
    pub environment: String,
    /// The channel's key.
    #[param(example = "team-shop")]
    pub channel: String,
}

/// How a channel is put.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub struct PutChannelParams {
    /// Why.
    pub reason: Option<String>,
    /// Change nothing; tell the faults and the differences.
    pub dry_run: bool,
    /// Sign with another secret from now on; the answer tells it once.
    pub rotate: bool,
}

/// A channel.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChannelView {
    /// Its key.
    pub key: String,
    /// `webhook`: messages are sent as [Standard Webhooks](https://www.standardwebhooks.com).
    #[schema(example = "webhook")]
    pub kind: String,
    /// Where messages are sent.
    #[schema(example = "https://hooks.example.com/storyflag")]
    pub url: String,
    /// Which audiences' messages it receives: `team`, `on_call`, `stakeholders`, `changes`.
    pub receives: Vec<String>,
    /// What messages are signed with: told when it is new, and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "whsec_...")]
    pub secret: Option<String>,
    /// How many messages it has yet to receive.
    pub waiting: i64,
    /// What the last attempt to deliver one of them met.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// For `If-Match`.
    pub version: i64,
    /// When it was made.
    pub created_at: String,
    /// When it was last changed.
    pub updated_at: String,
}

/// All channels of an environment.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChannelList {
    /// By key.
    pub channels: Vec<ChannelView>,
}

/// What a channel is.
#[derive(Debug, ToSchema)]
pub struct ChannelBody {
    /// `webhook`, which it is unless given.
    #[schema(example = "webhook")]
    pub kind: Option<String>,
    /// Where messages are sent: `https://`, or `http://` in a network of one's own.
    #[schema(example = "https://hooks.example.com/storyflag")]
    pub url: String,
    /// Which audiences' messages it receives: `team`, `on_call`, `stakeholders`, `changes`.
    pub receives: Vec<String>,
    #[schema(ignore)]
    told: Told,
}

/// A message that was sent for a test.
#[derive(Debug, Serialize, ToSchema)]
pub struct TestView {
    /// Its id, as the receiver sees it in `webhook-id`.
    #[schema(example = "msg_0123456789abcdef0123456789abcdef")]
    pub message: String,
}

impl FromJson for ChannelBody {
    fn from_json(value: &Value, at: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        let mut fields = Fields::of(value, at, faults)?;
        let kind = fields.optional::<String>("kind");
        if let Some(kind) = kind.as_ref().filter(|kind| *kind != WEBHOOK) {
            fields.fault("kind", format!("is {kind:?}; known is \"{WEBHOOK}\""));
        }
        let url = fields.required::<String>("url");
        if let Some(why) = url.as_ref().and_then(|url| Address::parse(url).err()) {
            fields.fault("url", why);
        }
        let receives = fields.required::<Vec<Audience>>("receives");
        if receives.as_ref().is_some_and(Vec::is_empty) {
            fields.fault("receives", format!("is empty: it would never receive anything; known are {}", AUDIENCES.join(", ")));
        }
        let told = Told::read(&mut fields, &["waiting", "error", "created_at", "updated_at"]);
        fields.end();
        let mut receives: Vec<String> = receives?.into_iter().map(|Audience(name)| name.to_owned()).collect();
        receives.sort_by_key(|name| AUDIENCES.iter().position(|known| known == name));
        receives.dedup();
        Some(Self { kind, url: url?, receives, told })
    }
}

/// One of those that messages are for.
struct Audience(&'static str);

impl FromJson for Audience {
    fn from_json(value: &Value, at: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        let known = value.as_str().and_then(|text| AUDIENCES.into_iter().find(|name| *name == text));
        known.map(Self).or_else(|| {
            wrong_type(value, at, &format!("one of {}", AUDIENCES.join(", ")), faults);
            None
        })
    }
}

fn view(channel: &StoredChannel) -> ChannelView {
    let StoredChannel { row, waiting, is_new_secret } = channel;
    ChannelView {
        key: row.key.clone(),
        kind: row.kind.clone(),
        url: row.url.clone(),
        receives: row.audiences(),
        secret: is_new_secret.then(|| row.secret.clone()),
        waiting: waiting.as_ref().map_or(0, |waiting| waiting.waiting),
        error: waiting.as_ref().and_then(|waiting| waiting.error.clone()),
        version: row.version,
        created_at: time(row.created_at),
        updated_at: time(row.updated_at),
    }
}

/// What somebody may change of it, for what a dry run tells.
fn definition(channel: &StoredChannel) -> Value {
    let StoredChannel { row, .. } = channel;
    json!({"key": row.key, "kind": row.kind, "url": row.url, "receives": row.audiences()})
}

/// Lists channels
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/channels", tag = "channels", params(InEnvironment),
    responses((status = 200, body = ChannelList), ReadProblems))]
pub async fn list_channels(State(app): State<App>, caller: Caller, At(at): At<InEnvironment>) -> Result<Answer<ChannelList>, Error> {
    let place = app.place(&caller, &at.project, &at.environment).await?;
    Ok(Answer::ok(ChannelList { channels: app.list_channels(&place).await?.iter().map(view).collect() }))
}

/// Reads a channel
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/channels/{channel}", tag = "channels", params(ChannelPath),
    responses((status = 200, body = ChannelView), ReadProblems))]
pub async fn find_channel(State(app): State<App>, caller: Caller, At(at): At<ChannelPath>) -> Result<Answer<ChannelView>, Error> {
    let place = app.place(&caller, &at.project, &at.environment).await?;
    let found = app.find_channel(&place, &at.channel).await?;
    Ok(Answer::versioned(found.row.version, view(&found)))
}

/// Makes a channel, whose secret is told once, or changes it
///
/// What failed to reach it is tried again at once. Messages are sent as Standard Webhooks: signed, at least once each, and
/// until they are received. An address may be a private one.
#[utoipa::path(put, path = "/api/v1/projects/{project}/environments/{environment}/channels/{channel}", tag = "channels",
    params(ChannelPath, PutChannelParams), request_body = ChannelBody,
    responses((status = 200, body = Wrote<ChannelView>), (status = 201, body = ChannelView), WriteProblems))]
pub async fn put_channel(
    State(app): State<App>,
    caller: Caller,
    At(at): At<ChannelPath>,
    Params(params): Params<PutChannelParams>,
    headers: HeaderMap,
    Body(body): Body<ChannelBody>,
) -> Result<Response, Error> {
    let PutChannelParams { reason, dry_run, rotate } = params;
    let write = WriteParams { reason, dry_run, ..WriteParams::default() };
    let ask = body.told.holds(&at.channel, write.ask(caller, WriteFields::default(), &headers)?)?;
    let place = app.place(&ask.caller, &at.project, &at.environment).await?;
    let wanted =
        ChannelDefinition { kind: body.kind.unwrap_or_else(|| WEBHOOK.to_owned()), url: body.url, receives: body.receives, rotate };
    let done = app.put_channel(&ask, &place, &at.channel, wanted).await?;
    if dry_run {
        // A secret that nothing will be signed with is not shown.
        let before = done.before.as_ref().map(definition);
        return Ok(Answer::ok(DryRun::of(before.as_ref(), Some(&definition(&done.after)))).into_response());
    }
    let created = done.before.is_none();
    Ok(Answer::versioned(done.after.row.version, view(&done.after)).created(created).into_response())
}

/// Deletes a channel
///
/// What it has not received yet is given up.
#[utoipa::path(delete, path = "/api/v1/projects/{project}/environments/{environment}/channels/{channel}", tag = "channels",
    params(ChannelPath, WriteParams),
    responses((status = 200, body = DryRun, description = "With `dry_run`: it was not deleted."), (status = 204, description = "Deleted."), WriteProblems))]
pub async fn delete_channel(
    State(app): State<App>,
    caller: Caller,
    At(at): At<ChannelPath>,
    Params(params): Params<WriteParams>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let ask = params.ask(caller, WriteFields::default(), &headers)?;
    let place = app.place(&ask.caller, &at.project, &at.environment).await?;
    let done = app.delete_channel(&ask, &place, &at.channel).await?;
    if ask.dry_run {
        return Ok(Answer::ok(DryRun::of(Some(&definition(&done.after)), None)).into_response());
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Sends a message to a channel, for a test
///
/// It goes the way that every message goes: signed, and again until it is received.
#[utoipa::path(post, path = "/api/v1/projects/{project}/environments/{environment}/channels/{channel}/test", tag = "channels",
    params(ChannelPath, WriteParams), request_body = WriteFields,
    responses((status = 202, body = TestView, description = "It will be sent at once."),
        (status = 200, body = DryRun, description = "With `dry_run`: nothing is sent."), WriteProblems))]
pub async fn test_channel(
    State(app): State<App>,
    caller: Caller,
    At(at): At<ChannelPath>,
    Params(params): Params<WriteParams>,
    headers: HeaderMap,
    Body(body): Body<WriteFields>,
) -> Result<Response, Error> {
    let ask = params.ask(caller, body, &headers)?;
    let place = app.place(&ask.caller, &at.project, &at.environment).await?;
    let message = app.test_channel(&ask, &place, &at.channel).await?;
    if ask.dry_run {
        return Ok(Answer::ok(DryRun::of(None, None)).into_response());
    }
    Ok(Answer { status: StatusCode::ACCEPTED, version: None, body: TestView { message } }.into_response())
}
