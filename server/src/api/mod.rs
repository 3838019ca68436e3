//! JSON in and out, one file a noun: no SQL, no decisions.

pub mod lists;
pub mod ruleset;
pub mod sdk;
pub mod stream;
pub mod telemetry;
