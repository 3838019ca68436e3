//! The Storyflag service: stores flags, serves them to SDKs, lets people change them.
//!
//! [`Server::start`] opens the database and loads every ruleset; [`Server::run`] serves until it is told to stop. The
//! caller owns the socket and the shutdown, so a test and `main` run the very same thing.
//!
//! | room | what it does |
//! |---|---|
//! | [`router`] | the one table of routes, and the order of middleware |
//! | [`api`] | JSON in and out, one file a noun |
//! | [`auth`] | who is calling, what they may do |
//! | [`app`] | use cases: the only write path |
//! | [`store`] | SQL: the only place that names sqlx |
//! | [`publish`] | rulesets in memory, streams, the bus between nodes |
//! | [`notify`] | delivers messages to people |
//! | [`telemetry`] | what SDKs report |
//! | [`scheduler`] | carries releases out |
//! | [`cli`] | the `storyflag` command |

pub mod api;
pub mod app;
pub mod auth;
pub mod cli;
pub mod config;
pub mod error;
pub mod health;
pub mod listener;
pub mod middleware;
pub mod notify;
pub mod publish;
pub mod router;
pub mod scheduler;
pub mod server;
pub mod store;
pub mod telemetry;

pub use server::{Server, StartError};
