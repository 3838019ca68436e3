//! A server that says exactly what a test wants said, true HTTP or not.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What is sent to one request, from its first line and headers. The connection is closed afterwards unless the answer
/// says [`Answer::held_open`].
pub type Script = Box<dyn FnMut(&str) -> Answer + Send>;

/// Bytes for one request.
pub struct Answer {
    bytes: Vec<u8>,
    hold: bool,
}

impl Answer {
    /// These bytes, with nothing added.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Answer {
        Answer { bytes: bytes.into(), hold: false }
    }

    /// A 200 with a body of server-sent events, as they are.
    pub fn events(body: impl AsRef<[u8]>) -> Answer {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
        Answer::raw([head.as_bytes(), body.as_ref()].concat())
    }

    /// A whole answer of this status with a JSON body.
    pub fn json(status: u16, body: &str) -> Answer {
        Answer::raw(format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        ))
    }

    /// The connection stays open after the bytes.
    pub fn held_open(mut self) -> Answer {
        self.hold = true;
        self
    }
}

/// The server; it ends when this is dropped.
pub struct Scripted {
    address: SocketAddr,
    accepting: tokio::task::JoinHandle<()>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    /// Starts it; `script` is asked for every request.
    pub async fn start(script: impl FnMut(&str) -> Answer + Send + 'static) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let script: Arc<Mutex<Script>> = Arc::new(Mutex::new(Box::new(script)));
        let log = asked.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(answer(client, script.clone(), log.clone()));
            }
        });
        Scripted { address, accepting, asked }
    }

    /// `http://` and where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The heads of all requests so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn answer(mut client: TcpStream, script: Arc<Mutex<Script>>, asked: Arc<Mutex<Vec<String>>>) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !request.windows(4).any(|four| four == b"\r\n\r\n") {
        let Ok(count @ 1..) = client.read(&mut buffer).await else { return };
        request.extend_from_slice(&buffer[..count]);
    }
    let head = String::from_utf8_lossy(&request).into_owned();
    asked.lock().unwrap().push(head.clone());
    let answer = (script.lock().unwrap())(&head);
    if client.write_all(&answer.bytes).await.is_err() {
        return;
    }
    if answer.hold {
        // Open until the client closes; what it still says is not for us.
        while let Ok(1..) = client.read(&mut buffer).await {}
    }
}
