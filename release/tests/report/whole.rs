//! Whole releases: what their reports say.

use std::{fs, path::Path};

use storyflag_release::{
    machine::CommandKind,
    plan::{Media, write_back},
    report::{NoteKind, Units, figures},
};

use super::{
    readable::readable,
    stage::{Rates, Stage, plan},
};

pub(crate) const YAML: &str = include_str!("../../testdata/checkout.yaml");
pub(crate) const MARKDOWN: &str = include_str!("../../testdata/checkout.md");

/// Compares with the file; `STORYFLAG_UPDATE=1` writes it.
fn same_as(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/report").join(name);
    if std::env::var_os("STORYFLAG_UPDATE").is_some() {
        fs::write(&path, text).unwrap();
    }
    let known = fs::read_to_string(&path).unwrap_or_default();
    if let Some(line) = known.lines().zip(text.lines()).position(|(known, now)| known != now) {
        let (known, now) = (known.lines().nth(line).unwrap(), text.lines().nth(line).unwrap());
        panic!(
            "{name}, line {}:\n  was {known}\n  is  {now}\nSTORYFLAG_UPDATE=1 cargo test -p storyflag-release --test report writes it",
            line + 1
        );
    }
    assert!(known == text, "{name} has other lines at its end; STORYFLAG_UPDATE=1 cargo test -p storyflag-release --test report writes it");
}

/// Its start boxes ticked and its first step taken.
fn started() -> Stage {
    let mut stage = Stage::new(plan(Media::Yaml, YAML));
    stage.windows(60);
    stage.tick(0);
    stage.tick(1);
    stage.ask("mia", CommandKind::Start { from: None }, "");
    stage
}

/// Held for want of data, paused, and turned back at 10 % with 12 % of errors.
pub(crate) fn rolled_back() -> Stage {
    let mut stage = started();
    stage.windows(30);
    let healthy = std::mem::take(&mut stage.health);
    stage.windows(50);
    stage.health = healthy;
    stage.until(2_000, |stage| stage.told.state.step == 1);
    stage.windows(60);
    stage.note(NoteKind::Change, "tom", "override for qa-7 added | see\nthe ticket");
    stage.ask("tom", CommandKind::Pause, "lunch");
    stage.windows(300);
    stage.ask("tom", CommandKind::Resume, "");
    stage.treatment.slow = 0.95;
    stage.windows(600);
    stage.treatment.slow = 0.01;
    stage.until(9_000, |stage| stage.told.state.step == 2);
    stage.windows(100);
    stage.treatment = Rates { error: 0.12, slow: 0.01 };
    stage.health.behind = 1;
    stage.until(2_000, |stage| stage.phase() == "rolling back");
    stage.treatment.error = 0.0005;
    stage.windows(1);
    stage.health.behind = 0;
    stage.until(100, |stage| stage.told.state.has_ended());
    stage
}

fn completed() -> Stage {
    let mut stage = started();
    stage.until(60_000, |stage| stage.told.state.has_ended());
    stage.told.units = Units { exposed: Some(200_180), treatment: Some(200_010), control: Some(199_800), cohort: Some(200) };
    stage.tick(2);
    stage
}

#[test]
fn a_rolled_back_release_tells_why_at_once() {
    let stage = rolled_back();
    let report = stage.report();
    assert!(report.outcome.starts_with("rolled back at 10 % (step 3 of 5) after "), "{}", report.outcome);
    assert!(report.outcome.contains("error"), "{}", report.outcome);
    assert!(report.summary().starts_with("DP-123-checkout-1: rolled back"));
    let rollback = report.rollback.as_ref().unwrap();
    assert_eq!((rollback.cause, rollback.verified, rollback.within_plan, rollback.planned_ms), ("trigger", Some(true), Some(true), 60_000));
    assert_eq!(
        report.steps.iter().map(|step| step.ended.as_str()).collect::<Vec<_>>(),
        ["next step", "next step", "rolled back", "not taken", "not taken"]
    );
    assert_eq!(
        report.holds.iter().map(|held| held.state.as_str()).collect::<Vec<_>>(),
        ["holding: no data", "paused", "awaiting the calendar"]
    );
    assert_eq!(report.incidents.iter().map(|incident| incident.kind).collect::<Vec<_>>(), ["alert", "alert", "rollback"]);
    assert_eq!((report.targets.verdict, report.targets.targets[0].verdict), (None, None), "only judged at the end");
    let errors = report.steps[2].comparisons.iter().find(|comparison| comparison.measure == "error").unwrap();
    assert!(errors.says == "higher" && errors.low > 1.0 && errors.high.unwrap() < 300.0, "{errors:?}");
    assert_eq!(report.open, ["Feature deployed to production", "User feedback positive"]);
    assert_eq!(report.runbook.0.len(), 2);
    same_as("rolled_back.md", &report.markdown());

    let json = serde_json::to_value(&report).unwrap();
    let at = |path: &str| json.pointer(path).unwrap_or_else(|| panic!("{path}")).clone();
    assert_eq!((at("/phase"), at("/started_at")), ("rolled_back".into(), "2026-11-23T09:02:00Z".into()));
    assert_eq!((at("/rollback/took_ms"), at("/rollback/planned_ms")), (4_000.into(), 60_000.into()));
    assert_eq!((at("/steps/2/revision"), at("/steps/2/bake/healthy_ms"), at("/steps/3/taken_at")), (814.into(), 202_000.into(), ().into()));
    assert_eq!((at("/steps/2/arms/0/arm"), at("/steps/2/arms/0/error_rate/count")), ("treatment".into(), 64.into()));
    assert_eq!((at("/steps/2/arms/0/slow/200/of"), at("/steps/2/arms/1/latency_ms/p95/value")), (40_400.into(), 83.967.into()));
    assert_eq!((at("/timeline/0/kind"), at("/timeline/0/number"), at("/checklist/0/by")), ("transition".into(), 1.into(), "mia".into()));
}

#[test]
fn a_completed_release_says_what_is_proven() {
    let report = completed().report();
    assert_eq!(report.targets.verdict, Some("met"));
    assert!(
        report.outcome.starts_with("completed at 100 % (step 5 of 5) after 9 d 23 h") && report.outcome.ends_with("targets met"),
        "{}",
        report.outcome
    );
    assert_eq!((report.open.as_slice(), report.runbook.0.len()), (["User feedback positive".to_owned()].as_slice(), 0));
    assert_eq!((report.units.exposed.units, report.units.exposed.at_least), (Some(200_180), false));
    assert!(report.events[0].treatment.per_unit.is_some() && report.events[0].treatment.value_sum.is_some());
    // Nobody is out of it at the last step.
    let last = &report.steps[4];
    assert!(last.comparisons.is_empty() && last.arms.iter().all(|figures| figures.arm != "control"));
    same_as("completed.md", &report.markdown());
}

#[test]
fn an_empty_release_is_told_in_words() {
    let mut stage = Stage::new(plan(Media::Yaml, YAML));
    let report = stage.report();
    assert_eq!(report.outcome, "scheduled: it starts when somebody says so");
    assert_eq!((report.started_at, report.took_ms, report.timeline.len()), (None, None, 0));
    assert!(report.markdown().contains("Nothing has happened.") && report.markdown().contains("Nothing: no step was taken."));
    readable(&report);
    stage.ask("mia", CommandKind::Cancel, "not today");
    assert_eq!(stage.report().outcome, "cancelled before the first step by mia: not today");
}

#[test]
fn an_empty_control_and_thin_evidence_claim_nothing() {
    let text = "plan: DP-9-small\nflag: US-9-small\napproach: feature_flag\nsteps: [{percentage: 100, bake: 1m}]\n\
                targets: [\"error_rate < 1%\"]\ntriggers: [\"error_rate > 5%\"]\n";
    let mut stage = Stage::new(plan(Media::Yaml, text));
    stage.requests = 1;
    stage.told.course.thin_evidence_ms = 60_000;
    stage.ask("mia", CommandKind::Start { from: None }, "");
    stage.until(100, |stage| stage.phase() == "awaiting approval: thin evidence");
    stage.ask("mia", CommandKind::Approve, "nobody comes at night (really)");
    stage.until(10, |stage| stage.told.state.has_ended());
    let report = stage.report();
    assert_eq!(report.targets.verdict, Some("not proven"));
    assert!(report.outcome.ends_with("targets not proven"), "{}", report.outcome);
    let approved = &report.approvals[0];
    assert_eq!(
        (approved.what, approved.by.as_str(), approved.reason.as_deref()),
        ("thin evidence", "mia", Some("nobody comes at night (really)"))
    );
    assert!(report.markdown().contains("| no requests | no control |"), "{}", report.markdown());
}

#[test]
fn what_is_forced_superseded_or_killed_is_named() {
    let mut stage = started();
    stage.windows(10);
    stage.ask("tom", CommandKind::Advance, "demo");
    stage.windows(10);
    let report = stage.report();
    assert_eq!((report.steps[0].ended.as_str(), report.steps[0].bake.healthy_ms), ("advanced by force", None));
    let forced = &report.approvals[0];
    assert_eq!((forced.what, forced.step, forced.reason.as_deref()), ("advanced by force", 1, Some("demo")));
    assert_eq!(report.outcome, "running at 1 % (step 2 of 5) for 20 s: baking");

    stage.kill("ana");
    stage.until(100, |stage| stage.told.state.has_ended());
    let report = stage.report();
    assert_eq!(report.outcome, "rolled back at 1 % (step 2 of 5) after 22 s: killed by ana; verified after 4 s");
    let (incident, rollback) = (&report.incidents[0], report.rollback.unwrap());
    assert_eq!((incident.kind, incident.by.as_deref(), rollback.cause, rollback.trigger), ("kill", Some("ana"), "kill", None));

    let mut stage = started();
    stage.windows(10);
    stage.take_over("ana");
    stage.windows(1);
    let report = stage.report();
    assert_eq!(report.outcome, "superseded at 0.1 % (step 1 of 5) after 22 s: ana took over, and the flag is no longer watched");
    assert_eq!((report.incidents[0].kind, report.steps[0].ended.as_str(), report.rollback), ("superseded", "superseded", None));
}

#[test]
fn the_document_is_written_back_once_and_for_all() {
    let mut stage = Stage::new(plan(Media::Markdown, MARKDOWN));
    (0..10).for_each(|item| stage.tick(item));
    stage.ask("mia", CommandKind::Start { from: None }, "");
    stage.until(5_000, |stage| stage.told.state.step == 1);
    stage.windows(30);
    let progress = figures(&stage.told);
    assert_eq!((progress.ticks.len(), progress.steps.len()), (10, 2));
    assert!(progress.steps[0].figures.contains(" requests, error rate 0"), "{}", progress.steps[0].figures);
    assert_eq!(progress.steps[1].to, None);
    let once = write_back(MARKDOWN, &progress);
    assert!(once != MARKDOWN && once.contains("- [x] All tests passing in CI/CD *(mia, 2026-11-23 10:00)*"), "{once}");
    assert_eq!(write_back(&once, &progress), once);
    stage.windows(30);
    let later = figures(&stage.told);
    assert_eq!(write_back(&once, &later), write_back(MARKDOWN, &later));
}
