//! Targetings: what is put reaches the application, what is killed stays killed, and a dry run tells before it is done.

use serde_json::{Value, json};
use storyflag::{Client, Context};
use storyflag_tests::actors::{PRODUCTION, STAGING};
use storyflag_tests::eventually::when;
use storyflag_tests::{Backend, House, applied, eventually, on_both_databases};

const FLAG: &str = "US-123-checkout";

on_both_databases!(
    rules_overrides_and_splits_reach_the_application,
    what_a_get_told_is_put_back,
    a_kill_stands_through_everything_but_a_revive,
    a_dry_run_tells_who_would_come_and_go,
    if_match_is_shared_by_a_targeting_and_its_rollout,
    a_bump_tells_how_many_instances_will_serve_it,
    who_lowers_what_others_depend_on_is_told,
);

fn everything() -> Value {
    json!({
        "unit": "account", "off": "off",
        "prerequisites": [{"flag": "US-100-cart", "variants": ["on"]}],
        "overrides": {"acme": "off", "tester/1": "b"},
        "rules": [
            {"id": "germany", "if": [{"attribute": "country", "in": ["DE"]}, {"attribute": "beta", "exists": true, "not": true}], "serve": "a"},
            {"id": "staff", "if": [{"in_cohort": "staff"}], "serve": [{"variant": "a", "weight": 33.3333}, {"variant": "b", "weight": 66.6667}]},
        ],
        "rollout": {"cohorts": ["staff"], "percentage": 0.1, "serve": "b", "otherwise": "a"},
    })
}

async fn furnished(backend: Backend) -> House {
    let house = House::new(backend).await;
    let editor = house.editor();
    editor.create_flag("US-100-cart").await;
    editor.raise("US-100-cart", 100.0).await.expect(200);
    editor.create_flag_with(FLAG, &json!({"variants": {"a": "A", "b": "B", "off": "-"}, "off": "off", "serve": "b"})).await;
    editor.create_cohort("staff", &["user-1"]).await;
    house
}

fn served(application: &Client, account: &str, more: &[(&str, &str)]) -> (String, Option<String>) {
    let context = Context::new("nobody").with("account", account);
    let context = more.iter().fold(context, |context, (name, value)| context.with(*name, *value));
    let detail = application.detail(FLAG, &context);
    (detail.variant.unwrap_or_default(), detail.rule)
}

async fn rules_overrides_and_splits_reach_the_application(backend: Backend) {
    let house = furnished(backend).await;
    let editor = house.editor();
    let application = house.application(STAGING).await;
    let put = editor.put_targeting(FLAG, everything()).await.expect(200);
    applied(&application, put.number("revision")).await;
    assert_eq!(served(&application, "acme", &[("country", "DE")]), ("off".to_owned(), None), "an override goes first");
    assert_eq!(served(&application, "tester/1", &[]).0, "b");
    let by_rule = ("a".to_owned(), Some("germany".to_owned()));
    assert_eq!(served(&application, "other", &[("country", "DE")]), by_rule);
    assert_ne!(served(&application, "other", &[("country", "DE"), ("beta", "yes")]), by_rule, "`not` counts");
    assert_eq!(served(&application, "other", &[("country", "de")]).1, None, "text is compared as it is");
    // A split by weight, the same for the same account, whatever the percentage.
    let split = json!({"rollout": {"percentage": 100, "serve": [{"variant": "a", "weight": 25}, {"variant": "b", "weight": 75}]}, "unit": "account"});
    let put = editor.put_targeting(FLAG, split).await.expect(200);
    applied(&application, put.number("revision")).await;
    let accounts: Vec<String> = (0..4_000).map(|number| format!("account-{number}")).collect();
    let all: Vec<String> = accounts.iter().map(|account| served(&application, account, &[]).0).collect();
    let quarter = all.iter().filter(|variant| *variant == "a").count();
    assert!((900..1_100).contains(&quarter) && all.iter().all(|variant| variant != "off"), "{quarter} of 4000");
    let half = editor.raise(FLAG, 50.0).await.expect(200);
    applied(&application, half.number("revision")).await;
    for (account, before) in accounts.iter().zip(&all) {
        let now = served(&application, account, &[]).0;
        assert!(now == "off" || now == *before, "{account}: {before} became {now}");
    }
    // A prerequisite that is not met turns it off.
    let off = editor.raise("US-100-cart", 0.0).await.expect(200);
    editor.put_targeting(FLAG, everything()).await.expect(200);
    applied(&application, off.number("revision") + 1).await;
    assert_eq!(served(&application, "tester/1", &[]).0, "off");
}

async fn what_a_get_told_is_put_back(backend: Backend) {
    let house = furnished(backend).await;
    let editor = house.editor();
    editor.put_targeting(FLAG, everything()).await.expect(200);
    let told = editor.targeting(FLAG).await;
    for (name, value) in everything().as_object().unwrap() {
        assert_eq!(&told.json[name], value, "{name}");
    }
    let before = editor.everything().await;
    let put = editor.put_targeting(FLAG, told.json.clone()).await.expect(200);
    assert_eq!((put.header("etag"), &put.json["revision"]), (told.header("etag"), &told.json["revision"]));
    // The answer of a write can be put back, too, and the rollout alone.
    editor.put_targeting(FLAG, put.json.clone()).await.expect(200);
    editor.put(&format!("flags/{FLAG}/rollout"), &told.json["rollout"]).await.expect(200);
    assert_eq!(editor.everything().await, before);
    // What was read before somebody else wrote is not put over it.
    editor.raise(FLAG, 5.0).await.expect(200);
    editor.put_targeting(FLAG, told.json).await.refused(422, &["/version"], "read it again");
}

async fn a_kill_stands_through_everything_but_a_revive(backend: Backend) {
    let house = furnished(backend).await;
    let release_manager = house.release_manager().in_environment(PRODUCTION);
    release_manager.raise(FLAG, 1.0).await.expect(200);
    let alive = release_manager.force(FLAG, 100.0).await.expect(200);
    let application = house.application(PRODUCTION).await;
    let killed = house.editor().in_environment(PRODUCTION).kill(FLAG).await.expect(200);
    applied(&application, killed.number("revision")).await;
    assert_eq!(served(&application, "x", &[]).0, "off");
    assert_eq!(killed.json["warnings"], json!(["killed here: nobody is served until it is revived"]));
    let revision = release_manager.revision().await;
    assert_eq!(release_manager.kill(FLAG).await.expect(200).json["revision"], revision, "killed twice is killed");

    release_manager.put_targeting(FLAG, json!({"rollout": {"percentage": 50, "serve": "b"}})).await.expect(200);
    release_manager
        .post(&format!("flags/{FLAG}/revert"), &json!({"revision": alive.number("revision"), "reason": "back", "force": true}))
        .await
        .expect(200);
    let stands = release_manager.force(FLAG, 90.0).await.expect(200);
    assert_eq!(release_manager.targeting(FLAG).await.json["killed"], true);
    applied(&application, stands.number("revision")).await;
    assert_eq!(served(&application, "x", &[]).0, "off");
    release_manager.post(&format!("flags/{FLAG}/revive"), &json!({})).await.refused(422, &["/reason"], "say why");
    release_manager.force(FLAG, 100.0).await.expect(200);
    let revived = release_manager.revive(FLAG).await.expect(200);
    applied(&application, revived.number("revision")).await;
    assert_eq!(served(&application, "x", &[]).0, "b");
}

async fn a_dry_run_tells_who_would_come_and_go(backend: Backend) {
    let house = furnished(backend).await;
    let editor = house.editor();
    editor.raise("US-100-cart", 10.0).await.expect(200);
    let before = editor.everything().await;
    let bump = |percentage: f64| {
        let editor = editor.clone();
        async move { editor.patch("flags/US-100-cart/rollout?dry_run=true", &json!({"percentage": percentage})).await.expect(200).json }
    };
    let up = bump(50.5).await;
    assert_eq!((&up["dry_run"], &up["units"]), (&json!(true), &json!({"added": 40.5, "lost": 0.0})));
    assert_eq!(up["differences"], json!([{"pointer": "/rollout/percentage", "before": 10.0, "after": 50.5}]));
    assert_eq!(bump(0.1).await["units"], json!({"added": 0.0, "lost": 9.9}));
    assert_eq!(bump(10.0).await["differences"], json!([]));
    let killed = editor.post("flags/US-100-cart/kill?dry_run=true", &json!({})).await.expect(200).json;
    assert_eq!(
        (&killed["units"], &killed["warnings"][0]),
        (&json!({"added": 0.0, "lost": 10.0}), &json!("killed here: nobody is served until it is revived"))
    );
    let put = editor.put(&format!("flags/{FLAG}?dry_run=true"), &everything()).await.expect(200).json;
    let pointers: Vec<&str> = put["differences"].as_array().unwrap().iter().filter_map(|one| one["pointer"].as_str()).collect();
    for pointer in
        ["/unit", "/prerequisites", "/overrides/tester~11", "/rules", "/rollout/percentage", "/rollout/cohorts", "/rollout/otherwise"]
    {
        assert!(pointers.contains(&pointer), "{pointer} in {pointers:?}");
    }
    assert!(put["units"]["added"].as_f64().is_some(), "by bucket, of those whom nothing before the rollout decides: {put}");
    editor.put(&format!("flags/{FLAG}?dry_run=true"), &json!({"off": "none"})).await.refused(422, &["/off"], "is not a variant");
    assert_eq!(editor.everything().await, before);
}

async fn if_match_is_shared_by_a_targeting_and_its_rollout(backend: Backend) {
    let house = furnished(backend).await;
    let editor = house.editor();
    let path = format!("flags/{FLAG}/rollout");
    let mut tag = editor.targeting(FLAG).await.header("etag").to_owned();
    for percentage in [1, 2, 3] {
        let bump = editor.request(reqwest::Method::PATCH, &path).header("if-match", &tag).json(&json!({"percentage": percentage}));
        let bumped = bump.send().await.expect(200);
        assert_ne!(bumped.header("etag"), tag);
        bumped.header("etag").clone_into(&mut tag);
        assert_eq!(editor.targeting(FLAG).await.header("etag"), tag);
    }
    // Of many who saw the same version, one wins.
    let writes = (10..20).map(|percentage| {
        let write = editor.request(reqwest::Method::PATCH, &path).header("if-match", &tag).json(&json!({"percentage": percentage}));
        tokio::spawn(write.send())
    });
    let mut won = 0;
    for write in writes.collect::<Vec<_>>() {
        let answer = write.await.unwrap();
        match answer.status {
            200 => won += 1,
            _ => drop(answer.refused(412, &[], "read it again")),
        }
    }
    assert_eq!(won, 1);
}

async fn a_bump_tells_how_many_instances_will_serve_it(backend: Backend) {
    let house = furnished(backend).await;
    let editor = house.editor();
    let (_first, _second) = (house.application(STAGING).await, house.application(STAGING).await);
    let _elsewhere = house.application(PRODUCTION).await;
    eventually("both report", || async {
        let instances = editor.get("instances").await.expect(200);
        when(instances.json["live"] == 2, instances.text)
    })
    .await;
    assert_eq!(editor.raise(FLAG, 1.0).await.expect(200).json["instances"], 2);
    let listed = editor.get("instances").await.expect(200).json;
    assert!(listed["instances"].as_array().unwrap().iter().all(|one| one["sdk"].as_str().unwrap().starts_with("rust/")), "{listed}");
}

async fn who_lowers_what_others_depend_on_is_told(backend: Backend) {
    let house = House::new(backend).await;
    let editor = house.editor();
    for flag in ["old", "new", "other"] {
        editor.create_flag(flag).await;
    }
    editor.raise("new", 100.0).await.expect(200);
    for (flag, variant) in [("old", "off"), ("other", "on")] {
        editor.put_targeting(flag, json!({"prerequisites": [{"flag": "new", "variants": [variant]}]})).await.expect(200);
    }
    let warned = |answer: &Value| {
        let warnings = answer["warnings"].as_array().unwrap();
        warnings.iter().any(|warning| warning.as_str().unwrap().starts_with("old depends on \"off\" of this flag"))
    };
    assert!(warned(&editor.raise("new", 50.0).await.expect(200).json), "lowered");
    assert!(!warned(&editor.raise("new", 60.0).await.expect(200).json), "raised");
    let killed = editor.kill("new").await.expect(200).json;
    assert!(warned(&killed) && killed["changed"] == json!(true), "{killed}");
    let again = editor.kill("new").await.expect(200).json;
    assert!(!warned(&again) && again["changed"] == json!(false), "{again}");
}
