//! The one file that owns the socket: HTTP/1.1 requests on TCP, with or without TLS.

use std::{
    fmt,
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::{
    Method, Request, StatusCode,
    body::{Body, Bytes, Frame, Incoming, SizeHint},
    client::conn::http1::{self, SendRequest},
    header::{self, HeaderMap, HeaderValue},
    rt::ReadBufCursor,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::{endpoint::Endpoint, key::SdkKey, problem::Problem};

/// Name look-up, TCP and TLS together.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// From the request to the head of its answer, and between two parts of a body.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// Enough for what comes in one piece; hyper's own default is 400 KiB.
const BUFFER: usize = 64 * 1024;

/// Makes connections, and puts on every request what all of them carry.
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    authorization: HeaderValue,
    #[cfg(feature = "tls")]
    tls: crate::tls::Tls,
}

/// One open connection; closed when dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    endpoint: Endpoint,
    authorization: HeaderValue,
    sender: SendRequest<Whole>,
    socket: Moving,
}

/// What moves bytes between the socket and hyper. It runs in the task that waits for them, and only while that waits: a
/// task of its own would have to be woken for every event, and then wake the other.
struct Moving(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Moving {
    fn poll(&mut self, context: &mut Context<'_>) {
        if self.0.as_mut().is_some_and(|moving| moving.as_mut().poll(context).is_ready()) {
            self.0 = None;
        }
    }

    /// Moves bytes until `waiting` has what it waits for.
    async fn until<T>(&mut self, mut waiting: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
        poll_fn(|context| {
            if let Poll::Ready(ready) = waiting(context) {
                return Poll::Ready(ready);
            }
            self.poll(context);
            waiting(context)
        })
        .await
    }
}

impl fmt::Debug for Moving {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_some() { "Moving" } else { "Ended" })
    }
}

/// What to ask for.
#[derive(Debug, Default)]
pub(crate) struct Ask<'a> {
    pub(crate) path: &'a str,
    pub(crate) accept: &'static str,
    /// A header that says what is applied already.
    pub(crate) applied: Option<(header::HeaderName, String)>,
    /// A body of JSON, which makes it a POST.
    pub(crate) json: Option<Vec<u8>>,
}

impl Connector {
    /// Connections of one client.
    pub(crate) fn new(key: &SdkKey, #[cfg(feature = "tls")] tls: crate::tls::Tls) -> Self {
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", key.as_str())).unwrap_or_else(|_| HeaderValue::from_static(""));
        authorization.set_sensitive(true);
        Self {
            authorization,
            #[cfg(feature = "tls")]
            tls,
        }
    }

    /// Connects.
    ///
    /// # Errors
    /// [`Problem::Unreachable`]: nothing has been asked yet.
    pub(crate) async fn open(&self, endpoint: &Endpoint) -> Result<Connection, Problem> {
        match tokio::time::timeout(CONNECT_WITHIN, self.handshake(endpoint)).await {
            Ok(Ok((sender, socket))) => {
                let (endpoint, authorization) = (endpoint.clone(), self.authorization.clone());
                Ok(Connection { endpoint, authorization, sender, socket })
            }
            Ok(Err(why)) => Err(Problem::Unreachable(format!("{endpoint}: {why}"))),
            Err(_) => Err(Problem::Unreachable(format!("{endpoint}: no answer within {} s", CONNECT_WITHIN.as_secs()))),
        }
    }

    async fn handshake(&self, endpoint: &Endpoint) -> io::Result<(SendRequest<Whole>, Moving)> {
        let tcp = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?;
        tcp.set_nodelay(true)?;
        #[cfg(feature = "tls")]
        if endpoint.tls {
            return http(self.tls.connect(&endpoint.host, tcp).await?).await;
        }
        http(tcp).await
    }
}

async fn http(socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> io::Result<(SendRequest<Whole>, Moving)> {
    let (sender, connection) = http1::Builder::new().max_buf_size(BUFFER).handshake(Socket(socket)).await.map_err(io::Error::other)?;
    let moving = async move {
        // What goes wrong here is told by the answer that does not come.
        let _ = connection.await;
    };
    Ok((sender, Moving(Some(Box::pin(moving)))))
}

impl Connection {
    /// Whether another request can be sent.
    pub(crate) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Sends a request and returns its answer, whatever its status.
    ///
    /// # Errors
    /// [`Problem::Unreachable`] if certainly nothing has been sent; else the fate of the request is unknown.
    pub(crate) async fn ask(&mut self, ask: Ask<'_>) -> Result<Answer<'_>, Problem> {
        let request = self.request(ask)?;
        let Self { sender, socket, .. } = self;
        // Whether the service has closed a connection that was kept is seen by looking.
        poll_fn(|context| {
            socket.poll(context);
            Poll::Ready(())
        })
        .await;
        if let Err(error) = socket.until(|context| sender.poll_ready(context)).await {
            return Err(Problem::Unreachable(error.to_string()));
        }
        let mut answer = pin!(sender.send_request(request));
        let answer = within(socket.until(|context| answer.as_mut().poll(context))).await?;
        let (head, body) = answer.map_err(|error| broken(&error))?.into_parts();
        Ok(Answer { status: head.status, headers: head.headers, body, socket })
    }

    fn request(&self, ask: Ask<'_>) -> Result<Request<Whole>, Problem> {
        let method = if ask.json.is_some() { Method::POST } else { Method::GET };
        let mut request = Request::builder()
            .method(method)
            .uri(self.endpoint.target(ask.path))
            .header(header::HOST, &self.endpoint.authority)
            .header(header::AUTHORIZATION, &self.authorization)
            .header(header::ACCEPT, ask.accept)
            .header(header::USER_AGENT, concat!("storyflag-rust/", env!("CARGO_PKG_VERSION")));
        if let Some((name, value)) = ask.applied {
            request = request.header(name, value);
        }
        if ask.json.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = Whole(ask.json.map(Bytes::from));
        request.body(body).map_err(|error| Problem::Unreachable(error.to_string()))
    }
}

/// An answer whose body has yet to be read.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    status: StatusCode,
    headers: HeaderMap,
    body: Incoming,
    socket: &'a mut Moving,
}

impl Answer<'_> {
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// A header, where it is text.
    pub(crate) fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The problem that the status is.
    pub(crate) fn problem(&self) -> Problem {
        let seconds = self.header(header::RETRY_AFTER).and_then(|text| text.trim().parse().ok());
        Problem::Status { status: self.status.as_u16(), retry_after: seconds.map(Duration::from_secs) }
    }

    /// The next bytes of the body as they come; `None` at its end. Waits for as long as it takes.
    ///
    /// # Errors
    /// When the connection breaks.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            let Self { body, socket, .. } = self;
            match socket.until(|context| Pin::new(&mut *body).poll_frame(context)).await {
                None => return Ok(None),
                Some(Err(error)) => return Err(broken(&error)),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }

    /// The whole body.
    ///
    /// # Errors
    /// When the connection breaks or goes silent, or the body is longer than `limit`, which is told without reading it.
    pub(crate) async fn whole(mut self, limit: usize) -> Result<Vec<u8>, Problem> {
        let too_long = || Problem::Garbage { what: "a body", why: format!("it is longer than {limit} bytes") };
        if self.body.size_hint().lower() > u64::try_from(limit).unwrap_or(u64::MAX) {
            return Err(too_long());
        }
        let mut whole = Vec::new();
        while let Some(chunk) = within(self.chunk()).await?? {
            if whole.len().saturating_add(chunk.len()) > limit {
                return Err(too_long());
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole)
    }
}

async fn within<F: Future>(future: F) -> Result<F::Output, Problem> {
    tokio::time::timeout(ANSWER_WITHIN, future).await.map_err(|_| Problem::Silent)
}

fn broken(error: &hyper::Error) -> Problem {
    // hyper says little itself; the cause says more.
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    Problem::Broken(format!("{error}{cause}"))
}

/// A request's body: all of it at once, or nothing.
#[derive(Debug)]
struct Whole(Option<Bytes>);

impl Body for Whole {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| u64::try_from(bytes.len()).unwrap_or(u64::MAX)))
    }
}

/// tokio's sockets in hyper's words. One copy on the way in, for which hyper-util and its unsafe code stay out.
#[derive(Debug)]
struct Socket<S>(S);

impl<S: AsyncRead + Unpin> hyper::rt::Read for Socket<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, mut into: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let mut room = [0; 8 * 1024];
        let length = room.len().min(into.remaining());
        let mut read = ReadBuf::new(room.get_mut(..length).unwrap_or_default());
        ready!(Pin::new(&mut self.0).poll_read(context, &mut read))?;
        into.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> hyper::rt::Write for Socket<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
