//! What is done when a stream breaks, goes silent, or brings what it should not.

use std::time::Duration;

use storyflag::State;
use tokio::time::Instant;

use crate::{
    builder,
    environment::Environment,
    eventually,
    service::{RULESET, STREAM, Service},
    stream::connected,
    user,
};

const KEY: &str = "US-1";

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_reconnects_and_recovers() {
    let service = Service::start().await;
    let mut environment = Environment::with(KEY, 100.0);
    let (client, mut stream) = connected(&service, &environment).await;
    for garbage in [
        "event: ruleset\nid: 1764000000000-9-0000000000000000\ndata: {\"flags\n\n",
        "event: ruleset\nid: 1764000000000-9-0000000000000000\ndata: {\"format\":1}\n\n",
        "event: change\nid: 1764000000000-9-0000000000000000\ndata: {\"from\":\"8\"}\n\n",
        "event: change\nid: what?\ndata: {\"from\":8}\n\n",
        "event: heartbeat\ndata: {}\n\n",
    ] {
        stream.raw(garbage.as_bytes()).await;
        stream.closed().await;
        let again = service.next(STREAM).await;
        assert_eq!(again.header("last-event-id"), Some(environment.identity().to_string().as_str()));
        assert_eq!(client.status().state, State::Stale);
        assert!(client.is_on(KEY, &user("a")));
        stream = again.open().await;
        environment.raise("US-2", 1.0);
        stream.send(&environment.ruleset()).await;
        eventually(&client, |status| status.identity == Some(environment.identity())).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_torn_event_changes_nothing() {
    let service = Service::start().await;
    let mut environment = Environment::with(KEY, 0.0);
    let (client, mut stream) = connected(&service, &environment).await;
    let change = environment.raise(KEY, 100.0).bytes();
    stream.raw(&change[..change.len() - 1]).await;
    drop(stream);
    let mut stream = service.stream().await;
    assert!(!client.is_on(KEY, &user("a")), "the empty line never came");
    stream.raw(&change).await;
    eventually(&client, |status| status.identity == Some(environment.identity())).await;
}

#[tokio::test(start_paused = true)]
async fn a_wrong_digest_or_base_asks_for_the_whole() {
    let service = Service::start().await;
    let mut environment = Environment::with(KEY, 0.0);
    let (client, mut stream) = connected(&service, &environment).await;
    let mut forged = environment.raise(KEY, 100.0);
    forged.data = forged.data.replace("1000000", "1000");
    stream.send(&forged).await;
    stream.closed().await;
    let again = service.next(STREAM).await;
    assert_eq!(again.header("last-event-id"), None, "everything, please");
    assert!(client.status().last_error.unwrap().contains("not those of"));
    let mut stream = again.open().await;
    stream.send(&environment.ruleset()).await;
    eventually(&client, |status| status.identity == Some(environment.identity())).await;

    environment.raise(KEY, 50.0);
    stream.send(&environment.raise(KEY, 60.0)).await;
    let again = service.next(STREAM).await;
    assert_eq!(again.header("last-event-id"), None);
    let mut stream = again.open().await;
    stream.send(&environment.ruleset()).await;
    eventually(&client, |status| status.identity == Some(environment.identity())).await;
    drop(stream);
    let again = service.next(STREAM).await;
    assert_eq!(again.header("last-event-id"), Some(environment.identity().to_string().as_str()), "and as before from then on");
}

#[tokio::test(start_paused = true)]
async fn a_lower_pair_is_kept_out_and_told_until_the_incarnation_rises() {
    let service = Service::start().await;
    let mut environment = Environment::with(KEY, 100.0);
    let restored = environment.clone();
    environment.raise(KEY, 100.0);
    let (client, mut stream) = connected(&service, &environment).await;
    stream.send(&restored.ruleset()).await;
    stream.send(&restored.heartbeat()).await;
    let status = eventually(&client, |status| status.state == State::Stale).await;
    assert_eq!(status.identity, Some(environment.identity()));
    assert!(status.last_error.unwrap().contains("older than what is applied; kept"));
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(5)).await;
        stream.send(&restored.heartbeat()).await;
    }
    assert_eq!(service.connections(), 1, "there is nothing to be gained by another connection");

    let raised = Environment { incarnation: environment.incarnation + 1, ..Environment::with(KEY, 0.0) };
    stream.send(&raised.ruleset()).await;
    let status = eventually(&client, |status| status.state == State::Streaming).await;
    assert_eq!(status.identity, Some(raised.identity()));
    assert!(!client.is_on(KEY, &user("a")));
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_is_dead_after_fifteen_seconds() {
    let service = Service::start().await;
    let environment = Environment::with(KEY, 100.0);
    let (client, mut stream) = connected(&service, &environment).await;
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_secs(14)).await;
        stream.send(&environment.heartbeat()).await;
    }
    assert_eq!((service.connections(), client.status().state), (1, State::Streaming));
    let heard = Instant::now();
    stream.closed().await;
    assert_eq!(heard.elapsed().as_secs(), 15);
    assert_eq!(client.status().last_error.as_deref(), Some("nothing was heard for too long"));
    let _stream = service.serve(&environment).await;
    eventually(&client, |status| status.state == State::Streaming).await;
}

#[tokio::test(start_paused = true)]
async fn a_head_that_is_not_sent_is_fetched_after_two_seconds() {
    let service = Service::start().await;
    let mut environment = Environment::with(KEY, 0.0);
    let (client, mut stream) = connected(&service, &environment).await;
    let lost = environment.raise(KEY, 100.0);
    stream.send(&environment.heartbeat()).await;
    let told = Instant::now();
    stream.closed().await;
    assert_eq!(told.elapsed().as_secs(), 2);
    let mut stream = service.stream().await;
    stream.send(&lost).await;
    eventually(&client, |status| status.state == State::Streaming).await;
    assert!(client.is_on(KEY, &user("a")));
}

#[tokio::test(start_paused = true)]
async fn every_passing_failure_is_tried_again() {
    let service = Service::start().await;
    let environment = Environment::with(KEY, 100.0);
    let client = builder(&service).ready_within(Duration::ZERO).connect().await.unwrap();
    assert!(!client.ready());
    for status in [400, 404, 408, 429, 500, 502, 503] {
        service.next(STREAM).await.answer(status, &[], "no").await;
        eventually(&client, |now| now.last_error.as_ref().is_some_and(|error| error.contains(&status.to_string()))).await;
    }
    service.next(STREAM).await.hang_up();
    service.next(STREAM).await.raw(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n<html>").await;
    eventually(&client, |status| status.last_error.as_ref().is_some_and(|error| error.contains("no event stream"))).await;
    service.next(STREAM).await.raw(b"SSH-2.0-OpenSSH\r\n").await;
    service.next(STREAM).await.answer(302, &[("location", "http://127.0.0.1:1/")], "").await;
    let _stream = service.serve(&environment).await;
    eventually(&client, |status| status.state == State::Streaming).await;
    assert!(client.is_on(KEY, &user("a")));
}

#[tokio::test(start_paused = true)]
async fn a_refused_key_keeps_what_is_there_and_waits_longer() {
    let service = Service::start().await;
    let mut environment = Environment::with(KEY, 100.0);
    let (client, stream) = connected(&service, &environment).await;
    drop(stream);
    let mut waits = Vec::new();
    for status in [401, 403, 401, 401, 401, 401, 401] {
        service.next(STREAM).await.answer(status, &[], "").await;
        let refused = Instant::now();
        let next = service.next(STREAM).await;
        waits.push(refused.elapsed().as_secs());
        next.answer(401, &[], "").await;
    }
    assert!(waits[0] >= 5, "not at once: {waits:?}");
    assert!(waits.iter().all(|wait| *wait <= 30) && waits[6] >= 15, "{waits:?}");
    let status = client.status();
    assert_eq!((status.state, status.last_error.as_deref()), (State::Stale, Some("the service does not accept the SDK key (401)")));
    assert!(client.is_on(KEY, &user("a")), "last known good never expires");
    service.nobody_asks(RULESET, Duration::from_secs(1)).await;

    environment.raise("US-2", 100.0);
    let _stream = service.serve(&environment).await;
    eventually(&client, |status| status.state == State::Streaming).await;
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_obeyed() {
    let service = Service::start().await;
    let client = builder(&service).ready_within(Duration::ZERO).connect().await.unwrap();
    service.next(STREAM).await.answer(503, &[("retry-after", "40")], "").await;
    let told = Instant::now();
    let _stream = service.serve(&Environment::with(KEY, 100.0)).await;
    assert!(told.elapsed().as_secs() >= 40, "{:?}", told.elapsed());
    eventually(&client, |status| status.state == State::Streaming).await;
}

#[tokio::test(start_paused = true)]
async fn an_endless_line_is_refused_while_it_arrives() {
    let service = Service::start().await;
    let environment = Environment::with(KEY, 100.0);
    let (client, mut stream) = connected(&service, &environment).await;
    stream.raw(b"event: ruleset\ndata: ").await;
    let taken = stream.flood(&vec![b'['; 1 << 20], 1 << 30).await;
    assert!(taken < 48 << 20, "it took {taken} bytes");
    let status = eventually(&client, |status| status.last_error.is_some()).await;
    assert_eq!(status.last_error.as_deref(), Some("an event is longer than 33554432 bytes"));
    assert!(client.is_on(KEY, &user("a")));
    let _stream = service.serve(&environment).await;
    eventually(&client, |status| status.state == State::Streaming).await;
}
