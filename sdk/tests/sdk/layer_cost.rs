//! What the layer costs a request: `cargo test --release -p storyflag --test sdk layer_cost -- --ignored --nocapture`.

use std::{
    future::{Future, poll_fn},
    hint::black_box,
    pin::Pin,
    task::{Context as Waker, Poll},
    time::Instant,
};

use axum::http::{Request, Response};
use storyflag::{Client, Context, OutcomeLayer};
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    environment::{Environment, flag, flag_watched},
    outcomes::connected,
    service,
};

const KEY: &str = "US-1";
/// A turn is so short that many are not interrupted by whatever else runs.
const REQUESTS: usize = 500;
const TURNS: usize = 4_000;

/// A service that does nothing but ask one flag for one of many users.
#[derive(Clone)]
struct Shop {
    flags: Client,
    users: std::sync::Arc<[Context]>,
}

impl Service<Request<usize>> for Shop {
    type Response = Response<bool>;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<bool>, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Waker<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<usize>) -> Self::Future {
        let shop = self.clone();
        Box::pin(async move {
            let user = &shop.users[request.into_body() % shop.users.len()];
            Ok(Response::new(shop.flags.is_on(KEY, user)))
        })
    }
}

/// Nanoseconds a request, beginning with this user.
async fn time<S: Service<Request<usize>, Response = Response<bool>>>(service: &mut S, user: usize) -> f64
where
    S::Error: std::fmt::Debug,
{
    let begin = Instant::now();
    for request in 0..REQUESTS {
        poll_fn(|waker| service.poll_ready(waker)).await.unwrap();
        black_box(service.call(Request::new(user + request)).await.unwrap());
    }
    begin.elapsed().as_nanos() as f64 / REQUESTS as f64
}

/// The best turns of both: what else runs on the machine only ever adds.
async fn compare(what: &str, text: &str) {
    let service = service::Service::start().await;
    let mut environment = Environment::new();
    environment.put(KEY, text);
    let flags = connected(&service, environment).await;
    let users = (0..10_000).map(|number| Context::new(format!("user-{number}"))).collect();
    let mut plain = Shop { flags, users };
    let mut layered = OutcomeLayer::new().layer(plain.clone());
    let (mut without, mut with) = (f64::INFINITY, f64::INFINITY);
    for turn in 0..TURNS {
        without = without.min(time(&mut plain, turn * REQUESTS).await);
        with = with.min(time(&mut layered, turn * REQUESTS).await);
    }
    println!("{what:<24} {without:>8.0} ns {with:>8.0} ns {:>8.0} ns", with - without);
}

#[tokio::test]
#[ignore = "a figure for people, in release"]
async fn a_request_with_and_without_the_layer() {
    println!("{:<24} {:>11} {:>11} {:>11}", "one flag, 10,000 users", "without", "with", "the layer");
    compare("not watched", &flag(KEY, 50.0)).await;
    compare("watched", &flag_watched(KEY, 50.0, 812)).await;
}
