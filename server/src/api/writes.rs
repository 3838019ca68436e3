//! What writes have in common in their answers: what a dry run tells.

use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{body::Answer, fields::escaped};
use crate::app::Done;

/// What a write would do.
#[derive(Debug, Serialize, ToSchema)]
pub struct DryRun {
    /// Always true: nothing was changed.
    pub dry_run: bool,
    /// What would change.
    pub differences: Vec<Difference>,
    /// The share of units that would be added and lost, for a targeting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub units: Option<UnitsMoved>,
    /// What the caller should know.
    pub warnings: Vec<String>,
}

/// What a write answers: what stands now, or with `dry_run` what the write would do.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "describes answers; no value is ever made")]
pub enum Wrote<T: ToSchema> {
    /// What stands now.
    Stands(T),
    /// With `dry_run`.
    Would(DryRun),
}

impl DryRun {
    /// Of a write that goes from one thing to another, or from or to nothing.
    pub fn of(before: Option<&Value>, after: Option<&Value>) -> Self {
        Self { dry_run: true, differences: differences(before, after), units: None, warnings: Vec::new() }
    }
}

/// One difference.
#[derive(Debug, Serialize, ToSchema)]
pub struct Difference {
    /// JSON pointer.
    pub pointer: String,
    /// What stands; null: nothing.
    pub before: Value,
    /// What would stand; null: nothing.
    pub after: Value,
}

/// How exposure would move, in percent of all units, by bucket: exact for those that no override, rule or cohort decides.
#[derive(Debug, Serialize, ToSchema)]
pub struct UnitsMoved {
    /// Units that are not served now and would be.
    pub added: f64,
    /// Units that are served now and would not be.
    pub lost: f64,
}

/// What would differ between two bodies; what is told about a thing (`version`, times) does not count.
pub fn differences(before: Option<&Value>, after: Option<&Value>) -> Vec<Difference> {
    let mut found = Vec::new();
    compare("", before.unwrap_or(&Value::Null), after.unwrap_or(&Value::Null), &mut found);
    found
}

const TOLD: [&str; 6] = ["version", "revision", "updated_at", "updated_by", "created_at", "changed_at"];

fn compare(at: &str, before: &Value, after: &Value, found: &mut Vec<Difference>) {
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            let mut names: Vec<&String> = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name))).collect();
            names.retain(|name| !(at.is_empty() && TOLD.contains(&name.as_str())));
            for name in names {
                let null = Value::Null;
                let (old, new) = (old.get(name).unwrap_or(&null), new.get(name).unwrap_or(&null));
                compare(&format!("{at}/{}", escaped(name)), old, new, found);
            }
        }
        (before, after) if before != after => {
            found.push(Difference { pointer: at.to_owned(), before: before.clone(), after: after.clone() });
        }
        _ => {}
    }
}

/// The answer of a write, or of its dry run.
pub fn answer<T, V: Serialize>(
    dry_run: bool,
    done: Done<T>,
    units: impl FnOnce(&Done<T>) -> Option<UnitsMoved>,
    view: impl Fn(&T) -> V,
    version: impl FnOnce(&T) -> Option<i64>,
) -> Response {
    if dry_run {
        let json = |value: &T| serde_json::to_value(view(value)).unwrap_or_default();
        let differences = differences(done.before.as_ref().map(json).as_ref(), Some(&json(&done.after)));
        return Answer::ok(DryRun { dry_run, differences, units: units(&done), warnings: done.warnings }).into_response();
    }
    let created = done.before.is_none() && done.changed;
    Answer { version: version(&done.after), ..Answer::ok(view(&done.after)) }.created(created).into_response()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_are_leaves_with_their_pointers() {
        let before = json!({"version": 1, "rollout": {"percentage": 1, "cohorts": ["a"]}, "tags": ["x"]});
        let after = json!({"version": 2, "rollout": {"percentage": 10, "cohorts": ["a"]}, "tags": ["x", "y"], "a/b": 1});
        let found = differences(Some(&before), Some(&after));
        let pointers: Vec<_> = found.iter().map(|one| one.pointer.as_str()).collect();
        assert_eq!(pointers, ["/rollout/percentage", "/tags", "/a~1b"]);
    }
}
