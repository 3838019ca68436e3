//! The same flags from a service, some of them watched as releases do it: a client that counts outcomes and reports them.

use serde_json::Value as Json;
use storyflag::{Client, SdkKey};
use storyflag_evaluation::{CohortList, Identity, ItemKind, item_hash};
use storyflag_tests::scripted::{Answer, Scripted};
use tokio::runtime::{Builder, Runtime};

use crate::ours::Ours;

/// A client with telemetry on, and who serves it.
pub struct Served {
    pub ours: Ours,
    _service: Scripted,
    /// Serves, and closes the client's seconds.
    _runtime: Runtime,
}

impl Served {
    pub fn new(flags: &[String], cohort: &str, list: &CohortList) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let ruleset = ruleset(flags, cohort);
        let list = list.to_bytes();
        let script = move |head: &str| match head.split(' ').nth(1) {
            Some("/sdk/v1/stream") => Answer::events(&ruleset).held_open(),
            Some("/sdk/v1/telemetry") => Answer::raw("HTTP/1.1 204 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
            Some(path) if path.starts_with("/sdk/v1/cohorts/") => {
                let head = format!("HTTP/1.1 200 X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", list.len());
                Answer::raw([head.as_bytes(), list.as_slice()].concat())
            }
            _ => Answer::json(404, "{}"),
        };
        let (service, client) = runtime.block_on(async {
            let service = Scripted::start(script).await;
            let client = Client::builder(service.url(), SdkKey::new([7; 8], [42; 32]).as_str()).connect().await.unwrap();
            let is_ready = || client.ready() && client.status().missing_lists.is_empty();
            let ready = || async { if is_ready() { Ok(()) } else { Err(format!("{:?}", client.status())) } };
            storyflag_tests::eventually("everything is served", ready).await;
            (service, client)
        });
        Self { ours: Ours::of(client), _service: service, _runtime: runtime }
    }
}

/// Watches a flag as a release's write does.
pub fn watched(item: &Json) -> String {
    let mut item = item.clone();
    item["watch"] = serde_json::json!({ "rollout_revision": 1, "limits_ms": [200, 1_000] });
    item.to_string()
}

fn ruleset(flags: &[String], cohort: &str) -> String {
    let digest = flags.iter().map(|text| item_hash(ItemKind::Flag, text)).fold(item_hash(ItemKind::Cohort, cohort), u64::wrapping_add);
    let identity = Identity { incarnation: 1, revision: 1, digest };
    let data = format!(r#"{{"format":1,"flags":[{}],"cohorts":[{cohort}],"absorbed":[]}}"#, flags.join(","));
    format!("event: ruleset\nid: {identity}\ndata: {data}\n\n")
}

/// A request: what is asked in it is remembered.
pub fn in_a_scope<T>(work: impl FnOnce() -> T) -> T {
    let scope = storyflag::Scope::open();
    let done = scope.enter(work);
    scope.finish(storyflag::Outcome::Success);
    done
}
