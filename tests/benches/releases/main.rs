//! Releases: what they cost an application, the service, and whoever waits for a rollback:
//! `cargo bench -p storyflag-tests --bench releases`.
//!
//! `-- triggers`, `-- scheduler`, `-- rollback` or `-- layer` measures only that. Costs are processor time, so that a busy
//! machine matters little; the time to a rollback is the clock's, and a busy machine's is longer.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a benchmark, not a library"
)]

mod layer;
mod metered;
mod plans;
mod rollback;
mod scheduler;
mod triggers;

use tokio::runtime::{Builder, Runtime};

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|part| part == name);
    println!("{:<52} {:>10} {:>10} {:<6}", "", "measured", "goal", "");
    let mut good = true;
    if wanted("triggers") {
        good &= triggers::measure();
    }
    if wanted("layer") {
        good &= layer::measure(&Runtime::new().unwrap());
    }
    if wanted("scheduler") {
        // On one thread, with the database's beside it: nothing else runs while it is measured.
        good &= Builder::new_current_thread().enable_all().build().unwrap().block_on(scheduler::measure(1_000));
    }
    if wanted("rollback") {
        good &= Runtime::new().unwrap().block_on(rollback::measure(40));
    }
    println!("{}", if good { "every goal is met" } else { "NOT every goal is met" });
}

/// One line: a figure beside its goal.
fn line(name: &str, measured: f64, goal: f64, unit: &str) -> bool {
    let good = measured <= goal;
    println!("{name:<52} {measured:>10.2} {goal:>10.2} {unit:<6} {}", if good { "ok" } else { "OVER" });
    good
}

/// One line without a goal: what a figure is made of, or measured against.
fn part(name: &str, measured: f64, unit: &str) {
    println!("  {name:<50} {measured:>10.2} {:>10} {unit}", "");
}

/// The value below which so many of a hundred lie.
fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() * percent / 100).min(values.len() - 1)]
}
