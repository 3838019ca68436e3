//! One attempt to deliver: a POST on a connection of its own. A redirect is an answer like any other, and never followed.

use std::{io, sync::Arc, time::Duration};

use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::OnceCell,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName, version},
};
use tokio_util::task::AbortOnDropHandle;

use super::{address::Address, signature::sign};
use crate::app::now_ms;

/// Heads of answers that are longer than this are no answers.
const LONGEST_HEAD: usize = 64 * 1024;
const LONGEST_WHY: usize = 300;
const AGENT: &str = concat!("storyflag/", env!("CARGO_PKG_VERSION"));

/// What is sent, and where to.
pub(super) struct Outgoing<'a> {
    pub(super) url: &'a str,
    pub(super) secret: &'a str,
    /// The message's id, the same at every attempt.
    pub(super) id: &'a str,
    pub(super) body: &'a str,
}

/// Why it did not arrive, for all we know.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) why: String,
    /// The receiver said that nobody is there any more.
    pub(super) gone: bool,
    /// The receiver said when to come back.
    pub(super) retry_after: Option<Duration>,
}

impl Failed {
    fn because(why: impl ToString) -> Self {
        let why = why.to_string().chars().take(LONGEST_WHY).collect();
        Self { why, gone: false, retry_after: None }
    }
}

/// Sends webhooks. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Webhooks {
    /// Made for the first receiver that speaks TLS.
    tls: Arc<OnceCell<TlsConnector>>,
}

impl Webhooks {
    /// Delivers, within this time.
    pub(super) async fn post(&self, outgoing: &Outgoing<'_>, within: Duration) -> Result<(), Failed> {
        let silent = |_| Failed::because(format!("no answer within {within:?}"));
        let (status, headers) = tokio::time::timeout(within, self.answered(outgoing)).await.map_err(silent)??;
        judge(status, &headers)
    }

    async fn answered(&self, outgoing: &Outgoing<'_>) -> Result<(StatusCode, HeaderMap), Failed> {
        let address = Address::parse(outgoing.url).map_err(|why| Failed::because(format!("the address {why}")))?;
        let request = request(&address, outgoing).map_err(Failed::because)?;
        let tcp = TcpStream::connect((address.host.as_str(), address.port)).await.map_err(Failed::because)?;
        let response = if address.tls {
            let connector = self.tls.get_or_try_init(connector).await.map_err(Failed::because)?;
            let name = ServerName::try_from(address.host.clone()).map_err(Failed::because)?;
            send(connector.connect(name, tcp).await.map_err(Failed::because)?, request).await
        } else {
            send(tcp, request).await
        };
        let (head, _) = response.map_err(Failed::because)?.into_parts();
        Ok((head.status, head.headers))
    }
}

fn request(address: &Address, outgoing: &Outgoing<'_>) -> Result<Request<Full<Bytes>>, String> {
    let timestamp = now_ms().checked_div(1_000).unwrap_or_default();
    let signature = sign(outgoing.secret, outgoing.id, timestamp, outgoing.body)?;
    let request = Request::post(&address.target)
        .header(header::HOST, &address.authority)
        .header(header::USER_AGENT, AGENT)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONNECTION, "close")
        .header("webhook-id", outgoing.id)
        .header("webhook-timestamp", timestamp)
        .header("webhook-signature", signature);
    request.body(Full::from(outgoing.body.to_owned())).map_err(|error| error.to_string())
}

async fn send(
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<http::Response<Incoming>, hyper::Error> {
    let (mut sender, connection) = http1::Builder::new().max_buf_size(LONGEST_HEAD).handshake(TokioIo::new(socket)).await?;
    // What goes wrong there is told by the answer that does not come.
    let _moving = AbortOnDropHandle::new(tokio::spawn(connection));
    sender.send_request(request).await
}

/// What an answer means.
fn judge(status: StatusCode, headers: &HeaderMap) -> Result<(), Failed> {
    if status.is_success() {
        return Ok(());
    }
    let note = if status.is_redirection() { ", and redirects are not followed" } else { "" };
    let seconds = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let retry_after = seconds.map(Duration::from_secs);
    Err(Failed { gone: status == StatusCode::GONE, retry_after, ..Failed::because(format!("answered {}{note}", status.as_u16())) })
}

/// Trusts the Mozilla roots and those of the system, to which operators add their own.
async fn connector() -> io::Result<TlsConnector> {
    let native = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await.map_err(io::Error::other)?;
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    // A system without any is no fault.
    roots.add_parsable_certificates(native.certs);
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
