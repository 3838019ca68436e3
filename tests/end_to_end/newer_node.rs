//! A newer node writes what this one does not understand: it is told as such, and it can be killed.

use serde_json::json;
use sqlx::Connection;
use storyflag::Context;
use storyflag_evaluation::{ItemKind, item_hash};
use storyflag_tests::actors::{STAGING, flag_path};
use storyflag_tests::eventually::when;
use storyflag_tests::served::served;
use storyflag_tests::{Backend, House, applied, eventually, on_both_databases};

const FLAG: &str = "US-123-checkout";

on_both_databases!(what_a_newer_node_wrote_is_told_and_can_be_killed);

/// What a newer node makes of a targeting: an operator, and fields on two levels.
fn later(item: &str) -> String {
    let near = r#""rules":[{"id":"near","if":[{"attribute":"place","near":[52.50,13.4]}],"serve":"on"}],"mood":{"killed":true, "x":1.50}"#;
    let later = item.replace(r#""rules":[]"#, near).replace(r#""cohorts":[]"#, r#""cohorts":[],"pace":"slow""#);
    assert!(later.contains("near") && later.contains("pace"), "{item}");
    later
}

/// Writes as a newer node does: the revision, the targeting, the history, in one transaction.
async fn write_as_a_newer_node(house: &House) -> String {
    const REVISION: &str = "update environments set revision = revision + 1, digest = $2 where id = $1";
    const TARGETING: &str = "update targetings set item = $3, version = version + 1 where environment = $1 and key = $2";
    const HISTORY: &str = "insert into changes (project, environment, revision, at, actor, request, kind, key, after) \
        select project, id, revision, changed_at, 'newer', 'r', 'flag', $2, $3 from environments where id = $1";
    const STANDS: &str = "select environments.id, digest, item from environments join targetings on environment = environments.id \
        where environments.key = 'staging' and targetings.key = $1";
    macro_rules! write {
        ($connection:ty) => {{
            let mut connection = <$connection>::connect(&house.database).await.unwrap();
            let mut tx = connection.begin().await.unwrap();
            let (id, digest, item): (i64, i64, String) = sqlx::query_as(STANDS).bind(FLAG).fetch_one(&mut *tx).await.unwrap();
            let text = later(&item);
            let hash = |text: &str| item_hash(ItemKind::Flag, text);
            let digest = digest.cast_unsigned().wrapping_sub(hash(&item)).wrapping_add(hash(&text)).cast_signed();
            sqlx::query(REVISION).bind(id).bind(digest).execute(&mut *tx).await.unwrap();
            sqlx::query(TARGETING).bind(id).bind(FLAG).bind(&text).execute(&mut *tx).await.unwrap();
            sqlx::query(HISTORY).bind(id).bind(FLAG).bind(&text).execute(&mut *tx).await.unwrap();
            tx.commit().await.unwrap();
            text
        }};
    }
    match house.backend {
        Backend::Sqlite => write!(sqlx::SqliteConnection),
        Backend::Postgres => write!(sqlx::PgConnection),
    }
}

async fn what_a_newer_node_wrote_is_told_and_can_be_killed(backend: Backend) {
    let house = House::new(backend).await;
    let editor = house.editor();
    editor.create_flag(FLAG).await;
    editor.create_flag("US-1-other").await;
    let revision = editor.raise(FLAG, 100.0).await.expect(200).number("revision");
    let application = house.application(STAGING).await;
    let text = write_as_a_newer_node(&house).await;
    eventually("the node serves what the newer one wrote", || async {
        let head = served(&editor, house.key(STAGING)).await;
        when(head.revision == revision + 1, head)
    })
    .await;

    // It is told as far as it is understood, and said to be no more than that.
    let list = editor.get("flags").await.expect(200).json;
    let listed = list["flags"].as_array().unwrap().iter().find(|one| one["key"] == FLAG).unwrap().clone();
    assert!(listed["unsupported"].as_str().unwrap().contains("near"), "{listed}");
    assert_eq!((&listed["killed"], &listed["percentage"]), (&json!(false), &json!(100.0)));
    let other = list["flags"].as_array().unwrap().iter().find(|one| one["key"] == "US-1-other").unwrap();
    assert!(other.get("unsupported").is_none(), "{other}");
    assert!(editor.targeting(FLAG).await.json["unsupported"].is_string());
    editor.get(&format!("flags/{FLAG}/history")).await.expect(200);

    // Nothing is written over what is not understood; other flags are as free as ever.
    editor.raise(FLAG, 50.0).await.refused(409, &[], "a newer version of the service wrote");
    editor.put_targeting(FLAG, json!({})).await.refused(409, &[], "a newer version of the service wrote");
    editor.patch(&flag_path(FLAG), &json!({"variants": {"on": true, "off": false, "maybe": true}})).await.refused(
        409,
        &[],
        "newer version",
    );
    let needs = json!({"prerequisites": [{"flag": FLAG, "variants": ["on"]}]});
    editor.put_targeting("US-1-other", needs).await.expect(200);
    assert_eq!(text_of(&house, FLAG).await, text, "nothing of it has changed");

    // But it can be killed, by one word, and every application hears of it.
    let killed = editor.kill(FLAG).await.expect(200);
    assert_eq!(killed.json["killed"], true);
    applied(&application, killed.number("revision")).await;
    assert!(!application.is_on_or(FLAG, &Context::new("user-1"), true));
    assert_eq!(text_of(&house, FLAG).await, text.replacen(r#""killed":false"#, r#""killed":true"#, 1));
    editor.kill(FLAG).await.expect(200);
    house.release_manager().revive(FLAG).await.refused(409, &[], "a newer version of the service wrote");
    application.close().await;
}

/// The wire text that stands.
async fn text_of(house: &House, flag: &str) -> String {
    const ITEM: &str = "select item from targetings join environments on environments.id = environment where environments.key = 'staging' and targetings.key = $1";
    match house.backend {
        Backend::Sqlite => {
            let mut connection = sqlx::SqliteConnection::connect(&house.database).await.unwrap();
            sqlx::query_scalar(ITEM).bind(flag).fetch_one(&mut connection).await.unwrap()
        }
        Backend::Postgres => {
            let mut connection = sqlx::PgConnection::connect(&house.database).await.unwrap();
            sqlx::query_scalar(ITEM).bind(flag).fetch_one(&mut connection).await.unwrap()
        }
    }
}
