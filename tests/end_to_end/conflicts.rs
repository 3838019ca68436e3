//! Writes that do not fit what stands: another version, another percentage, a key that is taken, a body about something else.

use reqwest::Method;
use serde_json::{Value, json};
use storyflag_tests::actors::flag_path;
use storyflag_tests::{Backend, on_both_databases};

use crate::bad_input::a_flag_at_a_tenth;

const FLAG: &str = "US-123-checkout";
const ROLLOUT: &str = "flags/US-123-checkout/rollout";
const TARGETING: &str = "flags/US-123-checkout";

on_both_databases!(a_stale_version, a_from_that_is_not_so, a_key_that_is_taken_or_was_archived, what_a_put_cannot_change);

async fn a_stale_version(backend: Backend) {
    let (house, editor) = a_flag_at_a_tenth(backend).await;
    let admin = house.admin();
    editor.create_cohort("internal-users", &["user-1"]).await;
    let before = editor.everything().await;
    let members = "cohorts/internal-users/members";
    let writes: [(Method, &str, Value); 15] = [
        (Method::PATCH, ROLLOUT, json!({"percentage": 1})),
        (Method::PUT, ROLLOUT, json!({"percentage": 1, "serve": "on"})),
        (Method::PUT, TARGETING, json!({"enabled": false})),
        (Method::POST, "flags/US-123-checkout/revive", json!({})),
        (Method::POST, "flags/US-123-checkout/revert", json!({"revision": 1})),
        (Method::PUT, &flag_path(FLAG), json!({"story": "US-124"})),
        (Method::PATCH, &flag_path(FLAG), json!({"story": "US-124"})),
        (Method::DELETE, &flag_path(FLAG), json!({})),
        (Method::PUT, "cohorts/internal-users", json!({"description": "Us"})),
        (Method::DELETE, "cohorts/internal-users", json!({})),
        (Method::PATCH, members, json!({"add": ["user-2"]})),
        (Method::PUT, "/api/v1/projects/default/environments/staging", json!({"name": "Stage"})),
        (Method::PUT, "/api/v1/projects/default", json!({"name": "Shop"})),
        (Method::PUT, "/api/v1/projects/none", json!({"name": "None"})),
        // Nothing is there, so nothing matches.
        (Method::PUT, "cohorts/beta", json!({})),
    ];
    for (method, path, body) in writes {
        let asked = |tag: &str| admin.request(method.clone(), path).header("if-match", tag).json(&body).send();
        asked("\"99\"").await.refused(412, &[], "If-Match says \"99\", but ");
        asked("99").await.refused(400, &[], "it must be an ETag in quotes");
    }
    let put = admin.request(Method::PUT, members).header("if-match", "\"99\"").body("text/plain", "user-2").send();
    put.await.refused(412, &[], "read it again");
    assert_eq!(editor.everything().await, before);
    // The version that stands is told, and it is the one that is taken.
    let targeting = editor.targeting(FLAG).await;
    let bump = |tag: String| editor.request(Method::PATCH, ROLLOUT).header("if-match", &tag).json(&json!({"percentage": 1})).send();
    let bumped = bump(format!("\"98\", {}", targeting.header("etag"))).await.expect(200);
    assert_ne!(bumped.header("etag"), targeting.header("etag"));
    bump(targeting.header("etag").to_owned()).await.refused(412, &[], &format!("but {} stands", bumped.header("etag")));
    let project = admin.get("/api/v1/projects/default").await.expect(200);
    let rename = |name: &str| {
        let request = admin.request(Method::PUT, "/api/v1/projects/default").header("if-match", project.header("etag"));
        request.json(&json!({ "name": name })).send()
    };
    assert_eq!(rename("Default").await.expect(200).header("etag"), project.header("etag"), "nothing changed");
    let renamed = rename("Shop").await.expect(200);
    assert_ne!(renamed.header("etag"), project.header("etag"));
    rename("Store").await.refused(412, &[], &format!("but {} stands", renamed.header("etag")));
    assert_eq!(admin.get("/api/v1/projects/default").await.json["name"], "Shop");
    // A kill is held back by nothing.
    let kill = editor.request(Method::POST, "flags/US-123-checkout/kill").header("if-match", "\"99\"").json(&json!({})).send();
    assert_eq!(kill.await.expect(200).json["killed"], true);
}

async fn a_from_that_is_not_so(backend: Backend) {
    let (_house, editor) = a_flag_at_a_tenth(backend).await;
    let before = editor.everything().await;
    let wrong = editor.patch(ROLLOUT, &json!({"percentage": 10, "from": 1})).await;
    wrong.refused(409, &["/from"], "is 0.1 here, not 1: nothing was changed");
    assert_eq!(editor.everything().await, before);
    let right = editor.patch(ROLLOUT, &json!({"percentage": 10, "from": 0.1})).await.expect(200);
    assert_eq!((&right.json["from"], &right.json["to"]), (&json!(0.1), &json!(10.0)));
}

async fn a_key_that_is_taken_or_was_archived(backend: Backend) {
    let (house, editor) = a_flag_at_a_tenth(backend).await;
    editor.create_flag("US-90-old").await;
    house.admin().delete(&flag_path("US-90-old")).await.expect(200);
    editor.create_cohort("internal-users", &["user-1"]).await;
    let before = editor.everything().await;
    editor.put(&flag_path(FLAG), &json!({"story": "US-9"})).await.refused(409, &[], "is there with another content: PATCH it");
    editor.put("cohorts/internal-users", &json!({"unit": "account"})).await.refused(409, &[], "send If-Match: \"");
    for body in [json!({}), json!({"story": "US-90"})] {
        editor.put(&flag_path("US-90-old"), &body).await.refused(409, &[], "keys are never used again: choose another");
        editor.patch(&flag_path("US-90-old"), &body).await.refused(409, &[], "keys are never used again: choose another");
    }
    assert_eq!(editor.everything().await, before);
    // The same content again is no other one.
    editor.put(&flag_path(FLAG), &json!({})).await.expect(200);
    editor.put("cohorts/internal-users", &json!({})).await.expect(200);
    assert_eq!(editor.everything().await, before);
}

/// What a GET told may be PUT back as it was; told otherwise, it is refused and the way to change it is named.
async fn what_a_put_cannot_change(backend: Backend) {
    let (house, editor) = a_flag_at_a_tenth(backend).await;
    editor.create_cohort("internal-users", &["user-1"]).await;
    let before = editor.everything().await;
    let with = |told: &Value, name: &str, value: Value| {
        let mut told = told.clone();
        told[name] = value;
        told
    };
    let targeting = editor.targeting(FLAG).await.json;
    for (name, value, told) in [
        ("killed", json!(true), "POST /kill"),
        ("version", json!(99), "read it again"),
        ("revision", json!(99), "read it again"),
        ("key", json!("US-9"), "the path says \"US-123-checkout\""),
    ] {
        editor.put(TARGETING, &with(&targeting, name, value)).await.refused(422, &[&format!("/{name}")], told);
    }
    let flag = editor.get(&flag_path(FLAG)).await.json;
    let cohort = editor.get("cohorts/internal-users").await.json;
    let environment = editor.get("/api/v1/projects/default/environments/staging").await.json;
    for (path, told) in [
        (flag_path(FLAG), &flag),
        ("cohorts/internal-users".to_owned(), &cohort),
        ("/api/v1/projects/default/environments/staging".to_owned(), &environment),
    ] {
        for (name, value, why) in [("version", json!(99), "read it again"), ("key", json!("other"), "the path says")] {
            house.admin().put(&path, &with(told, name, value)).await.refused(422, &[&format!("/{name}")], why);
        }
    }
    editor.put(&flag_path(FLAG), &with(&flag, "seed", json!("other"))).await.refused(422, &["/seed"], "a flag's seed never changes");
    assert_eq!(editor.everything().await, before);
    let project = editor.get("/api/v1/projects/default").await.json;
    house.admin().put("/api/v1/projects/default", &with(&project, "key", json!("other"))).await.refused(422, &["/key"], "the path says");
}
