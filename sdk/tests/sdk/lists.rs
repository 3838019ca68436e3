//! Lists of cohorts come beside the ruleset, and nothing waits for them but `connect`.

use std::time::Duration;

use storyflag::{Client, State};
use tokio::{join, time::Instant};

use crate::{
    Directory, builder,
    environment::{Environment, cohort, flag_for_cohort},
    eventually,
    service::{COHORTS, STREAM, Service, Stream},
    user,
};

const KEY: &str = "US-1";

fn environment(units: &[&str]) -> (Environment, storyflag_evaluation::CohortList) {
    let mut environment = Environment::with("US-2", 0.0);
    let (text, list) = cohort("staff", units);
    environment.put_cohort("staff", &text);
    environment.put(KEY, &flag_for_cohort(KEY, "staff"));
    (environment, list)
}

async fn connected(service: &Service, environment: &Environment, list: &[u8]) -> (Client, Stream) {
    let answer = async { service.next(COHORTS).await.answer(200, &[], list).await };
    let (client, stream, ()) = join!(builder(service).connect(), service.serve(environment), answer);
    (client.unwrap(), stream)
}

#[tokio::test(start_paused = true)]
async fn connect_waits_for_the_lists_too() {
    let service = Service::start().await;
    let (environment, list) = environment(&["ann", "bob"]);
    let connecting = tokio::spawn(builder(&service).connect());
    let _stream = service.serve(&environment).await;
    let asked = service.next(COHORTS).await;
    assert_eq!(asked.path, format!("/sdk/v1/cohorts/staff/{}", list.digest()));
    assert!(asked.header("authorization").is_some());
    assert!(!connecting.is_finished());
    asked.answer(200, &[], list.to_bytes()).await;
    let client = connecting.await.unwrap().unwrap();
    assert!(client.is_on(KEY, &user("ann")) && !client.is_on(KEY, &user("carl")));
    assert_eq!(client.status().missing_lists, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn without_the_list_connect_returns_in_time_and_says_what_is_missing() {
    let service = Service::start().await;
    let (mut environment, list) = environment(&["ann"]);
    let started = Instant::now();
    let (client, mut stream) = join!(builder(&service).connect(), service.serve(&environment));
    let client = client.unwrap();
    assert_eq!(started.elapsed().as_secs(), 2);
    let status = client.status();
    assert_eq!((status.state, status.missing_lists), (State::Streaming, vec!["staff".to_owned()]));
    assert!(!client.is_on(KEY, &user("ann")), "nobody is listed yet");

    stream.send(&environment.raise("US-2", 100.0)).await;
    eventually(&client, |status| status.identity == Some(environment.identity())).await;
    assert!(client.is_on("US-2", &user("ann")), "no change waits for a list");

    let mut changes = client.changes();
    service.next(COHORTS).await.answer(200, &[], list.to_bytes()).await;
    assert_eq!(changes.next().await, Some(environment.identity()), "its coming is told");
    assert!(client.is_on(KEY, &user("ann")));
}

#[tokio::test(start_paused = true)]
async fn the_list_before_it_stands_until_a_new_one_is_there() {
    let service = Service::start().await;
    let (mut environment, list) = environment(&["ann"]);
    let (client, mut stream) = connected(&service, &environment, &list.to_bytes()).await;
    let (text, list) = cohort("staff", &["bob"]);
    stream.send(&environment.put_cohort("staff", &text)).await;
    let asked = service.next(COHORTS).await;
    assert!(client.is_on(KEY, &user("ann")) && !client.is_on(KEY, &user("bob")));
    assert_eq!(client.status().missing_lists, ["staff"]);
    asked.answer(200, &[], list.to_bytes()).await;
    eventually(&client, |status| status.missing_lists.is_empty()).await;
    assert!(!client.is_on(KEY, &user("ann")) && client.is_on(KEY, &user("bob")));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_the_list_is_asked_for_again() {
    let service = Service::start().await;
    let (environment, list) = environment(&["ann", "bob"]);
    let client = builder(&service).ready_within(Duration::ZERO).connect().await.unwrap();
    let mut stream = service.serve(&environment).await;
    let heartbeat = environment.heartbeat();
    let hearts = tokio::spawn(async move {
        loop {
            stream.send(&heartbeat).await;
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    });
    let bytes = list.to_bytes();
    service.next(COHORTS).await.answer(200, &[], &bytes[..12]).await;
    service.next(COHORTS).await.answer(200, &[], &bytes[..8]).await;
    eventually(&client, |status| status.last_error.as_ref().is_some_and(|error| error.contains("it is the list"))).await;
    service.next(COHORTS).await.answer(500, &[], "").await;
    service.next(COHORTS).await.hang_up();
    assert!(!client.is_on(KEY, &user("ann")));
    service.next(COHORTS).await.answer(200, &[], &bytes).await;
    eventually(&client, |status| status.missing_lists.is_empty()).await;
    assert!(client.is_on(KEY, &user("ann")));
    assert_eq!(client.status().state, State::Streaming, "the stream has not suffered");
    hearts.abort();
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_not_known_any_more_asks_for_the_whole_once() {
    let service = Service::start().await;
    let (mut environment, _) = environment(&["ann"]);
    let client = builder(&service).ready_within(Duration::ZERO).connect().await.unwrap();
    let mut stream = service.serve(&environment).await;
    service.next(COHORTS).await.answer(404, &[], "").await;
    stream.closed().await;
    let again = service.next(STREAM).await;
    assert_eq!(again.header("last-event-id"), None);
    // The same ruleset again: the list is asked for now and then, the whole is not.
    let mut stream = again.open().await;
    stream.send(&environment.ruleset()).await;
    for _ in 0..5 {
        service.next(COHORTS).await.answer(404, &[], "").await;
        stream.send(&environment.heartbeat()).await;
    }
    service.nobody_asks(STREAM, Duration::from_secs(1)).await;
    let (text, list) = cohort("staff", &["ann"]);
    let text = text.replace("staff\",", "staff\", ");
    stream.send(&environment.put_cohort("staff", &text)).await;
    service.next(COHORTS).await.answer(200, &[], list.to_bytes()).await;
    eventually(&client, |status| status.missing_lists.is_empty()).await;
}

/// On the real clock: a paused one leaps over the pause in which the list is to arrive.
#[tokio::test]
async fn the_whole_is_asked_for_even_if_a_list_arrives_in_between() {
    let service = Service::start().await;
    let (mut environment, list) = environment(&["ann"]);
    let client = builder(&service).ready_within(Duration::ZERO).connect().await.unwrap();
    let mut stream = service.serve(&environment).await;
    let asked = service.next(COHORTS).await;
    let mut forged = environment.raise("US-2", 100.0);
    forged.data = forged.data.replace("1000000", "1000");
    stream.send(&forged).await;
    stream.closed().await;
    // It is served at once, from the ruleset that stands: that says nothing about whether it is the service's.
    asked.answer(200, &[], list.to_bytes()).await;
    eventually(&client, |status| status.missing_lists.is_empty()).await;
    assert!(client.is_on(KEY, &user("ann")));
    let again = service.next(STREAM).await;
    assert_eq!(again.header("last-event-id"), None, "everything, please");
    again.open().await.send(&environment.ruleset()).await;
    eventually(&client, |status| status.identity == Some(environment.identity())).await;
}

#[tokio::test(start_paused = true)]
async fn lists_are_on_disk_as_well() {
    let service = Service::start().await;
    let directory = Directory::new();
    let (environment, list) = environment(&["ann"]);
    let answer = async { service.next(COHORTS).await.answer(200, &[], list.to_bytes()).await };
    let (client, _stream, ()) = join!(builder(&service).disk_cache(&directory.0).connect(), service.serve(&environment), answer);
    client.unwrap().close().await;
    drop(service);
    let gone = Service::start().await.url();
    let client = Client::builder(gone, crate::key().as_str()).disk_cache(&directory.0).without_reports().connect().await.unwrap();
    assert!(client.is_on(KEY, &user("ann")) && !client.is_on(KEY, &user("bob")));
    assert_eq!(client.status().missing_lists, Vec::<String>::new());

    let file =
        std::fs::read_dir(&directory.0).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.extension().unwrap() == "ruleset");
    assert!(Client::from_file(file.unwrap()).unwrap().is_on(KEY, &user("ann")));
}
