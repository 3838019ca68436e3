//! Every bound of what an environment holds, at it and one beyond.

use serde_json::{Map, Value, json};
use storyflag_tests::actors::{Actor, flag_path};
use storyflag_tests::{Backend, House, on_both_databases};

const FLAG: &str = "US-123-checkout";
const TARGETING: &str = "flags/US-123-checkout";
const MOST_OVERRIDES: usize = 1_000;
const MOST_RULES: usize = 200;
const MOST_CONDITIONS: usize = 50;
const MOST_BYTES_AN_ITEM: usize = 256 * 1024;
const MOST_ITEM_BYTES: usize = 16 * 1024 * 1024;

on_both_databases!(a_targeting_has_its_bounds, a_targeting_is_bounded_in_bytes, a_flag_has_its_bounds);

fn overrides(count: usize, unit_length: usize) -> Value {
    let units = (0..count).map(|number| (format!("{number:0unit_length$}"), json!("on")));
    Value::Object(units.collect::<Map<_, _>>())
}

fn rules(count: usize, conditions: usize) -> Value {
    let conditions = vec![json!({"attribute": "country", "equals": "DE"}); conditions];
    (0..count).map(|number| json!({"id": format!("rule-{number}"), "if": conditions, "serve": "on"})).collect()
}

async fn a_targeting_has_its_bounds(backend: Backend) {
    let house = House::new(backend).await;
    let editor = house.editor();
    editor.create_flag(FLAG).await;
    let before = editor.everything().await;
    let prerequisites: Value = (0..51).map(|number| json!({"flag": format!("f{number}"), "variants": ["on"]})).collect();
    for (targeting, pointer, told) in [
        (json!({"overrides": overrides(MOST_OVERRIDES + 1, 4)}), "/overrides", "has 1001 overrides; at most 1000"),
        (json!({"rules": rules(MOST_RULES + 1, 1)}), "/rules", "has 201 rules; at most 200"),
        (json!({"rules": rules(1, MOST_CONDITIONS + 1)}), "/rules/0/if", "has 51 conditions; at most 50"),
    ] {
        editor.put(TARGETING, &targeting).await.refused(422, &[pointer], told);
    }
    let answer = editor.put(TARGETING, &json!({"prerequisites": prerequisites})).await.expect(422);
    assert_eq!(answer.pointers()[0], "/prerequisites", "{}", answer.text);
    let cohorts: Vec<String> = (0..51).map(|number| format!("c{number}")).collect();
    let answer = editor.put(TARGETING, &json!({"rollout": {"cohorts": cohorts, "percentage": 1, "serve": "on"}})).await.expect(422);
    assert_eq!(answer.pointers()[0], "/rollout/cohorts", "{}", answer.text);
    let twice = json!({"rollout": {"cohorts": ["a", "a"], "percentage": 1, "serve": "on"}});
    editor.put(TARGETING, &twice).await.refused(422, &["/rollout/cohorts"], "names \"a\" twice");
    assert_eq!(editor.everything().await, before);
    let most = json!({"overrides": overrides(MOST_OVERRIDES, 4), "rules": rules(MOST_RULES, 1)});
    editor.put(TARGETING, &most).await.expect(200);
    editor.put(TARGETING, &json!({"rules": rules(1, MOST_CONDITIONS)})).await.expect(200);
}

async fn a_targeting_is_bounded_in_bytes(backend: Backend) {
    let house = House::new(backend).await;
    let editor = house.editor();
    editor.create_flag(FLAG).await;
    let before = editor.everything().await;
    // 1,000 units of 300 bytes.
    let large = json!({"overrides": overrides(MOST_OVERRIDES, 300)});
    editor.put(TARGETING, &large).await.refused(422, &[""], &format!("bytes as it is served; at most {MOST_BYTES_AN_ITEM}"));
    assert_eq!(editor.everything().await, before);
    let stands = editor.put(TARGETING, &json!({"overrides": overrides(MOST_OVERRIDES, 240)})).await.expect(200);
    // What is large may still be killed, and made smaller.
    assert!(stands.text.len() > MOST_BYTES_AN_ITEM * 9 / 10);
    editor.kill(FLAG).await.expect(200);
    editor.put(TARGETING, &json!({})).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ruleset_is_bounded_in_bytes() {
    let house = House::new(Backend::Sqlite).await;
    let editor = house.editor();
    let large = json!({"overrides": overrides(MOST_OVERRIDES, 240)});
    let mut bytes = 0;
    let mut flags = 0;
    let refused = loop {
        let flag = format!("flag-{flags}");
        editor.create_flag(&flag).await;
        let before = editor.targeting(&flag).await.text;
        let answer = editor.put(&format!("flags/{flag}"), &large).await;
        if answer.status != 200 {
            assert_eq!(editor.targeting(&flag).await.text, before, "nothing changed");
            break answer;
        }
        (bytes, flags) = (bytes + answer.text.len(), flags + 1);
        assert!(bytes < 2 * MOST_ITEM_BYTES, "no bound in sight");
    };
    refused.refused(422, &[""], &format!("bytes; at most {MOST_ITEM_BYTES}"));
    assert!(bytes > MOST_ITEM_BYTES * 9 / 10, "refused at {bytes} bytes");
    // What lowers exposure, and what takes less room, is never refused for it.
    editor.kill("flag-0").await.expect(200);
    editor.put("flags/flag-0", &json!({})).await.expect(200);
    editor.put(&format!("flags/flag-{flags}"), &large).await.expect(200);
}

async fn a_flag_has_its_bounds(backend: Backend) {
    let house = House::new(backend).await;
    let editor = house.editor();
    let before = editor.everything().await;
    let tags: Vec<String> = (0..51).map(|number| number.to_string()).collect();
    editor.put(&flag_path("US-9"), &json!({"tags": tags})).await.refused(422, &["/tags"], "more than 50 tags");
    editor.put(&flag_path("US-9"), &json!({"story": "x".repeat(1025)})).await.refused(422, &["/story"], "at most 1024");
    editor.put(&flag_path("US-9"), &json!({"seed": ""})).await.refused(422, &["/seed"], "leave it out for the key");
    let value = json!({"text": "x".repeat(MOST_BYTES_AN_ITEM)});
    let large = json!({"variants": {"a": value, "b": {}}, "off": "b", "serve": "a"});
    editor.put(&flag_path("US-9"), &large).await.refused(422, &[""], "bytes as it is served");
    let conditions = vec![json!({"attribute": "a", "exists": true}); 201];
    editor.put("cohorts/beta", &json!({"if": conditions})).await.refused(422, &["/if"], "has 201 conditions; at most 200");
    editor.put("cohorts/beta", &json!({"unit": ""})).await.refused(422, &["/unit"], "is empty");
    assert_eq!(editor.everything().await, before);
}

/// A project of its own; its one environment comes after its flags, which are then born in it all at once.
async fn fill(admin: &Actor, flags: usize) -> String {
    let project = "/api/v1/projects/full".to_owned();
    admin.put(&project, &json!({})).await.expect(201);
    for number in 0..flags {
        admin.put(&format!("{project}/flags/flag-{number}"), &json!({})).await.expect(201);
    }
    admin.put(&format!("{project}/environments/staging"), &json!({})).await.expect(201);
    project
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_environment_has_five_thousand_flags() {
    let house = House::new(Backend::Sqlite).await;
    let admin = house.admin();
    let project = fill(&admin, 5_000).await;
    let environment = format!("{project}/environments/staging");
    let before = admin.get(&environment).await.expect(200);
    assert_eq!(before.number("flags"), 5_000);
    let one_more = admin.put(&format!("{project}/flags/flag-5000"), &json!({})).await;
    one_more.refused(422, &[""], "would have more than 5000 flags: archive some");
    assert_eq!(admin.get(&environment).await.expect(200).text, before.text);
    admin.get(&format!("{project}/flags/flag-5000")).await.refused(404, &[], "there is no flag");
    // A new environment takes all of them, and one that is archived makes room.
    assert_eq!(admin.put(&format!("{project}/environments/canary"), &json!({})).await.expect(201).number("flags"), 5_000);
    admin.delete(&format!("{project}/flags/flag-7")).await.expect(200);
    admin.put(&format!("{project}/flags/flag-5000"), &json!({})).await.expect(201);
}
