//! Every test runs on both databases: one body, two names.

mod changes;
mod environments;
mod flags;
mod members;
mod outage;
mod outbox;
mod outcomes;
mod reports;
mod schema;
mod turns;

use std::{
    path::PathBuf,
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use sqlx::{Connection, PgConnection};

use storyflag_evaluation::{ItemKind, item_hash};

use super::{EnvironmentRow, NewChange, NewEnvironment, Store, TargetingRow, with_tx};
use crate::store::FlagRow;

/// `both!(name, ...)`: each `async fn name(database: Database)` becomes a test in `sqlite::` and one in `postgres::`.
macro_rules! both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name($crate::store::tests::Database::sqlite().await).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name($crate::store::tests::Database::postgres().await).await;
            })+
        }
    };
}
pub(crate) use both;

/// 2025-11-24 16:00 UTC, in milliseconds: when these tests begin.
pub(crate) const NOW: i64 = 1_764_000_000_000;

/// A database of its own, empty but for its schema.
pub(crate) struct Database {
    pub(crate) store: Store,
    address: String,
    /// Where SQLite's file is; removed at the end.
    folder: Option<PathBuf>,
}

/// A name that no other test has.
pub(crate) fn fresh_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("storyflag_{}_{}_{:08x}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed), fastrand::u32(..))
}

/// The address of a Postgres on which databases may be made.
fn postgres_server() -> String {
    std::env::var("STORYFLAG_TEST_POSTGRES")
        .expect("STORYFLAG_TEST_POSTGRES is not set: run `make test`, or ./scripts/test-services.sh run cargo test -p storyflag-server")
}

impl Database {
    pub(crate) async fn sqlite() -> Self {
        let folder = std::env::temp_dir().join(fresh_name());
        std::fs::create_dir(&folder).unwrap();
        let address = format!("sqlite:{}", folder.join("storyflag.db").display());
        Self { store: Store::open(&address, 8).await.unwrap(), address, folder: Some(folder) }
    }

    pub(crate) async fn postgres() -> Self {
        let server = postgres_server();
        let name = fresh_name();
        let mut connection = PgConnection::connect(&server).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("create database {name}"))).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        let (host, _) = server.rsplit_once('/').unwrap();
        let address = format!("{host}/{name}");
        Self { store: Store::open(&address, 10).await.unwrap(), address, folder: None }
    }

    /// What another node would hold.
    pub(crate) async fn open_again(&self) -> Store {
        Store::open(&self.address, 4).await.unwrap()
    }

    /// A project `default` with an environment `production`; the row ids of both.
    pub(crate) async fn production(&self) -> (i64, i64) {
        let mut tx = self.store.begin().await.unwrap();
        let project = tx.insert_project("default", "Default", NOW).await.unwrap();
        let new = NewEnvironment { project, key: "production", name: "Production", protected: true, options: "{}", at: NOW };
        let environment = tx.insert_environment(&new).await.unwrap();
        tx.commit().await.unwrap();
        (project, environment)
    }

    /// One served write: the next revision, with one row of history.
    async fn write(&self, environment: i64, at: i64, kind: &str, key: &str, after: Option<&str>) -> EnvironmentRow {
        let mut tx = self.store.begin().await.unwrap();
        let row = tx.lock_and_advance(environment, at).await.unwrap().unwrap();
        tx.insert_change(&change(&row, kind, key, after)).await.unwrap();
        tx.commit().await.unwrap();
        row
    }
}

impl Database {
    /// Puts an environment back to an earlier revision, as restoring an old copy would.
    pub(crate) async fn put_back(&self, environment: i64, revision: i64) {
        let past = self.store.items_at(environment, revision).await.unwrap();
        let mut digest = 0_u64;
        let mut tx = self.store.begin().await.unwrap();
        let mut present = tx.list_flag_items(environment).await.unwrap();
        for item in &past {
            let text = item.after.as_deref().unwrap();
            let kind = if item.kind == "flag" { ItemKind::Flag } else { ItemKind::Cohort };
            digest = digest.wrapping_add(item_hash(kind, text));
            if kind == ItemKind::Flag {
                tx.update_targeting(environment, &item.key, text, NOW, "restore").await.unwrap();
                present.retain(|(key, _)| *key != item.key);
            }
        }
        for (key, _) in present {
            tx.delete_targeting(environment, &key).await.unwrap();
        }
        with_tx!(&mut tx, |db| sqlx::query("delete from changes where environment = $1 and revision > $2")
            .bind(environment)
            .bind(revision)
            .execute(db)
            .await
            .map(drop))
        .unwrap();
        with_tx!(&mut tx, |db| sqlx::query("update environments set revision = $2, digest = $3 where id = $1")
            .bind(environment)
            .bind(revision)
            .bind(digest.cast_signed())
            .execute(db)
            .await
            .map(drop))
        .unwrap();
        tx.commit().await.unwrap();
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// What was done to an item in the environment's present revision.
pub(crate) fn change<'a>(row: &EnvironmentRow, kind: &'a str, key: &'a str, after: Option<&'a str>) -> NewChange<'a> {
    NewChange {
        project: row.project,
        environment: Some(row.id),
        revision: Some(row.revision),
        at: row.changed_at,
        actor: "ada",
        reason: Some("because"),
        request: "r-1",
        kind,
        key,
        after,
    }
}

pub(crate) fn flag(project: i64, key: &str) -> FlagRow {
    FlagRow {
        id: 0,
        project,
        key: key.to_owned(),
        story: "US-123".to_owned(),
        description: "A new check-out".to_owned(),
        variants: r#"{"on":true,"off":false}"#.to_owned(),
        off: "off".to_owned(),
        serve: "on".to_owned(),
        tags: r#"["shop","100%_safe"]"#.to_owned(),
        owner: "team-shop".to_owned(),
        seed: key.to_owned(),
        client: false,
        archived_at: None,
        version: 1,
        created_at: NOW,
        updated_at: NOW,
    }
}

pub(crate) fn targeting(environment: i64, flag: i64, key: &str, item: &str) -> TargetingRow {
    TargetingRow {
        environment,
        flag,
        key: key.to_owned(),
        version: 1,
        item: item.to_owned(),
        updated_at: NOW,
        updated_by: "ada".to_owned(),
    }
}
