//! A TCP proxy: the network between two programs, which a test can cut, delay, stall and throttle.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the network does with bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Network {
    /// Passes them on.
    Open,
    /// Closes every connection, and every new one at once.
    Cut,
    /// Passes them on this much later.
    Delayed(Duration),
    /// Keeps connections open and passes nothing on; reads nothing either, so a writer's buffers fill.
    Stalled,
    /// Passes on at most this many bytes a second towards the client.
    Throttled(u32),
}

#[derive(Clone)]
struct State {
    network: Network,
    /// New connections go to them in turn.
    targets: Vec<SocketAddr>,
}

/// Listens on a port of its own and passes connections on to a target, or to several in turn.
pub struct Proxy {
    address: SocketAddr,
    state: Arc<watch::Sender<State>>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// A proxy to `target`, open at first.
    pub async fn to(target: SocketAddr) -> Proxy {
        Proxy::between(vec![target]).await
    }

    /// A proxy that gives each connection to the next of several, open at first.
    pub async fn between(targets: Vec<SocketAddr>) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().unwrap();
        let state = Arc::new(watch::Sender::new(State { network: Network::Open, targets }));
        let accepting = tokio::spawn(accept(listener, state.clone()));
        Proxy { address, state, accepting }
    }

    /// Where the proxy listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://` and where the proxy listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes the network, for open connections too.
    pub fn set(&self, network: Network) {
        self.state.send_modify(|state| state.network = network);
    }

    /// New connections go to `target` from now on, the open ones stay where they are.
    pub fn retarget(&self, target: SocketAddr) {
        self.state.send_modify(|state| state.targets = vec![target]);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.set(Network::Cut);
    }
}

async fn accept(listener: TcpListener, state: Arc<watch::Sender<State>>) {
    for turn in 0.. {
        let Ok((client, _)) = listener.accept().await else { return };
        let State { network, targets } = state.borrow().clone();
        if network != Network::Cut {
            tokio::spawn(carry(client, targets[turn % targets.len()], state.subscribe()));
        }
    }
}

async fn carry(client: TcpStream, target: SocketAddr, mut state: watch::Receiver<State>) {
    let Ok(server) = TcpStream::connect(target).await else { return };
    let (client_reads, client_writes) = client.into_split();
    let (server_reads, server_writes) = server.into_split();
    tokio::select! {
        () = pass(client_reads, server_writes, state.clone(), false) => {}
        () = pass(server_reads, client_writes, state.clone(), true) => {}
        _ = state.wait_for(|state| state.network == Network::Cut) => {}
    }
}

/// Passes bytes on until one side ends. `to_client` is the direction that a throttle holds.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<State>, to_client: bool) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        if state.wait_for(|state| state.network != Network::Stalled).await.is_err() {
            return;
        }
        let network = state.borrow().network;
        let room = match network {
            Network::Throttled(per_second) if to_client => (per_second as usize / 20).clamp(1, buffer.len()),
            _ => buffer.len(),
        };
        let Ok(count @ 1..) = from.read(&mut buffer[..room]).await else { return };
        let network = state.borrow().network;
        match network {
            Network::Delayed(by) => tokio::time::sleep(by).await,
            Network::Throttled(_) if to_client => tokio::time::sleep(Duration::from_millis(50)).await,
            _ => {}
        }
        // Stalled while we waited for these bytes: they wait too.
        if state.wait_for(|state| state.network != Network::Stalled).await.is_err() {
            return;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
