//! A receiver of webhooks: what came, and an answer that a test chooses.

use std::collections::BTreeMap;
use std::future::pending;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::reference::python;

/// How a receiver answers.
#[derive(Clone, Debug)]
pub enum Answers {
    /// With this status.
    With(u16),
    /// With a redirect to there.
    Redirects(String),
    /// Not at all.
    Never,
}

/// One attempt to deliver.
#[derive(Clone, Debug)]
pub struct Received {
    /// Those of the webhook.
    pub headers: BTreeMap<String, String>,
    /// As it came.
    pub body: String,
}

/// Listens on a port of its own until it is dropped.
pub struct Receiver {
    /// Where webhooks are sent to.
    pub url: String,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

struct Shared {
    answers: Mutex<Answers>,
    received: Mutex<Vec<Received>>,
}

impl Receiver {
    /// Starts one that answers so.
    pub async fn start(answers: Answers) -> Receiver {
        let shared = Arc::new(Shared { answers: Mutex::new(answers), received: Mutex::default() });
        let here = shared.clone();
        let router = Router::new().route("/hook", post(move |headers: HeaderMap, body: String| take(here.clone(), headers, body)));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Receiver { url, shared, serving }
    }

    /// From now on it answers so.
    pub fn answer(&self, answers: Answers) {
        *self.shared.answers.lock().unwrap() = answers;
    }

    /// Every attempt so far.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }

    /// The ids of all messages so far, each once.
    pub fn ids(&self) -> Vec<String> {
        let mut ids: Vec<String> = self.received().iter().map(|one| one.id().to_owned()).collect();
        ids.sort();
        ids.dedup();
        ids
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Received {
    /// The message's id.
    pub fn id(&self) -> &str {
        self.header("webhook-id")
    }

    /// A header; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// What it says.
    ///
    /// # Panics
    /// When it is no JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a webhook is JSON")
    }

    /// What it says in words.
    pub fn text(&self) -> String {
        self.json()["data"]["text"].as_str().unwrap_or_default().to_owned()
    }
}

async fn take(shared: Arc<Shared>, headers: HeaderMap, body: String) -> Response {
    let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned())).collect();
    shared.received.lock().unwrap().push(Received { headers, body });
    let answers = shared.answers.lock().unwrap().clone();
    match answers {
        Answers::With(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Answers::Redirects(to) => (StatusCode::TEMPORARY_REDIRECT, [("location", to)]).into_response(),
        Answers::Never => pending().await,
    }
}

/// What the published package `standardwebhooks` says of each message: `ok`, or why not.
///
/// # Panics
/// When it does not run: `make test` installs what it needs.
pub async fn verified(secret: &str, messages: Vec<Received>) -> Vec<String> {
    let lines: String = messages
        .iter()
        .map(|message| format!("{}\n", json!({"secret": secret, "headers": message.headers, "body": message.body})))
        .collect();
    let run = move || {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("webhooks.py");
        let mut command = Command::new(python());
        let mut child = command.arg(program).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        child.stdin.take().expect("it is piped").write_all(lines.as_bytes())?;
        child.wait_with_output()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap().expect("python3 runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "webhooks.py: {told}\n`make test` installs the package standardwebhooks that it needs");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}
