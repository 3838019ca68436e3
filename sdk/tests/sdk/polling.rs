//! Where the stream is not to be had, the ruleset is asked for.

use std::time::Duration;

use storyflag::{Client, State};
use tokio::time::Instant;

use crate::{
    builder,
    environment::Environment,
    eventually,
    service::{RULESET, STREAM, Service},
    user,
};

const KEY: &str = "US-1";

/// Answers every stream with this status, for ever.
fn no_streams(service: &std::sync::Arc<Service>, status: u16) -> tokio::task::JoinHandle<()> {
    let service = std::sync::Arc::clone(service);
    tokio::spawn(async move {
        loop {
            service.next(STREAM).await.answer(status, &[], "").await;
        }
    })
}

async fn client_without_streams() -> (std::sync::Arc<Service>, Client, tokio::task::JoinHandle<()>) {
    let service = std::sync::Arc::new(Service::start().await);
    let refusing = no_streams(&service, 500);
    let client = builder(&service).ready_within(Duration::ZERO).connect().await.unwrap();
    (service, client, refusing)
}

fn tag(environment: &Environment) -> String {
    format!("\"{}\"", environment.identity())
}

#[tokio::test(start_paused = true)]
async fn two_failed_streams_are_followed_by_polls_every_half_minute() {
    let (service, client, refusing) = client_without_streams().await;
    let mut environment = Environment::with(KEY, 0.0);
    let first = service.next(RULESET).await;
    assert_eq!((first.method.as_str(), first.header("if-none-match")), ("GET", None));
    assert!(first.header("authorization").unwrap().starts_with("Bearer sfs_"));
    first.answer(200, &[("etag", &tag(&environment))], environment.body()).await;
    let status = eventually(&client, |status| status.state == State::Polling).await;
    assert_eq!((status.identity, status.stale_since), (Some(environment.identity()), None));

    let mut asked = Instant::now();
    for round in 0..6 {
        let next = service.next(RULESET).await;
        let pause = asked.elapsed();
        asked = Instant::now();
        assert!((24..=36).contains(&pause.as_secs()), "{pause:?}");
        assert_eq!(next.header("if-none-match"), Some(tag(&environment).as_str()));
        if round % 2 == 0 {
            next.answer(304, &[], "").await;
        } else {
            environment.raise(KEY, 100.0);
            next.answer(200, &[("etag", &format!("W/{}", tag(&environment)))], environment.body()).await;
        }
        eventually(&client, |status| status.identity == Some(environment.identity())).await;
        assert_eq!(client.status().state, State::Polling);
    }
    assert!(client.is_on(KEY, &user("a")));

    // As soon as there is a stream again, it is followed, and nobody polls any more.
    refusing.abort();
    let mut stream = service.serve(&environment).await;
    eventually(&client, |status| status.state == State::Streaming).await;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_secs(5)).await;
        stream.send(&environment.heartbeat()).await;
    }
    service.nobody_asks(RULESET, Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_a_proxy_swallows_is_polled_beside() {
    let service = Service::start().await;
    let client = builder(&service).ready_within(Duration::ZERO).connect().await.unwrap();
    let environment = Environment::with(KEY, 100.0);
    let started = Instant::now();
    // Both are opened and nothing ever comes.
    let _silent = [service.stream().await, service.stream().await];
    service.next(RULESET).await.answer(200, &[("etag", &tag(&environment))], environment.body()).await;
    assert!((30..40).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    eventually(&client, |status| status.state == State::Polling).await;
    assert!(client.is_on(KEY, &user("a")));
}

#[tokio::test(start_paused = true)]
async fn a_poll_is_held_to_the_same_rules_as_the_stream() {
    let (service, client, _refusing) = client_without_streams().await;
    let mut environment = Environment::with(KEY, 0.0);
    let old = environment.clone();
    environment.raise(KEY, 100.0);
    service.next(RULESET).await.answer(200, &[("etag", &tag(&environment))], environment.body()).await;
    eventually(&client, |status| status.state == State::Polling).await;

    service.next(RULESET).await.answer(200, &[("etag", &tag(&old))], old.body()).await;
    eventually(&client, |status| status.last_error.as_ref().is_some_and(|error| error.contains("older than"))).await;
    service.next(RULESET).await.answer(200, &[("etag", &tag(&old))], "{garbage").await;
    service.next(RULESET).await.answer(200, &[], environment.body()).await;
    eventually(&client, |status| status.last_error.as_ref().is_some_and(|error| error.contains("id cannot be read"))).await;

    let mut next = environment.clone();
    next.raise("US-2", 5.0);
    service.next(RULESET).await.answer(200, &[("etag", &tag(&next))], environment.body()).await;
    eventually(&client, |status| status.last_error.as_ref().is_some_and(|error| error.contains("not those of"))).await;
    assert_eq!((client.status().state, client.status().identity), (State::Stale, Some(environment.identity())));
    assert!(client.is_on(KEY, &user("a")));
    let asked = service.next(RULESET).await;
    assert_eq!(asked.header("if-none-match"), None, "everything, please");
    asked.answer(200, &[("etag", &tag(&next))], next.body()).await;
    eventually(&client, |status| status.state == State::Polling && status.identity == Some(next.identity())).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_without_end_is_not_read() {
    let (service, client, _refusing) = client_without_streams().await;
    let length = (1_u64 << 30).to_string();
    let head = format!("HTTP/1.1 200 OK\r\netag: \"1-1-0000000000000000\"\r\ncontent-length: {length}\r\n\r\n{{");
    service.next(RULESET).await.raw(head.as_bytes()).await;
    eventually(&client, |status| status.last_error.as_ref().is_some_and(|error| error.contains("longer than"))).await;
    assert!(!client.ready());
}
