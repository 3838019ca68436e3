//! The two schemas are one.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use sqlx::{Connection, PgConnection, SqliteConnection};

use super::{Database, both};
use crate::store::{Store, StoreError};

both!(an_open_database_is_opened_again, nodes_that_start_together_migrate_once, a_newer_schema_is_no_hindrance);

const SQLITE_COLUMNS: &str = "select m.name, c.name, c.\"notnull\" = 0 from sqlite_master m, pragma_table_info(m.name) c \
     where m.type = 'table' and m.name not like 'sqlite%' and m.name not like '_sqlx%'";
const POSTGRES_COLUMNS: &str = "select table_name::text, column_name::text, is_nullable = 'YES' from information_schema.columns \
     where table_schema = 'public' and table_name not like '\\_sqlx%'";

/// Table, column, and whether it may be null.
type Columns = BTreeSet<(String, String, bool)>;

#[tokio::test]
async fn both_schemas_have_the_same_columns() {
    let (sqlite, postgres) = (Database::sqlite().await, Database::postgres().await);
    let mut connection = SqliteConnection::connect(&sqlite.address).await.unwrap();
    let of_sqlite: Columns = sqlx::query_as(SQLITE_COLUMNS).fetch_all(&mut connection).await.unwrap().into_iter().collect();
    let mut connection = PgConnection::connect(&postgres.address).await.unwrap();
    let of_postgres: Columns = sqlx::query_as(POSTGRES_COLUMNS).fetch_all(&mut connection).await.unwrap().into_iter().collect();
    assert!(of_sqlite.contains(&("changes".to_owned(), "after".to_owned(), true)), "{of_sqlite:?}");
    assert!(of_sqlite.contains(&("keys".to_owned(), "id".to_owned(), false)), "{of_sqlite:?}");
    assert_eq!(of_sqlite.symmetric_difference(&of_postgres).collect::<Vec<_>>(), Vec::<&(String, String, bool)>::new());
}

#[test]
fn migrations_come_in_pairs() {
    let names = |folder: &str| {
        let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations").join(folder);
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect::<BTreeSet<_>>()
    };
    assert_eq!(names("sqlite"), names("postgres"));
    assert!(!names("sqlite").is_empty());
}

#[tokio::test]
async fn addresses_that_are_none_are_told() {
    for address in ["mysql://root@localhost/x", "storyflag.db", "sqlite::memory:", "sqlite://x.db?mode=memory", "postgres://u@h:port/x"] {
        let outcome = Store::open(address, 4).await.map(|_| ());
        assert!(matches!(outcome, Err(StoreError::Address(_))), "{address}: {outcome:?}");
    }
    let outcome = Store::open("pg://ada:secret@localhost/x", 4).await.map(|_| ());
    assert!(!format!("{outcome:?}").contains("secret"), "{outcome:?}");
}

async fn an_open_database_is_opened_again(database: Database) {
    let (_, environment) = database.production().await;
    let again = database.open_again().await;
    assert_eq!(again.heads().await.unwrap()[0].id, environment);
    again.ping().await.unwrap();
    again.close().await;
    assert!(matches!(again.ping().await, Err(StoreError::Unavailable(_))));
    database.store.ping().await.unwrap();
}

async fn nodes_that_start_together_migrate_once(database: Database) {
    // The database before any node saw it.
    let address = if database.store.kind() == "sqlite" {
        format!("{}2", database.address)
    } else {
        let mut connection = PgConnection::connect(&database.address).await.unwrap();
        sqlx::raw_sql("drop schema public cascade; create schema public").execute(&mut connection).await.unwrap();
        database.address.clone()
    };
    let mut nodes = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let address = address.clone();
        nodes.spawn(async move { Store::open(&address, 2).await.unwrap().heads().await.unwrap() });
    }
    assert!(nodes.join_all().await.iter().all(Vec::is_empty));
}

async fn a_newer_schema_is_no_hindrance(database: Database) {
    const NEWER: &str =
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (9999, 'newer', true, '', 0)";
    if database.store.kind() == "sqlite" {
        let mut connection = SqliteConnection::connect(&database.address).await.unwrap();
        sqlx::query(NEWER).execute(&mut connection).await.unwrap();
    } else {
        let mut connection = PgConnection::connect(&database.address).await.unwrap();
        sqlx::query(NEWER).execute(&mut connection).await.unwrap();
    }
    database.open_again().await.ping().await.unwrap();
}
