//! The database is put back to a backup under running applications: nobody goes back with it unnoticed.

use storyflag::{Client, Identity, State};
use storyflag_tests::actors::{Actor, STAGING};
use storyflag_tests::eventually::when;
use storyflag_tests::postgres::Postgres;
use storyflag_tests::proxy::{Network, Proxy};
use storyflag_tests::redis::Redis;
use storyflag_tests::served::served;
use storyflag_tests::workdir::Workdir;
use storyflag_tests::{Backend, House, Node, Users, applied, eventually};

const FLAG: &str = "US-123-checkout";
const CROWD: usize = 1_000;

/// Raises step by step, one revision each, and gives the last revision.
async fn raise_to(release_manager: &Actor, percentages: std::ops::RangeInclusive<u32>) -> u64 {
    let mut revision = 0;
    for percentage in percentages {
        revision = release_manager.raise(FLAG, f64::from(percentage)).await.expect(200).number("revision");
    }
    revision
}

/// Waits until the environment is marked: whoever reads it is told.
async fn regressed(somebody: &Actor) {
    eventually("the environment is marked as regressed", || async {
        let environment = somebody.get("/api/v1/projects/default/environments/staging").await;
        when(environment.status == 200 && environment.json["regressed"] == true, &environment)
    })
    .await;
}

/// Waits until the node of this actor serves this revision of a later history than `before`.
async fn new_history(somebody: &Actor, key: &str, before: Identity, revision: u64) -> Identity {
    eventually(&format!("the node serves revision {revision} of a new history"), || async {
        let head = served(somebody, key).await;
        if head.incarnation > before.incarnation && head.revision == revision { Ok(head) } else { Err(format!("{head} after {before}")) }
    })
    .await
}

/// Waits until all serve this.
async fn all_serve(applications: &[Client], head: Identity) {
    for application in applications {
        eventually(&format!("every application streams and serves {head}"), || async {
            let status = application.status();
            when(status.state == State::Streaming && status.identity == Some(head), &status)
        })
        .await;
    }
}

/// Notes whenever an application goes back to a lower pair.
fn watch(application: &Client) -> tokio::task::JoinHandle<Vec<(Identity, Identity)>> {
    let mut changes = application.changes();
    let mut last = application.status().identity.expect("it is ready");
    tokio::spawn(async move {
        let mut fell = Vec::new();
        while let Some(identity) = changes.next().await {
            if identity.pair() < last.pair() {
                fell.push((last, identity));
            }
            last = identity;
        }
        fell
    })
}

async fn nobody_went_back(applications: Vec<Client>, watching: Vec<tokio::task::JoinHandle<Vec<(Identity, Identity)>>>) {
    for application in &applications {
        application.close().await;
    }
    for watched in watching {
        assert_eq!(watched.await.unwrap(), []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_on_a_postgres_that_is_put_back_begin_a_new_history() {
    let mut house = House::with_redis(Backend::Postgres, &Redis::shared().url).await;
    house.add_node().await;
    let (first, second) = (house.release_manager(), house.release_manager().at(&house.nodes[1].url));
    first.create_flag(FLAG).await;
    let mut applications = Vec::new();
    for round in 0..6 {
        applications.push(house.application_at(STAGING, &house.nodes[round % 2].url).await);
    }
    let kept = raise_to(&first, 1..=5).await;
    let backup = Postgres::shared().copy_database(&house.database).await;
    // The pools of both nodes were cut off for a moment.
    eventually("writes go on after the backup", || async {
        let answer = first.raise(FLAG, 6.0).await;
        when(answer.status == 200, &answer)
    })
    .await;
    let lost = raise_to(&first, 7..=15).await;
    assert_eq!(lost, kept + 10);
    for application in &applications {
        applied(application, lost).await;
    }
    let before = applications[0].status().identity.unwrap();
    let users = Users::new(CROWD);
    let at_15 = users.served(&applications[0], FLAG);
    let watching: Vec<_> = applications.iter().map(watch).collect();

    Postgres::shared().restore_database(&house.database, &backup).await;
    regressed(&first).await;
    regressed(&second).await;
    // Both nodes serve what the database has, since new clients need something; who has more keeps it and says so.
    for (node, application) in [(&first, &applications[0]), (&second, &applications[1])] {
        eventually("the node serves what the database has", || async {
            let head = served(node, house.key(STAGING)).await;
            when(head.revision == kept, head)
        })
        .await;
        eventually("the application keeps what it has, and says so", || async {
            let status = application.status();
            let told = status.last_error.as_deref().is_some_and(|error| error.contains("older than what is applied"));
            when(status.state == State::Stale && told && status.identity == Some(before), &status)
        })
        .await;
    }
    assert_eq!(users.served(&applications[0], FLAG), at_15);

    // The next write, at whichever node, begins a new history.
    let revision = second.raise(FLAG, 8.0).await.expect(200).number("revision");
    assert_eq!(revision, kept + 1);
    let head = new_history(&second, house.key(STAGING), before, revision).await;
    all_serve(&applications, head).await;
    let environment = first.get("/api/v1/projects/default/environments/staging").await.expect(200);
    assert_eq!(environment.json["regressed"], false);
    let at_8 = users.served(&applications[0], FLAG);
    assert!(at_8.len() < at_15.len() && at_8.iter().all(|user| at_15.contains(user)), "8 % of a crowd of which 15 % were in");
    for application in &applications {
        assert_eq!(users.served(application, FLAG), at_8);
    }
    // And history goes on as ever, at the other node as well.
    first.raise(FLAG, 9.0).await.expect(200);
    let next = new_history(&first, house.key(STAGING), before, revision + 1).await;
    assert_eq!(next.incarnation, head.incarnation);
    all_serve(&applications, next).await;
    nobody_went_back(applications, watching).await;
}

/// Copies SQLite's files; with them gone first, or a log of the new would be played into the old.
fn put_files(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(to).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sqlite_file_that_is_put_back_begins_a_new_history() {
    let workdir = Workdir::new("regression");
    let (files, backup) = (workdir.file("files"), workdir.file("backup"));
    std::fs::create_dir_all(&files).unwrap();
    let database = format!("sqlite:{}", files.join("storyflag.db").display());
    let mut house = House::on(Backend::Sqlite, database, workdir, None).await;
    house.release_manager().create_flag(FLAG).await;
    let kept = raise_to(&house.release_manager(), 1..=5).await;

    // A backup of the files of a node that has let go of them.
    house.nodes.remove(0).stop().await;
    put_files(&files, &backup);
    start_again(&mut house).await;
    let proxy = Proxy::to(house.nodes[0].url["http://".len()..].parse().unwrap()).await;
    let mut applications = Vec::new();
    for _ in 0..3 {
        let builder = Client::builder(proxy.url(), house.key(STAGING)).longest_wait(std::time::Duration::from_millis(500));
        applications.push(builder.connect().await.unwrap());
    }
    let lost = raise_to(&house.release_manager(), 6..=15).await;
    assert_eq!(lost, kept + 10);
    for application in &applications {
        applied(application, lost).await;
    }
    let before = applications[0].status().identity.unwrap();
    let watching: Vec<_> = applications.iter().map(watch).collect();

    // The node that comes back knows nothing of what was: the applications tell it.
    proxy.set(Network::Cut);
    house.nodes.remove(0).stop().await;
    put_files(&backup, &files);
    start_again(&mut house).await;
    let release_manager = house.release_manager();
    assert_eq!(release_manager.revision().await, kept);
    proxy.retarget(house.nodes[0].url["http://".len()..].parse().unwrap());
    proxy.set(Network::Open);
    regressed(&release_manager).await;
    for application in &applications {
        eventually("the application keeps what it has", || async {
            let status = application.status();
            let told = status.last_error.as_deref().is_some_and(|error| error.contains("older than what is applied"));
            when(told && status.identity == Some(before), &status)
        })
        .await;
    }

    release_manager.raise(FLAG, 8.0).await.expect(200);
    let head = new_history(&release_manager, house.key(STAGING), before, kept + 1).await;
    all_serve(&applications, head).await;
    nobody_went_back(applications, watching).await;
}

async fn start_again(house: &mut House) {
    let (node, _, _) = Node::start(house.config()).await;
    house.nodes.insert(0, node);
}
