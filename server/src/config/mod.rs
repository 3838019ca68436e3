//! What can be set, one struct per concern: by options of `storyflag serve`, or by the variables that each field names.
//!
//! Nothing else in the service reads the environment.

mod bus;
mod database;
mod http;
mod log;
mod notify;
mod sources;

use clap::Args;

pub use bus::BusConfig;
pub use database::DatabaseConfig;
pub use http::HttpConfig;
pub use log::{LogConfig, LogFormat};
pub use notify::NotifyConfig;
pub use sources::SourcesConfig;

/// Everything that can be set about a node.
#[derive(Debug, Clone, Default, Args)]
pub struct Config {
    /// Where everything is kept.
    #[command(flatten)]
    pub database: DatabaseConfig,
    /// How nodes tell each other what changed.
    #[command(flatten)]
    pub bus: BusConfig,
    /// What the service listens to and puts up with.
    #[command(flatten)]
    pub http: HttpConfig,
    /// How messages reach people.
    #[command(flatten)]
    pub notify: NotifyConfig,
    /// What it tells its operator.
    #[command(flatten)]
    pub log: LogConfig,
    /// Where numbers come from, beside what applications report.
    #[command(flatten)]
    pub sources: SourcesConfig,
}
