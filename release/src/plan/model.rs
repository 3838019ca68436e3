//! What a plan says, in the order in which it is written.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::DateTime;
use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};
use storyflag_evaluation::Percentage;

use crate::plan::{Calendar, Checklist, Condition, Gate, Item, Message, Span, stored};

/// A deployment plan. Its serde form is the canonical JSON: what is written can be read back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Its key: `DP-123-checkout`.
    pub plan: String,
    /// The story that it releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub story: Option<String>,
    /// Documents that it refers to, by what they are.
    #[serde(default, skip_serializing_if = "Entries::is_empty")]
    pub references: Entries,
    /// The flag that it drives. Empty only where the approach is none that can be executed here.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub flag: String,
    /// How the story is deployed.
    pub approach: Approach,
    /// How much may go wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk: Option<Risk>,
    /// How long a rollback may take.
    pub rollback_time: Span,
    /// Every check box.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "stored::checklists")]
    pub checklists: Vec<Checklist>,
    /// From the first percentage to the last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// When steps may be taken.
    pub calendar: Calendar,
    /// Judged at the end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<Condition>,
    /// What turns back, assumed relative triggers included. Empty is `none`: a plain schedule.
    #[serde(serialize_with = "triggers", deserialize_with = "stored::triggers")]
    pub triggers: Vec<Condition>,
    /// False where the plan says `relative_triggers: none`.
    #[serde(
        default = "yes",
        skip_serializing_if = "is_true",
        serialize_with = "relative_triggers",
        deserialize_with = "stored::relative_triggers"
    )]
    pub relative_triggers: bool,
    /// An absolute trigger that control breaks as well holds and pages instead of turning back.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unless_control_fails: bool,
    /// What tells people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<Alert>,
    /// What people look at themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watch: Vec<String>,
    /// Who is told what, and when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub communication: Vec<Message>,
    /// Commands by name (`rollback`, `data_rollback`...): shown when due, never executed.
    #[serde(default, skip_serializing_if = "Entries::is_empty")]
    pub runbook: Entries,
}

/// How a story is deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Approach {
    /// Behind a feature flag: the only one that is executed here.
    FeatureFlag,
    /// To a part of the servers first.
    Canary,
    /// To a second set of servers.
    BlueGreen,
    /// Server by server.
    Rolling,
}

impl Approach {
    /// As people write it.
    pub const fn title(self) -> &'static str {
        match self {
            Self::FeatureFlag => "Feature Flag",
            Self::Canary => "Canary",
            Self::BlueGreen => "Blue-Green",
            Self::Rolling => "Rolling",
        }
    }
}

/// How much may go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// Little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
}

impl Risk {
    /// As people write it.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Low => "Low",
            Self::Medium => "Medium",
            Self::High => "High",
        }
    }
}

/// A percentage to go to, and how long to watch it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Cohorts that are in from here on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cohorts: Vec<String>,
    /// The share of everyone else. Written in percent.
    #[serde(serialize_with = "percent", deserialize_with = "stored::percent")]
    pub percentage: Percentage,
    /// How long to watch it.
    pub bake: Bake,
    /// Not before this local time, in the calendar's time zone.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "local_time", deserialize_with = "stored::local_time")]
    pub not_before: Option<DateTime>,
    /// Whether a human approves before this step is taken.
    #[serde(default, skip_serializing_if = "is_false")]
    pub approval: bool,
}

/// How long a step is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bake {
    /// So much healthy time.
    For(Span),
    /// To the first `overnight_ends` at least 8 h after the step, with 8 h of healthy time.
    Overnight,
}

/// A condition that tells people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Its name, once in a plan.
    pub name: String,
    /// When it speaks.
    pub condition: Condition,
    /// To whom.
    pub action: Action,
}

/// What an alert does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Pages who is on call.
    PageOnCall,
    /// Tells the team.
    NotifyTeam,
    /// Tells the stakeholders.
    NotifyStakeholders,
}

/// Names and texts in the order in which they were written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entries(pub Vec<(String, String)>);

impl Entries {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str())
    }
}

impl Serialize for Entries {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, text) in &self.0 {
            map.serialize_entry(name, text)?;
        }
        map.end()
    }
}

impl Plan {
    /// Why it cannot be executed here, if so.
    pub fn cannot_be_executed(&self) -> Option<String> {
        let title = self.approach.title();
        (self.approach != Approach::FeatureFlag)
            .then(|| format!("the approach {title} cannot be executed here: the plan is kept, and no release of it starts"))
    }

    /// The check boxes of a gate that are not ticked in the document.
    pub fn open_items(&self, gate: Gate) -> Vec<&Item> {
        self.items(gate).filter(|item| !item.done).collect()
    }

    /// Every check box of a gate, in order.
    pub fn items(&self, gate: Gate) -> impl Iterator<Item = &Item> {
        self.checklists.iter().filter(move |list| list.gate == gate).flat_map(|list| &list.items)
    }

    /// What is asked of Prometheus for its triggers and alerts: (the condition's text, by which readings are told to the machine;
    /// the query), each condition once.
    pub fn queries(&self) -> BTreeMap<&str, &str> {
        let conditions = self.triggers.iter().chain(self.alerts.iter().map(|alert| &alert.condition));
        conditions.filter_map(|condition| Some((condition.text.as_str(), condition.query()?))).collect()
    }

    /// Every latency whose excess is counted for triggers, alerts and targets, ascending.
    pub fn limits_ms(&self) -> Vec<u64> {
        let conditions = self.triggers.iter().chain(self.alerts.iter().map(|alert| &alert.condition)).chain(&self.targets);
        conditions.filter_map(Condition::limit_ms).collect::<BTreeSet<u64>>().into_iter().collect()
    }
}

impl std::fmt::Display for Bake {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::For(span) => span.fmt(formatter),
            Self::Overnight => formatter.write_str("overnight"),
        }
    }
}

impl Serialize for Bake {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

const fn yes() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn is_true(value: &bool) -> bool {
    *value
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn is_false(value: &bool) -> bool {
    !*value
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn relative_triggers<S: Serializer>(_: &bool, serializer: S) -> Result<S::Ok, S::Error> {
    // Written only where it is false.
    serializer.serialize_str("none")
}

fn triggers<S: Serializer>(triggers: &[Condition], serializer: S) -> Result<S::Ok, S::Error> {
    if triggers.is_empty() { serializer.serialize_str("none") } else { triggers.serialize(serializer) }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn percent<S: Serializer>(percentage: &Percentage, serializer: S) -> Result<S::Ok, S::Error> {
    // A whole percentage is written without a decimal point, as people write it.
    if percentage.millionths().is_multiple_of(10_000) {
        serializer.serialize_u32(percentage.millionths() / 10_000)
    } else {
        serializer.serialize_f64(percentage.percent())
    }
}

#[allow(clippy::ref_option, reason = "serde's form")]
fn local_time<S: Serializer>(time: &Option<DateTime>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serializer.collect_str(&time.strftime("%Y-%m-%d %H:%M")),
        None => serializer.serialize_none(),
    }
}
