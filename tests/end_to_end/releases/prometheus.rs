//! A trigger on what Prometheus answers: it holds where there is no number, goes on where there is one, and turns back.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::{Router, routing::get};
use serde_json::{Value, json};
use storyflag_tests::prometheus::Prometheus;
use storyflag_tests::{Backend, House, eventually_within};

use super::feeder::Feeder;
use super::{FLAG, command, create, prepare, release};

const PLAN: &str = r#"plan: DP-1-cart
flag: US-1-cart
approach: feature_flag
steps:
  - { percentage: 10, bake: 2m }
  - { percentage: 100, bake: 60m }
triggers: ["error_rate > 5%", "prometheus(\"shop_queue\") > 3 for 1s"]
relative_triggers: none
"#;
/// A query is asked every five seconds.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// The application's `/metrics`, which says what the test wants.
async fn application(says: Arc<Mutex<String>>) -> SocketAddr {
    let metrics = move || {
        let text = says.lock().unwrap().clone();
        async move { ([("content-type", "text/plain; version=0.0.4")], text) }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/metrics", get(metrics))).await });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trigger_on_what_prometheus_answers() {
    let says = Arc::new(Mutex::new("shop_queue NaN\n".to_owned()));
    let prometheus = Prometheus::scraping(application(Arc::clone(&says)).await);
    let house = House::with_prometheus(Backend::Sqlite, &prometheus.url).await;
    prepare(&house, PLAN).await;
    let staging = house.editor().in_environment("staging");
    let id = create(&staging, &json!({"time_scale": 60})).await;
    let _feeder = Feeder::start(house.key("staging"), vec![house.url().to_owned()], 2, |_, _| (100, 0));
    command(&staging, &id, "start").await.expect(200);
    let reading = |told: &Value| told["triggers"][1]["last"].as_str().unwrap_or_default().to_owned();
    let becomes = |what: &'static str, is: fn(&Value, &str) -> bool| {
        let staging = &staging;
        let id = &id;
        async move {
            eventually_within(PATIENCE, what, || async {
                let told = release(staging, id).await;
                let last = reading(&told);
                if is(&told, &last) { Ok(told) } else { Err(format!("{} at {}: {last}", told["state"], told["step"])) }
            })
            .await
        }
    };
    becomes("NaN holds", |told, last| told["state"] == "holding: source error" && last.contains("NaN")).await;
    // An empty result is no number either.
    "other 1\n".clone_into(&mut says.lock().unwrap());
    becomes("nothing holds", |told, last| told["state"] == "holding: source error" && last.contains("nothing")).await;
    assert_eq!(release(&staging, &id).await["step"]["number"], 1, "long after its bake");
    "shop_queue 1\n".clone_into(&mut says.lock().unwrap());
    becomes("it goes on by itself", |told, last| told["step"]["percentage"] == 100.0 && last == "1").await;
    "shop_queue 9\n".clone_into(&mut says.lock().unwrap());
    let back = becomes("it turns back", |told, _| told["phase"] == "rolling_back" || told["phase"] == "rolled_back").await;
    assert!(back["cause"]["name"].as_str().unwrap().starts_with("prometheus("), "{back}");
    assert_eq!(staging.targeting(FLAG).await.json["rollout"]["percentage"], 0.0);
}
