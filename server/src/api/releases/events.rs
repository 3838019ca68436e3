//! A release, live.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream;
use http::HeaderMap;
use tokio::{sync::mpsc, time::MissedTickBehavior};

use super::{ReleasePath, state_of, timeline::EntryView, told};
use crate::{
    api::{body::At, problems::ReadProblems},
    app::{App, Entry, Place},
    auth::Caller,
    error::Error,
    scheduler::Scheduler,
};

/// How often a release is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// A proxy that closes what is silent hears something so often.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Events on their way to one reader; who does not read stops the looking.
const WAITING: usize = 8;

/// Follows a release: `release` whenever it changes, at most once a second, and `timeline` for each transition
///
/// `Last-Event-ID` is the number of the last transition that was read: those after it come first. The stream ends some
/// seconds after the release has.
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/releases/{release}/events", tag = "releases",
    params(ReleasePath, ("Last-Event-ID" = Option<String>, Header, description = "The number of the last transition that was read")),
    responses((status = 200, description = "Events `release` and `timeline`", body = String, content_type = "text/event-stream"), ReadProblems))]
pub async fn release_events(
    State(app): State<App>,
    State(scheduler): State<Scheduler>,
    caller: Caller,
    At(at): At<ReleasePath>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let place = app.place(&caller, &at.project, &at.environment).await?;
    app.find_release_row(&place, &at.release).await?;
    let read = headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(|id| id.trim().parse().ok()).unwrap_or(0);
    let (sender, mut receiver) = mpsc::channel(WAITING);
    tokio::spawn(Following { app, scheduler, place, release: at.release, read, last: String::new(), sender }.follow());
    let events = stream::poll_fn(move |context| receiver.poll_recv(context));
    let stream = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    Ok(([("x-accel-buffering", "no")], stream).into_response())
}

struct Following {
    app: App,
    scheduler: Scheduler,
    place: Place,
    release: String,
    /// The number of the last transition that was sent.
    read: i64,
    /// The release as it was sent last.
    last: String,
    sender: mpsc::Sender<Result<Event, Infallible>>,
}

impl Following {
    /// Until the release has ended, or nobody reads.
    async fn follow(mut self) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.sender.closed() => return,
                _ = ticks.tick() => {}
            }
            match self.look().await {
                Ok(true) => {}
                // With the database away, it is looked at again.
                Err(Error::Unavailable { .. }) => {}
                Ok(false) | Err(_) => return,
            }
        }
    }

    /// Sends what is new; false once there will be nothing more.
    async fn look(&mut self) -> Result<bool, Error> {
        let row = self.app.find_release_row(&self.place, &self.release).await?;
        let state = state_of(&self.app, &self.scheduler, &self.place, row).await?;
        let view = told(&state);
        for row in state.transitions.iter().filter(|row| row.number > self.read) {
            let entry = EntryView::of(Entry::transition(row), &state);
            let event = Event::default().event("timeline").id(row.number.to_string());
            let Ok(event) = event.json_data(entry) else { continue };
            if self.sender.send(Ok(event)).await.is_err() {
                return Ok(false);
            }
        }
        self.read = state.transitions.last().map_or(self.read, |row| row.number);
        let text = serde_json::to_string(&view).map_err(Error::internal)?;
        if text != self.last {
            self.last.clone_from(&text);
            if self.sender.send(Ok(Event::default().event("release").data(text))).await.is_err() {
                return Ok(false);
            }
        }
        Ok(!view.ended)
    }
}
