//! The `storyflag` command: serves, and for people calls the service over HTTP.

mod openapi;
mod serve;
mod token;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::Config;

/// Releases user stories behind feature flags.
#[derive(Debug, Parser)]
#[command(name = "storyflag", version, about, max_term_width = 100)]
struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the service
    Serve(Config),
    /// Make a token for a person, with the service's own key from its database
    Token(token::TokenArgs),
    /// Print the OpenAPI document
    Openapi,
}

/// Runs what the command line says.
pub fn main() -> ExitCode {
    let command = Command::parse();
    let outcome = match command.verb {
        Verb::Serve(config) => serve::serve(config),
        Verb::Token(args) => token::token(&args),
        Verb::Openapi => openapi::openapi(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("storyflag: {why}");
            ExitCode::FAILURE
        }
    }
}
