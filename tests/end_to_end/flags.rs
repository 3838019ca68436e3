//! Flags: created, merged, listed, given other variants, archived for ever.

use serde_json::{Value, json};
use storyflag::Context;
use storyflag_tests::actors::{Actor, PRODUCTION, STAGING, flag_path};
use storyflag_tests::eventually::when;
use storyflag_tests::{Backend, House, applied, eventually, on_both_databases};

const FLAG: &str = "US-123-checkout";

on_both_databases!(
    a_flag_is_created_by_put_and_put_again,
    a_patch_merges,
    flags_are_found_and_paged,
    every_flag_is_born_in_a_new_environment,
    typed_variants_reach_the_application,
    variants_change_everywhere_or_nowhere,
    a_flag_that_serves_or_is_used_is_not_archived_by_mistake,
    a_dry_run_of_a_flag_changes_nothing,
);

async fn a_flag_is_created_by_put_and_put_again(backend: Backend) {
    let house = House::new(backend).await;
    let editor = house.editor();
    let body = json!({"story": "US-123", "description": "The new checkout", "tags": ["shop"], "owner": "team-shop"});
    let created = editor.create_flag_with(FLAG, &body).await;
    assert_eq!(created.json["variants"], json!({"on": true, "off": false}));
    assert_eq!((&created.json["off"], &created.json["serve"], &created.json["seed"]), (&json!("off"), &json!("on"), &json!(FLAG)));
    let told = editor.get(&flag_path(FLAG)).await.expect(200);
    assert_eq!((&told.json, told.header("etag")), (&created.json, created.header("etag")));
    for environment in ["development", STAGING, PRODUCTION] {
        let born = editor.in_environment(environment).targeting(FLAG).await.json;
        assert_eq!((&born["enabled"], &born["killed"], &born["off"]), (&json!(true), &json!(false), &json!("off")), "{environment}");
        assert_eq!(born["rollout"], json!({"cohorts": [], "percentage": 0.0, "serve": "on"}), "{environment}");
    }
    let before = editor.everything().await;
    editor.put(&flag_path(FLAG), &body).await.expect(200);
    let again = editor.put(&flag_path(FLAG), &told.json).await.expect(200);
    assert_eq!((&again.json, editor.everything().await), (&told.json, before), "what a GET told was PUT back");
    // Another content replaces the whole only where the version is named.
    let replace = editor.request(reqwest::Method::PUT, &flag_path(FLAG)).header("if-match", told.header("etag"));
    let replaced = replace.json(&json!({"story": "US-124"})).send().await.expect(200);
    assert_eq!((&replaced.json["story"], &replaced.json["tags"]), (&json!("US-124"), &json!([])));
    assert_ne!(replaced.header("etag"), told.header("etag"));
}

async fn a_patch_merges(backend: Backend) {
    let house = House::new(backend).await;
    let editor = house.editor();
    editor.create_flag_with(FLAG, &json!({"story": "US-123", "tags": ["shop", "web"], "owner": "team-shop"})).await;
    let revision = editor.revision().await;
    let patched = editor.patch(&flag_path(FLAG), &json!({"description": "words", "owner": null, "reason": "tidy"})).await.expect(200);
    assert_eq!(
        (&patched.json["story"], &patched.json["description"], &patched.json["owner"], &patched.json["tags"]),
        (&json!("US-123"), &json!("words"), &json!(""), &json!(["shop", "web"]))
    );
    assert_eq!(editor.patch(&flag_path(FLAG), &json!({"tags": null})).await.expect(200).json["tags"], json!([]));
    assert_eq!(editor.revision().await, revision, "words are not served");
    let nothing = editor.patch(&flag_path(FLAG), &json!({})).await.expect(200);
    assert_eq!(nothing.json["version"], 3, "nothing changed the second time");
    let changes = editor.get("changes").await.expect(200);
    let reasons: Vec<&Value> = changes.json["changes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["kind"] == "flag_definition")
        .map(|one| &one["reason"])
        .collect();
    assert_eq!(reasons, [&Value::Null, &json!("tidy"), &Value::Null]);
}

/// Every key of a list, by pages of this size.
pub(crate) async fn paged(actor: &Actor, path: &str, list: &str, key: &str, limit: usize) -> Vec<String> {
    let mut keys = Vec::new();
    let mut after = String::new();
    loop {
        let sign = if path.contains('?') { '&' } else { '?' };
        let page = actor.get(&format!("{path}{sign}limit={limit}&after={after}")).await.expect(200).json;
        let rows = page[list].as_array().unwrap();
        assert!(rows.len() <= limit, "{path}");
        keys.extend(rows.iter().map(|row| match &row[key] {
            Value::String(text) => text.clone(),
            Value::Null => row.as_str().unwrap().to_owned(),
            other => other.to_string(),
        }));
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut after),
            None => return keys,
        }
    }
}

async fn flags_are_found_and_paged(backend: Backend) {
    let house = House::new(backend).await;
    let editor = house.editor();
    for number in 1..=7 {
        let tag = if number % 2 == 0 { "even" } else { "odd" };
        let body = json!({"story": format!("US-{number}"), "description": format!("Number {number}"), "tags": [tag, "all"]});
        editor.create_flag_with(&format!("flag-{number}"), &body).await;
    }
    let all: Vec<String> = (1..=7).map(|number| format!("flag-{number}")).collect();
    for limit in [1, 2, 3, 7, 100] {
        assert_eq!(paged(&editor, "/api/v1/projects/default/flags", "flags", "key", limit).await, all, "{limit} a page");
        assert_eq!(paged(&editor, "flags", "flags", "key", limit).await, all, "{limit} a page");
    }
    for (filter, expected) in [
        ("tag=even", vec!["flag-2", "flag-4", "flag-6"]),
        ("tag=eve", vec![]),
        ("story=US-3", vec!["flag-3"]),
        ("query=NUMBER%205", vec!["flag-5"]),
        ("query=us-7", vec!["flag-7"]),
        ("query=%25", vec![]),
        ("tag=odd&query=flag-1", vec!["flag-1"]),
        ("archived=true", vec![]),
    ] {
        let found = paged(&editor, &format!("/api/v1/projects/default/flags?{filter}"), "flags", "key", 2).await;
        assert_eq!(found, expected, "{filter}");
    }
    editor.delete(&flag_path("flag-4")).await.expect(200);
    assert_eq!(paged(&editor, "/api/v1/projects/default/flags?archived=true", "flags", "key", 2).await, ["flag-4"]);
    assert!(!paged(&editor, "flags", "flags", "key", 2).await.contains(&"flag-4".to_owned()));
}

async fn every_flag_is_born_in_a_new_environment(backend: Backend) {
    let house = House::new(backend).await;
    let admin = house.admin();
    admin.create_flag(FLAG).await;
    admin.create_flag("US-90-old").await;
    admin.delete(&flag_path("US-90-old")).await.expect(200);
    admin.raise(FLAG, 50.0).await.expect(200);
    let path = "/api/v1/projects/default/environments/canary";
    let told = admin.put(&format!("{path}?dry_run=true"), &json!({})).await.expect(200);
    assert_eq!(told.json["dry_run"], true);
    admin.get(path).await.expect(404);
    let made = admin.put(path, &json!({"name": "Canary"})).await.expect(201);
    assert_eq!((&made.json["flags"], &made.json["protected"]), (&json!(1), &json!(false)));
    assert_eq!(admin.get(path).await.expect(200).json, made.json, "what it answered is what stands");
    let canary = admin.in_environment("canary");
    assert_eq!(canary.targeting(FLAG).await.json["rollout"]["percentage"], 0.0);
    canary.get("flags/US-90-old").await.expect(404);
    assert_eq!(admin.put(path, &made.json).await.expect(200).json, made.json, "what a GET told was PUT back");
    // An application there is served from the first second on.
    let key = canary.post("keys", &json!({"name": "shop"})).await.expect(201);
    let application = storyflag::Client::builder(house.url(), key.json["key"].as_str().unwrap()).connect().await.unwrap();
    let raised = canary.raise(FLAG, 100.0).await.expect(200);
    applied(&application, raised.number("revision")).await;
    assert!(application.is_on(FLAG, &Context::new("user-1")));
    // Protection is taken away only with a reason.
    let production = "/api/v1/projects/default/environments/production";
    assert_eq!(admin.get(production).await.expect(200).json["protected"], true);
    admin.put(production, &json!({"protected": false})).await.refused(422, &["/reason"], "say why");
    admin.put(&format!("{production}?reason=game%20day"), &json!({"protected": false})).await.expect(200);
}

async fn typed_variants_reach_the_application(backend: Backend) {
    let house = House::new(backend).await;
    let editor = house.editor();
    let flag = |variants: Value| json!({"variants": variants, "off": "a", "serve": "b"});
    editor.create_flag_with("theme", &flag(json!({"a": "light", "b": "dark"}))).await;
    editor.create_flag_with("limit", &flag(json!({"a": 10, "b": 20}))).await;
    editor.create_flag_with("ratio", &flag(json!({"a": 0.5, "b": 1.25}))).await;
    editor.create_flag_with("layout", &flag(json!({"a": {}, "b": {"columns": [1, 2], "title": "Größe"}}))).await;
    editor.create_flag("plain").await;
    let application = house.application(STAGING).await;
    let user = Context::new("user-1");
    let mut last = 0;
    for (flag, percentage) in [("theme", 100.0), ("limit", 100.0), ("ratio", 100.0), ("layout", 100.0), ("plain", 100.0)] {
        last = editor.raise(flag, percentage).await.expect(200).number("revision");
    }
    applied(&application, last).await;
    assert_eq!(application.string("theme", &user, "default"), "dark");
    assert_eq!(application.integer("limit", &user, -1), 20);
    assert!((application.number("ratio", &user, 0.0) - 1.25).abs() < f64::EPSILON);
    assert_eq!(application.json("layout", &user, Value::Null), json!({"columns": [1, 2], "title": "Größe"}));
    assert!(application.is_on("plain", &user));
    // The caller's default where the type is another one, or there is no such flag.
    assert_eq!((application.string("limit", &user, "default"), application.integer("theme", &user, -1)), ("default".to_owned(), -1));
    assert!(application.is_on_or("theme", &user, true) && !application.is_on("US-404", &user));
    editor.raise("theme", 0.0).await.expect(200);
    let off = editor.raise("limit", 0.0).await.expect(200);
    applied(&application, off.number("revision")).await;
    assert_eq!((application.string("theme", &user, "x"), application.integer("limit", &user, 0)), ("light".to_owned(), 10));
}

async fn variants_change_everywhere_or_nowhere(backend: Backend) {
    let house = House::new(backend).await;
    let (editor, release_manager) = (house.editor(), house.release_manager());
    editor.create_flag_with("theme", &json!({"variants": {"a": "light", "b": "dark"}, "off": "a", "serve": "b"})).await;
    editor.raise("theme", 100.0).await.expect(200);
    let application = house.application(STAGING).await;
    let user = Context::new("user-1");
    let more = editor.patch(&flag_path("theme"), &json!({"variants": {"a": "light", "b": "black", "c": "sepia"}})).await.expect(200);
    assert_eq!(more.json["variants"]["b"], "black");
    eventually("the new value", || async { when(application.string("theme", &user, "") == "black", application.status()) }).await;
    // A variant that is served somewhere cannot go.
    let before = editor.everything().await;
    let gone = json!({"variants": {"a": "light", "c": "sepia"}, "serve": "c"});
    editor.patch(&flag_path("theme"), &gone).await.refused(422, &["/rollout/serve"], "\"b\" is not a variant of this flag; it has a, c");
    editor.create_flag("US-9").await;
    assert_eq!(editor.get(&flag_path("theme")).await.json["variants"], more.json["variants"]);
    assert!(editor.everything().await != before, "the other flag was made");
    // Nor can one that another flag needs.
    for environment in ["development", STAGING, PRODUCTION] {
        let rollout = json!({"rollout": {"percentage": 0, "serve": "a"}});
        release_manager.in_environment(environment).put_targeting("theme", rollout).await.expect(200);
    }
    editor.put_targeting("US-9", json!({"prerequisites": [{"flag": "theme", "variants": ["b"]}]})).await.expect(200);
    editor.patch(&flag_path("theme"), &gone).await.refused(409, &["/variants"], "b is what US-9 in environment \"staging\" needs");
    editor.put_targeting("US-9", json!({})).await.expect(200);
    editor.patch(&flag_path("theme"), &gone).await.expect(200);
    // Where it serves in a protected environment, it takes the right and the reason of that environment.
    let rollout = json!({"rollout": {"percentage": 1, "serve": "c"}});
    release_manager.in_environment(PRODUCTION).put_targeting("theme", rollout).await.expect(200);
    let other = json!({"variants": {"a": "light", "c": "brown"}});
    editor.patch(&flag_path("theme"), &other).await.refused(403, &[], "in the protected environment \"production\"");
    release_manager.patch(&flag_path("theme"), &other).await.refused(422, &["/reason"], "is protected, so say why");
    release_manager.patch(&format!("{}?reason=brown", flag_path("theme")), &other).await.expect(200);
}

async fn a_flag_that_serves_or_is_used_is_not_archived_by_mistake(backend: Backend) {
    let house = House::new(backend).await;
    let (admin, release_manager) = (house.admin(), house.release_manager());
    for flag in ["serving", "used", "needed", "needing", "idle"] {
        release_manager.create_flag(flag).await;
    }
    release_manager.in_environment(PRODUCTION).raise("serving", 1.0).await.expect(200);
    release_manager.put_targeting("needing", json!({"prerequisites": [{"flag": "needed", "variants": ["on"]}]})).await.expect(200);
    let application = house.application(STAGING).await;
    assert!(!application.is_on("used", &Context::new("user-1")));
    application.close().await;
    eventually("its use is told", || async {
        let usage = release_manager.get("usage").await.expect(200);
        when(usage.json["usage"].as_array().unwrap().iter().any(|one| one["flag"] == "used" && one["count"] == 1), usage.text)
    })
    .await;
    let before = admin.everything().await;
    let archive = |flag: &str| format!("{}?reason=done", flag_path(flag));
    let force = |flag: &str| format!("{}?reason=done&force=true", flag_path(flag));
    let serves =
        "still serves something in the protected environment \"production\": force=true archives it all the same, and takes an admin";
    release_manager.delete(&archive("serving")).await.refused(409, &[], serves);
    release_manager.delete(&force("serving")).await.refused(403, &[], "so archiving it takes an admin");
    let used = "an application asked for it in environment \"staging\" within the last day: force=true";
    release_manager.delete(&archive("used")).await.refused(409, &[], used);
    let needed = "in environment \"staging\" it is a prerequisite of needing: change those first";
    admin.delete(&force("needed")).await.refused(409, &[], needed);
    assert_eq!(admin.everything().await, before);

    admin.delete(&force("serving")).await.expect(200);
    admin.delete(&force("used")).await.expect(200);
    let archived = release_manager.delete(&archive("idle")).await.expect(200);
    assert!(archived.json["archived_at"].is_string(), "{}", archived.text);
    let after = admin.everything().await;
    release_manager.delete(&archive("idle")).await.expect(200);
    assert_eq!(admin.everything().await, after, "archived twice is archived");
    // A tombstone: it can be read, and nothing else.
    assert_eq!(admin.get(&flag_path("idle")).await.expect(200).json, archived.json);
    admin.get("flags/idle").await.expect(404);
    admin.put(&flag_path("idle"), &json!({})).await.refused(409, &[], "keys are never used again");
    let application = house.application(STAGING).await;
    assert_eq!(application.detail("idle", &Context::new("user-1")).error.map(|error| error.name()), Some("FLAG_NOT_FOUND"));
    let history = admin.get("flags/idle/history").await.expect(200);
    assert_eq!(history.json["history"][0]["kind"], "archived");
}

async fn a_dry_run_of_a_flag_changes_nothing(backend: Backend) {
    let house = House::new(backend).await;
    let admin = house.admin();
    admin.create_flag_with("theme", &json!({"variants": {"a": "light", "b": "dark"}, "off": "a", "serve": "b"})).await;
    let before = admin.everything().await;
    let at = |flag: &str| format!("{}?dry_run=true", flag_path(flag));
    let created = admin.put(&at("US-9"), &json!({"story": "US-9"})).await.expect(200);
    assert_eq!(created.json["dry_run"], true);
    assert!(!created.json["differences"].as_array().unwrap().is_empty(), "{}", created.text);
    admin.get(&flag_path("US-9")).await.expect(404);
    let patched = admin.patch(&at("theme"), &json!({"variants": {"a": "light", "b": "black"}, "story": "US-1"})).await.expect(200);
    let expected =
        json!([{"pointer": "/story", "before": "", "after": "US-1"}, {"pointer": "/variants/b", "before": "dark", "after": "black"}]);
    assert_eq!(patched.json["differences"], expected);
    let archived = admin.delete(&at("theme")).await.expect(200);
    assert_eq!(archived.json["differences"][0]["pointer"], "/archived_at");
    admin.put(&at("a%2Fb"), &json!({})).await.refused(422, &["/flag"], "is no flag key");
    admin.put("/api/v1/projects/mine?dry_run=true", &json!({})).await.expect(200);
    admin.get("/api/v1/projects/mine").await.expect(404);
    admin.put("/api/v1/projects/default/environments/staging?dry_run=true", &json!({"protected": true})).await.expect(200);
    admin.post("keys?dry_run=true", &json!({"name": "none"})).await.expect(200);
    let key = admin.get("keys").await.json["keys"][0]["id"].as_str().unwrap().to_owned();
    admin.delete(&format!("keys/{key}?dry_run=true")).await.ok();
    assert_eq!(admin.everything().await, before);
    let application = house.application(STAGING).await;
    assert!(application.ready(), "{:?}", application.status());
}
