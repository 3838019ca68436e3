//! A shop whose checkouts go through the SDK's tower layer, as an application's do: what becomes of them reports itself.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{Request, StatusCode},
    routing::get,
};
use storyflag::{Client, Context, OutcomeLayer, track};
use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};
use tower::{Service, ServiceExt};

use super::FLAG;
use crate::cli::failure::Failure;

const INSTANCES: u32 = 2;
/// How many different customers there are.
const CUSTOMERS: u64 = 50_000;
const COLLEAGUES: u64 = 200;
/// Of a hundred checkouts, those of colleagues.
const COLLEAGUES_IN_100: u64 = 30;
/// Of a million checkouts, those that fail, whoever asks.
const ERRORS: u32 = 5_000;
/// Further ones in the new code while it is broken: ten times as many in all.
const FURTHER_ERRORS: u32 = 45_000;
/// Customers come in groups, so many in a second.
const GROUPS: u32 = 50;

/// The shop.
pub(super) struct Checkout {
    instances: Vec<Client>,
    till: Arc<Till>,
    customers: Vec<JoinHandle<()>>,
}

/// What the instances have in common.
#[derive(Debug, Default)]
pub(super) struct Till {
    further_errors: AtomicU32,
    checkouts: AtomicU64,
    errors: AtomicU64,
}

impl Till {
    /// The new code begins to fail; true if it did not before.
    pub(super) fn break_new_code(&self) -> bool {
        self.further_errors.swap(FURTHER_ERRORS, Ordering::Relaxed) == 0
    }

    /// The new code is mended.
    pub(super) fn mend_new_code(&self) {
        self.further_errors.store(0, Ordering::Relaxed);
    }

    pub(super) fn is_broken(&self) -> bool {
        self.further_errors.load(Ordering::Relaxed) > 0
    }

    /// Checkouts so far, and how many of them failed.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.checkouts.load(Ordering::Relaxed), self.errors.load(Ordering::Relaxed))
    }
}

impl Checkout {
    /// Connects every instance and lets the customers in.
    pub(super) async fn open(address: &str, sdk_key: &str, per_second: u32) -> Result<Self, Failure> {
        let mut shop = Self { instances: Vec::new(), till: Arc::default(), customers: Vec::new() };
        for _ in 0..INSTANCES {
            let client = Client::builder(address, sdk_key).connect().await;
            let client = client.map_err(|error| Failure::refused(error.to_string()))?;
            let state = (client.clone(), Arc::clone(&shop.till));
            let router = Router::new().route("/checkout/{user}", get(check_out)).layer(OutcomeLayer::new()).with_state(state);
            shop.customers.push(tokio::spawn(come(router, per_second / INSTANCES / GROUPS)));
            shop.instances.push(client);
        }
        Ok(shop)
    }

    pub(super) fn till(&self) -> Arc<Till> {
        Arc::clone(&self.till)
    }

    /// Sends the customers home and says goodbye to the service.
    pub(super) async fn close(self) {
        self.customers.iter().for_each(JoinHandle::abort);
        for instance in &self.instances {
            instance.close().await;
        }
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        self.customers.iter().for_each(JoinHandle::abort);
    }
}

async fn check_out(State((flags, till)): State<(Client, Arc<Till>)>, Path(user): Path<String>) -> StatusCode {
    let is_colleague = user.starts_with("colleague-");
    let is_new = flags.for_context(Context::new(user).with("colleague", is_colleague)).is_on(FLAG);
    let further = if is_new { till.further_errors.load(Ordering::Relaxed) } else { 0 };
    till.checkouts.fetch_add(1, Ordering::Relaxed);
    if fastrand::u32(..1_000_000) < ERRORS.saturating_add(further) {
        till.errors.fetch_add(1, Ordering::Relaxed);
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    track("purchase", 24.90);
    StatusCode::OK
}

/// Customers of one instance, evenly over each second.
async fn come(mut router: Router, group: u32) {
    let mut groups = interval(Duration::from_secs(1) / GROUPS);
    // On a machine that is busy otherwise fewer come, not all at once.
    groups.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        groups.tick().await;
        for _ in 0..group {
            let user = match fastrand::u64(..100) < COLLEAGUES_IN_100 {
                true => format!("colleague-{}", fastrand::u64(..COLLEAGUES)),
                false => format!("customer-{}", fastrand::u64(..CUSTOMERS)),
            };
            // A path of letters and digits is one.
            let Ok(request) = Request::get(format!("/checkout/{user}")).body(Body::empty()) else { return };
            let service: Result<_, Infallible> = ServiceExt::<Request<Body>>::ready(&mut router).await;
            let Ok(service) = service;
            let Ok(_answer) = service.call(request).await;
        }
    }
}
