//! The independent program: Python, written from the documents and not from the Rust.

use std::path::Path;
use std::process::Command;

/// The numbers of the users `user-0`... that a flag with this seed serves at a percentage, ascending, by the
/// independent program.
///
/// # Panics
/// When it does not run: `make test` installs what it needs.
pub async fn served(seed: &str, percentage: &str, users: usize) -> Vec<u32> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../evaluation/testdata/reference.py");
    let mut command = Command::new(python());
    command.arg(program).args(["served", "--seed", seed, "--percentage", percentage, "--users", &users.to_string()]);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().expect("python3 runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "reference.py: {told}\n`make test` installs the package xxhash that it needs");
    String::from_utf8(output.stdout).unwrap().lines().map(|line| line.parse().expect("a number a line")).collect()
}

/// The Python with the packages xxhash and standardwebhooks: the virtual environment of `make test` where it is, else the system's.
pub(crate) fn python() -> String {
    let home = std::env::var("HOME").unwrap_or_default();
    let folder = std::env::var("STORYFLAG_VENV").unwrap_or_else(|_| format!("{home}/.cache/storyflag-venv"));
    let own = format!("{folder}/bin/python3");
    if Path::new(&own).exists() { own } else { "python3".to_owned() }
}
