//! One history: who changed what and why, back to any of it, and what a user got at any moment.

use reqwest::Method;
use serde_json::{Value, json};
use storyflag_tests::actors::{Actor, STAGING};
use storyflag_tests::{Backend, House, on_both_databases};

use crate::flags::paged;

const FLAG: &str = "US-123-checkout";

on_both_databases!(
    what_was_done_is_told_with_who_and_why,
    a_revert_brings_back_what_stood,
    explain_answers_for_now,
    explain_answers_for_the_past,
    lists_of_the_past_are_paged
);

async fn what_was_done_is_told_with_who_and_why(backend: Backend) {
    let house = House::new(backend).await;
    let (editor, release_manager) = (house.editor(), house.release_manager());
    editor.create_flag(FLAG).await;
    let bump = editor.request(Method::PATCH, &format!("flags/{FLAG}/rollout")).header("x-request-id", "my-request.1");
    bump.json(&json!({"percentage": 5, "reason": " first users "})).send().await.expect(200);
    release_manager.kill(FLAG).await.expect(200);
    let history = editor.get(&format!("flags/{FLAG}/history")).await.expect(200).json;
    let entries = history["history"].as_array().unwrap();
    let told: Vec<_> =
        entries.iter().map(|one| (one["kind"].as_str().unwrap(), one["actor"].as_str().unwrap(), one["reason"].as_str())).collect();
    assert_eq!(told, [("changed", "release_manager", None), ("changed", "editor", Some("first users")), ("created", "editor", None)]);
    assert_eq!(entries[0]["differences"], json!([{"pointer": "/killed", "before": false, "after": true}]));
    assert_eq!(entries[1]["differences"], json!([{"pointer": "/rollout/percentage", "before": 0.0, "after": 5.0}]));
    assert_eq!(entries[1]["request"], "my-request.1");
    let revisions: Vec<u64> = entries.iter().map(|one| one["revision"].as_u64().unwrap()).collect();
    assert_eq!(revisions, [3, 2, 1]);
    // The environment's audit has these, and what is not served.
    let changes = editor.get("changes").await.expect(200).json;
    let served: Vec<u64> = changes["changes"].as_array().unwrap().iter().filter_map(|one| one["revision"].as_u64()).collect();
    assert_eq!(served, [3, 2, 1]);
    assert_eq!(changes["changes"][0]["after"]["killed"], true);
    let mut kinds: Vec<&str> = changes["changes"].as_array().unwrap().iter().filter_map(|one| one["kind"].as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds, ["environment", "flag", "flag_definition", "key"]);
}

async fn a_revert_brings_back_what_stood(backend: Backend) {
    let house = House::new(backend).await;
    let release_manager = house.release_manager();
    release_manager.create_flag(FLAG).await;
    release_manager.create_cohort("staff", &["user-1"]).await;
    let targeting = json!({
        "overrides": {"user-7": "on"}, "rules": [{"id": "r", "if": [{"in_cohort": "staff"}], "serve": "on"}],
        "rollout": {"cohorts": ["staff"], "percentage": 12.5, "serve": "on"}, "unit": "account",
    });
    let then = release_manager.put_targeting(FLAG, targeting.clone()).await.expect(200);
    release_manager.put_targeting(FLAG, json!({"enabled": false, "rollout": {"percentage": 1, "serve": "on"}})).await.expect(200);
    release_manager.kill(FLAG).await.expect(200);
    let revert = |body: Value, query: &'static str| {
        let release_manager = release_manager.clone();
        async move { release_manager.post(&format!("flags/{FLAG}/revert{query}"), &body).await }
    };
    let back = json!({"revision": then.number("revision"), "reason": "the rule was right"});
    let before = release_manager.everything().await;
    let told = revert(back.clone(), "?dry_run=true").await.expect(200).json;
    assert!(told["differences"].as_array().unwrap().iter().any(|one| one["pointer"] == "/enabled"), "{told}");
    assert_eq!(release_manager.everything().await, before);
    let now = revert(back.clone(), "").await.expect(200).json;
    for (name, value) in targeting.as_object().unwrap() {
        assert_eq!(&now[name], value, "{name}");
    }
    assert_eq!((&now["enabled"], &now["killed"]), (&json!(true), &json!(true)), "a kill stands");
    revert(json!({"revision": 0}), "").await.refused(422, &["/revision"], "at revision 0 there was no flag");
    // What it named then may be gone.
    release_manager.put_targeting(FLAG, json!({"rollout": {"percentage": 1, "serve": "on"}})).await.expect(200);
    release_manager.delete("cohorts/staff").await.expect(200);
    let gone = revert(back, "").await;
    gone.refused(422, &["/rollout/cohorts/0", "/rules/0/if/0/in_cohort"], "there is no cohort \"staff\"");
}

async fn explain(actor: &Actor, context: Value) -> Value {
    actor.post(&format!("flags/{FLAG}/explain"), &json!({"context": context})).await.expect(200).json
}

async fn explain_answers_for_now(backend: Backend) {
    let house = House::new(backend).await;
    let (editor, viewer) = (house.editor(), house.viewer());
    editor.create_flag(FLAG).await;
    editor.create_flag("US-100-cart").await;
    editor.create_cohort("staff", &["user-1"]).await;
    let rules = json!([{"id": "germany", "if": [{"attribute": "country", "equals": "DE"}], "serve": "on"}]);
    let targeting =
        json!({"overrides": {"user-9": "off"}, "rules": rules, "rollout": {"cohorts": ["staff"], "percentage": 50, "serve": "on"}});
    let put = editor.put_targeting(FLAG, targeting).await.expect(200);
    let told = explain(&viewer, json!({"targetingKey": "user-2", "country": "DE"})).await;
    assert_eq!(
        (&told["rule"], &told["reason"], &told["value"], &told["arm"]),
        (&json!("germany"), &json!("TARGETING_MATCH"), &json!(true), &json!("outside"))
    );
    assert_eq!(told["revision"], put.json["revision"]);
    assert_eq!(explain(&viewer, json!({"targetingKey": "user-9", "country": "DE"})).await["variant"], "off");
    let staff = explain(&viewer, json!({"targetingKey": "user-1"})).await;
    assert_eq!((&staff["arm"], &staff["reason"]), (&json!("cohort"), &json!("TARGETING_MATCH")));
    // By bucket: the answer says from which percentage on, and that is so.
    for number in 100..110 {
        let unit = format!("user-{number}");
        let told = explain(&viewer, json!({"targetingKey": unit})).await;
        let (bucket, enters_at) = (told["bucket"].as_f64().unwrap(), told["enters_at"].as_f64().unwrap());
        assert_eq!((enters_at * 10_000.0).round(), bucket + 1.0, "{told}");
        assert_eq!((told["arm"] == "treatment", told["variant"] == "on"), (enters_at <= 50.0, enters_at <= 50.0), "{told}");
        let (by_get, _) = (viewer.get(&format!("flags/{FLAG}/explain?unit={unit}")).await.expect(200).json, ());
        assert_eq!(by_get, told);
    }
    let nobody = explain(&viewer, json!({"country": "FR"})).await;
    assert_eq!((&nobody["reason"], &nobody["error"], &nobody["value"]), (&json!("ERROR"), &json!("TARGETING_KEY_MISSING"), &Value::Null));
    let all = viewer.post("explain", &json!({"context": {"targetingKey": "user-1"}})).await.expect(200).json;
    let keys: Vec<&str> = all["flags"].as_array().unwrap().iter().filter_map(|one| one["flag"].as_str()).collect();
    assert_eq!(keys, ["US-100-cart", FLAG]);
    editor.kill(FLAG).await.expect(200);
    assert_eq!(explain(&viewer, json!({"targetingKey": "user-1"})).await["reason"], "DISABLED");
}

async fn explain_answers_for_the_past(backend: Backend) {
    let house = House::new(backend).await;
    let editor = house.editor();
    editor.create_flag(FLAG).await;
    let mut moments = Vec::new();
    for percentage in [10.0, 100.0, 0.0, 25.0, 75.0] {
        editor.raise(FLAG, percentage).await.expect(200);
        let change = editor.get("changes?limit=1").await.expect(200).json["changes"][0].clone();
        let context = json!({"targetingKey": "user-42", "plan": "gold"});
        moments.push((change["at"].as_str().unwrap().to_owned(), change["revision"].as_u64().unwrap(), explain(&editor, context).await));
        storyflag_tests::eventually("the clock goes on", || async {
            let now = jiff::Timestamp::now();
            storyflag_tests::eventually::when(
                now.as_millisecond() > change["at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond(),
                now,
            )
        })
        .await;
    }
    for (at, revision, then) in &moments {
        let body = json!({"context": {"targetingKey": "user-42", "plan": "gold"}, "at": at});
        let told = editor.post(&format!("flags/{FLAG}/explain"), &body).await.expect(200).json;
        assert_eq!((&told, told["revision"].as_u64()), (then, Some(*revision)), "at {at}");
        assert_eq!(editor.post("explain", &body).await.expect(200).json["flags"][0], *then);
    }
    // Before the flag was, there was none; a flag that never was is a mistyped one.
    let before = editor.get(&format!("flags/{FLAG}/explain?unit=user-42&at=2020-01-01T00:00:00Z")).await.expect(200).json;
    assert_eq!((&before["reason"], &before["error"]), (&json!("ERROR"), &json!("FLAG_NOT_FOUND")));
    editor.get("flags/US-404/explain?unit=u&at=2020-01-01T00:00:00Z").await.refused(404, &[], "there is no flag \"US-404\"");
    let environment = editor.get("/api/v1/projects/default/environments/staging").await.json;
    assert_eq!(environment["changed_at"], json!(moments.last().unwrap().0), "{STAGING}");
}

async fn lists_of_the_past_are_paged(backend: Backend) {
    let house = House::new(backend).await;
    let admin = house.admin();
    admin.create_flag(FLAG).await;
    for percentage in 1..=9 {
        admin.raise(FLAG, f64::from(percentage)).await.expect(200);
    }
    let newest_first: Vec<String> = (1..=10).rev().map(|revision| revision.to_string()).collect();
    for limit in [1, 3, 5, 10, 1_000] {
        assert_eq!(paged(&admin, &format!("flags/{FLAG}/history"), "history", "revision", limit).await, newest_first);
    }
    let whole = paged(&admin, "changes", "changes", "id", 1_000).await;
    for limit in [1, 4] {
        assert_eq!(paged(&admin, "changes", "changes", "id", limit).await, whole);
    }
    // Each entry's differences are against the one before it, across pages too.
    let page = admin.get(&format!("flags/{FLAG}/history?limit=1&after=5")).await.expect(200).json;
    assert_eq!(page["history"][0]["differences"], json!([{"pointer": "/rollout/percentage", "before": 2.0, "after": 3.0}]));
    for project in ["alpha", "beta"] {
        admin.put(&format!("/api/v1/projects/{project}"), &json!({})).await.expect(201);
    }
    assert_eq!(paged(&admin, "/api/v1/projects", "projects", "key", 1).await, ["alpha", "beta", "default"]);
}
