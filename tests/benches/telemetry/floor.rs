//! What nobody can do without: a bare axum that reads a message and drops it.

use axum::{Router, body::Bytes, routing::post};
use storyflag::TelemetryMessage;
use tokio::net::TcpListener;

/// Serves `POST /sdk/v1/telemetry`.
pub async fn serve(listener: TcpListener) {
    let router = Router::new().route("/sdk/v1/telemetry", post(take));
    let builder = hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new());
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

async fn take(bytes: Bytes) -> axum::http::StatusCode {
    match serde_json::from_slice::<TelemetryMessage>(&bytes) {
        Ok(message) => {
            std::hint::black_box(&message);
            axum::http::StatusCode::NO_CONTENT
        }
        Err(_) => axum::http::StatusCode::BAD_REQUEST,
    }
}
