//! The units of a cohort's list: read in pages, replaced in a stream, added and removed by name.

use axum::{
    body::{Body as RawBody, BodyDataStream},
    extract::State,
    http::{HeaderMap, header},
};
use futures_util::StreamExt;
use serde::Serialize;
use serde_json::Value;
use storyflag_evaluation::Fault;
use utoipa::ToSchema;

use super::{
    Page,
    body::{Answer, At, Body, Params, WriteFields, WriteParams},
    cohorts::CohortPath,
    fields::{Fields, FromJson},
    next_after,
    problems::{ReadProblems, WriteProblems},
};
use crate::{
    app::{App, Done, LONGEST_UNIT, MEMBERS_AT_ONCE, MembersChanged, Units},
    auth::Caller,
    error::Error,
};

/// Units of a list, in order.
#[derive(Debug, Serialize, ToSchema)]
pub struct MemberList {
    /// The page.
    pub members: Vec<String>,
    /// How many there are in all.
    pub count: i64,
    /// What to ask for as `after`; missing on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What a change of a list did.
#[derive(Debug, Serialize, ToSchema)]
pub struct MembersAnswer {
    /// Units that came in; all of them for a whole list.
    pub added: u64,
    /// Units that went out; all that were in it for a whole list.
    pub removed: u64,
    /// How many units the list has now.
    pub count: u64,
    /// The environment's revision.
    pub revision: i64,
    /// True when nothing was changed, because that was asked for.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// Units that come and go; at most 10,000 together.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"add": ["user-7"], "remove": ["user-9"]}))]
pub struct MembersPatchBody {
    /// Who comes in; who is in already is left alone.
    #[serde(default)]
    add: Vec<String>,
    /// Who goes out; who is not in is left alone.
    #[serde(default)]
    remove: Vec<String>,
    #[serde(flatten)]
    write: WriteFields,
}

impl FromJson for MembersPatchBody {
    fn from_json(value: &Value, at: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        let mut fields = Fields::of(value, at, faults)?;
        let add: Vec<String> = fields.optional("add").unwrap_or_default();
        let remove: Vec<String> = fields.optional("remove").unwrap_or_default();
        for (name, units) in [("add", &add), ("remove", &remove)] {
            for (index, unit) in units.iter().enumerate() {
                let controls = name == "add" && unit.chars().any(char::is_control);
                if controls {
                    fields.fault(name, format!("entry {index} has a control character"));
                } else if let Err(detail) = check_unit(unit) {
                    fields.fault(name, format!("entry {index} {detail}"));
                }
            }
        }
        let both: std::collections::BTreeSet<&String> = add.iter().collect();
        if let Some(unit) = remove.iter().find(|unit| both.contains(unit)) {
            fields.fault("remove", format!("has {unit:?}, which \"add\" has, too"));
        }
        if add.len().saturating_add(remove.len()) > MEMBERS_AT_ONCE {
            fields.fault("add", format!("and \"remove\" have more than {MEMBERS_AT_ONCE} units together: PUT the whole list instead"));
        }
        let write = WriteFields::read(&mut fields);
        fields.end();
        Some(Self { add, remove, write })
    }
}

fn check_unit(unit: &str) -> Result<(), String> {
    if unit.is_empty() {
        return Err("is empty".to_owned());
    }
    if unit.len() > LONGEST_UNIT {
        return Err(format!("has {} bytes; at most {LONGEST_UNIT}", unit.len()));
    }
    Ok(())
}

/// One unit a line, as the lines arrive.
struct Lines {
    body: BodyDataStream,
    /// What has arrived and not been read; begins at `read`.
    arrived: Vec<u8>,
    read: usize,
    line: u64,
    ended: bool,
}

impl Lines {
    fn of(body: RawBody) -> Self {
        Self { body: body.into_data_stream(), arrived: Vec::new(), read: 0, line: 0, ended: false }
    }

    fn fault(&self, detail: &str) -> Error {
        Error::invalid("", format!("line {} {detail}", self.line))
    }

    /// The next line without its end; `None` at the end of the body.
    async fn line(&mut self) -> Result<Option<String>, Error> {
        loop {
            let rest = self.arrived.get(self.read..).unwrap_or_default();
            let end = rest.iter().position(|byte| *byte == b'\n');
            if end.is_some() || (self.ended && !rest.is_empty()) {
                let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
                // What some editors put before everything else is no part of a unit.
                let mark = if self.line == 0 { "\u{feff}" } else { "" };
                let said = line.strip_prefix(mark.as_bytes()).unwrap_or(line);
                let text = std::str::from_utf8(said.strip_suffix(b"\r").unwrap_or(said)).map(str::to_owned);
                self.read = self.read.saturating_add(line.len()).saturating_add(usize::from(end.is_some()));
                self.line = self.line.saturating_add(1);
                return text.map(Some).map_err(|_| self.fault("is not UTF-8 text"));
            }
            if self.ended {
                return Ok(None);
            }
            // A longer line is no unit; it is not collected to find out how long it is.
            if rest.len() > LONGEST_UNIT.saturating_add(2) {
                self.line = self.line.saturating_add(1);
                return Err(self.fault(&format!("has more than {LONGEST_UNIT} bytes")));
            }
            self.arrived.drain(..self.read);
            self.read = 0;
            match self.body.next().await {
                Some(Ok(bytes)) => self.arrived.extend_from_slice(&bytes),
                Some(Err(_)) => return Err(Error::BadRequest("the body did not arrive whole; nothing was changed".to_owned())),
                None => self.ended = true,
            }
        }
    }
}

impl Units for Lines {
    async fn next(&mut self) -> Result<Option<String>, Error> {
        while let Some(line) = self.line().await? {
            if line.is_empty() {
                continue;
            }
            check_unit(&line).map_err(|detail| self.fault(&detail))?;
            match line.chars().find(|char| char.is_control()) {
                Some('\0') => return Err(self.fault("has a NUL character")),
                Some(other) => return Err(self.fault(&format!("has the control character U+{:04X}", u32::from(other)))),
                None => {}
            }
            return Ok(Some(line));
        }
        Ok(None)
    }
}

fn answer(dry_run: bool, done: &Done<MembersChanged>) -> Answer<MembersAnswer> {
    let MembersChanged { added, removed, count } = done.after;
    Answer::ok(MembersAnswer { added, removed, count, revision: done.revision.unwrap_or_default(), dry_run })
}

/// Lists the units of a cohort's list, in order
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/cohorts/{cohort}/members", tag = "cohorts", params(CohortPath, Page),
    responses((status = 200, body = MemberList), ReadProblems))]
pub async fn list_members(
    State(app): State<App>,
    caller: Caller,
    At(at): At<CohortPath>,
    Params(page): Params<Page>,
) -> Result<Answer<MemberList>, Error> {
    let place = app.place(&caller, &at.project, &at.environment).await?;
    let (row, members) = app.list_members(&place, &at.cohort, &page.after, page.limit()).await?;
    let next = next_after(&members, page.limit(), Clone::clone);
    Ok(Answer::versioned(row.version, MemberList { members, count: row.members, next }))
}

/// Replaces a cohort's list: text, one unit a line, up to 100,000; read as it arrives
#[utoipa::path(put, path = "/api/v1/projects/{project}/environments/{environment}/cohorts/{cohort}/members", tag = "cohorts", params(CohortPath, WriteParams),
    request_body(content = String, content_type = "text/plain", description = "One unit a line, UTF-8"),
    responses((status = 200, body = MembersAnswer), WriteProblems))]
pub async fn put_members(
    State(app): State<App>,
    caller: Caller,
    At(at): At<CohortPath>,
    Params(params): Params<WriteParams>,
    headers: HeaderMap,
    body: RawBody,
) -> Result<Answer<MembersAnswer>, Error> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("text/plain");
    if !kind.to_ascii_lowercase().starts_with("text/") {
        return Err(Error::MediaType(format!("the body is {kind:?}; it must be text/plain, one unit a line")));
    }
    let ask = params.ask(caller, WriteFields::default(), &headers)?;
    let place = app.place(&ask.caller, &at.project, &at.environment).await?;
    let done = app.put_members(&ask, &place, &at.cohort, Lines::of(body)).await?;
    Ok(answer(ask.dry_run, &done))
}

/// Adds units to a cohort's list and takes units from it
#[utoipa::path(patch, path = "/api/v1/projects/{project}/environments/{environment}/cohorts/{cohort}/members", tag = "cohorts", params(CohortPath, WriteParams),
    request_body = MembersPatchBody, responses((status = 200, body = MembersAnswer), WriteProblems))]
pub async fn patch_members(
    State(app): State<App>,
    caller: Caller,
    At(at): At<CohortPath>,
    Params(params): Params<WriteParams>,
    headers: HeaderMap,
    Body(body): Body<MembersPatchBody>,
) -> Result<Answer<MembersAnswer>, Error> {
    let ask = params.ask(caller, body.write, &headers)?;
    let place = app.place(&ask.caller, &at.project, &at.environment).await?;
    let done = app.patch_members(&ask, &place, &at.cohort, body.add, body.remove).await?;
    Ok(answer(ask.dry_run, &done))
}
