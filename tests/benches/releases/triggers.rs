//! What one trigger costs a second of a release.

use std::hint::black_box;

use cpu_time::ThreadTime;
use storyflag_evaluation::Percentage;
use storyflag_release::evidence::{ArmCounts, Direction, Event, EventCounts, Evidence, Second, Share, Test, Trigger};

use crate::{line, percentile};

const SECONDS: u32 = 20_000;
const TURNS: usize = 31;

/// The three triggers of a plan that names one rate, over seconds with errors in both arms; counting is in it.
pub fn measure() -> bool {
    let limit = Percentage::from_percent(5.0).unwrap();
    let tests = [
        Test::Absolute { share: Share::Error, limit },
        Test::Absolute { share: Share::NotSuccess, limit },
        Test::Relative { event: Event::Error, bad: Direction::Above, ratio: 1.25 },
    ];
    let triggers: Vec<_> = tests.into_iter().map(|test| Trigger { name: "a".into(), test, unless_control_fails: false }).collect();
    let errors = EventCounts { count: 1, at_risk: 95, first: 1, units: vec![1], instances: vec!["a".into()] };
    let arm = ArmCounts { requests: 100, success: 99, error: 1, errors, ..ArmCounts::default() };
    let second = Second { treatment: arm.clone(), control: arm, ..Second::default() };
    let mut turns: Vec<f64> = (0..TURNS).map(|_| turn(&second, &triggers)).collect();
    line("a trigger's second, counting included", percentile(&mut turns, 50), 1.0, "us")
}

/// Microseconds for each trigger and second.
fn turn(second: &Second, triggers: &[Trigger]) -> f64 {
    let (mut evidence, started) = (Evidence::default(), ThreadTime::now());
    for _ in 0..SECONDS {
        evidence.take(black_box(second), triggers, 1_800);
    }
    black_box(&evidence);
    started.elapsed().as_secs_f64() * 1e6 / f64::from(SECONDS) / triggers.len() as f64
}
