//! The task behind a client: everything that happens beside evaluation, from `connect` to the last clone's end.

use std::{sync::Arc, time::Duration};

use tokio::{
    select,
    sync::{mpsc, watch},
    time::{Instant, sleep},
};

use crate::{
    connection::Connector,
    disk_cache::DiskCache,
    driver::Driver,
    endpoint::Endpoint,
    ladder::Ladder,
    lists::Lists,
    problem::Problem,
    protocol::Protocol,
    report::Reporter,
    shared::Shared,
    stored::{Snapshot, Stored},
};

/// The disk cache is written at most this often.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// What a task needs.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) shared: Arc<Shared>,
    pub(crate) connector: Connector,
    pub(crate) endpoints: Arc<[Endpoint]>,
    pub(crate) disk: Option<Arc<DiskCache>>,
    /// Whether to report.
    pub(crate) reports: bool,
    /// The longest wait between two tries.
    pub(crate) longest_wait: Duration,
}

/// Held by every clone of a client: when the last one is gone, the task ends.
#[derive(Debug)]
pub(crate) struct Life {
    stop: watch::Sender<()>,
    ended: watch::Receiver<()>,
}

impl Life {
    /// Ends the task and waits until it has.
    pub(crate) async fn end(&self) {
        self.stop.send_replace(());
        // The task never sends: the channel closes when it ends.
        let _ = self.ended.clone().changed().await;
    }
}

impl Task {
    /// Starts it on the runtime that this is called on. `stored` is what the disk cache had, and is served already.
    pub(crate) fn start(self, stored: Option<Stored>) -> Life {
        let (stop, mut stopped) = watch::channel(());
        let (ending, ended) = watch::channel(());
        tokio::spawn(async move {
            self.run(stored, &mut stopped).await;
            drop(ending);
        });
        Life { stop, ended }
    }

    async fn run(self, stored: Option<Stored>, stopped: &mut watch::Receiver<()>) {
        let (wanted, wants) = watch::channel(Vec::new());
        let (finds, found) = mpsc::channel(4);
        let (snapshot, mut snapshots) = watch::channel(None);
        let mut protocol = Protocol::new(self.disk.is_some());
        if let Some(stored) = stored {
            protocol.restore(stored.texts, stored.kills, stored.absorbed);
        }
        let lists = Lists {
            shared: Arc::clone(&self.shared),
            connector: self.connector.clone(),
            endpoints: Arc::clone(&self.endpoints),
            disk: self.disk.clone(),
            wanted: wants,
            found: finds,
        };
        let mut reporter = Reporter::new(Arc::clone(&self.shared), self.connector.clone(), Arc::clone(&self.endpoints));
        let mut driver = Driver {
            shared: Arc::clone(&self.shared),
            connector: self.connector,
            endpoints: Arc::clone(&self.endpoints),
            protocol,
            ladder: Ladder::new(self.endpoints.len()).with_longest_wait(self.longest_wait),
            origin: Instant::now(),
            presents: true,
            confirmed_at: None,
            wanted,
            found,
            snapshot,
        };
        select! {
            _ = stopped.changed() => {}
            () = driver.run() => {}
            () = async { lists.run().await; std::future::pending().await } => {}
            () = async { if self.reports { reporter.run().await }; std::future::pending().await } => {}
            () = write(&self.shared, self.disk.as_ref(), &mut snapshots) => {}
        }
        let last = snapshots.has_changed().unwrap_or(false).then(|| snapshots.borrow().clone()).flatten();
        // The stream is closed before anything else is waited for.
        drop(driver);
        self.shared.closed();
        write_one(&self.shared, self.disk.as_ref(), last).await;
        if self.reports {
            reporter.say_goodbye().await;
        }
    }
}

/// Keeps the disk cache up to date.
async fn write(shared: &Shared, disk: Option<&Arc<DiskCache>>, snapshots: &mut watch::Receiver<Option<Arc<Snapshot>>>) {
    while snapshots.changed().await.is_ok() {
        let snapshot = snapshots.borrow_and_update().clone();
        write_one(shared, disk, snapshot).await;
        sleep(WRITE_EVERY).await;
    }
    std::future::pending().await
}

async fn write_one(shared: &Shared, disk: Option<&Arc<DiskCache>>, snapshot: Option<Arc<Snapshot>>) {
    let (Some(disk), Some(snapshot)) = (disk.cloned(), snapshot) else { return };
    let written = tokio::task::spawn_blocking(move || disk.save(&snapshot)).await;
    if let Ok(Err(error)) = written {
        shared.tell(&Problem::Disk(error.to_string()));
    }
}
