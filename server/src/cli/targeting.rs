//! What is on in one environment, as the commands read it.

use serde::Deserialize;
use serde_json::Value;

use super::{
    table::{counted, plain},
    writes::in_words,
};

/// As much of a targeting as is shown.
#[derive(Debug, Deserialize)]
pub(super) struct Targeting {
    pub(super) enabled: bool,
    pub(super) killed: bool,
    pub(super) off: String,
    pub(super) prerequisites: Vec<Value>,
    pub(super) overrides: serde_json::Map<String, Value>,
    pub(super) rules: Vec<Value>,
    pub(super) rollout: Rollout,
    #[serde(default)]
    pub(super) revision: i64,
    pub(super) updated_at: String,
    pub(super) updated_by: String,
    /// Only in the answer of a write.
    #[serde(default)]
    pub(super) instances: u64,
    /// Only in the answer of a write; a service of the version before does not say.
    pub(super) changed: Option<bool>,
    /// Only in the answer of a write.
    #[serde(default)]
    pub(super) warnings: Vec<String>,
}

/// Cohorts that are always in, plus a percentage of everyone else.
#[derive(Debug, Deserialize)]
pub(super) struct Rollout {
    pub(super) cohorts: Vec<String>,
    pub(super) percentage: f64,
    serve: Value,
    otherwise: Option<String>,
}

/// A line of the list of what is on.
#[derive(Debug, Deserialize)]
pub(super) struct Summary {
    pub(super) key: String,
    pub(super) enabled: bool,
    pub(super) killed: bool,
    pub(super) percentage: f64,
    pub(super) cohorts: Vec<String>,
    pub(super) rules: u64,
    pub(super) overrides: u64,
    /// Present where the service does not understand all of it.
    pub(super) unsupported: Option<String>,
    pub(super) updated_at: String,
    pub(super) updated_by: String,
}

/// In one word; the one that matters at 3 a.m. is seen from afar.
pub(super) fn state(enabled: bool, killed: bool) -> &'static str {
    match (enabled, killed) {
        (_, true) => "KILLED",
        (false, false) => "not enabled",
        (true, false) => "on",
    }
}

impl Targeting {
    /// What the rollout says, in a sentence's end.
    pub(super) fn rollout_in_words(&self) -> String {
        let Rollout { cohorts, percentage, serve, otherwise } = &self.rollout;
        let cohorts = match cohorts.as_slice() {
            [] => String::new(),
            cohorts => format!(" and all of {}", plain(&cohorts.join(", "))),
        };
        let others = plain(otherwise.as_deref().unwrap_or(&self.off));
        format!("{percentage} %{cohorts} get {}, everyone else {others}", split_in_words(serve))
    }

    /// What decides before the rollout is asked.
    pub(super) fn before_in_words(&self) -> Option<String> {
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let parts = [
            (count(self.prerequisites.len()), "prerequisite"),
            (count(self.overrides.len()), "override"),
            (count(self.rules.len()), "rule"),
        ];
        let parts: Vec<String> = parts.iter().filter(|(count, _)| *count > 0).map(|(count, noun)| counted(*count, noun)).collect();
        (!parts.is_empty()).then(|| format!("asked before that: {}", parts.join(", ")))
    }
}

fn split_in_words(serve: &Value) -> String {
    let Value::Array(parts) = serve else { return in_words(serve) };
    let part = |part: &Value| {
        let weight = part.get("weight").map(in_words).unwrap_or_default();
        format!("{weight} % {}", part.get("variant").map(in_words).unwrap_or_default())
    };
    parts.iter().map(part).collect::<Vec<_>>().join(" / ")
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// As the service answers a write.
    pub(in crate::cli) fn targeting(change: Value) -> Value {
        let mut body = json!({"key": "US-1", "enabled": true, "killed": false, "unit": "targetingKey", "off": "off", "prerequisites": [],
            "overrides": {}, "rules": [], "rollout": {"cohorts": [], "percentage": 10.0, "serve": "on"}, "version": 3, "revision": 814,
            "updated_at": "2026-12-01T00:00:00Z", "updated_by": "ann", "instances": 2, "warnings": []});
        if let (Value::Object(body), Value::Object(change)) = (&mut body, change) {
            body.extend(change);
        }
        body
    }

    fn read(change: Value) -> Targeting {
        serde_json::from_value(targeting(change)).unwrap()
    }

    #[test]
    fn a_rollout_is_a_sentence() {
        assert_eq!(read(json!({})).rollout_in_words(), "10 % get on, everyone else off");
        let split = json!([{"variant": "a", "weight": 33.3}, {"variant": "b", "weight": 66.7}]);
        let rollout = json!({"cohorts": ["us", "beta"], "percentage": 0.1, "serve": split, "otherwise": "c"});
        assert_eq!(
            read(json!({"rollout": rollout})).rollout_in_words(),
            "0.1 % and all of us, beta get 33.3 % a / 66.7 % b, everyone else c"
        );
    }

    #[test]
    fn what_is_asked_before_is_counted() {
        assert_eq!(read(json!({})).before_in_words(), None);
        let before = read(json!({"rules": [{}, {}], "overrides": {"user-42": "off"}})).before_in_words();
        assert_eq!(before.as_deref(), Some("asked before that: 1 override, 2 rules"));
    }

    #[test]
    fn a_kill_outshouts_the_rest() {
        assert_eq!(
            [state(true, false), state(false, false), state(true, true), state(false, true)],
            ["on", "not enabled", "KILLED", "KILLED"]
        );
    }
}
