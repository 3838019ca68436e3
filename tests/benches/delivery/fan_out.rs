//! How soon after a bump's answer the applications serve it.

use std::time::{Duration, Instant};

use storyflag::Client;
use tokio::{sync::mpsc, task::JoinHandle};

use crate::{
    line, median,
    process::{Kind, Process, processor_time},
};

const FLAG: &str = "US-123-checkout";

/// Applications on the SDK, beside as many streams of a plain HTTP client that are sent the same bytes by the floor and do
/// nothing with them.
pub async fn measure(count: usize, rounds: usize) -> bool {
    let (ours, floor) = (Ours::start(count).await, Floor::start(count).await);
    let (mut our_turns, mut floor_turns) = (Vec::new(), Vec::new());
    let (mut our_work, mut floor_work) = (Work::default(), Work::default());
    let (mut ours, mut floor) = (ours, floor);
    for round in 0..rounds + 2 {
        let percentage = f64::from(u32::try_from(round % 1_000).unwrap() + 1) / 10.0;
        let (our_process, floor_process) = (ours.process.id(), floor.process.id());
        let our_turn = our_work.add(our_process, ours.bump(percentage)).await;
        let floor_turn = floor_work.add(floor_process, floor.send()).await;
        // The first rounds warm both up.
        if round >= 2 {
            our_turns.push(our_turn);
            floor_turns.push(floor_turn);
        }
    }
    let who = if count == 1 { "1 SDK".to_owned() } else { format!("{count} SDKs") };
    let mut good = true;
    for (name, place) in [("p50", 0.5), ("p99", 0.99), ("last", 1.0)] {
        if count == 1 && name == "last" {
            continue;
        }
        let at = |turns: &[Vec<f64>]| -> f64 {
            if count == 1 {
                percentile(turns.iter().map(|turn| turn[0]).collect(), place)
            } else {
                median(turns.iter().map(|turn| percentile(turn.clone(), place)).collect())
            }
        };
        let (ours, floor) = (at(&our_turns), at(&floor_turns));
        good &= line(&format!("answer to swap, {who}, {name}"), "us", ours, floor, ours / floor, 2.0);
    }
    let per_stream = |work: f64| work / (rounds + 2) as f64 / count as f64;
    println!(
        "    of which work a stream: service {:.1} us (floor {:.1}), application {:.1} us (floor {:.1})",
        per_stream(our_work.service),
        per_stream(floor_work.service),
        per_stream(our_work.application),
        per_stream(floor_work.application),
    );
    good
}

/// Processor time, in microseconds: where the turns are spent.
#[derive(Default)]
struct Work {
    service: f64,
    application: f64,
}

impl Work {
    async fn add<T>(&mut self, service: u32, turn: impl Future<Output = T>) -> T {
        let now = || (processor_time(service), processor_time(std::process::id()));
        let before = now();
        let turn = turn.await;
        let after = now();
        self.service += after.0 - before.0;
        self.application += after.1 - before.1;
        turn
    }
}

fn percentile(mut values: Vec<f64>, place: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len() - 1;
    values[((values.len() as f64 * place).ceil() as usize).clamp(1, last + 1) - 1]
}

/// Arrivals within so many microseconds of the answer are the same: which of two tasks that were woken together runs
/// first is the scheduler's affair.
const TOGETHER: f64 = 100.0;

/// Microseconds from the answer to each arrival, which may come before it.
fn turn(answered: Instant, arrivals: &[Instant]) -> Vec<f64> {
    arrivals.iter().map(|at| at.saturating_duration_since(answered).as_secs_f64() * 1e6).map(|us| us.max(TOGETHER)).collect()
}

async fn collect(arrivals: &mut mpsc::UnboundedReceiver<Instant>, count: usize) -> Vec<Instant> {
    let mut all = Vec::with_capacity(count);
    while all.len() < count {
        let arrival = tokio::time::timeout(Duration::from_secs(30), arrivals.recv()).await;
        all.push(arrival.expect("every stream hears of it").unwrap());
    }
    all
}

struct Ours {
    process: Process,
    http: reqwest::Client,
    clients: Vec<Client>,
    arrivals: mpsc::UnboundedReceiver<Instant>,
    listening: Vec<JoinHandle<()>>,
}

impl Ours {
    async fn start(count: usize) -> Self {
        let process = Process::start(Kind::Ours);
        let http = reqwest::Client::new();
        let url = format!("http://{}/api/v1/projects/default/flags/{FLAG}", process.address);
        http.put(url).bearer_auth(&process.token).json(&serde_json::json!({})).send().await.unwrap().error_for_status().unwrap();
        let (told, arrivals) = mpsc::unbounded_channel();
        let (mut clients, mut listening) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let address = format!("http://{}", process.address);
            let client = Client::builder(address, process.key.clone()).ready_within(Duration::from_secs(30)).connect().await.unwrap();
            let (mut changes, told) = (client.changes(), told.clone());
            listening.push(tokio::spawn(async move {
                // What is there already is no news.
                while changes.next().await.is_some() {
                    let _ = told.send(Instant::now());
                }
            }));
            clients.push(client);
        }
        let mut ours = Self { process, http, clients, arrivals, listening };
        // Every application reports for the first time within a second; that is not what is measured.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        ours.settle().await;
        ours
    }

    /// Until every application runs the head, and has said so.
    async fn settle(&mut self) {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let head = self.clients.iter().filter_map(|client| client.status().identity).map(|identity| identity.revision).max();
            if self.clients.iter().all(|client| client.status().identity.map(|identity| identity.revision) == head) {
                while self.arrivals.try_recv().is_ok() {}
                return;
            }
        }
    }

    async fn bump(&mut self, percentage: f64) -> Vec<f64> {
        let url = format!("http://{}/api/v1/projects/default/environments/staging/flags/{FLAG}/rollout", self.process.address);
        let body = serde_json::json!({ "percentage": percentage });
        let answer = self.http.patch(url).bearer_auth(&self.process.token).json(&body).send().await.unwrap();
        let answered = Instant::now();
        answer.error_for_status().unwrap();
        let arrivals = collect(&mut self.arrivals, self.clients.len()).await;
        turn(answered, &arrivals)
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        self.listening.iter().for_each(JoinHandle::abort);
    }
}

struct Floor {
    process: Process,
    http: reqwest::Client,
    count: usize,
    arrivals: mpsc::UnboundedReceiver<Instant>,
    listening: Vec<JoinHandle<()>>,
}

/// As many bytes as a change event of ours has.
const EVENT_BYTES: usize = 420;

impl Floor {
    async fn start(count: usize) -> Self {
        let process = Process::start(Kind::Floor);
        let (told, mut arrivals) = mpsc::unbounded_channel();
        let mut listening = Vec::new();
        for _ in 0..count {
            let http = reqwest::Client::builder().tcp_nodelay(true).build().unwrap();
            let mut stream = http.get(format!("http://{}/stream", process.address)).send().await.unwrap();
            let told = told.clone();
            listening.push(tokio::spawn(async move {
                // A small event comes in one piece.
                while let Ok(Some(event)) = stream.chunk().await {
                    assert!(event.ends_with(b"\n\n"));
                    let _ = told.send(Instant::now());
                }
            }));
        }
        collect(&mut arrivals, count).await;
        Self { process, http: reqwest::Client::new(), count, arrivals, listening }
    }

    async fn send(&mut self) -> Vec<f64> {
        let mut event = vec![b'x'; EVENT_BYTES - 2];
        event.extend_from_slice(b"\n\n");
        let answer = self.http.post(format!("http://{}/send", self.process.address)).body(event).send().await.unwrap();
        let answered = Instant::now();
        answer.error_for_status().unwrap();
        let arrivals = collect(&mut self.arrivals, self.count).await;
        turn(answered, &arrivals)
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.listening.iter().for_each(JoinHandle::abort);
    }
}
