//! A new history that is begun by hand, or by the next write after a regression.

use serde_json::{Value, json};
use storyflag::{Client, Identity};
use storyflag_tests::actors::{Actor, STAGING};
use storyflag_tests::eventually::when;
use storyflag_tests::served::served;
use storyflag_tests::{Backend, House, applied, eventually, on_both_databases};

const FLAG: &str = "US-123-checkout";
const ENVIRONMENT: &str = "/api/v1/projects/default/environments/staging";

on_both_databases!(an_incarnation_raised_by_hand_reaches_every_application, the_same_kill_again_begins_a_new_history_after_a_regression);

async fn environment(somebody: &Actor) -> Value {
    somebody.get(ENVIRONMENT).await.expect(200).json
}

fn identity_of(environment: &Value) -> Identity {
    environment["identity"].as_str().unwrap().parse().unwrap()
}

async fn serves(application: &Client, identity: Identity) {
    eventually(&format!("the application serves {identity}"), || async {
        let status = application.status();
        when(status.identity == Some(identity), &status)
    })
    .await;
}

/// Says that it runs more than there is, as an application does after a restore, and waits until that is noted.
async fn regress(house: &House) {
    let admin = house.admin();
    let mut ahead = identity_of(&environment(&admin).await);
    ahead.revision += 100;
    let request = reqwest::Client::new().get(format!("{}/sdk/v1/stream", house.url())).bearer_auth(house.key(STAGING));
    let _stream = request.header("last-event-id", ahead.to_string()).send().await.unwrap();
    eventually("the environment is marked as regressed", || async {
        let environment = environment(&admin).await;
        when(environment["regressed"] == true, environment)
    })
    .await;
}

async fn an_incarnation_raised_by_hand_reaches_every_application(backend: Backend) {
    let mut house = House::new(backend).await;
    // SQLite has one node.
    if matches!(backend, Backend::Postgres) {
        house.add_node().await;
    }
    let admin = house.admin();
    admin.create_flag(FLAG).await;
    let revision = admin.raise(FLAG, 10.0).await.expect(200).number("revision");
    let mut applications = Vec::new();
    for node in &house.nodes {
        applications.push(house.application_at(STAGING, &node.url).await);
    }
    regress(&house).await;
    let before = identity_of(&environment(&admin).await);

    let would = admin.post("incarnation?dry_run=true", &json!({})).await.expect(200);
    assert!(would.text.contains("/identity"), "{}", would.text);
    assert_eq!(identity_of(&environment(&admin).await), before, "a dry run changes nothing");

    let raised = admin.post("incarnation", &json!({"reason": "a restore"})).await.expect(200).json;
    let after = identity_of(&raised);
    assert!(after.incarnation > before.incarnation, "{after} after {before}");
    assert_eq!((after.revision, after.digest, &raised["regressed"]), (revision, before.digest, &json!(false)));
    assert_eq!(served(&admin, house.key(STAGING)).await, after, "the node that was asked serves it when it answers");
    for application in &applications {
        serves(application, after).await;
    }

    // In the history it is an act of somebody, and no revision; the next revision follows without a gap.
    let changes = admin.get("changes").await.expect(200).json;
    let told = &changes["changes"][0];
    assert_eq!((&told["kind"], &told["reason"], told["revision"].is_null()), (&json!("incarnation"), &json!("a restore"), true), "{told}");
    assert_eq!(admin.raise(FLAG, 20.0).await.expect(200).number("revision"), revision + 1);
    for application in &applications {
        applied(application, revision + 1).await;
        assert_eq!(application.status().identity.unwrap().incarnation, after.incarnation);
    }
    let served: Vec<u64> = admin.get("changes?limit=1000").await.json["changes"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|change| change["revision"].as_u64())
        .rev()
        .collect();
    let mut gapless = served.clone();
    gapless.dedup();
    assert_eq!(gapless, (1..=revision + 1).collect::<Vec<_>>());

    // By a clock that stands still, too, the next one is a later one.
    let again = identity_of(&admin.post("incarnation", &json!({})).await.expect(200).json);
    assert!(again.incarnation > after.incarnation);
    for application in &applications {
        serves(application, again).await;
    }
    admin.in_environment("production").post("incarnation", &json!({})).await.refused(422, &["/reason"], "is missing");
    house.release_manager().post("incarnation", &json!({})).await.refused(403, &[], "it takes admin");
}

async fn the_same_kill_again_begins_a_new_history_after_a_regression(backend: Backend) {
    let house = House::new(backend).await;
    let editor = house.editor();
    editor.create_flag(FLAG).await;
    let revision = editor.kill(FLAG).await.expect(200).number("revision");
    let application = house.application(STAGING).await;
    // While all is well, the same kill again makes nothing new.
    assert_eq!(editor.kill(FLAG).await.expect(200).number("revision"), revision);
    let before = identity_of(&environment(&editor).await);
    regress(&house).await;

    // Somewhere runs an application that has a later revision, in which the flag may live: it must hear of this kill.
    let killed = editor.kill(FLAG).await.expect(200);
    assert_eq!(killed.number("revision"), revision + 1);
    let after = environment(&editor).await;
    assert_eq!(after["regressed"], false);
    let after = identity_of(&after);
    assert!(after.incarnation > before.incarnation && after.digest == before.digest, "{after} after {before}");
    serves(&application, after).await;
    assert!(!application.is_on(FLAG, &storyflag::Context::new("user-1")));
    application.close().await;
}
