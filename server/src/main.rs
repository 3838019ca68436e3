//! The `storyflag` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    storyflag_server::cli::main()
}
