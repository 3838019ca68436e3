//! The stream: what is asked, what is taken, and what is done when it breaks.

use std::time::Duration;

use storyflag::{Client, ConnectError, KeyError, State};
use tokio::{join, time::Instant};

use crate::{
    builder,
    environment::{Environment, flag_of_the_future},
    eventually, key,
    service::{RULESET, STREAM, Service},
    user,
};

const KEY: &str = "US-1";

async fn connected(service: &Service, environment: &Environment) -> (Client, crate::service::Stream) {
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
async fn a_refused_key_keeps_what_is_there_and_waits_for_minutes() {
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
    assert!(waits.iter().all(|wait| *wait <= 300) && waits[6] >= 150, "{waits:?}");
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
