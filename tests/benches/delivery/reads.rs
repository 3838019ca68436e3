//! How many reads of the ruleset a second, beside a bare handler that answers as many bytes.

use std::time::Instant;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    line, median,
    process::{Kind, Process},
};

const CONNECTIONS: usize = 16;
const ROUNDS: usize = 9;

/// In turns, so many requests each time over a few connections that stay open.
pub async fn measure(requests: usize) -> bool {
    let (ours, floor) = (Reader::start(Kind::Ours).await, Reader::start(Kind::Floor).await);
    let (mut our_rates, mut floor_rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let (our_rate, floor_rate) = (ours.rate(requests).await, floor.rate(requests).await);
        if round > 0 {
            our_rates.push(our_rate);
            floor_rates.push(floor_rate);
            ratios.push(floor_rate / our_rate);
        }
    }
    line("GET of the ruleset", "1/s", median(our_rates), median(floor_rates), median(ratios), 2.0)
}

struct Reader {
    process: Process,
    head: String,
}

impl Reader {
    async fn start(kind: Kind) -> Self {
        let process = Process::start(kind);
        let head = match kind {
            Kind::Ours => format!("GET /sdk/v1/ruleset HTTP/1.1\r\nhost: ours\r\nauthorization: Bearer {}\r\n\r\n", process.key),
            Kind::Floor => {
                // As many bytes as ours, which has no flag.
                let body = r#"{"format":1,"flags":[],"cohorts":[],"absorbed":[]}"#;
                reqwest::Client::new().post(format!("http://{}/send", process.address)).body(body).send().await.unwrap();
                "GET /read HTTP/1.1\r\nhost: floor\r\n\r\n".to_owned()
            }
        };
        Self { process, head }
    }

    async fn rate(&self, requests: usize) -> f64 {
        let mut readers = tokio::task::JoinSet::new();
        let begin = Instant::now();
        for _ in 0..CONNECTIONS {
            let (address, head) = (self.process.address.clone(), self.head.clone());
            readers.spawn(async move {
                let mut socket = TcpStream::connect(address).await.unwrap();
                socket.set_nodelay(true).unwrap();
                let mut buffer = vec![0; 8192];
                for _ in 0..requests / CONNECTIONS {
                    socket.write_all(head.as_bytes()).await.unwrap();
                    read_answer(&mut socket, &mut buffer).await;
                }
            });
        }
        readers.join_all().await;
        requests as f64 / begin.elapsed().as_secs_f64()
    }
}

/// Reads one answer: its head, and as many bytes as that says.
async fn read_answer(socket: &mut TcpStream, buffer: &mut [u8]) {
    let mut filled = 0;
    loop {
        let read = socket.read(&mut buffer[filled..]).await.unwrap();
        assert!(read > 0, "the server closed");
        filled += read;
        let Some(end) = buffer[..filled].windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = std::str::from_utf8(&buffer[..end]).unwrap().to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200"), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse::<usize>().unwrap();
        if filled >= end + 4 + length {
            return;
        }
    }
}
