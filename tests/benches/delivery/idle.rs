//! What an idle stream costs the server in memory.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    line,
    process::{Kind, Process},
};

/// Streams that have been sent what there is, and then nothing.
pub async fn measure(count: usize) -> bool {
    let (ours, floor) = (kilobytes(Kind::Ours, count).await, kilobytes(Kind::Floor, count).await);
    line(&format!("memory per idle stream, of {count}"), "KiB", ours, floor, ours / floor, 2.0)
}

async fn kilobytes(kind: Kind, count: usize) -> f64 {
    let process = Process::start(kind);
    let head = match kind {
        Kind::Ours => format!("GET /sdk/v1/stream HTTP/1.1\r\nhost: ours\r\nauthorization: Bearer {}\r\n\r\n", process.key),
        Kind::Floor => "GET /stream HTTP/1.1\r\nhost: floor\r\n\r\n".to_owned(),
    };
    // The first hundred fill what is there once for all.
    let mut streams = open(&process, &head, 100).await;
    let before = process.memory();
    streams.extend(open(&process, &head, count).await);
    tokio::time::sleep(Duration::from_millis(300)).await;
    (process.memory() - before) / count as f64 / 1024.0
}

async fn open(process: &Process, head: &str, count: usize) -> Vec<TcpStream> {
    let mut streams = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stream = TcpStream::connect(&process.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut buffer = [0; 2048];
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(buffer[..read].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer[..read]));
        streams.push(stream);
    }
    streams
}
