//! Several nodes on one database: what is written at one is served by all, with Redis and without.

use serde_json::json;
use storyflag::{Client, State};
use storyflag_tests::actors::{Actor, STAGING};
use storyflag_tests::eventually::when;
use storyflag_tests::postgres::Postgres;
use storyflag_tests::redis::{self, Redis};
use storyflag_tests::workdir::Workdir;
use storyflag_tests::{Backend, House, applied, eventually};

const FLAG: &str = "US-123-checkout";

/// Two nodes on a Postgres database, which tell each other what changed by a Redis of their own.
async fn two_nodes(redis: &Redis) -> House {
    let bus = Some((redis.url.clone(), redis::prefix()));
    let database = Postgres::shared().create_database().await;
    let mut house = House::on(Backend::Postgres, database, Workdir::new("nodes"), bus).await;
    house.add_node().await;
    house
}

/// Waits until every node says this of itself and of the bus.
async fn healthy(house: &House, status: &str, bus: &str) {
    let viewer = house.viewer();
    for node in &house.nodes {
        let viewer = viewer.at(&node.url);
        eventually(&format!("{} is {status}, its bus {bus}", node.url), || async {
            let health = viewer.get("/health").await.expect(200).json;
            when(health["status"] == status && health["bus"]["status"] == bus && health["bus"]["kind"] == "redis", &health)
        })
        .await;
    }
}

/// Raises at the first node, and waits until an application of each node serves it.
async fn raised_everywhere(house: &House, applications: &[Client], percentage: f64) {
    let revision = house.release_manager().raise(FLAG, percentage).await.expect(200).number("revision");
    for application in applications {
        applied(application, revision).await;
        let status = application.status();
        assert_eq!((status.state, status.identity.map(|identity| identity.revision)), (State::Streaming, Some(revision)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_writes_another_serves_with_redis_and_without() {
    let redis = Redis::own();
    let house = two_nodes(&redis).await;
    house.release_manager().create_flag(FLAG).await;
    let applications = [house.application(STAGING).await, house.application_at(STAGING, &house.nodes[1].url).await];
    healthy(&house, "ok", "up").await;
    raised_everywhere(&house, &applications, 1.0).await;

    redis.stop();
    healthy(&house, "degraded", "down").await;
    raised_everywhere(&house, &applications, 2.0).await;
    // Writes go on at the other node, too, and no more slowly than a word to nobody takes.
    let other = house.release_manager().at(&house.nodes[1].url);
    let revision = other.raise(FLAG, 3.0).await.expect(200).number("revision");
    applied(&applications[0], revision).await;

    redis.start();
    healthy(&house, "ok", "up").await;
    raised_everywhere(&house, &applications, 4.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_revoked_at_one_node_closes_streams_at_the_other() {
    let house = two_nodes(Redis::shared()).await;
    let (admin, other) = (house.admin(), house.nodes[1].url.clone());
    let made = admin.post("keys", &json!({"name": "to be revoked"})).await.expect(201).json;
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    let with_key = admin.at(&other).with_token("application", Some(key));
    eventually("the other node knows the new key", || async {
        let answer = with_key.get("/sdk/v1/ruleset").await;
        when(answer.status == 200, &answer)
    })
    .await;
    let doomed = Client::builder(&other, key).connect().await.unwrap();
    streams(&doomed).await;
    let kept = house.application_at(STAGING, &other).await;
    streams(&kept).await;

    admin.delete(&format!("keys/{id}")).await.expect(204);
    eventually("the stream with the revoked key is closed, and the key refused", || async {
        let status = doomed.status();
        when(status.state == State::Stale && status.last_error.as_deref().is_some_and(|error| error.contains("401")), &status)
    })
    .await;
    assert_eq!(open_streams(&admin.at(&other)).await, 1, "the other application's");
    admin.create_flag(FLAG).await;
    let revision = admin.revision().await;
    applied(&kept, revision).await;
    assert_eq!(kept.status().state, State::Streaming);
    assert!(doomed.status().identity.is_some_and(|identity| identity.revision < revision), "it keeps what it had, and gets nothing new");
}

async fn streams(application: &Client) {
    eventually("the application streams", || async {
        let status = application.status();
        when(status.state == State::Streaming, &status)
    })
    .await;
}

async fn open_streams(somebody: &Actor) -> u64 {
    somebody.get("/health").await.expect(200).number("streams")
}
