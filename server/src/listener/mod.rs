//! The accept loop: HTTP/1.1 and HTTP/2 on one port, with every buffer and every wait bounded.
//!
//! Thousands of idle streams are the normal state, so a connection holds little: hyper's read buffer of 8 KiB, its own
//! state, and the stream's. A client that does not read is cut off by its socket, since a body cannot see that it is not
//! being written.

mod socket;

use std::{convert::Infallible, io, net::SocketAddr, time::Duration};

use axum::{Router, extract::ConnectInfo, response::Response};
use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::Service;

use self::socket::Socket;

/// HTTP/1's buffers: what the head of a request may fill, and what is encoded ahead of a slow reader.
const HTTP1_BUFFER: usize = 16 * 1_024;
const HTTP1_HEADERS: usize = 100;
/// HTTP/2: for each connection. Few streams, since one whose client gives it no window keeps what it is to be sent for as long
/// as the connection answers pings: neither hyper nor h2 bounds that, and the socket's own patience does not see it.
const HTTP2_STREAMS: u32 = 32;
const HTTP2_HEADERS: u32 = 16 * 1_024;
const HTTP2_SEND_BUFFER: usize = 16 * 1_024;
const HTTP2_PING_EVERY: Duration = Duration::from_secs(20);
/// Out of sockets: there is nothing to do but wait for some to be closed.
const PAUSE_WITHOUT_SOCKETS: Duration = Duration::from_millis(200);

/// How long connections may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For the head of a request; also how long a connection may be silent before the next.
    pub head: Duration,
    /// For a write that the client does not take. Then the connection is cut.
    pub write: Duration,
    /// For what is under way when the server ends. Then it is cut.
    pub ending: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head: Duration::from_secs(30), write: Duration::from_secs(10), ending: Duration::from_secs(10) }
    }
}

/// Serves `router` on `listener` until `shutdown`, then finishes what is under way.
///
/// Streams do not end by themselves: drain the hub first. Handlers find the client's address as [`ConnectInfo`].
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken, limits: Limits) {
    let builder = builder(limits);
    let graceful = GracefulShutdown::new();
    let cut = CancellationToken::new();
    while let Some(accepted) = shutdown.run_until_cancelled(accept(&listener)).await {
        let Some((stream, peer)) = accepted else { continue };
        let service = service(router.clone(), peer);
        let connection = builder.serve_connection(TokioIo::new(Socket::new(stream, limits)), service).into_owned();
        let connection = graceful.watch(connection);
        let cut = cut.clone();
        tokio::spawn(async move {
            if let Some(Err(error)) = cut.run_until_cancelled(connection).await {
                tracing::debug!(%peer, error, "the connection ended early");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.ending, graceful.shutdown()).await.is_err() {
        tracing::warn!("connections were cut: they did not end in time");
        cut.cancel();
    }
}

fn builder(limits: Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_headers(HTTP1_HEADERS)
        .max_buf_size(HTTP1_BUFFER)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS)
        .max_header_list_size(HTTP2_HEADERS)
        .max_send_buf_size(HTTP2_SEND_BUFFER)
        .keep_alive_interval(HTTP2_PING_EVERY);
    builder
}

fn service(
    router: Router,
    peer: SocketAddr,
) -> impl hyper::service::Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send + 'static> + Send + 'static {
    service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        // A router is always ready.
        router.clone().call(request)
    })
}

/// The next connection; none if it failed.
async fn accept(listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
    match listener.accept().await {
        Ok(accepted) => Some(accepted),
        Err(error) => {
            let of_the_client = [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset, io::ErrorKind::ConnectionRefused]
                .contains(&error.kind());
            if !of_the_client {
                tracing::error!(%error, "no connection can be accepted");
                tokio::time::sleep(PAUSE_WITHOUT_SOCKETS).await;
            }
            None
        }
    }
}
