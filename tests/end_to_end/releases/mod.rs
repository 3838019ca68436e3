//! Releases: plans that carry themselves out.

mod commands;
mod feeder;
mod owning;
mod prometheus;
mod story;
mod two_processes;

use serde_json::{Value, json};
use storyflag_tests::actors::Actor;
use storyflag_tests::answer::Answer;
use storyflag_tests::{House, eventually};

const KEY: &str = "DP-1-cart";
const FLAG: &str = "US-1-cart";

/// A plan by time alone: three steps, of which each is watched for a minute.
const PLAIN: &str = "plan: DP-1-cart
flag: US-1-cart
approach: feature_flag
steps:
  - { percentage: 1, bake: 1m }
  - { percentage: 10, bake: 1m }
  - { percentage: 100, bake: 1m }
triggers: none
";

/// Puts a plan and its flag.
async fn prepare(house: &House, plan: &str) {
    let editor = house.editor();
    editor.create_flag(FLAG).await.expect(201);
    put_plan(&editor, plan).await.expect(201);
}

async fn put_plan(actor: &Actor, plan: &str) -> Answer {
    let path = format!("/api/v1/projects/default/plans/{KEY}");
    actor.request(reqwest::Method::PUT, &path).body("application/yaml", plan.to_owned()).send().await
}

/// Creates a release of the plan; its id.
async fn create(actor: &Actor, more: &Value) -> String {
    let mut body = json!({"plan": KEY});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    actor.post("releases", &body).await.expect(201).json["release"].as_str().unwrap().to_owned()
}

async fn command(actor: &Actor, release: &str, command: &str) -> Answer {
    actor.post(&format!("releases/{release}/{command}"), &json!({"reason": "because"})).await
}

async fn release(actor: &Actor, release: &str) -> Value {
    actor.get(&format!("releases/{release}")).await.expect(200).json
}

/// Waits until a release says so.
async fn becomes(actor: &Actor, id: &str, member: &str, expected: &Value) -> Value {
    eventually(&format!("{id} has {member} {expected}"), || async {
        let told = release(actor, id).await;
        if told[member] == *expected { Ok(told) } else { Err(format!("{} ({}): {}", told[member], told["state"], told["evidence"])) }
    })
    .await
}

async fn timeline(actor: &Actor, id: &str) -> Vec<Value> {
    actor.get(&format!("releases/{id}/timeline")).await.expect(200).json["timeline"].as_array().unwrap().clone()
}

/// (from, to) of the transitions, and that they are counted without a gap.
async fn transitions(actor: &Actor, id: &str) -> Vec<(String, String)> {
    let entries: Vec<Value> = timeline(actor, id).await.into_iter().filter(|entry| entry["kind"] == "transition").collect();
    let numbers: Vec<u64> = entries.iter().map(|entry| entry["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=entries.len() as u64).collect::<Vec<_>>());
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap().to_owned();
    entries.iter().map(|entry| (text(entry, "from"), text(entry, "to"))).collect()
}
