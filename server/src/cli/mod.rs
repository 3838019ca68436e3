//! The `storyflag` command: serves, and for people calls the service over HTTP.
//!
//! A command of the second kind is one file a noun, thin over HTTP: it reads its arguments, sends one request and says the
//! answer in words. What it has to say comes back as `Said` or `Failure`; only [`main`] prints, but for `serve`,
//! `demo` and `release watch`, which have something to say while they run, and for what is shown before a question.

mod channels;
mod client;
mod cohorts;
mod demo;
mod explain;
mod failure;
mod flag_list;
mod flags;
mod freezes;
mod history;
mod incarnation;
mod invocation;
mod keys;
mod kill;
mod members;
mod plans;
mod progress;
mod rehearsals;
mod releases;
mod rollout;
mod serve;
mod table;
mod targeting;
mod token;
mod writes;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{Arg, ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand, parser::ValueSource};

use self::{client::Answer, failure::Failure};
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
    Serve(Box<Config>),
    /// Watch a plan carry itself out, turn back, and arrive at 100 %, in under two minutes
    Demo(demo::DemoArgs),
    /// Make a token for a person, with the service's own key from its database
    Token(token::TokenArgs),
    /// Print the OpenAPI document
    Openapi,
    /// List, show, create and archive flags
    Flags(Box<flags::FlagsArgs>),
    /// Show, raise or lower a percentage
    Rollout(rollout::RolloutArgs),
    /// Kill a flag: everybody gets `off`, until it is revived
    Kill(kill::KillArgs),
    /// Revive a killed flag: the same users as before are served
    Revive(kill::KillArgs),
    /// Tell who gets what, and why; also in the past
    Explain(explain::ExplainArgs),
    /// Tell what was done to a flag, by whom and why
    History(history::HistoryArgs),
    /// List, show, put and delete cohorts and their members
    Cohorts(cohorts::CohortsArgs),
    /// Check, put, show, list and delete deployment plans
    #[command(visible_alias = "plans")]
    Plan(plans::PlansArgs),
    /// Play a deployment plan through against stated traffic, without waiting
    Rehearse(rehearsals::RehearseArgs),
    /// Tell how soon each step of a deployment plan would notice trouble
    Predict(rehearsals::PredictArgs),
    /// Start, watch, approve, pause and turn back releases: a deployment plan, carried out
    #[command(visible_alias = "releases")]
    Release(Box<releases::ReleasesArgs>),
    /// List, create and revoke SDK keys
    Keys(keys::KeysArgs),
    /// List, put, delete and test channels: where people hear of what happens
    Channels(channels::ChannelsArgs),
    /// List, add and delete freezes: times in which nothing is raised
    Freezes(freezes::FreezesArgs),
    /// Begin a new history, after the database was put back to an earlier state
    Incarnation(incarnation::IncarnationArgs),
}

/// What a command has to say when it did what was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Said {
    /// For the standard output: what a script may read.
    out: String,
    /// For the standard error: what only a person wants, such as what to type next.
    note: String,
    /// For the shell: not 0 where what was asked was done, and something else is the answer to it.
    code: u8,
}

impl Said {
    fn out(out: impl Into<String>) -> Self {
        Self { out: out.into(), ..Self::default() }
    }

    /// The service's JSON as it came, one answer a line.
    fn json(answers: &[Answer]) -> Self {
        Self::out(
            answers
                .iter()
                .filter(|answer| !answer.text.is_empty())
                .map(|answer| format!("{}\n", answer.text.trim_end()))
                .collect::<String>(),
        )
    }

    fn with_note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }

    fn with_code(self, code: u8) -> Self {
        Self { code, ..self }
    }
}

/// Runs what the command line says.
pub fn main() -> ExitCode {
    let matches = command_line().get_matches();
    let done = refuse_environment(&matches).and_then(|()| {
        let command = Command::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        run(command.verb)
    });
    let printed = match &done {
        Ok(said) => print(&said.out, &said.note),
        Err(failure) => print(failure.problem(), &format!("storyflag: {}", failure.text())),
    };
    match (done, printed) {
        (Err(failure), _) => failure.exit_code(),
        // Whoever reads has read enough, as in `storyflag flags | head`.
        (Ok(_), Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        (Ok(_), Err(_)) => ExitCode::FAILURE,
        (Ok(said), Ok(())) => ExitCode::from(said.code),
    }
}

/// What is done in every environment at once.
const EVERYWHERE: [(&str, &str); 3] = [
    ("archive", "archiving is for every environment: leave out -e"),
    ("create", "a flag is created in every environment: leave out -e"),
    ("show", "what is shown is every environment: leave out -e, or: storyflag rollout KEY -e ENVIRONMENT"),
];

/// The command line; the help of what is done in every environment tells of no `-e`.
fn command_line() -> clap::Command {
    let hidden = || Arg::new("environment").short('e').long("environment").value_name("KEY").hide(true);
    Command::command().mut_subcommand("flags", |flags| {
        ["archive", "create"].iter().fold(flags, |flags, verb| flags.mut_subcommand(verb, |verb| verb.arg(hidden())))
    })
}

/// Who types an environment where none is meant means something else. The variable stands for other commands, too.
fn refuse_environment(matches: &ArgMatches) -> Result<(), Failure> {
    let Some((verb, matches)) = matches.subcommand_matches("flags").and_then(ArgMatches::subcommand) else { return Ok(()) };
    // As JSON one flag is shown in one environment.
    let is_meant = verb == "show" && matches.get_flag("json");
    let is_typed = matches.value_source("environment") == Some(ValueSource::CommandLine);
    match EVERYWHERE.iter().find(|(known, _)| *known == verb) {
        Some((_, why)) if is_typed && !is_meant => Err(Failure::usage(*why)),
        _ => Ok(()),
    }
}

/// Prints to the standard output and, as whole lines, to the standard error.
fn print(out: &str, note: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let printed = stdout.write_all(out.as_bytes()).and_then(|()| stdout.flush());
    if !note.is_empty() {
        // A person who cannot be told is no reason to fail.
        let _ = writeln!(io::stderr(), "{}", note.trim_end());
    }
    printed
}

fn run(verb: Verb) -> Result<Said, Failure> {
    match verb {
        Verb::Serve(config) => serve::serve(*config).map(|()| Said::default()).map_err(Failure::refused),
        Verb::Demo(args) => demo::demo(&args),
        Verb::Token(args) => token::token(&args).map(|token| Said::out(format!("{token}\n"))),
        Verb::Openapi => Ok(Said::out(crate::router::openapi())),
        Verb::Flags(args) => flags::flags(*args),
        Verb::Rollout(args) => rollout::rollout(&args),
        Verb::Kill(args) => kill::kill(&args),
        Verb::Revive(args) => kill::revive(&args),
        Verb::Explain(args) => explain::explain(&args),
        Verb::History(args) => history::history(&args),
        Verb::Cohorts(args) => cohorts::cohorts(&args),
        Verb::Plan(args) => plans::plans(&args),
        Verb::Rehearse(args) => rehearsals::rehearse(&args),
        Verb::Predict(args) => rehearsals::predict(&args),
        Verb::Release(args) => releases::releases(&args),
        Verb::Keys(args) => keys::keys(&args),
        Verb::Channels(args) => channels::channels(&args),
        Verb::Freezes(args) => freezes::freezes(&args),
        Verb::Incarnation(args) => incarnation::incarnation(&args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command_line().debug_assert();
    }

    #[test]
    fn an_environment_is_refused_where_it_means_nothing() {
        let refused = |line: &str| {
            let outcome = refuse_environment(&command_line().try_get_matches_from(line.split(' ')).unwrap());
            outcome.err().map(|failure| failure.text()).unwrap_or_default()
        };
        assert!(refused("storyflag flags archive US-1 -e staging").contains("every environment: leave out -e"));
        assert!(refused("storyflag flags -e staging archive US-1").contains("every environment: leave out -e"));
        assert!(refused("storyflag flags create US-1 --environment staging").contains("leave out -e"));
        assert!(refused("storyflag flags show US-1 -e staging").contains("leave out -e"));
        for line in ["show US-1", "show US-1 -e staging --json", "list -e staging", "archive US-1", "-e staging"] {
            assert_eq!(refused(&format!("storyflag flags {line}")), "", "{line}");
        }
        let help = |verb: &str| {
            let told = command_line().try_get_matches_from(["storyflag", "flags", verb, "--help"]).unwrap_err();
            told.to_string()
        };
        assert!(!help("archive").contains("--environment") && !help("create").contains("--environment"));
        assert!(help("list").contains("--environment"));
    }

    #[test]
    fn what_belongs_to_a_noun_may_stand_before_and_behind_its_verb() {
        for line in [
            "storyflag flags",
            "storyflag flags --query cart -e staging",
            "storyflag flags list --tag shop --json -e staging",
            "storyflag flags -e staging show US-1 --json",
            "storyflag flags create US-1 --story US-1 --tag a --tag b --variants {} --off a --serve b --seed x --client",
            "storyflag flags archive US-1 --force --dry-run --reason x",
            "storyflag rollout US-1 1% -e production --from 0.1 --reason x --force --dry-run --take-over",
            "storyflag rollout US-1 -e production",
            "storyflag kill US-1 -e production",
            "storyflag revive US-1 -e production --reason x",
            "storyflag explain US-1 user-42 -e production --at 2026-12-01T14:03:00Z --context {}",
            "storyflag history US-1 -e production",
            "storyflag cohorts -e staging",
            "storyflag cohorts put us -e staging --if [] --unit account_id --description x",
            "storyflag cohorts put us -e staging --replace",
            "storyflag cohorts members us -e staging --replace -",
            "storyflag cohorts delete us -e staging",
            "storyflag plan",
            "storyflag plans list --json",
            "storyflag plan check docs/plan.md",
            "storyflag plan put - --format markdown --reason x --dry-run",
            "storyflag plan get DP-1 --format yaml",
            "storyflag plan delete DP-1 --reason x",
            "storyflag rehearse DP-1 --requests-per-second 20 --trouble-errors 4.5 --trouble-after 20m --seed 7",
            "storyflag predict plan.md --requests-per-second 20 --errors 0.5 --json",
            "storyflag release",
            "storyflag releases list --plan DP-1 --flag US-1 --live --json -e staging",
            "storyflag release start DP-1 -e staging --at 2026-12-01T09:00:00Z --from 10 --time-scale 600 --reason x --force --watch",
            "storyflag release create DP-1 -e staging --time-scale 600",
            "storyflag release get DP-1-1 --markdown -e staging",
            "storyflag release watch DP-1 -e staging --json",
            "storyflag release approve DP-1 -e staging --yes --reason x",
            "storyflag release advance DP-1 -e staging -y --reason x",
            "storyflag release pause DP-1 -e staging",
            "storyflag release resume DP-1 -e staging --reason x",
            "storyflag release rollback DP-1 -e staging",
            "storyflag release cancel DP-1 -e staging",
            "storyflag release tick DP-1 -e staging",
            "storyflag release tick DP-1 a b -e staging --undo",
            "storyflag release timeline DP-1 -e staging",
            "storyflag release report DP-1 -e staging --markdown",
            "storyflag keys -e staging",
            "storyflag keys create shop -e staging --project other",
            "storyflag keys revoke 12ab -e staging",
            "storyflag channels -e staging",
            "storyflag channels put team https://hooks.example.com/x --receives team,changes --rotate -e staging --dry-run",
            "storyflag channels delete team -e staging --reason x",
            "storyflag channels test team -e staging --json",
            "storyflag freezes -e staging",
            "storyflag freezes list --all -e staging",
            "storyflag freezes add 2027-01-04T08:00:00Z --from 2026-12-20T00:00:00Z --reason holidays -e staging --dry-run",
            "storyflag freezes delete freeze-12 -e staging",
            "storyflag incarnation raise --project shop --environment staging --reason restored",
        ] {
            let read = command_line().try_get_matches_from(line.split(' ')).and_then(|matches| Command::from_arg_matches(&matches));
            assert!(read.is_ok(), "{line}: {}", read.err().map(|error| error.to_string()).unwrap_or_default());
        }
    }

    #[test]
    fn machines_get_what_the_service_said() {
        let answer = |text: &str| Answer { status: 200, text: text.to_owned() };
        assert_eq!(Said::json(&[answer("{\"a\":1}"), answer("{\"a\":2}\n"), answer("")]).out, "{\"a\":1}\n{\"a\":2}\n");
    }
}
