//! Targetings and variants that no SDK could serve, and what a protected environment wants before it changes.

use serde_json::{Value, json};
use storyflag_tests::actors::{PRODUCTION, flag_path};
use storyflag_tests::answer::Answer;
use storyflag_tests::{Backend, on_both_databases};

use crate::bad_input::a_flag_at_a_tenth;

const FLAG: &str = "US-123-checkout";
const ROLLOUT: &str = "flags/US-123-checkout/rollout";
const TARGETING: &str = "flags/US-123-checkout";

on_both_databases!(
    variants_and_weights_that_do_not_fit,
    conditions_that_cannot_be_compiled,
    faults_are_listed_together,
    what_a_protected_environment_wants,
);

async fn variants_and_weights_that_do_not_fit(backend: Backend) {
    let (_house, editor) = a_flag_at_a_tenth(backend).await;
    let before = editor.everything().await;
    let create = |body: Value| {
        let editor = editor.clone();
        async move { editor.put(&flag_path("US-9"), &body).await }
    };
    let mixed = json!({"variants": {"a": 1, "b": "two"}, "off": "a", "serve": "b"});
    create(mixed).await.refused(422, &["/variants/b"], "a string among variants of type number: all have one type");
    let odd = json!({"variants": {"a": null, "b": [1], "c": true}, "off": "c", "serve": "c"});
    create(odd).await.refused(422, &["/variants/a", "/variants/b"], "neither boolean, string, number nor object");
    create(json!({"variants": {}, "off": "a", "serve": "a"})).await.refused(422, &["/serve", "/variants", "/off"], "at least one variant");
    create(json!({"variants": {"a": 1}})).await.refused(422, &["/off", "/serve"], "is missing: a flag with variants");
    let several = json!({"variants": {"a": 1, "b": true}, "off": "x", "serve": "y"});
    create(several).await.refused(422, &["/serve", "/variants/b", "/off"], "3 faults");
    let split = |weights: Value| json!({"percentage": 50, "serve": weights});
    for (weights, pointer, told) in [
        (
            json!([{"variant": "on", "weight": 50}, {"variant": "off", "weight": 49.9999}]),
            "/rollout/serve",
            "sum to 99.9999, not to exactly 100",
        ),
        (json!([{"variant": "on", "weight": 100}, {"variant": "off", "weight": 0.0001}]), "/rollout/serve", "sum to 100.0001"),
        (json!([]), "/rollout/serve", "sum to 0, not to exactly 100"),
        (json!([{"variant": "on", "weight": 33.33333}]), "/rollout/serve/0/weight", "at most four decimals"),
        (json!([{"weight": 100}]), "/rollout/serve/0/variant", "is missing"),
    ] {
        editor.put(TARGETING, &json!({"rollout": split(weights)})).await.refused(422, &[pointer], told);
    }
    assert_eq!(editor.everything().await, before);
}

async fn conditions_that_cannot_be_compiled(backend: Backend) {
    let (_house, editor) = a_flag_at_a_tenth(backend).await;
    let before = editor.everything().await;
    let longest = "x".repeat(513);
    for (condition, at, told) in [
        (json!({"attribute": "a", "matches": "(a|b"}), "/matches", "is not a linear-time regular expression"),
        (json!({"attribute": "a", "matches": "(a)\\1"}), "/matches", "is not a linear-time regular expression"),
        (json!({"attribute": "a", "matches": "(?=a)b"}), "/matches", "is not a linear-time regular expression"),
        (json!({"attribute": "a", "matches": "(a{1000}){1000}"}), "/matches", "too large once compiled"),
        (json!({"attribute": "a", "matches": longest}), "/matches", "the pattern has 513 bytes; at most 512"),
        (json!({"attribute": "a", "in": []}), "/in", "give at least one value"),
        (json!({"attribute": "a", "before": "2026-12-01"}), "/before", "RFC 3339 text with an offset"),
        (json!({"attribute": "a", "semver_less": "1.4"}), "/semver_less", "not a semantic version, such as 1.4.0"),
        (json!({"attribute": "a", "soundslike": "b"}), "/soundslike", "is no operator; known are equals, in, contains,"),
        (json!({"attribute": "a"}), "", "operator"),
        (json!({"attribute": "a", "equals": "b", "in": ["c"]}), "", "operator"),
        (json!({"attribute": "a", "less": "b"}), "/less", "expected a number"),
        (json!("country is DE"), "", "not a condition such as"),
    ] {
        let rule = json!({"rules": [{"id": "r", "if": [condition], "serve": "on"}]});
        editor.put(TARGETING, &rule).await.refused(422, &[&format!("/rules/0/if/0{at}")], told);
        editor.put("cohorts/beta", &json!({"if": [condition]})).await.refused(422, &[&format!("/if/0{at}")], told);
    }
    let inside = json!({"if": [{"in_cohort": "internal-users"}]});
    editor.put("cohorts/beta", &inside).await.refused(422, &["/if/0/in_cohort"], "has no place inside a cohort");
    let twice =
        json!({"rules": [{"id": "r", "if": [], "serve": "on"}, {"id": "r", "if": [], "serve": "on"}, {"id": "", "if": [], "serve": "on"}]});
    editor.put(TARGETING, &twice).await.refused(422, &["/rules/2/id"], "is empty");
    assert_eq!(editor.everything().await, before);
}

/// Whoever mends one fault should not be shown the next one after it.
async fn faults_are_listed_together(backend: Backend) {
    let (house, _) = a_flag_at_a_tenth(backend).await;
    let release_manager = house.release_manager().in_environment(PRODUCTION);
    let before = release_manager.everything().await;
    let targeting = json!({
        "unit": "",
        "rules": [{"id": "r", "if": [{"attribute": "a", "matches": "("}, {"in_cohort": "nobody"}], "serve": "blue"}],
        "rollout": {"percentage": 50, "serve": [{"variant": "on", "weight": 10}]},
    });
    let pointers =
        ["/reason", "/rollout/percentage", "/unit", "/rules/0/if/0/matches", "/rules/0/serve", "/rollout/serve", "/rules/0/if/1/in_cohort"];
    release_manager.put(TARGETING, &targeting).await.refused(422, &pointers, "7 faults");
    // Those of conditions as well: what cannot be read, what cannot be compiled, in every rule.
    let targeting = json!({
        "rules": [
            {"id": "a", "if": [{"attribute": 7, "soundslike": "b", "not": "yes"}, {"attribute": "a", "matches": "("}], "serve": "on"},
            {"id": "b", "if": [{"attribute": "a", "less": "b"}, {"in_cohort": []}, {"attribute": "a", "in": []}], "serve": "on"},
        ],
        "enabled": "yes",
    });
    let pointers = [
        "/enabled",
        "/rules/0/if/0/attribute",
        "/rules/0/if/0/not",
        "/rules/0/if/0/soundslike",
        "/rules/1/if/0/less",
        "/rules/1/if/1/in_cohort",
        "/rules/0/if/1/matches",
        "/rules/1/if/2/in",
    ];
    release_manager.put(TARGETING, &targeting).await.refused(422, &pointers, "8 faults");
    let conditions = &targeting["rules"][0]["if"];
    let pointers = ["/if/0/attribute", "/if/0/not", "/if/0/soundslike", "/if/1/matches"];
    release_manager.put("cohorts/beta", &json!({ "if": conditions })).await.refused(422, &pointers, "semver_at_least, exists");
    assert_eq!(release_manager.everything().await, before);
}

fn warnings(answer: &Answer) -> Vec<&str> {
    answer.json["warnings"].as_array().unwrap().iter().filter_map(Value::as_str).collect()
}

async fn what_a_protected_environment_wants(backend: Backend) {
    let (house, _) = a_flag_at_a_tenth(backend).await;
    let release_manager = house.release_manager().in_environment(PRODUCTION);
    let before = release_manager.everything().await;
    let bump = |body: Value| {
        let release_manager = release_manager.clone();
        async move { release_manager.patch(ROLLOUT, &body).await }
    };
    for blank in [json!(null), json!(""), json!("  ")] {
        let mut body = json!({"percentage": 0.1});
        if !blank.is_null() {
            body["reason"] = blank;
        }
        bump(body).await.refused(422, &["/reason"], "environment \"production\" is protected, so say why");
    }
    let first = bump(json!({"percentage": 1.0001, "reason": "now"})).await;
    first.refused(422, &["/percentage"], "at most 1 % from 0, unless \"force\": true says so");
    release_manager.put(TARGETING, &json!({"rollout": {"percentage": 100, "serve": "on"}})).await.refused(
        422,
        &["/reason", "/rollout/percentage"],
        "force",
    );
    assert_eq!(release_manager.everything().await, before);

    assert_eq!(warnings(&bump(json!({"percentage": 0.1, "reason": "first users"})).await.expect(200)), [] as [&str; 0]);
    bump(json!({"percentage": 10, "reason": "x100"})).await.refused(422, &["/percentage"], "at most 10 times as much, unless \"force\"");
    // Ten times as much, to the last decimal, whatever binary fractions make of it.
    bump(json!({"percentage": 0.57, "reason": "on"})).await.expect(200);
    bump(json!({"percentage": 5.7001, "reason": "x10 and a bit"})).await.refused(422, &["/percentage"], "at most 10 times");
    bump(json!({"percentage": 5.7, "reason": "x10"})).await.expect(200);
    bump(json!({"percentage": 100, "reason": "x18", "force": true})).await.expect(200);
    // Lowering needs nothing.
    bump(json!({"percentage": 0.1})).await.expect(200);

    release_manager.kill(FLAG).await.expect(200);
    let killed = bump(json!({"percentage": 1, "reason": "on"})).await.expect(200);
    assert_eq!(warnings(&killed), ["killed here: nobody is served until it is revived"]);
    assert_eq!(release_manager.targeting(FLAG).await.json["killed"], true);
    release_manager.revive(FLAG).await.expect(200);
    let disabled = release_manager.put(&format!("{TARGETING}?reason=pause"), &json!({"enabled": false})).await.expect(200);
    assert_eq!(warnings(&disabled), ["not enabled here: nobody is served"]);
    // Percentages set while nobody is served count when they begin to serve.
    bump(json!({"percentage": 50, "reason": "prepare"})).await.expect(200);
    let enabled = json!({"enabled": true});
    let put = release_manager.put(&format!("{TARGETING}?reason=go"), &enabled).await;
    put.refused(422, &["/rollout/percentage"], "at most 1 % from 0");
}
