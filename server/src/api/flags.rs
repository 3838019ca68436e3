//! Flags: what is the same in every environment.

use std::collections::BTreeMap;

use axum::{extract::State, http::HeaderMap, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use storyflag_evaluation::Fault;
use utoipa::{IntoParams, ToSchema};

use super::{
    InProject,
    body::{Answer, At, Body, Params, Told, WriteFields, WriteParams},
    fields::{Fields, FromJson},
    next_after,
    problems::{ReadProblems, WriteProblems},
    time,
    writes::{self, Wrote},
};
use crate::{
    app::{App, FlagDefinition, FlagPatch},
    auth::Caller,
    error::Error,
    store::{FlagFilter, FlagRow},
};

/// Where a flag lies.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct FlagPath {
    /// The project's key.
    #[param(example = "default")]
    pub project: String,
    /// The flag's key.
    #[param(example = "US-123-checkout")]
    pub flag: String,
}

/// Which flags to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub struct FlagListParams {
    /// What comes after this key: the `next` of the page before.
    pub after: String,
    /// At most so many, 1 to 1000; 100 unless given.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<i64>,
    /// Part of the key, description or story, in any case.
    pub query: String,
    /// A tag.
    pub tag: String,
    /// A story.
    pub story: String,
    /// Archived flags instead of live ones.
    pub archived: bool,
}

/// A flag.
#[derive(Debug, Serialize, ToSchema)]
pub struct FlagView {
    /// Its key.
    pub key: String,
    /// The user story it releases.
    pub story: String,
    /// What it is for.
    pub description: String,
    /// Name to value; all values have one type.
    #[schema(value_type = Object)]
    pub variants: Value,
    /// The variant that a targeting is born with for who is out.
    pub off: String,
    /// The variant that a targeting is born with for who is in.
    pub serve: String,
    /// For finding it.
    #[schema(value_type = Vec<String>)]
    pub tags: Value,
    /// Who answers for it.
    pub owner: String,
    /// The seed text of its buckets; never changes.
    pub seed: String,
    /// Whether browsers and phones may see it.
    pub client: bool,
    /// When it was archived; its key is never used again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archived_at: Option<String>,
    /// For `If-Match`.
    pub version: i64,
    /// When it was made.
    pub created_at: String,
    /// When it was last changed.
    pub updated_at: String,
}

/// Flags, by key.
#[derive(Debug, Serialize, ToSchema)]
pub struct FlagList {
    /// The page.
    pub flags: Vec<FlagView>,
    /// What to ask for as `after`; missing on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What a flag is. Without `variants` it is boolean: `on` and `off`.
#[derive(Debug, Default, ToSchema)]
#[schema(example = json!({"story": "US-123", "description": "The new checkout", "tags": ["shop"], "owner": "team-shop"}))]
pub struct FlagBody {
    /// The user story it releases.
    pub story: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Name to value: boolean, string, number or object, all of one type.
    #[schema(value_type = Option<Object>)]
    pub variants: Option<BTreeMap<String, Value>>,
    /// The variant of who is out; needed with `variants`.
    pub off: Option<String>,
    /// The variant of who is in; needed with `variants`.
    pub serve: Option<String>,
    /// For finding it.
    pub tags: Option<Vec<String>>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// The seed text of its buckets; the key unless given at creation. Never changes.
    pub seed: Option<String>,
    /// Whether browsers and phones may see it.
    pub client: Option<bool>,
    #[schema(ignore)]
    told: Told,
}

impl FromJson for FlagBody {
    fn from_json(value: &Value, at: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        let mut fields = Fields::of(value, at, faults)?;
        let body = Self {
            story: fields.optional("story"),
            description: fields.optional("description"),
            variants: fields.optional("variants"),
            off: fields.optional("off"),
            serve: fields.optional("serve"),
            tags: fields.optional("tags"),
            owner: fields.optional("owner"),
            seed: fields.optional("seed"),
            client: fields.optional("client"),
            told: Told::read(&mut fields, &["archived_at", "created_at", "updated_at"]),
        };
        fields.end();
        Some(body)
    }
}

fn view(row: &FlagRow) -> FlagView {
    let json = |text: &str| serde_json::from_str(text).unwrap_or_default();
    FlagView {
        key: row.key.clone(),
        story: row.story.clone(),
        description: row.description.clone(),
        variants: json(&row.variants),
        off: row.off.clone(),
        serve: row.serve.clone(),
        tags: json(&row.tags),
        owner: row.owner.clone(),
        seed: row.seed.clone(),
        client: row.client,
        archived_at: row.archived_at.map(time),
        version: row.version,
        created_at: time(row.created_at),
        updated_at: time(row.updated_at),
    }
}

/// Lists flags
#[utoipa::path(get, path = "/api/v1/projects/{project}/flags", tag = "flags", params(InProject, FlagListParams), responses((status = 200, body = FlagList), ReadProblems))]
pub async fn list_flags(
    State(app): State<App>,
    _: Caller,
    At(at): At<InProject>,
    Params(params): Params<FlagListParams>,
) -> Result<Answer<FlagList>, Error> {
    let limit = params.limit.unwrap_or(100).clamp(1, 1_000);
    let FlagListParams { after, archived, query, tag, story, .. } = params;
    let rows = app.list_flags(&at.project, &FlagFilter { after, limit, archived, query, tag, story }).await?;
    let next = next_after(&rows, limit, |row| row.key.clone());
    Ok(Answer::ok(FlagList { flags: rows.iter().map(view).collect(), next }))
}

/// Reads a flag, archived or not
#[utoipa::path(get, path = "/api/v1/projects/{project}/flags/{flag}", tag = "flags", params(FlagPath), responses((status = 200, body = FlagView), ReadProblems))]
pub async fn find_flag(State(app): State<App>, _: Caller, At(at): At<FlagPath>) -> Result<Answer<FlagView>, Error> {
    let row = app.find_flag(&at.project, &at.flag).await?;
    Ok(Answer::versioned(row.version, view(&row)))
}

/// Creates a flag, which is born in every environment: enabled, at 0 %
#[utoipa::path(put, path = "/api/v1/projects/{project}/flags/{flag}", tag = "flags", params(FlagPath, WriteParams), request_body = FlagBody,
    responses((status = 200, body = Wrote<FlagView>), (status = 201, body = FlagView), WriteProblems))]
pub async fn put_flag(
    State(app): State<App>,
    caller: Caller,
    At(at): At<FlagPath>,
    Params(params): Params<WriteParams>,
    headers: HeaderMap,
    Body(body): Body<FlagBody>,
) -> Result<Response, Error> {
    let dry_run = params.dry_run;
    let ask = body.told.holds(&at.flag, params.ask(caller, WriteFields::default(), &headers)?)?;
    let definition = FlagDefinition {
        story: body.story.unwrap_or_default(),
        description: body.description.unwrap_or_default(),
        variants: body.variants,
        off: body.off,
        serve: body.serve,
        tags: body.tags.unwrap_or_default(),
        owner: body.owner.unwrap_or_default(),
        seed: body.seed,
        client: body.client.unwrap_or_default(),
    };
    let done = app.put_flag(&ask, &at.project, &at.flag, definition).await?;
    Ok(writes::answer(dry_run, done, |_| None, view, |row| Some(row.version)))
}

/// Changes parts of a flag
#[utoipa::path(patch, path = "/api/v1/projects/{project}/flags/{flag}", tag = "flags", params(FlagPath, WriteParams), request_body = FlagPatchBody,
    responses((status = 200, body = Wrote<FlagView>), WriteProblems))]
pub async fn patch_flag(
    State(app): State<App>,
    caller: Caller,
    At(at): At<FlagPath>,
    Params(params): Params<WriteParams>,
    headers: HeaderMap,
    Body(body): Body<FlagPatchBody>,
) -> Result<Response, Error> {
    let dry_run = params.dry_run;
    let ask = params.ask(caller, body.write, &headers)?;
    let done = app.patch_flag(&ask, &at.project, &at.flag, body.patch).await?;
    Ok(writes::answer(dry_run, done, |_| None, view, |row| Some(row.version)))
}

/// What changes of a flag; null takes away a text or the tags.
#[derive(Debug, Default, ToSchema)]
#[schema(example = json!({"description": "The new checkout, with vouchers", "reason": "vouchers joined"}))]
pub struct FlagPatchBody {
    #[serde(flatten)]
    #[schema(value_type = FlagBody)]
    patch: FlagPatch,
    #[serde(flatten)]
    write: WriteFields,
}

impl FromJson for FlagPatchBody {
    fn from_json(value: &Value, at: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        let mut fields = Fields::of(value, at, faults)?;
        let text = |text: Option<Option<String>>| text.map(Option::unwrap_or_default);
        let patch = FlagPatch {
            story: text(fields.optional("story")),
            description: text(fields.optional("description")),
            variants: fields.optional("variants"),
            off: fields.optional("off"),
            serve: fields.optional("serve"),
            tags: fields.optional::<Option<Vec<String>>>("tags").map(Option::unwrap_or_default),
            owner: text(fields.optional("owner")),
            client: fields.optional("client"),
        };
        let write = WriteFields::read(&mut fields);
        if fields.has("seed") {
            fields.fault("seed", "never changes after creation");
            let _: Option<Value> = fields.optional("seed");
        }
        fields.end();
        Some(Self { patch, write })
    }
}

/// Archives a flag: it is gone everywhere, and its key is never used again
#[utoipa::path(delete, path = "/api/v1/projects/{project}/flags/{flag}", tag = "flags", params(FlagPath, WriteParams),
    responses((status = 200, body = Wrote<FlagView>), WriteProblems))]
pub async fn archive_flag(
    State(app): State<App>,
    caller: Caller,
    At(at): At<FlagPath>,
    Params(params): Params<WriteParams>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let dry_run = params.dry_run;
    let ask = params.ask(caller, WriteFields::default(), &headers)?;
    let done = app.archive_flag(&ask, &at.project, &at.flag).await?;
    Ok(writes::answer(dry_run, done, |_| None, view, |row| Some(row.version)))
}
