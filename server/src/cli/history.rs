//! `storyflag history`: what was done to a flag in an environment, by whom and why.

use clap::Args;
use serde::Deserialize;

use super::{
    Said,
    client::{Query, Target},
    failure::Failure,
    table::{Table, shortened},
    writes::Difference,
};

#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    /// The flag's key
    key: String,
    /// How many changes, the newest first
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Deserialize)]
struct History {
    history: Vec<Entry>,
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    revision: i64,
    at: String,
    actor: String,
    reason: Option<String>,
    kind: String,
    differences: Vec<Difference>,
}

pub(super) fn history(args: &HistoryArgs) -> Result<Said, Failure> {
    let target = &args.target;
    let path = target.in_environment(&["flags", &args.key, "history"])?;
    let answer = target.client()?.get(&path, &Query::default().with("limit", &args.limit.to_string()))?;
    if target.json {
        return Ok(Said::json(&[answer]));
    }
    Ok(in_words(answer.read()?, args))
}

fn in_words(told: History, args: &HistoryArgs) -> Said {
    let mut table = Table::new(["REVISION", "WHEN", "WHO", "WHAT", "WHY"]);
    for entry in told.history {
        let what = match entry.kind.as_str() {
            "changed" => entry.differences.iter().map(Difference::in_short).collect::<Vec<_>>().join("; "),
            other => other.to_owned(),
        };
        table.row([entry.revision.to_string(), entry.at, entry.actor, shortened(&what, 100), entry.reason.unwrap_or_default()]);
    }
    let said = Said::out(table.render());
    if told.next.is_some() { said.with_note(format!("there is more: --limit {}", args.limit.saturating_mul(2).min(1000))) } else { said }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: HistoryArgs,
    }

    #[test]
    fn a_change_is_a_line_with_what_it_changed() {
        let told = serde_json::from_value(json!({"next": "12", "history": [
            {"revision": 13, "at": "T2", "actor": "ann", "reason": "an hour without errors", "request": "r", "kind": "changed",
             "differences": [{"pointer": "/rollout/percentage", "before": 0.1, "after": 1.0}, {"pointer": "/killed", "before": true, "after": false}]},
            {"revision": 12, "at": "T1", "actor": "bob", "request": "r", "kind": "created", "differences": []}]}))
        .unwrap();
        let said = in_words(told, &Line::parse_from(["history", "US-1"]).args);
        let lines: Vec<&str> = said.out.lines().collect();
        assert_eq!(
            lines,
            [
                "REVISION  WHEN  WHO  WHAT                                               WHY",
                "13        T2    ann  rollout/percentage 0.1 -> 1; killed true -> false  an hour without errors",
                "12        T1    bob  created",
            ]
        );
        assert_eq!(said.note, "there is more: --limit 40");
    }
}
