//! A shop behind the layer, and what its client reports of it.

use std::{future::pending, net::SocketAddr, time::Duration};

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
};
use serde_json::json;
use storyflag::{Arm, ArmCounts, Client, Head, Outcome, OutcomeLayer, Scope, TelemetryMessage, track};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    join,
    net::{TcpListener, TcpStream},
    time::{Instant, sleep, timeout},
};

use crate::{
    environment::{Environment, flag_watched},
    key,
    service::{Service, TELEMETRY},
    user,
};

const KEY: &str = "US-1";

struct Shop {
    service: Service,
    client: Client,
    address: SocketAddr,
}

impl Shop {
    /// Opens, with a flag watched at 50 %.
    async fn open() -> Self {
        Self::behind(OutcomeLayer::new()).await
    }

    async fn behind<C: Fn(&Head<'_>) -> Outcome + Clone + Send + Sync + 'static>(layer: OutcomeLayer<C>) -> Self {
        let service = Service::start().await;
        let mut environment = Environment::new();
        environment.put(KEY, &flag_watched(KEY, 50.0, 812));
        let client = connected(&service, environment).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shop = Router::new()
            .route("/status/{status}/{user}", get(status))
            .route("/grpc/{code}/{user}", get(grpc))
            .route("/slow/{user}", get(slow))
            .route("/times-out/{user}", get(times_out))
            .route("/panics/{user}", get(panics))
            .route("/hangs/{user}", get(hangs))
            .route("/spawns/{user}", get(spawns))
            .route("/two/{user}/{other}", get(two))
            .layer(layer)
            .with_state(client.clone());
        tokio::spawn(async move { axum::serve(listener, shop).await });
        Self { service, client, address }
    }

    /// The first user of an arm.
    fn user(&self, arm: Arm) -> String {
        let mut names = (0..).map(|number| format!("user-{number}"));
        names.find(|name| self.client.detail(KEY, &user(name)).arm == arm).unwrap()
    }

    /// Asks, and returns the status; zero if there was no answer.
    async fn get(&self, path: &str) -> u16 {
        let mut socket = self.ask(path).await;
        let mut answer = String::new();
        let _ = socket.read_to_string(&mut answer).await;
        answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    async fn ask(&self, path: &str) -> TcpStream {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        socket
    }

    /// The next message.
    async fn message(&self) -> TelemetryMessage {
        let exchange = self.service.next(TELEMETRY).await;
        let message = serde_json::from_slice(&exchange.body).unwrap();
        exchange.answer(204, &[], "").await;
        message
    }

    /// What the messages tell of an arm until it is as wanted.
    async fn told(&self, arm: Arm, wanted: impl Fn(&Told) -> bool) -> Told {
        let mut told = Told::default();
        for _ in 0..60 {
            self.message().await.watched.iter().filter(|row| row.arm == arm).for_each(|row| told.add(row));
            if wanted(&told) {
                return told;
            }
        }
        panic!("never so: {told:?}");
    }
}

/// Sums of one arm.
#[derive(Debug, Default, PartialEq)]
struct Told {
    success: u64,
    failure: u64,
    error: u64,
    cancelled: u64,
    mixed: u64,
    new_units: u64,
    slow: u64,
    purchases: u64,
}

impl Told {
    fn add(&mut self, row: &ArmCounts) {
        let count = |event: &str| row.events.get(event).map_or(0, |event| event.count);
        self.success += row.success;
        self.failure += row.failure;
        self.error += row.error;
        self.cancelled += row.cancelled;
        self.mixed += row.mixed;
        self.new_units += row.new_units;
        self.slow += count("slow_200");
        self.purchases += count("purchase");
    }
}

pub(crate) async fn connected(service: &Service, environment: Environment) -> Client {
    let connecting = Client::builder(service.url(), key().as_str()).connect();
    let (client, mut stream) = join!(connecting, service.serve(&environment));
    tokio::spawn(async move {
        loop {
            stream.send(&environment.heartbeat()).await;
            sleep(Duration::from_secs(5)).await;
        }
    });
    client.unwrap()
}

async fn status(State(flags): State<Client>, Path((status, name)): Path<(u16, String)>) -> StatusCode {
    if flags.for_context(user(&name)).is_on(KEY) {
        track("purchase", 9.5);
    }
    StatusCode::from_u16(status).unwrap()
}

async fn grpc(State(flags): State<Client>, Path((code, name)): Path<(String, String)>) -> [(&'static str, String); 1] {
    flags.is_on(KEY, &user(&name));
    [("grpc-status", code)]
}

async fn slow(State(flags): State<Client>, Path(name): Path<String>) {
    flags.is_on(KEY, &user(&name));
    sleep(Duration::from_millis(300)).await;
}

async fn times_out(State(flags): State<Client>, Path(name): Path<String>) -> StatusCode {
    flags.is_on(KEY, &user(&name));
    timeout(Duration::from_millis(100), pending::<()>()).await.map_or(StatusCode::REQUEST_TIMEOUT, |()| StatusCode::OK)
}

async fn panics(State(flags): State<Client>, Path(name): Path<String>) {
    flags.detail(KEY, &user(&name));
    tokio::task::yield_now().await;
    panic!("as a handler may");
}

async fn hangs(State(flags): State<Client>, Path(name): Path<String>) {
    flags.is_on(KEY, &user(&name));
    pending::<()>().await;
}

async fn spawns(State(flags): State<Client>, Path(name): Path<String>) {
    // What a task asks for counts only where the scope is carried.
    let other = flags.clone();
    let alone = tokio::spawn(async move { other.is_on(KEY, &user("somebody")) });
    let asking = async move { flags.is_on(KEY, &user(&name)) };
    let carried = tokio::spawn(Scope::current().unwrap().run(asking));
    let _ = join!(alone, carried);
}

async fn two(State(flags): State<Client>, Path((name, other)): Path<(String, String)>) {
    flags.is_on(KEY, &user(&name));
    flags.is_on(KEY, &user(&other));
}

#[tokio::test(start_paused = true)]
async fn answers_are_credited_to_the_arm_that_their_user_is_in() {
    let shop = Shop::open().await;
    let [inside, outside] = [Arm::Treatment, Arm::Control].map(|arm| shop.user(arm));
    for (status, name) in
        [(200, &inside), (302, &inside), (404, &inside), (200, &outside), (500, &outside), (503, &outside), (422, &outside)]
    {
        assert_eq!(shop.get(&format!("/status/{status}/{name}")).await, status);
    }
    assert_eq!(shop.get("/nowhere").await, 404, "asks for no flag");
    let treatment = shop.told(Arm::Treatment, |told| told.success == 2).await;
    assert_eq!(treatment, Told { success: 2, failure: 1, new_units: 1, purchases: 3, ..Told::default() });
    assert_eq!(shop.get(&format!("/slow/{outside}")).await, 200);
    assert_eq!(shop.get(&format!("/times-out/{outside}")).await, 408);
    let control = shop.told(Arm::Control, |told| told.slow == 1 && told.error == 1).await;
    assert_eq!(control, Told { success: 1, error: 1, slow: 1, ..Told::default() });
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_an_error_and_who_hangs_up_is_cancelled() {
    let shop = Shop::open().await;
    let name = shop.user(Arm::Treatment);
    assert_eq!(shop.get(&format!("/panics/{name}")).await, 0);
    let waiting = shop.ask(&format!("/hangs/{name}")).await;
    sleep(Duration::from_secs(1)).await;
    drop(waiting);
    let told = shop.told(Arm::Treatment, |told| told.cancelled == 1 && told.error == 1).await;
    assert_eq!(told, Told { error: 1, cancelled: 1, new_units: 1, ..Told::default() });
}

#[tokio::test(start_paused = true)]
async fn spawned_tasks_can_carry_the_scope_and_mixed_arms_count_as_mixed() {
    let shop = Shop::open().await;
    let [inside, outside] = [Arm::Treatment, Arm::Control].map(|arm| shop.user(arm));
    assert_eq!(shop.get(&format!("/spawns/{inside}")).await, 200);
    assert_eq!(shop.get(&format!("/two/{inside}/{outside}")).await, 200);
    let told = shop.told(Arm::Treatment, |told| told.mixed == 1).await;
    assert_eq!(told, Told { success: 1, mixed: 1, new_units: 1, ..Told::default() });
}

#[tokio::test(start_paused = true)]
async fn the_application_may_judge_otherwise() {
    let layer = OutcomeLayer::new().classify(|head: &Head<'_>| match head.status.as_u16() {
        402 => Outcome::Success,
        _ => head.outcome(),
    });
    let shop = Shop::behind(layer).await;
    let name = shop.user(Arm::Control);
    shop.get(&format!("/status/402/{name}")).await;
    shop.get(&format!("/status/404/{name}")).await;
    // OK, cancelled, not found, unavailable.
    for code in ["0", "1", "5", "14"] {
        shop.get(&format!("/grpc/{code}/{name}")).await;
    }
    let told = shop.told(Arm::Control, |told| told.error == 1).await;
    assert_eq!(told, Told { success: 2, failure: 2, error: 1, cancelled: 1, new_units: 1, ..Told::default() });
}

#[tokio::test(start_paused = true)]
async fn a_message_a_second_tells_zero_too() {
    let shop = Shop::open().await;
    shop.message().await;
    // The second that was under way.
    shop.message().await;
    let began = Instant::now();
    let sequences = [shop.message().await, shop.message().await, shop.message().await].map(|message| message.sequence);
    assert_eq!((began.elapsed().as_secs(), sequences), (3, [3, 4, 5]));

    let name = shop.user(Arm::Treatment);
    shop.get(&format!("/status/500/{name}")).await;
    let exchange = shop.service.next(TELEMETRY).await;
    let rows = exchange.json()["watched"].clone();
    let risk = |at_risk: u64| json!({ "at_risk": at_risk });
    let mut treatment = rows[0].clone();
    let units = treatment["events"]["error"]["units"].take();
    assert_eq!(units[0].as_str().map(str::len), Some(16));
    let failed = json!({ "count": 1, "at_risk": 1, "first": 1, "units": null });
    treatment["latency_us"].take();
    let mut expected = json!({ "flag": KEY, "rollout_revision": 812, "arm": "treatment", "requests": 1, "success": 0, "failure": 0,
        "error": 1, "cancelled": 0, "mixed": 0, "new_units": 1, "events": {
            "error": failed, "not_success": { "count": 1, "at_risk": 1, "first": 1, "units": units },
            "purchase": { "count": 1, "sum": 9.5, "first": 1, "at_risk": 1, "units": units }, "slow_200": risk(1), "slow_1000": risk(1) },
        "latency_us": null });
    // At risk when the request ended: its purchase was told in it.
    expected["events"]["purchase"]["at_risk"] = treatment["events"]["purchase"]["at_risk"].clone();
    assert_eq!(treatment, expected);
    assert_eq!(
        rows[1],
        json!({ "flag": KEY, "rollout_revision": 812, "arm": "control", "requests": 0, "success": 0, "failure": 0, "error": 0, "cancelled": 0,
            "mixed": 0, "new_units": 0, "events": { "error": {}, "not_success": {}, "purchase": {}, "slow_200": {}, "slow_1000": {} } })
    );
    assert_eq!(rows.as_array().map(Vec::len), Some(4));
    exchange.answer(204, &[], "").await;

    let mut minute = 0;
    while shop.message().await.watched[0].distinct_units.is_none() {
        minute += 1;
    }
    assert!((50..=60).contains(&minute), "{minute}");
}

#[tokio::test(start_paused = true)]
async fn watching_begins_and_ends_with_the_ruleset() {
    let service = Service::start().await;
    let mut environment = Environment::with(KEY, 50.0);
    let connecting = Client::builder(service.url(), key().as_str()).connect();
    let (client, mut stream) = join!(connecting, service.serve(&environment));
    let client = client.unwrap();
    let next = async || {
        let exchange = service.next(TELEMETRY).await;
        let message: TelemetryMessage = serde_json::from_slice(&exchange.body).unwrap();
        exchange.answer(204, &[], "").await;
        message
    };
    assert!(next().await.watched.is_empty());
    let began = Instant::now();
    stream.send(&environment.put(KEY, &flag_watched(KEY, 100.0, 2))).await;
    let message = next().await;
    assert_eq!((began.elapsed().as_secs(), message.watched.len(), message.applied), (1, 4, Some(environment.identity())));
    let scope = Scope::open();
    scope.enter(|| client.is_on(KEY, &user("a")));
    scope.finish(Outcome::Success);
    stream.send(&environment.raise(KEY, 100.0)).await;
    let message = next().await;
    assert_eq!(message.watched.iter().map(|row| (row.arm, row.success)).collect::<Vec<_>>(), [(Arm::Treatment, 1)], "the rest");
    let began = Instant::now();
    stream.send(&environment.heartbeat()).await;
    assert!(next().await.watched.is_empty());
    assert_eq!(began.elapsed().as_secs(), 10);
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_taken_waits_ten_seconds_and_what_is_unknown_is_never_told_again() {
    let shop = Shop::open().await;
    let name = shop.user(Arm::Treatment);
    let first = shop.service.next(TELEMETRY).await;
    shop.get(&format!("/status/200/{name}")).await;
    first.answer(503, &[("retry-after", "4")], "").await;
    let second = shop.service.next(TELEMETRY).await;
    let message: TelemetryMessage = serde_json::from_slice(&second.body).unwrap();
    assert_eq!((message.sequence, message.dropped_seconds, message.watched[0].success, message.watched.len()), (1, 0, 1, 4));
    shop.get(&format!("/status/500/{name}")).await;
    second.answer(503, &[("retry-after", "30")], "").await;
    let third = shop.service.next(TELEMETRY).await;
    let message: TelemetryMessage = serde_json::from_slice(&third.body).unwrap();
    assert_eq!((message.sequence, message.watched[0].success, message.watched[0].error), (1, 0, 0), "old news");
    assert!(message.dropped_seconds >= 20, "{}", message.dropped_seconds);
    shop.get(&format!("/status/500/{name}")).await;
    third.hang_up();
    let told = shop.told(Arm::Treatment, |told| told.error == 1).await;
    assert_eq!(told, Told { error: 1, purchases: 1, ..Told::default() }, "the third is lost, and its sequence shows it");
}

#[tokio::test(start_paused = true)]
async fn the_goodbye_has_the_last_second_and_events_need_no_scope() {
    let shop = Shop::open().await;
    shop.message().await;
    let name = shop.user(Arm::Control);
    shop.client.track(&user(&name), "purchase", 3.0);
    let (client, name) = (shop.client.clone(), name.clone());
    let scope = Scope::open();
    // Another type is the caller's default: nothing was served.
    scope.run(async { client.string(KEY, &user("somebody"), "no text") }).await;
    scope.run(async { client.is_on(KEY, &user(&name)) }).await;
    scope.finish_after(Outcome::Failure, Duration::from_secs(2));
    let (last, ()) = join!(shop.message(), shop.client.close());
    assert!(last.goodbye);
    let control = last.watched.iter().find(|row| row.arm == Arm::Control).unwrap();
    assert_eq!((control.requests, control.failure, control.events["slow_1000"].count), (1, 1, 1));
    assert_eq!((control.events["purchase"].sum, control.distinct_units.as_ref().map(String::len)), (Some(3.0), Some(4_096)));
    assert_eq!(control.latency_us, [(2_007_039, 1)]);
}
