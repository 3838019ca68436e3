//! Deployment plans: put as people write them, kept word for word, checked, predicted and rehearsed.

use reqwest::Method;
use serde_json::{Value, json};
use storyflag_tests::actors::Actor;
use storyflag_tests::answer::Answer;
use storyflag_tests::process::program;
use storyflag_tests::{Backend, House, on_both_databases};

/// The team's template, filled in.
const MARKDOWN: &str = include_str!("../../release/testdata/checkout.md");
const YAML: &str = include_str!("../../release/testdata/checkout.yaml");
const KEY: &str = "DP-123-checkout";
const PLANS: &str = "/api/v1/projects/default/plans";
const DOCUMENT_JSON: &str = "application/vnd.storyflag.plan+json";

on_both_databases!(
    a_markdown_plan_comes_back_byte_for_byte_and_in_every_format,
    every_fault_is_told_at_once_and_nothing_is_kept,
    a_version_that_does_not_stand_replaces_nothing,
    a_dry_run_tells_and_keeps_nothing,
    a_deleted_plan_is_gone_and_its_history_stays,
    another_approach_is_kept_and_not_executed,
    a_healthy_rehearsal_completes_and_a_spike_is_turned_back,
    a_prediction_warns_of_steps_that_are_too_small,
    the_command_checks_puts_and_rehearses,
);

async fn put(actor: &Actor, key: &str, media_type: &str, text: &str) -> Answer {
    actor.request(Method::PUT, &format!("{PLANS}/{key}")).body(media_type, text.to_owned()).send().await
}

async fn get_as(actor: &Actor, key: &str, accept: &str) -> Answer {
    let answer = actor.request(Method::GET, &format!("{PLANS}/{key}")).header("accept", accept).send().await.expect(200);
    assert!(answer.header("content-type").starts_with(accept), "{}", answer.header("content-type"));
    answer
}

/// What a plan says in its canonical form, told by the service.
async fn model(actor: &Actor, key: &str) -> Value {
    actor.get(&format!("{PLANS}/{key}")).await.expect(200).json["plan"].clone()
}

async fn history(actor: &Actor) -> Vec<Value> {
    let changes = actor.get("changes?limit=1000").await.expect(200).json["changes"].as_array().unwrap().clone();
    changes.into_iter().filter(|change| change["kind"] == "plan").collect()
}

async fn a_markdown_plan_comes_back_byte_for_byte_and_in_every_format(backend: Backend) {
    let house = House::new(backend).await;
    let (editor, viewer) = (house.editor(), house.viewer());
    // Windows' line ends, tabs, trailing spaces and letters of any script are the author's.
    let text = format!("{}\n\n<!-- ü\tß 漢字 🦀 -->  \r\n", MARKDOWN.replace("Conversion metrics", "Conversion, täglich"));
    let made = put(&editor, KEY, "text/markdown; charset=utf-8", &text).await.expect(201);
    assert_eq!(made.header("etag"), "\"1\"");
    assert_eq!(
        (&made.json["media"], &made.json["flag"], &made.json["faults"]),
        (&json!("markdown"), &json!("US-123-checkout"), &json!([]))
    );
    assert!(made.json["assumed"].as_array().unwrap().contains(&json!("bake of step 1: 15m")), "{}", made.text);
    let kept = made.json["kept"].as_array().unwrap();
    assert!(kept.iter().any(|kept| kept["text"].as_str().unwrap().contains("make deploy-canary") && kept["line"] == 74), "{}", made.text);
    let told = viewer.get(&format!("{PLANS}/{KEY}")).await.expect(200);
    assert_eq!(told.header("content-type"), "application/json");
    assert_eq!(told.json, made.json);
    let percentages: Vec<f64> =
        told.json["plan"]["steps"].as_array().unwrap().iter().map(|step| step["percentage"].as_f64().unwrap()).collect();
    assert_eq!(percentages, [0.1, 1.0, 10.0, 50.0, 100.0]);

    let again = get_as(&viewer, KEY, "text/markdown").await;
    assert!(again.text == text, "word for word");
    assert_eq!((again.header("etag"), again.header("vary").contains("accept")), ("\"1\"", true));
    // The same in other formats, each of which can be put again as the same plan.
    for (media_type, name) in [("application/yaml", "yaml"), (DOCUMENT_JSON, "json")] {
        let other = get_as(&viewer, KEY, media_type).await;
        let put = put(&editor, KEY, media_type, &other.text).await.expect(200);
        assert_eq!((&put.json["media"], &put.json["plan"]), (&json!(name), &told.json["plan"]));
        assert!(get_as(&viewer, KEY, media_type).await.text == other.text);
    }
    // The same again changes nothing, its version neither.
    let version = put(&editor, KEY, "text/markdown", &text).await.expect(200).number("version");
    assert_eq!(put(&editor, KEY, "text/markdown", &text).await.expect(200).number("version"), version);
    assert_eq!(version, 4);
    let written = history(&viewer).await;
    assert_eq!(written.len(), 4, "{written:?}");
    assert_eq!((&written[3]["after"]["document"], &written[3]["actor"]), (&json!(text), &json!("editor")));
    viewer.get(&format!("{PLANS}/none")).await.refused(404, &[], "there is no plan \"none\"");
    put(&viewer, KEY, "text/markdown", &text).await.refused(403, &[], "it takes editor");
}

async fn every_fault_is_told_at_once_and_nothing_is_kept(backend: Backend) {
    let house = House::new(backend).await;
    let editor = house.editor();
    let before = history(&editor).await;
    let broken = YAML
        .replacen("Europe/Berlin", "Mars/Olympus", 1)
        .replacen("percentage: 50,", "percentage: 5,", 1)
        .replacen("risk: medium", "rsik: medium", 1)
        .replacen("error_rate > 5%", "eror_rate > 5%", 1);
    let refused = put(&editor, KEY, "application/yaml", &broken).await;
    let refused = refused.refused(422, &["/rsik", "/steps/3/percentage", "/calendar/timezone", "/triggers/0"], "did you mean risk");
    let places = |answer: &Answer| -> Vec<(u64, u64)> {
        let errors = answer.json["errors"].as_array().unwrap();
        errors.iter().map(|fault| (fault["line"].as_u64().unwrap(), fault["column"].as_u64().unwrap())).collect()
    };
    assert_eq!(places(&refused), [(6, 1), (15, 19), (17, 23), (19, 13)], "{}", refused.text);
    // More than a hundred, and all of them.
    let many: String = (0..150).map(|number| format!("x{number}: 1\n")).collect();
    let refused = put(&editor, KEY, "application/yaml", &format!("{YAML}{many}")).await.expect(422);
    assert_eq!(refused.json["errors"].as_array().unwrap().len(), 150);
    // The team's template before it is filled in: every placeholder.
    let template = include_str!("../../release/testdata/template.md");
    let refused = put(&editor, KEY, "text/markdown", template).await.expect(422);
    assert!(places(&refused).len() >= 20 && refused.text.contains("is a placeholder: fill it in"), "{}", refused.text);
    put(&editor, KEY, "application/json", "{\"plan\": ").await.refused(422, &[""], "this is no JSON");
    put(&editor, KEY, "application/yaml", &format!("{YAML}# a\0b\n")).await.expect(422);
    put(&editor, KEY, "text/markdown", &"x".repeat(300 * 1024)).await.refused(422, &[""], "256 KiB");
    put(&editor, "DP-9", "application/yaml", YAML).await.refused(422, &["/plan"], "the path says \"DP-9\"");
    put(&editor, "a%2Fb", "application/yaml", YAML).await.refused(422, &["/plan"], "is no plan key");
    put(&editor, KEY, "text/html", "<p>").await.refused(415, &[], "text/markdown");
    let bytes = editor.request(Method::PUT, &format!("{PLANS}/{KEY}")).body("application/yaml", vec![b'#', 0xff]).send().await;
    bytes.refused(400, &[], "its byte 1");
    assert_eq!(editor.get(PLANS).await.expect(200).json["plans"], json!([]));
    assert_eq!(history(&editor).await, before);
}

async fn a_version_that_does_not_stand_replaces_nothing(backend: Backend) {
    let house = House::new(backend).await;
    let editor = house.editor();
    let put_at = |version: &'static str, text: String| {
        let request = editor.request(Method::PUT, &format!("{PLANS}/{KEY}")).header("if-match", version);
        request.body("application/yaml", text).send()
    };
    put_at("\"1\"", YAML.to_owned()).await.refused(412, &[], "nothing stands");
    put(&editor, KEY, "application/yaml", YAML).await.expect(201);
    let second = YAML.replacen("risk: medium", "risk: high", 1);
    put_at("\"2\"", second.clone()).await.refused(412, &[], "\"1\" stands");
    assert_eq!(put_at("\"1\"", second.clone()).await.expect(200).header("etag"), "\"2\"");
    put_at("\"1\"", YAML.to_owned()).await.refused(412, &[], "\"2\" stands");
    assert_eq!(model(&editor, KEY).await["risk"], "high");
    // Of many who replace the same version, one does.
    let race = (0..8).map(|number| put_at("\"2\"", second.replacen("risk: high", &format!("risk: low # {number}"), 1)));
    let statuses: Vec<u16> = futures_util::future::join_all(race).await.into_iter().map(|answer| answer.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 200 | 412)), "{statuses:?}");
    // Many who make the same one: one creates it.
    let other = YAML.replacen(KEY, "DP-2", 1);
    let race = (0..8).map(|_| put(&editor, "DP-2", "application/yaml", &other));
    let statuses: Vec<u16> = futures_util::future::join_all(race).await.into_iter().map(|answer| answer.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 200 | 201)), "{statuses:?}");
}

async fn a_dry_run_tells_and_keeps_nothing(backend: Backend) {
    let house = House::new(backend).await;
    let editor = house.editor();
    let dry = |text: &str| {
        let request = editor.request(Method::PUT, &format!("{PLANS}/{KEY}?dry_run=true"));
        request.body("application/yaml", text.to_owned()).send()
    };
    let told = dry(YAML).await.expect(200);
    assert_eq!((&told.json["dry_run"], &told.json["faults"], &told.json["plan"]["plan"]), (&json!(true), &json!([]), &json!(KEY)));
    assert_eq!(told.json["warnings"], json!(["there is no flag \"US-123-checkout\" yet: create it before a release of this plan starts"]));
    editor.get(&format!("{PLANS}/{KEY}")).await.expect(404);
    editor.create_flag("US-123-checkout").await;
    assert_eq!(put(&editor, KEY, "application/yaml", YAML).await.expect(201).json["warnings"], json!([]));
    let before = editor.everything().await;
    let told = dry(&YAML.replacen("percentage: 50,", "percentage: 40,", 1)).await.expect(200);
    assert_eq!(
        told.json["differences"],
        json!([{"pointer": "/steps", "before": told.json["differences"][0]["before"], "after": told.json["differences"][0]["after"]}])
    );
    assert_eq!(told.json["differences"][0]["after"][3]["percentage"], 40);
    dry(&YAML.replacen("risk: medium", "risk: medum", 1)).await.refused(422, &["/risk"], "did you mean medium");
    editor.delete(&format!("{PLANS}/{KEY}?dry_run=true")).await.expect(200);
    assert_eq!(editor.everything().await, before);
    assert_eq!(editor.get(&format!("{PLANS}/{KEY}")).await.expect(200).number("version"), 1);
}

async fn a_deleted_plan_is_gone_and_its_history_stays(backend: Backend) {
    let house = House::new(backend).await;
    let (editor, viewer) = (house.editor(), house.viewer());
    for number in 0..5 {
        put(&editor, &format!("DP-{number}"), "application/yaml", &YAML.replacen(KEY, &format!("DP-{number}"), 1)).await.expect(201);
    }
    let keys = |answer: Answer| -> Vec<String> {
        answer.json["plans"].as_array().unwrap().iter().map(|plan| plan["key"].as_str().unwrap().to_owned()).collect()
    };
    let page = viewer.get(&format!("{PLANS}?limit=2")).await.expect(200);
    assert_eq!(page.json["next"], "DP-1");
    assert_eq!(keys(viewer.get(&format!("{PLANS}?limit=2&after=DP-1")).await.expect(200)), ["DP-2", "DP-3"]);
    viewer.delete(&format!("{PLANS}/DP-2")).await.refused(403, &[], "it takes editor");
    let stale = editor.request(Method::DELETE, &format!("{PLANS}/DP-2")).header("if-match", "\"7\"").send().await;
    stale.refused(412, &[], "\"1\" stands");
    editor.delete(&format!("{PLANS}/DP-2?reason=abandoned")).await.expect(200);
    editor.delete(&format!("{PLANS}/DP-2")).await.refused(404, &[], "there is no plan \"DP-2\"");
    viewer.get(&format!("{PLANS}/DP-2")).await.expect(404);
    assert_eq!(keys(viewer.get(PLANS).await.expect(200)), ["DP-0", "DP-1", "DP-3", "DP-4"]);
    let last = &history(&viewer).await[0];
    assert_eq!((&last["key"], &last["after"], &last["reason"]), (&json!("DP-2"), &Value::Null, &json!("abandoned")));
    // A key that comes back goes on with its versions: an old ETag is no key to it.
    let again = put(&editor, "DP-2", "application/yaml", &YAML.replacen(KEY, "DP-2", 1)).await.expect(201);
    assert_eq!(again.number("version"), 3);
}

async fn another_approach_is_kept_and_not_executed(backend: Backend) {
    let house = House::new(backend).await;
    let editor = house.editor();
    let text = "plan: DP-1-a\nstory: US-1-a\napproach: Blue-Green\n";
    let made = put(&editor, "DP-1-a", "application/yaml", text).await.expect(201);
    let why = &made.json["not_executable"];
    assert_eq!((&why["line"], &why["column"], &made.json["approach"]), (&json!(3), &json!(11), &json!("blue_green")));
    for question in ["predict", "rehearse"] {
        let asked = editor.post(&format!("{PLANS}/DP-1-a/{question}"), &json!({"requests_per_s": 10})).await;
        asked.refused(422, &["/approach"], "cannot be executed here");
    }
}

async fn a_healthy_rehearsal_completes_and_a_spike_is_turned_back(backend: Backend) {
    let house = House::new(backend).await;
    let (editor, viewer) = (house.editor(), house.viewer());
    // A plan that states no relative trigger is given two: only they see ten times 0.5 %.
    let text = MARKDOWN.replacen("triggers: [\"slow(1000ms) > 1.25x control\"]\n", "", 1);
    let made = put(&editor, KEY, "text/markdown", &text).await.expect(201);
    assert!(made.json["assumed"].as_array().unwrap().contains(&json!("triggers: error_rate > 1.25x control")), "{}", made.text);
    let path = format!("{PLANS}/{KEY}/rehearse");
    let mut body =
        json!({"requests_per_s": 200, "error_percentage": 0.05, "slow_percentage": 0.1, "seed": 7, "start_at": "2026-11-30T08:00:00Z"});
    let healthy = viewer.post(&path, &body).await.expect(200);
    assert_eq!(
        (&healthy.json["outcome"], &healthy.json["start_at"]),
        (&json!("completed"), &json!("2026-11-30T08:00:00Z")),
        "{}",
        healthy.text
    );
    let mut percentages: Vec<f64> =
        healthy.json["timeline"].as_array().unwrap().iter().map(|moment| moment["percentage"].as_f64().unwrap()).collect();
    percentages.dedup();
    assert_eq!(percentages, [0.1, 1.0, 10.0, 50.0, 100.0], "no step is skipped: {}", healthy.text);
    assert_eq!(viewer.post(&path, &body).await.expect(200).json, healthy.json, "the same seed");
    body["error_percentage"] = json!(0.5);
    body["trouble"] = json!({"after": "20m", "error_percentage": 4.5});
    let spike = viewer.post(&path, &body).await.expect(200);
    assert_eq!(spike.json["outcome"], "rolled back", "{}", spike.text);
    let cause = spike.json["cause"].as_str().unwrap();
    assert!(cause.contains("error first in") && cause.contains("> 1.25x control"), "{cause}");
    let notices = spike.json["notices"].as_array().unwrap();
    assert!(
        notices.iter().any(|notice| notice["to"] == "on_call" && notice["text"].as_str().unwrap().contains("1.25x control")),
        "{notices:#?}"
    );
    for (body, pointer, told) in [
        (json!({"requests_per_s": -1}), "/requests_per_s", "0 to 1000000"),
        (json!({"units": 0}), "/units", "1 to"),
        (json!({"seed": -1}), "/seed", "0 to 4294967295"),
        (json!({"trouble": {"after": "soon"}}), "/trouble/after", "soon"),
        (json!({"start_at": "tomorrow"}), "/start_at", "not a time"),
        (json!({"errors": 1}), "/errors", "is not known here"),
    ] {
        viewer.post(&path, &body).await.refused(422, &[pointer], told);
    }
    assert_eq!(history(&viewer).await.len(), 1, "a rehearsal writes nothing");
}

async fn a_prediction_warns_of_steps_that_are_too_small(backend: Backend) {
    let house = House::new(backend).await;
    let (editor, viewer) = (house.editor(), house.viewer());
    put(&editor, KEY, "application/yaml", YAML).await.expect(201);
    let path = format!("{PLANS}/{KEY}/predict");
    let quiet = viewer.post(&path, &json!({"requests_per_s": 20, "error_percentage": 0.5})).await.expect(200);
    let steps = quiet.json["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 5);
    assert!(steps[0]["warning"].as_str().unwrap().contains("too little traffic"), "{}", quiet.text);
    assert_eq!(
        (&steps[2]["warning"], &steps[2]["step"], &steps[2]["percentage"], &steps[2]["bake_ms"]),
        (&Value::Null, &json!(3), &json!(10.0), &json!(14_400_000))
    );
    assert!(steps[2]["spike_ms"].as_u64().unwrap() < 14_400_000, "{}", quiet.text);
    let busy = viewer.post(&path, &json!({"requests_per_s": 20_000, "cohort_requests_per_s": 10})).await.expect(200);
    assert_eq!(busy.json["steps"][0].get("warning"), None, "{}", busy.text);
    viewer.post(&path, &json!({})).await.refused(422, &["/requests_per_s"], "is missing");
}

/// What the command said: its exit code, the standard output, the standard error.
async fn command(actor: &Actor, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = tokio::process::Command::new(program());
    command.args(args).env("STORYFLAG_URL", actor.base()).env("STORYFLAG_TOKEN", actor.token()).env_remove("STORYFLAG_PROJECT");
    let output = command.kill_on_drop(true).output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

async fn the_command_checks_puts_and_rehearses(backend: Backend) {
    let house = House::new(backend).await;
    let editor = house.editor();
    let file = |name: &str, text: &str| {
        let path = house.workdir.file(name).display().to_string();
        std::fs::write(&path, text).unwrap();
        path
    };
    let nobody = editor.at("http://127.0.0.1:1");
    let good = file("plan.md", MARKDOWN);
    let (code, out, _) = command(&nobody, &["plan", "check", &good]).await;
    assert_eq!(code, Some(0), "{out}");
    for line in [
        format!("{good}: {KEY} is right: 5 steps, flag US-123-checkout"),
        "assumed: bake of step 1: 15m".to_owned(),
        "kept, not executed: line 74: # Deploy to canary instance and 7 more lines".to_owned(),
    ] {
        assert!(out.lines().any(|told| told == line), "{line} is missing in {out}");
    }
    let bad = file("bad.yaml", &YAML.replacen("risk: medium", "risk: medum", 1).replacen("percentage: 50,", "percentage: 5,", 1));
    let (code, out, error) = command(&nobody, &["plan", "check", &bad]).await;
    assert_eq!((code, error), (Some(1), format!("storyflag: {bad}: 2 faults\n")));
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with(&format!("{bad}:6:7: ")) && lines[0].contains("did you mean medium"), "{out}");
    assert!(lines[1].starts_with(&format!("{bad}:15:19: ")), "{out}");
    let (code, out, _) = command(&nobody, &["plan", "check", &bad, "--json"]).await;
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &told["faults"][0]["line"], &told["faults"][1]["pointer"]), (Some(1), &json!(6), &json!("/steps/3/percentage")));

    let (code, out, note) = command(&editor, &["plan", "put", &good]).await;
    assert_eq!(code, Some(0), "{out}{note}");
    assert!(out.starts_with(&format!("{KEY} is created  (version 1)\nwarning: there is no flag")), "{out}");
    assert!(note.contains("next: storyflag rehearse"), "{note}");
    assert!(command(&editor, &["plan", "get", KEY]).await.1 == MARKDOWN, "word for word");
    assert!(command(&editor, &["plan", "get", KEY, "--format", "yaml"]).await.1.starts_with("plan: DP-123-checkout\n"));
    let (_, out, _) = command(&editor, &["plan", "list"]).await;
    assert!(out.lines().nth(1).is_some_and(|line| line.starts_with(KEY) && line.contains("markdown")), "{out}");

    // Of a file without the service, and of what the service keeps: the same.
    let story = ["--seed", "3", "--start-at", "2026-12-01T08:00:00Z", "--trouble-errors", "30", "--json"];
    let (code, here, error) = command(&nobody, &[&["rehearse", &good], &story[..]].concat()).await;
    assert_eq!(code, Some(0), "{error}");
    let (_, there, error) = command(&editor, &[&["rehearse", KEY], &story[..]].concat()).await;
    assert_eq!(here, there, "{error}");
    let (_, out, _) = command(&nobody, &["rehearse", &good, "--trouble-errors", "30"]).await;
    assert!(out.starts_with("WHEN") && out.contains(": rolled back after ") && out.contains("\nbecause: error"), "{out}");
    let (_, out, _) = command(&editor, &["predict", KEY, "--requests-per-second", "20"]).await;
    assert!(out.starts_with("STEP  PERCENT  BAKE  10x ERRORS") && out.contains("too little traffic"), "{out}");
    let (code, _, error) = command(&nobody, &["predict", &good, "--requests-per-second", "-1"]).await;
    assert_eq!(code, Some(2), "{error}");
    assert_eq!(command(&editor, &["plan", "delete", KEY]).await.0, Some(0));
    let (code, _, error) = command(&editor, &["rehearse", KEY]).await;
    assert!(code == Some(1) && error.contains("next: storyflag plan list"), "{error}");
}
