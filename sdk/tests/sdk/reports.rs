//! What a client reports.

use std::{thread, time::Duration};

use serde_json::json;
use storyflag::{Client, TelemetryMessage};
use tokio::{join, time::Instant};

use crate::{
    environment::Environment,
    key,
    service::{Exchange, Service, Stream, TELEMETRY},
    user,
};

const KEY: &str = "US-1";

async fn connected(service: &Service, environment: &Environment) -> (Client, tokio::task::JoinHandle<()>) {
    let connecting = Client::builder(service.url(), key().as_str()).connect();
    let (client, stream) = join!(connecting, service.serve(environment));
    (client.unwrap(), beating(stream, environment))
}

/// Keeps a stream alive.
fn beating(mut stream: Stream, environment: &Environment) -> tokio::task::JoinHandle<()> {
    let heartbeat = environment.heartbeat();
    tokio::spawn(async move {
        loop {
            stream.send(&heartbeat).await;
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    })
}

fn message(exchange: &Exchange) -> TelemetryMessage {
    serde_json::from_slice(&exchange.body).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_report_says_who_runs_what_and_how_often_it_was_served() {
    let service = Service::start().await;
    let mut environment = Environment::with(KEY, 0.0);
    environment.raise("US-2", 100.0);
    let (client, _beating) = connected(&service, &environment).await;
    for name in ["a", "b", "c"] {
        client.is_on(KEY, &user(name));
    }
    let asking = client.clone();
    thread::spawn(move || asking.for_context(user("d")).is_on("US-2")).join().unwrap();
    client.is_on("US-nothing", &user("a"));
    client.string("US-2", &user("a"), "not a string");
    client.for_context(user("a")).all().for_each(drop);

    let first = service.next(TELEMETRY).await;
    assert_eq!((first.method.as_str(), first.header("content-type")), ("POST", Some("application/json")));
    assert!(first.header("authorization").unwrap().starts_with("Bearer sfs_"));
    let body = first.json();
    assert_eq!(body["format"], 1);
    assert_eq!(body["sdk"], format!("rust/{}", env!("CARGO_PKG_VERSION")));
    assert_eq!(body["applied"], environment.identity().to_string());
    assert_eq!((&body["sequence"], &body["goodbye"]), (&json!(1), &json!(false)));
    assert_eq!(body["usage"], json!({ "US-1": { "off": 3 }, "US-2": { "on": 1 } }));
    let instance = message(&first).instance;
    assert!(instance.len() == 32 && instance.bytes().all(|byte| byte.is_ascii_hexdigit()), "{instance}");
    first.answer(204, &[], "").await;

    let sent = Instant::now();
    let second = service.next(TELEMETRY).await;
    assert_eq!(sent.elapsed().as_secs(), 10);
    assert_eq!((message(&second).sequence, message(&second).instance), (2, instance));
    assert_eq!(second.json()["usage"], json!({}), "what was told is not told again");
    second.answer(204, &[], "").await;
    assert_eq!(service.connections(), 2, "one for the stream, one for all reports");
    let errors = client.status().errors;
    assert_eq!(
        errors.iter().map(|(error, count)| (error.name(), *count)).collect::<Vec<_>>(),
        [("FLAG_NOT_FOUND", 1), ("TYPE_MISMATCH", 1)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_message_of_unknown_fate_is_never_sent_again_and_one_that_was_refused_is() {
    let service = Service::start().await;
    let (client, _beating) = connected(&service, &Environment::with(KEY, 100.0)).await;
    client.is_on(KEY, &user("a"));
    let refused = service.next(TELEMETRY).await;
    assert_eq!(message(&refused).sequence, 1);
    refused.answer(503, &[("retry-after", "25")], "").await;
    let told = Instant::now();
    client.is_on(KEY, &user("a"));
    let again = service.next(TELEMETRY).await;
    assert_eq!(told.elapsed().as_secs(), 25);
    assert_eq!((message(&again).sequence, &again.json()["usage"]), (1, &json!({ "US-1": { "on": 2 } })));
    again.hang_up();

    client.is_on(KEY, &user("a"));
    let next = service.next(TELEMETRY).await;
    assert_eq!(message(&next).sequence, 2, "the gap shows that one was lost");
    assert_eq!(next.json()["usage"], json!({ "US-1": { "on": 1 } }));
}

#[tokio::test(start_paused = true)]
async fn the_last_clone_says_goodbye() {
    let service = Service::start().await;
    let (client, _beating) = connected(&service, &Environment::with(KEY, 100.0)).await;
    client.is_on(KEY, &user("a"));
    drop(client);
    let last = service.next(TELEMETRY).await;
    assert!(message(&last).goodbye);
    assert_eq!(last.json()["usage"], json!({ "US-1": { "on": 1 } }), "with the last counts");
}

#[tokio::test(start_paused = true)]
async fn close_waits_for_the_goodbye_but_not_for_ever() {
    let service = Service::start().await;
    let (client, _beating) = connected(&service, &Environment::with(KEY, 100.0)).await;
    let answer = async {
        let last = service.next(TELEMETRY).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        last.answer(204, &[], "").await;
    };
    let started = Instant::now();
    join!(client.close(), answer);
    assert_eq!(started.elapsed().as_secs(), 1);

    let (client, _beating) = connected(&service, &Environment::with(KEY, 100.0)).await;
    let started = Instant::now();
    client.close().await;
    assert_eq!(started.elapsed().as_secs(), 2, "nobody answers");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reports_nothing_says_nothing() {
    let service = Service::start().await;
    let environment = Environment::with(KEY, 100.0);
    let (client, stream) = join!(crate::builder(&service).connect(), service.serve(&environment));
    let (client, _beating) = (client.unwrap(), beating(stream, &environment));
    client.is_on(KEY, &user("a"));
    service.nobody_asks(TELEMETRY, Duration::from_secs(60)).await;
    client.close().await;
    service.nobody_asks(TELEMETRY, Duration::from_secs(60)).await;
}

#[tokio::test]
async fn nothing_is_lost_when_the_runtime_is_busy_and_threads_come_and_go() {
    let service = Service::start().await;
    let (client, _beating) = connected(&service, &Environment::with(KEY, 100.0)).await;
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let client = client.clone();
            thread::spawn(move || (0..1_000).filter(|number| client.is_on(KEY, &user(&number.to_string()))).count())
        })
        .collect();
    let served: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    let closing = tokio::spawn(async move { client.close().await });
    let last = service.next(TELEMETRY).await;
    assert_eq!(last.json()["usage"]["US-1"]["on"], served);
    last.answer(204, &[], "").await;
    closing.await.unwrap();
}
