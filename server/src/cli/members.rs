//! The list of a cohort: shown, replaced in a stream, or changed unit by unit.

use std::{
    fs::File,
    io::{self, BufReader, IsTerminal, Read},
};

use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::{
    Said,
    client::{Answer, Query, Target},
    failure::Failure,
    progress::Progress,
    table::{counted, plain},
    writes::WriteArgs,
};

#[derive(Debug, Args)]
pub(super) struct MembersArgs {
    /// The cohort's key
    key: String,
    /// Replace the whole list by this file, one unit a line; - is the standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["add", "remove"])]
    replace: Option<String>,
    /// Who comes in
    #[arg(long, value_name = "UNIT", num_args = 1..)]
    add: Vec<String>,
    /// Who goes out
    #[arg(long, value_name = "UNIT", num_args = 1..)]
    remove: Vec<String>,
    #[command(flatten)]
    write: WriteArgs,
}

#[derive(Debug, Deserialize)]
struct Members {
    members: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Changed {
    added: u64,
    removed: u64,
    count: u64,
    revision: i64,
}

/// Without an option the units are printed, one a line, as `--replace` reads them.
pub(super) fn members(target: &Target, args: &MembersArgs) -> Result<Said, Failure> {
    let path = format!("{}/members", target.in_environment(&["cohorts", &args.key])?);
    if let Some(file) = &args.replace {
        return replace(target, args, &path, file);
    }
    let client = target.client()?;
    if args.add.is_empty() && args.remove.is_empty() {
        let pages = client.pages(&path, &Query::default())?;
        return if target.json { Ok(Said::json(&pages)) } else { list(&pages) };
    }
    let answer = client.send("PATCH", &path, &args.write.query(), &json!({"add": args.add, "remove": args.remove}))?;
    told(target, args, &answer)
}

fn list(pages: &[Answer]) -> Result<Said, Failure> {
    let mut text = String::new();
    for page in pages {
        for unit in page.read::<Members>()?.members {
            text.push_str(&unit);
            text.push('\n');
        }
    }
    Ok(Said::out(text))
}

fn replace(target: &Target, args: &MembersArgs, path: &str, file: &str) -> Result<Said, Failure> {
    let (source, size): (Box<dyn Read>, Option<u64>) = if file == "-" {
        (Box::new(io::stdin()), None)
    } else {
        let unreadable = |error: io::Error| Failure::refused(format!("{file}: {error}"));
        let open = File::open(file).map_err(unreadable)?;
        let about = open.metadata().map_err(unreadable)?;
        // A pipe under a name has no size.
        (Box::new(BufReader::new(open)), about.is_file().then_some(about.len()))
    };
    let mut lines = Progress::of(source, size, io::stderr().is_terminal());
    let sent = target.client()?.send_lines(path, &args.write.query(), &mut lines, size);
    lines.end();
    told(target, args, &sent?)
}

fn told(target: &Target, args: &MembersArgs, answer: &Answer) -> Result<Said, Failure> {
    if target.json {
        return Ok(Said::json(std::slice::from_ref(answer)));
    }
    let Changed { added, removed, count, revision } = answer.read()?;
    let place = plain(&target.place_of(&args.key));
    let (added, removed, count) = (counted(added, "unit"), counted(removed, "unit"), counted(count, "unit"));
    Ok(Said::out(if args.write.dry_run {
        format!("{place}: nothing was changed; {added} would come in, {removed} go out, and the list would have {count}\n")
    } else if args.replace.is_some() {
        format!("{place} lists {count} now, in place of {removed}  (revision {revision})\n")
    } else {
        format!("{place}: {added} in, {removed} out; the list has {count} now  (revision {revision})\n")
    }))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        args: MembersArgs,
    }

    fn line(args: &[&str]) -> Result<Line, clap::Error> {
        Line::try_parse_from([&["members", "us", "-e", "staging"], args].concat())
    }

    #[test]
    fn units_are_listed_as_they_are_replaced() {
        let page = |members: &[&str]| Answer { status: 200, text: json!({"members": members, "count": 3}).to_string() };
        assert_eq!(list(&[page(&["a", "b"]), page(&["c"])]).unwrap().out, "a\nb\nc\n");
    }

    #[test]
    fn several_units_at_once_but_not_beside_a_file() {
        let read = line(&["--add", "a", "b", "--remove", "c"]).unwrap();
        assert_eq!((read.args.add.len(), read.args.remove.len()), (2, 1));
        assert!(line(&["--replace", "f", "--add", "a"]).is_err());
    }

    #[test]
    fn what_came_and_went_is_told() {
        let answer = Answer { status: 200, text: json!({"added": 2, "removed": 1, "count": 100_001, "revision": 9}).to_string() };
        let text = |args: &[&str]| {
            let line = line(args).unwrap();
            told(&line.target, &line.args, &answer).unwrap().out
        };
        assert_eq!(text(&["--add", "a"]), "us in staging: 2 units in, 1 unit out; the list has 100,001 units now  (revision 9)\n");
        assert_eq!(text(&["--replace", "-"]), "us in staging lists 100,001 units now, in place of 1 unit  (revision 9)\n");
        assert!(text(&["--add", "a", "--dry-run"]).contains("nothing was changed"));
    }
}
