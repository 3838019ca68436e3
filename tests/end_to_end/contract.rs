//! The document that the service publishes is the one that is committed, and the service does what it says.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};
use storyflag_tests::actors::{Actor, STAGING};
use storyflag_tests::answer::Answer;
use storyflag_tests::contract::Contract;
use storyflag_tests::eventually::when;
use storyflag_tests::{Backend, House, eventually, on_both_databases};

const FLAG: &str = "US-123-checkout";
const ENVIRONMENT: &str = "/api/v1/projects/default/environments/staging";

on_both_databases!(every_operation_answers_as_it_is_documented);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_is_committed_and_served() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../openapi/openapi.json");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    let how = "renew it: cargo run -p storyflag-server -- openapi > openapi/openapi.json";
    assert!(committed == storyflag_server::router::openapi(), "openapi/openapi.json is not what the code says; {how}");
    let house = House::new(Backend::Sqlite).await;
    let served = house.admin().with_token("nobody", None).get("/openapi.json").await.expect(200);
    assert_eq!(served.header("content-type"), "application/json");
    assert!(served.text == committed, "what is served is not what is committed");
    assert_eq!(served.json["openapi"], "3.1.0");
    house.viewer().get("/").await.refused(404, &[], "the API has its page at /docs and its document at /openapi.json");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_needs_nothing_from_elsewhere() {
    let house = House::new(Backend::Sqlite).await;
    let nobody = house.admin().with_token("nobody", None);
    let page = nobody.get("/docs/").await.expect(200);
    assert!(page.header("content-type").starts_with("text/html"), "{}", page.header("content-type"));
    // Each script and style of the page is one of our own, and there.
    let parts = page.text.split('"').filter(|part| [".js", ".css"].iter().any(|end| part.ends_with(end)));
    let parts: Vec<&str> = parts.map(|part| part.trim_start_matches("./").trim_start_matches("/docs/")).collect();
    assert!(parts.len() >= 3, "{parts:?} in {}", page.text);
    for part in parts {
        assert!(!part.contains("//"), "{part} is elsewhere");
        let file = nobody.get(&format!("/docs/{part}")).await.expect(200);
        assert!(!file.text.is_empty(), "{part}");
        if part.ends_with("initializer.js") {
            assert!(file.text.contains("/openapi.json"), "{}", file.text);
        }
    }
}

/// Somebody whose every answer is held against the document.
struct Reader<'a> {
    actor: Actor,
    contract: &'a mut Contract,
}

impl Reader<'_> {
    async fn send(&mut self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let path = if path.starts_with('/') { path.to_owned() } else { format!("{ENVIRONMENT}/{path}") };
        let mut request = self.actor.request(method.clone(), &path);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await;
        self.contract.check(method.as_str(), &path, &answer);
        answer
    }

    async fn get(&mut self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    async fn put(&mut self, path: &str, body: &Value) -> Answer {
        self.send(Method::PUT, path, Some(body)).await
    }

    async fn patch(&mut self, path: &str, body: &Value) -> Answer {
        self.send(Method::PATCH, path, Some(body)).await
    }

    async fn post(&mut self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }

    async fn delete(&mut self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }
}

async fn every_operation_answers_as_it_is_documented(backend: Backend) {
    let house = House::new(backend).await;
    let application = house.application(STAGING).await;
    let mut contract = Contract::new(serde_json::from_str(&storyflag_server::router::openapi()).unwrap());
    people(&mut Reader { actor: house.admin(), contract: &mut contract }).await;
    application.is_on(FLAG, &storyflag::Context::new("user-1"));
    application.close().await;
    eventually("its use is told", || async {
        let usage = house.viewer().get("usage").await.expect(200);
        when(!usage.json["usage"].as_array().unwrap().is_empty(), usage.text)
    })
    .await;
    let mut reader = Reader { actor: house.viewer(), contract: &mut contract };
    reader.get("instances").await.expect(200);
    reader.get("usage").await.expect(200);
    reader.actor = house.admin().with_token("nobody", None);
    reader.get("flags").await.expect(401);
    for path in ["/health", "/health/live", "/health/ready"] {
        reader.get(path).await.ok();
    }
    applications(&mut Reader { actor: house.admin().with_token("an application", Some(house.key(STAGING))), contract: &mut contract })
        .await;
    assert_eq!(contract.uncalled(), [] as [String; 0], "operations that no test has called");
}

/// What people call, each with what it answers when it is well, and when it is not.
async fn people(reader: &mut Reader<'_>) {
    let project = "/api/v1/projects/default";
    let flag = format!("{project}/flags/{FLAG}");
    reader.get("/api/v1/projects").await.expect(200);
    reader.put("/api/v1/projects/mine", &json!({})).await.expect(201);
    reader.get("/api/v1/projects/mine").await.expect(200);
    reader.get("/api/v1/projects/none").await.expect(404);
    reader.put(&flag, &json!({"story": "US-123", "tags": ["shop"]})).await.expect(201);
    reader.put(&flag, &json!({"story": "US-124"})).await.expect(409);
    reader.put(&flag, &json!({"storry": 1})).await.expect(422);
    reader.patch(&flag, &json!({"description": "words"})).await.expect(200);
    reader.patch(&format!("{flag}?dry_run=true"), &json!({"description": "more"})).await.expect(200);
    reader.get(&flag).await.expect(200);
    reader.get(&format!("{project}/flags")).await.expect(200);
    reader.get(&format!("{project}/flags?limit=x")).await.expect(400);
    reader.get(&format!("{project}/environments")).await.expect(200);
    reader.put(&format!("{project}/environments/canary"), &json!({})).await.expect(201);
    reader.get(&format!("{project}/environments/canary")).await.expect(200);
    reader.put("cohorts/staff", &json!({"if": [{"attribute": "email", "ends_with": "@example.com"}]})).await.expect(201);
    reader.get("cohorts/staff").await.expect(200);
    reader.get("cohorts").await.expect(200);
    let members = reader.actor.put_members("staff", "user-1\nuser-2").await.expect(200);
    reader.contract.check("PUT", &format!("{ENVIRONMENT}/cohorts/staff/members"), &members);
    reader.patch("cohorts/staff/members", &json!({"add": ["user-3"]})).await.expect(200);
    reader.get("cohorts/staff/members?limit=1").await.expect(200);
    reader.put("cohorts/beta", &json!({})).await.expect(201);
    reader.delete("cohorts/beta").await.expect(200);
    let rules = json!([
        {"id": "r", "if": [{"in_cohort": "staff", "not": true}], "serve": "on"},
        {"id": "s", "if": [], "serve": [{"variant": "on", "weight": 100}]},
    ]);
    let targeting = format!("flags/{FLAG}");
    reader.put(&targeting, &json!({"rules": rules, "overrides": {"user-9": "off"}})).await.expect(200);
    reader.put(&format!("{targeting}?dry_run=true"), &json!({"enabled": false})).await.expect(200);
    reader.get(&targeting).await.expect(200);
    reader.get("flags").await.expect(200);
    reader.delete("cohorts/staff").await.expect(409);
    let rollout = format!("{targeting}/rollout");
    reader.put(&rollout, &json!({"percentage": 1, "serve": "on", "otherwise": "off", "cohorts": ["staff"]})).await.expect(200);
    reader.patch(&rollout, &json!({"percentage": 10, "from": 1})).await.expect(200);
    reader.patch(&format!("{rollout}?dry_run=true"), &json!({"percentage": 20})).await.expect(200);
    reader.patch(&rollout, &json!({"percentage": 10, "from": 1})).await.expect(409);
    reader.post(&format!("{targeting}/kill"), &json!({})).await.expect(200);
    reader.post(&format!("{targeting}/revive"), &json!({})).await.expect(200);
    reader.get(&format!("{targeting}/history")).await.expect(200);
    reader.post(&format!("{targeting}/revert"), &json!({"revision": 1})).await.expect(200);
    reader.get(&format!("{targeting}/explain?unit=user-1")).await.expect(200);
    reader.post(&format!("{targeting}/explain"), &json!({"context": {"targetingKey": "user-1"}})).await.expect(200);
    reader.get(&format!("{targeting}/explain?unit=u&at=2020-01-01T00:00:00Z")).await.expect(200);
    reader.post("explain", &json!({"context": {}})).await.expect(200);
    for path in [format!("{targeting}/kill?dry_run=true"), format!("{targeting}/revive?dry_run=true")] {
        reader.post(&path, &json!({})).await.expect(200);
    }
    reader.put(&format!("{project}/environments/moon?dry_run=true"), &json!({})).await.expect(200);
    reader.put("cohorts/moon?dry_run=true", &json!({})).await.expect(200);
    reader.post("keys?dry_run=true", &json!({"name": "none"})).await.expect(200);
    reader.post("incarnation?dry_run=true", &json!({})).await.expect(200);
    reader.post("incarnation", &json!({"reason": "a restore"})).await.expect(200);
    let made = reader.post("keys", &json!({"name": "shop"})).await.expect(201);
    reader.get("keys").await.expect(200);
    reader.delete(&format!("keys/{}", made.json["id"].as_str().unwrap())).await.expect(204);
    reader.put(&format!("{project}/flags/US-90-old"), &json!({})).await.expect(201);
    reader.delete(&format!("{project}/flags/US-90-old")).await.expect(200);
    reader.get("changes").await.expect(200);
    telling(reader).await;
    plans(reader, project).await;
    releases(reader, project).await;
}

/// Releases, from their creation to their report.
async fn releases(reader: &mut Reader<'_>, project: &str) {
    let plan = json!({"plan": "DP-2", "flag": "US-2", "steps": [{"percentage": 1}, {"percentage": 100}], "triggers": "none",
        "checklists": [{"group": "readiness", "gate": "start", "items": ["Code reviewed"]}]});
    reader.put(&format!("{project}/flags/US-2"), &json!({})).await.expect(201);
    reader.put(&format!("{project}/plans/DP-2"), &plan).await.expect(201);
    let body = json!({"plan": "DP-2", "time_scale": 10});
    reader.post("releases?dry_run=true", &body).await.expect(200);
    reader.post("releases", &json!({"paln": "DP-2"})).await.expect(422);
    reader.post("releases", &body).await.expect(201);
    reader.post("releases", &body).await.expect(409);
    let command = |name: &str| format!("releases/DP-2-1/{name}");
    reader.post(&command("cancel"), &json!({})).await.expect(200);
    reader.post("releases", &body).await.expect(201);
    let command = |name: &str| format!("releases/DP-2-2/{name}");
    reader.post(&command("start"), &json!({})).await.expect(409);
    reader.put("releases/DP-2-2/checklist/code-reviewed", &json!({"done": true})).await.expect(200);
    reader.post(&command("start"), &json!({"reason": "go"})).await.expect(200);
    reader.put("flags/US-2", &json!({"overrides": {"user-1": "on"}})).await.expect(428);
    reader.post(&command("approve"), &json!({})).await.expect(428);
    for name in ["pause", "resume"] {
        reader.post(&command(name), &json!({})).await.expect(200);
    }
    for (name, status) in [("approve", 409), ("advance", 200)] {
        let request = reader.actor.request(Method::POST, &command(name)).header("if-match", "*").json(&json!({"reason": "now"}));
        let answer = request.send().await.expect(status);
        reader.contract.check("POST", &format!("{ENVIRONMENT}/{}", command(name)), &answer);
    }
    reader.post(&command("rollback"), &json!({"reason": "enough"})).await.expect(200);
    reader.get("releases?live=true").await.expect(200);
    reader.get(&command("timeline")).await.expect(200);
    for (path, kind) in [("releases/DP-2-2", "text/markdown"), ("releases/DP-2-2", "application/json")] {
        let answer = reader.actor.request(Method::GET, path).header("accept", kind).send().await.expect(200);
        reader.contract.check("GET", &format!("{ENVIRONMENT}/{path}"), &answer);
    }
    for kind in ["text/markdown", "application/json"] {
        let answer = reader.actor.request(Method::GET, &command("report")).header("accept", kind).send().await.expect(200);
        reader.contract.check("GET", &format!("{ENVIRONMENT}/{}", command("report")), &answer);
    }
    reader.get("releases/none").await.expect(404);
    // Ended, so that its events end by themselves.
    let events = reader.actor.get("releases/DP-2-1/events").await.expect(200);
    reader.contract.check("GET", &format!("{ENVIRONMENT}/releases/DP-2-1/events"), &events);
    assert!(events.text.contains("event: timeline\nid: 1\n") || events.text.contains("id: 1"), "{}", events.text);
    assert!(events.text.contains("event: release\n"), "{}", events.text);
}

/// Channels and freezes.
async fn telling(reader: &mut Reader<'_>) {
    let body = json!({"kind": "webhook", "url": "http://127.0.0.1:9/hook", "receives": ["team", "changes"]});
    reader.put("channels/team?dry_run=true", &body).await.expect(200);
    reader.put("channels/team", &body).await.expect(201);
    reader.put("channels/team?rotate=true", &body).await.expect(200);
    reader.put("channels/team", &json!({"url": "http://127.0.0.1:9/hook"})).await.expect(422);
    reader.get("channels").await.expect(200);
    reader.post("channels/team/test?dry_run=true", &json!({})).await.expect(200);
    reader.post("channels/team/test", &json!({})).await.expect(202);
    reader.get("channels/team").await.expect(200);
    reader.delete("channels/team?dry_run=true").await.expect(200);
    reader.delete("channels/team").await.expect(204);
    reader.get("channels/team").await.expect(404);
    let body = json!({"to": "2999-01-01T00:00:00Z", "reason": "the holidays"});
    reader.post("freezes?dry_run=true", &body).await.expect(200);
    let made = reader.post("freezes", &body).await.expect(201);
    reader.get("freezes?all=true").await.expect(200);
    reader.patch(&format!("flags/{FLAG}/rollout"), &json!({"percentage": 90})).await.expect(409);
    let freeze = format!("freezes/{}", made.json["id"].as_str().unwrap());
    reader.delete(&format!("{freeze}?dry_run=true")).await.expect(200);
    reader.delete(&freeze).await.expect(204);
    reader.delete(&freeze).await.expect(404);
}

/// Plans, in each of their media types.
async fn plans(reader: &mut Reader<'_>, project: &str) {
    let (plans, path) = (format!("{project}/plans"), format!("{project}/plans/DP-1"));
    let body = json!({"plan": "DP-1", "flag": FLAG, "steps": [{"percentage": 1}]});
    reader.put(&format!("{path}?dry_run=true"), &body).await.expect(200);
    reader.put(&path, &body).await.expect(201);
    reader.put(&path, &body).await.expect(200);
    reader.put(&path, &json!({"paln": "DP-1"})).await.expect(422);
    reader.get(&plans).await.expect(200);
    for kind in ["application/json", "application/yaml", "text/markdown", "application/vnd.storyflag.plan+json"] {
        let answer = reader.actor.request(Method::GET, &path).header("accept", kind).send().await.expect(200);
        reader.contract.check("GET", &path, &answer);
    }
    let text = reader.actor.request(Method::PUT, &path).body("application/yaml", "plan: DP-1\napproach: canary\n");
    reader.contract.check("PUT", &path, &text.send().await.expect(200));
    let stale = reader.actor.request(Method::PUT, &path).header("if-match", "\"9\"").json(&body).send().await;
    reader.contract.check("PUT", &path, &stale.expect(412));
    reader.post(&format!("{path}/predict"), &json!({"requests_per_s": 10})).await.expect(422);
    reader.put(&path, &body).await.expect(200);
    reader.post(&format!("{path}/predict"), &json!({"requests_per_s": 10})).await.expect(200);
    for errors in [0, 50] {
        let trouble = json!({"trouble": {"error_percentage": errors}});
        reader.post(&format!("{path}/rehearse"), &trouble).await.expect(200);
    }
    reader.delete(&path).await.expect(200);
    reader.get(&path).await.expect(404);
}

/// What applications call.
async fn applications(reader: &mut Reader<'_>) {
    let ruleset = reader.get("/sdk/v1/ruleset").await.expect(200);
    let same = reader.actor.request(Method::GET, "/sdk/v1/ruleset").header("if-none-match", ruleset.header("etag")).send().await;
    reader.contract.check("GET", "/sdk/v1/ruleset", &same.expect(304));
    let digest = ruleset.json["cohorts"][0]["list"]["digest"].as_str().unwrap();
    reader.get(&format!("/sdk/v1/cohorts/staff/{digest}")).await.expect(200);
    let message = json!({"format": 1, "instance": "0f3a", "sequence": 1, "sdk": "test/1", "applied": null, "goodbye": true, "usage": {}});
    reader.post("/sdk/v1/telemetry", &message).await.expect(204);
    let url = format!("{}/sdk/v1/stream", reader.actor.base());
    let stream = reqwest::Client::new().get(url).bearer_auth(reader.actor.token()).send().await.unwrap();
    assert_eq!((stream.status().as_u16(), stream.headers()["content-type"].to_str().unwrap()), (200, "text/event-stream"));
    let operation = reader.contract.call("GET", "/sdk/v1/stream");
    assert!(operation["responses"]["200"]["content"].get("text/event-stream").is_some(), "{operation}");
}
