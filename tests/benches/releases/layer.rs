//! What the tower layer adds to a request.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    sync::Arc,
    task::{Context as Waker, Poll},
};

use axum::http::{Request, Response};
use cpu_time::ThreadTime;
use futures_util::FutureExt;
use serde_json::json;
use storyflag::{Client, Context, OutcomeLayer};
use storyflag_tests::{Backend, House};
use tokio::runtime::Runtime;
use tower::{Layer, Service};

use crate::{line, part, plans};

const USERS: usize = 10_000;
/// A turn is so short that many are not interrupted by whatever else runs.
const REQUESTS: usize = 1_000;
const TURNS: usize = 3_000;

/// A service that does nothing but ask flags for one of many users.
#[derive(Clone)]
struct Shop {
    flags: Client,
    users: Arc<[Context]>,
    asks: &'static [&'static str],
}

impl Service<Request<usize>> for Shop {
    type Response = Response<bool>;
    type Error = Infallible;
    type Future = Ready<Result<Response<bool>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Waker<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<usize>) -> Self::Future {
        let user = &self.users[request.into_body() % self.users.len()];
        ready(Ok(Response::new(self.asks.iter().all(|flag| self.flags.is_on(flag, user)))))
    }
}

/// The layer with one watched flag, and what it costs requests that ask for none while another flag is watched.
pub fn measure(runtime: &Runtime) -> bool {
    let (house, flags) = runtime.block_on(watched());
    let users: Arc<[Context]> = (0..USERS).map(|number| Context::new(format!("user-{number}"))).collect();
    let shop = |asks| Shop { flags: flags.clone(), users: Arc::clone(&users), asks };
    let idle = compare("the layer, a request that asks for no watched flag", 100.0, &shop(&["US-0-other"]));
    let asking = compare("the layer, a request with one watched flag", 300.0, &shop(&["US-0-checkout"]));
    runtime.block_on(async move {
        flags.close().await;
        for node in house.nodes {
            node.stop().await;
        }
    });
    idle & asking
}

/// A client that reports, of a release that has half of the users.
async fn watched() -> (House, Client) {
    let house = House::new(Backend::Sqlite).await;
    plans::create(&house, 1, "  - { percentage: 50, bake: 1h }\n", |_| json!({})).await;
    plans::start(&house, 0).await;
    house.editor().create_flag("US-0-other").await;
    let flags = house.application("staging").await;
    let is_served = || {
        flags.status().identity.is_some()
            && [0, 1, 2, 3, 4, 5, 6, 7].iter().any(|number| flags.is_on("US-0-checkout", &Context::new(format!("user-{number}"))))
    };
    storyflag_tests::eventually("the step is served", || async { if is_served() { Ok(()) } else { Err("not yet".to_owned()) } }).await;
    (house, flags)
}

/// The best turns with the layer and without: what else runs on the machine only ever adds.
fn compare(name: &str, goal: f64, shop: &Shop) -> bool {
    let (mut plain, mut layered) = (shop.clone(), OutcomeLayer::new().layer(shop.clone()));
    let (mut without, mut with) = (f64::INFINITY, f64::INFINITY);
    for turn in 0..TURNS {
        without = without.min(time(&mut plain, turn * REQUESTS));
        with = with.min(time(&mut layered, turn * REQUESTS));
    }
    let good = line(name, with - without, goal, "ns");
    part("the request without it", without, "ns");
    part("the request with it", with, "ns");
    good
}

/// Nanoseconds a request, beginning with this user.
fn time<S: Service<Request<usize>, Response = Response<bool>, Error = Infallible>>(service: &mut S, user: usize) -> f64 {
    let started = ThreadTime::now();
    for request in 0..REQUESTS {
        black_box(service.call(Request::new(user + request)).now_or_never().unwrap().unwrap());
    }
    started.elapsed().as_secs_f64() * 1e9 / REQUESTS as f64
}
