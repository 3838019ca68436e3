//! Storyflag SDK
mod backoff;
mod builder;
mod client;
mod connection;
mod detail;
mod disk_cache;
mod disk_writer;
mod driver;
mod endpoint;
mod fixed;
mod for_context;
mod key;
mod ladder;
mod lists;
mod problem;
mod protocol;
mod report;
mod shared;
mod sse;
mod status;
mod stored;
mod task;
#[cfg(feature = "tls")]
mod tls;
mod usage;
mod wire;

#[cfg(test)]
#[path = "../tests/support/environment.rs"]
mod environment;

pub use builder::{Builder, ConnectError};
pub use client::{Client, FileError};
pub use detail::{Detail, FlagValue};
pub use endpoint::AddressError;
pub use for_context::ForContext;
pub use key::{KeyError, SdkKey};
pub use report::TelemetryMessage;
pub use status::{Changes, State, Status};
pub use storyflag_evaluation::{Arm, Attribute, Context, Evaluation, EvaluationError, Identity, Reason, Value};
