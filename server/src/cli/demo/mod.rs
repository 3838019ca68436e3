//! `storyflag demo`: a plan carries itself out, or a percentage is raised by hand, before your eyes.
//!
//! All of it is real: the service on a file of its own, a shop of two instances on the SDK, and every step over HTTP.
//! `release.rs` tells of a plan, with the shop of `checkout.rs`; `rollout.rs` of a percentage, with that of `shop.rs`.

mod checkout;
mod release;
mod rollout;
mod screen;
mod shop;
mod stage;

use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use self::{screen::Screen, stage::Stage};
use super::{Said, failure::Failure};

const FLAG: &str = "US-123-checkout";

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// What is told: a plan that carries itself out, turns back, and arrives; or a percentage that is raised by hand
    #[arg(value_enum, default_value_t = Story::Release)]
    story: Story,
    /// Of a release: how many checkouts the shop has in a second
    #[arg(long, default_value_t = 2_000, value_name = "N", value_parser = clap::value_parser!(u32).range(200..=50_000))]
    per_second: u32,
    /// Of a release: by what the bakes of its plan are divided
    #[arg(long, default_value_t = 1_800, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    time_scale: u32,
    /// Of a rollout: how many users the shop has
    #[arg(long, default_value_t = 100_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1000..=1_000_000))]
    users: u32,
    /// Of a rollout: how many milliseconds each step is watched
    #[arg(long, default_value_t = 2_000, value_name = "MS", value_parser = clap::value_parser!(u64).range(0..=60_000))]
    hold_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Story {
    Release,
    Rollout,
}

/// Ends by itself, or with ctrl-c; either way nothing is left behind.
pub(super) fn demo(args: &DemoArgs) -> Result<Said, Failure> {
    let failed = |error: std::io::Error| Failure::refused(error.to_string());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed)?;
    let outcome = runtime.block_on(async {
        // From here on a signal is waited for, so none can end the process before the stage is gone.
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut screen = Screen::of_stdout();
        let stage = Stage::start().await?;
        let outcome = tokio::select! {
            outcome = tell(args, &stage, &mut screen) => outcome,
            _ = interrupt.recv() => Ok("stopped\n".to_owned()),
            _ = terminate.recv() => Ok("stopped\n".to_owned()),
        };
        screen.wipe();
        stage.end().await;
        outcome.map(Said::out)
    });
    // A question that was under way may take its time; its answer is not wanted any more.
    runtime.shutdown_background();
    outcome
}

async fn tell(args: &DemoArgs, stage: &Stage, screen: &mut Screen) -> Result<String, Failure> {
    match args.story {
        Story::Release => release::play(args, stage).await,
        Story::Rollout => rollout::play(args, stage, screen).await,
    }
}
