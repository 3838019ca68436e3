//! The team's template, filled in: put, rehearsed, and carried out on a real application's outcomes.

use serde_json::{Value, json};
use storyflag_tests::actors::Actor;
use storyflag_tests::eventually::when;
use storyflag_tests::proxy::Proxy;
use storyflag_tests::receiver::{Answers, Received, Receiver};
use storyflag_tests::shop::{Shop, internal_users};
use storyflag_tests::{Backend, House, eventually, eventually_within, on_both_databases};

use super::{command, release, timeline, transitions};

/// The team's template, filled in, as it lies in the team's repository.
const TEMPLATE: &str = include_str!("../../../release/testdata/checkout.md");
const PLAN: &str = "/api/v1/projects/default/plans/DP-123-checkout";
const FLAG: &str = "US-123-checkout";
/// A story under a time scale takes seconds; on a machine under load more of them.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);

on_both_databases!(a_story_runs_from_a_tenth_of_a_percent_to_everybody, a_spike_at_ten_percent_is_turned_back);

/// The plan, with the triggers that the reader assumes where it names no relative ones.
fn markdown() -> String {
    let own = "triggers: [\"slow(1000ms) > 1.25x control\"]\nunless_control_fails: true\n";
    assert!(TEMPLATE.contains(own));
    TEMPLATE.replace(own, "")
}

/// Puts the plan, the flag and the internal users, and creates a release; every box that gates the start is ticked.
async fn prepare(house: &House, time_scale: u32) -> (Actor, String) {
    let editor = house.editor().in_environment("staging");
    editor.create_flag(FLAG).await.expect(201);
    let internal = internal_users();
    editor.create_cohort("internal-users", &internal.iter().map(String::as_str).collect::<Vec<_>>()).await.ok();
    let put = editor.request(reqwest::Method::PUT, PLAN).body("text/markdown", markdown());
    put.send().await.expect(201);
    let rehearsed = editor.post(&format!("{PLAN}/rehearse"), &json!({})).await.expect(200);
    assert_eq!(rehearsed.json["outcome"], "completed", "{}", rehearsed.text);
    let created = editor.post("releases", &json!({"plan": "DP-123-checkout", "time_scale": time_scale})).await.expect(201);
    let id = created.json["release"].as_str().unwrap().to_owned();
    let document =
        editor.request(reqwest::Method::GET, &format!("releases/{id}")).header("accept", "text/markdown").send().await.expect(200);
    assert_eq!(document.text, markdown(), "nothing has happened yet");
    command(&editor, &id, "start").await.refused(409, &[], "not ticked");
    for check in created.json["checklist"].as_array().unwrap().iter().filter(|check| check["gate"] == "start") {
        let path = format!("releases/{id}/checklist/{}", check["item"].as_str().unwrap());
        editor.put(&path, &json!({"done": true})).await.expect(200);
    }
    (editor, id)
}

/// Waits until a release says so, for as long as a story takes.
async fn reaches(actor: &Actor, id: &str, is: impl Fn(&Value) -> bool) -> Value {
    eventually_within(PATIENCE, "the release comes so far", || async {
        let told = release(actor, id).await;
        if is(&told) { Ok(told) } else { Err(format!("{} at {}: {}; {}", told["state"], told["step"], told["evidence"], told["health"])) }
    })
    .await
}

async fn a_story_runs_from_a_tenth_of_a_percent_to_everybody(backend: Backend) {
    let house = House::new(backend).await;
    let application = house.application("staging").await;
    runs_to_everybody(&house, vec![application]).await;
}

/// Two nodes behind a proxy that gives each connection to the next: what one instance reports reaches either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_behind_a_proxy_carry_the_same_story_out() {
    let mut house = House::new(Backend::Postgres).await;
    house.add_node().await;
    let address = |url: &str| url.strip_prefix("http://").unwrap().parse().unwrap();
    let proxy = Proxy::between(house.nodes.iter().map(|node| address(&node.url)).collect()).await;
    let mut applications = Vec::new();
    for _ in 0..2 {
        applications.push(house.application_at("staging", &proxy.url()).await);
    }
    runs_to_everybody(&house, applications).await;
}

async fn runs_to_everybody(house: &House, applications: Vec<storyflag::Client>) {
    let (editor, id) = prepare(house, 10_000).await;
    let each = 400 / applications.len() as u32;
    let shops: Vec<Shop> = applications.into_iter().zip(1..).map(|(flags, seed)| Shop::open(flags, FLAG, each, seed)).collect();
    command(&editor, &id, "start").await.expect(200);
    // The plan wants a word before half of all users.
    let waiting = reaches(&editor, &id, |told| told["state"] == "awaiting approval").await;
    assert_eq!((&waiting["step"]["percentage"], &waiting["next"]["percentage"]), (&json!(10.0), &json!(50.0)));
    let approve = house.release_manager().request(reqwest::Method::POST, &format!("releases/{id}/approve"));
    approve.header("if-match", &format!("\"{}\"", waiting["number"])).json(&json!({"reason": "looks good"})).send().await.expect(200);
    let done = reaches(&editor, &id, |told| told["ended"] == true).await;
    assert_eq!(done["phase"], "completed", "{done}");
    let percentages: Vec<f64> = done["steps"].as_array().unwrap().iter().map(|step| step["percentage"].as_f64().unwrap()).collect();
    assert_eq!(percentages, [0.1, 1.0, 10.0, 50.0, 100.0]);
    assert!(done["steps"].as_array().unwrap().iter().all(|step| step["revision"].is_u64()), "{done}");
    let taken: Vec<_> = transitions(&editor, &id).await;
    assert_eq!(taken.last().unwrap().1, "completed", "{taken:?}");
    assert_eq!(editor.targeting(FLAG).await.json["rollout"]["percentage"], 100.0);
    // Every step was shown to hold before the next was taken, by its own requests.
    let told = timeline(&editor, &id).await;
    for entry in told.iter().filter(|entry| entry["revision"].is_u64() && entry["number"] != 1) {
        assert!(entry["text"].as_str().unwrap().starts_with("error_rate "), "{entry}");
    }
    let document =
        editor.request(reqwest::Method::GET, &format!("releases/{id}")).header("accept", "text/markdown").send().await.expect(200);
    assert!(document.text.contains("- [x] Code reviewed and approved"), "{}", document.text);
    assert!(document.text.contains("Increase to 10%") && document.text.contains("requests"), "{}", document.text);
    let report = editor.get(&format!("releases/{id}/report")).await.expect(200);
    assert!(report.text.contains("purchase"), "{}", report.text);
    let people =
        editor.request(reqwest::Method::GET, &format!("releases/{id}/report")).header("accept", "text/markdown").send().await.expect(200);
    assert!(people.text.starts_with("# "), "{}", people.text);
    for shop in shops {
        shop.close().await;
    }
}

async fn a_spike_at_ten_percent_is_turned_back(backend: Backend) {
    let house = House::new(backend).await;
    let (editor, id) = prepare(&house, 1_000).await;
    let shop = Shop::open(house.application("staging").await, FLAG, 600, 2);
    let (team, on_call) = (Receiver::start(Answers::With(200)).await, Receiver::start(Answers::With(200)).await);
    for (channel, receiver, audiences) in [("team", &team, json!(["team", "stakeholders"])), ("pager", &on_call, json!(["on_call"]))] {
        let body = json!({"kind": "webhook", "url": receiver.url, "receives": audiences});
        house.release_manager().in_environment("staging").put(&format!("channels/{channel}"), &body).await.expect(201);
    }
    command(&editor, &id, "start").await.expect(200);
    reaches(&editor, &id, |told| told["step"]["percentage"] == 10.0).await;
    // Ten times as many errors as before, of those who get the new code.
    shop.spike(0.045);
    let back = reaches(&editor, &id, |told| told["ended"] == true).await;
    assert_eq!((&back["phase"], &back["cause"]["kind"]), (&json!("rolled_back"), &json!("trigger")), "{back}");
    assert_eq!((&back["rollback"]["verified"], &back["step"]["percentage"]), (&json!(true), &json!(10.0)), "{back}");
    let targeting = editor.targeting(FLAG).await;
    assert_eq!(
        (&targeting.json["rollout"]["percentage"], &targeting.json["rollout"]["cohorts"]),
        (&json!(0.0), &json!([])),
        "the baseline"
    );
    let told = timeline(&editor, &id).await;
    let turned = told.iter().find(|entry| entry["to"] == "rolling back").unwrap();
    assert!(turned["text"].as_str().unwrap().contains("x control > 1.25x control; e = "), "{turned}");
    // Who is on call hears of it at once; the evidence is what the first line begins with.
    let page = eventually("on-call is told", || async {
        let pages = on_call.received().into_iter().filter(|page| page.json()["type"] == "release.escalation").collect::<Vec<_>>();
        pages.first().cloned().ok_or_else(|| "no page".to_owned())
    })
    .await;
    let first = page.text().lines().next().unwrap().to_owned();
    assert!(first.starts_with(&format!("{id} in staging: {}", turned["text"].as_str().unwrap())), "{first}");
    assert_eq!(page.json()["data"]["percentage"], json!(10.0));
    eventually("the team is told of the end", || async {
        let told: Vec<String> = team.received().iter().map(Received::text).collect();
        when(told.iter().any(|text| text.contains("rolled back at 10 % (step 3 of 5)")), told.join("\n"))
    })
    .await;
    let report =
        editor.request(reqwest::Method::GET, &format!("releases/{id}/report")).header("accept", "text/markdown").send().await.expect(200);
    assert!(report.text.contains("rolled back at 10 %"), "{}", report.text);
    shop.close().await;
}
