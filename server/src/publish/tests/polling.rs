//! Everything, by polling.

use std::io::Read;

use storyflag_evaluation::{Identity, Ruleset};

use super::{Client, Node, client::compile, told, writer, writer::flag_text};
use crate::store::tests::{Database, both};

both!(polling_gets_what_streams_get, nothing_new_is_not_sent_again, large_rulesets_are_compressed_for_who_asks);

fn tag(client: &Client) -> Identity {
    client.headers["etag"].trim_matches('"').parse().unwrap()
}

async fn polling_gets_what_streams_get(database: Database) {
    let writer = writer(&database).await;
    let node = Node::start(database.store.clone(), told()).await;
    for millionths in [1, 2] {
        let committed = writer.put_flag("a", millionths).await;
        node.hub.publish(&committed);
        let mut polled = Client::get(node.address, "/sdk/v1/ruleset", &[]).await;
        assert_eq!((polled.status, tag(&polled)), (200, committed.identity));
        assert_eq!(polled.headers["content-type"], "application/json");
        assert!(!polled.headers.contains_key("content-encoding"));
        let body = String::from_utf8(polled.body().await).unwrap();
        assert!(compile(committed.identity, &body, &Ruleset::empty()).is_whole());
        let event = Client::stream(node.address, None).await.event().await.unwrap();
        assert_eq!((event.id, event.data), (Some(committed.identity), body));
    }
}

async fn nothing_new_is_not_sent_again(database: Database) {
    let writer = writer(&database).await;
    let node = Node::start(database.store.clone(), told()).await;
    let committed = writer.put_flag("a", 1).await;
    node.hub.publish(&committed);
    let etag = format!("\"{}\"", committed.identity);
    for known in [etag.clone(), format!("W/{etag}"), format!("\"x\", {etag}")] {
        let polled = Client::get(node.address, "/sdk/v1/ruleset", &[("if-none-match", &known)]).await;
        assert_eq!((polled.status, polled.headers["etag"].as_str()), (304, etag.as_str()), "{known}");
    }
    node.hub.publish(&writer.put_flag("a", 2).await);
    let polled = Client::get(node.address, "/sdk/v1/ruleset", &[("if-none-match", &etag)]).await;
    assert_eq!((polled.status, tag(&polled).revision), (200, committed.identity.revision + 1));
}

async fn large_rulesets_are_compressed_for_who_asks(database: Database) {
    let writer = writer(&database).await;
    let keys: Vec<String> = (0..500).map(|n| format!("flag-{n}")).collect();
    writer.put_flags(keys.iter().map(|key| (key.as_str(), flag_text(key, 1_000)))).await;
    let node = Node::start(database.store.clone(), told()).await;
    let plain = Client::get(node.address, "/sdk/v1/ruleset", &[]).await.body().await;
    let mut polled = Client::get(node.address, "/sdk/v1/ruleset", &[("accept-encoding", "gzip, br")]).await;
    assert_eq!(polled.headers["content-encoding"], "gzip");
    let compressed = polled.body().await;
    assert!(compressed.len() < plain.len() / 10, "{} of {}", compressed.len(), plain.len());
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(&*compressed).read_to_end(&mut text).unwrap();
    assert_eq!(text, plain);
}
