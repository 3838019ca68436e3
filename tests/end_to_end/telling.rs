//! People hear of what happens: signed, once per event, and however long their receiver was away.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use storyflag_tests::actors::{Actor, PRODUCTION, STAGING};
use storyflag_tests::eventually::when;
use storyflag_tests::postgres::Postgres;
use storyflag_tests::process::Process;
use storyflag_tests::receiver::{Answers, Received, Receiver, verified};
use storyflag_tests::workdir::Workdir;
use storyflag_tests::{Backend, House, eventually, on_both_databases};

const FLAG: &str = "US-123-checkout";

on_both_databases!(
    the_command_makes_a_channel,
    a_bump_and_a_kill_arrive_signed,
    what_fails_comes_again_under_the_same_id,
    one_that_hangs_holds_up_nobody,
    nothing_is_lost_over_kill_9,
    a_channel_is_put_like_everything_else,
);

fn channel(receiver: &Receiver, receives: &[&str]) -> Value {
    json!({"kind": "webhook", "url": receiver.url, "receives": receives})
}

/// Waits for so many messages, and gives every attempt.
async fn received(receiver: &Receiver, messages: usize) -> Vec<Received> {
    eventually(&format!("{messages} messages"), || async { when(receiver.ids().len() == messages, receiver.received()) }).await;
    receiver.received()
}

/// Waits until a channel has received everything.
async fn nothing_waits(actor: &Actor, channel: &str) {
    eventually("nothing waits", || async {
        let told = actor.get(&format!("channels/{channel}")).await.expect(200);
        when(told.number("waiting") == 0, told.text)
    })
    .await;
}

/// What the command says of a channel goes to the service, and never to where messages are sent.
async fn the_command_makes_a_channel(backend: Backend) {
    let house = House::new(backend).await;
    let (editor, receiver) = (house.editor(), Receiver::start(Answers::With(200)).await);
    let mut command = tokio::process::Command::new(storyflag_tests::process::program());
    command.args(["channels", "put", "team", &receiver.url, "--receives", "team,changes"]);
    command.env("STORYFLAG_URL", house.url()).env("STORYFLAG_TOKEN", editor.token()).env("STORYFLAG_ENVIRONMENT", "staging");
    let told = command.output().await.unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    assert!(String::from_utf8_lossy(&told.stdout).contains("whsec_"), "its secret, once");
    assert_eq!(editor.get("channels/team").await.expect(200).json["url"], json!(receiver.url));
    assert_eq!(receiver.ids(), [] as [String; 0], "nothing was sent there");
}

async fn a_bump_and_a_kill_arrive_signed(backend: Backend) {
    let house = House::new(backend).await;
    let editor = house.editor();
    editor.create_flag(FLAG).await;
    editor.raise(FLAG, 1.0).await.expect(200);
    let (all, on_call) = (Receiver::start(Answers::With(200)).await, Receiver::start(Answers::With(204)).await);
    let made = editor.put("channels/all", &channel(&all, &["team", "on_call", "changes"])).await.expect(201);
    editor.put("channels/on-call", &channel(&on_call, &["on_call"])).await.expect(201);
    let raised = editor.raise(FLAG, 10.0).await.expect(200).number("revision");
    received(&all, 1).await;
    let killed = editor.kill(FLAG).await.expect(200).number("revision");
    // What changes nothing tells nothing, and nobody listens in another environment.
    editor.kill(FLAG).await.expect(200);
    house.release_manager().in_environment(PRODUCTION).raise(FLAG, 1.0).await.expect(200);
    received(&all, 2).await;
    house.release_manager().revive(FLAG).await.expect(200);
    let mut messages = received(&all, 3).await;

    let bodies: Vec<Value> = messages.iter().map(Received::json).collect();
    let told: Vec<_> = bodies.iter().map(|body| (body["type"].as_str().unwrap(), body["data"]["revision"].as_u64().unwrap())).collect();
    assert_eq!(told, [("flag.changed", raised), ("flag.killed", killed), ("flag.revived", killed + 1)]);
    assert_eq!(messages[0].text(), format!("{FLAG} in staging: goes from 1 % to 10 %, by editor: an end-to-end test"));
    assert_eq!(messages[1].text(), format!("{FLAG} in staging: is killed: nobody is served, by editor"));
    let data = &bodies[0]["data"];
    assert_eq!(
        (&data["environment"], &data["flag"], &data["from"], &data["to"]),
        (&json!("staging"), &json!(FLAG), &json!(1.0), &json!(10.0))
    );
    assert!(bodies[0]["timestamp"].as_str().is_some_and(|at| at.ends_with('Z')), "{}", bodies[0]);
    let pages = received(&on_call, 1).await;
    assert_eq!((pages.len(), pages[0].json()["type"].as_str()), (1, Some("flag.killed")), "{pages:?}");

    let secret = made.json["secret"].as_str().unwrap();
    assert_eq!(verified(secret, messages.clone()).await, ["ok", "ok", "ok"]);
    messages[0].body.push(' ');
    let other_id = messages[2].id().to_owned();
    messages[1].headers.insert("webhook-id".to_owned(), other_id);
    let told = verified(secret, messages[..2].to_vec()).await;
    assert!(told.iter().all(|told| told.contains("No matching signature")), "{told:?}");
}

async fn what_fails_comes_again_under_the_same_id(backend: Backend) {
    let house = House::new(backend).await;
    let editor = house.editor();
    editor.create_flag(FLAG).await;
    let (elsewhere, receiver) = (Receiver::start(Answers::With(200)).await, Receiver::start(Answers::With(500)).await);
    editor.put("channels/team", &channel(&receiver, &["changes"])).await.expect(201);
    editor.raise(FLAG, 10.0).await.expect(200);
    for (answers, why) in [
        (Answers::With(500), "answered 500"),
        (Answers::Redirects(elsewhere.url.clone()), "answered 307, and redirects are not followed"),
        (Answers::With(410), "answered 410"),
    ] {
        receiver.answer(answers);
        eventually(why, || async {
            let told = editor.get("channels/team").await.expect(200);
            when(told.json["error"] == why && told.number("waiting") == 1, told.text)
        })
        .await;
    }
    receiver.answer(Answers::With(200));
    nothing_waits(&editor, "team").await;
    let attempts = receiver.received();
    assert!(attempts.len() >= 4 && receiver.ids().len() == 1, "{attempts:?}");
    assert!(attempts.iter().all(|attempt| attempt.body == attempts[0].body), "{attempts:?}");
    assert!(elsewhere.received().is_empty(), "a redirect was followed");
}

async fn one_that_hangs_holds_up_nobody(backend: Backend) {
    let house = House::new(backend).await;
    let editor = house.editor();
    editor.create_flag(FLAG).await;
    let (hangs, well) = (Receiver::start(Answers::Never).await, Receiver::start(Answers::With(200)).await);
    editor.put("channels/hangs", &channel(&hangs, &["changes"])).await.expect(201);
    editor.put("channels/well", &channel(&well, &["changes"])).await.expect(201);
    for step in 1..=20_u8 {
        editor.raise(FLAG, step.into()).await.expect(200);
    }
    received(&well, 20).await;
    assert!(hangs.received().len() <= 4, "two at once, and then they take their time: {}", hangs.received().len());
    hangs.answer(Answers::With(200));
    received(&hangs, 20).await;
    nothing_waits(&editor, "hangs").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_deliver_once_each() {
    let database = Postgres::shared().create_database().await;
    let mut house = House::on(Backend::Postgres, database, Workdir::new("telling"), None).await;
    house.add_node().await;
    let editor = house.editor();
    editor.create_flag(FLAG).await;
    let receivers = [Receiver::start(Answers::With(200)).await, Receiver::start(Answers::With(200)).await];
    for (index, receiver) in receivers.iter().enumerate() {
        editor.put(&format!("channels/c{index}"), &channel(receiver, &["changes"])).await.expect(201);
    }
    for step in 1..=30_usize {
        let here = editor.at(&house.nodes[step % 2].url);
        here.raise(FLAG, step as f64).await.expect(200);
    }
    for (index, receiver) in receivers.iter().enumerate() {
        received(receiver, 30).await;
        nothing_waits(&editor, &format!("c{index}")).await;
        assert_eq!(receiver.received().len(), 30, "once each");
        let texts: BTreeSet<String> = receiver.received().iter().map(Received::text).collect();
        assert_eq!(texts.len(), 30);
    }
}

async fn nothing_is_lost_over_kill_9(backend: Backend) {
    let workdir = Workdir::new("telling");
    let database = match backend {
        Backend::Sqlite => format!("sqlite:{}", workdir.file("storyflag.db").display()),
        Backend::Postgres => Postgres::shared().create_database().await,
    };
    let log = workdir.file("node.log");
    let node = Process::start(&database, &log).await;
    let token = node.first_start.clone().expect("the first start on this database").token;
    let admin = node.actor(&token);
    admin.create_flag(FLAG).await;
    let receiver = Receiver::start(Answers::Never).await;
    admin.put("channels/team", &channel(&receiver, &["changes"])).await.expect(201);
    for step in 1..=10_u8 {
        admin.raise(FLAG, step.into()).await.expect(200);
    }
    eventually("an attempt is under way", || async { when(!receiver.received().is_empty(), ()) }).await;
    node.kill().await;
    receiver.answer(Answers::With(200));
    let node = Process::start(&database, &log).await;
    nothing_waits(&node.actor(&token), "team").await;
    assert_eq!(receiver.ids().len(), 10);
    let texts: BTreeSet<String> = receiver.received().iter().map(Received::text).collect();
    assert_eq!(texts.len(), 10);
}

async fn a_channel_is_put_like_everything_else(backend: Backend) {
    let house = House::new(backend).await;
    let (editor, receiver) = (house.editor(), Receiver::start(Answers::With(200)).await);
    let body = channel(&receiver, &["changes", "team", "team"]);
    let made = editor.put("channels/team", &body).await.expect(201);
    let secret = made.json["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_") && made.header("etag") == "\"1\"", "{}", made.text);
    assert_eq!(made.json["receives"], json!(["team", "changes"]));
    let told = editor.get("channels/team").await.expect(200);
    assert!(told.json.get("secret").is_none(), "{}", told.text);
    assert!(!editor.get("channels").await.expect(200).text.contains("whsec_"));
    assert!(!editor.get("changes").await.expect(200).text.contains("whsec_"));
    // What a GET told is put back, and changes nothing.
    let same = editor.put("channels/team", &told.json).await.expect(200);
    assert_eq!((same.number("version"), same.json.get("secret")), (1, None));
    let stale = editor.request(Method::PUT, "channels/team").header("if-match", "\"7\"").json(&body);
    stale.send().await.refused(412, &[], "\"1\" stands");
    let rotated = editor.put("channels/team?rotate=true", &body).await.expect(200);
    let new_secret = rotated.json["secret"].as_str().unwrap().to_owned();
    assert!(new_secret != secret && rotated.number("version") == 2, "{}", rotated.text);
    let would = editor.put("channels/team?rotate=true&dry_run=true", &body).await.expect(200);
    assert!(!would.text.contains("whsec_"), "{}", would.text);

    let id = editor.post("channels/team/test", &json!({})).await.expect(202).json["message"].as_str().unwrap().to_owned();
    let messages = received(&receiver, 1).await;
    assert_eq!((messages[0].id(), messages[0].json()["type"].as_str()), (id.as_str(), Some("channel.test")));
    assert_eq!(verified(&new_secret, messages.clone()).await, ["ok"]);
    assert_ne!(verified(&secret, messages).await, ["ok"]);

    let wrong = json!({"kind": "pigeon", "url": "ftp://user:pass@host", "receives": ["team", "everybody", 7], "sceret": "x"});
    let refused = editor.put("channels/team", &wrong).await;
    let refused = refused.refused(422, &["/kind", "/url", "/receives/1", "/receives/2", "/sceret"], "known is \"webhook\"");
    assert!(!refused.text.contains("pass"), "{}", refused.text);
    let with_user = json!({"url": "https://user:pass@host/", "receives": []});
    editor.put("channels/team", &with_user).await.refused(422, &["/url", "/receives"], "names a user");
    editor.post("channels/none/test", &json!({})).await.refused(404, &[], "no channel \"none\"");
    house.viewer().put("channels/team", &body).await.refused(403, &[], "it takes editor");
    editor.in_environment(PRODUCTION).put("channels/team", &body).await.refused(403, &[], "it takes release_manager");
    editor.delete("channels/team").await.expect(204);
    editor.get("channels/team").await.expect(404);
    let changes = editor.get("changes").await.expect(200).json;
    let audited = changes["changes"].as_array().unwrap().iter().filter(|change| change["kind"] == "channel");
    assert_eq!(audited.count(), 3, "{STAGING}: made, rotated, deleted: {changes}");
}
