//! The lists of cohorts: fetched beside the ruleset, so that no change waits for them.

use std::{collections::HashSet, sync::Arc};

use storyflag_evaluation::CohortList;
use tokio::sync::{mpsc, watch};

use crate::{
    backoff::{Backoff, Jitter},
    connection::{Ask, Connection, Connector},
    disk_cache::DiskCache,
    endpoint::Endpoint,
    problem::Problem,
    shared::Shared,
};

/// Eight million units.
pub(crate) const LIST_LIMIT: usize = 64 * 1024 * 1024;

/// A list that a cohort names and that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) cohort: String,
    pub(crate) digest: String,
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Found {
    /// The list.
    List(Wanted, CohortList),
    /// The service does not know it any more: its ruleset must have changed.
    Unknown(Wanted),
    /// Not now.
    Failed(Problem),
}

/// Fetches what is wanted, one after the other.
#[derive(Debug)]
pub(crate) struct Lists {
    pub(crate) shared: Arc<Shared>,
    pub(crate) connector: Connector,
    pub(crate) endpoints: Arc<[Endpoint]>,
    pub(crate) disk: Option<Arc<DiskCache>>,
    pub(crate) wanted: watch::Receiver<Vec<Wanted>>,
    pub(crate) found: mpsc::Sender<Found>,
}

impl Lists {
    /// Fetches for as long as anybody wants something.
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::default();
        // Told once each: the service's answer to the question for the whole may well be the same ruleset again.
        let mut unknown = HashSet::new();
        loop {
            let wanted = self.wanted.borrow_and_update().clone();
            unknown.retain(|digest: &String| wanted.iter().any(|wanted| wanted.digest == *digest));
            let mut all_came = true;
            let mut connection = None;
            for wanted in wanted {
                let found = match self.fetch(&mut connection, &wanted).await {
                    Ok(list) => Some(Found::List(wanted, list)),
                    Err(Problem::UnknownList(_)) => unknown.insert(wanted.digest.clone()).then_some(Found::Unknown(wanted)),
                    Err(problem) => Some(Found::Failed(problem)),
                };
                all_came &= matches!(found, Some(Found::List(..)));
                if let Some(found) = found
                    && self.found.send(found).await.is_err()
                {
                    return;
                }
            }
            drop(connection);
            let changed = if all_came {
                backoff = Backoff::default();
                self.wanted.changed().await
            } else {
                let wait = backoff.after_failure(Jitter::random());
                tokio::time::timeout(wait, self.wanted.changed()).await.unwrap_or(Ok(()))
            };
            if changed.is_err() {
                return;
            }
        }
    }

    async fn fetch(&self, connection: &mut Option<Connection>, wanted: &Wanted) -> Result<CohortList, Problem> {
        let open = match connection.take().filter(Connection::is_open) {
            Some(open) => open,
            None => {
                let endpoint = self.endpoints.get(self.shared.condition().endpoint);
                self.connector.open(endpoint.ok_or_else(|| Problem::Unreachable("no endpoint".into()))?).await?
            }
        };
        let open = connection.insert(open);
        let path = format!("/sdk/v1/cohorts/{}/{}", wanted.cohort, wanted.digest);
        let answer = open.ask(Ask { path: &path, accept: "application/octet-stream", ..Ask::default() }).await?;
        match answer.status().as_u16() {
            200 => {}
            404 => return Err(Problem::UnknownList(wanted.cohort.clone())),
            _ => return Err(answer.problem()),
        }
        let bytes = answer.whole(LIST_LIMIT).await?;
        let list = checked(&bytes, &wanted.digest)?;
        if let Some(disk) = self.disk.clone() {
            let digest = wanted.digest.clone();
            let saved = tokio::task::spawn_blocking(move || disk.save_list(&digest, &bytes)).await;
            if let Ok(Err(error)) = saved {
                self.shared.tell(&Problem::Disk(error.to_string()));
            }
        }
        Ok(list)
    }
}

/// The list in these bytes, if it is the one that the digest names.
///
/// # Errors
/// Bytes that are another list, or none.
pub(crate) fn checked(bytes: &[u8], digest: &str) -> Result<CohortList, Problem> {
    let garbage = |why: String| Problem::Garbage { what: "a cohort's list", why };
    let list = CohortList::from_bytes(bytes).map_err(|error| garbage(error.to_string()))?;
    let found = list.digest();
    if found == digest { Ok(list) } else { Err(garbage(format!("it is the list {found}, not {digest}"))) }
}
