//! What a second costs: printed, and held to a bound loose enough for a shared machine.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::cast_precision_loss, reason = "tests")]

use std::{hint::black_box, time::Instant};

use storyflag_evaluation::Percentage;
use storyflag_release::evidence::{ArmCounts, Direction, Event, EventCounts, Evidence, Second, Share, Test, Trigger};

#[test]
fn a_trigger_costs_about_a_microsecond_a_second_at_most() {
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
    let (mut evidence, started, seconds) = (Evidence::default(), Instant::now(), 200_000_u32);
    for _ in 0..seconds {
        evidence.take(black_box(&second), &triggers, 1_800);
    }
    let ns = started.elapsed().as_nanos() as f64 / f64::from(seconds) / triggers.len() as f64;
    println!("{ns:.0} ns per trigger and second, counting included");
    assert!(ns < 5_000.0, "{ns}");
}
