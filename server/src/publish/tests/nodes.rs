//! Several nodes on one database; the database away; keys.

use super::{Client, KEY, Node, PATIENCE, Sdk, eventually, quick, request, told, writer};
use crate::store::{
    NewEnvironment,
    tests::{Database, NOW, both},
};

both!(
    a_node_follows_what_others_write,
    a_new_environment_and_its_key_arrive,
    a_revoked_key_ends_its_streams,
    without_the_database_everything_is_still_served,
);

async fn a_node_follows_what_others_write(database: Database) {
    let writer = writer(&database).await;
    let [first, second] = [Node::start(database.store.clone(), quick()).await, Node::start(database.open_again().await, quick()).await];
    let mut sdk = Sdk::connect(second.address).await;
    for millionths in 1..=10 {
        let committed = writer.put_flag("a", millionths).await;
        first.hub.publish(&committed);
        sdk.reach(committed.identity).await;
    }
    // From history, not by reading everything again.
    assert_eq!((sdk.wholes, second.metric("storyflag_reloads_total")), (1, 0));
    assert!(second.metric("storyflag_catch_ups_total") >= 10);
}

async fn a_new_environment_and_its_key_arrive(database: Database) {
    let writer = writer(&database).await;
    let node = Node::start(database.store.clone(), told()).await;
    let mut tx = database.store.begin().await.unwrap();
    let new = NewEnvironment { project: writer.project, key: "staging", name: "Staging", protected: false, options: "{}", at: NOW };
    let staging = tx.insert_environment(&new).await.unwrap();
    tx.commit().await.unwrap();
    super::Writer { environment: staging, store: database.store.clone(), ..writer }.put_key("0000000000000002", "sfs_staging").await;
    assert!(node.hub.find_key("sfs_staging").is_none());
    node.hub.refreshed().await;
    assert_eq!(node.hub.find_key("sfs_staging").unwrap().environment, staging);
    // Each key opens its own environment.
    let mut client = request(node.address, "GET", "/sdk/v1/stream", &[("authorization", "bearer sfs_staging")], b"").await;
    let expected = node.hub.environment(staging).unwrap().identity();
    assert_eq!(client.event().await.unwrap().id, Some(expected));
}

async fn a_revoked_key_ends_its_streams(database: Database) {
    let writer = writer(&database).await;
    writer.put_key("0000000000000002", "sfs_another").await;
    // Nobody tells this node: it finds out by the counter of settings.
    let node = Node::start(database.store.clone(), quick()).await;
    let mut client = Client::stream(node.address, None).await;
    assert_eq!(client.event().await.unwrap().name, "ruleset");
    let mut other = request(node.address, "GET", "/sdk/v1/stream", &[("authorization", "Bearer sfs_another")], b"").await;
    writer.revoke_key("0000000000000001").await;
    assert_eq!(client.news().await, None);
    for (method, path) in [("GET", "stream"), ("GET", "ruleset"), ("GET", "cohorts/a/b"), ("POST", "telemetry")] {
        let mut refused =
            request(node.address, method, &format!("/sdk/v1/{path}"), &[("authorization", &format!("Bearer {KEY}"))], b"").await;
        assert_eq!((refused.status, refused.headers["www-authenticate"].as_str()), (401, "Bearer"), "{path}");
        assert_eq!(refused.headers["content-type"], "application/problem+json");
        let problem = refused.json().await;
        assert_eq!((&problem["status"], &problem["title"]), (&401.into(), &"Unauthorized".into()));
    }
    assert_eq!(other.event().await.unwrap().name, "ruleset");
    other.heartbeat().await;
}

async fn without_the_database_everything_is_still_served(database: Database) {
    let writer = writer(&database).await;
    let committed = writer.put_flag("a", 1_000).await;
    let store = database.open_again().await;
    let node = Node::start(store.clone(), quick()).await;
    let mut sdk = Sdk::connect(node.address).await;
    sdk.reach(committed.identity).await;
    assert!(node.hub.database_up());

    store.close().await;
    eventually("the outage is seen", async || !node.hub.database_up()).await;
    assert_eq!(sdk.client.heartbeat().await, committed.identity);
    let mut late = Sdk::connect(node.address).await;
    late.reach(committed.identity).await;
    assert_eq!(Client::get(node.address, "/sdk/v1/ruleset", &[]).await.status, 200);
    let outcome = tokio::time::timeout(PATIENCE, node.hub.refreshed()).await;
    assert!(outcome.is_ok(), "nobody waits for an absent database without end");
    // A list that is not in memory is the one thing that must wait.
    let refused = Client::get(node.address, &format!("/sdk/v1/cohorts/staff/{}", "0".repeat(32)), &[]).await;
    assert_eq!((refused.status, refused.headers["retry-after"].as_str()), (503, "2"));
    assert_eq!(node.metric("storyflag_database_up"), 0);
}
