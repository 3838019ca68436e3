//! Before a start: what each step can see, and how it would go.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "tests")]

use std::time::Instant;

use proptest::prelude::*;
use storyflag_evaluation::Percentage;
use storyflag_release::evidence::{Direction, Event, Share, Test, Trigger};
use storyflag_release::machine::{Always, Course, Phase, Profile, Rehearsal, SplitMix, Step, Traffic, Trouble, predict, rehearse};

fn course() -> Course {
    let steps = [(0.1, 15), (1.0, 60), (10.0, 240)];
    let steps = steps.map(|(percent, minutes)| Step {
        percentage: Percentage::from_percent(percent).unwrap(),
        bake_ms: minutes * 60_000,
        ..Step::default()
    });
    let limit = Percentage::from_percent(5.0).unwrap();
    let tests = [
        ("error_rate > 5%", Test::Absolute { share: Share::Error, limit }),
        ("error_rate > 1.25x control", Test::Relative { event: Event::Error, bad: Direction::Above, ratio: 1.25 }),
    ];
    let triggers = tests.map(|(name, test)| Trigger { name: name.into(), test, unless_control_fails: false });
    Course { steps: steps.into(), triggers: triggers.into(), rollback_time_ms: 60_000, thin_evidence_ms: 900_000, ..Course::default() }
}

fn play(profile: &Profile, seed: u64) -> Rehearsal {
    let mut generator = SplitMix(seed);
    rehearse(&course(), profile, &Always, 1_800_000_000_000, &mut || generator.draw())
}

#[test]
fn a_prediction_is_about_what_happens() {
    let traffic = Traffic { requests_per_s: 10_000.0, cohort_requests_per_s: 0.0, error_rate: 0.005 };
    let predicted = predict(&course(), &traffic);
    let spike_s = predicted[0].spike_ms.unwrap() / 1_000;
    assert!((10..=20).contains(&spike_s), "{predicted:?}");
    assert!(predicted[0].total_failure_ms.unwrap() <= 1_000 && predicted[0].warning.is_none(), "{predicted:?}");

    let trouble = Some(Trouble { from_ms: 0, error_rate: 0.045, ..Trouble::default() });
    let profile = Profile { requests_per_s: 10_000.0, wave: 0.0, trouble, ..Profile::default() };
    let mut took_s: Vec<_> = (0..41).map(|seed| play(&profile, seed).records[1].at_ms - 1_800_000_000_000).collect();
    took_s.sort_unstable();
    let median_s = took_s[20] / 1_000;
    println!("10x spike at 10 treatment requests a second: predicted {spike_s} s, median {median_s} s");
    assert!(median_s <= 2 * spike_s && spike_s <= 2 * median_s.max(1));
}

#[test]
fn a_small_step_is_warned_of() {
    let traffic = |requests_per_s| Traffic { requests_per_s, cohort_requests_per_s: 0.0, error_rate: 0.005 };
    let warning = |requests_per_s| predict(&course(), &traffic(requests_per_s))[0].warning.clone().unwrap();
    assert!(warning(1.0).contains("even a total failure"), "{}", warning(1.0));
    assert!(warning(50.0).contains("wait for approval"), "{}", warning(50.0));
    assert!(warning(150.0).contains("ten times"), "{}", warning(150.0));
    assert!(predict(&course(), &traffic(0.0))[0].spike_ms.is_none());
    let cohort = Traffic { cohort_requests_per_s: 10.0, ..traffic(1.0) };
    assert!(predict(&course(), &cohort)[0].total_failure_ms.unwrap() < 2_000);
}

#[test]
fn the_same_seed_gives_the_same_rehearsal_in_milliseconds() {
    let started = Instant::now();
    let first = play(&Profile::default(), 7);
    println!("{} evaluations in {:?}", first.evaluations, started.elapsed());
    assert_eq!(first, play(&Profile::default(), 7));
    assert!(matches!(first.state.phase, Phase::Completed { .. }), "{:?}", first.state.phase);
    assert_eq!(first.evaluations / 1_000, first.took_ms.unsigned_abs() / 2_000_000);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    #[test]
    fn any_profile_is_played_and_any_traffic_predicted(a: f64, b: f64, c: f64, units: u64, wave_ms: i64, from_ms: i64) {
        let mut course = course();
        for step in &mut course.steps {
            step.bake_ms = 20_000;
        }
        course.thin_evidence_ms = 20_000;
        let trouble = Some(Trouble { from_ms, error_rate: b, failing_units: c, slow_rate: a });
        let profile = Profile { requests_per_s: a, wave: b, wave_ms, units, error_rate: c, failing_units: a, slow_rate: b, trouble };
        let mut generator = SplitMix(units);
        let played = rehearse(&course, &profile, &Always, 0, &mut || generator.draw());
        prop_assert!(played.state.has_ended() || played.evaluations == 432_000);
        for prediction in predict(&course, &Traffic { requests_per_s: a, cohort_requests_per_s: b, error_rate: c }) {
            prop_assert!(prediction.spike_ms.is_none_or(|time_ms| time_ms >= 0));
        }
    }
}
