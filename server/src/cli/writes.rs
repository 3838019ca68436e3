//! What the commands that change something have in common.

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use super::{
    client::{Answer, Query},
    failure::Failure,
    table::{Table, plain, shortened},
};

/// How a change is asked for.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct WriteArgs {
    /// Why; it stands in the history
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Change nothing; tell what would change
    #[arg(long)]
    pub(super) dry_run: bool,
}

impl WriteArgs {
    pub(super) fn query(&self) -> Query {
        Query::default().with_some("reason", self.reason.as_deref()).with_flag("dry_run", self.dry_run)
    }
}

/// What a dry run told.
#[derive(Debug, Deserialize)]
struct DryRun {
    differences: Vec<Difference>,
    units: Option<UnitsMoved>,
    #[serde(default)]
    warnings: Vec<String>,
}

/// One difference: what stood, what stands.
#[derive(Debug, Deserialize)]
pub(super) struct Difference {
    pub(super) pointer: String,
    pub(super) before: Value,
    pub(super) after: Value,
}

#[derive(Debug, Deserialize)]
struct UnitsMoved {
    added: f64,
    lost: f64,
}

impl Difference {
    /// `rollout/percentage 0.1 -> 1`, for one line among others.
    pub(super) fn in_short(&self) -> String {
        let (before, after) = (in_words(&self.before), in_words(&self.after));
        let name = plain(self.pointer.trim_start_matches('/'));
        if name.is_empty() { format!("{before} -> {after}") } else { format!("{name} {before} -> {after}") }
    }
}

/// A JSON value in a line of text.
pub(super) fn in_words(value: &Value) -> String {
    let text = match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        // 1.0 is 1 for a person.
        Value::Number(number) => {
            number.as_f64().filter(|_| !number.is_i64()).map_or_else(|| number.to_string(), |number| number.to_string())
        }
        other => other.to_string(),
    };
    shortened(&plain(&text), 80)
}

/// What a dry run of a change of `place` told, in words.
pub(super) fn dry_run_in_words(answer: &Answer, place: &str) -> Result<String, Failure> {
    let told: DryRun = answer.read()?;
    let mut text = if told.differences.is_empty() {
        format!("{place}: this would change nothing\n")
    } else {
        format!("{place}: nothing was changed; this would change\n")
    };
    let mut table = Table::new(["WHAT", "FROM", "TO"]);
    for difference in &told.differences {
        table.row([difference.pointer.clone(), in_words(&difference.before), in_words(&difference.after)]);
    }
    if !table.is_empty() {
        text.push_str(&table.render());
    }
    if let Some(units) = told.units {
        text.push_str(&format!("{} % of all units come in, {} % go out\n", units.added, units.lost));
    }
    text.push_str(&warnings_in_words(&told.warnings));
    Ok(text)
}

/// A line each.
pub(super) fn warnings_in_words(warnings: &[String]) -> String {
    warnings.iter().map(|warning| format!("warning: {}\n", plain(warning))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_dry_run_tells_differences_and_units() {
        let body = json!({"dry_run": true, "differences": [{"pointer": "/rollout/percentage", "before": 0.1, "after": 1.0}],
            "units": {"added": 0.9, "lost": 0.0}, "warnings": ["killed here"]});
        let text = dry_run_in_words(&Answer { status: 200, text: body.to_string() }, "a in staging").unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "a in staging: nothing was changed; this would change",
                "WHAT                 FROM  TO",
                "/rollout/percentage  0.1   1",
                "0.9 % of all units come in, 0 % go out",
                "warning: killed here",
            ]
        );
    }

    #[test]
    fn values_read_like_words() {
        for (value, text) in
            [(json!(null), "nothing"), (json!("a\nb"), "a\u{fffd}b"), (json!(50.0), "50"), (json!(7), "7"), (json!(["a"]), "[\"a\"]")]
        {
            assert_eq!(in_words(&value), text);
        }
    }
}
