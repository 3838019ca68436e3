//! Telemetry, beside a bare axum that parses the same message and drops it: `cargo bench -p storyflag-tests --bench telemetry`.
//!
//! Only ratios count. The service runs in a process of its own (this program, called again), and so does the floor. What is
//! measured is the processor time that each takes for a message: in a second, one core takes so many.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a benchmark, not a library"
)]

mod floor;
mod intake;
mod messages;
#[path = "../delivery/process.rs"]
mod process;
mod watched;

use process::Kind;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--bench")).collect();
    if let [verb, kind] = arguments.as_slice()
        && verb == "serve"
    {
        return process::serve(Kind::named(kind));
    }
    let messages = arguments.first().and_then(|count| count.parse().ok()).unwrap_or(20_000);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    println!("{:<44} {:>10} {:>10} {:<6} {:>7} {:>7}", "", "ours", "floor", "", "ratio", "goal");
    let good = runtime.block_on(intake::measure(messages));
    println!("{}", if good { "every goal is met" } else { "NOT every goal is met" });
}

/// One line: ours beside the floor.
fn line(name: &str, unit: &str, ours: f64, floor: f64, ratio: f64, goal: f64) -> bool {
    let good = ratio <= goal;
    let verdict = if good { "ok" } else { "OVER" };
    println!("{name:<44} {ours:>10.1} {floor:>10.1} {unit:<6} {ratio:>6.2}x {goal:>6.2}x  {verdict}");
    good
}

/// The middle one.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
