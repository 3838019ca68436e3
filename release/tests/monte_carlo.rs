//! Releases by the thousand, on fixed seeds: how seldom a healthy one is turned back, how soon a broken one is.
//!
//! A window is 2 s of the machine's time with 2.5 times the traffic, in bakes of two fifths: windows of 5 s, which a
//! machine that adds at most 2 s to a bake would otherwise take two and a half times as long to see.
//! `STORYFLAG_RELEASES=40000` plays more healthy releases than the 2,000 that every run does.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "tests"
)]

use std::{ops::Range, time::Instant};

use storyflag_evaluation::Percentage;
use storyflag_release::evidence::{
    ArmCounts, Detector, Direction, Event, EventCounts, Evidence, Second, Share, Test, Trigger, Verdict, share_factors,
};
use storyflag_release::machine::{Always, Cause, Course, Phase, Profile, Rehearsal, SplitMix, Step, Trouble, rehearse};

fn percent(percent: f64) -> Percentage {
    Percentage::from_percent(percent).unwrap()
}

fn trigger(name: &str, test: Test) -> Trigger {
    Trigger { name: name.into(), test, unless_control_fails: false }
}

fn absolute() -> Vec<Trigger> {
    let limit = percent(5.0);
    vec![
        trigger("error_rate > 5%", Test::Absolute { share: Share::Error, limit }),
        trigger("p95_latency > 1000ms", Test::Absolute { share: Share::Slow { limit_ms: 1_000 }, limit }),
        trigger("success_rate < 95%", Test::Absolute { share: Share::NotSuccess, limit }),
    ]
}

fn relative() -> Vec<Trigger> {
    let test = |event| Test::Relative { event, bad: Direction::Above, ratio: 1.25 };
    vec![trigger("error_rate > 1.25x control", test(Event::Error)), trigger("slow > 1.25x control", test(Event::Slow { limit_ms: 1_000 }))]
}

/// 0.1 % for 15 min, 1 % for 1 h, 10 % for 4 h, 50 % for 8 h, 100 % for 1 h, in two fifths of the time.
fn course(triggers: Vec<Trigger>) -> Course {
    let steps = [(0.1, 15), (1.0, 60), (10.0, 240), (50.0, 480), (100.0, 60)];
    let steps = steps.map(|(percentage, minutes)| Step { percentage: percent(percentage), bake_ms: minutes * 24_000, ..Step::default() });
    Course { steps: steps.into(), triggers, rollback_time_ms: 60_000, thin_evidence_ms: 15 * 24_000, ..Course::default() }
}

fn profile(requests_per_s: f64) -> Profile {
    let wave_ms = 86_400_000 * 2 / 5;
    Profile { requests_per_s: requests_per_s * 2.5, wave_ms, failing_units: 0.005, ..Profile::default() }
}

fn play(course: &Course, profile: &Profile, seed: u64) -> Rehearsal {
    let mut generator = SplitMix(seed);
    rehearse(course, profile, &Always, 0, &mut || generator.draw())
}

fn cause(rehearsal: &Rehearsal) -> Option<&Cause> {
    match &rehearsal.state.phase {
        Phase::RolledBack { cause, .. } => Some(cause),
        _ => None,
    }
}

/// What healthy releases came to.
#[derive(Debug, Default)]
struct Healthy {
    evaluations: u64,
    turned_back: u64,
    unfair: u64,
    thin: u64,
}

impl Healthy {
    fn play(course: &Course, seeds: impl Iterator<Item = u64>) -> Self {
        let mut tally = Self::default();
        for seed in seeds {
            let requests_per_s = if seed.is_multiple_of(2) { 200.0 } else { 2_000.0 };
            let rehearsal = play(course, &profile(requests_per_s), seed);
            let went = |to: &str| rehearsal.records.iter().any(|record| record.to == to);
            tally.evaluations += rehearsal.evaluations;
            tally.unfair += u64::from(went("holding: sample ratio"));
            tally.thin += u64::from(went("awaiting approval: thin evidence"));
            if !matches!(rehearsal.state.phase, Phase::Completed { .. }) {
                tally.turned_back += 1;
                println!("seed {seed} at {requests_per_s}: {:?}", rehearsal.state.phase);
            }
            if (seed + 1).is_multiple_of(1_000) {
                println!("seed {} is over", seed + 1);
            }
        }
        tally
    }

    fn add(self, other: Self) -> Self {
        Self {
            evaluations: self.evaluations + other.evaluations,
            turned_back: self.turned_back + other.turned_back,
            unfair: self.unfair + other.unfair,
            thin: self.thin + other.thin,
        }
    }
}

/// The seeds to play: `40000` are those below it, `20000..40000` a part of them.
fn seeds() -> Range<u64> {
    let Ok(wanted) = std::env::var("STORYFLAG_RELEASES") else { return 0..2_000 };
    let (from, to) = wanted.split_once("..").unwrap_or(("0", &wanted));
    from.parse().unwrap()..to.parse().unwrap()
}

#[test]
fn healthy_releases_are_left_alone() {
    let (seeds, started) = (seeds(), Instant::now());
    let releases = seeds.end - seeds.start;
    let allowed = if releases > 2_000 { 14 * releases / 40_000 } else { 3 };
    let course = course([absolute(), relative()].concat());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let tally = std::thread::scope(|scope| {
        let share = |first| {
            scope.spawn({
                let (course, seeds) = (&course, seeds.clone());
                move || Healthy::play(course, seeds.skip(first).step_by(threads))
            })
        };
        let shares: Vec<_> = (0..threads).map(share).collect();
        shares.into_iter().map(|share| share.join().unwrap()).fold(Healthy::default(), Healthy::add)
    });
    let Healthy { evaluations, turned_back, unfair, thin } = tally;
    let ns = started.elapsed().as_nanos() as f64 * threads as f64 / evaluations as f64;
    println!("{turned_back} of {releases} healthy releases turned back; {ns:.0} ns per window with 5 triggers, drawing included");
    println!("{unfair} held by the sample ratio, {thin} waited for approval");
    // Four steps have a split, each with a chance of 1 in 1,000 to be called unfair.
    assert!(unfair * 100 <= releases, "{unfair} of {releases}");
    assert!(turned_back <= allowed, "{turned_back} of {releases}");
}

#[test]
fn a_tenth_of_units_failing_is_turned_back_every_time() {
    let course = course(absolute());
    for requests_per_s in [200.0, 2_000.0] {
        let trouble = Some(Trouble { failing_units: 0.1, ..Trouble::default() });
        let profile = Profile { trouble, failing_units: 0.0, ..profile(requests_per_s) };
        for seed in 0..100 {
            let rehearsal = play(&course, &profile, seed);
            let cause = cause(&rehearsal);
            let by_errors = matches!(cause, Some(Cause::Trigger { name, .. }) if name == "error_rate > 5%");
            assert!(by_errors && rehearsal.state.step <= 1, "{requests_per_s} {seed}: {:?}", rehearsal.state.phase);
        }
    }
}

/// Requests, or seconds, until a stream of windows fires; `second(n, random)` is the n-th.
fn until_fired(triggers: &[Trigger], horizon: u64, seed: u64, mut second: impl FnMut(u64, &mut dyn FnMut() -> u64) -> Second) -> u64 {
    let mut generator = SplitMix(seed.wrapping_mul(0x1234_5678_9abc_def1));
    let (mut evidence, mut windows) = (Evidence::default(), 0);
    loop {
        evidence.take(&second(windows, &mut || generator.draw()), triggers, horizon);
        windows += 1;
        if evidence.verdicts(triggers, 1).any(|(_, verdict)| matches!(verdict, Verdict::Fires(_))) || windows > 100_000 {
            return windows;
        }
    }
}

fn arm(requests: u64, errors: u64, unit: u64) -> ArmCounts {
    let units = (0..errors.min(8)).map(|error| unit * 8 + error).collect();
    let counts = EventCounts { count: errors, at_risk: requests, first: errors, units, instances: vec!["a".into()] };
    ArmCounts { requests, success: requests - errors, error: errors, errors: counts, ..ArmCounts::default() }
}

/// How many of `trials` hit: one by one.
fn hits(trials: u64, share: f64, random: &mut dyn FnMut() -> u64) -> u64 {
    (0..trials).map(|_| u64::from((random() >> 11) as f64 / 9_007_199_254_740_992.0 < share)).sum()
}

fn median_and_p95(mut times: Vec<u64>) -> (u64, u64) {
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() * 95 / 100])
}

#[test]
fn absolute_triggers_see_as_soon_as_the_table_says() {
    let triggers = &absolute()[..1];
    for (share, median, p95) in [(0.1, 425, 817), (0.2, 61, 138), (0.5, 11, 23), (1.0, 4, 4)] {
        let one = |seed| {
            until_fired(triggers, 1_800, seed, |window, random| Second {
                treatment: arm(1, hits(1, share, random), window),
                ..Second::default()
            })
        };
        let found = median_and_p95((0..1_000).map(one).collect());
        println!("share {share}: median {} (table {median}), p95 {} (table {p95})", found.0, found.1);
        assert!(found.0 * 100 <= median * 115 && found.1 * 100 <= p95 * 115, "{share}: {found:?}");
    }
}

#[test]
fn total_failure_after_a_healthy_hour_is_stopped_within_eight_requests() {
    let triggers = &absolute()[..1];
    let mut worst = 0;
    for seed in 0..200 {
        let windows = until_fired(triggers, 7_200, seed, |window, random| {
            let errors = if window < 3_600 { hits(1, 0.005, random) } else { 1 };
            Second { treatment: arm(1, errors, window), ..Second::default() }
        });
        worst = worst.max(windows - 3_600);
    }
    println!("worst {worst}");
    assert!(worst <= 8, "{worst}");
}

#[test]
fn relative_triggers_see_as_soon_as_the_table_says() {
    let triggers = &relative()[..1];
    // Treatment requests a second, base error rate, healthy seconds before; then seconds at the median and at 95 %.
    let rows = [
        (1, 0.005, 0, 148, 324),
        (10, 0.001, 0, 69, 157),
        (10, 0.005, 0, 15, 34),
        (10, 0.02, 0, 4, 9),
        (10, 0.005, 3_600, 26, 51),
        (100, 0.005, 3_600, 3, 6),
    ];
    for (requests, base, healthy, median, p95) in rows {
        let one = |seed| {
            let fired = until_fired(triggers, 1_800.max(healthy), seed, |window, random| {
                let share = if window < healthy { base } else { base * 10.0 };
                // The control's errors: a thousand times as many requests, so their mean is as good as they are.
                let control_requests = requests * 999;
                let expected = control_requests as f64 * base;
                let rest = hits(1, expected.fract(), random);
                let control = arm(control_requests, expected.floor() as u64 + rest, 0);
                Second { treatment: arm(requests, hits(requests, share, random), window), control, ..Second::default() }
            });
            fired.saturating_sub(healthy)
        };
        let found = median_and_p95((0..300).map(one).collect());
        println!("{requests}/s, base {base}, after {healthy} s: median {} (table {median}), p95 {} (table {p95})", found.0, found.1);
        // The table counts whole windows: a second more is rounding.
        assert!(found.0 * 100 <= median * 115 + 100 && found.1 * 100 <= p95 * 115 + 100, "{requests} {base} {healthy}: {found:?}");
    }
}

#[test]
fn an_alert_at_its_edge_is_seldom_wrong_and_soon_right() {
    let mut generator = SplitMix(3);
    let mut random = || generator.draw();
    let (mut false_alarms, seconds) = (0, 3_000_000_u64);
    let mut detector = Detector::default();
    for _ in 0..seconds {
        let factors = share_factors(hits(10, 0.01, &mut random), 10, 0.01, Direction::Above);
        if detector.take(&factors).is_some() {
            false_alarms += 1;
            detector = Detector::default();
        }
    }
    println!("{false_alarms} false alarms in {seconds} s at the edge");
    assert!(false_alarms <= 3, "{false_alarms}");
    // Requests a second, the share that errors jump to, and the table's median seconds.
    for (requests, share, median) in [(10, 0.03, 105), (10, 0.1, 15), (100, 0.03, 15), (100, 0.1, 5)] {
        let delay = |_| {
            let mut detector = Detector::default();
            (1..100_000)
                .find(|_| detector.take(&share_factors(hits(requests, share, &mut random), requests, 0.01, Direction::Above)).is_some())
                .unwrap()
        };
        let found = median_and_p95((0..1_000).map(delay).collect());
        println!("alert at 1 %, {requests}/s, jump to {share}: median {} s (table {median} s), p95 {} s", found.0, found.1);
        // The table counts whole windows of 5 s: one second more is rounding.
        assert!(found.0 * 100 <= median * 115 + 100, "{requests} {share}: {found:?}");
    }
}

#[test]
fn at_the_very_edge_a_trigger_keeps_its_word() {
    // Exactly 5 % of errors, and exactly 1.25 times the control's: the worst that is still allowed.
    let (mut absolutely, mut relatively) = (0, 0);
    for seed in 0..3_000 {
        let fires = |triggers: &[Trigger], second: &mut dyn FnMut(&mut dyn FnMut() -> u64) -> Second| {
            let mut generator = SplitMix(seed * 7_919);
            let mut evidence = Evidence::default();
            (0..1_000).any(|_| {
                evidence.take(&second(&mut || generator.draw()), triggers, 1_000);
                evidence.verdicts(triggers, 1).any(|(_, verdict)| matches!(verdict, Verdict::Fires(_)))
            })
        };
        let mut window = 0;
        absolutely += u64::from(fires(&absolute()[..1], &mut |random| {
            window += 1;
            Second { treatment: arm(5, hits(5, 0.05, random), window), ..Second::default() }
        }));
        relatively += u64::from(fires(&relative()[..1], &mut |random| {
            let treatment = arm(5, hits(5, 0.025, random), 0);
            Second { treatment, control: arm(20, hits(20, 0.02, random), 0), ..Second::default() }
        }));
    }
    println!("at the edge: {absolutely} and {relatively} of 3,000 fired");
    // 3 are expected at most; 9 or more come about once in 260 such runs, and the seeds are fixed.
    assert!(absolutely <= 8 && relatively <= 8, "{absolutely} {relatively}");
}
