//! Several addresses of one service.

use std::time::Duration;

use storyflag::State;
use tokio::{join, select, time::Instant};

use crate::{
    Directory, builder,
    environment::Environment,
    eventually,
    service::{RULESET, STREAM, Service},
    user,
};

const KEY: &str = "US-1";

/// A port at which nobody listens.
async fn nobody() -> std::net::SocketAddr {
    Service::start().await.address()
}

#[tokio::test(start_paused = true)]
async fn the_first_round_tries_every_address_at_once() {
    let service = Service::start().await;
    let environment = Environment::with(KEY, 100.0);
    let dead = format!("http://{}", nobody().await);
    let started = Instant::now();
    let client = storyflag::Client::builder(dead.clone(), crate::key().as_str()).endpoint(dead).endpoint(service.url());
    let (client, _stream) = join!(client.without_reports().connect(), service.serve(&environment));
    let client = client.unwrap();
    assert!(client.is_on(KEY, &user("a")));
    assert_eq!(started.elapsed(), Duration::ZERO);
    assert_eq!(client.status().endpoint, Some(service.url()));
}

#[tokio::test(start_paused = true)]
async fn when_stream_and_poll_fail_the_next_address_is_asked_and_kept() {
    let (first, second) = (Service::start().await, Service::start().await);
    let mut environment = Environment::with(KEY, 0.0);
    let connecting = builder(&first).endpoint(second.url()).connect();
    let (client, stream) = join!(connecting, first.serve(&environment));
    let client = client.unwrap();
    drop(stream);
    first.next(STREAM).await.answer(500, &[], "").await;
    first.next(RULESET).await.answer(502, &[], "").await;
    environment.raise(KEY, 100.0);
    let asked = second.next(STREAM).await;
    assert!(asked.header("last-event-id").is_some(), "what is applied is applied, whoever gave it");
    let mut stream = asked.open().await;
    stream.send(&environment.ruleset()).await;
    eventually(&client, |status| status.state == State::Streaming).await;
    assert_eq!(client.status().endpoint, Some(second.url()));
    assert!(client.is_on(KEY, &user("a")));
    drop(stream);
    let _stream = second.serve(&environment).await;
    first.nobody_asks(STREAM, Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn an_address_that_refuses_the_key_is_left_at_once() {
    let (first, second) = (Service::start().await, Service::start().await);
    let environment = Environment::with(KEY, 100.0);
    let connecting = builder(&first).endpoint(second.url()).connect();
    let refuse = async { first.next(STREAM).await.answer(401, &[], "").await };
    let (client, (), _stream) = join!(connecting, refuse, second.serve(&environment));
    assert!(client.unwrap().is_on(KEY, &user("a")));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_starts_later_is_found() {
    let address = nobody().await;
    let directory = Directory::new();
    let client = storyflag::Client::builder(format!("http://{address}"), crate::key().as_str()).disk_cache(&directory.0).without_reports();
    let started = Instant::now();
    let client = client.connect().await.unwrap();
    assert_eq!(started.elapsed().as_secs(), 2, "with nothing to serve it waits for as long as it may");
    assert_eq!((client.ready(), client.status().state), (false, State::NotReady));
    let error = client.status().last_error.unwrap();
    assert!(error.starts_with("cannot connect: http://127.0.0.1:"), "{error}");
    tokio::time::sleep(Duration::from_secs(600)).await;
    let service = Service::start_on(address).await;
    let waited = Instant::now();
    let environment = Environment::with(KEY, 100.0);
    // A poll may come before the stream; left unanswered, it would be waited for.
    let polled = async {
        service.next(RULESET).await.answer(503, &[], "").await;
        std::future::pending::<()>().await;
    };
    let _stream = select! {
        stream = service.serve(&environment) => stream,
        () = polled => unreachable!(),
    };
    assert!(waited.elapsed() <= Duration::from_secs(31), "{:?}", waited.elapsed());
    eventually(&client, |status| status.state == State::Streaming).await;
}
