//! A socket whose other end must take what is written.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

use super::Limits;

/// How long the other end's machine may leave data unacknowledged: then it is gone, whatever the kernel's patience. Never
/// shorter than what a write may take, since to the kernel a client that does not read is one that does not acknowledge.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// What a client of HTTP/2 says first.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) struct Socket {
    stream: TcpStream,
    limits: Limits,
    /// Runs until it is known which HTTP is spoken: each has limits of its own, and they begin then.
    silence: Option<Pin<Box<Sleep>>>,
    /// How many bytes of HTTP/2's preface came.
    preface: usize,
    /// Runs while a write is pending.
    pending: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, limits: Limits) -> Self {
        // Events are small and want to leave at once.
        let _ = stream.set_nodelay(true);
        #[cfg(target_os = "linux")]
        let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED.max(limits.write)));
        Self { stream, limits, silence: Some(Box::pin(sleep(limits.head))), preface: 0, pending: None }
    }

    /// Whether all that was said may still become HTTP/2.
    fn is_still_unclear(&mut self, said: &[u8]) -> bool {
        let expected = HTTP2_PREFACE.get(self.preface..).unwrap_or_default();
        self.preface = self.preface.saturating_add(said.len());
        said.len() < expected.len() && expected.starts_with(said)
    }

    /// The outcome of a write: an error once it has been pending for too long.
    fn patient<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.pending = None;
            return outcome;
        }
        let limit = self.limits.write;
        let pending = self.pending.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(pending.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")))
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Some(mut silence) = self.silence.take() else { return Pin::new(&mut self.stream).poll_read(context, buffer) };
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        if outcome.is_ready() {
            if self.is_still_unclear(buffer.filled().get(before..).unwrap_or_default()) {
                self.silence = Some(silence);
            }
            return outcome;
        }
        let over = silence.as_mut().poll(context);
        self.silence = Some(silence);
        ready!(over);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client says nothing")))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.patient(context, outcome)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffers: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.patient(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
