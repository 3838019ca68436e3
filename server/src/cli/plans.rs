//! `storyflag plan`: deployment plans, checked here and kept by the service.

use std::{fs, io, io::Read};

use clap::{Args, Subcommand, ValueEnum};
use serde::Deserialize;
use storyflag_release::plan::{Condition, Gate, Media, Plan, Reading};

use super::{
    Said,
    client::{Answer, Query, Target},
    failure::Failure,
    table::{Table, counted, plain, shortened},
    writes::{WriteArgs, dry_run_in_words, warnings_in_words},
};
use crate::{
    api::{
        documents::{DOCUMENT_JSON, MARKDOWN, YAML},
        plans::Found,
    },
    app::{executable, read_document},
    error::Error,
};

#[derive(Debug, Args)]
pub(super) struct PlansArgs {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    verb: Option<PlansVerb>,
}

#[derive(Debug, Subcommand)]
enum PlansVerb {
    /// List plans
    List,
    /// Check a plan, without the service: every fault with its line and column
    Check(FileArgs),
    /// Create or replace the plan that a file holds
    Put {
        #[command(flatten)]
        file: FileArgs,
        #[command(flatten)]
        write: WriteArgs,
    },
    /// Print a plan as it was put, or in another format
    Get {
        /// The plan's key
        key: String,
        /// In this format; as it was put unless given
        #[arg(long)]
        format: Option<Format>,
    },
    /// Delete a plan; what was released by it stays as it is
    Delete {
        /// The plan's key
        key: String,
        #[command(flatten)]
        write: WriteArgs,
    },
}

/// A file that holds a plan.
#[derive(Debug, Args)]
pub(super) struct FileArgs {
    /// A file such as plan.md, plan.yaml or plan.json; - is the standard input
    file: String,
    /// What it is written in; its name tells unless given
    #[arg(long)]
    format: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Markdown,
    Yaml,
    Json,
}

impl Format {
    const fn media(self) -> Media {
        match self {
            Self::Markdown => Media::Markdown,
            Self::Yaml => Media::Yaml,
            Self::Json => Media::Json,
        }
    }
}

#[derive(Debug, Deserialize)]
struct Plans {
    plans: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    key: String,
    story: String,
    flag: String,
    approach: String,
    media: String,
    version: i64,
    updated_at: String,
    updated_by: String,
    #[serde(default)]
    warnings: Vec<String>,
}

pub(super) fn plans(args: &PlansArgs) -> Result<Said, Failure> {
    let target = &args.target;
    match &args.verb {
        None | Some(PlansVerb::List) => {
            let pages = target.client()?.pages(&target.in_project(&["plans"]), &Query::default())?;
            if target.json { Ok(Said::json(&pages)) } else { table_of(&pages) }
        }
        Some(PlansVerb::Check(args)) => check(args, target.json),
        Some(PlansVerb::Put { file, write }) => put(target, file, write),
        Some(PlansVerb::Get { key, format }) => get(target, key, *format),
        Some(PlansVerb::Delete { key, write }) => {
            let answer = target.client()?.delete(&target.in_project(&["plans", key]), &write.query())?;
            told(target, &answer, key, write.dry_run, "is deleted")
        }
    }
}

/// What a file holds, and how it reads.
pub(super) struct PlanFile {
    name: String,
    media: Media,
    text: String,
    reading: Reading,
}

impl PlanFile {
    fn read(args: &FileArgs) -> Result<Self, Failure> {
        let media = args.format.map(Format::media).or_else(|| media_of(&args.file));
        let unknown = || Failure::usage(format!("what is {} written in? Add --format markdown, yaml or json", args.file));
        Self::open(&args.file, media.ok_or_else(unknown)?)
    }

    fn open(name: &str, media: Media) -> Result<Self, Failure> {
        let read = if name == "-" { io::read_to_string(io::stdin()) } else { text_of(name) };
        let text = read.map_err(|error| Failure::refused(format!("{name}: {error}")))?;
        let reading = read_document(media, &text);
        Ok(Self { name: name.to_owned(), media, text, reading })
    }

    /// The plan, whatever its approach.
    fn plan(&self, json: bool) -> Result<&Plan, Failure> {
        self.reading.plan.as_ref().ok_or_else(|| self.refused(json))
    }

    /// The plan, if it can be executed.
    pub(super) fn executable(mut self, json: bool) -> Result<Plan, Failure> {
        match executable(self.reading.clone()) {
            Ok(plan) => Ok(plan),
            Err(Error::InvalidDocument(faults)) => {
                self.reading.faults = faults;
                Err(self.refused(json))
            }
            Err(other) => Err(Failure::refused(other.to_string())),
        }
    }

    /// Every fault, for the standard output: there editors and scripts find their places.
    fn refused(&self, json: bool) -> Failure {
        let faults = &self.reading.faults;
        let line = |fault: &storyflag_release::plan::Fault| {
            format!("{}:{}:{}: {}\n", plain(&self.name), fault.line, fault.column, plain(&fault.detail))
        };
        let told = if json { self.found() } else { faults.iter().map(line).collect() };
        let count = counted(u64::try_from(faults.len()).unwrap_or(u64::MAX), "fault");
        Failure::Refused { text: format!("{}: {count}", plain(&self.name)), next: None, problem: Some(told) }
    }

    /// What was found, as the service would say it.
    fn found(&self) -> String {
        serde_json::to_string(&Found::of(&self.reading)).unwrap_or_default() + "\n"
    }
}

/// The file that is meant; none: a key.
pub(super) fn file_of(what: &str) -> Result<Option<PlanFile>, Failure> {
    match media_of(what) {
        Some(media) => PlanFile::open(what, media).map(Some),
        None if what.contains('/') => Err(Failure::usage(format!("{what} is no plan.md, plan.yaml or plan.json, and no key"))),
        None => Ok(None),
    }
}

/// What a file's name says that it is written in.
fn media_of(name: &str) -> Option<Media> {
    let (_, extension) = name.rsplit_once('.')?;
    match extension.to_ascii_lowercase().as_str() {
        "md" | "markdown" => Some(Media::Markdown),
        "yaml" | "yml" => Some(Media::Yaml),
        "json" => Some(Media::Json),
        _ => None,
    }
}

fn text_of(name: &str) -> io::Result<String> {
    // A little more than a plan may have, so that the reader says it; not all of a file that was not meant.
    let most = u64::try_from(storyflag_release::plan::LONGEST_DOCUMENT).unwrap_or(u64::MAX).saturating_add(1024);
    let mut bytes = Vec::new();
    fs::File::open(name)?.take(most).read_to_end(&mut bytes)?;
    let full = bytes.len() >= usize::try_from(most).unwrap_or(usize::MAX);
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text),
        // A long one may be cut within a character.
        Err(error) if full => Ok(String::from_utf8_lossy(error.as_bytes()).into_owned()),
        Err(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "it is no UTF-8 text")),
    }
}

fn check(args: &FileArgs, json: bool) -> Result<Said, Failure> {
    let file = PlanFile::read(args)?;
    let plan = file.plan(json)?;
    if json {
        return Ok(Said::out(file.found()));
    }
    let steps = counted(u64::try_from(plan.steps.len()).unwrap_or(u64::MAX), "step");
    let mut text = format!("{}: {} is right: {steps}", plain(&file.name), plain(&plan.plan));
    if !plan.flag.is_empty() {
        text.push_str(&format!(", flag {}", plain(&plan.flag)));
    }
    text.push('\n');
    if let Some(fault) = &file.reading.not_executable {
        text.push_str(&format!("{}:{}:{}: {}\n", plain(&file.name), fault.line, fault.column, plain(&fault.detail)));
    }
    text.push_str(&understood(plan));
    text.push_str(&found_in_words(&file.reading));
    Ok(Said::out(text))
}

/// What would be carried out, in few lines: who put a heading or a phrase wrong sees what is not there.
fn understood(plan: &Plan) -> String {
    let listed = |what: &str, parts: Vec<String>, none: &str| {
        let parts = if parts.is_empty() { none.to_owned() } else { parts.join(", ") };
        format!("{what}: {}\n", plain(&parts))
    };
    let conditions = |conditions: &[Condition]| conditions.iter().map(|condition| condition.text.clone()).collect::<Vec<_>>();
    let alerts = plan.alerts.iter().map(|alert| format!("{} ({})", alert.name, alert.condition.text)).collect();
    let boxes = [("before the start", Gate::Start), ("by the end", Gate::Complete)];
    let boxes = boxes.map(|(when, gate)| format!("{} {when}", plan.items(gate).count()));
    let steps = plan.steps.iter().map(|step| step.percentage.to_string()).collect();
    [
        listed("steps", steps, "none"),
        listed("boxes", boxes.into(), "none"),
        listed("turns back at", conditions(&plan.triggers), "nothing: a plain schedule"),
        listed("tells people at", alerts, "no alert"),
        listed("targets", conditions(&plan.targets), "none"),
    ]
    .concat()
}

/// What the reader added, and what it kept.
fn found_in_words(reading: &Reading) -> String {
    let mut text: String = reading.assumed.iter().map(|line| format!("assumed: {}\n", plain(line))).collect();
    for kept in &reading.kept {
        // The fence of a block says nothing.
        let mut lines = kept.text.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("```"));
        let first = shortened(&plain(lines.next().unwrap_or_default()), 60);
        let more = u64::try_from(lines.count()).unwrap_or(u64::MAX);
        let more = if more == 0 { String::new() } else { format!(" and {}", counted(more, "more line")) };
        text.push_str(&format!("kept, not executed: line {}: {first}{more}\n", kept.line));
    }
    text
}

fn put(target: &Target, args: &FileArgs, write: &WriteArgs) -> Result<Said, Failure> {
    let file = PlanFile::read(args)?;
    let key = file.plan(target.json)?.plan.clone();
    let path = target.in_project(&["plans", &key]);
    let answer = target.client()?.put_document(&path, &write.query(), media_type(file.media), &file.text)?;
    let done = if answer.status == 201 { "is created" } else { "is as you said" };
    let said = told(target, &answer, &key, write.dry_run, done)?;
    if target.json || write.dry_run || file.reading.not_executable.is_some() {
        return Ok(said);
    }
    Ok(said.with_note(format!("next: storyflag rehearse {key}")))
}

const fn media_type(media: Media) -> &'static str {
    match media {
        Media::Markdown => MARKDOWN,
        Media::Yaml => YAML,
        Media::Json => DOCUMENT_JSON,
    }
}

fn get(target: &Target, key: &str, format: Option<Format>) -> Result<Said, Failure> {
    let (client, path) = (target.client()?, target.in_project(&["plans", key]));
    let as_put = |answer: &Answer| -> Result<Media, Failure> {
        Ok(match answer.read::<Entry>()?.media.as_str() {
            "markdown" => Media::Markdown,
            "json" => Media::Json,
            _ => Media::Yaml,
        })
    };
    let media = match format {
        Some(format) => format.media(),
        None => {
            let answer = client.get(&path, &Query::default())?;
            if target.json {
                return Ok(Said::json(&[answer]));
            }
            as_put(&answer)?
        }
    };
    // Word for word: not a byte more than the service said.
    Ok(Said::out(client.get_document(&path, media_type(media))?.text))
}

fn told(target: &Target, answer: &Answer, key: &str, dry_run: bool, done: &str) -> Result<Said, Failure> {
    if target.json {
        return Ok(Said::json(std::slice::from_ref(answer)));
    }
    if dry_run {
        return Ok(Said::out(dry_run_in_words(answer, &plain(key))?));
    }
    let entry: Entry = answer.read()?;
    let text = format!("{} {done}  (version {})\n{}", plain(key), entry.version, warnings_in_words(&entry.warnings));
    Ok(Said::out(text))
}

fn table_of(pages: &[Answer]) -> Result<Said, Failure> {
    let mut table = Table::new(["PLAN", "FLAG", "STORY", "APPROACH", "FORMAT", "VERSION", "CHANGED", "BY"]);
    for page in pages {
        for plan in page.read::<Plans>()?.plans {
            let approach = plan.approach.replace('_', " ");
            let version = plan.version.to_string();
            table.row([plan.key, plan.flag, plan.story, approach, plan.media, version, plan.updated_at, plan.updated_by]);
        }
    }
    if table.is_empty() {
        return Ok(Said::out("no plans\n").with_note("next: storyflag plan put FILE"));
    }
    Ok(Said::out(table.render()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_is_told_from_a_key() {
        for (name, media) in [
            ("plan.md", Some(Media::Markdown)),
            ("a/b.YML", Some(Media::Yaml)),
            ("x.json", Some(Media::Json)),
            ("DP-1.2", None),
            ("DP-1", None),
        ] {
            assert_eq!(media_of(name), media, "{name}");
        }
        assert!(matches!(file_of("DP-123-checkout"), Ok(None)));
        assert!(matches!(file_of("plans/checkout"), Err(Failure::Usage(_))));
        let Err(Failure::Refused { text, .. }) = file_of("/nowhere/plan.md") else { panic!("there is none") };
        assert!(text.starts_with("/nowhere/plan.md: "), "{text}");
    }

    #[test]
    fn faults_have_the_place_that_editors_find() {
        let text = "plan: DP-1\nflag: f\nsteps: [{ percentage: 101 }]\n";
        let reading = read_document(Media::Yaml, text);
        let file = PlanFile { name: "p.yaml".to_owned(), media: Media::Yaml, text: text.to_owned(), reading };
        let failure = file.plan(false).unwrap_err();
        assert!(failure.problem().starts_with("p.yaml:3:23: "), "{}", failure.problem());
        assert_eq!(failure.text(), "p.yaml: 1 fault");
    }

    #[test]
    fn a_list_is_a_table() {
        let plan = json!({"key": "DP-1", "story": "", "flag": "US-1", "approach": "blue_green", "media": "yaml", "version": 2, "updated_at": "T", "updated_by": "ann"});
        let page = Answer { status: 200, text: json!({"plans": [plan]}).to_string() };
        let said = table_of(&[page]).unwrap();
        assert_eq!(
            said.out,
            "PLAN  FLAG  APPROACH    FORMAT  VERSION  CHANGED  BY\nDP-1  US-1  blue green  yaml    2        T        ann\n"
        );
    }
}
