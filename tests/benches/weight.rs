//! What the SDK costs the application that builds it: crates, and a clean release build, beside its rivals' SDKs,
//! built one after the other in the same run: `cargo bench -p storyflag-tests --bench weight`.
//!
//! The rivals come from crates.io, in an empty project of their own.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "a benchmark, not a library")]

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

/// Name, and what stands in the `[dependencies]` of an application that uses it. Unleash's leaves HTTP to a feature, and
/// cannot be used without.
const RIVALS: [(&str, &str); 3] = [
    ("configcat", "configcat = \"*\""),
    ("unleash-api-client", "unleash-api-client = { version = \"*\", features = [\"reqwest-client-13\"] }"),
    ("launchdarkly-server-sdk", "launchdarkly-server-sdk = \"*\""),
];

fn main() {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk").canonicalize().unwrap();
    println!("{:<28} {:>8} {:>12}", "an application with", "crates", "release, s");
    let ours = weigh("storyflag", &format!("storyflag = {{ path = {:?} }}", sdk.display())).unwrap_or_else(|why| panic!("{why}"));
    show("storyflag", &ours);
    let mut good = true;
    for (name, dependency) in RIVALS {
        match weigh(name, dependency) {
            Ok(rival) => {
                show(name, &rival);
                good &= ours.crates < rival.crates && ours.seconds < rival.seconds;
            }
            // Without the registry there is nothing to compare with, and that is said.
            Err(why) => println!("{name:<28} not measured: {why}"),
        }
    }
    println!("{}", if good { "every goal is met" } else { "NOT every goal is met" });
}

struct Weight {
    crates: usize,
    seconds: f64,
}

fn show(name: &str, weight: &Weight) {
    println!("{name:<28} {:>8} {:>12.1}", weight.crates, weight.seconds);
}

/// Builds an empty application with one dependency.
fn weigh(name: &str, dependency: &str) -> Result<Weight, String> {
    let folder = Folder::new(name);
    let manifest =
        format!("[package]\nname = \"weighed\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[dependencies]\n{dependency}\n\n[workspace]\n");
    std::fs::create_dir_all(folder.0.join("src")).unwrap();
    std::fs::write(folder.0.join("Cargo.toml"), manifest).unwrap();
    std::fs::write(folder.0.join("src/main.rs"), "fn main() {}\n").unwrap();
    let tree = cargo(&folder.0, &["tree", "--edges", "normal,build", "--prefix", "none", "--format", "{p}"])?;
    // A crate that stands twice is marked with (*).
    let crates: BTreeSet<&str> =
        tree.lines().map(|line| line.trim_end_matches(" (*)")).filter(|line| !line.starts_with("weighed ")).collect();
    cargo(&folder.0, &["fetch"])?;
    let begin = Instant::now();
    cargo(&folder.0, &["build", "--release", "--jobs", "2"])?;
    Ok(Weight { crates: crates.len(), seconds: begin.elapsed().as_secs_f64() })
}

fn cargo(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).current_dir(folder).env("CARGO_TARGET_DIR", folder.join("target")).env_remove("RUSTFLAGS");
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let told = String::from_utf8_lossy(&output.stderr);
    Err(told.lines().find(|line| line.starts_with("error")).unwrap_or("cargo failed").to_owned())
}

/// A folder that is gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("storyflag-weight-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
