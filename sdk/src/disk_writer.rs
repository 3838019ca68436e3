//! Keeps the disk cache up to date, beside everything else.

use std::{io, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinHandle, time::sleep};

use crate::{disk_cache::DiskCache, problem::Problem, shared::Shared, stored::Snapshot};

/// The file is written at most this often.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// Writes the newest snapshot, and leaves out those in between.
#[derive(Debug)]
pub(crate) struct DiskWriter {
    pub(crate) shared: Arc<Shared>,
    pub(crate) disk: Option<Arc<DiskCache>>,
    pub(crate) snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    /// Goes on when [`DiskWriter::run`] is cut short; [`DiskWriter::finish`] waits for it.
    pub(crate) writing: Option<JoinHandle<io::Result<()>>>,
}

impl DiskWriter {
    /// Writes for as long as there are snapshots to come.
    pub(crate) async fn run(&mut self) {
        while self.snapshots.changed().await.is_ok() {
            self.write().await;
            sleep(WRITE_EVERY).await;
        }
    }

    /// Writes what has not been written.
    pub(crate) async fn finish(&mut self) {
        self.wait().await;
        if self.snapshots.has_changed().unwrap_or(false) {
            self.write().await;
        }
    }

    async fn write(&mut self) {
        let snapshot = self.snapshots.borrow_and_update().clone();
        if let (Some(disk), Some(snapshot)) = (self.disk.clone(), snapshot) {
            self.writing = Some(tokio::task::spawn_blocking(move || disk.save(&snapshot)));
            self.wait().await;
        }
    }

    async fn wait(&mut self) {
        if let Some(writing) = &mut self.writing {
            let written = writing.await;
            self.writing = None;
            if let Ok(Err(error)) = written {
                self.shared.tell(&Problem::Disk(error.to_string()));
            }
        }
    }
}
