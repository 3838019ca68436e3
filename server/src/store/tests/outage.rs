//! The database away: told soon, and over as soon as it is back.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::{Connection, SqliteConnection};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::{Database, NOW};
use crate::store::{Store, StoreError};

/// A wait for a connection, and a little for a slow machine.
const SOON: Duration = Duration::from_secs(5);

/// A Postgres of its own, which may be stopped.
struct Server {
    folder: PathBuf,
}

impl Server {
    fn script(&self, verb: &str) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/test-services.sh");
        let done = Command::new(script).args([verb, "postgres"]).arg(&self.folder).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.script("stop");
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

async fn fails_soon<T>(call: impl Future<Output = Result<T, StoreError>>) {
    let started = Instant::now();
    let outcome = call.await.map(|_| ());
    let took = started.elapsed();
    assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
    assert!(took < SOON, "{took:?}");
}

/// Asks until it is answered, at most ten seconds long.
async fn recovers(store: &Store) {
    let started = Instant::now();
    while let Err(error) = async {
        store.heads().await?;
        store.begin().await?.rollback().await
    }
    .await
    {
        assert!(started.elapsed() < Duration::from_secs(10), "still away: {error}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_stops_is_told_and_found_again() {
    let server = Server { folder: std::env::temp_dir().join(super::fresh_name()) };
    let address = server.script("start");
    let store = Store::open(&address, 6).await.unwrap();
    let database = Database { store: store.clone(), address: address.clone(), folder: None };
    let (_, environment) = database.production().await;
    let mut open = store.begin().await.unwrap();
    open.lock_and_advance(environment, NOW).await.unwrap();

    server.script("stop");
    fails_soon(open.lock_and_advance(environment, NOW)).await;
    drop(open);
    // The first calls find connections that died, the next ones none.
    for _ in 0..2 {
        let (reads, loads) = (fails_soon(store.heads()), fails_soon(store.load_environment(environment)));
        let (writes, opens) = (fails_soon(store.begin()), fails_soon(Store::open(&address, 2)));
        tokio::join!(reads, loads, writes, opens);
    }

    server.script("start");
    recovers(&store).await;
    assert_eq!(database.write(environment, NOW, "flag", "a", Some("1")).await.revision, 1);
}

/// Hands bytes through in both directions, for as long as it is told to.
struct Proxy {
    address: String,
    flows: watch::Sender<bool>,
}

impl Proxy {
    async fn before(server: &str) -> Self {
        let (head, rest) = server.split_once('@').unwrap();
        let (target, name) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("{head}@{}/{name}", listener.local_addr().unwrap());
        let (flows, state) = watch::channel(true);
        let target: Arc<str> = target.into();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (state, target) = (state.clone(), Arc::clone(&target));
                tokio::spawn(async move {
                    let (near_in, near_out) = near.into_split();
                    let (far_in, far_out) = TcpStream::connect(&*target).await.unwrap().into_split();
                    tokio::join!(carry(near_in, far_out, state.clone()), carry(far_in, near_out, state));
                });
            }
        });
        Self { address, flows }
    }
}

async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut flows: watch::Receiver<bool>) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        // Held back, as by a network that swallows packets; nothing is closed.
        if flows.wait_for(|flows| *flows).await.is_err() || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_swallows_everything_is_an_outage() {
    let mut database = Database::postgres().await;
    let (_, environment) = database.production().await;
    let proxy = Proxy::before(&database.address).await;
    database.store = Store::open(&proxy.address, 4).await.unwrap();
    let store = database.store.clone();
    let mut open = store.begin().await.unwrap();
    open.lock_and_advance(environment, NOW).await.unwrap();

    proxy.flows.send_replace(false);
    // A statement under way is waited for a little longer than a connection.
    let started = Instant::now();
    let outcome = open.lock_and_advance(environment, NOW).await.map(|_| ());
    assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    drop(open);
    // More calls than there are connections: none is lost for good.
    let calls = (0..8).map(|_| fails_soon(store.heads()));
    futures_util::future::join_all(calls).await;
    fails_soon(store.begin()).await;

    proxy.flows.send_replace(true);
    recovers(&store).await;
    assert_eq!(database.write(environment, NOW, "flag", "a", Some("1")).await.revision, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_waits_for_a_lock_starves_no_reader() {
    let database = Database::postgres().await;
    let (_, environment) = database.production().await;
    let mut holder = database.store.begin().await.unwrap();
    holder.lock_and_advance(environment, NOW).await.unwrap();
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..30 {
        let store = database.store.clone();
        crowd.spawn(async move {
            let mut tx = store.begin().await?;
            tx.lock_and_advance(environment, NOW).await?;
            tx.commit().await
        });
    }
    let started = Instant::now();
    for _ in 0..20 {
        assert_eq!(database.store.heads().await.unwrap().len(), 1);
    }
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    // Whoever holds the lock for too long costs the others their patience, not the service its connections.
    while let Some(outcome) = crowd.join_next().await {
        assert!(matches!(outcome.unwrap(), Err(StoreError::Unavailable(_))));
    }
    holder.rollback().await.unwrap();
    assert_eq!(database.write(environment, NOW, "flag", "a", Some("1")).await.revision, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_sqlite_file_is_told_as_away() {
    let database = Database::sqlite().await;
    let (_, environment) = database.production().await;
    let mut stranger = SqliteConnection::connect(&database.address).await.unwrap();
    sqlx::raw_sql("begin immediate").execute(&mut stranger).await.unwrap();
    fails_soon(database.store.begin()).await;
    // Readers do not mind.
    assert_eq!(database.store.heads().await.unwrap().len(), 1);
    stranger.close().await.unwrap();
    recovers(&database.store).await;
    assert_eq!(database.write(environment, NOW, "flag", "a", Some("1")).await.revision, 1);
}
