//! The layer that opens a scope for every request, and finishes it when the head of the answer leaves.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use hyper::{HeaderMap, Request, Response, StatusCode, header::HeaderName, http::Extensions};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    Outcome,
    current::{Current, Lent},
    scope::Work,
    watching::is_anything_watched,
};

/// Made once: a name that is given as text is parsed at every look.
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// What an answer begins with: all that there is to judge it by.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Head<'a> {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// What handlers and other layers left beside it.
    pub extensions: &'a Extensions,
}

impl Head<'_> {
    /// How an answer is judged unless the application says otherwise.
    ///
    /// A status of 4xx is the caller's fault and 5xx is ours. So is 408, which layers that bound the time of a handler
    /// answer with; 499 is a client that went away. Where there is a `grpc-status` beside 200, it decides: those codes
    /// that OpenTelemetry takes for a server's fault are errors.
    pub fn outcome(&self) -> Outcome {
        let grpc = self.headers.get(&GRPC_STATUS).filter(|_| self.status == StatusCode::OK);
        if let Some(code) = grpc {
            return match code.as_bytes() {
                b"0" => Outcome::Success,
                b"1" => Outcome::Cancelled,
                b"3" | b"5" | b"6" | b"7" | b"8" | b"9" | b"10" | b"11" | b"16" => Outcome::Failure,
                _ => Outcome::Error,
            };
        }
        match self.status.as_u16() {
            408 | 500.. => Outcome::Error,
            499 => Outcome::Cancelled,
            400.. => Outcome::Failure,
            _ => Outcome::Success,
        }
    }
}

/// Lets the outcomes of requests report themselves: a `tower` layer for axum, tonic, hyper and whatever else is a service
/// of requests.
///
/// ```
/// use axum::{Router, routing::get};
/// use storyflag::{Head, Outcome, OutcomeLayer};
///
/// # let _: Router = {
/// let shop = Router::new().route("/checkout", get(|| async { "paid" })).layer(OutcomeLayer::new());
/// # shop };
///
/// // Only the application knows that a card may be declined.
/// let layer = OutcomeLayer::new().classify(|head: &Head<'_>| match head.status.as_u16() {
///     402 => Outcome::Success,
///     _ => head.outcome(),
/// });
/// # let _: Router = Router::new().layer(layer);
/// ```
///
/// Put it outside of layers that bound the time of a handler: what they end is an answer there, and inside of them no more
/// than a future that was dropped. A panic is an error, whoever catches it.
#[derive(Debug, Clone, Copy)]
pub struct OutcomeLayer<C = fn(&Head<'_>) -> Outcome> {
    classify: C,
}

impl OutcomeLayer {
    /// Judges answers by [`Head::outcome`].
    pub fn new() -> Self {
        Self { classify: |head| head.outcome() }
    }
}

impl Default for OutcomeLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<C> OutcomeLayer<C> {
    /// Judges answers by `classify` instead. A service that fails without an answer is an [`Outcome::Error`] anyway.
    pub fn classify<D: Fn(&Head<'_>) -> Outcome + Clone>(self, classify: D) -> OutcomeLayer<D> {
        OutcomeLayer { classify }
    }
}

impl<S, C: Clone> Layer<S> for OutcomeLayer<C> {
    type Service = OutcomeService<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        OutcomeService { inner, classify: self.classify.clone() }
    }
}

/// A service behind an [`OutcomeLayer`].
#[derive(Debug, Clone, Copy)]
pub struct OutcomeService<S, C = fn(&Head<'_>) -> Outcome> {
    inner: S,
    classify: C,
}

impl<S, C, I, O> Service<Request<I>> for OutcomeService<S, C>
where
    S: Service<Request<I>, Response = Response<O>>,
    C: Fn(&Head<'_>) -> Outcome + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = OutcomeFuture<S::Future, C>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<I>) -> Self::Future {
        // Without a watched flag in the process there is nothing to credit, and no clock to read.
        let mut open = Open(is_anything_watched().then(|| Current::Own(Box::new(Work::begin()))));
        let future = open.enter(|| self.inner.call(request));
        OutcomeFuture { future, open, classify: self.classify.clone() }
    }
}

pin_project! {
    /// The future of an [`OutcomeService`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct OutcomeFuture<F, C> {
        #[pin]
        future: F,
        open: Open,
        classify: C,
    }
}

impl<F, C, O, E> Future for OutcomeFuture<F, C>
where
    F: Future<Output = Result<Response<O>, E>>,
    C: Fn(&Head<'_>) -> Outcome,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let future = this.future;
        let answer = ready!(this.open.enter(|| future.poll(context)));
        if let Some(work) = &mut this.open.0 {
            work.finish(answer.as_ref().map_or(Outcome::Error, |answer| {
                (this.classify)(&Head { status: answer.status(), headers: answer.headers(), extensions: answer.extensions() })
            }));
        }
        Poll::Ready(answer)
    }
}

/// A request that has no answer yet. Tasks that carry its scope do not hold up its end.
struct Open(Option<Current>);

impl Open {
    /// Runs a part of the request.
    fn enter<T>(&mut self, part: impl FnOnce() -> T) -> T {
        if self.0.is_none() {
            return part();
        }
        let _lent = Lent::new(&mut self.0);
        part()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(work) = &mut self.0 {
            work.finish(Outcome::Cancelled);
        }
    }
}

impl fmt::Debug for Open {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Open").field(&self.0.is_some()).finish()
    }
}
