//! Two processes on one Postgres, one of them killed again and again: what they decide is what one alone decides.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use storyflag_tests::actors::{Actor, STAGING};
use storyflag_tests::eventually_within;
use storyflag_tests::postgres::Postgres;
use storyflag_tests::process::Process;
use storyflag_tests::workdir::Workdir;

use super::feeder::Feeder;
use super::transitions;

const RELEASES: usize = 20;
const KILLS: usize = 8;
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(180);

/// Five steps of a few seconds each.
fn plan(number: usize) -> String {
    let steps: String =
        [0.1, 1.0, 10.0, 50.0, 100.0].iter().map(|percentage| format!("  - {{ percentage: {percentage}, bake: 4m }}\n")).collect();
    format!(
        "plan: DP-{number}\nflag: US-{number}\napproach: feature_flag\nsteps:\n{steps}triggers: [\"error_rate > 5%\"]\nrelative_triggers: none\n"
    )
}

/// Every third flag is broken from a percentage of its own on.
fn counts(flag: &str, percentage: f64) -> (u64, u64) {
    let number: usize = flag.trim_start_matches("US-").parse().unwrap();
    let breaks_at = [1.0, 10.0, 50.0][number / 3 % 3];
    if number.is_multiple_of(3) && percentage >= breaks_at { (40, 20) } else { (40, 0) }
}

/// What became of a release: its phase, the step where it ended, and why.
type Decision = (String, u64, Option<String>);

async fn start_all(admin: &Actor) {
    for number in 0..RELEASES {
        admin.create_flag(&format!("US-{number}")).await.expect(201);
        let path = format!("/api/v1/projects/default/plans/DP-{number}");
        admin.request(reqwest::Method::PUT, &path).body("application/yaml", plan(number)).send().await.expect(201);
        admin.post("releases", &json!({"plan": format!("DP-{number}"), "time_scale": 60})).await.expect(201);
        admin.post(&format!("releases/DP-{number}-1/start"), &json!({})).await.expect(200);
    }
}

async fn live(admin: &Actor) -> Result<usize, String> {
    let answer = admin.request(reqwest::Method::GET, "releases?live=true").try_send().await?;
    let releases = answer.json["releases"].as_array().ok_or_else(|| answer.text.clone())?;
    // A rollback that is committed is decided; it ends once everybody was seen to run the baseline.
    Ok(releases.iter().filter(|release| release["phase"] != "rolling_back").count())
}

async fn decisions(admin: &Actor) -> BTreeMap<usize, Decision> {
    let mut decisions = BTreeMap::new();
    for number in 0..RELEASES {
        let told = super::release(admin, &format!("DP-{number}-1")).await;
        let phase = told["phase"].as_str().unwrap().replace("rolling_back", "rolled_back");
        let cause = told["cause"]["name"].as_str().map(str::to_owned);
        decisions.insert(number, (phase, told["step"]["number"].as_u64().unwrap(), cause));
    }
    decisions
}

/// Every transition counted once, and every revision of a release authored once, by a step or its rollback.
async fn check_history(admin: &Actor) {
    for number in 0..RELEASES {
        let id = format!("DP-{number}-1");
        transitions(admin, &id).await;
        let told: Vec<Value> = super::timeline(admin, &id).await;
        let mut own: Vec<u64> =
            told.iter().filter(|entry| entry["kind"] == "transition").filter_map(|entry| entry["revision"].as_u64()).collect();
        let history = admin.get(&format!("flags/US-{number}/history?limit=1000")).await.expect(200);
        let actor = format!("release:{id}");
        let written = history.json["history"].as_array().unwrap().iter().filter(|change| change["actor"] == actor.as_str());
        let mut written: Vec<u64> = written.map(|change| change["revision"].as_u64().unwrap()).collect();
        own.sort_unstable();
        written.sort_unstable();
        assert_eq!(own, written, "{id}");
        let steps: Vec<u64> = told
            .iter()
            .filter(|entry| entry["to"] == "baking" && entry["revision"].is_u64())
            .map(|entry| entry["step"].as_u64().unwrap())
            .collect();
        assert_eq!(steps, (1..=steps.len() as u64).collect::<Vec<_>>(), "{id}: no step lost, doubled or skipped");
    }
}

async fn undisturbed() -> BTreeMap<usize, Decision> {
    let workdir = Workdir::new("undisturbed");
    let node = Process::start(&Postgres::shared().create_database().await, &workdir.file("node.log")).await;
    let first = node.first_start.clone().expect("the first start on this database");
    let key = &first.keys.iter().find(|(environment, _)| environment == STAGING).unwrap().1;
    let admin = node.actor(&first.token);
    let _feeder = Feeder::start(key, vec![node.url.clone()], 4, counts);
    start_all(&admin).await;
    eventually_within(PATIENCE, "all releases have ended", || async {
        match live(&admin).await? {
            0 => Ok(()),
            live => Err(format!("{live} are under way")),
        }
    })
    .await;
    check_history(&admin).await;
    decisions(&admin).await
}

async fn one_is_killed_again_and_again() -> BTreeMap<usize, Decision> {
    let workdir = Workdir::new("two-processes");
    let database = Postgres::shared().create_database().await;
    let steady = Process::start(&database, &workdir.file("steady.log")).await;
    let first = steady.first_start.clone().expect("the first start on this database");
    let key = first.keys.iter().find(|(environment, _)| environment == STAGING).unwrap().1.clone();
    let mut mortal = Process::start(&database, &workdir.file("mortal.log")).await;
    let admin = steady.actor(&first.token);
    let feeder = Feeder::start(&key, vec![steady.url.clone(), mortal.url.clone()], 4, counts);
    start_all(&admin).await;
    for _ in 0..KILLS {
        // Wherever it is: in the middle of transitions, of flushes, of snapshots.
        tokio::time::sleep(std::time::Duration::from_millis(fastrand::u64(500..2_500))).await;
        mortal.kill().await;
        mortal = Process::start(&database, &workdir.file("mortal.log")).await;
        feeder.set(vec![steady.url.clone(), mortal.url.clone()]);
    }
    // The one that lived goes at last, too.
    let admin = mortal.actor(&first.token);
    feeder.set(vec![mortal.url.clone()]);
    steady.kill().await;
    eventually_within(PATIENCE, "all releases have ended", || async {
        match live(&admin).await? {
            0 => Ok(()),
            live => Err(format!("{live} are under way")),
        }
    })
    .await;
    check_history(&admin).await;
    decisions(&admin).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_again_and_again_they_decide_as_one_undisturbed() {
    let (alone, together) = tokio::join!(undisturbed(), one_is_killed_again_and_again());
    assert_eq!(together, alone);
    let turned_back = alone.values().filter(|(phase, ..)| phase == "rolled_back").count();
    assert_eq!(turned_back, RELEASES.div_ceil(3), "{alone:?}");
    assert!(alone.values().all(|(phase, ..)| phase == "rolled_back" || phase == "completed"), "{alone:?}");
}
