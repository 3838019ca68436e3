//! From a plan to a document.

mod markdown;
mod progress;
mod rollout;
mod yaml;

pub use progress::{Progress, StepProgress, Tick, write_back};

use crate::plan::{
    Media, Plan,
    read::{
        json,
        node::{Entry, Node, Place, Value},
    },
};

/// Writes a plan. What is written reads as the same plan.
pub fn write(media: Media, plan: &Plan) -> String {
    match media {
        Media::Yaml => yaml::write(&tree(plan)),
        // A plan holds nothing that JSON does not: texts, numbers and lists of them.
        Media::Json => serde_json::to_string_pretty(plan).unwrap_or_default(),
        Media::Markdown => markdown::write(plan),
    }
}

/// The plan in its canonical order.
fn tree(plan: &Plan) -> Node {
    let json = serde_json::to_string(plan).unwrap_or_default();
    json::read(&json).unwrap_or(Node { at: Place::START, value: Value::Null })
}

/// Only these keys of the plan.
fn part(plan: &Plan, keys: &[&str]) -> Node {
    let entries = match tree(plan).value {
        Value::Map(entries) => entries,
        _ => Vec::new(),
    };
    let chosen: Vec<Entry> = entries.into_iter().filter(|entry| keys.contains(&entry.key.as_str())).collect();
    Node::map(chosen, Place::START)
}

#[cfg(test)]
#[path = "write_tests.rs"]
mod tests;
