//! How long it takes from the end of a window in which everything failed until the rollback is committed and served.
//!
//! The whole service, on SQLite. Each release has two instances that report every second, at a moment of their own; from
//! some second on every request of the treatment fails. The clock runs from the moment at which the first such report is
//! sent to the moment at which an application hears of the rollback.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use reqwest::Client as Http;
use serde_json::{Value, json};
use storyflag::{Client, Context};
use storyflag_evaluation::Arm;
use storyflag_tests::{Backend, House, eventually};
use tokio::{
    sync::Mutex,
    task::JoinSet,
    time::{MissedTickBehavior, interval_at},
};

use crate::{line, percentile, plans};

/// Requests of an instance in a window, in each arm.
const REQUESTS: u64 = 50;

/// One release: when its window ended in which everything failed, and when the rollback was heard of.
#[derive(Debug, Default, Clone, Copy)]
struct Trial {
    failed: Option<Instant>,
    back: Option<Instant>,
}

type Trials = Arc<Mutex<Vec<Trial>>>;

pub async fn measure(count: usize) -> bool {
    let house = House::new(Backend::Sqlite).await;
    plans::create(&house, count, "  - { percentage: 50, bake: 1h }\n", |_| json!({})).await;
    let flags = house.application("staging").await;
    for number in 0..count {
        plans::start(&house, number).await;
    }
    let users = Arc::new(served(&flags, count).await);
    let trials: Trials = Arc::new(Mutex::new(vec![Trial::default(); count]));
    let mut tasks = JoinSet::new();
    for number in 0..count {
        let telling = Telling {
            http: Http::new(),
            url: format!("{}/sdk/v1/telemetry", house.url()),
            key: house.key("staging").to_owned(),
            flags: flags.clone(),
            number,
            revision: revision(&house, number).await,
        };
        tasks.spawn(telling.run(Arc::clone(&trials)));
    }
    hear(&flags, &users, &trials).await;
    tasks.shutdown().await;
    let took = |trial: &Trial| (trial.back.unwrap() - trial.failed.unwrap()).as_secs_f64() * 1e3;
    let mut took: Vec<f64> = trials.lock().await.iter().map(took).collect();
    // A second until the node writes what it heard, a second until it is looked at, and a commit.
    let median = line(&format!("from a window's end to the rollback, of {count}: p50"), percentile(&mut took, 50), 1_500.0, "ms");
    let worst = line("the same: p99", percentile(&mut took, 99), 2_500.0, "ms");
    flags.close().await;
    for node in house.nodes {
        node.stop().await;
    }
    median & worst
}

/// A user of each release's treatment, once all are served.
async fn served(flags: &Client, count: usize) -> Vec<Context> {
    let user = |number: usize| {
        let flag = plans::flag(number);
        (0..64).map(|user| Context::new(format!("user-{user}"))).find(|user| {
            let detail = flags.detail(&flag, user);
            detail.arm == Arm::Treatment && flags.is_on(&flag, user)
        })
    };
    eventually("every step is served", || async {
        let users: Option<Vec<Context>> = (0..count).map(user).collect();
        users.ok_or_else(|| "not yet".to_owned())
    })
    .await
}

/// The revision that set the rollout of a release.
async fn revision(house: &House, number: usize) -> u64 {
    let path = format!("releases/DP-{number}-checkout-1");
    let release = house.editor().in_environment("staging").get(&path).await.expect(200).json;
    release["steps"][0]["revision"].as_u64().unwrap()
}

/// Notes when each rollback is heard of, until all are.
async fn hear(flags: &Client, users: &[Context], trials: &Trials) {
    let mut changes = flags.changes();
    loop {
        let now = Instant::now();
        let mut trials = trials.lock().await;
        for (number, (trial, user)) in trials.iter_mut().zip(users).enumerate() {
            if trial.back.is_none() && !flags.is_on(&plans::flag(number), user) {
                assert!(trial.failed.is_some(), "release {number} was turned back without a reason");
                trial.back = Some(now);
            }
        }
        if trials.iter().all(|trial| trial.back.is_some()) {
            return;
        }
        drop(trials);
        tokio::time::timeout(Duration::from_secs(60), changes.next()).await.expect("they are turned back");
    }
}

/// Two instances that ask for one flag.
struct Telling {
    http: Http,
    url: String,
    key: String,
    flags: Client,
    number: usize,
    revision: u64,
}

impl Telling {
    async fn run(self, trials: Trials) {
        let phase = Duration::from_millis(fastrand::u64(0..1_000));
        let mut ticks = interval_at((Instant::now() + phase).into(), Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let good = 4 + self.number as u64 % 8;
        for sequence in 1.. {
            ticks.tick().await;
            let fails = sequence > good;
            if sequence == good + 1 {
                trials.lock().await[self.number].failed = Some(Instant::now());
            }
            tokio::join!(self.tell(0, sequence, fails), self.tell(1, sequence, fails));
        }
    }

    async fn tell(&self, instance: u64, sequence: u64, fails: bool) {
        let errors = if fails { REQUESTS } else { 0 };
        let message = json!({
            "format": 1, "instance": format!("{:016x}{instance:016x}", self.number), "sequence": sequence, "sdk": "bench/1",
            "applied": self.flags.status().identity.unwrap().to_string(),
            "watched": [self.arm("treatment", instance, errors), self.arm("control", instance, 0)],
        });
        let sent = self.http.post(&self.url).bearer_auth(&self.key).json(&message).send().await;
        assert!(sent.unwrap().status().is_success());
    }

    fn arm(&self, arm: &str, instance: u64, errors: u64) -> Value {
        let units: Vec<String> = (0..errors.min(8)).map(|unit| format!("{:016x}", instance * 1_000 + unit)).collect();
        let event = json!({"count": errors, "at_risk": REQUESTS, "first": errors, "units": units});
        json!({"flag": plans::flag(self.number), "rollout_revision": self.revision, "arm": arm, "requests": REQUESTS,
            "success": REQUESTS - errors, "error": errors, "new_units": 0, "events": {"error": event, "not_success": event}})
    }
}
