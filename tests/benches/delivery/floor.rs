//! What nobody can do without: a bare axum that sends bytes to whoever listens.

use std::convert::Infallible;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::header,
    response::IntoResponse,
    routing::{get, post},
};
use futures_util::stream;
use tokio::{net::TcpListener, sync::watch};

/// The last bytes that were sent, which every stream waits for.
type Latest = watch::Sender<Bytes>;

/// Serves `GET /stream`, `POST /send` (to every stream, before the answer) and `GET /read` (the last bytes).
pub async fn serve(listener: TcpListener) {
    let latest = Latest::new(Bytes::from_static(b": hello\n\n"));
    let router = Router::new().route("/stream", get(open)).route("/send", post(send)).route("/read", get(read)).with_state(latest);
    // The same bound on hyper's buffers as ours, or the comparison of memory would be of defaults.
    let mut builder = hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new());
    builder.http1().max_buf_size(8 * 1024);
    loop {
        let Ok((socket, _)) = listener.accept().await else { return };
        let _ = socket.set_nodelay(true);
        let service = hyper_util::service::TowerToHyperService::new(router.clone());
        let builder = builder.clone();
        tokio::spawn(async move {
            let _ = builder.serve_connection(hyper_util::rt::TokioIo::new(socket), service).await;
        });
    }
}

async fn open(State(latest): State<Latest>) -> impl IntoResponse {
    let events = stream::unfold((latest.subscribe(), true), |(mut latest, first)| async move {
        if !first {
            latest.changed().await.ok()?;
        }
        let bytes = latest.borrow_and_update().clone();
        Some((Ok::<_, Infallible>(bytes), (latest, false)))
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(events))
}

async fn send(State(latest): State<Latest>, bytes: Bytes) {
    latest.send_replace(bytes);
}

async fn read(State(latest): State<Latest>) -> impl IntoResponse {
    let bytes = latest.borrow().clone();
    ([(header::CONTENT_TYPE, "application/json")], bytes)
}
