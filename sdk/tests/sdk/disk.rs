//! A start without a network is a start with flags.

use std::{fs, time::Duration};

use storyflag::{Builder, Client, State};
use tokio::{join, time::Instant};

use crate::{
    Directory, builder,
    environment::Environment,
    eventually, key,
    service::{STREAM, Service},
    user,
};

const KEY: &str = "US-1";

/// Runs a client until it has written what it got.
async fn filled(environment: &Environment) -> Directory {
    let directory = Directory::new();
    let service = Service::start().await;
    let (client, _stream) = join!(builder(&service).disk_cache(&directory.0).connect(), service.serve(environment));
    client.unwrap().close().await;
    directory
}

async fn without_network(directory: &Directory) -> Builder {
    let gone = Service::start().await.url();
    Client::builder(gone, key().as_str()).disk_cache(&directory.0).without_reports()
}

#[tokio::test(start_paused = true)]
async fn when_everybody_refuses_the_file_serves_at_once() {
    let environment = Environment::with(KEY, 100.0);
    let directory = filled(&environment).await;
    let started = Instant::now();
    let client = without_network(&directory).await.connect().await.unwrap();
    assert_eq!(started.elapsed(), Duration::ZERO);
    let status = client.status();
    assert_eq!((status.state, status.identity), (State::Stale, Some(environment.identity())));
    assert!(status.stale_since.is_some() && client.ready() && client.is_on(KEY, &user("a")));
}

#[tokio::test(start_paused = true)]
async fn the_file_serves_while_the_network_is_waited_for_and_is_presented_to_it() {
    let mut environment = Environment::with(KEY, 0.0);
    let directory = filled(&environment).await;
    let service = Service::start().await;
    let connecting = tokio::spawn(builder(&service).disk_cache(&directory.0).connect());
    let asked = service.next(STREAM).await;
    assert_eq!(asked.header("last-event-id"), Some(environment.identity().to_string().as_str()));
    assert!(!connecting.is_finished());
    let mut stream = asked.open().await;
    stream.send(&environment.raise(KEY, 100.0)).await;
    let client = connecting.await.unwrap().unwrap();
    assert!(client.is_on(KEY, &user("a")));
    assert_eq!(client.status().state, State::Streaming);
}

#[tokio::test(start_paused = true)]
async fn nothing_new_is_an_answer_too() {
    let environment = Environment::with(KEY, 100.0);
    let directory = filled(&environment).await;
    let service = Service::start().await;
    let started = Instant::now();
    let heartbeat = async {
        let mut stream = service.stream().await;
        stream.send(&environment.heartbeat()).await;
        stream
    };
    let (client, _stream) = join!(builder(&service).disk_cache(&directory.0).connect(), heartbeat);
    assert_eq!((started.elapsed(), client.unwrap().status().state), (Duration::ZERO, State::Streaming));
}

#[tokio::test(start_paused = true)]
async fn a_stale_file_never_expires() {
    let directory = filled(&Environment::with(KEY, 100.0)).await;
    let client = without_network(&directory).await.connect().await.unwrap();
    tokio::time::sleep(Duration::from_secs(6 * 3_600)).await;
    assert!(client.is_on(KEY, &user("a")));
    assert_eq!(client.status().state, State::Stale);
}

#[tokio::test(start_paused = true)]
async fn a_corrupt_file_is_told_and_the_network_asked() {
    let environment = Environment::with(KEY, 100.0);
    let directory = filled(&environment).await;
    for entry in fs::read_dir(&directory.0).unwrap() {
        fs::write(entry.unwrap().path(), "storyflag-ruleset 1 what").unwrap();
    }
    let client = without_network(&directory).await.ready_within(Duration::from_millis(10)).connect().await.unwrap();
    assert!(!client.ready() && !client.is_on(KEY, &user("a")));
    client.close().await;

    let service = Service::start().await;
    let (client, _stream) = join!(builder(&service).disk_cache(&directory.0).connect(), service.serve(&environment));
    let client = client.unwrap();
    let error = client.status().last_error.unwrap();
    assert!(error.starts_with("disk cache: ") && error.contains("its first line is torn"), "{error}");
    assert!(client.is_on(KEY, &user("a")));
    client.close().await;
    assert!(without_network(&directory).await.connect().await.unwrap().is_on(KEY, &user("a")), "and written anew");
}

#[tokio::test(start_paused = true)]
async fn every_change_reaches_the_file_with_the_kills_that_stand() {
    let mut environment = Environment::with(KEY, 100.0);
    let directory = Directory::new();
    let service = Service::start().await;
    let (client, mut stream) = join!(builder(&service).disk_cache(&directory.0).connect(), service.serve(&environment));
    let client = client.unwrap();
    for number in 0..20 {
        stream.send(&environment.raise(&format!("US-1{number}"), 100.0)).await;
    }
    stream.raw(b"event: kills\ndata: {\"kills\":[{\"flag\":\"US-1\",\"id\":\"5e\"}]}\n\n").await;
    eventually(&client, |status| status.identity == Some(environment.identity())).await;
    while client.is_on(KEY, &user("a")) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    client.close().await;
    let client = without_network(&directory).await.connect().await.unwrap();
    assert_eq!(client.status().identity, Some(environment.identity()));
    assert!(client.is_on("US-119", &user("a")) && !client.is_on(KEY, &user("a")), "killed over a restart");
}

#[tokio::test(start_paused = true)]
async fn a_restart_never_goes_back_to_a_lower_pair() {
    let mut environment = Environment::with(KEY, 100.0);
    let restored = environment.clone();
    environment.raise("US-2", 1.0);
    let directory = filled(&environment).await;
    let service = Service::start().await;
    let started = Instant::now();
    let (client, _stream) = join!(builder(&service).disk_cache(&directory.0).connect(), service.serve(&restored));
    let client = client.unwrap();
    assert_eq!(started.elapsed(), Duration::ZERO, "the network has answered, if not with anything better");
    assert_eq!((client.status().state, client.status().identity), (State::Stale, Some(environment.identity())));
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_cannot_be_written_is_only_told() {
    let directory = Directory::new();
    fs::write(&directory.0, "a file stands there").unwrap();
    let service = Service::start().await;
    let environment = Environment::with(KEY, 100.0);
    let (client, _stream) = join!(builder(&service).disk_cache(&directory.0).connect(), service.serve(&environment));
    let client = client.unwrap();
    eventually(&client, |status| status.last_error.as_ref().is_some_and(|error| error.starts_with("disk cache: "))).await;
    assert!(client.is_on(KEY, &user("a")) && client.status().state == State::Streaming);
    fs::remove_file(&directory.0).unwrap();
}
