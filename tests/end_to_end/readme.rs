//! The README: every command in it works as pasted.

use std::path::{Path, PathBuf};
use std::time::Duration;

use storyflag_tests::process::{Process, program};
use storyflag_tests::workdir::Workdir;
use tokio::process::Command;

const README: &str = include_str!("../../README.md");

/// The blocks that a shell reads, one after the other, as somebody who reads from top to bottom pastes them.
fn commands() -> String {
    let mut script = String::new();
    let mut reading = false;
    for line in README.lines() {
        match line {
            "```sh" => reading = true,
            "```" => reading = false,
            // What starts the service and the tests cannot run inside them.
            line if reading && line.starts_with("make ") => {}
            line if reading => script.push_str(&format!("{line}\n")),
            _ => {}
        }
    }
    script
}

/// Where cargo puts the example that the README runs; it builds examples with the tests.
fn shop() -> PathBuf {
    let folder = program();
    folder.parent().expect("target/PROFILE").join("examples/shop")
}

/// Below the range that Linux hands out by itself.
fn some_port() -> u16 {
    fastrand::u16(16_000..32_000)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_of_the_readme_works_as_pasted() {
    let folder = Workdir::new("readme");
    // What `make run` leaves behind: the program where cargo puts it, the database in the folder that it ran in.
    std::fs::create_dir_all(folder.file("target/debug")).unwrap();
    std::os::unix::fs::symlink(program(), folder.file("target/debug/storyflag")).unwrap();
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").canonicalize().unwrap();
    std::os::unix::fs::symlink(docs, folder.file("docs")).unwrap();
    let database = format!("sqlite:{}", folder.file("storyflag.db").display());
    let node = Process::start(&database, &folder.file("log")).await;

    let port = some_port();
    let commands = commands()
        .replace("http://localhost:8080", &node.url)
        .replace("cargo build -p storyflag --example shop", "true")
        .replace("cargo run -q -p storyflag --example shop --", &shop().display().to_string())
        .replace(&format!("{} &", node.url), &format!("{} {port} &", node.url))
        .replace("localhost:3000", &format!("localhost:{port}"));
    let told = run(folder.path(), &commands).await;

    for expected in [
        "0 % -> 0.1 %",
        "user-42",
        "0.1 % -> 1 %",
        "The checkout that you know",
        "The new checkout",
        "\"dry_run\":true",
        "is right: 5 steps",
        ": rolled back after",
        "DP-123-checkout is created",
        "DP-123-checkout-1 in staging is created",
        "is called off",
    ] {
        assert!(told.contains(expected), "{expected} is missing in:\n{told}");
    }
    node.kill().await;
}

/// Runs a script as one shell does, stopping at the first command that fails; what it printed.
async fn run(folder: &Path, script: &str) -> String {
    let mut command = Command::new("bash");
    // Job control, as in a shell that somebody types into: `kill %1` is the README's.
    command.args(["-e", "-m", "-o", "pipefail", "-c", script]).current_dir(folder).kill_on_drop(true);
    for name in ["STORYFLAG_URL", "STORYFLAG_TOKEN", "STORYFLAG_ENVIRONMENT", "STORYFLAG_PROJECT", "STORYFLAG_DATABASE"] {
        command.env_remove(name);
    }
    let output = tokio::time::timeout(Duration::from_secs(120), command.output()).await.expect("it ends").expect("bash runs");
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script}\n---\n{told}");
    told
}
