//! `storyflag release`: a deployment plan carries itself out, and people watch it, say yes, or turn back.
//!
//! A release is named by its id, or by its plan: then the newest that is live is meant, else the newest (`find.rs`).
//! `shape.rs` is what the service tells of one, `view/` what a person sees of it, `events.rs` how it is followed.

mod checklist;
mod commands;
mod decisions;
mod events;
mod find;
mod screen;
mod shape;
mod show;
mod starts;
#[cfg(test)]
mod tests;
mod view;
mod watch;

use clap::{Args, Subcommand};
use serde_json::{Number, Value};

pub(super) use self::{
    screen::Screen,
    shape::{Entry, Release},
    view::{Line, Tone},
    watch::{Face, Log, Scene, follow_release},
};
use super::{
    Said,
    client::{Query, Target},
    failure::Failure,
    rollout::percent,
};

#[derive(Debug, Args)]
pub(super) struct ReleasesArgs {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    verb: Option<ReleasesVerb>,
}

#[derive(Debug, Subcommand)]
enum ReleasesVerb {
    /// List releases, the newest last
    List(ListArgs),
    /// Create a release of a plan and start it; or start one that was created
    Start(StartArgs),
    /// Create a release of a plan without starting it
    Create(NewArgs),
    /// Show how a release stands
    Get {
        #[command(flatten)]
        which: Which,
        /// As the plan's document, with ticks, times and figures
        #[arg(long, conflicts_with = "json")]
        markdown: bool,
    },
    /// Watch a release live, until it ends: exit code 0 if it completed, 2 if it ended otherwise
    Watch(Which),
    /// Say yes where a release waits for it: your word replaces missing evidence
    Approve(DecisionArgs),
    /// Take the next step by force, whatever is missing; needs a reason
    Advance(DecisionArgs),
    /// Stop where it is; triggers are judged all the same
    Pause(CommandArgs),
    /// Go on after a pause
    Resume(CommandArgs),
    /// Turn back, now: what stood before the release is served again
    Rollback(CommandArgs),
    /// Call a release off before its first step
    Cancel(CommandArgs),
    /// Tick items of the checklist; without any, list them
    Tick(TickArgs),
    /// Tell what happened, and on what evidence
    Timeline(Which),
    /// Print the report, as Markdown or with --json
    Report {
        #[command(flatten)]
        which: Which,
        /// As Markdown, which it is anyway unless --json is given
        #[arg(long, conflicts_with = "json")]
        markdown: bool,
    },
}

/// Which release.
#[derive(Debug, Args)]
struct Which {
    /// A release such as DP-123-checkout-1; or its plan's key, for the newest
    release: String,
}

#[derive(Debug, Default, Args)]
struct ListArgs {
    /// Only of this plan
    #[arg(long, value_name = "KEY")]
    plan: Option<String>,
    /// Only of this flag
    #[arg(long, value_name = "KEY")]
    flag: Option<String>,
    /// Only those that have not ended
    #[arg(long)]
    live: bool,
}

/// What is said with a command.
#[derive(Debug, Default, Args)]
struct Saying {
    /// Why; it stands in the timeline
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Past what may be passed: open boxes, the calendar, a freeze
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
struct NewArgs {
    /// The plan's key
    plan: String,
    /// When it starts by itself, such as 2026-12-01T09:00:00+01:00
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// The percentage of the step to begin with, such as 10; the first step unless given
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    from: Option<Number>,
    /// Divide bakes by so much, to try a plan out; not where protected
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    time_scale: Option<u32>,
    #[command(flatten)]
    saying: Saying,
}

#[derive(Debug, Args)]
struct StartArgs {
    #[command(flatten)]
    new: NewArgs,
    /// Watch it until it ends
    #[arg(long)]
    watch: bool,
}

#[derive(Debug, Args)]
struct CommandArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    saying: Saying,
}

#[derive(Debug, Args)]
struct DecisionArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    saying: Saying,
    /// Do not ask again
    #[arg(long, short)]
    yes: bool,
}

#[derive(Debug, Args)]
struct TickArgs {
    #[command(flatten)]
    which: Which,
    /// The item's id, or a part of its text that no other item has
    item: Vec<String>,
    /// Take the tick away
    #[arg(long)]
    undo: bool,
}

impl Saying {
    fn query(&self) -> Query {
        Query::default().with_some("reason", self.reason.as_deref()).with_flag("force", self.force)
    }
}

/// A body without members.
fn nothing() -> Value {
    Value::Object(serde_json::Map::new())
}

pub(super) fn releases(args: &ReleasesArgs) -> Result<Said, Failure> {
    let target = &args.target;
    match &args.verb {
        None => show::list(target, &ListArgs::default()),
        Some(ReleasesVerb::List(args)) => show::list(target, args),
        Some(ReleasesVerb::Start(args)) => starts::start(target, args),
        Some(ReleasesVerb::Create(args)) => starts::create(target, args),
        Some(ReleasesVerb::Get { which, markdown }) => show::get(target, &which.release, *markdown),
        Some(ReleasesVerb::Watch(which)) => watch::watch(target, &which.release),
        Some(ReleasesVerb::Approve(args)) => decisions::approve(target, args),
        Some(ReleasesVerb::Advance(args)) => decisions::advance(target, args),
        Some(ReleasesVerb::Pause(args)) => commands::pause(target, args),
        Some(ReleasesVerb::Resume(args)) => commands::resume(target, args),
        Some(ReleasesVerb::Rollback(args)) => commands::rollback(target, args),
        Some(ReleasesVerb::Cancel(args)) => commands::cancel(target, args),
        Some(ReleasesVerb::Tick(args)) => checklist::tick(target, args),
        Some(ReleasesVerb::Timeline(which)) => show::timeline(target, &which.release),
        Some(ReleasesVerb::Report { which, .. }) => show::report(target, &which.release),
    }
}
