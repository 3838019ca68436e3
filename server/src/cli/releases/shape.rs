//! A release as the service tells it. Lenient, so that a service of another version can be read: what is unknown is passed
//! over, what is missing or null is nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::cli::failure::Failure;

/// A release.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(in crate::cli) struct Release {
    #[serde(rename = "release")]
    pub(in crate::cli) id: String,
    pub(super) plan: String,
    pub(super) flag: String,
    /// Counts transitions: what If-Match compares.
    pub(in crate::cli) number: u64,
    pub(in crate::cli) phase: String,
    /// `holding: no data`.
    pub(in crate::cli) state: String,
    pub(in crate::cli) ended: bool,
    pub(super) created_at: String,
    pub(super) created_by: String,
    pub(super) start_at: Option<String>,
    pub(super) started_at: Option<String>,
    pub(super) ended_at: Option<String>,
    pub(super) time_scale: u64,
    /// The present one; none before the start.
    pub(in crate::cli) step: Option<Step>,
    pub(super) steps: Vec<Planned>,
    pub(super) next: Option<Next>,
    pub(in crate::cli) cause: Option<Cause>,
    pub(in crate::cli) rollback: Option<Rollback>,
    pub(in crate::cli) targets: Option<String>,
    pub(in crate::cli) evidence: String,
    pub(super) triggers: Vec<Trigger>,
    pub(super) arms: Arms,
    pub(super) health: Option<Health>,
    pub(super) alerts: Vec<Alert>,
    pub(super) checklist: Vec<CheckBox>,
    pub(super) warnings: Vec<String>,
    pub(super) assumed: Vec<String>,
}

/// The present step.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(in crate::cli) struct Step {
    pub(super) number: u64,
    pub(super) of: u64,
    pub(in crate::cli) percentage: f64,
    pub(super) since: String,
    pub(super) bake_ms: i64,
    pub(super) baked_ms: i64,
    pub(super) approved: bool,
}

/// A step of the plan, as this release copied it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Planned {
    pub(super) number: u64,
    pub(super) percentage: f64,
    pub(super) cohorts: Vec<String>,
    pub(super) bake_ms: i64,
    pub(super) overnight: bool,
    pub(super) approval: bool,
    pub(super) not_before: Option<String>,
    pub(super) taken_at: Option<String>,
    pub(super) over_at: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Next {
    /// None at the last step: then it completes.
    pub(super) percentage: Option<f64>,
    pub(super) earliest_at: Option<String>,
    pub(super) left_ms: Option<i64>,
}

/// Why it was turned back.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(in crate::cli) struct Cause {
    pub(super) kind: String,
    pub(super) by: String,
    pub(super) name: String,
    pub(in crate::cli) evidence: String,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(in crate::cli) struct Rollback {
    pub(in crate::cli) verified: bool,
    pub(super) silent: Vec<String>,
    pub(in crate::cli) took_ms: Option<i64>,
    pub(super) planned_ms: Option<i64>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Trigger {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) e: Option<f64>,
    pub(super) turns_back_at: Option<f64>,
    /// From nothing, 0, to turning back, 1.
    pub(super) bar: Option<f64>,
    pub(super) shown_to_hold: bool,
    /// Of another source, the last number, or why there is none.
    pub(super) last: Value,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Arms {
    pub(super) treatment: Arm,
    pub(super) control: Arm,
    pub(super) cohort: Arm,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Arm {
    pub(super) requests: u64,
    pub(super) success: u64,
    pub(super) failure: u64,
    pub(super) error: u64,
    /// Shares of requests that were slower, by the limit in milliseconds.
    pub(super) slow: BTreeMap<String, f64>,
    pub(super) new_units: u64,
    pub(super) per_s: Option<f64>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Health {
    pub(super) instances: u64,
    pub(super) current: u64,
    pub(super) behind: u64,
    pub(super) behind_names: Vec<String>,
    pub(super) healthy: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Alert {
    pub(super) name: String,
    pub(super) condition: String,
    pub(super) open: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct CheckBox {
    pub(super) item: String,
    pub(super) text: String,
    pub(super) group: String,
    /// `start` or `complete`.
    pub(super) gate: String,
    pub(super) done: bool,
    pub(super) by: String,
    pub(super) at: String,
}

/// A line of the timeline.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(in crate::cli) struct Entry {
    /// `transition`, `change` or `notice`.
    pub(super) kind: String,
    pub(super) at: String,
    /// Of a transition.
    pub(super) number: Option<u64>,
    pub(in crate::cli) to: String,
    pub(super) step: Option<u64>,
    pub(super) percentage: Option<f64>,
    pub(super) actor: String,
    pub(super) text: String,
    pub(super) audience: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Releases {
    releases: Vec<Release>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Timeline {
    timeline: Vec<Entry>,
}

impl Release {
    /// Reads one.
    ///
    /// # Errors
    /// When the text is no release.
    pub(in crate::cli) fn read(text: &str) -> Result<Self, Failure> {
        let release: Self = leniently(text)?;
        if release.id.is_empty() {
            return Err(Failure::refused("the service's answer cannot be read: it tells of no release"));
        }
        Ok(release)
    }

    /// Reads a page of them.
    pub(super) fn read_list(text: &str) -> Result<Vec<Self>, Failure> {
        Ok(leniently::<Releases>(text)?.releases)
    }

    /// What it is doing, in words.
    pub(super) fn doing(&self) -> String {
        if self.state.is_empty() { self.phase.replace('_', " ") } else { self.state.clone() }
    }

    /// Which of its plan it is: ids end with a number that counts.
    pub(super) fn counter(&self) -> u64 {
        self.id.rsplit_once('-').and_then(|(_, counter)| counter.parse().ok()).unwrap_or_default()
    }

    /// The items that must be ticked before it starts, and are not.
    pub(in crate::cli) fn to_tick(&self) -> impl Iterator<Item = &str> {
        let open = self.checklist.iter().filter(|check| check.gate == "start" && !check.done);
        open.map(|check| check.item.as_str())
    }

    /// Whether it waits for its start.
    pub(super) fn is_scheduled(&self) -> bool {
        self.phase == "scheduled"
    }
}

impl Entry {
    /// Reads one.
    pub(super) fn read(text: &str) -> Result<Self, Failure> {
        leniently(text)
    }

    /// Whether it says what was said to people, which is what happened once more.
    pub(super) fn is_notice(&self) -> bool {
        self.kind == "notice"
    }

    /// Reads a timeline.
    pub(super) fn read_all(text: &str) -> Result<Vec<Self>, Failure> {
        Ok(leniently::<Timeline>(text)?.timeline)
    }
}

impl Arm {
    /// Requests that count in rates.
    pub(super) fn judged(&self) -> u64 {
        self.success.saturating_add(self.failure).saturating_add(self.error)
    }
}

fn leniently<T: DeserializeOwned>(text: &str) -> Result<T, Failure> {
    let unreadable = |error: serde_json::Error| Failure::refused(format!("the service's answer cannot be read: {error}"));
    let value: Value = serde_json::from_str(text).map_err(unreadable)?;
    serde_json::from_value(without_nulls(value)).map_err(unreadable)
}

/// What is null might as well not be there.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            members.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name, without_nulls(value))).collect()
        }
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_of_other_versions_can_be_read() {
        let text = r#"{"release": "DP-1-12", "flag": null, "step": null, "steps": [{"percentage": 1, "new": [1]}], "cause": null,
            "arms": {"treatment": {"requests": 3, "error_rate": null, "slow": {"200": null, "1000": 0.02}}}, "unheard_of": {}}"#;
        let release = Release::read(text).unwrap();
        assert_eq!((release.id.as_str(), release.flag.as_str(), release.counter(), release.step), ("DP-1-12", "", 12, None));
        assert_eq!(release.arms.treatment.slow, BTreeMap::from([("1000".to_owned(), 0.02)]));
        assert_eq!(release.steps.len(), 1);
    }

    #[test]
    fn what_is_no_release_is_refused() {
        for text in ["{}", "[]", "<html>", r#"{"release": 7}"#] {
            assert!(Release::read(text).is_err(), "{text}");
        }
    }
}
