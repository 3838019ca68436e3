//! An application whose requests go through the SDK's tower layer, as a shop's would.

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
use tokio::task::JoinHandle;
use tower::{Service, ServiceExt};

/// How many different units come.
const UNITS: u64 = 50_000;
/// Of a hundred requests, those of a unit in the cohort of internal users.
const INTERNAL_IN_100: u64 = 30;

/// A shop with customers: requests that come by themselves until it closes.
pub struct Shop {
    shared: Arc<Shared>,
    customers: JoinHandle<()>,
}

struct Shared {
    flags: Client,
    flag: String,
    /// Errors of a million requests, of everybody and of who gets the new code.
    base: AtomicU32,
    spike: AtomicU32,
    served: AtomicU64,
}

/// The units that count as internal.
pub fn internal_users() -> Vec<String> {
    (0..200).map(|number| format!("staff-{number}")).collect()
}

impl Shop {
    /// Opens with so many requests a second; one of two hundred is an error, whoever asks.
    pub fn open(flags: Client, flag: &str, per_second: u32, seed: u64) -> Shop {
        let shared = Arc::new(Shared {
            flags,
            flag: flag.to_owned(),
            base: AtomicU32::new(5_000),
            spike: AtomicU32::new(0),
            served: AtomicU64::new(0),
        });
        let router = Router::new().route("/checkout/{user}", get(checkout)).layer(OutcomeLayer::new()).with_state(Arc::clone(&shared));
        let customers = tokio::spawn(come(router, per_second, fastrand::Rng::with_seed(seed)));
        Shop { shared, customers }
    }

    /// Errors of everybody, from 0 to 1.
    pub fn fail(&self, rate: f64) {
        self.shared.base.store(millionths(rate), Ordering::Relaxed);
    }

    /// Further errors of who gets the new code, from 0 to 1.
    pub fn spike(&self, rate: f64) {
        self.shared.spike.store(millionths(rate), Ordering::Relaxed);
    }

    /// Requests so far.
    pub fn served(&self) -> u64 {
        self.shared.served.load(Ordering::Relaxed)
    }

    /// No request comes any more, and the SDK says goodbye.
    pub async fn close(self) {
        self.customers.abort();
        self.shared.flags.close().await;
    }
}

fn millionths(rate: f64) -> u32 {
    (rate * 1e6) as u32
}

async fn checkout(State(shop): State<Arc<Shared>>, Path(user): Path<String>) -> StatusCode {
    let is_new = shop.flags.for_context(Context::new(user)).is_on(&shop.flag);
    track("purchase", 12.5);
    shop.served.fetch_add(1, Ordering::Relaxed);
    let spike = if is_new { shop.spike.load(Ordering::Relaxed) } else { 0 };
    let fails = fastrand::u32(..1_000_000) < shop.base.load(Ordering::Relaxed) + spike;
    if fails { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK }
}

/// Customers come in small groups, evenly over each second.
async fn come(mut router: Router, per_second: u32, mut random: fastrand::Rng) {
    const GROUPS: u32 = 50;
    let mut groups = tokio::time::interval(Duration::from_secs(1) / GROUPS);
    loop {
        groups.tick().await;
        for _ in 0..per_second / GROUPS {
            let user = match random.u64(..100) < INTERNAL_IN_100 {
                true => format!("staff-{}", random.u64(..200)),
                false => format!("user-{}", random.u64(..UNITS)),
            };
            let request = Request::get(format!("/checkout/{user}")).body(Body::empty()).expect("a path of letters and digits");
            let service: Result<_, Infallible> = ServiceExt::<Request<Body>>::ready(&mut router).await;
            let Ok(service) = service;
            let Ok(_answer) = service.call(request).await;
        }
    }
}
