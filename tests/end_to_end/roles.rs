//! The table of the design: which role may do what, and where.

use std::collections::HashMap;

use reqwest::Method;
use serde_json::{Value, json};
use storyflag_server::auth::Role;
use storyflag_tests::actors::{Actor, PRODUCTION, STAGING};
use storyflag_tests::{Backend, House, on_both_databases};

on_both_databases!(every_role_may_what_the_table_says);

/// A write, who may do it at least, and where.
struct Duty {
    method: Method,
    environment: &'static str,
    path: &'static str,
    body: Value,
    least: Role,
}

fn duty(method: Method, environment: &'static str, path: &'static str, body: Value, least: Role) -> Duty {
    Duty { method, environment, path, body, least }
}

/// The table of the design, in an order in which each write finds what the one before has made. `{me}` is a name of the
/// actor's own.
fn duties() -> Vec<Duty> {
    use Role::{Admin, Editor, ReleaseManager, Viewer};
    let (get, put, post, patch, delete) = (Method::GET, Method::PUT, Method::POST, Method::PATCH, Method::DELETE);
    let context = json!({"context": {"targetingKey": "user-1"}});
    let mut duties = Vec::new();
    for (environment, least) in [(STAGING, Editor), (PRODUCTION, ReleaseManager)] {
        let reason = |mut body: Value| {
            body["reason"] = "the table".into();
            body
        };
        duties.extend([
            duty(get.clone(), environment, "flags/{me}", json!({}), Viewer),
            duty(get.clone(), environment, "changes", json!({}), Viewer),
            duty(get.clone(), environment, "flags/{me}/explain?unit=user-1", json!({}), Viewer),
            duty(post.clone(), environment, "explain", context.clone(), Viewer),
            duty(patch.clone(), environment, "flags/{me}/rollout", reason(json!({"percentage": 20})), least),
            duty(put.clone(), environment, "flags/{me}/rollout?reason=x", json!({"percentage": 30, "serve": "on"}), least),
            duty(put.clone(), environment, "flags/{me}?reason=x", json!({"overrides": {"user-1": "on"}}), least),
            duty(post.clone(), environment, "flags/{me}/revert", reason(json!({"revision": 0})), least),
            duty(put.clone(), environment, "cohorts/{me}?reason=x", json!({}), least),
            duty(patch.clone(), environment, "cohorts/{me}/members", reason(json!({"add": ["user-1"]})), least),
            duty(delete.clone(), environment, "cohorts/{me}?reason=x", json!({}), least),
            // The safe direction: no reason, anywhere.
            duty(patch.clone(), environment, "flags/{me}/rollout", json!({"percentage": 5}), Editor),
            duty(post.clone(), environment, "flags/{me}/kill", json!({}), Editor),
            duty(post.clone(), environment, "flags/{me}/revive", reason(json!({})), ReleaseManager),
            duty(put.clone(), environment, "channels/{me}", json!({"url": "http://127.0.0.1:9/", "receives": ["team"]}), least),
            duty(delete.clone(), environment, "channels/{me}", json!({}), least),
            duty(
                post.clone(),
                environment,
                "freezes",
                json!({"from": "2999-01-01T00:00:00Z", "to": "2999-02-01T00:00:00Z", "reason": "later"}),
                least,
            ),
            duty(post.clone(), environment, "keys?reason=x", json!({"name": "mine"}), Admin),
            duty(post.clone(), environment, "incarnation", reason(json!({})), Admin),
        ]);
    }
    let variants = json!({"variants": {"on": true, "off": false, "maybe": true}, "reason": "more"});
    duties.extend([
        duty(put.clone(), STAGING, "/api/v1/projects/default/flags/new-{me}", json!({}), Editor),
        duty(patch.clone(), STAGING, "/api/v1/projects/default/flags/{me}", json!({"description": "words"}), Editor),
        duty(patch, STAGING, "/api/v1/projects/default/flags/new-{me}", variants.clone(), Editor),
        duty(Method::PATCH, STAGING, "/api/v1/projects/default/flags/{me}", variants, ReleaseManager),
        duty(delete.clone(), STAGING, "/api/v1/projects/default/flags/new-{me}", json!({}), Editor),
        duty(delete, STAGING, "/api/v1/projects/default/flags/{me}?force=true&reason=x", json!({}), Admin),
        duty(
            put.clone(),
            STAGING,
            "/api/v1/projects/default/plans/{me}",
            json!({"plan": "{me}", "flag": "{me}", "steps": [{"percentage": 1}]}),
            Editor,
        ),
        duty(Method::DELETE, STAGING, "/api/v1/projects/default/plans/{me}", json!({}), Editor),
        duty(put.clone(), STAGING, "/api/v1/projects/default/environments/{me}", json!({}), Admin),
        duty(put, STAGING, "/api/v1/projects/{me}", json!({}), Admin),
    ]);
    duties
}

fn me(role: Role) -> String {
    role.name().replace('_', "-")
}

async fn every_role_may_what_the_table_says(backend: Backend) {
    let house = House::new(backend).await;
    let admin = house.admin();
    let roles = [Role::Viewer, Role::Editor, Role::ReleaseManager, Role::Admin];
    let mut began = HashMap::new();
    for role in roles {
        admin.create_flag(&me(role)).await;
        for environment in [STAGING, PRODUCTION] {
            let here = admin.in_environment(environment);
            here.force(&me(role), 10.0).await.expect(200);
            let name = me(role);
            let put = |body: Value| here.put_targeting(&name, body);
            let answer = put(json!({"overrides": {"user-9": "on"}})).await.expect(200);
            began.insert((role.name(), environment), answer.number("revision"));
            put(json!({})).await.expect(200);
        }
    }
    for Duty { method, environment, path, mut body, least } in duties() {
        let before = admin.everything().await;
        for role in roles {
            // Who may comes after who may not.
            if role == least {
                assert_eq!(admin.everything().await, before, "{method} {path} by who may not");
            }
            let actor: Actor = house.actor(role).in_environment(environment);
            if body.get("revision").is_some() {
                body["revision"] = began[&(role.name(), environment)].into();
            }
            let mut request = actor.request(method.clone(), &path.replace("{me}", &me(role)));
            if method != Method::GET {
                let body = body.to_string().replace("{me}", &me(role));
                request = request.body("application/json", body);
            }
            let answer = request.send().await;
            if role < least {
                answer.refused(403, &[], "it takes ");
            } else {
                answer.ok();
            }
        }
    }
}
