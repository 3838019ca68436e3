//! The floor of loading: the same JSON read by serde into plain structs, and a map built of them.

#![allow(dead_code, reason = "what is loaded is held, not looked at")]

use foldhash::fast::FixedState;
use serde::Deserialize;

type Map<T> = std::collections::HashMap<String, T, FixedState>;

#[derive(Deserialize)]
struct Document {
    flags: Vec<Flag>,
}

#[derive(Deserialize)]
pub struct Flag {
    key: String,
    killed: bool,
    off: String,
    variants: Map<serde_json::Value>,
    enabled: bool,
    seed: String,
    unit: String,
    prerequisites: Vec<String>,
    overrides: Map<String>,
    rules: Vec<Rule>,
    rollout: Rollout,
}

#[derive(Deserialize)]
struct Rule {
    id: String,
    r#if: Vec<Condition>,
    serve: Serve,
}

#[derive(Deserialize)]
struct Condition {
    attribute: String,
    r#in: Option<Vec<String>>,
    semver_at_least: Option<String>,
}

#[derive(Deserialize)]
struct Rollout {
    cohorts: Vec<String>,
    millionths: u32,
    serve: Serve,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Serve {
    Variant(String),
    Split(Vec<Weight>),
}

#[derive(Deserialize)]
struct Weight {
    variant: String,
    millionths: u32,
}

/// # Errors
/// JSON that is no ruleset.
pub fn load(text: &str) -> serde_json::Result<Map<Flag>> {
    let document: Document = serde_json::from_str(text)?;
    Ok(document.flags.into_iter().map(|flag| (flag.key.clone(), flag)).collect())
}
