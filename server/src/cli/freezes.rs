//! `storyflag freezes`: times in which nothing is raised.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;

use super::{
    Said,
    client::{Query, Target},
    failure::Failure,
    table::{Table, plain},
    writes::{WriteArgs, dry_run_in_words},
};

#[derive(Debug, Args)]
pub(super) struct FreezesArgs {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    verb: Option<FreezesVerb>,
}

#[derive(Debug, Subcommand)]
enum FreezesVerb {
    /// List freezes
    List {
        /// Those that have ended, too
        #[arg(long)]
        all: bool,
    },
    /// Freeze the environment for a time: nothing is raised meanwhile, and what is safe passes
    Add {
        /// When it is over, such as 2027-01-04T08:00:00Z
        until: String,
        /// When it begins; now unless given
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// Why; whoever is refused meanwhile is told
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Change nothing; tell what would change
        #[arg(long)]
        dry_run: bool,
    },
    /// End a freeze, or take back one to come
    Delete {
        /// The freeze's id, as the list shows it
        id: String,
        #[command(flatten)]
        write: WriteArgs,
    },
}

#[derive(Debug, Deserialize)]
struct Freezes {
    freezes: Vec<Freeze>,
}

#[derive(Debug, Deserialize)]
struct Freeze {
    id: String,
    from: String,
    to: String,
    reason: String,
    holds: bool,
    created_by: String,
}

pub(super) fn freezes(args: &FreezesArgs) -> Result<Said, Failure> {
    let target = &args.target;
    match &args.verb {
        None => list(target, false),
        Some(FreezesVerb::List { all }) => list(target, *all),
        Some(FreezesVerb::Add { until, from, reason, dry_run }) => {
            let mut body = json!({"to": until, "reason": reason});
            if let Some((from, body)) = from.as_ref().zip(body.as_object_mut()) {
                body.insert("from".to_owned(), json!(from));
            }
            let query = Query::default().with_flag("dry_run", *dry_run);
            let answer = target.client()?.send("POST", &target.in_environment(&["freezes"])?, &query, &body)?;
            if target.json {
                return Ok(Said::json(&[answer]));
            }
            let environment = plain(target.required_environment()?);
            if *dry_run {
                return Ok(Said::out(dry_run_in_words(&answer, &environment)?));
            }
            let Freeze { id, from, to, .. } = answer.read()?;
            Ok(Said::out(format!("{environment} is frozen from {} to {}: {}\n", plain(&from), plain(&to), plain(&id))))
        }
        Some(FreezesVerb::Delete { id, write }) => {
            let answer = target.client()?.delete(&target.in_environment(&["freezes", id])?, &write.query());
            let answer = answer.map_err(|failure| failure.or_next("storyflag freezes, which lists ids"))?;
            if target.json {
                return Ok(Said::json(&[answer]));
            }
            let place = plain(&target.place_of(id));
            Ok(Said::out(if write.dry_run { dry_run_in_words(&answer, &place)? } else { format!("{place} does not hold any more\n") }))
        }
    }
}

fn list(target: &Target, all: bool) -> Result<Said, Failure> {
    let query = Query::default().with_flag("all", all);
    let answer = target.client()?.get(&target.in_environment(&["freezes"])?, &query)?;
    if target.json { Ok(Said::json(&[answer])) } else { Ok(Said::out(table_of(answer.read()?))) }
}

fn table_of(freezes: Freezes) -> String {
    let mut table = Table::new(["FREEZE", "FROM", "TO", "NOW", "BY", "REASON"]);
    for freeze in freezes.freezes {
        let now = if freeze.holds { "holds" } else { "" };
        table.row([freeze.id, freeze.from, freeze.to, now.to_owned(), freeze.created_by, freeze.reason]);
    }
    if table.is_empty() { "no freezes\n".to_owned() } else { table.render() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freeze_that_holds_says_so() {
        let freeze =
            |id: &str, holds: bool| json!({"id": id, "from": "T1", "to": "T2", "reason": "why", "holds": holds, "created_by": "ann"});
        let text = table_of(serde_json::from_value(json!({"freezes": [freeze("f1", true), freeze("f2", false)]})).unwrap());
        assert_eq!(text, "FREEZE  FROM  TO  NOW    BY   REASON\nf1      T1    T2  holds  ann  why\nf2      T1    T2         ann  why\n");
        assert_eq!(table_of(Freezes { freezes: Vec::new() }), "no freezes\n");
    }
}
