//! Times in which nothing is raised, and in which everything that is safe passes.

use serde_json::{Value, json};
use storyflag_tests::actors::{PRODUCTION, STAGING};
use storyflag_tests::{Backend, House, on_both_databases};

const FLAG: &str = "US-123-checkout";

on_both_databases!(a_freeze_refuses_what_raises_and_lets_the_safe_pass, a_freeze_is_made_and_taken_back);

fn holidays() -> Value {
    json!({"to": "2999-01-04T08:00:00Z", "reason": "the holidays"})
}

async fn a_freeze_refuses_what_raises_and_lets_the_safe_pass(backend: Backend) {
    let house = House::new(backend).await;
    let manager = house.release_manager().in_environment(PRODUCTION);
    manager.create_flag(FLAG).await;
    manager.put("cohorts/beta?reason=x", &json!({})).await.expect(201);
    manager.force(FLAG, 10.0).await.expect(200);
    let later = json!({"from": "2998-01-01T00:00:00Z", "to": "2999-01-01T00:00:00Z", "reason": "later"});
    manager.post("freezes", &later).await.expect(201);
    manager.raise(FLAG, 11.0).await.expect(200);
    let made = manager.post("freezes", &holidays()).await.expect(201);
    let id = made.json["id"].as_str().unwrap().to_owned();
    assert_eq!(made.json["holds"], true, "{}", made.text);

    let before = manager.everything().await;
    let refused = manager.raise(FLAG, 12.0).await.refused(409, &[], "the holidays");
    assert!(refused.text.contains(&id) && refused.text.contains("2999-01-04T08:00:00Z"), "{}", refused.text);
    let rollout = format!("flags/{FLAG}/rollout?reason=x");
    manager.put(&rollout, &json!({"percentage": 5, "serve": "on", "cohorts": ["beta"]})).await.refused(409, &[], "the holidays");
    manager.put_targeting(FLAG, json!({"overrides": {"user-9": "on"}})).await.refused(409, &[], "the holidays");
    assert_eq!(manager.everything().await, before);

    let editor = house.editor().in_environment(PRODUCTION);
    editor.raise(FLAG, 5.0).await.expect(200);
    editor.kill(FLAG).await.expect(200);
    manager.revive(FLAG).await.refused(409, &[], "the holidays");
    // Nobody is served while it is killed.
    manager.raise(FLAG, 6.0).await.expect(200);
    let forced = json!({"reason": "a customer waits", "force": true});
    manager.post(&format!("flags/{FLAG}/revive"), &forced).await.expect(200);
    manager.force(FLAG, 20.0).await.expect(200);
    manager.raise(FLAG, 1.0).await.expect(200);

    // It holds here and nowhere else.
    let staging = house.editor();
    staging.raise(FLAG, 50.0).await.expect(200);
    staging.post("freezes", &holidays()).await.expect(201);
    staging.force(FLAG, 60.0).await.refused(403, &[], "it takes release_manager");
    house.release_manager().force(FLAG, 60.0).await.expect(200);
    manager.delete(&format!("freezes/{id}")).await.expect(204);
    manager.raise(FLAG, 2.0).await.expect(200);
}

async fn a_freeze_is_made_and_taken_back(backend: Backend) {
    let house = House::new(backend).await;
    let (editor, viewer) = (house.editor(), house.viewer());
    for (body, pointers, told) in [
        (json!({}), &["/to", "/reason"][..], "is missing"),
        (json!({"to": "soon", "reason": "!", "form": 1}), &["/to", "/reason", "/form"], "a time is RFC 3339"),
        (json!({"from": "2999-01-02T00:00:00Z", "to": "2999-01-01T00:00:00Z", "reason": "x"}), &["/to"], "is not after"),
        (json!({"to": "2020-01-01T00:00:00Z", "reason": "x"}), &["/to"], "is over already"),
    ] {
        editor.post("freezes", &body).await.refused(422, pointers, told);
    }
    viewer.post("freezes", &holidays()).await.refused(403, &[], "it takes editor");
    editor.in_environment(PRODUCTION).post("freezes", &holidays()).await.refused(403, &[], "it takes release_manager");
    editor.post("freezes?dry_run=true", &holidays()).await.expect(200);
    let freezes = viewer.get("freezes").await.expect(200).json;
    assert_eq!(freezes, json!({"freezes": []}));
    let made = editor.post("freezes", &holidays()).await.expect(201);
    let id = made.json["id"].as_str().unwrap();
    assert_eq!(viewer.get("freezes").await.expect(200).json["freezes"][0], made.json, "in {STAGING}");
    editor.delete("freezes/freeze-none").await.refused(404, &[], "no freeze");
    editor.delete(&format!("freezes/{id}")).await.expect(204);
    assert_eq!(viewer.get("freezes?all=true").await.expect(200).json, json!({"freezes": []}));
    let changes = viewer.get("changes").await.expect(200).json;
    let audited: Vec<_> = changes["changes"].as_array().unwrap().iter().filter(|change| change["kind"] == "freeze").collect();
    assert_eq!((audited.len(), &audited[1]["reason"]), (2, &json!("the holidays")), "{changes}");
}
