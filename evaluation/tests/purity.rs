//! The kernel stays a kernel: a short list of dependencies, and no clock, randomness, I/O or global in its sources.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "support/purity.rs"]
mod purity;

/// What it may use. A new line here is a decision: see the invariants in the crate's documentation.
const DEPENDENCIES: [&str; 6] = ["foldhash", "hashbrown", "regex", "serde", "serde_json", "xxhash-rust"];

#[test]
fn it_depends_on_nothing_else() {
    purity::depends_on_nothing_but("storyflag-evaluation", env!("CARGO_MANIFEST_DIR"), &DEPENDENCIES);
}

#[test]
fn its_sources_do_no_io_and_know_no_clock() {
    purity::sources_say_nothing_forbidden(env!("CARGO_MANIFEST_DIR"), 15, &[]);
}
