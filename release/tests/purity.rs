//! The kernel stays a kernel: a short list of dependencies, and no clock, randomness, I/O or global in its sources.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{fs, path::Path};

#[path = "../../evaluation/tests/support/purity.rs"]
mod purity;

/// What it may use. A new line here is a decision: see the crate's documentation.
const DEPENDENCIES: [&str; 6] = ["jiff", "pulldown-cmark", "saphyr-parser", "serde", "serde_json", "storyflag-evaluation"];

/// jiff could ask the system for the time and for its time zones.
const OF_JIFF: [&str; 5] = ["::now(", "tz::db(", "TimeZone::get(", "TimeZone::system(", "in_tz("];

#[test]
fn it_depends_on_nothing_else() {
    purity::depends_on_nothing_but("storyflag-release", env!("CARGO_MANIFEST_DIR"), &DEPENDENCIES);
}

#[test]
fn its_time_zones_come_with_the_crate() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let jiff = manifest.lines().find(|line| line.starts_with("jiff")).unwrap();
    assert!(jiff.contains("tzdb-bundle-always") && !jiff.contains("zoneinfo") && !jiff.contains("tz-system"), "{jiff}");
}

#[test]
fn its_sources_do_no_io_and_know_no_clock() {
    purity::sources_say_nothing_forbidden(env!("CARGO_MANIFEST_DIR"), 25, &OF_JIFF);
}
