//! Instances: the processes that run the SDK, as far as they have reported; and everything that was written.

use super::{App, Place, now_ms};
use crate::{
    error::Error,
    store::{ChangeRow, InstanceRow, UsedRow},
};

/// Who was silent for longer does not stand in the list.
const SHOWN_MS: i64 = 3_600_000;

impl App {
    /// The instances that were heard of within the last hour.
    ///
    /// # Errors
    /// The database away.
    pub async fn list_instances(&self, place: &Place, limit: i64) -> Result<Vec<InstanceRow>, Error> {
        Ok(self.store.list_instances(place.environment.id, now_ms().saturating_sub(SHOWN_MS), limit).await?)
    }

    /// How often each variant was served, as applications reported.
    ///
    /// # Errors
    /// The database away.
    pub async fn list_usage(&self, place: &Place) -> Result<Vec<UsedRow>, Error> {
        Ok(self.store.list_usage(place.environment.id).await?)
    }

    /// What was written in an environment, and in its project as a whole, below a row id, newest first.
    ///
    /// # Errors
    /// The database away.
    pub async fn list_changes(&self, place: &Place, below: i64, limit: i64) -> Result<Vec<ChangeRow>, Error> {
        Ok(self.store.audit(place.environment.id, place.project.id, below, limit).await?)
    }
}
