//! What people ask of a release, and who may.

use serde_json::{Value, json};
use storyflag_tests::actors::Actor;
use storyflag_tests::{Backend, House, on_both_databases};

use super::{KEY, PLAIN, becomes, command, create, prepare, put_plan, release, timeline, transitions};

on_both_databases!(
    a_plain_schedule_runs_to_its_end,
    it_pauses_resumes_advances_and_rolls_back,
    what_cannot_be_is_refused_with_every_reason,
    check_boxes_gate_the_start,
    who_may_what,
    it_begins_with_the_step_that_is_named,
    it_starts_at_its_time,
    a_dry_run_changes_nothing,
);

async fn a_plain_schedule_runs_to_its_end(backend: Backend) {
    let house = House::new(backend).await;
    prepare(&house, PLAIN).await;
    let staging = house.editor().in_environment("staging");
    let id = create(&staging, &json!({"time_scale": 60})).await;
    assert_eq!(id, "DP-1-cart-1");
    let created = release(&staging, &id).await;
    assert_eq!((&created["phase"], &created["number"], &created["step"]), (&json!("scheduled"), &json!(0), &Value::Null));
    command(&staging, &id, "start").await.expect(200);
    assert_eq!(staging.targeting("US-1-cart").await.json["rollout"]["percentage"], 1.0);
    let done = becomes(&staging, &id, "phase", &json!("completed")).await;
    assert_eq!(staging.targeting("US-1-cart").await.json["rollout"]["percentage"], 100.0);
    assert_eq!(done["targets"], json!("met"), "none are named");
    let went = transitions(&staging, &id).await;
    let to: Vec<&str> = went.iter().map(|(_, to)| to.as_str()).collect();
    assert_eq!(to, ["baking", "baking", "baking", "completed"]);
    // Each step's revision is authored once, by the release.
    let history = staging.get("flags/US-1-cart/history").await.expect(200);
    let own = |entry: &&Value| entry["actor"] == "release:DP-1-cart-1";
    let raises: Vec<&Value> = history.json["history"].as_array().unwrap().iter().filter(own).collect();
    assert_eq!(raises.len(), 3, "{}", history.text);
    let steps = done["steps"].as_array().unwrap();
    assert!(steps.iter().all(|step| step["taken_at"].is_string() && step["over_at"].is_string() && step["revision"].is_u64()), "{done}");
    // The next one of the plan is counted on.
    assert_eq!(create(&staging, &json!({})).await, "DP-1-cart-2");
}

async fn it_pauses_resumes_advances_and_rolls_back(backend: Backend) {
    let house = House::new(backend).await;
    prepare(&house, PLAIN).await;
    let staging = house.editor().in_environment("staging");
    staging.raise("US-1-cart", 0.5).await.expect(200);
    let id = create(&staging, &json!({})).await;
    command(&staging, &id, "start").await.expect(200);
    command(&staging, &id, "start").await.refused(409, &[], "started already");
    command(&staging, &id, "pause").await.expect(200);
    assert_eq!(command(&staging, &id, "pause").await.expect(200).json["phase"], "paused");
    let path = format!("releases/{id}/advance");
    staging.post(&path, &json!({"reason": "now"})).await.refused(403, &[], "it takes release_manager");
    let manager = house.release_manager().in_environment("staging");
    manager.post(&path, &json!({"reason": "now"})).await.refused(428, &[], "If-Match");
    let with = |number: u64, command: &str| {
        let tag = format!("\"{number}\"");
        manager.request(reqwest::Method::POST, &format!("releases/{id}/{command}")).header("if-match", &tag).json(&json!({"reason": "now"}))
    };
    with(1, "advance").send().await.refused(412, &[], "If-Match says \"1\"");
    with(2, "advance").send().await.refused(409, &[], "paused: resume it first");
    let resumed = command(&staging, &id, "resume").await.expect(200);
    assert_eq!((&resumed.json["phase"], resumed.header("etag")), (&json!("running"), "\"3\""));
    let advanced = with(3, "advance").send().await.expect(200);
    assert_eq!((&advanced.json["step"]["percentage"], &advanced.json["number"]), (&json!(10.0), &json!(4)));
    with(4, "approve").send().await.refused(409, &[], "nothing waits for approval");
    command(&staging, &id, "cancel").await.refused(409, &[], "roll back instead");
    // What is safe heeds no version.
    let back =
        staging.request(reqwest::Method::POST, &format!("releases/{id}/rollback")).header("if-match", "\"1\"").send().await.expect(200);
    assert_eq!((&back.json["phase"], &back.json["cause"]["kind"]), (&json!("rolling_back"), &json!("command")));
    let targeting = staging.targeting("US-1-cart").await;
    assert_eq!((&targeting.json["rollout"]["percentage"], &targeting.json["enabled"]), (&json!(0.5), &json!(true)), "the baseline");
    // Asked again, it is done already.
    command(&staging, &id, "rollback").await.expect(200);
    let told = timeline(&staging, &id).await;
    let advance = told.iter().find(|entry| entry["text"].as_str().unwrap().contains("advanced by force")).unwrap();
    assert_eq!((&advance["actor"], &advance["percentage"]), (&json!("release_manager"), &json!(10.0)));
}

async fn what_cannot_be_is_refused_with_every_reason(backend: Backend) {
    let house = House::new(backend).await;
    prepare(&house, PLAIN).await;
    let (staging, production) = (house.editor().in_environment("staging"), house.release_manager().in_environment("production"));
    staging.post("releases", &json!({})).await.refused(422, &["/plan"], "is missing");
    staging.post("releases", &json!({"plan": "DP-2"})).await.refused(422, &["/plan"], "there is no plan");
    let refused = staging.post("releases", &json!({"plan": KEY, "start_at": "tomorrow", "from": 2000, "time_scale": "x", "x": 1})).await;
    refused.refused(422, &["/start_at", "/from", "/time_scale", "/x"], "4 faults");
    staging.post("releases", &json!({"plan": KEY, "from": 5, "time_scale": 100_000})).await.refused(
        422,
        &["/time_scale", "/from"],
        "2 faults",
    );
    production.post("releases", &json!({"plan": KEY, "time_scale": 2, "reason": "go"})).await.refused(422, &["/time_scale"], "protected");
    production.post("releases", &json!({"plan": KEY})).await.refused(422, &["/reason"], "say why");
    let canary = PLAIN.replace("feature_flag", "canary");
    put_plan(&house.editor(), &canary).await.expect(200);
    staging.post("releases", &json!({"plan": KEY})).await.refused(422, &["/approach"], "cannot be executed here");
    let cohorts = PLAIN.replace("{ percentage: 1,", "{ cohorts: [beta, inner], percentage: 1,");
    put_plan(&house.editor(), &cohorts).await.expect(200);
    staging.post("releases", &json!({"plan": KEY})).await.refused(422, &["/plan", "/plan"], "2 faults");
    put_plan(&house.editor(), PLAIN).await.expect(200);
    let id = create(&staging, &json!({})).await;
    staging.post("releases", &json!({"plan": KEY})).await.refused(409, &["/plan"], &format!("{id} of flag"));
    // A flag that serves more than the first step already.
    staging.force("US-1-cart", 50.0).await.expect(200);
    command(&staging, &id, "start").await.refused(409, &[], "name the step to begin with");
    staging.kill("US-1-cart").await.expect(200);
    let cancelled = becomes(&staging, &id, "phase", &json!("cancelled")).await;
    assert_eq!(cancelled["ended"], true);
    command(&staging, &id, "start").await.refused(409, &[], "the release is cancelled");
    let id = create(&staging, &json!({})).await;
    command(&staging, &id, "start").await.refused(409, &[], "killed: revive it first");
    staging.get("releases/none").await.refused(404, &[], "no release \"none\"");
}

async fn check_boxes_gate_the_start(backend: Backend) {
    let house = House::new(backend).await;
    let boxes = "checklists:
  - { group: readiness, gate: start, items: [Code reviewed, { text: Tests green, done: true }] }
  - { group: success, gate: complete, items: [Users are happy] }
";
    prepare(&house, &format!("{PLAIN}{boxes}")).await;
    let staging = house.editor().in_environment("staging");
    let id = create(&staging, &json!({"time_scale": 60})).await;
    command(&staging, &id, "start").await.refused(409, &[], "not ticked: Code reviewed");
    staging.put(&format!("releases/{id}/checklist/none"), &json!({"done": true})).await.refused(404, &[], "code-reviewed");
    let ticked = staging.put(&format!("releases/{id}/checklist/code-reviewed"), &json!({"done": true})).await.expect(200);
    let of = |item: &str| ticked.json["checklist"].as_array().unwrap().iter().find(|check| check["item"] == item).unwrap().clone();
    assert_eq!(
        (&of("code-reviewed")["by"], &of("tests-green")["done"], &of("users-are-happy")["done"]),
        (&json!("editor"), &json!(true), &json!(false))
    );
    command(&staging, &id, "start").await.expect(200);
    becomes(&staging, &id, "phase", &json!("completed")).await;
}

async fn who_may_what(backend: Backend) {
    let house = House::new(backend).await;
    prepare(&house, PLAIN).await;
    let in_production = |actor: Actor| actor.in_environment("production");
    let (viewer, editor, manager) = (in_production(house.viewer()), in_production(house.editor()), in_production(house.release_manager()));
    let reason = json!({"plan": KEY, "reason": "go"});
    viewer.post("releases", &reason).await.refused(403, &[], "it takes release_manager");
    editor.post("releases", &reason).await.refused(403, &[], "it takes release_manager");
    let id = create(&manager, &json!({"reason": "go"})).await;
    command(&editor, &id, "start").await.refused(403, &[], "it takes release_manager");
    command(&manager, &id, "start").await.expect(200);
    let advance = |actor: &Actor| {
        actor.request(reqwest::Method::POST, &format!("releases/{id}/advance")).header("if-match", "*").json(&json!({"reason": "now"}))
    };
    advance(&editor).send().await.refused(403, &[], "it takes release_manager");
    advance(&manager).send().await.expect(200);
    command(&viewer, &id, "pause").await.refused(403, &[], "it takes editor");
    // What is safe, an editor may, without a reason.
    editor.post(&format!("releases/{id}/pause"), &json!({})).await.expect(200);
    editor.post(&format!("releases/{id}/rollback"), &json!({})).await.expect(200);
}

async fn it_begins_with_the_step_that_is_named(backend: Backend) {
    let house = House::new(backend).await;
    prepare(&house, PLAIN).await;
    let staging = house.editor().in_environment("staging");
    staging.raise("US-1-cart", 5.0).await.expect(200);
    let id = create(&staging, &json!({"from": 10})).await;
    let started = command(&staging, &id, "start").await.expect(200);
    assert_eq!((&started.json["step"]["number"], &started.json["step"]["percentage"]), (&json!(2), &json!(10.0)));
    command(&staging, &id, "rollback").await.expect(200);
    assert_eq!(staging.targeting("US-1-cart").await.json["rollout"]["percentage"], 5.0);
}

async fn it_starts_at_its_time(backend: Backend) {
    let house = House::new(backend).await;
    prepare(&house, PLAIN).await;
    let staging = house.editor().in_environment("staging");
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(1_500);
    let id = create(&staging, &json!({"start_at": soon.to_string(), "time_scale": 60})).await;
    assert!(release(&staging, &id).await["start_at"].is_string());
    let done = becomes(&staging, &id, "phase", &json!("completed")).await;
    assert!(done["started_at"].as_str().unwrap() >= soon.to_string().as_str(), "{done}");
    // One whose start is refused loses its time, and a human starts it.
    staging.kill("US-1-cart").await.expect(200);
    let id = create(&staging, &json!({"start_at": "2026-01-01T00:00:00Z"})).await;
    let refused = becomes(&staging, &id, "start_at", &Value::Null).await;
    assert_eq!(refused["phase"], "scheduled");
    let told = timeline(&staging, &id).await;
    assert!(told.last().unwrap()["text"].as_str().unwrap().contains("not started: the flag is killed"), "{told:?}");
}

async fn a_dry_run_changes_nothing(backend: Backend) {
    let house = House::new(backend).await;
    prepare(&house, PLAIN).await;
    let staging = house.editor().in_environment("staging");
    let would = staging.post("releases?dry_run=true", &json!({"plan": KEY})).await.expect(200);
    assert_eq!(would.json["dry_run"], true);
    staging.get("releases/DP-1-cart-1").await.expect(404);
    let id = create(&staging, &json!({})).await;
    let would = staging.post(&format!("releases/{id}/start?dry_run=true"), &json!({})).await.expect(200);
    assert_eq!(would.json["step"]["percentage"], json!(1.0));
    assert_eq!(release(&staging, &id).await["phase"], "scheduled");
    staging.post(&format!("releases/{id}/resume?dry_run=true"), &json!({})).await.refused(409, &[], "has not started");
    assert_eq!(staging.targeting("US-1-cart").await.json["rollout"]["percentage"], 0.0);
}
