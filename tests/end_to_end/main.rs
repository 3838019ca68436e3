//! Storyflag from outside: the real server on a real database, asked over HTTP, heard through the real SDK.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap
)]

mod access;
mod bad_input;
mod bad_targetings;
mod bounds;
mod cohorts;
mod conflicts;
mod contract;
mod crash;
mod exposure;
mod flags;
mod formats;
mod freezes;
mod history;
mod incarnation;
mod lists;
mod main_job;
mod network;
mod newer_node;
mod nodes;
mod outage;
mod plans;
mod prerequisites;
mod prometheus;
mod readers;
mod readme;
mod regression;
mod releases;
mod roles;
mod targetings;
mod telling;
mod time_travel;
