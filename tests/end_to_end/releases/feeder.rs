//! Instances of an application that are no SDK: each tells every second what it says it counted, to one node or, when that
//! is gone, to another.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use reqwest::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// What an instance counts in a second: requests and errors of treatment, from the flag's key and its percentage.
pub(crate) type Counts = fn(flag: &str, percentage: f64) -> (u64, u64);

/// Instances that report. Ends when it is dropped.
pub(crate) struct Feeder {
    nodes: Arc<Mutex<Vec<String>>>,
    _reporting: JoinSet<()>,
}

impl Feeder {
    /// So many instances, each beginning with another node.
    pub(crate) fn start(key: &str, nodes: Vec<String>, instances: usize, counts: Counts) -> Feeder {
        let nodes = Arc::new(Mutex::new(nodes));
        let mut reporting = JoinSet::new();
        for number in 0..instances {
            let instance = Instance { number, key: key.to_owned(), nodes: Arc::clone(&nodes), sequence: 0, client: Client::new(), counts };
            reporting.spawn(instance.report());
        }
        Feeder { nodes, _reporting: reporting }
    }

    /// The nodes that there are now.
    pub(crate) fn set(&self, nodes: Vec<String>) {
        *self.nodes.lock().unwrap() = nodes;
    }
}

struct Instance {
    number: usize,
    key: String,
    nodes: Arc<Mutex<Vec<String>>>,
    sequence: u64,
    client: Client,
    counts: Counts,
}

impl Instance {
    async fn report(mut self) {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        loop {
            ticks.tick().await;
            let nodes = self.nodes.lock().unwrap().clone();
            for attempt in 0..nodes.len() {
                let node = &nodes[(self.number + attempt) % nodes.len()];
                if self.tell(node).await.is_ok() {
                    break;
                }
            }
        }
    }

    /// Runs what the node serves, and tells what it counted of it. A message is made once: one whose fate is not known is
    /// not told again.
    async fn tell(&mut self, node: &str) -> Result<(), reqwest::Error> {
        let ruleset = self.client.get(format!("{node}/sdk/v1/ruleset")).bearer_auth(&self.key).send().await?.error_for_status()?;
        let applied = ruleset.headers()["etag"].to_str().unwrap().trim_matches('"').to_owned();
        let ruleset: Value = ruleset.json().await?;
        let watched: Vec<Value> = ruleset["flags"].as_array().unwrap().iter().flat_map(|flag| self.arms(flag)).collect();
        self.sequence += 1;
        let message = json!({
            "format": 1, "instance": format!("instance-{}", self.number), "sequence": self.sequence, "sdk": "test/1", "applied": applied,
            "watched": watched,
        });
        let told = self.client.post(format!("{node}/sdk/v1/telemetry")).bearer_auth(&self.key).json(&message).send().await;
        // It may have arrived: the gap or the count shows it, not a second message.
        let _fate = told.map(|answer| assert!(answer.status().is_success(), "{}", answer.status()));
        Ok(())
    }

    fn arms(&self, flag: &Value) -> Vec<Value> {
        let Some(revision) = flag["watch"]["rollout_revision"].as_u64() else { return Vec::new() };
        let percentage = flag["rollout"]["millionths"].as_u64().unwrap() as f64 / 10_000.0;
        let key = flag["key"].as_str().unwrap();
        let (requests, errors) = if percentage > 0.0 { (self.counts)(key, percentage) } else { (0, 0) };
        let units: Vec<String> = (0..errors.min(8)).map(|unit| format!("{:016x}", self.number as u64 * 1_000 + unit)).collect();
        let event = json!({"count": errors, "at_risk": requests, "first": errors, "units": units});
        let arm = |arm: &str, requests: u64, errors: u64, event: Value| {
            json!({"flag": key, "rollout_revision": revision, "arm": arm, "requests": requests, "success": requests - errors, "error": errors,
                "new_units": 0, "events": {"error": event.clone(), "not_success": event}})
        };
        let quiet = json!({"count": 0, "at_risk": requests, "first": 0});
        vec![arm("treatment", requests, errors, event), arm("control", if percentage < 100.0 { requests } else { 0 }, 0, quiet)]
    }
}
