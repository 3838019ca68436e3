//! Too many, too slow, too late.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{Bus, Client, Node, Options, PATIENCE, Sdk, eventually, quick, told, writer, writer::flag_text};
use crate::{
    listener::Limits,
    publish::Rate,
    store::tests::{Database, both},
};

both!(
    too_many_at_once_are_told_to_come_later,
    a_node_that_drains_says_goodbye,
    who_does_not_read_delays_nobody_and_is_cut_off,
    who_does_not_read_takes_no_room,
    who_says_nothing_is_cut_off,
    http2_is_spoken_too,
);

async fn too_many_at_once_are_told_to_come_later(database: Database) {
    writer(&database).await;
    let options = Options { admission: Rate { per_second: 0, burst: 3 }, ..quick() };
    let node = Node::start(database.store.clone(), options).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(Client::stream(node.address, None).await);
    }
    for _ in 0..20 {
        let mut refused = Client::stream(node.address, None).await;
        let retry_after: u64 = refused.headers["retry-after"].parse().unwrap();
        assert!(refused.status == 503 && (5..=30).contains(&retry_after), "{retry_after}");
        assert_eq!(refused.json().await["status"], 503);
    }
    // Who is in stays in.
    for client in &mut open {
        assert_eq!((client.status, client.event().await.unwrap().name.as_str()), (200, "ruleset"));
    }
    assert_eq!((node.metric("storyflag_streams_admitted_total"), node.metric("storyflag_streams_refused_total")), (3, 20));
}

async fn a_node_that_drains_says_goodbye(database: Database) {
    writer(&database).await;
    let node = Node::start(database.store.clone(), told()).await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut client = Client::stream(node.address, None).await;
        client.event().await.unwrap();
        clients.push(client);
    }
    let (hub, address) = (node.hub.clone(), node.address);
    let draining = tokio::spawn(async move { hub.drain(Duration::from_millis(30_000)).await });
    for client in &mut clients {
        let event = client.news().await.unwrap();
        assert_eq!((event.name.as_str(), event.data.as_str()), ("goodbye", r#"{"reconnect_after_ms":[0,30000]}"#));
        assert_eq!(client.event().await, None);
    }
    draining.await.unwrap();
    assert_eq!(node.hub.streams(), 0);
    assert_eq!(Client::stream(address, None).await.status, 503);
    // Polling goes on until the end, which does not wait for idle connections.
    let polling = Client::get(address, "/sdk/v1/ruleset", &[]).await;
    assert_eq!(polling.status, 200);
    timeout(PATIENCE, node.stop()).await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

async fn who_does_not_read_delays_nobody_and_is_cut_off(database: Database) {
    let writer = writer(&database).await;
    let limits = Limits { write: Duration::from_secs(2), ..Limits::default() };
    let node = Node::start_with(database.store.clone(), Bus::in_process(), told(), limits).await;
    let mut stalled = Vec::new();
    for _ in 0..5 {
        stalled.push(Client::stream(node.address, None).await);
    }
    let mut sdk = Sdk::connect(node.address).await;
    // More than the sockets between them take: 16 MB in all.
    for n in 0..64 {
        let committed = writer.put_flags([("large", large_flag(n, 250_000))]).await.remove(0);
        node.hub.publish(&committed);
        sdk.reach(committed.identity).await;
    }
    eventually("those that do not read are cut off", async || node.hub.streams() == 1).await;
    assert!(sdk.client.event().await.is_some());
    for client in &mut stalled {
        assert!(client.is_cut().await);
    }
}

async fn who_does_not_read_takes_no_room(database: Database) {
    let writer = writer(&database).await;
    let limits = Limits { write: Duration::from_secs(600), ..Limits::default() };
    let node = Node::start_with(database.store.clone(), Bus::in_process(), told(), limits).await;
    let mut stalled = Vec::new();
    for _ in 0..100 {
        let mut client = Client::stream(node.address, None).await;
        client.event().await.unwrap();
        stalled.push(client);
    }
    let before = resident_bytes();
    // 15 MB for each of them: 1.5 GB for all, if it were kept for them.
    for n in 0..15 {
        let texts = (0..10).map(|m| ("large", large_flag(n * 10 + m, 100_000)));
        writer.put_flags(texts).await.iter().for_each(|committed| node.hub.publish(committed));
    }
    let mut sdk = Sdk::connect(node.address).await;
    let head = node.hub.environment(writer.environment).unwrap().identity();
    sdk.reach(head).await;
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 256 * 1_024 * 1_024, "{grown} bytes");
    // And every one of them still gets there, by the whole.
    for client in stalled.drain(..).take(5) {
        let mut sdk = Sdk { client, ruleset: storyflag_evaluation::Ruleset::empty(), wholes: 0 };
        while sdk.wholes == 0 {
            match sdk.client.news().await.unwrap() {
                event if event.name == "ruleset" => sdk.apply(&event),
                // What was under way when it stalled.
                event => assert_eq!(event.name, "change"),
            }
        }
        sdk.reach(head).await;
    }
}

fn large_flag(millionths: u32, size: usize) -> String {
    flag_text("large", millionths).replacen('{', &format!(r#"{{"padding":"{}","#, "x".repeat(size)), 1)
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}

async fn who_says_nothing_is_cut_off(database: Database) {
    writer(&database).await;
    let limits = Limits { head: Duration::from_secs(1), ..Limits::default() };
    let node = Node::start_with(database.store.clone(), Bus::in_process(), quick(), limits).await;
    let silent = ["", "GET /sdk/v1/rul", "PRI * HTTP/2.0\r\n", "GET /sdk/v1/ruleset HTTP/1.1\r\nhost: test\r\nx: "];
    let cut = silent.map(async |said| {
        let mut socket = TcpStream::connect(node.address).await.unwrap();
        socket.write_all(said.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = timeout(PATIENCE, socket.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "still open after {said:?}");
    });
    futures_util::future::join_all(cut).await;
    // A stream's client is silent for longer than that, and stays.
    let mut client = Client::stream(node.address, None).await;
    assert_eq!(client.event().await.unwrap().name, "ruleset");
    for _ in 0..10 {
        client.heartbeat().await;
    }
    // Heads that are too large are refused before they are read whole.
    let large = "x".repeat(64 * 1_024);
    let refused = super::request(node.address, "GET", "/sdk/v1/ruleset", &[("x-large", &large)], b"").await;
    assert_eq!(refused.status, 431);
}

async fn http2_is_spoken_too(database: Database) {
    writer(&database).await;
    let node = Node::start(database.store.clone(), quick()).await;
    let mut socket = TcpStream::connect(node.address).await.unwrap();
    // The preface and an empty SETTINGS frame; the answer begins with the server's SETTINGS.
    socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut frame = [0; 9];
    timeout(PATIENCE, socket.read_exact(&mut frame)).await.unwrap().unwrap();
    assert_eq!(frame[3], 4);
}
