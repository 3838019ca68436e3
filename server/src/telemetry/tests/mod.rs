//! What SDKs report, over real sockets to real databases.

use std::sync::Arc;

use prometheus_client::registry::Registry;

use storyflag_evaluation::Arm;

use super::{Telemetry, now_ms};
use crate::{
    publish::tests::{Client, Node, Writer, eventually, flag_text, quick, request},
    store::tests::{Database, both},
};

both!(
    messages_are_added_up_and_written,
    instances_are_counted_across_nodes,
    what_is_no_message_is_refused,
    an_outage_loses_nothing_that_is_young,
    outcomes_become_rows,
    an_outage_keeps_seconds_apart_and_drops_them_when_they_are_old,
);

async fn post(node: &Node, body: &str) -> Client {
    let bearer = format!("Bearer {}", crate::publish::tests::KEY);
    request(node.address, "POST", "/sdk/v1/telemetry", &[("authorization", &bearer)], body.as_bytes()).await
}

fn message(instance: &str, sequence: u64, more: &str) -> String {
    format!(r#"{{"format":1,"instance":"{instance}","sequence":{sequence},"sdk":"rust/0.1.0"{more}}}"#)
}

async fn messages_are_added_up_and_written(database: Database) {
    let writer = Writer::new(&database.store, database.production().await).await;
    let applied = writer.put_flag("a", 1).await.identity;
    let node = Node::start(database.store.clone(), quick()).await;
    for (instance, sequence, on) in [("i", 1, 3), ("i", 2, 4), ("j", 1, 5), ("j", 1, 5)] {
        let more =
            format!(r#","applied":"{applied}","usage":{{"a":{{"on":{on},"off":100}},"made-up":{{"on":1}}}},"watched":[{{"new":1}}]"#);
        assert_eq!(post(&node, &message(instance, sequence, &more)).await.status, 204);
    }
    // Three of four: one was sent twice.
    let sums = async || {
        let rows = database.store.list_usage(writer.environment).await.unwrap();
        rows.into_iter().map(|row| (row.flag, row.variant, row.count)).collect::<Vec<_>>()
    };
    let expected = [("a".to_owned(), "off".to_owned(), 300), ("a".to_owned(), "on".to_owned(), 12)];
    eventually("all is written", async || sums().await == expected).await;
    let instances = database.store.list_instances(writer.environment, 0, 10).await.unwrap();
    let seen: Vec<_> = instances.iter().map(|row| (row.instance.as_str(), row.applied.as_str(), row.sdk.as_str())).collect();
    let applied = applied.to_string();
    assert_eq!(seen, [("i", applied.as_str(), "rust/0.1.0"), ("j", applied.as_str(), "rust/0.1.0")]);
    assert_eq!((node.metric("storyflag_telemetry_messages_total"), node.metric("storyflag_telemetry_ignored_total")), (4, 4));
}

async fn instances_are_counted_across_nodes(database: Database) {
    let writer = Writer::new(&database.store, database.production().await).await;
    let [first, second] = [Node::start(database.store.clone(), quick()).await, Node::start(database.open_again().await, quick()).await];
    for (node, instance, more) in [
        (&first, "a", ""),
        (&first, "b", ""),
        (&first, "leaving", r#","goodbye":true"#),
        (&second, "c", ""),
        // First heard of here, then there.
        (&first, "moved", ""),
    ] {
        assert_eq!(post(node, &message(instance, 1, more)).await.status, 204);
    }
    // At once on the node that heard it, soon on the others.
    assert!(first.telemetry.instances(writer.environment).await >= 3);
    for node in [&first, &second] {
        eventually("all are counted", async || node.telemetry.instances(writer.environment).await == 4).await;
        let names: Vec<_> = node.telemetry.list(writer.environment).await.into_iter().map(|row| row.instance).collect();
        assert_eq!(names, ["a", "b", "c", "leaving", "moved"]);
        assert_eq!(node.telemetry.instances(writer.environment + 1).await, 0);
    }
    post(&second, &message("moved", 2, r#","goodbye":true"#)).await;
    for node in [&first, &second] {
        eventually("the latest word stands", async || node.telemetry.instances(writer.environment).await == 3).await;
    }
}

async fn what_is_no_message_is_refused(database: Database) {
    let writer = Writer::new(&database.store, database.production().await).await;
    let node = Node::start(database.store.clone(), quick()).await;
    for body in ["", "{}", "[1,2", &message("i", 1, r#","applied":"813""#), &message("", 1, ""), &"[".repeat(10_000)] {
        let mut refused = post(&node, body).await;
        assert_eq!((refused.status, refused.headers["content-type"].as_str()), (400, "application/problem+json"), "{body:.100}");
        let problem = refused.json().await;
        assert!(!problem["detail"].as_str().unwrap().is_empty());
    }
    let large = message("i", 1, &format!(r#","padding":"{}""#, "x".repeat(256 * 1_024)));
    assert_eq!(post(&node, &large).await.status, 413);
    let largest = message("i", 1, &format!(r#","padding":"{}""#, "x".repeat(255 * 1_024)));
    assert_eq!(post(&node, &largest).await.status, 204);
    assert_eq!(node.telemetry.instances(writer.environment).await, 1);
}

async fn an_outage_loses_nothing_that_is_young(database: Database) {
    let writer = Writer::new(&database.store, database.production().await).await;
    writer.put_flag("a", 1).await;
    let node = Node::start(database.store.clone(), quick()).await;
    let environment = node.hub.environment(writer.environment).unwrap();
    let (away, mut registry) = (database.open_again().await, Registry::default());
    let mut telemetry = Telemetry::new(away.clone(), Arc::from("n"), &mut registry);
    away.close().await;
    let message = serde_json::from_str(&message("i", 1, r#","usage":{"a":{"on":7}}"#)).unwrap();
    telemetry.take(&environment, &message);
    telemetry.flush().await;
    telemetry.flush().await;
    // Who was heard here is counted here, whatever the database does.
    assert_eq!(telemetry.instances(writer.environment).await, 1);

    Arc::get_mut(&mut telemetry.shared).unwrap().store = database.store.clone();
    telemetry.flush().await;
    assert_eq!(database.store.list_usage(writer.environment).await.unwrap()[0].count, 7);
    assert_eq!(database.store.count_instances(writer.environment, 0).await.unwrap(), 1);
}

/// A flag that is watched since revision 1.
async fn watch(writer: &Writer) {
    let text = flag_text("a", 1_000);
    let watched = format!(r#"{},"watch":{{"rollout_revision":1,"limits_ms":[200]}}}}"#, text.strip_suffix('}').unwrap());
    writer.put_flags([("a", watched)]).await;
}

fn outcomes(arm: &str, requests: u64) -> String {
    let digits = "B".repeat(4_096);
    format!(
        r#","watched":[{{"flag":"a","rollout_revision":1,"arm":"{arm}","requests":{requests},"success":{requests},"latency_us":[[1007,{requests}]],"distinct_units":"{digits}"}}]"#
    )
}

async fn outcomes_become_rows(database: Database) {
    let writer = Writer::new(&database.store, database.production().await).await;
    watch(&writer).await;
    let nodes = [Node::start(database.store.clone(), quick()).await, Node::start(database.open_again().await, quick()).await];
    for (node, instance, arm, requests) in
        [(0, "i", "treatment", 3), (0, "j", "treatment", 4), (1, "k", "treatment", 5), (1, "k", "control", 9)]
    {
        let sequence = if arm == "control" { 2 } else { 1 };
        assert_eq!(post(&nodes[node], &message(instance, sequence, &outcomes(arm, requests))).await.status, 204);
    }
    let (store, environment) = (&database.store, writer.environment);
    let rows = async || {
        let mut rows = Vec::new();
        for head in store.telemetry_heads().await.unwrap() {
            rows.extend(store.seconds_after(environment, &head.node, 0, 100).await.unwrap());
        }
        rows
    };
    let requests = async |arm: Arm| {
        let rows = rows().await;
        let watched = rows.iter().flat_map(|row| &row.heard.watched).filter(|watched| watched.arm == arm);
        watched.map(|watched| watched.counts.requests).sum::<u64>()
    };
    eventually("every second is written", async || (requests(Arm::Treatment).await, requests(Arm::Control).await) == (12, 9)).await;
    let heard = rows().await.iter().flat_map(|row| &row.heard.instances).map(|heard| heard.instance.clone()).collect::<Vec<_>>();
    assert!(["i", "j", "k"].iter().all(|instance| heard.iter().any(|heard| heard == instance)), "{heard:?}");

    for node in &nodes {
        node.telemetry.flush().await;
    }
    let minutes = store.minute_sums(environment, "a").await.unwrap();
    let of = |arm: Arm| minutes.iter().filter(|row| row.arm == arm).map(|row| row.counts.requests).sum::<u64>();
    assert_eq!((of(Arm::Treatment), of(Arm::Control)), (12, 9));
    let exposed = store.exposed_registers(environment, "a").await.unwrap();
    assert_eq!(exposed.iter().map(|(revision, arm, _)| (*revision, *arm)).collect::<Vec<_>>(), [(1, Arm::Control), (1, Arm::Treatment)]);
    nodes[0].telemetry.prune(now_ms()).await.unwrap();
    assert_eq!(requests(Arm::Treatment).await, 12, "what is young stays");
    nodes[0].telemetry.prune(now_ms() + 36 * 24 * 3_600_000).await.unwrap();
    assert!(store.telemetry_heads().await.unwrap().is_empty() && store.exposed_registers(environment, "a").await.unwrap().is_empty());
    assert_eq!(store.minute_sums(environment, "a").await.unwrap(), []);
}

async fn an_outage_keeps_seconds_apart_and_drops_them_when_they_are_old(database: Database) {
    let writer = Writer::new(&database.store, database.production().await).await;
    watch(&writer).await;
    let node = Node::start(database.store.clone(), quick()).await;
    let environment = node.hub.environment(writer.environment).unwrap();
    let (away, mut registry) = (database.open_again().await, Registry::default());
    let mut telemetry = Telemetry::new(away.clone(), Arc::from("n"), &mut registry);
    away.close().await;
    let told = |sequence: u64| serde_json::from_str(&message("i", sequence, &outcomes("treatment", sequence))).unwrap();
    telemetry.heard().take(environment.id(), &environment.ruleset(), &told(1), "n", now_ms() - 11_000);
    telemetry.flush().await;
    assert_eq!(telemetry.shared.metrics.seconds_dropped.get(), 1);
    for sequence in 2..=3 {
        telemetry.take(&environment, &told(sequence));
        telemetry.flush().await;
    }
    Arc::get_mut(&mut telemetry.shared).unwrap().store = database.store.clone();
    telemetry.flush().await;
    let rows = database.store.seconds_after(writer.environment, "n", 0, 10).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.heard.watched[0].counts.requests).collect::<Vec<_>>(), [2, 3]);
    assert!(rows[0].second < rows[1].second);
    assert_eq!(database.store.telemetry_heads().await.unwrap()[0].second, rows[1].second);
    // Reports go on: a minute waits for longer than a decision can.
    let minutes = database.store.minute_sums(writer.environment, "a").await.unwrap();
    assert_eq!(minutes.iter().map(|row| row.counts.requests).sum::<u64>(), 6);
}
