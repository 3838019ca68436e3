//! A shop on the SDK: two instances that answer for every user, and customers who never stop.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use storyflag::Context;
use tokio::{sync::mpsc, time::timeout};

use super::FLAG;
use crate::cli::failure::Failure;

const INSTANCES: usize = 2;
/// Long after an instance should have heard of a change.
const PATIENCE: Duration = Duration::from_secs(10);
/// Customers come in groups, with a breath between them: the demo is not to own the machine.
const GROUP: u32 = 1_000;
const BREATH: Duration = Duration::from_millis(5);

/// The shop.
pub(super) struct Shop {
    instances: Vec<Instance>,
    users: Arc<[Context]>,
    counts: Arc<Counts>,
    closing: Arc<AtomicBool>,
    customers: Vec<JoinHandle<()>>,
}

struct Instance {
    client: storyflag::Client,
    /// Which revision it served from when on.
    arrivals: mpsc::UnboundedReceiver<(u64, Instant)>,
}

#[derive(Default)]
struct Counts {
    asked: AtomicU64,
    on: AtomicU64,
}

/// How often the flag was asked for, and was on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Traffic {
    pub(super) asked: u64,
    pub(super) on: u64,
}

impl Traffic {
    pub(super) fn since(self, before: &Self) -> Self {
        Self { asked: self.asked.saturating_sub(before.asked), on: self.on.saturating_sub(before.on) }
    }
}

/// Who is served, user by user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Served(Vec<bool>);

impl Served {
    pub(super) fn len(&self) -> u64 {
        u64::try_from(self.0.len()).unwrap_or(u64::MAX)
    }

    pub(super) fn count(&self) -> u64 {
        count(self.0.iter().copied())
    }

    /// How many are in both.
    pub(super) fn both(&self, other: &Self) -> u64 {
        count(self.0.iter().zip(&other.0).map(|(one, other)| *one && *other))
    }
}

fn count(bits: impl Iterator<Item = bool>) -> u64 {
    bits.map(u64::from).sum()
}

impl Shop {
    /// Connects every instance and lets the customers in.
    pub(super) async fn open(address: &str, sdk_key: &str, users: u32) -> Result<Self, Failure> {
        let users: Arc<[Context]> = (0..users).map(|number| Context::new(format!("user-{number}"))).collect();
        let mut instances = Vec::new();
        for _ in 0..INSTANCES {
            instances.push(Instance::connect(address, sdk_key).await?);
        }
        let (counts, closing) = (Arc::<Counts>::default(), Arc::<AtomicBool>::default());
        let customers = instances.iter().map(|instance| {
            let (client, users) = (instance.client.clone(), Arc::clone(&users));
            let (counts, closing) = (Arc::clone(&counts), Arc::clone(&closing));
            std::thread::spawn(move || shop_around(&client, &users, &counts, &closing))
        });
        let customers = customers.collect();
        Ok(Self { instances, users, counts, closing, customers })
    }

    /// When the last instance began to serve this revision.
    pub(super) async fn all_serve(&mut self, revision: u64) -> Result<Instant, Failure> {
        let mut last: Option<Instant> = None;
        for instance in &mut self.instances {
            let arrived = timeout(PATIENCE, instance.serves(revision)).await.ok().flatten();
            let late = || Failure::refused(format!("an instance does not serve revision {revision}: {:?}", instance.client.status()));
            last = last.max(Some(arrived.ok_or_else(late)?));
        }
        last.ok_or_else(|| Failure::refused("the shop has no instances"))
    }

    /// Asks every instance about every user.
    pub(super) async fn ask_all(&self) -> Result<Served, Failure> {
        let clients: Vec<_> = self.instances.iter().map(|instance| instance.client.clone()).collect();
        let users = Arc::clone(&self.users);
        let answers = tokio::task::spawn_blocking(move || {
            let ask = |client: &storyflag::Client| Served(users.iter().map(|user| client.is_on(FLAG, user)).collect());
            clients.iter().map(ask).collect::<Vec<_>>()
        });
        let mut answers = answers.await.map_err(|error| Failure::refused(error.to_string()))?;
        let first = answers.pop().ok_or_else(|| Failure::refused("the shop has no instances"))?;
        if answers.iter().any(|other| *other != first) {
            return Err(Failure::refused("two instances at one revision answer differently for a user"));
        }
        Ok(first)
    }

    /// What the customers did so far.
    pub(super) fn traffic(&self) -> Traffic {
        let Counts { asked, on } = &*self.counts;
        Traffic { asked: asked.load(Ordering::Relaxed), on: on.load(Ordering::Relaxed) }
    }

    /// Sends the customers home and says goodbye to the service.
    pub(super) async fn close(mut self) {
        self.closing.store(true, Ordering::Relaxed);
        for customer in self.customers.drain(..) {
            // A customer has nothing to say at the end.
            let _ = tokio::task::spawn_blocking(move || customer.join()).await;
        }
        for instance in &self.instances {
            instance.client.close().await;
        }
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
    }
}

impl Instance {
    async fn connect(address: &str, sdk_key: &str) -> Result<Self, Failure> {
        let client = storyflag::Client::builder(address, sdk_key).connect().await;
        let client = client.map_err(|error| Failure::refused(error.to_string()))?;
        if !client.ready() {
            return Err(Failure::refused(format!("the shop got no flags: {:?}", client.status())));
        }
        let (told, arrivals) = mpsc::unbounded_channel();
        let mut changes = client.changes();
        // Beside the writes, so that what arrives before its answer is not dated later.
        tokio::spawn(async move {
            while let Some(identity) = changes.next().await {
                if told.send((identity.revision, Instant::now())).is_err() {
                    break;
                }
            }
        });
        Ok(Self { client, arrivals })
    }

    async fn serves(&mut self, revision: u64) -> Option<Instant> {
        loop {
            let (serves, since) = self.arrivals.recv().await?;
            if serves >= revision {
                return Some(since);
            }
        }
    }
}

fn shop_around(client: &storyflag::Client, users: &[Context], counts: &Counts, closing: &AtomicBool) {
    while !closing.load(Ordering::Relaxed) {
        let customers = (0..GROUP).filter_map(|_| users.get(fastrand::usize(0..users.len())));
        let on = count(customers.map(|user| client.is_on(FLAG, user)));
        counts.on.fetch_add(on, Ordering::Relaxed);
        counts.asked.fetch_add(u64::from(GROUP), Ordering::Relaxed);
        std::thread::sleep(BREATH);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_and_dropped_are_counted_user_by_user() {
        let (before, after) = (Served(vec![true, true, false, false]), Served(vec![true, false, true, false]));
        assert_eq!((before.count(), after.count(), after.both(&before), after.len()), (2, 2, 1, 4));
    }
}
