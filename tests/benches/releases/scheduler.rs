//! What a thousand releases under way cost a node, on SQLite: every second all of them have counts, and every second some
//! of them take a step.
//!
//! The seconds are those of the releases' clock, one after the other without a pause. What a node's scheduler does in each
//! is measured as the processor time of the whole process, the database's threads included; what it is told, a row with
//! two or three arms of every release, is written before and not measured.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use cpu_time::ProcessTime;
use jiff::Timestamp;
use prometheus_client::registry::Registry;
use serde_json::json;
use storyflag_evaluation::{Arm, Identity};
use storyflag_release::{
    evidence::{ArmCounts, EventCounts},
    run::{Heard, NodeSecond, Watched},
};
use storyflag_server::{
    app::{App, AppBooks},
    publish::{Bus, Hub, Options},
    scheduler::{Follower, Stored},
    store::{SecondRow, Store},
    telemetry::Telemetry,
};
use storyflag_tests::{Backend, House};
use tokio_util::sync::CancellationToken;

use crate::{line, metered::Metered, part, plans};

/// Seconds in which most releases start.
const STARTING: i64 = 20;
/// Seconds that are measured: each quiet release is written down once in them.
const MEASURED: i64 = 60;
/// Those that start while it is measured: what steps of five minutes each come to.
const STEPS_PER_S: f64 = 1_000.0 / 300.0;
/// Processes that report.
const INSTANCES: usize = 20;
const STEPS: &str = "  - { percentage: 1, bake: 5m }
  - { percentage: 5, bake: 5m }
  - { percentage: 10, bake: 5m }
  - { percentage: 50, bake: 5m }
  - { percentage: 100, bake: 5m }
";

struct Scene {
    store: Store,
    environment: i64,
    follower: Follower<Metered>,
    /// What the environment stood at when it was looked at last.
    stood: Option<(u64, i64)>,
}

pub async fn measure(count: usize) -> bool {
    let house = House::new(Backend::Sqlite).await;
    let begin = Timestamp::now().as_millisecond() / 1_000 + 3_600;
    let late = (STEPS_PER_S * MEASURED as f64) as usize;
    let starts = |number: usize| {
        let second = match number.checked_sub(count - late) {
            None => number as i64 * STARTING / count as i64,
            Some(later) => STARTING + (later as f64 / STEPS_PER_S) as i64,
        };
        json!({ "start_at": Timestamp::from_second(begin + second).unwrap().to_string() })
    };
    plans::create(&house, count, STEPS, starts).await;
    let House { database, nodes, workdir, .. } = house;
    for node in nodes {
        node.stop().await;
    }
    let stop = CancellationToken::new();
    let mut scene = Scene::open(&database, stop.clone()).await;
    for second in 0..STARTING {
        scene.second(begin + second).await;
    }
    scene.take_meters();
    let mut took = Duration::ZERO;
    for second in STARTING..STARTING + MEASURED {
        took += scene.second(begin + second).await;
    }
    let stands: BTreeSet<&str> = scene.follower.list().map(|stored| stored.run.state.phase.name()).collect();
    assert_eq!(stands, ["baking"].into(), "every release is under way: none is turned back, and none waits");
    let good = scene.tell(count, took);
    stop.cancel();
    scene.store.close().await;
    drop(workdir);
    good
}

impl Scene {
    async fn open(database: &str, stop: CancellationToken) -> Self {
        let store = Store::open(database, 4).await.unwrap();
        let mut registry = Registry::default();
        let node: Arc<str> = "scheduler".into();
        let hub = Hub::start(store.clone(), Bus::in_process(), Arc::clone(&node), Options::default(), stop.clone(), &mut registry);
        let hub = hub.await.unwrap();
        let telemetry = Telemetry::start(store.clone(), node, stop, &mut registry);
        let app = App::new(store.clone(), hub, telemetry);
        let project = store.find_project("default").await.unwrap().unwrap();
        let environment = store.find_environment(project.id, "staging").await.unwrap().unwrap().id;
        let place = app.place_of(environment).await.unwrap();
        let follower = Follower::new(Metered::new(AppBooks::new(app, &place)));
        Self { store, environment, follower, stood: None }
    }

    /// One second: what was heard in it is written, and then looked at.
    async fn second(&mut self, second: i64) -> Duration {
        let heard = self.heard(second);
        let mut tx = self.store.begin().await.unwrap();
        tx.put_seconds("node", &[SecondRow { environment: self.environment, second, heard }]).await.unwrap();
        tx.commit().await.unwrap();
        let began = ProcessTime::now();
        let heads: Vec<_> = self.store.release_heads().await.unwrap();
        let stands = self.store.heads().await.unwrap().into_iter().find(|head| head.id == self.environment);
        let stands = stands.map(|head| (head.identity().revision, head.settings));
        self.follower.books().second.store(second, Relaxed);
        self.follower.tick(&heads, self.stood != stands, &|_| None).await.unwrap();
        self.stood = stands;
        began.elapsed()
    }

    /// What all instances told: they run what was written last.
    fn heard(&self, second: i64) -> NodeSecond {
        let runs = || self.follower.list().map(|stored| &stored.run);
        let applied = runs().map(|run| run.written).max_by_key(Identity::pair).unwrap_or_default();
        let heard = |instance| Heard { instance: format!("{instance:032x}"), applied, goodbye: false };
        let watched = self.follower.list().enumerate().flat_map(|(number, stored)| arms(number, stored, second));
        NodeSecond { watched: watched.collect(), instances: (0..INSTANCES).map(heard).collect() }
    }

    fn take_meters(&self) {
        let meters = &self.follower.books().meters;
        for meter in [&meters.rows, &meters.targetings, &meters.evaluations, &meters.commits, &meters.snapshots, &meters.loads] {
            meter.take();
        }
    }

    fn tell(&self, count: usize, took: Duration) -> bool {
        let each = |ms: f64| ms / MEASURED as f64;
        let all = each(took.as_secs_f64() * 1e3);
        // A hundredth of a core is ten milliseconds of each second.
        let good = line(&format!("the scheduler of {count} releases"), all / 10.0, 5.0, "% core");
        part("in each second", all, "ms");
        let meters = &self.follower.books().meters;
        let mut rest = all;
        for (name, meter) in [
            ("rows of telemetry, read and parsed", &meters.rows),
            ("evaluated by the machine", &meters.evaluations),
            ("targetings and freezes, after a write", &meters.targetings),
            ("transactions with a step", &meters.commits),
            ("snapshots of quiet releases", &meters.snapshots),
            ("releases read", &meters.loads),
        ] {
            let (ms, times) = meter.take();
            rest -= each(ms);
            part(&format!("{name} ({times} in {MEASURED} s)"), each(ms), "ms");
        }
        part("heads, folding, health and the rest", rest, "ms");
        good
    }
}

/// Twenty requests an arm; one in two hundred of them fails, and new units come in as the percentage says.
fn arms(number: usize, stored: &Stored, second: i64) -> impl Iterator<Item = Watched> {
    let with_cohort = number.is_multiple_of(3);
    let arms = [Arm::Treatment, Arm::Control, Arm::Cohort].into_iter().take(if with_cohort { 3 } else { 2 });
    let fails = move |arm: usize| (number as i64 + second + arm as i64 * 3) % 10 == 0;
    arms.enumerate().map(move |(place, arm)| Watched {
        flag: stored.carried.flag.clone(),
        rollout_revision: stored.run.credited_revision,
        arm,
        counts: ArmCounts {
            new_units: if arm == Arm::Treatment { u64::from((number as i64 + second) % 33 == 0) } else { 3 },
            ..counts(&stored.carried.limits_ms, fails(place), number as u64 * 1_000 + second as u64 % 1_000)
        },
    })
}

fn counts(limits_ms: &[u32], fails: bool, unit: u64) -> ArmCounts {
    let error = u64::from(fails);
    let quiet = EventCounts { at_risk: 20, ..EventCounts::default() };
    let (units, instances) = if fails { (vec![unit], vec![format!("{:032x}", unit % INSTANCES as u64)]) } else { Default::default() };
    let event = EventCounts { count: 0, at_risk: 20, first: error, units, instances };
    ArmCounts {
        requests: 20,
        success: 20 - error,
        error,
        errors: event.clone(),
        not_success: event,
        slow: limits_ms.iter().map(|limit_ms| (*limit_ms, quiet.clone())).collect(),
        ..ArmCounts::default()
    }
}
