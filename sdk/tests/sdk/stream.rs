//! The stream: what is asked, what is taken, and when it ends.

use std::time::Duration;

use storyflag::{Client, ConnectError, KeyError, State};
use tokio::{join, time::Instant};

use crate::{
    builder,
    environment::{Environment, flag_of_the_future},
    eventually, key,
    service::{STREAM, Service},
    user,
};

const KEY: &str = "US-1";

pub(crate) async fn connected(service: &Service, environment: &Environment) -> (Client, crate::service::Stream) {
    let (client, stream) = join!(builder(service).connect(), service.serve(environment));
    (client.unwrap(), stream)
}

#[tokio::test(start_paused = true)]
async fn connect_returns_with_the_first_ruleset_and_changes_arrive() {
    let service = Service::start().await;
    let mut environment = Environment::with(KEY, 0.0);
    let started = Instant::now();
    let (client, mut stream) = connected(&service, &environment).await;
    assert_eq!(started.elapsed(), Duration::ZERO);
    let status = client.status();
    assert_eq!((status.state, status.identity, status.stale_since), (State::Streaming, Some(environment.identity()), None));
    assert_eq!(status.endpoint, Some(service.url()));
    assert!(client.ready() && !client.is_on(KEY, &user("a")));

    let mut changes = client.changes();
    let before = client.for_context(user("a"));
    stream.send(&environment.raise(KEY, 100.0)).await;
    assert_eq!(changes.next().await, Some(environment.identity()));
    assert!(client.is_on(KEY, &user("a")));
    assert!(!before.is_on(KEY), "a request sees one ruleset from its beginning to its end");
    assert!(client.for_context(user("a")).is_on(KEY));

    stream.send(&environment.remove(KEY)).await;
    changes.next().await;
    assert!(client.is_on_or(KEY, &user("a"), true), "gone: the caller's default");
    assert_eq!(client.for_context(user("a")).all().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_request_says_who_asks_and_what_is_applied() {
    let service = Service::start().await;
    let address = format!("{}/behind/a/proxy/", service.url());
    let connecting = tokio::spawn(Client::builder(address, key().as_str()).without_reports().connect());
    let first = service.next("/behind/a/proxy/sdk/v1/stream").await;
    assert_eq!(first.method, "GET");
    assert_eq!(first.header("authorization"), Some(format!("Bearer {}", key().as_str()).as_str()));
    assert_eq!(first.header("accept"), Some("text/event-stream"));
    assert_eq!(first.header("host"), Some(service.address().to_string().as_str()));
    assert_eq!((first.header("last-event-id"), first.header("accept-encoding")), (None, None));
    let environment = Environment::with(KEY, 100.0);
    let mut stream = first.open().await;
    stream.send(&environment.ruleset()).await;
    let client = connecting.await.unwrap().unwrap();
    drop(stream);
    let second = service.next("/behind/a/proxy/sdk/v1/stream").await;
    assert_eq!(second.header("last-event-id"), Some(environment.identity().to_string().as_str()));
    assert!(client.is_on(KEY, &user("a")), "last known good");
}

#[tokio::test(start_paused = true)]
async fn a_closed_stream_is_opened_again_and_goes_on_with_changes() {
    let service = Service::start().await;
    let mut environment = Environment::with(KEY, 0.0);
    let (client, stream) = connected(&service, &environment).await;
    drop(stream);
    let status = eventually(&client, |status| status.state == State::Stale).await;
    assert!(status.stale_since.is_some());
    assert_eq!(status.last_error.as_deref(), Some("the stream ended"));
    let mut stream = service.stream().await;
    let missed = environment.raise(KEY, 100.0);
    stream.send(&missed).await;
    stream.send(&environment.heartbeat()).await;
    let status = eventually(&client, |status| status.state == State::Streaming).await;
    assert_eq!((status.identity, status.stale_since), (Some(environment.identity()), None));
    assert!(client.is_on(KEY, &user("a")));
}

#[tokio::test(start_paused = true)]
async fn events_may_come_in_any_pieces() {
    let service = Service::start().await;
    let mut environment = Environment::with(KEY, 0.0);
    let (client, mut stream) = connected(&service, &environment).await;
    let mut changes = client.changes();
    for byte in environment.raise(KEY, 100.0).bytes() {
        stream.raw(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(changes.next().await, Some(environment.identity()));
}

#[tokio::test(start_paused = true)]
async fn unknown_events_and_flags_disturb_nothing() {
    let service = Service::start().await;
    let mut environment = Environment::with(KEY, 100.0);
    let (client, mut stream) = connected(&service, &environment).await;
    stream.raw(b"event: weather\ndata: not json\n\nevent: ruleset-v2\nid: 9\ndata: {\n\n: comment\n\n").await;
    stream.send(&environment.put("US-9", &flag_of_the_future("US-9", false))).await;
    let status = eventually(&client, |status| status.identity == Some(environment.identity())).await;
    assert_eq!((status.state, status.last_error), (State::Streaming, None));
    assert_eq!(status.unsupported.len(), 1);
    assert!(status.unsupported[0].0 == "US-9" && status.unsupported[0].1.contains("resembles"), "{:?}", status.unsupported);
    assert!(client.is_on(KEY, &user("a")) && client.is_on_or("US-9", &user("a"), true) && !client.is_on("US-9", &user("a")));
    stream.send(&environment.put("US-9", &flag_of_the_future("US-9", true))).await;
    eventually(&client, |status| status.identity == Some(environment.identity())).await;
    assert!(!client.is_on_or("US-9", &user("a"), true), "killed: its off variant");
    assert_eq!(service.connections(), 1);
}

#[tokio::test(start_paused = true)]
async fn goodbye_reconnects_quietly_within_its_window() {
    let service = Service::start().await;
    let environment = Environment::with(KEY, 100.0);
    let (client, mut stream) = connected(&service, &environment).await;
    stream.raw(b"event: goodbye\ndata: {\"reconnect_after_ms\":[5000,9000]}\n\n").await;
    stream.closed().await;
    let told = Instant::now();
    let _stream = service.serve(&environment).await;
    assert!((5_000..=9_001).contains(&told.elapsed().as_millis()), "{:?}", told.elapsed());
    let status = eventually(&client, |status| status.state == State::Streaming).await;
    assert_eq!(status.last_error, None, "nothing was wrong");
}

#[tokio::test(start_paused = true)]
async fn thousands_of_flags_arrive_in_one_event() {
    let service = Service::start().await;
    let mut environment = Environment::new();
    for number in 0..5_000 {
        let key = format!("US-{number}");
        environment.flags.insert(key.clone(), crate::environment::flag(&key, 100.0));
    }
    let (client, _stream) = connected(&service, &environment).await;
    let view = client.for_context(user("a"));
    assert_eq!(view.all().filter(|(_, answer)| answer.is_on()).count(), 5_000);
}

#[tokio::test(start_paused = true)]
async fn a_kill_overtakes_its_ruleset() {
    let service = Service::start().await;
    let environment = Environment::with(KEY, 100.0);
    let (client, mut stream) = connected(&service, &environment).await;
    let mut changes = client.changes();
    stream.raw(b"event: kills\ndata: {\"kills\":[{\"flag\":\"US-1\",\"id\":\"5e\"}]}\n\n").await;
    assert_eq!(changes.next().await, Some(environment.identity()), "what is served has changed, its identity has not");
    assert!(!client.is_on(KEY, &user("a")));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_last_clone_closes_the_connection() {
    let service = Service::start().await;
    let environment = Environment::with(KEY, 100.0);
    let (client, mut stream) = connected(&service, &environment).await;
    let (other, view, mut changes) = (client.clone(), client.for_context(user("a")), client.changes());
    drop(client);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(other.status().state, State::Streaming);
    let ended = Instant::now();
    drop(other);
    stream.closed().await;
    assert_eq!(ended.elapsed(), Duration::ZERO);
    assert_eq!(changes.next().await, None);
    assert!(view.is_on(KEY), "a request that is under way ends as it began");
    service.nobody_asks(STREAM, Duration::from_secs(600)).await;
}

#[tokio::test(start_paused = true)]
async fn a_closed_client_goes_on_answering() {
    let service = Service::start().await;
    let (client, mut stream) = connected(&service, &Environment::with(KEY, 100.0)).await;
    let mut changes = client.changes();
    let other = client.clone();
    join!(client.close(), other.close());
    stream.closed().await;
    assert_eq!((other.status().state, changes.next().await), (State::Closed, None));
    assert!(other.is_on(KEY, &user("a")));
    other.close().await;
}

#[tokio::test(start_paused = true)]
async fn clients_are_independent() {
    let (one, two) = (Service::start().await, Service::start().await);
    let (first, second) = (Environment::with(KEY, 100.0), Environment::with(KEY, 0.0));
    let (a, _a) = connected(&one, &first).await;
    let (b, _b) = connected(&one, &first).await;
    let (other, _other) = connected(&two, &second).await;
    assert!(a.is_on(KEY, &user("x")) && b.is_on(KEY, &user("x")) && !other.is_on(KEY, &user("x")));
    a.close().await;
    assert_eq!((b.status().state, other.status().state), (State::Streaming, State::Streaming));
    assert!(b.is_on(KEY, &user("x")));
}

#[tokio::test]
async fn only_what_can_never_work_is_an_error() {
    let connect = |address: &str, key: &str| Client::builder(address, key).ready_within(Duration::ZERO).connect();
    assert!(matches!(connect("localhost:8080", key().as_str()).await, Err(ConnectError::Address(_))));
    let error = connect("http://localhost:8080", "secret-key").await.unwrap_err();
    assert_eq!(error, ConnectError::Key(KeyError::Form));
    assert!(!error.to_string().contains("secret-key"));
    let shown = format!("{:?}", Client::builder("http://localhost", key().as_str()));
    assert!(shown.contains(key().id()) && !shown.contains(&key().secret()[..8]), "{shown}");
    let mistyped = key().as_str().replace("2a2a_", "2a2b_");
    assert_eq!(connect("http://localhost:8080", &mistyped).await.unwrap_err(), ConnectError::Key(KeyError::Check));
    let nobody = connect("http://127.0.0.1:1", key().as_str()).await.unwrap();
    assert!(!nobody.ready() && !nobody.is_on(KEY, &user("a")) && nobody.is_on_or(KEY, &user("a"), true));
    assert_eq!(nobody.detail(KEY, &user("a")).error.map(|error| error.name()), Some("NOT_READY"));
}

#[test]
fn outside_a_runtime_it_says_so() {
    let future = Client::builder("http://localhost:8080", key().as_str()).connect();
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let polled = future.as_mut().poll(&mut context);
    assert!(matches!(polled, std::task::Poll::Ready(Err(ConnectError::NoRuntime))));
}
