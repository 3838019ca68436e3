//! Makes news arrive earlier at other nodes. Nothing depends on it: every node reads the heads once a second, always.

mod redis;

use std::{fmt, sync::Arc};

use storyflag_evaluation::Identity;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use self::redis::RedisBus;

/// The way to the other nodes. Cheap to clone.
#[derive(Clone)]
pub struct Bus(Form);

#[derive(Clone)]
enum Form {
    InProcess,
    Redis(Arc<RedisBus>),
}

/// How the bus is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BusStatus {
    /// There is one node: nobody is to be told.
    InProcess,
    /// Other nodes are told at once.
    Up,
    /// Other nodes learn within a second.
    Down,
}

/// An address that is of no Redis.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct BusError(String);

/// What a node tells the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// An environment serves this now.
    Head(i64, Identity),
    /// Keys, settings or environments changed; or something may have been missed.
    Settings,
}

impl Bus {
    /// For one node: there is nobody to tell.
    pub fn in_process() -> Self {
        Self(Form::InProcess)
    }

    /// By publish and subscribe of a Redis 6 or later, on a channel whose name begins with `prefix`. It connects, and
    /// connects again, by itself.
    ///
    /// # Errors
    /// An address that is of no Redis.
    pub fn redis(url: &str, prefix: &str) -> Result<Self, BusError> {
        Ok(Self(Form::Redis(Arc::new(RedisBus::new(url, prefix)?))))
    }

    /// How it is.
    pub fn status(&self) -> BusStatus {
        match &self.0 {
            Form::InProcess => BusStatus::InProcess,
            Form::Redis(bus) if bus.is_up() => BusStatus::Up,
            Form::Redis(_) => BusStatus::Down,
        }
    }

    /// Tells the other nodes, later: nobody waits for it.
    pub(super) fn announce(&self, news: News) {
        match &self.0 {
            Form::InProcess => {}
            Form::Redis(bus) => bus.announce(news),
        }
    }

    /// Calls `heard` with what other nodes tell, until `shutdown`.
    pub(super) fn listen(&self, node: Arc<str>, shutdown: CancellationToken, heard: impl Fn(News) + Send + Sync + 'static) {
        match &self.0 {
            Form::InProcess => {}
            Form::Redis(bus) => drop(tokio::spawn(Arc::clone(bus).run(node, shutdown, Arc::new(heard)))),
        }
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Bus({:?})", self.status())
    }
}
