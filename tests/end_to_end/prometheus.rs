//! A real Prometheus as a source of readings: what is one number, and what is told in words.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{Router, routing::get};
use storyflag_release::evidence::Reading;
use storyflag_server::{
    config::SourcesConfig,
    telemetry::{Prometheus as Source, Sources},
};
use storyflag_tests::{eventually, eventually::when, prometheus::Prometheus};

/// An application's metrics, one of which the test sets.
async fn shop(errors: Arc<AtomicU64>) -> SocketAddr {
    let metrics = move || {
        let errors = errors.load(Ordering::Relaxed);
        let text = format!(
            "shop_errors {errors}\nshop_ratio NaN\nshop_bound +Inf\nshop_requests{{path=\"/a\"}} 3\nshop_requests{{path=\"/b\"}} 4.5\n"
        );
        async move { ([("content-type", "text/plain; version=0.0.4")], text) }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/metrics", get(metrics))).await });
    address
}

fn words(reading: Reading) -> String {
    match reading {
        Reading::Value(number) => panic!("{number} is told as a number"),
        Reading::SourceError(why) => why,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_number_is_a_reading_and_anything_else_a_source_error() {
    let prometheus = Prometheus::scraping(shop(Arc::new(AtomicU64::new(7))).await);
    let source = Source::new(&prometheus.url);
    eventually("it was scraped", async || {
        let told = source.read("shop_errors").await;
        when(told == Reading::Value(7.0), told)
    })
    .await;
    assert_eq!(source.read("sum(shop_requests)").await, Reading::Value(7.5));
    assert_eq!(source.read("shop_requests{path=\"/b\"} * 2").await, Reading::Value(9.0));
    assert_eq!(source.read("-1.5").await, Reading::Value(-1.5));
    for (query, why) in [
        ("shop_ratio", "the query answers NaN"),
        ("shop_bound", "the query answers +Inf"),
        ("shop_requests", "the query answers 2 series"),
        ("shop_refunds", "the query answers nothing"),
        ("shop_errors[1m]", "the query answers a range"),
        ("\"text\"", "the query answers a text"),
        ("sum(", "Prometheus answers 400: invalid parameter \"query\""),
    ] {
        let told = words(source.read(query).await);
        assert!(told.starts_with(why), "{query}: {told}");
    }
    prometheus.stop();
    let told = words(source.read("shop_errors").await);
    assert!(told.starts_with("Prometheus cannot be reached"), "{told}");
    prometheus.start();
    assert_eq!(source.read("vector(1)").await, Reading::Value(1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_answer_is_waited_for_five_seconds() {
    // Connections are made, and nobody takes them.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let told = words(Source::new(&format!("http://{}", listener.local_addr().unwrap())).read("up").await);
    assert_eq!(told, "Prometheus did not answer within 5 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wanted_is_kept_fresh() {
    let errors = Arc::new(AtomicU64::new(1));
    let prometheus = Prometheus::scraping(shop(Arc::clone(&errors)).await);
    let sources = Sources::new(&SourcesConfig { prometheus: Some(prometheus.url.clone()) });
    let told = async |number: f64| {
        eventually("the reading is there", async || {
            let told = sources.latest("shop_errors");
            when(told == Some(Reading::Value(number)), told)
        })
        .await;
    };
    sources.want(["shop_errors", "shop_ratio"]);
    told(1.0).await;
    errors.store(9, Ordering::Relaxed);
    // Wanted as before: it goes on being asked.
    sources.want(["shop_ratio", "shop_errors"]);
    told(9.0).await;
    sources.want(["shop_ratio"]);
    assert_eq!(sources.latest("shop_errors"), None);
    assert!(matches!(sources.latest("shop_ratio"), Some(Reading::SourceError(why)) if why.contains("NaN")));
}
