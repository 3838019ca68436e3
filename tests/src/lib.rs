//! The harness of Storyflag's end-to-end tests: the real server on a real database, applications on the real SDK,
//! people with a role, and a network that can be cut.
//!
//! A test reads like a story: `release_manager.raise("US-123-checkout", 1.0).await`. Nothing here sleeps for a fixed
//! time: what takes time is asked for until it is so ([`eventually()`]), and a port is known because we hold it.

// What fails in here fails a test: a panic with a message is the right answer to everything.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap
)]

pub mod actors;
pub mod answer;
pub mod backend;
pub mod contract;
pub mod eventually;
pub mod house;
pub mod postgres;
pub mod process;
pub mod prometheus;
pub mod proxy;
pub mod receiver;
pub mod redis;
pub mod reference;
pub mod scripted;
pub mod served;
mod service;
pub mod shop;
pub mod users;
pub mod workdir;

pub use backend::Backend;
pub use eventually::{eventually, eventually_within};
pub use house::{House, Node};
pub use users::{Users, applied};
