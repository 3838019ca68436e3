//! Who gets in, and what each may do: people by tokens, applications by SDK keys.

use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use serde_json::{Value, json};
use storyflag_server::auth::{Role, TOKEN_LIFE};
use storyflag_tests::actors::{PRODUCTION, STAGING};
use storyflag_tests::eventually::when;
use storyflag_tests::{Backend, House, applied, eventually, on_both_databases};

const FLAG: &str = "US-123-checkout";

on_both_databases!(
    whoever_has_no_valid_token_is_nobody,
    a_key_is_no_token_and_a_token_is_no_key,
    a_key_opens_its_own_environment,
    a_revoked_key_closes_its_streams_and_never_comes_back,
    a_token_for_some_environments_is_for_no_other,
    a_restart_knows_the_tokens_of_before,
);

/// What a problem says, without the id of its request.
fn said(mut problem: Value) -> Value {
    problem.as_object_mut().unwrap().remove("request_id");
    problem
}

async fn whoever_has_no_valid_token_is_nobody(backend: Backend) {
    let house = House::new(backend).await;
    let another = House::new(Backend::Sqlite).await;
    let (id, pem) = house.signing_key().await;
    let key = EncodingKey::from_ed_pem(pem.as_bytes()).unwrap();
    let now = jsonwebtoken::get_current_timestamp();
    let claims = |name: &str, value: Value| {
        let mut claims =
            json!({"iss": "storyflag", "aud": "storyflag-api", "iat": now, "nbf": now, "exp": now + 60, "sub": "eve", "role": "admin"});
        claims[name] = value;
        claims
    };
    let header = |algorithm| Header { kid: Some(id.clone()), ..Header::new(algorithm) };
    let signed = |claims: &Value| encode(&header(Algorithm::EdDSA), claims, &key).unwrap();
    let eve = |token: &str| house.admin().with_token("eve", Some(token));
    // The forger's tools work: what is right is let in.
    eve(&signed(&claims("sub", json!("eve")))).get("flags").await.expect(200);

    let public = serde_json::to_value(Jwk::from_encoding_key(&key, Algorithm::EdDSA).unwrap()).unwrap();
    let public = public["x"].as_str().unwrap();
    let bytes = public.replace('-', "+").replace('_', "/") + "=";
    let hs256 = |secret: EncodingKey| encode(&header(Algorithm::HS256), &claims("sub", json!("eve")), &secret).unwrap();
    let good = signed(&claims("sub", json!("eve")));
    let (_, payload_and_signature) = good.split_once('.').unwrap();
    let (payload, _) = payload_and_signature.split_once('.').unwrap();
    // {"alg":"none","typ":"JWT"}
    let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{payload}.");
    let mut bad = vec![
        ("garbage", "not-a-token".to_owned()),
        ("empty", String::new()),
        ("alg none", none),
        ("HS256 with the public key", hs256(EncodingKey::from_secret(public.as_bytes()))),
        ("HS256 with the public key's bytes", hs256(EncodingKey::from_base64_secret(&bytes).unwrap())),
        ("another service", another.admin().token().to_owned()),
        ("cut short", good[..good.len() - 4].to_owned()),
    ];
    for (name, value) in [
        ("exp", json!(now - 31)),
        ("exp", json!("9999999999")),
        ("nbf", json!(now + 60)),
        ("aud", json!("another-api")),
        ("iss", json!("somebody")),
        ("role", json!("root")),
        ("role", json!(["admin"])),
        ("sub", json!("")),
        ("environments", json!("staging")),
    ] {
        bad.push((name, signed(&claims(name, value))));
    }
    let nobody = said(house.admin().with_token("nobody", None).get("flags").await.refused(401, &[], "a valid credential is needed").json);
    for (what, token) in bad {
        let refused = eve(&token).get("flags").await;
        assert_eq!(refused.header("www-authenticate"), "Bearer", "{what}");
        assert_eq!(said(refused.refused(401, &[], "a valid credential").json), nobody, "{what}: no hint how close it was");
        eve(&token).kill(FLAG).await.expect(401);
    }
}

async fn a_key_is_no_token_and_a_token_is_no_key(backend: Backend) {
    let house = House::new(backend).await;
    let as_token = house.admin().with_token("an application", Some(house.key(STAGING)));
    as_token.get("flags").await.refused(401, &[], "a valid credential is needed");
    let unknown = storyflag::SdkKey::new([1; 8], [2; 32]).as_str().to_owned();
    let almost = house.key(STAGING).replace('0', "1");
    let mut told = Vec::new();
    for (what, credential) in
        [("a token", house.admin().token()), ("an unknown key", &unknown), ("almost a key", &almost), ("garbage", "sfs_")]
    {
        for door in ["/sdk/v1/ruleset", "/sdk/v1/stream", "/sdk/v1/cohorts/internal-users/00"] {
            let refused = house.admin().with_token(what, Some(credential)).get(door).await.expect(401);
            told.push(said(refused.json));
        }
        house.admin().with_token(what, Some(credential)).post("/sdk/v1/telemetry", &json!({})).await.expect(401);
    }
    told.dedup();
    assert_eq!(told.len(), 1, "no hint how close it was: {told:?}");
    house.admin().with_token("nobody", None).get("/sdk/v1/ruleset").await.expect(401);
    house.admin().with_token("an application", Some(house.key(STAGING))).get("/sdk/v1/ruleset").await.expect(200);
}

async fn a_key_opens_its_own_environment(backend: Backend) {
    let house = House::new(backend).await;
    let admin = house.admin();
    admin.create_flag(FLAG).await;
    admin.create_cohort("internal-users", &["user-1"]).await;
    let rollout = json!({"cohorts": ["internal-users"], "percentage": 0, "serve": "on"});
    let put = admin.put("flags/US-123-checkout/rollout", &rollout).await.expect(200);
    let [staging, production] = [house.application(STAGING).await, house.application(PRODUCTION).await];
    applied(&staging, put.number("revision")).await;
    let user = storyflag::Context::new("user-1");
    eventually("the cohort's list is there", || async { when(staging.is_on(FLAG, &user), staging.status()) }).await;
    assert!(!production.is_on(FLAG, &user));
    // The list of one environment is not to be had with the key of another.
    let holder = |key: &str| admin.with_token("an application", Some(key));
    let ruleset = holder(house.key(STAGING)).get("/sdk/v1/ruleset").await.expect(200);
    let digest = ruleset.json["cohorts"][0]["list"]["digest"].as_str().unwrap();
    let door = format!("/sdk/v1/cohorts/internal-users/{digest}");
    holder(house.key(STAGING)).get(&door).await.expect(200);
    holder(house.key(PRODUCTION)).get(&door).await.expect(404);
    // A key is revoked where it is, and nowhere else.
    let keys = admin.in_environment(PRODUCTION).get("keys").await.expect(200);
    let id = keys.json["keys"][0]["id"].as_str().unwrap();
    admin.delete(&format!("keys/{id}")).await.refused(404, &[], "that works in environment \"staging\"");
    holder(house.key(PRODUCTION)).get("/sdk/v1/ruleset").await.expect(200);
}

async fn a_revoked_key_closes_its_streams_and_never_comes_back(backend: Backend) {
    let mut house = House::new(backend).await;
    let admin = house.admin();
    admin.create_flag(FLAG).await;
    let made = admin.post("keys", &json!({"name": "web shop"})).await.expect(201);
    let (key, id) = (made.json["key"].as_str().unwrap().to_owned(), made.json["id"].as_str().unwrap().to_owned());
    let application = storyflag::Client::builder(house.url(), &key).connect().await.unwrap();
    let raised = admin.raise(FLAG, 100.0).await.expect(200);
    applied(&application, raised.number("revision")).await;
    let ask = |url: &str, key: &str| reqwest::Client::new().get(format!("{url}/sdk/v1/stream")).bearer_auth(key).send();
    let mut stream = ask(house.url(), &key).await.unwrap().error_for_status().unwrap();
    assert!(stream.chunk().await.unwrap().is_some());

    admin.delete(&format!("keys/{id}?reason=it%20leaked")).await.expect(204);
    let closed = async { while stream.chunk().await.is_ok_and(|chunk| chunk.is_some()) {} };
    tokio::time::timeout(Duration::from_secs(20), closed).await.expect("the stream is closed");
    assert_eq!(ask(house.url(), &key).await.unwrap().status(), 401);
    // Who had it goes on with what it has, and hears nothing new.
    let lowered = admin.raise(FLAG, 0.0).await.expect(200);
    let others = house.application(STAGING).await;
    applied(&others, lowered.number("revision")).await;
    eventually("the application is on its own", || async {
        let status = application.status();
        when(status.state == storyflag::State::Stale && status.last_error.is_some(), status)
    })
    .await;
    assert!(application.is_on(FLAG, &storyflag::Context::new("user-1")));
    // Revoked twice is revoked; it stands in the list, and in what was written.
    admin.delete(&format!("keys/{id}")).await.refused(404, &[], "there is no key");
    let keys = admin.get("keys").await.expect(200);
    assert!(
        keys.json["keys"].as_array().unwrap().iter().any(|one| one["id"] == id.as_str() && one["revoked_at"].is_string()),
        "{}",
        keys.text
    );
    assert!(!keys.text.contains(&key), "the secret was shown once");
    let changes = admin.get("changes").await.expect(200);
    assert!(!changes.text.contains(&key));
    let revoked = &changes.json["changes"].as_array().unwrap().iter().find(|one| one["key"] == id.as_str()).unwrap();
    assert_eq!((&revoked["reason"], &revoked["after"]), (&json!("it leaked"), &Value::Null));

    house.restart().await;
    assert_eq!(ask(house.url(), &key).await.unwrap().status(), 401);
    assert_eq!(ask(house.url(), house.key(STAGING)).await.unwrap().status(), 200);
}

async fn a_restart_knows_the_tokens_of_before(backend: Backend) {
    let mut house = House::new(backend).await;
    let before = house.viewer();
    house.restart().await;
    before.at(house.url()).get("flags").await.expect(200);
}

async fn a_token_for_some_environments_is_for_no_other(backend: Backend) {
    let house = House::new(backend).await;
    let release_manager = house.release_manager();
    for flag in [FLAG, "US-100-cart"] {
        release_manager.create_flag(flag).await;
    }
    release_manager.in_environment(PRODUCTION).raise(FLAG, 1.0).await.expect(200);
    let limited = |environments: &[&str]| {
        let environments = environments.iter().map(|&environment| environment.to_owned()).collect();
        let token = house.tokens().issue("ada", Role::Admin, Some(environments), TOKEN_LIFE).unwrap();
        release_manager.with_token("an admin of some", Some(&token))
    };
    for ada in [limited(&["default/staging"]), limited(&["staging", "development"])] {
        ada.raise(FLAG, 1.0).await.expect(200);
        ada.kill(FLAG).await.expect(200);
        ada.revive(FLAG).await.expect(200);
        let elsewhere = ada.in_environment(PRODUCTION);
        for refused in [
            elsewhere.get("flags").await,
            elsewhere.get("changes").await,
            elsewhere.kill(FLAG).await,
            elsewhere.raise(FLAG, 0.1).await,
            elsewhere.post("keys", &json!({"name": "mine"})).await,
            elsewhere.post("explain", &json!({"context": {"targetingKey": "u"}})).await,
            elsewhere.put("cohorts/mine", &json!({})).await,
        ] {
            refused.refused(403, &[], "this token is for ");
        }
        let seen = ada.get("/api/v1/projects/default/environments").await.expect(200);
        let seen: Vec<&str> = seen.json["environments"].as_array().unwrap().iter().filter_map(|one| one["key"].as_str()).collect();
        assert!(!seen.contains(&PRODUCTION) && seen.contains(&STAGING), "{seen:?}");
        ada.put("/api/v1/projects/default/environments/canary", &json!({})).await.refused(403, &[], "certain environments only");
        ada.put("/api/v1/projects/mine", &json!({})).await.refused(403, &[], "certain environments only");
        // What the flag is everywhere may change only where every environment that serves it lets them.
        let variants = json!({"variants": {"on": true, "off": false, "maybe": true}, "off": "off", "serve": "on", "reason": "more"});
        ada.patch("/api/v1/projects/default/flags/US-123-checkout", &variants).await.refused(403, &[], "this token is for ");
        ada.delete("/api/v1/projects/default/flags/US-123-checkout?force=true&reason=gone").await.refused(403, &[], "this token is for ");
    }
    limited(&["staging"]).delete("/api/v1/projects/default/flags/US-100-cart").await.refused(403, &[], "this token is for ");
    let elsewhere = limited(&["other/staging"]);
    elsewhere.get("flags").await.refused(403, &[], "this token is for other/staging only");
}
