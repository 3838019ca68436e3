//! Any counts, from any release.

use std::collections::BTreeMap;

use storyflag_evaluation::Arm;
use storyflag_release::{
    evidence::{ArmCounts, EventCounts},
    machine::{Always, Profile, Rehearsal, SplitMix, State, Trouble, rehearse},
    plan::{Media, write_back},
    report::{ArmSums, Note, NoteKind, Report, Told, Transition, figures},
};

use super::{
    readable::{headings_and_cells, readable},
    stage::{START_MS, Stage, plan},
    whole::{MARKDOWN, YAML},
};

/// Counts that fit nothing, in any number.
fn any_sums(random: &mut SplitMix, revision: u64, arm: Arm) -> ArmSums {
    let mut any = |most: u64| match random.draw() % 4 {
        0 => 0,
        1 => random.draw() % 10,
        2 => random.draw() % most.max(1),
        _ => u64::MAX - random.draw() % 3,
    };
    let mut event = || EventCounts { count: any(1_000), at_risk: any(1_000), first: any(1_000), ..EventCounts::default() };
    let (errors, not_success, slow, named) = (event(), event(), event(), event());
    let mut sums = ArmSums::new(revision, arm);
    sums.counts = ArmCounts {
        reporters: Vec::new(),
        requests: any(10_000),
        success: any(10_000),
        failure: any(100),
        error: any(100),
        cancelled: any(100),
        mixed: any(100),
        new_units: any(100),
        errors,
        not_success,
        slow: BTreeMap::from([(1_000, slow)]),
        named: BTreeMap::from([("purchase".to_owned(), named)]),
    };
    let values = [f64::NAN, f64::INFINITY, f64::MAX, -1e-300, 12.5];
    sums.values = BTreeMap::from([("purchase".to_owned(), values[(any(100) % 5) as usize])]);
    sums.latency_us = (0..any(100) % 7).map(|_| (any(60_000_000), any(1_000))).collect();
    sums.units = (any(2) == 0).then(|| any(1_000_000));
    sums.seen_ms = Some((any(100) as i64, i64::MAX));
    sums
}

/// A rehearsal as a service would tell it.
fn rehearsed(seed: u64) -> Told {
    let mut random = SplitMix(seed);
    let mut stage = Stage::new(plan(Media::Yaml, YAML));
    for step in &mut stage.told.course.steps {
        (step.bake_ms, step.overnight, step.not_before_ms) = (60_000, false, None);
    }
    let trouble = Trouble { from_ms: (random.draw() % 200_000) as i64, error_rate: 0.2, ..Trouble::default() };
    let profile = Profile { requests_per_s: 400.0, trouble: seed.is_multiple_of(2).then_some(trouble), ..Profile::default() };
    let played: Rehearsal = rehearse(&stage.told.course, &profile, &Always, START_MS, &mut || random.draw());
    let mut told = stage.told;
    told.state = played.state;
    told.transitions = played
        .records
        .into_iter()
        .map(|record| Transition { revision: (record.to == "baking").then_some(record.number), record })
        .collect();
    if seed % 7 == 3 {
        told.state.step = usize::MAX;
        told.state.bake_ms = i64::MIN;
        told.state.started_ms = Some(i64::MIN);
        told.now_ms = i64::MAX;
    }
    if seed % 11 == 4 {
        told.state = State::scheduled(Some(i64::MAX));
    }
    for revision in told.transitions.iter().filter_map(|transition| transition.revision).collect::<Vec<_>>() {
        for arm in [Arm::Treatment, Arm::Control, Arm::Cohort, Arm::Outside] {
            if random.draw().is_multiple_of(3) {
                continue;
            }
            told.sums.push(any_sums(&mut random, revision, arm));
        }
    }
    told.notes.push(Note { kind: NoteKind::Alert, at_ms: i64::MIN, actor: None, text: "alert high_error_rate opened (x)".into() });
    told
}

#[test]
fn any_counts_give_a_report_that_can_be_read() {
    for seed in 0..150 {
        let told = rehearsed(seed);
        let report = Report::of(&told);
        readable(&report);
        assert_eq!(report, Report::of(&told), "seed {seed}");
        headings_and_cells(&report.markdown());
        let written = write_back(MARKDOWN, &figures(&told));
        assert_eq!(write_back(&written, &figures(&told)), written, "seed {seed}");
    }
}
