//! Postgres for tests: one cluster for all, a database for each.

use std::sync::LazyLock;

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::service::Service;

/// A cluster. The shared one is `make test`'s (`STORYFLAG_TEST_POSTGRES`) or, without that, this process's own.
pub struct Postgres {
    service: Option<Service>,
    admin: String,
}

static SHARED: LazyLock<Postgres> = LazyLock::new(|| match std::env::var("STORYFLAG_TEST_POSTGRES") {
    Ok(admin) => Postgres { service: None, admin },
    Err(_) => Postgres::own(),
});

impl Postgres {
    /// The cluster that tests share, each with a database of its own.
    pub fn shared() -> &'static Postgres {
        &SHARED
    }

    /// A cluster for one test, which may stop it.
    pub fn own() -> Postgres {
        let service = Service::start("postgres");
        let admin = service.address.clone();
        Postgres { service: Some(service), admin }
    }

    /// Stops the cluster at once, as a crash would.
    pub fn stop(&self) {
        self.service.as_ref().expect("the shared cluster is not ours to stop").stop();
    }

    /// Starts it again after [`Postgres::stop`], at the same address.
    pub fn start(&self) {
        self.service.as_ref().expect("the shared cluster is not ours to start").start_again();
    }

    /// Creates an empty database and gives its URL.
    pub async fn create_database(&self) -> String {
        let name = format!("storyflag_{:016x}", fastrand::u64(..));
        self.run(format!("create database {name}")).await;
        self.url_of(&name)
    }

    /// Creates a database with the content of the one at `url`, as a backup would hold it, and gives its URL. Ends
    /// the connections of others to that database first.
    pub async fn copy_database(&self, url: &str) -> String {
        let (name, copy) = (name_in(url), format!("storyflag_{:016x}", fastrand::u64(..)));
        // Others come back at once, and a database that somebody is connected to cannot be copied.
        self.run(format!("alter database {name} allow_connections false")).await;
        self.run(format!("select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = '{name}'")).await;
        self.run(format!("create database {copy} template {name}")).await;
        self.run(format!("alter database {name} allow_connections true")).await;
        self.url_of(&copy)
    }

    /// Puts the database at `url` back to the content of the one at `backup`.
    pub async fn restore_database(&self, url: &str, backup: &str) {
        let (name, backup) = (name_in(url), name_in(backup));
        self.run(format!("drop database {name} with (force)")).await;
        self.run(format!("create database {name} template {backup}")).await;
    }

    async fn run(&self, statement: String) {
        let mut admin = PgConnection::connect(&self.admin).await.expect("the test cluster answers");
        admin.execute(AssertSqlSafe(statement)).await.expect("an administrator's statement");
    }

    fn url_of(&self, name: &str) -> String {
        let (server, _) = self.admin.rsplit_once('/').expect("postgres://user@host:port/database");
        format!("{server}/{name}")
    }
}

fn name_in(url: &str) -> &str {
    url.rsplit_once('/').expect("postgres://user@host:port/database").1
}
