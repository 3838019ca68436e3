//! The whole SDK against a service that the test plays on real sockets.
//!
//! Times are tokio's and paused: fifteen seconds of silence or five minutes of backoff pass as soon as nothing else can
//! happen, and in the order in which they would.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod broken_streams;
mod disk;
mod endpoints;
#[path = "../support/environment.rs"]
mod environment;
mod evaluation;
#[cfg(feature = "tower")]
mod layer_cost;
mod lists;
#[cfg(feature = "tower")]
mod outcomes;
mod polling;
mod reports;
#[path = "../support/service.rs"]
mod service;
mod stream;
#[cfg(feature = "tls")]
mod tls;

use std::{path::PathBuf, time::Duration};

use storyflag::{Builder, Client, Context, SdkKey, Status};

use service::Service;

/// A key that has the form of one.
fn key() -> SdkKey {
    SdkKey::new([7; 8], [42; 32])
}

/// A client that reports nothing, of this service.
fn builder(service: &Service) -> Builder {
    Client::builder(service.url(), key().as_str()).without_reports()
}

fn user(name: &str) -> Context {
    Context::new(name)
}

/// Waits until the status is as wanted; the last one is shown if it never is.
async fn eventually(client: &Client, wanted: impl Fn(&Status) -> bool) -> Status {
    for _ in 0..20_000 {
        let status = client.status();
        if wanted(&status) {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never so: {:#?}", client.status());
}

/// A directory of its own, removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("storyflag-sdk-{:032x}", fastrand::u128(..))))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
