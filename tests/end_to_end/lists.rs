//! A cohort's list of 100,000 units: replaced in a stream by a node that hardly notices, and nobody waits for it.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use reqwest::{Body, Method};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection};
use storyflag::{Client, Context};
use storyflag_tests::actors::{Actor, STAGING};
use storyflag_tests::answer::Answer;
use storyflag_tests::eventually::when;
use storyflag_tests::postgres::Postgres;
use storyflag_tests::process::Process;
use storyflag_tests::workdir::Workdir;
use storyflag_tests::{Backend, applied, eventually, on_both_databases};
use tokio::sync::watch;

const FLAG: &str = "US-123-checkout";
const COHORT: &str = "internal-users";
const UNITS: usize = 100_000;
const MEMBERS: &str = "cohorts/internal-users/members";
const MIB: u64 = 1024 * 1024;
/// Who would wait for an upload that hangs would wait for ever.
const PATIENCE: Duration = Duration::from_secs(20);

on_both_databases!(
    a_hundred_thousand_units_are_replaced_in_little_memory_and_reach_an_application,
    nothing_waits_for_an_upload_that_hangs,
    a_torn_upload_changes_nothing,
    the_same_list_again_and_again_leaves_nothing_behind,
);

/// A node in a process, with a flag that a cohort is served and an application.
struct Scene {
    backend: Backend,
    database: String,
    node: Process,
    admin: Actor,
    application: Client,
    _workdir: Workdir,
}

impl Scene {
    async fn new(backend: Backend) -> Scene {
        let workdir = Workdir::new("lists");
        let database = match backend {
            Backend::Sqlite => format!("sqlite:{}", workdir.file("storyflag.db").display()),
            Backend::Postgres => Postgres::shared().create_database().await,
        };
        let node = Process::start(&database, &workdir.file("node.log")).await;
        let first = node.first_start.clone().expect("the first start on this database");
        let admin = node.actor(&first.token);
        let key = &first.keys.iter().find(|(environment, _)| environment == STAGING).unwrap().1;
        admin.create_flag(FLAG).await;
        admin.put(&format!("cohorts/{COHORT}"), &json!({})).await.expect(201);
        admin.put(&format!("flags/{FLAG}/rollout"), &json!({"percentage": 0, "serve": "on", "cohorts": [COHORT]})).await.expect(200);
        let application = Client::builder(&node.url, key).connect().await.unwrap();
        Scene { backend, database, node, admin, application, _workdir: workdir }
    }

    /// How many units stand in the database, current or not.
    async fn units_written(&self) -> usize {
        let sql = "select count(*) from cohort_members";
        let count: i64 = match self.backend {
            Backend::Sqlite => {
                let mut connection = sqlx::SqliteConnection::connect(&self.database).await.unwrap();
                sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut connection).await.unwrap()
            }
            Backend::Postgres => {
                let mut connection = sqlx::PgConnection::connect(&self.database).await.unwrap();
                sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut connection).await.unwrap()
            }
        };
        usize::try_from(count).unwrap()
    }

    /// Waits until the application has the cohort's list and serves exactly these of the first 200 numbers and some far ones.
    async fn serves(&self, revision: u64, name: &str, members: std::ops::Range<usize>) {
        applied(&self.application, revision).await;
        eventually("the list has come, and exactly its units are served", || async {
            let asked = (0..200).chain([UNITS / 2, UNITS - 1, UNITS, UNITS + 1]);
            let wrong = asked.filter(|number| self.application.is_on(FLAG, &Context::new(unit(name, *number))) != members.contains(number));
            let (wrong, missing) = (wrong.collect::<Vec<_>>(), self.application.status().missing_lists);
            when(wrong.is_empty() && missing.is_empty(), (wrong, missing))
        })
        .await;
    }
}

/// As long as a UUID, which units often are.
fn unit(name: &str, number: usize) -> String {
    format!("{name}-{number:035}")
}

/// Some units, one a line.
fn lines(name: &str, numbers: std::ops::Range<usize>) -> Bytes {
    numbers.map(|number| unit(name, number) + "\n").collect::<String>().into()
}

/// All units, a thousand a chunk; after `pause_after` of them only once `go` says so: true goes on, false breaks off.
fn upload(name: &'static str, pause_after: usize, go: watch::Receiver<Option<bool>>) -> Body {
    let chunks = stream::iter((0..UNITS).step_by(1_000)).then(move |start| {
        let mut go = go.clone();
        async move {
            if start >= pause_after && go.wait_for(Option::is_some).await.is_ok_and(|go| *go == Some(false)) {
                return Err(std::io::Error::other("torn"));
            }
            Ok(lines(name, start..start + 1_000))
        }
    });
    Body::wrap_stream(chunks)
}

async fn put(admin: &Actor, body: Body) -> Result<Answer, String> {
    admin.request(Method::PUT, MEMBERS).body("text/plain", body).try_send().await
}

async fn a_hundred_thousand_units_are_replaced_in_little_memory_and_reach_an_application(backend: Backend) {
    let scene = Scene::new(backend).await;
    let (_go, went) = watch::channel(Some(true));
    let first = put(&scene.admin, Body::from(lines("first", 0..10))).await.unwrap().expect(200);
    scene.serves(first.number("revision"), "first", 0..10).await;

    let before = scene.node.memory();
    scene.node.forget_peak();
    let second = put(&scene.admin, upload("second", 0, went.clone())).await.unwrap().expect(200);
    assert_eq!((second.number("added"), second.number("removed"), second.number("count")), (UNITS as u64, 10, UNITS as u64));
    scene.serves(second.number("revision"), "second", 0..UNITS).await;
    let after = scene.node.memory();
    let grown = after.peak.saturating_sub(before.resident);
    println!("replacing {UNITS} units: {} MiB before, at most {} MiB more", before.resident / MIB, grown / MIB);
    assert!(grown <= 64 * MIB, "{} MiB: {before:?}, then {after:?}", grown / MIB);

    // Again, over a list that is as long.
    let before = scene.node.memory();
    scene.node.forget_peak();
    let third = put(&scene.admin, upload("third", 0, went)).await.unwrap().expect(200);
    scene.serves(third.number("revision"), "third", 0..UNITS).await;
    scene.serves(third.number("revision"), "second", 0..0).await;
    let grown = scene.node.memory().peak.saturating_sub(before.resident);
    println!("and again: at most {} MiB more", grown / MIB);
    assert!(grown <= 64 * MIB, "{} MiB", grown / MIB);
}

async fn nothing_waits_for_an_upload_that_hangs(backend: Backend) {
    let scene = Scene::new(backend).await;
    let admin = scene.admin.clone();
    let (go, went) = watch::channel(None);
    let uploading = tokio::spawn({
        let admin = admin.clone();
        async move { put(&admin, upload("unit", UNITS / 2, went)).await }
    });
    eventually("half of the list is written, and the upload hangs", || async {
        let written = scene.units_written().await;
        when(written == UNITS / 2, written)
    })
    .await;

    let meanwhile = async {
        admin.kill(FLAG).await.expect(200);
        let revived = admin.revive(FLAG).await.expect(200).number("revision");
        applied(&scene.application, revived).await;
        admin.put("cohorts/beta", &json!({})).await.expect(201);
        let members = json!({"add": ["somebody"]});
        admin.patch("cohorts/beta/members", &members).await.expect(200);
        // Even of the same cohort.
        let patched = admin.patch(MEMBERS, &json!({"add": [unit("early", 0)]})).await.expect(200);
        scene.serves(patched.number("revision"), "early", 0..1).await;
    };
    tokio::time::timeout(PATIENCE, meanwhile).await.expect("neither a kill nor another write waits for the upload");
    assert!(!uploading.is_finished());

    go.send_replace(Some(true));
    let answer = uploading.await.unwrap().unwrap().expect(200);
    assert_eq!((answer.number("count"), answer.number("removed")), (UNITS as u64, 1));
    scene.serves(answer.number("revision"), "unit", 0..UNITS).await;
}

async fn a_torn_upload_changes_nothing(backend: Backend) {
    let scene = Scene::new(backend).await;
    let admin = scene.admin.clone();
    let first = put(&admin, Body::from(lines("first", 0..10))).await.unwrap().expect(200);
    let stood = admin.get(&format!("cohorts/{COHORT}")).await.expect(200);

    let (go, went) = watch::channel(None);
    let uploading = tokio::spawn({
        let admin = admin.clone();
        async move { put(&admin, upload("torn", UNITS / 2, went)).await }
    });
    eventually("half of the list is written", || async {
        let written = scene.units_written().await;
        when(written == 10 + UNITS / 2, written)
    })
    .await;
    go.send_replace(Some(false));
    uploading.await.unwrap().expect_err("the connection was torn by us");

    // A body that ends in the middle of nonsense is refused as a whole, too.
    let nonsense = [lines("nonsense", 0..5_000), Bytes::from_static(b"\xff\xfe\n")].concat();
    put(&admin, Body::from(nonsense)).await.unwrap().expect(422);

    let stands = admin.get(&format!("cohorts/{COHORT}")).await.expect(200);
    assert_eq!(stands.json, stood.json);
    assert_eq!(admin.revision().await, first.number("revision"));
    let members = admin.get(&format!("{MEMBERS}?limit=1000")).await.expect(200);
    let expected: Vec<String> = (0..10).map(|number| unit("first", number)).collect();
    assert_eq!(members.json["members"], json!(expected));
    scene.serves(first.number("revision"), "first", 0..10).await;
    scene.serves(first.number("revision"), "torn", 0..0).await;
    eventually("what was written of both is gone", || async {
        let written = scene.units_written().await;
        when(written == 10, written)
    })
    .await;
    // And the next upload is not disturbed by what is left of that one.
    let next = put(&admin, Body::from(lines("next", 0..20))).await.unwrap().expect(200);
    assert_eq!((next.number("added"), next.number("removed")), (20, 10));
    scene.serves(next.number("revision"), "next", 0..20).await;
}

async fn the_same_list_again_and_again_leaves_nothing_behind(backend: Backend) {
    let scene = Scene::new(backend).await;
    let first = put(&scene.admin, Body::from(lines("same", 0..3_000))).await.unwrap().expect(200);
    for _ in 0..4 {
        let again = put(&scene.admin, Body::from(lines("same", 0..3_000))).await.unwrap().expect(200);
        assert_eq!(again.number("revision"), first.number("revision"));
        assert_eq!(scene.units_written().await, 3_000);
    }
    scene.serves(first.number("revision"), "same", 0..3_000).await;
}
