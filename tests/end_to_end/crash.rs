//! `kill -9` of the server in the middle of many writes, again and again: what was acknowledged is there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use storyflag::{Client, State};
use storyflag_tests::actors::{Actor, STAGING};
use storyflag_tests::eventually::when;
use storyflag_tests::postgres::Postgres;
use storyflag_tests::process::Process;
use storyflag_tests::proxy::Proxy;
use storyflag_tests::served::served;
use storyflag_tests::workdir::Workdir;
use storyflag_tests::{Backend, eventually, on_both_databases};
use tokio::sync::Notify;
use tokio::task::JoinSet;

const ROUNDS: usize = 20;
/// Writers at once, each with a flag of its own and so many writes a round: 1,000 writes.
const WRITERS: usize = 50;
const WRITES: usize = 20;
/// The node is killed after some of them, at most so many.
const ENOUGH: usize = 250;

on_both_databases!(what_was_acknowledged_survives_kill_9);

async fn what_was_acknowledged_survives_kill_9(backend: Backend) {
    let seed = std::env::var("STORYFLAG_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("STORYFLAG_TEST_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let workdir = Workdir::new("crash");
    let database = match backend {
        Backend::Sqlite => format!("sqlite:{}", workdir.file("storyflag.db").display()),
        Backend::Postgres => Postgres::shared().create_database().await,
    };
    let log = workdir.file("node.log");
    let mut node = Process::start(&database, &log).await;
    let first = node.first_start.clone().expect("the first start on this database");
    let key = &first.keys.iter().find(|(environment, _)| environment == STAGING).unwrap().1;
    let mut admin = node.actor(&first.token);
    for writer in 0..WRITERS {
        admin.create_flag(&flag(writer)).await;
    }
    let proxy = Proxy::to(node.address()).await;
    // Of a service that is killed every second; a backoff of half a minute would only make the test longer.
    let application = Client::builder(proxy.url(), key).longest_wait(Duration::from_millis(500)).connect().await.unwrap();
    let mut known = Known::default();
    for round in 0..ROUNDS {
        let acknowledged = write_until_killed(node, &admin, round, random.usize(1..=ENOUGH)).await;
        node = Process::start(&database, &log).await;
        proxy.retarget(node.address());
        admin = node.actor(&first.token);
        known.check(&admin, &acknowledged, round).await;
        converges(&application, &admin, key).await;
    }
}

fn flag(writer: usize) -> String {
    format!("US-{writer}-crash")
}

/// Each write of a flag says more than every one before it: what stands tells which of them was the last.
fn percentage(round: usize, write: usize) -> f64 {
    (round * WRITES + write + 1) as f64 / 10.0
}

/// An acknowledged write.
struct Acknowledged {
    writer: usize,
    revision: u64,
    percentage: f64,
}

/// All writers write at once; the node is killed as soon as `enough` writes were acknowledged.
async fn write_until_killed(node: Process, admin: &Actor, round: usize, enough: usize) -> Vec<Acknowledged> {
    let count = Arc::new(AtomicUsize::new(0));
    let reached = Arc::new(Notify::new());
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (admin, count, reached) = (admin.clone(), count.clone(), reached.clone());
        writers.spawn(async move {
            let mut acknowledged = Vec::new();
            let mut write = 0;
            while write < WRITES {
                let percentage = percentage(round, write);
                let body = json!({"percentage": percentage});
                let path = format!("flags/{}/rollout", flag(writer));
                // Killed: what became of this write nobody knows.
                let Ok(answer) = admin.request(reqwest::Method::PATCH, &path).json(&body).try_send().await else { break };
                // In a crowd before a slow disk one may be told to come back.
                if answer.status == 503 {
                    continue;
                }
                let revision = answer.expect(200).number("revision");
                write += 1;
                acknowledged.push(Acknowledged { writer, revision, percentage });
                if count.fetch_add(1, Ordering::Relaxed) + 1 == enough {
                    reached.notify_one();
                }
            }
            acknowledged
        });
    }
    reached.notified().await;
    node.kill().await;
    writers.join_all().await.into_iter().flatten().collect()
}

/// What every later state must contain.
#[derive(Default)]
struct Known {
    /// Revision to flag and percentage, as history tells them: it is only ever added to.
    history: BTreeMap<u64, (String, f64)>,
    head: u64,
}

impl Known {
    async fn check(&mut self, admin: &Actor, acknowledged: &[Acknowledged], round: usize) {
        let head = admin.revision().await;
        self.read_history(admin, head).await;
        let gapless: BTreeSet<u64> = (1..=head).collect();
        assert_eq!(self.history.keys().copied().collect::<BTreeSet<u64>>(), gapless, "round {round}: history has a gap, or too much");
        for Acknowledged { writer, revision, percentage } in acknowledged {
            let told = self.history.get(revision);
            assert_eq!(told, Some(&(flag(*writer), *percentage)), "round {round}: revision {revision} was acknowledged");
        }
        let mut last: BTreeMap<&str, f64> = BTreeMap::new();
        for (flag, percentage) in self.history.values() {
            last.insert(flag, *percentage);
        }
        let listed = admin.get("flags?limit=1000").await.expect(200).json;
        for targeting in listed["flags"].as_array().expect("targetings") {
            let (key, stands) = (targeting["key"].as_str().unwrap(), targeting["percentage"].as_f64().unwrap());
            assert_eq!(last[key], stands, "round {round}: {key} stands where its history ends");
        }
        assert!(head >= self.head + acknowledged.len() as u64, "round {round}: {head} after {}", self.head);
        self.head = head;
    }

    /// Adds what history tells after the head that was known; what was known must still be told.
    async fn read_history(&mut self, admin: &Actor, head: u64) {
        let mut after = String::new();
        loop {
            let page = admin.get(&format!("changes?limit=500&after={after}")).await.expect(200).json;
            let changes = page["changes"].as_array().expect("changes");
            for change in changes.iter().filter(|change| change["kind"] == "flag") {
                let revision = change["revision"].as_u64().expect("of a flag that is served");
                let percentage = change["after"]["rollout"]["millionths"].as_f64().unwrap() / 10_000.0;
                let told = (change["key"].as_str().unwrap().to_owned(), percentage);
                let known = self.history.insert(revision, told.clone());
                assert!(known.is_none_or(|known| known == told), "revision {revision} of {head} tells {told:?} now");
            }
            let oldest = changes.iter().filter_map(|change| change["revision"].as_u64()).min();
            match page["next"].as_str() {
                Some(next) if oldest.is_none_or(|oldest| oldest > self.head) => next.clone_into(&mut after),
                _ => return,
            }
        }
    }
}

/// The same client over all rounds comes to serve the node's head, whose digest is right.
async fn converges(application: &Client, admin: &Actor, key: &str) {
    let head = served(admin, key).await;
    assert_eq!(head.revision, admin.revision().await);
    eventually(&format!("the application streams and serves {head}"), || async {
        let status = application.status();
        when(status.state == State::Streaming && status.identity == Some(head), &status)
    })
    .await;
}
