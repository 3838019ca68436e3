//! The bus by Redis: one connection that publishes, subscribes and is asked every second whether it lives.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, IntoConnectionInfo, ProtocolVersion, PushInfo, PushKind, RedisError, Value,
    aio::{MultiplexedConnection, SendError},
};
use tokio::{sync::Notify, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::{BusError, News};
use crate::publish::environment::lock;

/// How often a silent connection is asked; an answer is waited for half a second.
const PING_EVERY: Duration = Duration::from_secs(1);
/// The longest wait before the next attempt to connect.
const RECONNECT_MS: u64 = 1_000;

type Heard = Arc<dyn Fn(News) + Send + Sync>;

pub(super) struct RedisBus {
    client: Client,
    channel: String,
    /// What is to be told: of each environment the latest only.
    outbox: Mutex<HashMap<Option<i64>, News>>,
    filled: Notify,
    up: AtomicBool,
}

impl RedisBus {
    pub(super) fn new(url: &str, prefix: &str) -> Result<Self, BusError> {
        let not_one = |error: RedisError| BusError(format!("this is no address of a Redis, such as redis://localhost:6379: {error}"));
        let info = url.into_connection_info().map_err(not_one)?;
        // With it one connection both publishes and subscribes.
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let client = Client::open(info.set_redis_settings(settings)).map_err(not_one)?;
        let (outbox, filled, up) = (Mutex::default(), Notify::new(), AtomicBool::new(false));
        Ok(Self { client, channel: format!("{prefix}news"), outbox, filled, up })
    }

    pub(super) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    pub(super) fn announce(&self, news: News) {
        let slot = match news {
            News::Head(environment, _) => Some(environment),
            News::Settings => None,
        };
        lock(&self.outbox).insert(slot, news);
        self.filled.notify_one();
    }

    pub(super) async fn run(self: Arc<Self>, node: Arc<str>, shutdown: CancellationToken, heard: Heard) {
        let work = async {
            let mut told = false;
            loop {
                match self.serve(&node, &heard).await {
                    Err(error) if self.up.swap(false, Ordering::Relaxed) || !told => {
                        told = true;
                        tracing::warn!(%error, "the bus is down: other nodes learn of changes within a second");
                    }
                    _ => {}
                }
                tokio::time::sleep(Duration::from_millis(fastrand::u64(50..=RECONNECT_MS))).await;
            }
        };
        let _: Option<()> = shutdown.run_until_cancelled(work).await;
        self.up.store(false, Ordering::Relaxed);
    }

    /// Connects, and works until the connection is lost.
    async fn serve(&self, node: &Arc<str>, heard: &Heard) -> Result<(), RedisError> {
        let lost = Arc::new(Notify::new());
        let mut connection = self.connect(node, heard, &lost).await?;
        connection.subscribe(&self.channel).await?;
        self.up.store(true, Ordering::Relaxed);
        tracing::info!("the bus is up");
        // Whatever was told meanwhile was not heard here.
        heard(News::Settings);
        let mut ticks = tokio::time::interval(PING_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = lost.notified() => return Err((redis::ErrorKind::Io, "the connection was lost").into()),
                _ = ticks.tick() => redis::cmd("PING").query_async::<()>(&mut connection).await?,
                () = self.filled.notified() => self.tell(node, &mut connection).await?,
            }
        }
    }

    async fn connect(&self, node: &Arc<str>, heard: &Heard, lost: &Arc<Notify>) -> Result<MultiplexedConnection, RedisError> {
        let (node, heard, lost) = (Arc::clone(node), Arc::clone(heard), Arc::clone(lost));
        let config = AsyncConnectionConfig::new().set_push_sender(move |push: PushInfo| -> Result<(), SendError> {
            match push.kind {
                PushKind::Message => {
                    if let Some(news) = push.data.get(1).and_then(text).and_then(|text| read(text, &node)) {
                        heard(news);
                    }
                }
                PushKind::Disconnection => lost.notify_one(),
                _ => {}
            }
            Ok(())
        });
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }

    async fn tell(&self, node: &str, connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
        let news = std::mem::take(&mut *lock(&self.outbox));
        let mut pipeline = redis::pipe();
        for news in news.values() {
            pipeline.cmd("PUBLISH").arg(&self.channel).arg(write(*news, node)).ignore();
        }
        pipeline.query_async::<()>(connection).await
    }
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => str::from_utf8(bytes).ok(),
        _ => None,
    }
}

fn write(news: News, node: &str) -> String {
    match news {
        News::Head(environment, identity) => format!("{node} head {environment} {identity}"),
        News::Settings => format!("{node} settings"),
    }
}

/// What another node tells; words of a later version are passed over.
fn read(text: &str, node: &str) -> Option<News> {
    let mut words = text.split(' ');
    if words.next()? == node {
        return None;
    }
    match words.next()? {
        "head" => Some(News::Head(words.next()?.parse().ok()?, words.next()?.parse().ok()?)),
        "settings" => Some(News::Settings),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use storyflag_evaluation::Identity;

    use super::*;

    #[test]
    fn others_read_what_a_node_writes() {
        let head = News::Head(7, Identity { incarnation: 1, revision: 2, digest: 3 });
        for news in [head, News::Settings] {
            assert_eq!(read(&write(news, "node-a"), "node-b"), Some(news));
            assert_eq!(read(&write(news, "node-a"), "node-a"), None);
        }
        for text in ["", "node-a", "node-a head", "node-a head x 1-2-0000000000000003", "node-a head 7 1-2", "node-a dance"] {
            assert_eq!(read(text, "node-b"), None, "{text}");
        }
    }

    #[test]
    fn only_the_latest_of_an_environment_waits() {
        let bus = RedisBus::new("redis://localhost:1", "p:").unwrap();
        for revision in 0..100 {
            bus.announce(News::Head(1, Identity { incarnation: 1, revision, digest: 0 }));
        }
        bus.announce(News::Settings);
        let waiting = lock(&bus.outbox);
        assert_eq!(waiting.len(), 2);
        assert_eq!(waiting[&Some(1)], News::Head(1, Identity { incarnation: 1, revision: 99, digest: 0 }));
        assert!(RedisBus::new("no address", "p:").is_err());
    }
}
