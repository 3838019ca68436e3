//! Cohorts: by list and by conditions, replaced and patched, named and deleted, now and in the past.

use serde_json::{Value, json};
use storyflag::Context;
use storyflag_tests::actors::{Actor, STAGING};
use storyflag_tests::eventually::when;
use storyflag_tests::{Backend, House, applied, eventually, on_both_databases};

use crate::flags::paged;

const FLAG: &str = "US-123-checkout";

on_both_databases!(
    a_cohort_is_created_by_put_and_put_again,
    a_list_is_replaced_and_patched_and_reaches_the_application,
    a_cohort_that_is_named_is_not_deleted,
    a_cohort_that_is_made_again_starts_empty,
    a_dry_run_of_a_cohort_changes_nothing,
);

/// Whether a unit is in the flag by the cohort, now or at a moment of the past.
async fn is_in(actor: &Actor, unit: &str, at: Option<&str>) -> bool {
    let at = at.map(|at| format!("&at={at}")).unwrap_or_default();
    let answer = actor.get(&format!("flags/{FLAG}/explain?unit={unit}{at}")).await.expect(200).json;
    assert!(answer["variant"] == "on" || answer["arm"] == "control", "{answer}");
    answer["variant"] == "on"
}

async fn a_flag_for(actor: &Actor, cohort: &str) {
    actor.create_flag(FLAG).await;
    let rollout = json!({"cohorts": [cohort], "percentage": 0, "serve": "on"});
    actor.put(&format!("flags/{FLAG}/rollout"), &rollout).await.expect(200);
}

async fn a_cohort_is_created_by_put_and_put_again(backend: Backend) {
    let house = House::new(backend).await;
    let editor = house.editor();
    let body = json!({"description": "Us", "unit": "email", "if": [{"attribute": "email", "ends_with": "@example.com"}]});
    let made = editor.put("cohorts/staff", &body).await.expect(201);
    for (name, value) in body.as_object().unwrap() {
        assert_eq!(&made.json[name], value, "{name}");
    }
    editor.put_members("staff", "guest@example.org\n").await.expect(200);
    let told = editor.get("cohorts/staff").await.expect(200);
    assert_eq!(told.json["members"], 1);
    let before = editor.everything().await;
    editor.put("cohorts/staff", &body).await.expect(200);
    editor.put("cohorts/staff", &told.json).await.expect(200);
    editor.put_members("staff", "guest@example.org\r\n\n").await.expect(200);
    assert_eq!(editor.everything().await, before, "what a GET told was PUT back");
    let replace = editor.request(reqwest::Method::PUT, "cohorts/staff").header("if-match", told.header("etag"));
    let replaced = replace.json(&json!({"description": "Them", "unit": "email"})).send().await.expect(200);
    assert_eq!((&replaced.json["if"], &replaced.json["members"]), (&json!([]), &json!(1)), "the list is apart from the rest");
}

async fn a_list_is_replaced_and_patched_and_reaches_the_application(backend: Backend) {
    let house = House::new(backend).await;
    let editor = house.editor();
    editor.create_cohort("staff", &["user-1", "user-2"]).await;
    a_flag_for(&editor, "staff").await;
    let application = house.application(STAGING).await;
    let served = |expected: &'static [&'static str]| {
        let application = &application;
        async move {
            let mut seen: Vec<String> = Vec::new();
            eventually("the list reaches the application", || {
                seen = (0..10)
                    .map(|number| format!("user-{number}"))
                    .filter(|user| application.is_on(FLAG, &Context::new(user.as_str())))
                    .collect();
                let seen = seen.clone();
                async move { when(seen == expected, seen) }
            })
            .await;
        }
    };
    served(&["user-1", "user-2"]).await;
    let patched = editor
        .patch("cohorts/staff/members", &json!({"add": ["user-3", "user-1", "user-3"], "remove": ["user-2", "user-9"]}))
        .await
        .expect(200);
    assert_eq!((&patched.json["added"], &patched.json["removed"], &patched.json["count"]), (&json!(1), &json!(1), &json!(2)));
    served(&["user-1", "user-3"]).await;
    let put = editor.put_members("staff", "user-5\nuser-4\nuser-5").await.expect(200);
    assert_eq!(put.json["count"], 2, "who stands in it twice is in it once");
    served(&["user-4", "user-5"]).await;
    let marked = editor.put_members("staff", "\u{feff}user-4\nuser-5\n").await.expect(200);
    assert_eq!(marked.number("revision"), put.number("revision"), "a byte order mark is no part of a unit");
    editor.put_members("staff", "").await.expect(200);
    served(&[]).await;
    // A stream of many, read back in pages.
    let many: Vec<String> = (0..5_000).map(|number| format!("unit-{number:05}")).collect();
    let parts: Vec<_> = many.chunks(7).map(|units| Ok::<_, std::io::Error>(units.join("\n") + "\n")).collect();
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(parts));
    let put = editor.request(reqwest::Method::PUT, "cohorts/staff/members").body("text/plain", body).send().await.expect(200);
    assert_eq!(put.json["count"], 5_000);
    assert_eq!(paged(&editor, "cohorts/staff/members", "members", "", 777).await, many);
    for number in 0..5 {
        editor.create_cohort(&format!("c{number}"), &[]).await;
    }
    assert_eq!(paged(&editor, "cohorts", "cohorts", "key", 2).await, ["c0", "c1", "c2", "c3", "c4", "staff"]);
}

async fn a_cohort_that_is_named_is_not_deleted(backend: Backend) {
    let house = House::new(backend).await;
    let editor = house.editor();
    editor.create_cohort("staff", &["user-1"]).await;
    a_flag_for(&editor, "staff").await;
    editor.create_flag("US-9").await;
    let rule = json!({"rules": [{"id": "r", "if": [{"in_cohort": "staff", "not": true}], "serve": "on"}]});
    editor.put_targeting("US-9", rule).await.expect(200);
    let before = editor.everything().await;
    let delete = || editor.delete("cohorts/staff");
    delete().await.refused(409, &[], "cohort \"staff\" is named by US-123-checkout, US-9: change those first");
    assert_eq!(editor.everything().await, before);
    editor.put_targeting("US-9", json!({})).await.expect(200);
    delete().await.refused(409, &[], "is named by US-123-checkout: change");
    editor.put_targeting(FLAG, json!({"rollout": {"percentage": 0, "serve": "on"}})).await.expect(200);
    delete().await.expect(200);
    editor.get("cohorts/staff").await.expect(404);
    delete().await.refused(404, &[], "there is no cohort \"staff\"");
}

async fn a_cohort_that_is_made_again_starts_empty(backend: Backend) {
    let house = House::new(backend).await;
    let editor = house.editor();
    editor.create_cohort("staff", &["user-1"]).await;
    a_flag_for(&editor, "staff").await;
    // The last moment at which a revision stood: the one at which the next one begins, less a millisecond.
    let moment = || async {
        let at = editor.get("/api/v1/projects/default/environments/staging").await.json["changed_at"].as_str().unwrap().to_owned();
        // The next write is later than this one by the clock.
        eventually("the clock goes on", || async {
            let now = jiff_now();
            when(now > at, &now)
        })
        .await;
        at
    };
    let with_the_first = moment().await;
    assert!(is_in(&editor, "user-1", None).await);
    editor.put_targeting(FLAG, json!({"rollout": {"percentage": 0, "serve": "on"}})).await.expect(200);
    editor.delete("cohorts/staff").await.expect(200);
    let without = moment().await;
    editor.put("cohorts/staff", &json!({})).await.expect(201);
    let rollout = json!({"cohorts": ["staff"], "percentage": 0, "serve": "on"});
    editor.put(&format!("flags/{FLAG}/rollout"), &rollout).await.expect(200);
    assert_eq!(editor.get("cohorts/staff/members").await.expect(200).json, json!({"members": [], "count": 0}));
    let made_again = moment().await;
    assert!(!is_in(&editor, "user-1", None).await);
    editor.patch("cohorts/staff/members", &json!({"add": ["user-2"]})).await.expect(200);
    let with_another = moment().await;
    editor.put_members("staff", "user-3").await.expect(200);
    let replaced = moment().await;
    let application = house.application(STAGING).await;
    applied(&application, editor.revision().await).await;
    eventually("the new list", || async { when(application.is_on(FLAG, &Context::new("user-3")), application.status()) }).await;
    assert!(!application.is_on(FLAG, &Context::new("user-1")));
    for (at, expected) in [
        (&with_the_first, [true, false, false]),
        (&without, [false, false, false]),
        (&made_again, [false, false, false]),
        (&with_another, [false, true, false]),
        (&replaced, [false, false, true]),
    ] {
        let seen =
            [is_in(&editor, "user-1", Some(at)).await, is_in(&editor, "user-2", Some(at)).await, is_in(&editor, "user-3", Some(at)).await];
        assert_eq!(seen, expected, "at {at}");
    }
}

/// The time as the service tells it, to the millisecond.
fn jiff_now() -> String {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_millisecond(now.as_millisecond()).unwrap().to_string()
}

async fn a_dry_run_of_a_cohort_changes_nothing(backend: Backend) {
    let house = House::new(backend).await;
    let editor = house.editor();
    editor.create_cohort("staff", &["user-1"]).await;
    let before = editor.everything().await;
    let members = editor.get("cohorts/staff/members").await.text;
    let made = editor.put("cohorts/beta?dry_run=true", &json!({"unit": "account"})).await.expect(200).json;
    assert_eq!(made["dry_run"], true);
    let put = editor
        .request(reqwest::Method::PUT, "cohorts/staff/members?dry_run=true")
        .body("text/plain", "user-2\nuser-3")
        .send()
        .await
        .expect(200);
    assert_eq!((&put.json["added"], &put.json["removed"], &put.json["count"]), (&json!(2), &json!(1), &json!(2)));
    let patch = editor.patch("cohorts/staff/members?dry_run=true", &json!({"add": ["user-1", "user-2"]})).await.expect(200);
    assert_eq!((&patch.json["added"], &patch.json["count"]), (&json!(1), &json!(2)));
    let deleted: Value = editor.delete("cohorts/staff?dry_run=true").await.expect(200).json;
    assert_eq!(deleted["dry_run"], true);
    assert_eq!((editor.everything().await, editor.get("cohorts/staff/members").await.text), (before, members));
}
