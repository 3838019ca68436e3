//! One node: everything, then every change.

use super::{
    Client, Node, Sdk, eventually, quick, told, writer,
    writer::{Writer, flag_text},
};
use crate::store::tests::{Database, both};

both!(
    everything_then_every_change,
    texts_arrive_byte_for_byte,
    who_comes_back_gets_what_it_lacks,
    who_is_ahead_is_not_put_back,
    writers_that_overtake_one_another_are_put_in_order,
    who_lags_far_behind_gets_the_whole,
    changes_are_seen_by_all,
);

async fn everything_then_every_change(database: Database) {
    let writer = writer(&database).await;
    writer.put_flag("a", 1_000).await;
    let second = writer.put_flag("b", 1_000).await;
    let node = Node::start(database.store.clone(), told()).await;

    let mut sdk = Sdk::connect(node.address).await;
    let headers = &sdk.client.headers;
    assert_eq!(headers["content-type"], "text/event-stream");
    assert_eq!((headers["cache-control"].as_str(), headers["x-accel-buffering"].as_str()), ("no-store", "no"));
    let event = sdk.client.event().await.unwrap();
    assert_eq!((event.name.as_str(), event.id), ("ruleset", Some(second.identity)));
    sdk.apply(&event);
    // At once after everything is said, and again and again.
    assert_eq!(sdk.client.heartbeat().await, second.identity);
    assert_eq!(sdk.client.heartbeat().await, second.identity);

    for committed in [writer.put_flag("a", 10_000).await, writer.remove_flag("b").await, writer.put_flag("c", 1).await] {
        node.hub.publish(&committed);
        // Before the writer is answered.
        let environment = node.hub.environment(writer.environment).unwrap();
        assert_eq!((environment.identity(), environment.ruleset().identity()), (committed.identity, committed.identity));
        let event = sdk.client.news().await.unwrap();
        assert_eq!((event.name.as_str(), event.id), ("change", Some(committed.identity)));
        sdk.apply(&event);
    }
    let mut keys: Vec<_> = sdk.ruleset.flags().map(|flag| flag.key().to_owned()).collect();
    keys.sort_unstable();
    assert_eq!((keys, sdk.wholes), (vec!["a".to_owned(), "c".to_owned()], 1));
    assert_eq!(sdk.client.heartbeat().await, sdk.ruleset.identity());
    assert_eq!(node.metric("storyflag_streams"), 1);
    drop(sdk);
    eventually("the stream is closed", async || node.hub.streams() == 0).await;
    assert_eq!(node.metric("storyflag_streams"), 0);
}

async fn texts_arrive_byte_for_byte(database: Database) {
    let writer = writer(&database).await;
    let node = Node::start(database.store.clone(), told()).await;
    let mut sdk = Sdk::connect(node.address).await;
    sdk.reach(node.hub.environment(writer.environment).unwrap().identity()).await;
    // Key order, numbers, escapes and letters that a decoder and encoder would change; a future field and operator.
    let odd =
        flag_text("odd", 1).replace(r#""killed":false"#, r#""zeta":1.50e+1,"killed":false,"alpha":"\u00e9é\/ 🦀","later":{"b":1,"a":2}"#);
    for committed in writer.put_flags([("odd", odd.clone())]).await {
        node.hub.publish(&committed);
    }
    let event = sdk.client.news().await.unwrap();
    assert!(event.data.contains(&odd), "{}", event.data);
    sdk.apply(&event);
    let whole = Client::stream(node.address, None).await.event().await.unwrap();
    assert!(whole.data.contains(&odd), "{}", whole.data);
}

async fn who_comes_back_gets_what_it_lacks(database: Database) {
    let writer = writer(&database).await;
    writer.put_flag("a", 1_000).await;
    let node = Node::start(database.store.clone(), told()).await;
    let mut sdk = Sdk::connect(node.address).await;
    sdk.reach(node.hub.environment(writer.environment).unwrap().identity()).await;
    let applied = sdk.ruleset.identity();
    let ruleset = sdk.ruleset.clone();
    drop(sdk);

    let mut last = applied;
    for millionths in 1..=5 {
        let committed = writer.put_flag("a", millionths).await;
        node.hub.publish(&committed);
        last = committed.identity;
    }
    let mut sdk = Sdk::reconnect(node.address, ruleset.clone(), Some(applied)).await;
    sdk.reach(last).await;
    assert_eq!(sdk.wholes, 0);
    assert_eq!(sdk.client.heartbeat().await, last);

    // Up to date: nothing but a heartbeat.
    let mut client = Client::stream(node.address, Some(last)).await;
    assert_eq!(client.heartbeat().await, last);

    let odd = |identity: &dyn Fn(&mut storyflag_evaluation::Identity)| {
        let mut claimed = last;
        identity(&mut claimed);
        claimed
    };
    for claimed in [
        odd(&|claimed| claimed.digest ^= 1),
        odd(&|claimed| (claimed.revision, claimed.digest) = (applied.revision, applied.digest ^ 1)),
        odd(&|claimed| claimed.incarnation -= 1),
        odd(&|claimed| claimed.incarnation += 1),
        odd(&|claimed| claimed.revision = 0),
    ] {
        let event = Client::stream(node.address, Some(claimed)).await.news().await.unwrap();
        assert_eq!((event.name.as_str(), event.id), ("ruleset", Some(last)), "{claimed}");
    }
    let event = Client::get(node.address, "/sdk/v1/stream", &[("last-event-id", "nonsense")]).await.event().await.unwrap();
    assert_eq!(event.name, "ruleset");
}

async fn who_is_ahead_is_not_put_back(database: Database) {
    let writer = writer(&database).await;
    writer.put_flag("a", 1_000).await;
    let node = Node::start(database.store.clone(), told()).await;
    let head = node.hub.environment(writer.environment).unwrap().identity();
    // Another node told it already.
    let [second, third] = [writer.put_flag("a", 2_000).await, writer.put_flag("a", 3_000).await];
    let mut ahead = Client::stream(node.address, Some(second.identity)).await;
    assert_eq!(ahead.heartbeat().await, head);
    assert_eq!(ahead.heartbeat().await, head);
    node.hub.refreshed().await;
    // From exactly where it was, when the node knows that too.
    let event = ahead.news().await.unwrap();
    assert_eq!((event.name.as_str(), event.id), ("change", Some(third.identity)));
    assert_eq!(node.metric("storyflag_regressions_total"), 0);
}

async fn writers_that_overtake_one_another_are_put_in_order(database: Database) {
    let writer = writer(&database).await;
    let node = Node::start(database.store.clone(), told()).await;
    let mut sdk = Sdk::connect(node.address).await;
    let mut all = Vec::new();
    for millionths in 1..=20 {
        all.push(writer.put_flag("a", millionths).await);
    }
    let last = all.last().unwrap().identity;
    fastrand::shuffle(&mut all);
    for committed in &all {
        node.hub.publish(committed);
        // Told twice, it is one change.
        node.hub.publish(committed);
    }
    let environment = node.hub.environment(writer.environment).unwrap();
    assert!(environment.reached(last, super::PATIENCE).await);
    sdk.reach(last).await;
    assert_eq!(sdk.wholes, 1);
    assert_eq!(node.metric("storyflag_reloads_total"), 0);
}

async fn who_lags_far_behind_gets_the_whole(database: Database) {
    let writer = writer(&database).await;
    writer.put_flag("a", 1_000).await;
    let node = Node::start(database.store.clone(), told()).await;
    let mut sdk = Sdk::connect(node.address).await;
    sdk.reach(node.hub.environment(writer.environment).unwrap().identity()).await;
    let start = (sdk.ruleset.identity(), sdk.ruleset.clone());
    let texts = |count: u32| (1..=count).map(|millionths| ("a", flag_text("a", millionths)));

    let all = writer.put_flags(texts(1_000)).await;
    all.iter().for_each(|committed| node.hub.publish(committed));
    let mut late = Sdk::reconnect(node.address, start.1.clone(), Some(start.0)).await;
    late.reach(all.last().unwrap().identity).await;
    sdk.reach(all.last().unwrap().identity).await;
    assert_eq!((late.wholes, sdk.wholes), (0, 1));

    // The ring has gone on past where it was.
    let all = writer.put_flags(texts(100)).await;
    all.iter().for_each(|committed| node.hub.publish(committed));
    let mut late = Sdk::reconnect(node.address, start.1, Some(start.0)).await;
    late.reach(all.last().unwrap().identity).await;
    assert_eq!(late.wholes, 1);

    // A node that slept through 1,025 revisions reads the whole, one that slept through a few reads history.
    let other = Node::start(database.open_again().await, told()).await;
    for (count, reloads, catch_ups) in [(1_025, 1, 0), (300, 1, 1), (1, 1, 2)] {
        let last = writer.put_flags(texts(count)).await.pop().unwrap().identity;
        other.hub.refreshed().await;
        assert!(other.hub.environment(writer.environment).unwrap().reached(last, super::PATIENCE).await);
        assert_eq!((other.metric("storyflag_reloads_total"), other.metric("storyflag_catch_ups_total")), (reloads, catch_ups));
    }
}

async fn changes_are_seen_by_all(database: Database) {
    let writer = writer(&database).await;
    let node = Node::start(database.store.clone(), quick()).await;
    let mut sdks = Vec::new();
    for _ in 0..50 {
        sdks.push(Sdk::connect(node.address).await);
    }
    let (writer, hub) = (std::sync::Arc::new(writer), node.hub.clone());
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..5 {
        let (writer, hub) = (std::sync::Arc::clone(&writer), hub.clone());
        writers.spawn(async move {
            for millionths in 0..20 {
                hub.publish(&Writer::put_flag(&writer, &format!("flag-{n}"), millionths).await);
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let head = database.store.heads().await.unwrap()[0].identity();
    assert_eq!(head.revision, 100);
    for mut sdk in sdks {
        sdk.reach(head).await;
        assert_eq!(sdk.ruleset.len(), 5);
    }
}
