//! Readers that read slowly, or not at all, or whose node leaves them.

use serde_json::json;
use storyflag::{Client, State};
use storyflag_tests::actors::STAGING;
use storyflag_tests::eventually::when;
use storyflag_tests::proxy::{Network, Proxy};
use storyflag_tests::redis::Redis;
use storyflag_tests::served::served;
use storyflag_tests::{Backend, House, Node, applied, eventually};

const FLAG: &str = "US-123-checkout";
/// A flag of 200 KB, bumped so often that no socket's buffers hold all of it.
const FAT: &str = "US-200-fat";
const FAT_BYTES: usize = 200_000;
const FAT_BUMPS: u32 = 30;
const OTHERS: usize = 50;

/// A node that cuts a client off when it has not read for so long, and a proxy before it.
async fn node_behind_a_proxy(write_seconds: u32) -> (House, Proxy) {
    let mut house = House::new(Backend::Sqlite).await;
    house.nodes.remove(0).stop().await;
    let mut config = house.config();
    config.http.write_seconds = write_seconds;
    let (node, _, _) = Node::start(config).await;
    let proxy = Proxy::to(node.url["http://".len()..].parse().unwrap()).await;
    house.nodes.push(node);
    house.release_manager().create_flag(FLAG).await;
    let fat = json!({"variants": {"on": {"text": "x".repeat(FAT_BYTES)}, "off": {}}, "off": "off", "serve": "on"});
    house.release_manager().create_flag_with(FAT, &fat).await;
    (house, proxy)
}

/// Writes more than the buffers between the node and a reader hold.
async fn write_much(house: &House) {
    for bump in 1..=FAT_BUMPS {
        house.release_manager().raise(FAT, f64::from(bump)).await.expect(200);
    }
}

async fn streams(house: &House) -> u64 {
    house.viewer().get("/health").await.expect(200).number("streams")
}

async fn serves_the_head(house: &House, application: &Client) {
    let head = served(&house.viewer(), house.key(STAGING)).await;
    eventually(&format!("the application streams and serves {head}"), || async {
        let status = application.status();
        when(status.state == State::Streaming && status.identity == Some(head), &status)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_hangs_delays_nobody() {
    // Not cut off before the end of the test: it hangs all the while.
    let (house, proxy) = node_behind_a_proxy(600).await;
    let hanging = house.application_at(STAGING, &proxy.url()).await;
    serves_the_head(&house, &hanging).await;
    proxy.set(Network::Stalled);
    let before = hanging.status().identity.unwrap();
    write_much(&house).await;

    let others = futures_util::future::join_all((0..OTHERS).map(|_| house.application(STAGING))).await;
    for percentage in 1..=5_u32 {
        let revision = house.release_manager().raise(FLAG, f64::from(percentage)).await.expect(200).number("revision");
        for other in &others {
            applied(other, revision).await;
        }
    }
    assert_eq!(streams(&house).await, OTHERS as u64 + 1, "the one that hangs is still there, and was never waited for");
    assert!(others.iter().all(|other| other.status().state == State::Streaming));
    assert!(hanging.status().identity.unwrap().revision < before.revision + u64::from(FAT_BUMPS));

    // When it reads again it gets all of it.
    proxy.set(Network::Open);
    serves_the_head(&house, &hanging).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_hangs_for_too_long_is_cut_off_and_comes_back() {
    let (house, proxy) = node_behind_a_proxy(1).await;
    let hanging = house.application_at(STAGING, &proxy.url()).await;
    serves_the_head(&house, &hanging).await;
    assert_eq!(streams(&house).await, 1);
    proxy.set(Network::Stalled);
    write_much(&house).await;
    eventually("the node has cut it off", || async {
        let streams = streams(&house).await;
        when(streams == 0, streams)
    })
    .await;

    proxy.set(Network::Open);
    serves_the_head(&house, &hanging).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_reads_slowly_gets_everything_in_the_end() {
    let (house, proxy) = node_behind_a_proxy(10).await;
    let slow = house.application_at(STAGING, &proxy.url()).await;
    serves_the_head(&house, &slow).await;
    proxy.set(Network::Throttled(2_000_000));
    let mut changes = slow.changes();
    write_much(&house).await;
    let revision = house.release_manager().raise(FLAG, 1.0).await.expect(200).number("revision");
    let mut seen = 0;
    while let Some(identity) = changes.next().await {
        seen += 1;
        if identity.revision >= revision {
            break;
        }
    }
    serves_the_head(&house, &slow).await;
    assert!(seen > 0 && slow.status().last_error.is_none(), "its connection was never cut: {:?}", slow.status());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_says_goodbye_and_its_readers_move_on() {
    let mut house = House::with_redis(Backend::Postgres, &Redis::shared().url).await;
    house.add_node().await;
    house.release_manager().create_flag(FLAG).await;
    let (leaving, staying) = (house.nodes[0].url.clone(), house.nodes[1].url.clone());
    let mut applications = Vec::new();
    for _ in 0..5 {
        let builder = Client::builder(&leaving, house.key(STAGING)).endpoint(&staying);
        let application = builder.connect().await.unwrap();
        assert_eq!(application.status().endpoint.as_deref(), Some(leaving.as_str()));
        applications.push(application);
    }
    let plain = reqwest::Client::new().get(format!("{leaving}/sdk/v1/stream")).bearer_auth(house.key(STAGING)).send().await.unwrap();
    assert_eq!(plain.status(), 200);

    house.nodes.remove(0).stop().await;
    let heard = plain.text().await.expect("the stream ends as a whole, not in the middle");
    assert!(heard.ends_with("event: goodbye\ndata: {\"reconnect_after_ms\":[0,0]}\n\n"), "{heard}");
    for application in &applications {
        eventually("the application streams from the node that stays", || async {
            let status = application.status();
            when(status.state == State::Streaming && status.endpoint.as_deref() == Some(staying.as_str()), &status)
        })
        .await;
    }
    let revision = house.release_manager().raise(FLAG, 1.0).await.expect(200).number("revision");
    for application in &applications {
        applied(application, revision).await;
    }
}
