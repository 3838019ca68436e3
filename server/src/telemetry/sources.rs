//! Numbers from other sources, kept fresh: whoever asks for one never waits.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use storyflag_release::evidence::Reading;
use tokio::{
    task::AbortHandle,
    time::{MissedTickBehavior, interval},
};

use super::Prometheus;
use crate::config::SourcesConfig;

const READ_EVERY: Duration = Duration::from_secs(5);
/// What was told longer ago is not so now: twice what a slow answer takes.
const FRESH: Duration = Duration::from_secs(20);
/// Different queries that are asked at once.
const QUERIES: usize = 100;

/// The sources of this node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sources {
    prometheus: Option<Prometheus>,
    queries: Arc<Mutex<HashMap<String, Query>>>,
}

/// A query that somebody wants to know the answer of.
#[derive(Debug)]
struct Query {
    latest: Latest,
    asking: Option<Asking>,
}

type Latest = Arc<Mutex<Option<(Instant, Reading)>>>;

/// Ends with whoever holds it.
#[derive(Debug)]
struct Asking(AbortHandle);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Sources {
    /// Those that are configured.
    pub fn new(config: &SourcesConfig) -> Self {
        Self { prometheus: config.prometheus.as_deref().map(Prometheus::new), queries: Arc::default() }
    }

    /// These queries, and no others, are asked from now on, every five seconds. Called again with the same, it changes
    /// nothing.
    pub fn want<'q>(&self, queries: impl IntoIterator<Item = &'q str>) {
        let wanted: HashSet<&str> = queries.into_iter().collect();
        let mut known = self.queries();
        known.retain(|query, _| wanted.contains(query.as_str()));
        for query in wanted {
            if !known.contains_key(query) {
                known.insert(query.to_owned(), Query { latest: Latest::default(), asking: None });
            }
        }
        let Some(prometheus) = &self.prometheus else { return };
        let asked = known.values().filter(|query| query.asking.is_some()).count();
        let waiting = known.iter_mut().filter(|(_, query)| query.asking.is_none());
        for (text, query) in waiting.take(QUERIES.saturating_sub(asked)) {
            let asking = ask_forever(prometheus.clone(), text.clone(), Arc::clone(&query.latest));
            query.asking = Some(Asking(tokio::spawn(asking).abort_handle()));
        }
    }

    /// What a query answered last: none where it is not wanted, or was not answered yet.
    pub fn latest(&self, query: &str) -> Option<Reading> {
        let (latest, is_asked) = {
            let known = self.queries();
            let query = known.get(query)?;
            (Arc::clone(&query.latest), query.asking.is_some())
        };
        if self.prometheus.is_none() {
            return Some(Reading::SourceError("no Prometheus is configured: STORYFLAG_PROMETHEUS_URL".to_owned()));
        }
        if !is_asked {
            return Some(Reading::SourceError(format!("more than {QUERIES} different queries are wanted at once")));
        }
        let latest = latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.as_ref().map(|(at, reading)| match at.elapsed() {
            age if age <= FRESH => reading.clone(),
            age => Reading::SourceError(format!("the last answer is {} s old", age.as_secs())),
        })
    }

    fn queries(&self) -> MutexGuard<'_, HashMap<String, Query>> {
        self.queries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn ask_forever(prometheus: Prometheus, query: String, latest: Latest) {
    let mut ticks = interval(READ_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let reading = prometheus.read(&query).await;
        if let Reading::SourceError(why) = &reading {
            tracing::debug!(query, why, "a query told no number");
        }
        *latest.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), reading));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("q{number:03}")).collect()
    }

    #[tokio::test]
    async fn without_prometheus_every_query_says_so() {
        let sources = Sources::new(&SourcesConfig::default());
        assert_eq!(sources.latest("up"), None);
        sources.want(["up"]);
        let Some(Reading::SourceError(why)) = sources.latest("up") else { panic!("no answer") };
        assert!(why.contains("STORYFLAG_PROMETHEUS_URL"), "{why}");
        sources.want([]);
        assert_eq!(sources.latest("up"), None);
    }

    #[tokio::test]
    async fn a_hundred_queries_are_asked_and_the_next_when_there_is_room() {
        // Nobody listens there; what is not asked yet is told nothing of.
        let sources = Sources::new(&SourcesConfig { prometheus: Some("http://127.0.0.1:9".to_owned()) });
        let names = names(QUERIES + 20);
        sources.want(names.iter().map(String::as_str));
        let refused = |names: &[String]| {
            let told = names.iter().filter_map(|name| sources.latest(name));
            told.filter(|reading| matches!(reading, Reading::SourceError(why) if why.starts_with("more than 100"))).count()
        };
        assert_eq!(refused(&names), 20);
        sources.want(names.iter().skip(30).map(String::as_str));
        assert_eq!(refused(&names), 0);
        assert_eq!(sources.queries().len(), QUERIES - 10);
    }
}
