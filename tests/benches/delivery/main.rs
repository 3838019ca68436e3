//! Delivery, each figure beside a bare axum that sends the same bytes: `cargo bench -p storyflag-tests --bench delivery`.
//!
//! `-- fan_out`, `-- idle` or `-- reads` measures only that. Only ratios count. The service runs in a process of its own (this program, called again), and so does the floor.
//! Everything stays on loopback and is bounded in count.

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

mod fan_out;
mod floor;
mod idle;
mod process;
mod reads;

use process::Kind;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--bench")).collect();
    if let [verb, kind] = arguments.as_slice()
        && verb == "serve"
    {
        return process::serve(Kind::named(kind));
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let good = runtime.block_on(async {
        println!("{:<44} {:>10} {:>10} {:<6} {:>7} {:>7}", "", "ours", "floor", "", "ratio", "goal");
        let wanted = |name: &str| arguments.is_empty() || arguments.iter().any(|argument| argument == name);
        let mut good = true;
        if wanted("fan_out") {
            good &= fan_out::measure(1, 200).await;
            good &= fan_out::measure(1_000, 40).await;
        }
        if wanted("idle") {
            good &= idle::measure(1_000).await;
        }
        if wanted("reads") {
            good &= reads::measure(4_000).await;
        }
        good
    });
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
