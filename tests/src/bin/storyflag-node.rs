//! The `storyflag` command, built together with the tests: what they kill is what they were compiled with.

use std::process::ExitCode;

fn main() -> ExitCode {
    storyflag_server::cli::main()
}
