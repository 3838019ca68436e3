//! The database is gone while the service serves: reading goes on, writing says "later", and nothing is half-written.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use sqlx::{Connection, Executor};
use storyflag::{Client, State};
use storyflag_tests::actors::{Actor, STAGING};
use storyflag_tests::answer::Answer;
use storyflag_tests::eventually::when;
use storyflag_tests::postgres::Postgres;
use storyflag_tests::proxy::{Network, Proxy};
use storyflag_tests::served::served;
use storyflag_tests::workdir::Workdir;
use storyflag_tests::{Backend, House, Users, applied, eventually};

const FLAG: &str = "US-123-checkout";
/// Writers that write while the database goes away, each a flag of its own.
const WRITERS: usize = 20;
/// A write that is told "later" after longer than this was not told soon. Generous: this is no measurement.
const SOON: Duration = Duration::from_secs(15);

fn flag(writer: usize) -> String {
    format!("US-{writer}-outage")
}

/// A house on a Postgres that only it uses, behind a proxy; a flag at 10 % and those of the writers.
async fn house(postgres: &Postgres, proxy: &Proxy) -> House {
    let own = postgres.create_database().await;
    let (before, database) = own.rsplit_once('/').unwrap();
    let (server, _) = before.rsplit_once('@').unwrap();
    let behind = format!("{server}@{}/{database}", proxy.address());
    let house = House::on(Backend::Postgres, behind, Workdir::new("outage"), None).await;
    house.release_manager().create_flag(FLAG).await;
    house.release_manager().raise(FLAG, 10.0).await.expect(200);
    for writer in 0..WRITERS {
        house.release_manager().create_flag(&flag(writer)).await;
    }
    house
}

fn address_of(postgres_url: &str) -> std::net::SocketAddr {
    let (_, rest) = postgres_url.split_once('@').unwrap();
    rest.split_once('/').unwrap().0.parse().unwrap()
}

/// Everything that is answered from memory, by the node and by applications old and new.
async fn reading_goes_on(house: &House, application: &Client, served_before: &[u32]) {
    let users = Users::new(1_000);
    assert_eq!(application.status().state, State::Streaming);
    assert_eq!(users.served(application, FLAG), served_before);
    let newcomer = house.application(STAGING).await;
    assert_eq!((newcomer.status().state, newcomer.status().identity), (State::Streaming, application.status().identity));
    assert_eq!(users.served(&newcomer, FLAG), served_before);
    let head = served(&house.viewer(), house.key(STAGING)).await;
    assert_eq!(Some(head), application.status().identity);
    let answers = house.viewer().post("explain", &json!({"context": {"targetingKey": "user-1"}})).await.expect(200);
    assert_eq!(answers.number("revision"), head.revision);
    let answer = house.viewer().get(&format!("flags/{FLAG}/explain?unit=user-1")).await.expect(200);
    assert_eq!(answer.number("revision"), head.revision);
    let telemetry = house.viewer().with_token("application", Some(house.key(STAGING)));
    let message = json!({"format": 1, "instance": "00000000000000000000000000000001", "sequence": 1, "sdk": "test/1", "applied": head.to_string(), "goodbye": false, "usage": {}});
    telemetry.post("/sdk/v1/telemetry", &message).await.ok();
}

async fn says(house: &House, status: &str, database: &str) {
    eventually(&format!("/health says {status}, the database {database}"), || async {
        let health = house.viewer().get("/health").await.expect(200).json;
        when(health["status"] == status && health["database"]["status"] == database, &health)
    })
    .await;
    house.viewer().get("/health/ready").await.expect(204);
}

/// A write is refused with 503, soon, and says when to come back.
async fn write_is_put_off(release_manager: &Actor) {
    let refused = tokio::time::timeout(SOON, release_manager.raise(FLAG, 20.0)).await.expect("told soon").expect(503);
    assert!(refused.header("retry-after").parse::<u64>().is_ok_and(|seconds| (1..=30).contains(&seconds)), "{:?}", refused.headers);
    assert_eq!(refused.header("content-type"), "application/problem+json");
    assert!(refused.text.contains("the database is away") && !refused.text.contains("sqlx"), "{}", refused.text);
}

/// What became of the writes that were under way: acknowledged ones are there, others are there whole or not at all.
async fn nothing_is_half_written(release_manager: &Actor, head_before: u64, answers: Vec<Answer>) {
    let head = release_manager.revision().await;
    let changes = release_manager.get("changes?limit=1000").await.expect(200).json;
    let changes = changes["changes"].as_array().unwrap();
    let revisions: Vec<u64> = changes.iter().filter_map(|change| change["revision"].as_u64()).collect();
    assert_eq!(revisions.len() as u64, head, "one change for each revision");
    assert_eq!(revisions.into_iter().collect::<BTreeSet<u64>>(), (1..=head).collect());
    let mut acknowledged = 0;
    for (writer, answer) in answers.into_iter().enumerate() {
        let targeting = release_manager.targeting(&flag(writer)).await.json;
        let change = changes.iter().find(|change| change["kind"] == "flag" && change["key"] == flag(writer).as_str()).unwrap();
        assert_eq!(change["after"]["rollout"]["millionths"].as_f64().unwrap() / 10_000.0, targeting["rollout"]["percentage"]);
        if answer.status == 200 {
            acknowledged += 1;
            assert_eq!(targeting["rollout"]["percentage"], 5.0, "{}", answer.text);
            assert_eq!(change["revision"], answer.json["revision"]);
        } else {
            assert_eq!(answer.status, 503, "{}: {}", answer.asked, answer.text);
        }
    }
    assert!(head >= head_before + acknowledged, "{head} after {head_before} and {acknowledged} more");
}

/// Starts a write of every writer's flag.
fn write_all(release_manager: &Actor) -> tokio::task::JoinSet<(usize, Answer)> {
    let mut writes = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let release_manager = release_manager.clone();
        writes.spawn(async move { (writer, release_manager.raise(&flag(writer), 5.0).await) });
    }
    writes
}

/// Their answers, by writer; every one of them is answered.
async fn answers_of(writes: tokio::task::JoinSet<(usize, Answer)>) -> Vec<Answer> {
    let mut answers = writes.join_all().await;
    answers.sort_unstable_by_key(|(writer, _)| *writer);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// The next write is made, and reaches whoever listens.
async fn writing_goes_on(release_manager: &Actor, application: &Client) {
    let answer = eventually("a write is made again", || async {
        let answer = release_manager.raise(FLAG, 30.0).await;
        if answer.status == 200 { Ok(answer) } else { Err(format!("{answer:?}")) }
    })
    .await;
    applied(application, answer.number("revision")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_that_crashes_stops_writes_and_nothing_else() {
    let postgres = Postgres::own();
    let proxy = Proxy::to(address_of(&postgres.create_database().await)).await;
    let house = house(&postgres, &proxy).await;
    let (release_manager, application) = (house.release_manager(), house.application(STAGING).await);
    let before = Users::new(1_000).served(&application, FLAG);
    let head = release_manager.revision().await;

    let writes = write_all(&release_manager);
    tokio::task::block_in_place(|| postgres.stop());
    let answers = answers_of(writes).await;
    says(&house, "degraded", "down").await;
    write_is_put_off(&release_manager).await;
    reading_goes_on(&house, &application, &before).await;

    tokio::task::block_in_place(|| postgres.start());
    says(&house, "ok", "up").await;
    nothing_is_half_written(&release_manager, head, answers).await;
    writing_goes_on(&release_manager, &application).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_swallows_everything_stops_writes_and_nothing_else() {
    let postgres = Postgres::own();
    let proxy = Proxy::to(address_of(&postgres.create_database().await)).await;
    let house = house(&postgres, &proxy).await;
    let (release_manager, application) = (house.release_manager(), house.application(STAGING).await);
    let before = Users::new(1_000).served(&application, FLAG);
    let head = release_manager.revision().await;

    let writes = write_all(&release_manager);
    proxy.set(Network::Stalled);
    let answers = tokio::time::timeout(SOON * 2, answers_of(writes)).await.expect("every write is answered");
    says(&house, "degraded", "down").await;
    write_is_put_off(&release_manager).await;
    reading_goes_on(&house, &application, &before).await;

    // Packets that were swallowed do not come back.
    proxy.set(Network::Cut);
    proxy.set(Network::Open);
    says(&house, "ok", "up").await;
    nothing_is_half_written(&release_manager, head, answers).await;
    writing_goes_on(&release_manager, &application).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sqlite_file_that_another_program_locks_stops_writes_and_nothing_else() {
    let house = House::new(Backend::Sqlite).await;
    let (release_manager, application) = (house.release_manager(), house.application(STAGING).await);
    release_manager.create_flag(FLAG).await;
    release_manager.raise(FLAG, 10.0).await.expect(200);
    for writer in 0..WRITERS {
        release_manager.create_flag(&flag(writer)).await;
    }
    applied(&application, release_manager.revision().await).await;
    let before = Users::new(1_000).served(&application, FLAG);
    let head = release_manager.revision().await;

    let mut other = sqlx::SqliteConnection::connect(&house.database).await.unwrap();
    other.execute("begin immediate").await.unwrap();
    let answers = tokio::time::timeout(SOON * 2, answers_of(write_all(&release_manager))).await.expect("every write is answered");
    assert!(answers.iter().all(|answer| answer.status == 503), "{:?}", answers[0]);
    write_is_put_off(&release_manager).await;
    reading_goes_on(&house, &application, &before).await;
    // What is read from the database can be read, too.
    assert_eq!(release_manager.revision().await, head);

    other.execute("rollback").await.unwrap();
    nothing_is_half_written(&release_manager, head, answers).await;
    writing_goes_on(&release_manager, &application).await;
    let untouched = release_manager.request(Method::GET, &format!("flags/{}", flag(0))).send().await.expect(200);
    assert_eq!(untouched.json["rollout"]["percentage"], 0.0);
}
