//! The service of a demo: in this process, on a port and a file that nobody else has.

use std::{os::unix::fs::DirBuilderExt, path::PathBuf};

use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    Server,
    cli::failure::Failure,
    config::{Config, DatabaseConfig, HttpConfig},
};

/// A running service.
pub(super) struct Stage {
    pub(super) address: String,
    pub(super) token: String,
    /// For staging.
    pub(super) sdk_key: String,
    stop: CancellationToken,
    service: JoinHandle<()>,
    _directory: Directory,
}

/// Removed when dropped, whatever happened.
struct Directory(PathBuf);

impl Directory {
    fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("storyflag-demo-{:016x}", fastrand::u64(..)));
        // It holds keys, if only for a minute.
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // A directory that cannot be removed is the system's temporary one to clean up.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Stage {
    pub(super) async fn start() -> Result<Self, Failure> {
        let io = |error: std::io::Error| Failure::refused(format!("the demo needs a temporary directory and a free port: {error}"));
        let directory = Directory::new().map_err(io)?;
        let url = format!("sqlite:{}", directory.0.join("demo.db").display());
        let config = Config {
            database: DatabaseConfig { url, ..DatabaseConfig::default() },
            http: HttpConfig { drain_seconds: 0, ..HttpConfig::default() },
            ..Config::default()
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(io)?;
        let address = format!("http://{}", listener.local_addr().map_err(io)?);
        let server = Server::start(config).await.map_err(|error| Failure::refused(error.to_string()))?;
        let made = server.first_start().ok_or_else(|| Failure::refused("the new file was not empty"))?;
        let sdk_key = made.keys.iter().find(|(environment, _)| environment == "staging").map(|(_, key)| key.clone());
        let sdk_key = sdk_key.ok_or_else(|| Failure::refused("the first start made no key for staging"))?;
        let token = made.admin_token.clone();
        let stop = CancellationToken::new();
        let service = tokio::spawn(server.run(listener, stop.clone()));
        Ok(Self { address, token, sdk_key, stop, service, _directory: directory })
    }

    /// Stops the service; then its file goes.
    pub(super) async fn end(self) {
        self.stop.cancel();
        // A service that panicked has said so itself.
        let _ = self.service.await;
    }
}
