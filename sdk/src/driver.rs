//! Drives the protocol: opens the stream, feeds what comes to the state machines and does what they say.

use std::{pin::pin, sync::Arc, time::Duration};

use hyper::header;
use tokio::{
    select,
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

use storyflag_evaluation::Ruleset;

use crate::{
    backoff::Jitter,
    connection::{Ask, Connector},
    endpoint::Endpoint,
    ladder::Ladder,
    lists::{Found, Wanted},
    problem::Problem,
    protocol::{Action, Protocol},
    shared::Shared,
    sse::{EVENT_LIMIT, Event, Parser},
    status::State,
    stored::Snapshot,
};

/// Events beyond this many bytes are compiled on a thread of their own.
const LARGE: usize = 256 * 1024;

/// One client's conversation with its service.
#[derive(Debug)]
pub(crate) struct Driver {
    pub(crate) shared: Arc<Shared>,
    pub(crate) connector: Connector,
    pub(crate) endpoints: Arc<[Endpoint]>,
    pub(crate) protocol: Protocol,
    pub(crate) ladder: Ladder,
    /// What times count from.
    pub(crate) origin: Instant,
    /// Whether to say what is applied, or to be sent everything.
    pub(crate) presents: bool,
    /// When this stream first brought what it should.
    pub(crate) confirmed_at: Option<Duration>,
    pub(crate) wanted: watch::Sender<Vec<Wanted>>,
    pub(crate) found: mpsc::Receiver<Found>,
    /// What the disk cache should hold; `None` where there is no disk cache, or nothing yet.
    pub(crate) snapshot: watch::Sender<Option<Arc<Snapshot>>>,
}

/// Why a stream is over.
enum End {
    Failed(Problem),
    Goodbye(Duration, Duration),
}

impl Driver {
    /// Keeps what is served up to date, for ever.
    pub(crate) async fn run(&mut self) {
        self.want_lists();
        loop {
            self.confirmed_at = None;
            let end = self.stream().await;
            let now = self.now();
            let healthy_for = self.confirmed_at.map_or(Duration::ZERO, |since| now.saturating_sub(since));
            match end {
                End::Goodbye(least, most) => {
                    tracing::debug!("storyflag: the node says goodbye");
                    self.shared.stale();
                    let wait = self.ladder.goodbye(Jitter::random().between(least, most), healthy_for, Jitter::random());
                    self.pause(now.saturating_add(wait)).await;
                }
                End::Failed(problem) => {
                    self.shared.tell(&problem);
                    let wait = self.ladder.failed(&problem, healthy_for, now, Jitter::random());
                    self.tell_ladder();
                    // While polls go on and work, nothing is stale for want of a stream.
                    if self.shared.condition().state != State::Polling || self.ladder.poll_at().is_none() {
                        self.shared.stale();
                    }
                    self.pause(now.saturating_add(wait)).await;
                }
            }
        }
    }

    /// One stream, from its request to its end.
    async fn stream(&mut self) -> End {
        match self.follow().await {
            Ok(end) => end,
            Err(problem) => End::Failed(problem),
        }
    }

    async fn follow(&mut self) -> Result<End, Problem> {
        let mut connection = self.connector.open(&self.endpoint()?).await?;
        let applied = self.presented().map(|identity| (header::HeaderName::from_static("last-event-id"), identity));
        let ask = Ask { path: "/sdk/v1/stream", accept: "text/event-stream", applied, json: None };
        let mut answer = connection.ask(ask).await?;
        if answer.status() != 200 {
            return Err(answer.problem());
        }
        if !answer.header(header::CONTENT_TYPE).is_some_and(|kind| kind.starts_with("text/event-stream")) {
            return Err(Problem::NotEvents);
        }
        self.protocol.begin(self.now());
        let mut parser = Parser::new(EVENT_LIMIT);
        // Set again only when it rings: every event puts the deadline off, and almost none is met.
        let mut alarm = pin!(sleep_until(self.at(self.protocol.deadline())));
        loop {
            let deadline = self.at(self.protocol.deadline());
            if deadline < alarm.deadline() {
                alarm.as_mut().reset(deadline);
            }
            let action = select! {
                chunk = answer.chunk() => {
                    let chunk = chunk?.ok_or(Problem::Ended)?;
                    self.protocol.heard(self.now());
                    let whole = parser.feed(&chunk);
                    while let Some(event) = parser.next() {
                        if let Some(end) = self.receive(event).await {
                            return Ok(end);
                        }
                    }
                    whole.map_err(Problem::TooLong)?;
                    Action::Nothing
                }
                Some(found) = self.found.recv() => self.take(found),
                () = &mut alarm => {
                    let action = self.protocol.time_passed(self.shared.applied(), self.now());
                    alarm.as_mut().reset(self.at(self.protocol.deadline()));
                    action
                }
            };
            if let Some(end) = self.act(action) {
                return Ok(end);
            }
        }
    }

    async fn receive(&mut self, event: Event) -> Option<End> {
        let action = self.understand(event).await;
        let end = self.act(action);
        if end.is_none() && self.protocol.is_confirmed() {
            self.confirmed_at.get_or_insert(self.now());
            self.ladder.confirmed();
            self.shared.confirmed(State::Streaming);
        }
        end
    }

    /// Asks the protocol. A large ruleset takes long enough to compile that the application's tasks should not wait for it.
    async fn understand(&mut self, event: Event) -> Action {
        let is_large = event.data.len() > LARGE;
        let (shared, now) = (Arc::clone(&self.shared), self.now());
        let receive = move |protocol: &mut Protocol| {
            let served = shared.served();
            let applied = served.is_ready.then_some(&served.ruleset);
            protocol.receive(applied, &event.name, event.id.as_deref(), &event.data, now)
        };
        if !is_large {
            return receive(&mut self.protocol);
        }
        let mut protocol = std::mem::take(&mut self.protocol);
        let received = tokio::task::spawn_blocking(move || {
            let action = receive(&mut protocol);
            (protocol, action)
        });
        match received.await {
            Ok((protocol, action)) => {
                self.protocol = protocol;
                action
            }
            // The runtime is ending, and this task with it.
            Err(error) => Action::Reconnect(Problem::Broken(error.to_string())),
        }
    }

    /// Does what the protocol says; returns the end of the stream if it says so.
    fn act(&mut self, action: Action) -> Option<End> {
        match action {
            Action::Nothing => {}
            Action::Serve(ruleset) => self.serve(*ruleset),
            Action::Kept(problem) => {
                self.shared.tell(&problem);
                self.shared.stale();
                self.shared.change(|condition| condition.has_answer = true);
            }
            Action::Reconnect(problem) => return Some(End::Failed(problem)),
            Action::AskWhole(problem) => {
                self.presents = false;
                return Some(End::Failed(problem));
            }
            Action::Goodbye(least, most) => return Some(End::Goodbye(least, most)),
        }
        None
    }

    fn serve(&mut self, ruleset: Ruleset) {
        self.presents = true;
        self.shared.serve(ruleset);
        self.want_lists();
        if let (Some(texts), Some(identity)) = (self.protocol.texts(), self.shared.applied()) {
            let (kills, absorbed) = (self.protocol.kills().collect(), self.protocol.absorbed().clone());
            let snapshot = Snapshot { identity, texts: texts.clone(), kills, absorbed };
            self.snapshot.send_replace(Some(Arc::new(snapshot)));
        }
    }

    fn want_lists(&self) {
        let served = self.shared.served();
        let missing = served.ruleset.missing_lists();
        let missing: Vec<Wanted> = missing.map(|(cohort, digest)| Wanted { cohort: cohort.into(), digest: digest.into() }).collect();
        self.wanted.send_if_modified(|wanted| {
            let differs = *wanted != missing;
            *wanted = missing;
            differs
        });
    }

    fn take(&mut self, found: Found) -> Action {
        let served = self.shared.served();
        match found {
            Found::List(wanted, list) => match Protocol::list(&served.ruleset, &wanted.cohort, &wanted.digest, list) {
                Some(ruleset) => Action::Serve(Box::new(ruleset)),
                None => Action::Nothing,
            },
            Found::Unknown(wanted) => {
                let still = served.ruleset.missing_lists().any(|missing| missing == (wanted.cohort.as_str(), wanted.digest.as_str()));
                if still { Action::AskWhole(Problem::UnknownList(wanted.cohort)) } else { Action::Nothing }
            }
            Found::Failed(problem) => {
                self.shared.tell(&problem);
                Action::Nothing
            }
        }
    }

    /// Waits for the next try of the stream, and polls beside it when it is time.
    async fn pause(&mut self, until: Duration) {
        loop {
            let poll_at = self.ladder.poll_at();
            let next = self.at(poll_at.map_or(until, |poll_at| poll_at.min(until)));
            select! {
                Some(found) = self.found.recv() => {
                    // A list says nothing about the ruleset: whether that is presented again stays as it was decided.
                    let presents = self.presents;
                    let action = self.take(found);
                    self.act(action);
                    self.presents &= presents;
                }
                () = sleep_until(next) => {
                    let now = self.now();
                    if poll_at.is_some_and(|poll_at| poll_at <= now) {
                        self.poll_and_tell().await;
                    }
                    if until <= self.now() {
                        return;
                    }
                }
            }
        }
    }

    async fn poll_and_tell(&mut self) {
        let polled = self.poll().await;
        if let Err(problem) = &polled {
            self.shared.tell(problem);
            self.shared.stale();
        } else if self.protocol.is_confirmed() {
            self.shared.confirmed(State::Polling);
        }
        self.ladder.polled(polled.is_ok(), self.now(), Jitter::random());
        self.tell_ladder();
    }

    /// Asks for the ruleset once, beside the stream.
    async fn poll(&mut self) -> Result<(), Problem> {
        let mut connection = self.connector.open(&self.endpoint()?).await?;
        let applied = self.presented().map(|identity| (header::IF_NONE_MATCH, format!("\"{identity}\"")));
        let ask = Ask { path: "/sdk/v1/ruleset", accept: "application/json", applied, json: None };
        let answer = connection.ask(ask).await?;
        self.protocol.begin(self.now());
        match answer.status().as_u16() {
            200 => {}
            304 => {
                self.protocol.confirm();
                return Ok(());
            }
            _ => return Err(answer.problem()),
        }
        let tag = answer.header(header::ETAG).unwrap_or_default();
        let identity = tag.trim_start_matches("W/").trim_matches('"').to_owned();
        let data = answer.whole(EVENT_LIMIT).await?;
        let action = self.understand(Event { name: "ruleset".into(), id: Some(identity), data }).await;
        match self.act(action) {
            Some(End::Failed(problem)) => Err(problem),
            _ => Ok(()),
        }
    }

    /// What is applied, where the service should know it.
    fn presented(&self) -> Option<String> {
        self.shared.applied().filter(|_| self.presents).map(|identity| identity.to_string())
    }

    fn endpoint(&self) -> Result<Endpoint, Problem> {
        self.endpoints.get(self.ladder.endpoint()).cloned().ok_or_else(|| Problem::Unreachable("no endpoint".into()))
    }

    fn tell_ladder(&self) {
        self.shared.change(|condition| {
            condition.endpoint = self.ladder.endpoint();
            condition.all_failed |= self.ladder.all_failed();
        });
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn at(&self, time: Duration) -> Instant {
        self.origin.checked_add(time).unwrap_or(self.origin)
    }
}
