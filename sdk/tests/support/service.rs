//! A service that the test itself plays: real sockets, every request taken and answered by hand.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    sync::Notify,
    task::JoinHandle,
};

use super::environment::{Environment, Sent};

pub(crate) const STREAM: &str = "/sdk/v1/stream";
pub(crate) const RULESET: &str = "/sdk/v1/ruleset";
pub(crate) const COHORTS: &str = "/sdk/v1/cohorts/";
pub(crate) const TELEMETRY: &str = "/sdk/v1/telemetry";

pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Socket for S {}

/// Listens, and keeps every request until the test takes it.
pub(crate) struct Service {
    address: SocketAddr,
    queue: Arc<Queue>,
    listening: JoinHandle<()>,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<VecDeque<Exchange>>,
    connections: Mutex<usize>,
    arrived: Notify,
}

/// A request that waits for its answer.
pub(crate) struct Exchange {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
    socket: Box<dyn Socket>,
    queue: Arc<Queue>,
}

/// An event stream that the test writes.
pub(crate) struct Stream {
    socket: Box<dyn Socket>,
}

impl Service {
    pub(crate) async fn start() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    /// On a port that was known before anybody listened there.
    pub(crate) async fn start_on(address: SocketAddr) -> Self {
        Self::on(TcpListener::bind(address).await.unwrap())
    }

    fn on(listener: TcpListener) -> Self {
        Self::with(listener, |socket| async move { Some(Box::new(socket) as Box<dyn Socket>) })
    }

    /// What `wrap` makes of each connection is spoken on, such as TLS.
    pub(crate) fn with<F>(listener: TcpListener, wrap: impl Fn(tokio::net::TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Option<Box<dyn Socket>>> + Send + 'static,
    {
        let address = listener.local_addr().unwrap();
        let queue = Arc::new(Queue::default());
        let shared = Arc::clone(&queue);
        let listening = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                *shared.connections.lock().unwrap() += 1;
                let (wrapped, queue) = (wrap(socket), Arc::clone(&shared));
                tokio::spawn(async move {
                    if let Some(socket) = wrapped.await {
                        read_request(socket, queue).await;
                    }
                });
            }
        });
        Self { address, queue, listening }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The connections so far.
    pub(crate) fn connections(&self) -> usize {
        *self.queue.connections.lock().unwrap()
    }

    /// The next request whose path begins so; fails after a minute without one.
    pub(crate) async fn next(&self, path: &str) -> Exchange {
        tokio::time::timeout(Duration::from_secs(900), self.take(path)).await.unwrap_or_else(|_| panic!("nobody asks for {path}"))
    }

    async fn take(&self, path: &str) -> Exchange {
        loop {
            let arrived = self.queue.arrived.notified();
            {
                let mut waiting = self.queue.waiting.lock().unwrap();
                if let Some(index) = waiting.iter().position(|exchange| exchange.path.starts_with(path)) {
                    return waiting.remove(index).unwrap();
                }
            }
            arrived.await;
        }
    }

    /// The next stream, open.
    pub(crate) async fn stream(&self) -> Stream {
        self.next(STREAM).await.open().await
    }

    /// The next stream, with the whole environment and a heartbeat sent.
    pub(crate) async fn serve(&self, environment: &Environment) -> Stream {
        let mut stream = self.stream().await;
        stream.send(&environment.ruleset()).await;
        stream.send(&environment.heartbeat()).await;
        stream
    }

    /// Nobody asks for this within that time.
    pub(crate) async fn nobody_asks(&self, path: &str, within: Duration) {
        if let Ok(exchange) = tokio::time::timeout(within, self.take(path)).await {
            panic!("somebody asks for {}", exchange.path);
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn read_request(mut socket: Box<dyn Socket>, queue: Arc<Queue>) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        let Ok(count @ 1..) = socket.read(&mut buffer).await else { return };
        bytes.extend_from_slice(&buffer[..count]);
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap().split(' ').map(str::to_owned);
    let (method, path) = (first.next().unwrap(), first.next().unwrap());
    let headers: HashMap<String, String> =
        lines.map(|line| line.split_once(": ").unwrap()).map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    let length: usize = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = bytes.split_off(end + 4);
    while body.len() < length {
        let Ok(count @ 1..) = socket.read(&mut buffer).await else { return };
        body.extend_from_slice(&buffer[..count]);
    }
    let exchange = Exchange { method, path, headers, body, socket, queue: Arc::clone(&queue) };
    queue.waiting.lock().unwrap().push_back(exchange);
    queue.arrived.notify_waiters();
}

impl Exchange {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Answers, and reads the connection's next request.
    pub(crate) async fn answer(mut self, status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) {
        let body = body.as_ref();
        let mut head = format!("HTTP/1.1 {status} X\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if status != 304 {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let _ = self.socket.write_all(&[head.as_bytes(), body].concat()).await;
        let _ = self.socket.flush().await;
        tokio::spawn(read_request(self.socket, self.queue));
    }

    /// Bytes as they are, and the end of the connection.
    pub(crate) async fn raw(mut self, bytes: &[u8]) {
        let _ = self.socket.write_all(bytes).await;
        let _ = self.socket.shutdown().await;
    }

    /// Closes the connection without a word.
    pub(crate) fn hang_up(self) {}

    /// Begins an event stream.
    pub(crate) async fn open(self) -> Stream {
        let mut stream = Stream { socket: self.socket };
        stream.raw(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n").await;
        stream
    }
}

impl Stream {
    pub(crate) async fn send(&mut self, sent: &Sent) {
        self.raw(&sent.bytes()).await;
    }

    /// Bytes as they are. A client that has gone away is no fault of ours.
    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        let _ = self.socket.write_all(bytes).await;
        let _ = self.socket.flush().await;
    }

    /// Writes one chunk again and again until the client closes; how much it took.
    pub(crate) async fn flood(&mut self, chunk: &[u8], at_most: usize) -> usize {
        let mut sent = 0;
        while sent < at_most && self.socket.write_all(chunk).await.is_ok() {
            sent += chunk.len();
        }
        sent
    }

    /// Waits until the client closes.
    pub(crate) async fn closed(&mut self) {
        let mut buffer = [0; 64];
        while let Ok(1..) = self.socket.read(&mut buffer).await {}
    }
}
