//! A client of bare sockets, and an SDK that believes nothing.

use std::{collections::HashMap, net::SocketAddr};

use serde::Deserialize;
use serde_json::value::RawValue;
use storyflag_evaluation::{Change, Identity, Ruleset};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{KEY, PATIENCE};

/// One connection with one answer.
pub(crate) struct Client {
    socket: TcpStream,
    unread: Vec<u8>,
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
}

/// One server-sent event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: Option<Identity>,
    pub(crate) data: String,
}

impl Event {
    pub(crate) fn read(text: &str) -> Self {
        let mut event = Self { name: String::new(), id: None, data: String::new() };
        for line in text.lines() {
            match line.split_once(": ") {
                Some(("event", name)) => event.name = name.to_owned(),
                Some(("id", id)) => event.id = Some(id.parse().unwrap()),
                Some(("data", data)) => event.data.push_str(data),
                _ => assert_eq!(line, ""),
            }
        }
        event
    }
}

/// Sends a request and reads the head of the answer.
pub(crate) async fn request(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Client {
    let socket = TcpStream::connect(address).await.unwrap();
    request_on(socket, method, path, headers, body).await
}

async fn request_on(mut socket: TcpStream, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Client {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    socket.write_all(head.as_bytes()).await.unwrap();
    // Who is refused early may be cut off while it still sends.
    let _ = socket.write_all(body).await;
    let mut client = Client { socket, unread: Vec::new(), status: 0, headers: HashMap::new() };
    let head = client.read_until(b"\r\n\r\n").await.expect("an answer");
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    client.status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    client.headers =
        lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    client
}

pub(crate) fn bearer() -> String {
    format!("Bearer {KEY}")
}

impl Client {
    pub(crate) async fn get(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Self {
        let bearer = bearer();
        let headers: Vec<_> = [("authorization", bearer.as_str())].into_iter().chain(headers.iter().copied()).collect();
        request(address, "GET", path, &headers, b"").await
    }

    pub(crate) async fn stream(address: SocketAddr, applied: Option<Identity>) -> Self {
        let applied = applied.map(|applied| applied.to_string());
        let headers: Vec<_> = applied.iter().map(|applied| ("last-event-id", applied.as_str())).collect();
        Self::get(address, "/sdk/v1/stream", &headers).await
    }

    /// The whole body of an answer with a length.
    pub(crate) async fn body(&mut self) -> Vec<u8> {
        let length: usize = self.headers["content-length"].parse().unwrap();
        while self.unread.len() < length {
            assert!(self.read().await, "the body is cut short");
        }
        self.unread.drain(..length).collect()
    }

    pub(crate) async fn json(&mut self) -> serde_json::Value {
        serde_json::from_slice(&self.body().await).unwrap()
    }

    /// The next event; none when the stream has ended.
    pub(crate) async fn event(&mut self) -> Option<Event> {
        let mut text = String::new();
        while !text.ends_with("\n\n") {
            let size = self.read_until(b"\r\n").await?;
            let size = usize::from_str_radix(str::from_utf8(&size).unwrap().trim(), 16).unwrap();
            if size == 0 {
                assert_eq!(text, "", "the stream ends within an event");
                return None;
            }
            while self.unread.len() < size + 2 {
                if !self.read().await {
                    return None;
                }
            }
            text.push_str(str::from_utf8(&self.unread[..size]).unwrap());
            self.unread.drain(..size + 2);
        }
        Some(Event::read(&text))
    }

    /// The next event that is no heartbeat.
    pub(crate) async fn news(&mut self) -> Option<Event> {
        loop {
            match self.event().await {
                Some(event) if event.name == "heartbeat" => {}
                other => return other,
            }
        }
    }

    /// The head that the next event, a heartbeat, tells.
    pub(crate) async fn heartbeat(&mut self) -> Identity {
        let event = self.event().await.expect("a heartbeat");
        assert_eq!((event.name.as_str(), event.id), ("heartbeat", None), "{event:?}");
        let data: serde_json::Value = serde_json::from_str(&event.data).unwrap();
        data["head"].as_str().unwrap().parse().unwrap()
    }

    /// Whether the other end closed it, whatever it still sent.
    pub(crate) async fn is_cut(&mut self) -> bool {
        while self.read().await {}
        true
    }

    async fn read_until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.unread.windows(end.len()).position(|window| window == end) {
                return Some(self.unread.drain(..at + end.len()).collect());
            }
            if !self.read().await {
                return None;
            }
        }
    }

    async fn read(&mut self) -> bool {
        let read = timeout(PATIENCE, self.socket.read_buf(&mut self.unread)).await.expect("something within twenty seconds");
        read.is_ok_and(|count| count > 0)
    }
}

#[derive(Deserialize)]
struct Whole<'a> {
    format: u32,
    #[serde(borrow)]
    flags: Vec<&'a RawValue>,
    #[serde(borrow)]
    cohorts: Vec<&'a RawValue>,
    absorbed: Vec<String>,
}

#[derive(Deserialize)]
struct ChangeData<'a> {
    format: u32,
    from: u64,
    #[serde(borrow)]
    put: Put<'a>,
    remove: Remove,
}

#[derive(Deserialize)]
struct Put<'a> {
    #[serde(borrow, default)]
    flags: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    cohorts: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Remove {
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    cohorts: Vec<String>,
}

/// Applies what it is sent, and panics about everything that a careful SDK would refuse.
pub(crate) struct Sdk {
    pub(crate) client: Client,
    pub(crate) ruleset: Ruleset,
    /// How many times it got the whole.
    pub(crate) wholes: usize,
}

impl Sdk {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::reconnect(address, Ruleset::empty(), None).await
    }

    pub(crate) async fn reconnect(address: SocketAddr, ruleset: Ruleset, applied: Option<Identity>) -> Self {
        let client = Client::stream(address, applied).await;
        assert_eq!(client.status, 200);
        Self { client, ruleset, wholes: 0 }
    }

    /// Reads until this is applied.
    pub(crate) async fn reach(&mut self, identity: Identity) {
        while self.ruleset.identity() != identity {
            let event = self.client.news().await.expect("the stream goes on");
            self.apply(&event);
        }
    }

    pub(crate) fn apply(&mut self, event: &Event) {
        self.wholes += usize::from(event.name == "ruleset");
        self.ruleset = take(&self.ruleset, event);
    }
}

/// What an SDK runs after an event.
pub(crate) fn take(ruleset: &Ruleset, event: &Event) -> Ruleset {
    let (before, identity) = (ruleset.identity(), event.id.unwrap());
    let next = match event.name.as_str() {
        "ruleset" => compile(identity, &event.data, ruleset),
        "change" => apply(identity, &event.data, ruleset),
        other => panic!("{other}"),
    };
    assert!(next.is_whole(), "{identity} has another digest: {}", event.data);
    assert!(identity.pair() >= before.pair(), "from {before} back to {identity}");
    next
}

pub(crate) fn compile(identity: Identity, data: &str, previous: &Ruleset) -> Ruleset {
    let whole: Whole<'_> = serde_json::from_str(data).unwrap();
    assert_eq!((whole.format, whole.absorbed.len()), (1, 0));
    Ruleset::compile(identity, &texts(&whole.flags), &texts(&whole.cohorts), Some(previous))
}

fn apply(identity: Identity, data: &str, ruleset: &Ruleset) -> Ruleset {
    let change: ChangeData<'_> = serde_json::from_str(data).unwrap();
    assert_eq!(change.format, 1);
    let change = Change {
        from: change.from,
        identity,
        put_flags: &texts(&change.put.flags),
        put_cohorts: &texts(&change.put.cohorts),
        remove_flags: &change.remove.flags.iter().map(String::as_str).collect::<Vec<_>>(),
        remove_cohorts: &change.remove.cohorts.iter().map(String::as_str).collect::<Vec<_>>(),
    };
    ruleset.apply(&change).unwrap_or_else(|error| panic!("{error}: from {} by {data} to {identity}", ruleset.identity()))
}

fn texts<'a>(raw: &[&'a RawValue]) -> Vec<&'a str> {
    raw.iter().map(|raw| raw.get()).collect()
}
