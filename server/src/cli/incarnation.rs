//! `storyflag incarnation`: a new history, after the database was put back.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;

use super::{
    Said,
    client::{Answer, Target},
    failure::Failure,
    table::plain,
    writes::{WriteArgs, dry_run_in_words},
};

#[derive(Debug, Args)]
pub(super) struct IncarnationArgs {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    verb: IncarnationVerb,
}

#[derive(Debug, Subcommand)]
enum IncarnationVerb {
    /// Make every SDK take what the database has, even where it ran a later revision
    Raise {
        #[command(flatten)]
        write: WriteArgs,
    },
}

#[derive(Debug, Deserialize)]
struct Environment {
    identity: String,
    revision: i64,
}

pub(super) fn incarnation(args: &IncarnationArgs) -> Result<Said, Failure> {
    let IncarnationVerb::Raise { write } = &args.verb;
    let target = &args.target;
    let path = target.in_environment(&["incarnation"])?;
    let answer = target.client()?.send("POST", &path, &write.query(), &json!({}))?;
    if target.json {
        return Ok(Said::json(&[answer]));
    }
    in_words(&answer, &plain(target.required_environment()?), write.dry_run).map(Said::out)
}

fn in_words(answer: &Answer, environment: &str, dry_run: bool) -> Result<String, Failure> {
    if dry_run {
        return dry_run_in_words(answer, environment);
    }
    let Environment { identity, revision } = answer.read()?;
    let identity = plain(&identity);
    Ok(format!("{environment} begins a new history at revision {revision}: every application takes {identity}, whatever it had\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_names_what_all_converge_to() {
        let answer = Answer { status: 200, text: json!({"identity": "17-4-ab", "revision": 4}).to_string() };
        let text = in_words(&answer, "staging", false).unwrap();
        assert_eq!(text, "staging begins a new history at revision 4: every application takes 17-4-ab, whatever it had\n");
    }
}
