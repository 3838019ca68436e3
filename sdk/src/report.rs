//! What a client reports: that it is there, which ruleset it runs, how often each variant was served, and the outcomes of
//! what is watched.

use std::{sync::Arc, time::Duration};

use storyflag_evaluation::FORMAT;
use tokio::{
    select,
    time::{sleep, timeout},
};

use crate::{
    backoff::Jitter,
    connection::{Ask, Connection, Connector},
    endpoint::Endpoint,
    message::{ArmCounts, TelemetryMessage},
    outcomes::Seconds,
    problem::Problem,
    shared::Shared,
    usage::Report,
};

const EVERY: Duration = Duration::from_secs(10);
/// The first report comes early, so that the service knows its instances, and not at once for all that start together.
const FIRST_WITHIN: Duration = Duration::from_secs(1);
const GOODBYE_WITHIN: Duration = Duration::from_secs(2);
/// After a failure that says nothing of when to come back. Outcomes wait for longer than this.
const PAUSE_WITHIN: Duration = Duration::from_secs(2);
/// The service takes no larger message; what can be done without is left out of one.
const LARGEST: usize = 240 * 1024;
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Sends reports.
#[derive(Debug)]
pub(crate) struct Reporter {
    shared: Arc<Shared>,
    connector: Connector,
    endpoints: Arc<[Endpoint]>,
    instance: String,
    sequence: u64,
    /// The message that is on its way: a report may be cut short by the client's end.
    under_way: Option<(Report, Seconds)>,
    /// Kept open between reports.
    connection: Option<(usize, Connection)>,
}

impl Reporter {
    /// The reporter of a new instance.
    pub(crate) fn new(shared: Arc<Shared>, connector: Connector, endpoints: Arc<[Endpoint]>) -> Self {
        let instance = format!("{:032x}", fastrand::u128(..));
        Self { shared, connector, endpoints, instance, sequence: 0, under_way: None, connection: None }
    }

    /// Reports for ever, from the first ruleset on.
    pub(crate) async fn run(&mut self) {
        let mut condition = self.shared.watch_condition();
        if condition.wait_for(|condition| condition.has_answer).await.is_err() {
            return;
        }
        sleep(Jitter::random().of(FIRST_WITHIN)).await;
        loop {
            let pause = match self.report(false).await {
                Ok(()) => Duration::ZERO,
                Err(problem) => {
                    tracing::debug!(%problem, "storyflag: a report was not sent");
                    problem.retry_after().unwrap_or_else(|| Jitter::random().of(PAUSE_WITHIN)).min(LONGEST_PAUSE)
                }
            };
            sleep(pause).await;
            // Every second while something is watched.
            select! {
                () = self.shared.outcomes().second() => {}
                () = sleep(EVERY.saturating_sub(pause)) => {}
            }
        }
    }

    /// Says that this client is ending, if that can be said quickly.
    pub(crate) async fn say_goodbye(&mut self) {
        if !self.shared.condition().has_answer {
            return;
        }
        self.shared.outcomes().close_second(true);
        if let Ok(Err(problem)) | Err(problem) = timeout(GOODBYE_WITHIN, self.report(true)).await.map_err(|_| Problem::Silent) {
            tracing::debug!(%problem, "storyflag: goodbye was not sent");
        }
    }

    async fn report(&mut self, goodbye: bool) -> Result<(), Problem> {
        self.settle();
        let (report, seconds) = (self.shared.usage().report(), self.shared.outcomes().take());
        let mut message = TelemetryMessage {
            format: FORMAT,
            instance: self.instance.clone(),
            sequence: self.sequence.saturating_add(1),
            sdk: concat!("rust/", env!("CARGO_PKG_VERSION")).to_owned(),
            applied: self.shared.applied(),
            goodbye,
            usage: report.served.clone(),
            watched: seconds.sum(),
            dropped_seconds: seconds.dropped,
        };
        self.under_way = Some((report, seconds));
        let mut json = encode(&message)?;
        if json.len() > LARGEST {
            message.watched.iter_mut().for_each(ArmCounts::leave_out_details);
            json = encode(&message)?;
        }
        let sent = self.send(json).await;
        // What certainly was not taken is reported with what comes next.
        if let Err(Problem::Unreachable(_) | Problem::Status { status: 401 | 403 | 404 | 429 | 503, .. }) = &sent
            && let Some((_, seconds)) = self.under_way.take()
        {
            self.shared.outcomes().put_back(seconds);
        }
        self.settle();
        sent
    }

    /// Where the fate of a message is unknown, it is never sent again: counting twice would be worse than a gap in the
    /// sequence, which shows.
    fn settle(&mut self) {
        if let Some((report, _)) = self.under_way.take() {
            self.sequence = self.sequence.saturating_add(1);
            self.shared.usage().sent(report);
        }
    }

    async fn send(&mut self, json: Vec<u8>) -> Result<(), Problem> {
        let index = self.shared.condition().endpoint;
        let open = self.connection.take().filter(|(endpoint, connection)| *endpoint == index && connection.is_open());
        let mut connection = match open {
            Some((_, connection)) => connection,
            None => {
                let endpoint = self.endpoints.get(index).ok_or_else(|| Problem::Unreachable("no endpoint".into()))?;
                self.connector.open(endpoint).await?
            }
        };
        let ask = Ask { path: "/sdk/v1/telemetry", accept: "application/json", applied: None, json: Some(json) };
        let answer = connection.ask(ask).await?;
        let (status, problem) = (answer.status(), answer.problem());
        // Read to its end, or the connection could not be used again.
        answer.whole(64 * 1024).await?;
        self.connection = Some((index, connection));
        if status.is_success() { Ok(()) } else { Err(problem) }
    }
}

fn encode(message: &TelemetryMessage) -> Result<Vec<u8>, Problem> {
    serde_json::to_vec(message).map_err(|error| Problem::Garbage { what: "a report", why: error.to_string() })
}
