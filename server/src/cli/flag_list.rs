//! `storyflag flags list`: what there is, or what is on in an environment.

use std::collections::BTreeSet;

use clap::Args;
use serde::Deserialize;

use super::{
    Said,
    client::{Answer, Query, Target},
    failure::Failure,
    flags::Flag,
    table::{Table, counted, plain, shortened},
    targeting::{Summary, state},
};

#[derive(Debug, Default, Args)]
pub(super) struct ListArgs {
    /// Part of the key, description or story
    #[arg(long, value_name = "TEXT")]
    query: Option<String>,
    /// With this tag
    #[arg(long)]
    tag: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Flags {
    flags: Vec<Flag>,
}

#[derive(Debug, Deserialize)]
struct Summaries {
    flags: Vec<Summary>,
}

impl ListArgs {
    pub(super) fn is_empty(&self) -> bool {
        self.query.is_none() && self.tag.is_none()
    }

    fn query(&self) -> Query {
        Query::default().with_some("query", self.query.as_deref()).with_some("tag", self.tag.as_deref())
    }
}

pub(super) fn list(target: &Target, args: &ListArgs) -> Result<Said, Failure> {
    let client = target.client()?;
    let Some(environment) = target.environment() else {
        let pages = client.pages(&target.in_project(&["flags"]), &args.query())?;
        return if target.json { Ok(Said::json(&pages)) } else { table_of_flags(&pages, args) };
    };
    if target.json && !args.is_empty() {
        return Err(Failure::usage(
            "--query and --tag choose among flags, not among what is on in an environment: leave -e away with --json",
        ));
    }
    let pages = client.pages(&target.in_environment(&["flags"])?, &Query::default())?;
    if target.json {
        return Ok(Said::json(&pages));
    }
    let chosen = if args.is_empty() { None } else { Some(keys_of(&client.pages(&target.in_project(&["flags"]), &args.query())?)?) };
    table_of_targetings(&pages, environment, chosen.as_ref())
}

fn keys_of(pages: &[Answer]) -> Result<BTreeSet<String>, Failure> {
    let mut keys = BTreeSet::new();
    for page in pages {
        keys.extend(page.read::<Flags>()?.flags.into_iter().map(|flag| flag.key));
    }
    Ok(keys)
}

fn table_of_flags(pages: &[Answer], args: &ListArgs) -> Result<Said, Failure> {
    let mut table = Table::new(["FLAG", "STORY", "VARIANTS", "TAGS", "OWNER", "DESCRIPTION"]);
    for page in pages {
        for flag in page.read::<Flags>()?.flags {
            let variants = flag.variants.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let (tags, description) = (flag.tags.join(", "), shortened(&flag.description, 60));
            table.row([flag.key, flag.story, shortened(&variants, 40), tags, flag.owner, description]);
        }
    }
    if table.is_empty() && !args.is_empty() {
        return Ok(Said::out("no flag matches\n").with_note("next: storyflag flags, which lists all"));
    }
    if table.is_empty() {
        return Ok(Said::out("no flags\n").with_note("next: storyflag flags create KEY"));
    }
    Ok(Said::out(table.render()))
}

fn table_of_targetings(pages: &[Answer], environment: &str, chosen: Option<&BTreeSet<String>>) -> Result<Said, Failure> {
    let mut table = Table::new(["FLAG", "STATE", "ROLLOUT", "COHORTS", "BEFORE THAT", "CHANGED", "BY"]);
    for page in pages {
        for flag in page.read::<Summaries>()?.flags {
            if chosen.is_some_and(|keys| !keys.contains(&flag.key)) {
                continue;
            }
            let before = [(flag.overrides, "override"), (flag.rules, "rule")];
            let before: Vec<String> = before.iter().filter(|(count, _)| *count > 0).map(|(count, noun)| counted(*count, noun)).collect();
            // Killed is killed; of anything else a service that does not understand it cannot say more.
            let known = flag.killed || flag.unsupported.is_none();
            let state = if known { state(flag.enabled, flag.killed) } else { "unsupported" }.to_owned();
            let percentage = format!("{} %", flag.percentage);
            table.row([flag.key, state, percentage, flag.cohorts.join(", "), before.join(", "), flag.updated_at, flag.updated_by]);
        }
    }
    if table.is_empty() {
        let none = if chosen.is_some() { "no flag matches" } else { "no flags" };
        return Ok(Said::out(format!("{none} in {}\n", plain(environment))));
    }
    Ok(Said::out(table.render()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{super::flags::tests::flag, *};

    fn page(body: &Value) -> Answer {
        Answer { status: 200, text: body.to_string() }
    }

    #[test]
    fn flags_of_all_pages_are_one_table() {
        let said =
            table_of_flags(&[page(&json!({"flags": [flag()], "next": "US-1"})), page(&json!({"flags": [flag()]}))], &ListArgs::default())
                .unwrap();
        let row = "US-1  US-1   off, on   shop, beta  The cart\n";
        assert_eq!(said.out, format!("FLAG  STORY  VARIANTS  TAGS        DESCRIPTION\n{row}{row}"));
    }

    #[test]
    fn what_is_on_tells_kills_and_rules() {
        let summary = |key: &str, killed: bool, rules: u64| {
            json!({"key": key, "enabled": true, "killed": killed, "percentage": 0.1, "cohorts": ["us"], "rules": rules, "overrides": 1,
                "version": 1, "updated_at": "T", "updated_by": "ann"})
        };
        let pages = [page(&json!({"flags": [summary("a", false, 0), summary("b", true, 2), summary("c", false, 0)]}))];
        let chosen = ["a".to_owned(), "b".to_owned()].into();
        let said = table_of_targetings(&pages, "staging", Some(&chosen)).unwrap();
        let lines: Vec<&str> = said.out.lines().collect();
        assert_eq!(
            lines,
            [
                "FLAG  STATE   ROLLOUT  COHORTS  BEFORE THAT          CHANGED  BY",
                "a     on      0.1 %    us       1 override           T        ann",
                "b     KILLED  0.1 %    us       1 override, 2 rules  T        ann",
            ]
        );
    }
}
