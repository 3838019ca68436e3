//! The service under test: nodes on one database of their own, people with a role, applications on the SDK.

use std::time::Duration;

use sqlx::Connection;
use storyflag_server::Server;
use storyflag_server::auth::{Role, TOKEN_LIFE, Tokens};
use storyflag_server::config::Config;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::actors::Actor;
use crate::backend::Backend;
use crate::postgres::Postgres;
use crate::redis;
use crate::workdir::Workdir;

/// A service of one or more nodes, with a database that nobody else has.
pub struct House {
    /// Which database it stands on.
    pub backend: Backend,
    /// The database's address.
    pub database: String,
    /// Where SQLite's file, disk caches and other files of the test are.
    pub workdir: Workdir,
    /// The nodes, the first one first.
    pub nodes: Vec<Node>,
    tokens: Tokens,
    keys: Vec<(String, String)>,
    redis: Option<(String, String)>,
}

/// One node, in this process.
pub struct Node {
    /// `http://` and where it listens.
    pub url: String,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
}

impl Node {
    /// Starts a node.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(config: Config) -> (Node, Tokens, Vec<(String, String)>) {
        let server = Server::start(config).await.expect("the node starts");
        let tokens = server.tokens().clone();
        let keys = server.first_start().map(|made| made.keys.clone()).unwrap_or_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(server.run(listener, shutdown.clone()));
        (Node { url, shutdown, serving }, tokens, keys)
    }

    /// Stops it as SIGTERM would, and waits until it is gone.
    ///
    /// # Panics
    /// When it does not stop.
    pub async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(Duration::from_secs(30), self.serving).await.expect("the node stops").expect("it does not panic");
    }
}

impl House {
    /// One node on a new database.
    pub async fn new(backend: Backend) -> House {
        House::build(backend, None).await
    }

    /// One node on a new database, which tells others what changed by this Redis.
    pub async fn with_redis(backend: Backend, redis_url: &str) -> House {
        House::build(backend, Some((redis_url.to_owned(), redis::prefix()))).await
    }

    /// One node on a new database, whose releases ask this Prometheus.
    pub async fn with_prometheus(backend: Backend, prometheus_url: &str) -> House {
        let house = House::new(backend).await;
        let mut config = house.config();
        config.sources.prometheus = Some(prometheus_url.to_owned());
        let House { database, workdir, nodes, keys, redis, .. } = house;
        for node in nodes {
            node.stop().await;
        }
        let (node, tokens, _) = Node::start(config).await;
        House { backend, database, workdir, nodes: vec![node], tokens, keys, redis }
    }

    async fn build(backend: Backend, redis: Option<(String, String)>) -> House {
        let workdir = Workdir::new("house");
        let database = match backend {
            Backend::Sqlite => format!("sqlite:{}", workdir.file("storyflag.db").display()),
            Backend::Postgres => Postgres::shared().create_database().await,
        };
        House::on(backend, database, workdir, redis).await
    }

    /// One node on this database: of a Postgres that the test may stop, or behind a proxy.
    pub async fn on(backend: Backend, database: String, workdir: Workdir, redis: Option<(String, String)>) -> House {
        let (node, tokens, keys) = Node::start(config(&database, redis.as_ref())).await;
        House { backend, database, workdir, nodes: vec![node], tokens, keys, redis }
    }

    /// Another node on the same database; its place in `nodes`.
    pub async fn add_node(&mut self) -> usize {
        let (node, _, _) = Node::start(self.config()).await;
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// What a node of this house is started with.
    pub fn config(&self) -> Config {
        config(&self.database, self.redis.as_ref())
    }

    /// Where the first node listens.
    pub fn url(&self) -> &str {
        &self.nodes[0].url
    }

    /// Somebody of this role, at the first node and in staging.
    pub fn actor(&self, role: Role) -> Actor {
        let token = self.tokens.issue(role.name(), role, None, TOKEN_LIFE).unwrap();
        Actor::new(role, self.url(), token)
    }

    /// Who may everything.
    pub fn admin(&self) -> Actor {
        self.actor(Role::Admin)
    }

    /// Who raises percentages.
    pub fn release_manager(&self) -> Actor {
        self.actor(Role::ReleaseManager)
    }

    /// Who changes what is not protected.
    pub fn editor(&self) -> Actor {
        self.actor(Role::Editor)
    }

    /// Who looks.
    pub fn viewer(&self) -> Actor {
        self.actor(Role::Viewer)
    }

    /// Issues tokens as the service does.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// The key that signs tokens, as it stands in the database: its id, and the private key as PEM. For forging tokens
    /// that only somebody inside could.
    ///
    /// # Panics
    /// When the database does not tell.
    pub async fn signing_key(&self) -> (String, String) {
        const KEY: &str = "select id, private_key from signing_keys order by created_at limit 1";
        match self.backend {
            Backend::Sqlite => {
                let mut connection = sqlx::SqliteConnection::connect(&self.database).await.unwrap();
                sqlx::query_as(KEY).fetch_one(&mut connection).await.unwrap()
            }
            Backend::Postgres => {
                let mut connection = sqlx::PgConnection::connect(&self.database).await.unwrap();
                sqlx::query_as(KEY).fetch_one(&mut connection).await.unwrap()
            }
        }
    }

    /// Stops the first node and starts another in its place, on the same database.
    ///
    /// # Panics
    /// When it does not stop.
    pub async fn restart(&mut self) {
        self.nodes.remove(0).stop().await;
        let (node, tokens, _) = Node::start(self.config()).await;
        self.tokens = tokens;
        self.nodes.insert(0, node);
    }

    /// The SDK key of an environment that the first start made.
    ///
    /// # Panics
    /// When there is no such environment.
    pub fn key(&self, environment: &str) -> &str {
        &self.keys.iter().find(|(of, _)| of == environment).expect("an environment of the first start").1
    }

    /// An application that runs in an environment, connected to the first node.
    pub async fn application(&self, environment: &str) -> storyflag::Client {
        self.application_at(environment, self.url()).await
    }

    /// The same, connected to another address: another node, or a proxy.
    pub async fn application_at(&self, environment: &str, url: &str) -> storyflag::Client {
        storyflag::Client::builder(url, self.key(environment)).connect().await.expect("address and key are right")
    }
}

fn config(database: &str, redis: Option<&(String, String)>) -> Config {
    let mut config = Config::default();
    database.clone_into(&mut config.database.url);
    // Tests run many at once on one cluster.
    config.database.connections = 6;
    config.http.drain_seconds = 0;
    // Receivers that fail are tried again at once, and those that hang are not waited for.
    config.notify.longest_wait_seconds = 1;
    config.notify.webhook_seconds = 4;
    if let Some((url, prefix)) = redis {
        config.bus.redis = Some(url.clone());
        config.bus.prefix.clone_from(prefix);
    }
    config
}
