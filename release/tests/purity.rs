//! The kernel stays a kernel: a short list of dependencies, and no clock, randomness, I/O or global in its sources.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{fs, path::Path, process::Command};

/// What it may use. A new line here is a decision: see the crate's documentation.
const DEPENDENCIES: [&str; 6] = ["jiff", "pulldown-cmark", "saphyr-parser", "serde", "serde_json", "storyflag-evaluation"];

/// What its sources do not say. jiff could ask the system for the time and for its time zones.
const FORBIDDEN: [&str; 26] = [
    "SystemTime",
    "Instant",
    "::now(",
    "std::time",
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::process",
    "std::thread",
    "std::sync::atomic",
    "Mutex",
    "RwLock",
    "OnceLock",
    "LazyLock",
    "thread_local",
    "static mut",
    "RandomState",
    "rand::",
    "println!",
    "eprintln!",
    "unsafe",
    "tz::db(",
    "TimeZone::get(",
    "TimeZone::system(",
    "in_tz(",
];

#[test]
fn it_depends_on_nothing_else() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--edges", "normal", "--depth", "1", "--prefix", "none", "--format", "{p}"])
        .args(["--package", "storyflag-release"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    let mut names: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names.remove(0), "storyflag-release");
    assert_eq!(names, DEPENDENCIES);
}

#[test]
fn its_time_zones_come_with_the_crate() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let jiff = manifest.lines().find(|line| line.starts_with("jiff")).unwrap();
    assert!(jiff.contains("tzdb-bundle-always") && !jiff.contains("zoneinfo") && !jiff.contains("tz-system"), "{jiff}");
}

#[test]
fn its_sources_do_no_io_and_know_no_clock() {
    let mut read = 0;
    look(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut read);
    assert!(read >= 25, "only {read} source files were found");
}

fn look(folder: &Path, read: &mut usize) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            look(&path, read);
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        for (number, line) in source.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for word in FORBIDDEN {
                assert!(!code.contains(word), "{}:{}: {word} has no place in the kernel", path.display(), number + 1);
            }
        }
        *read += 1;
    }
}
