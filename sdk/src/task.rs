//! The task behind a client: everything that happens beside evaluation, from `connect` to the last clone's end.

use std::{sync::Arc, time::Duration};

use tokio::{
    select,
    sync::{mpsc, watch},
    task::JoinSet,
    time::Instant,
};

use crate::{
    connection::Connector, disk_cache::DiskCache, disk_writer::DiskWriter, driver::Driver, endpoint::Endpoint, ladder::Ladder,
    lists::Lists, protocol::Protocol, report::Reporter, shared::Shared, stored::Stored,
};

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
        let (snapshot, snapshots) = watch::channel(None);
        // The newest snapshot outlives the driver: it is still to be written.
        let _kept = snapshot.clone();
        let mut writer = DiskWriter { shared: Arc::clone(&self.shared), disk: self.disk.clone(), snapshots, writing: None };
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
        let (outcomes, news) = (Arc::clone(&self.shared), self.shared.watch_news());
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
        // A task of its own: what wakes it most should not wake the others, nor they it.
        let mut driving = JoinSet::new();
        driving.spawn(async move { driver.run().await });
        select! {
            _ = stopped.changed() => {}
            _ = driving.join_next() => {}
            () = async { lists.run().await; std::future::pending().await } => {}
            () = outcomes.outcomes().run(news) => {}
            () = async { if self.reports { reporter.run().await }; std::future::pending().await } => {}
            () = writer.run() => {}
        }
        // The stream is closed with the task that read it; then whatever is to be kept or told.
        driving.shutdown().await;
        self.shared.closed();
        writer.finish().await;
        if self.reports {
            reporter.say_goodbye().await;
        }
    }
}
