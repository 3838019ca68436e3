//! The harness itself: a network that does not do what it is told would make other tests pass for nothing.

use std::time::{Duration, Instant};

use sqlx::Connection;
use storyflag_tests::postgres::Postgres;
use storyflag_tests::proxy::{Network, Proxy};
use storyflag_tests::redis::Redis;
use storyflag_tests::{eventually, eventually_within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Sends back what it is sent.
async fn echo() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reads, mut writes) = client.into_split();
                let _ = tokio::io::copy(&mut reads, &mut writes).await;
            });
        }
    });
    address
}

async fn says_back(stream: &mut TcpStream, text: &[u8]) -> std::io::Result<()> {
    stream.write_all(text).await?;
    let mut heard = vec![0; text.len()];
    stream.read_exact(&mut heard).await?;
    assert_eq!(heard, text);
    Ok(())
}

#[tokio::test]
async fn a_cut_network_ends_open_connections_and_refuses_new_ones() {
    let proxy = Proxy::to(echo().await).await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    says_back(&mut stream, b"before").await.unwrap();
    proxy.set(Network::Cut);
    says_back(&mut stream, b"after").await.unwrap_err();
    let mut another = TcpStream::connect(proxy.address()).await.unwrap();
    says_back(&mut another, b"new").await.unwrap_err();
    proxy.set(Network::Open);
    let mut third = TcpStream::connect(proxy.address()).await.unwrap();
    says_back(&mut third, b"open again").await.unwrap();
}

#[tokio::test]
async fn a_stalled_network_passes_nothing_on_until_it_is_opened() {
    let proxy = Proxy::to(echo().await).await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    says_back(&mut stream, b"before").await.unwrap();
    proxy.set(Network::Stalled);
    let stalled = tokio::time::timeout(Duration::from_millis(200), says_back(&mut stream, b"held"));
    stalled.await.expect_err("nothing comes back while it is stalled");
    proxy.set(Network::Open);
    let mut held = [0; 4];
    stream.read_exact(&mut held).await.unwrap();
    assert_eq!(&held, b"held");
}

#[tokio::test]
async fn a_delayed_network_is_late() {
    let proxy = Proxy::to(echo().await).await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    says_back(&mut stream, b"before").await.unwrap();
    proxy.set(Network::Delayed(Duration::from_millis(100)));
    let begin = Instant::now();
    says_back(&mut stream, b"late").await.unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(200), "there and back: {:?}", begin.elapsed());
}

#[tokio::test]
async fn a_throttled_network_is_slow() {
    let proxy = Proxy::to(echo().await).await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    proxy.set(Network::Throttled(100_000));
    let begin = Instant::now();
    says_back(&mut stream, &vec![7; 50_000]).await.unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(400), "{:?}", begin.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_its_address_and_content_over_a_crash() {
    let postgres = Postgres::own();
    let url = postgres.create_database().await;
    let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
    sqlx::query("create table kept (n bigint)").execute(&mut connection).await.unwrap();
    postgres.stop();
    sqlx::query("select n from kept").execute(&mut connection).await.unwrap_err();
    postgres.start();
    let mut connection =
        eventually("the database is back", || async { sqlx::PgConnection::connect(&url).await.map_err(|error| error.to_string()) }).await;
    sqlx::query("select n from kept").execute(&mut connection).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_keeps_its_address_over_a_crash() {
    let redis = Redis::own();
    let client = redis::Client::open(redis.url.as_str()).unwrap();
    client.get_multiplexed_async_connection().await.unwrap();
    redis.stop();
    assert!(client.get_multiplexed_async_connection().await.is_err());
    redis.start();
    client.get_multiplexed_async_connection().await.unwrap();
}

#[tokio::test]
#[should_panic(expected = "pigs fly; instead: they walk")]
async fn what_never_becomes_so_is_told_with_the_last_status() {
    let walk = || async { Err::<(), _>("they walk".to_owned()) };
    eventually_within(Duration::from_millis(10), "pigs fly", walk).await;
}
