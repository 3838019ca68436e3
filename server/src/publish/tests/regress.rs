//! The database goes back: a restore of an old copy, or a fail-over that lost its tail.

use super::{Client, Node, Sdk, eventually, quick, request, told, writer};
use crate::store::{
    Store,
    tests::{Database, both},
};

both!(
    a_node_that_served_more_sees_it,
    a_client_that_ran_more_shows_it,
    a_message_that_tells_more_shows_it,
    a_claim_that_the_database_confirms_is_no_regression,
    the_same_revision_with_other_content_is_a_regression,
    an_incarnation_raised_by_hand_reaches_all,
);

async fn is_regressed(store: &Store) -> bool {
    store.heads().await.unwrap()[0].regressed
}

async fn a_node_that_served_more_sees_it(database: Database) {
    let writer = writer(&database).await;
    let node = Node::start(database.store.clone(), quick()).await;
    let mut sdk = Sdk::connect(node.address).await;
    let mut last = writer.put_flag("a", 1).await;
    let kept = last.identity;
    for millionths in 2..=11 {
        last = writer.put_flag("b", millionths).await;
    }
    sdk.reach(last.identity).await;

    database.put_back(writer.environment, 1).await;
    eventually("it is seen", async || is_regressed(&database.store).await).await;
    let environment = node.hub.environment(writer.environment).unwrap();
    eventually("what stands in the database is served", async || environment.identity() == kept).await;
    assert!(environment.ruleset().flag("b").is_none());
    // Who has more is told nothing but the head, who has nothing gets what there is.
    let told = sdk.client.event().await.unwrap();
    assert_eq!(told.name, "heartbeat");
    let mut new = Sdk::connect(node.address).await;
    new.reach(kept).await;

    // The next write is a new history, whole for everybody. One more for whoever is already there.
    let committed = writer.put_flag("c", 5).await;
    assert!(committed.identity.incarnation > kept.incarnation);
    node.hub.publish(&committed);
    for sdk in [&mut sdk, &mut new] {
        sdk.reach(committed.identity).await;
        assert_eq!(sdk.wholes, 2);
        assert!(sdk.ruleset.flag("a").is_some() && sdk.ruleset.flag("b").is_none());
    }
    let committed = writer.put_flag("c", 6).await;
    node.hub.publish(&committed);
    for sdk in [&mut sdk, &mut new] {
        sdk.reach(committed.identity).await;
        assert_eq!(sdk.wholes, 2);
    }
    assert_eq!(node.metric("storyflag_regressions_total"), 1);
}

async fn a_client_that_ran_more_shows_it(database: Database) {
    let writer = writer(&database).await;
    writer.put_flag("a", 1).await;
    let last = writer.put_flag("a", 2).await;
    database.put_back(writer.environment, 1).await;
    // A node that never saw more.
    let node = Node::start(database.store.clone(), quick()).await;
    let mut client = Client::stream(node.address, Some(last.identity)).await;
    assert_eq!(client.heartbeat().await.revision, 1);
    eventually("it is seen", async || is_regressed(&database.store).await).await;
}

async fn a_message_that_tells_more_shows_it(database: Database) {
    let writer = writer(&database).await;
    writer.put_flag("a", 1).await;
    let last = writer.put_flag("a", 2).await;
    database.put_back(writer.environment, 1).await;
    let node = Node::start(database.store.clone(), quick()).await;
    let body = format!(r#"{{"instance":"i","sequence":1,"sdk":"rust/0.1.0","applied":"{}"}}"#, last.identity);
    let bearer = super::client::bearer();
    let answer = request(node.address, "POST", "/sdk/v1/telemetry", &[("authorization", &bearer)], body.as_bytes()).await;
    assert_eq!(answer.status, 204);
    eventually("it is seen", async || is_regressed(&database.store).await).await;
}

async fn a_claim_that_the_database_confirms_is_no_regression(database: Database) {
    let writer = writer(&database).await;
    writer.put_flag("a", 1).await;
    let node = Node::start(database.store.clone(), told()).await;
    // Another node wrote it and told it: this one is behind, that is all.
    let last = writer.put_flag("a", 2).await;
    node.hub.claim(writer.environment, last.identity);
    node.hub.refreshed().await;
    assert_eq!(node.hub.environment(writer.environment).unwrap().identity(), last.identity);
    assert!(!is_regressed(&database.store).await);
    // Nor is what an SDK of an older history runs.
    let mut older = last.identity;
    (older.incarnation, older.revision) = (older.incarnation - 1, 1_000);
    node.hub.claim(writer.environment, older);
    node.hub.refreshed().await;
    assert!(!is_regressed(&database.store).await);
}

async fn the_same_revision_with_other_content_is_a_regression(database: Database) {
    let writer = writer(&database).await;
    writer.put_flag("a", 1).await;
    let node = Node::start(database.store.clone(), told()).await;
    let mut sdk = Sdk::connect(node.address).await;
    let lost = writer.put_flag("a", 2).await;
    node.hub.publish(&lost);
    sdk.reach(lost.identity).await;
    // A lost tail, and a write by a node that knew nothing of it.
    database.put_back(writer.environment, 1).await;
    let other = writer.put_flag("a", 3).await;
    assert_eq!(other.identity.pair(), lost.identity.pair());
    node.hub.refreshed().await;
    assert!(is_regressed(&database.store).await);
    // Equal pairs, another digest: the whole, for all.
    sdk.reach(other.identity).await;
    assert_eq!(sdk.wholes, 2);
}

async fn an_incarnation_raised_by_hand_reaches_all(database: Database) {
    let writer = writer(&database).await;
    writer.put_flag("a", 1).await;
    let node = Node::start(database.store.clone(), quick()).await;
    let mut sdk = Sdk::connect(node.address).await;
    let mut tx = database.store.begin().await.unwrap();
    tx.raise_incarnation(writer.environment, i64::MAX / 2).await.unwrap();
    tx.commit().await.unwrap();
    let head = database.store.heads().await.unwrap()[0].identity();
    assert_eq!(head.revision, 1, "nothing else is served, so there is no other revision");
    sdk.reach(head).await;
    assert!(sdk.wholes >= 1 && !is_regressed(&database.store).await);
    // And history goes on from there, change by change.
    let committed = writer.put_flag("a", 2).await;
    assert_eq!((committed.identity.incarnation, committed.identity.revision), (head.incarnation, 2));
    let wholes = sdk.wholes;
    node.hub.publish(&committed);
    sdk.reach(committed.identity).await;
    assert_eq!(sdk.wholes, wholes);
}
