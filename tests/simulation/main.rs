//! Releases under faults, in virtual time: nodes that follow them, an application that reports, people who ask and meddle,
//! and one store. Each history is drawn from a seed, and is checked by what stands in the store at its end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap
)]

mod agenda;
mod bugs;
mod checks;
mod coverage;
mod desk;
mod dice;
mod evaluation;
mod gate;
mod histories;
mod injuries;
mod model;
mod node;
mod online;
mod plan;
mod planted;
mod shelf;
mod sqlite;
mod stage;
mod telemetry;
mod watched;
mod world;
