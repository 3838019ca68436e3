//! How many messages a second one core takes in.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    line, median,
    messages::{FLAG, message},
    process::{Kind, Process, processor_time},
    watched::watch,
};

/// Each is a process that reports.
const CONNECTIONS: usize = 16;
const ROUNDS: usize = 5;

/// In turns, so many messages each time over a few connections that stay open.
pub async fn measure(messages: usize) -> bool {
    let (ours, floor) = (Taker::start(Kind::Ours).await, Taker::start(Kind::Floor).await);
    let (mut our_rates, mut floor_rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let (our_rate, floor_rate) = (ours.rate(round, messages).await, floor.rate(round, messages).await);
        if round > 0 {
            our_rates.push(our_rate);
            floor_rates.push(floor_rate);
            ratios.push(floor_rate / our_rate);
        }
    }
    let size = message("0", 0, 0).len();
    line(&format!("messages of {size} B taken in by a core"), "1/s", median(our_rates), median(floor_rates), median(ratios), 2.0)
}

struct Taker {
    process: Process,
    revision: u64,
}

impl Taker {
    async fn start(kind: Kind) -> Self {
        let process = Process::start(kind);
        if kind == Kind::Floor {
            return Self { process, revision: 1 };
        }
        let http = reqwest::Client::new();
        let flag = format!("http://{}/api/v1/projects/default/flags/{FLAG}", process.address);
        http.put(flag).bearer_auth(&process.token).json(&serde_json::json!({})).send().await.unwrap().error_for_status().unwrap();
        let revision = watch(&process.folder().join("storyflag.db")).await;
        // The service reads the heads once a second.
        let ruleset = format!("http://{}/sdk/v1/ruleset", process.address);
        loop {
            let served = http.get(&ruleset).bearer_auth(&process.key).send().await.unwrap().text().await.unwrap();
            if served.contains("limits_ms") {
                return Self { process, revision };
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Messages for each second of processor time; what is written once a second is in it.
    async fn rate(&self, round: usize, messages: usize) -> f64 {
        let each = messages / CONNECTIONS;
        let mut senders = tokio::task::JoinSet::new();
        let before = processor_time(self.process.id());
        for connection in 0..CONNECTIONS {
            let (address, key, revision) = (self.process.address.clone(), self.process.key.clone(), self.revision);
            senders.spawn(async move {
                let mut socket = TcpStream::connect(address).await.unwrap();
                socket.set_nodelay(true).unwrap();
                let mut buffer = vec![0; 2048];
                for number in 0..each {
                    let body = message(&format!("{connection:032x}"), (round * each + number + 1) as u64, revision);
                    let request = format!(
                        "POST /sdk/v1/telemetry HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    socket.write_all(request.as_bytes()).await.unwrap();
                    let read = socket.read(&mut buffer).await.unwrap();
                    assert!(buffer[..read].starts_with(b"HTTP/1.1 204"), "{}", String::from_utf8_lossy(&buffer[..read]));
                }
            });
        }
        senders.join_all().await;
        let microseconds = processor_time(self.process.id()) - before;
        (each * CONNECTIONS) as f64 / microseconds * 1e6
    }
}
