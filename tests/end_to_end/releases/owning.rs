//! What others do to a flag while a release drives it.

use serde_json::json;
use storyflag_tests::{Backend, House, on_both_databases};

use super::{FLAG, PLAIN, becomes, command, create, prepare, release, timeline};

on_both_databases!(
    other_edits_stay_allowed_and_stand_in_the_timeline,
    a_raise_by_hand_is_refused_unless_it_takes_over,
    lowering_by_hand_takes_over_without_asking,
    a_kill_turns_back_and_stays,
    what_a_release_rests_on_does_not_change,
);

async fn other_edits_stay_allowed_and_stand_in_the_timeline(backend: Backend) {
    let house = House::new(backend).await;
    prepare(&house, PLAIN).await;
    let staging = house.editor().in_environment("staging");
    let id = create(&staging, &json!({})).await;
    command(&staging, &id, "start").await.expect(200);
    let mut targeting = staging.targeting(FLAG).await;
    let tag = targeting.header("etag").to_owned();
    targeting.json["rules"] = json!([{"id": "germany", "if": [{"attribute": "country", "in": ["DE"]}], "serve": "on"}]);
    staging.put(&format!("flags/{FLAG}?reason=Germany%20first"), &targeting.json).await.refused(
        428,
        &[],
        &format!("{id} drives this flag"),
    );
    let put = staging
        .request(reqwest::Method::PUT, &format!("flags/{FLAG}?reason=Germany%20first"))
        .header("if-match", &tag)
        .json(&targeting.json);
    put.send().await.expect(200);
    assert_eq!(release(&staging, &id).await["phase"], "running");
    let told = timeline(&staging, &id).await;
    assert!(told.iter().any(|entry| entry["kind"] == "change" && entry["text"].as_str().unwrap().contains("Germany first")), "{told:?}");
    // It goes on: the next step keeps the rule.
    let advance = house.release_manager().in_environment("staging");
    let advance = advance.request(reqwest::Method::POST, &format!("releases/{id}/advance")).header("if-match", "*");
    advance.json(&json!({"reason": "now"})).send().await.expect(200);
    let targeting = staging.targeting(FLAG).await;
    assert_eq!((&targeting.json["rollout"]["percentage"], &targeting.json["rules"][0]["id"]), (&json!(10.0), &json!("germany")));
}

async fn a_raise_by_hand_is_refused_unless_it_takes_over(backend: Backend) {
    let house = House::new(backend).await;
    prepare(&house, PLAIN).await;
    let (editor, manager) = (house.editor().in_environment("staging"), house.release_manager().in_environment("staging"));
    let id = create(&editor, &json!({"time_scale": 60})).await;
    command(&editor, &id, "start").await.expect(200);
    command(&editor, &id, "pause").await.expect(200);
    let path = format!("flags/{FLAG}/rollout");
    editor.patch(&path, &json!({"percentage": 2})).await.refused(409, &[], &format!("{id} drives this flag"));
    editor.patch(&path, &json!({"percentage": 2, "take_over": true})).await.refused(403, &[], "it takes release_manager");
    let would = manager.patch(&format!("{path}?dry_run=true"), &json!({"percentage": 2, "take_over": true})).await.expect(200);
    assert!(would.text.contains("superseded: nothing watches this flag now"), "{}", would.text);
    assert_eq!(release(&editor, &id).await["phase"], "paused");
    let raised = manager.patch(&path, &json!({"percentage": 2, "take_over": true})).await.expect(200);
    assert_eq!(raised.json["warnings"][0], json!(format!("{id} superseded: nothing watches this flag now")));
    let ended = release(&editor, &id).await;
    assert_eq!((&ended["phase"], &ended["ended"]), (&json!("superseded"), &json!(true)));
    command(&editor, &id, "resume").await.refused(409, &[], "superseded");
    // It never writes again.
    manager.patch(&path, &json!({"percentage": 3})).await.expect(200);
    assert_eq!(create(&editor, &json!({})).await, "DP-1-cart-2");
    assert_eq!(editor.targeting(FLAG).await.json["rollout"]["percentage"], 3.0);
}

async fn lowering_by_hand_takes_over_without_asking(backend: Backend) {
    let house = House::new(backend).await;
    prepare(&house, PLAIN).await;
    let manager = house.release_manager().in_environment("production");
    let id = create(&manager, &json!({"reason": "go"})).await;
    command(&manager, &id, "start").await.expect(200);
    let editor = house.editor().in_environment("production");
    let lowered = editor.patch(&format!("flags/{FLAG}/rollout"), &json!({"percentage": 0.5})).await.expect(200);
    assert!(lowered.json["warnings"].to_string().contains("superseded"), "{}", lowered.text);
    assert_eq!(release(&editor, &id).await["phase"], "superseded");
}

async fn a_kill_turns_back_and_stays(backend: Backend) {
    let house = House::new(backend).await;
    prepare(&house, PLAIN).await;
    let staging = house.editor().in_environment("staging");
    let id = create(&staging, &json!({})).await;
    command(&staging, &id, "start").await.expect(200);
    staging.kill(FLAG).await.expect(200);
    let told = becomes(&staging, &id, "phase", &json!("rolling_back")).await;
    assert_eq!((&told["cause"]["kind"], &told["cause"]["by"]), (&json!("kill"), &json!("editor")));
    let targeting = staging.targeting(FLAG).await;
    assert_eq!((&targeting.json["killed"], &targeting.json["rollout"]["percentage"]), (&json!(true), &json!(0.0)));
}

async fn what_a_release_rests_on_does_not_change(backend: Backend) {
    let house = House::new(backend).await;
    let plan = PLAIN.replace("{ percentage: 1,", "{ cohorts: [inner], percentage: 1,");
    let staging = house.editor().in_environment("staging");
    staging.create_cohort("inner", &["a"]).await.ok();
    prepare(&house, &plan).await;
    let id = create(&staging, &json!({})).await;
    command(&staging, &id, "start").await.expect(200);
    staging.delete("cohorts/inner").await.refused(409, &[], &id);
    let flag = format!("/api/v1/projects/default/flags/{FLAG}");
    let admin = house.admin();
    admin.request(reqwest::Method::DELETE, &format!("{flag}?force=true")).send().await.refused(409, &[], &id);
    let variants = json!({"variants": {"on": true, "off": false, "maybe": true}});
    admin.patch(&flag, &variants).await.refused(409, &[], "variants of a flag that is released");
    let targeting = staging.targeting(FLAG).await;
    let mut body = targeting.json.clone();
    body["unit"] = json!("account_id");
    let put = staging.request(reqwest::Method::PUT, &format!("flags/{FLAG}")).header("if-match", targeting.header("etag")).json(&body);
    put.send().await.refused(409, &["/unit"], &id);
    assert_eq!(release(&staging, &id).await["phase"], "running");
}
