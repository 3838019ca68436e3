//! The Storyflag service: stores flags, serves them to SDKs, lets people change them.

pub mod api;
pub mod app;
pub mod auth;
pub mod cli;
pub mod config;
pub mod error;
pub mod listener;
pub mod publish;
pub mod router;
pub mod store;
pub mod telemetry;
