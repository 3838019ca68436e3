//! From the start to the end.

use storyflag_release::machine::{Calendar, CheckItem, CommandKind, Gate, Phase, Target, Targets};

use super::play::*;

#[test]
fn steps_are_taken_when_baked_and_proven() {
    let mut course = course();
    course.steps[0].cohorts = vec!["internal".into()];
    course.steps[1].cohorts = vec!["beta".into()];
    course.targets =
        vec![Target { name: "error_rate < 0.1%".into(), share: storyflag_release::evidence::Share::Error, limit: percent(0.1) }];
    let mut play = Play::new(course);
    play.targeting.owned.cohorts = ["partners".to_owned()].into();
    play.ask(CommandKind::Start { from: None });
    play.seconds(59, 10, 0);
    assert_eq!(play.percentages(), [1.0]);
    play.seconds(1, 10, 0);
    assert_eq!(play.percentages(), [1.0, 10.0]);
    let cohorts: Vec<_> = play.writes[1].cohorts.iter().map(String::as_str).collect();
    assert_eq!(cohorts, ["beta", "internal", "partners"]);
    play.seconds(60, 200, 0);
    play.seconds(60, 200, 0);
    assert_eq!(play.state.phase, Phase::Completed { targets: Targets::Met });
    assert_eq!(play.records.iter().map(|record| record.number).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(play.records[3].evidence.contains("error_rate < 0.1% met (0 of 12,000)"), "{}", play.records[3].evidence);
    play.seconds(1_000, 200, 200);
    assert_eq!(play.percentages(), [1.0, 10.0, 100.0]);
}

#[test]
fn thin_evidence_waits_as_long_again_then_for_a_human() {
    let mut play = Play::started(course());
    // 60 requests in the bake prove nothing; 115 neither.
    play.seconds(60, 1, 0);
    assert_eq!(play.phase(), "holding: thin evidence");
    play.seconds(54, 1, 0);
    assert_eq!(play.percentages(), [1.0]);
    play.seconds(2, 1, 0);
    assert_eq!(play.percentages(), [1.0, 10.0]);
    play.seconds(179, 0, 0);
    assert_eq!(play.phase(), "holding: thin evidence");
    play.seconds(1, 0, 0);
    assert_eq!(play.phase(), "awaiting approval: thin evidence");
    assert_eq!(play.told("error_rate > 5%: 0 of 0 requests"), 2);
    play.seconds(1_000, 0, 0);
    assert_eq!(play.ask(CommandKind::Approve), Vec::<String>::new());
    play.seconds(1, 0, 0);
    assert_eq!(play.percentages(), [1.0, 10.0, 100.0]);
    assert_eq!(play.ask(CommandKind::Approve), ["the release is baking: nothing waits for approval"]);
}

#[test]
fn approval_comes_before_the_calendar() {
    struct Opens(i64);
    impl Calendar for Opens {
        fn next_allowed_ms(&self, at_ms: i64) -> i64 {
            if at_ms <= START_MS { at_ms } else { at_ms.max(self.0) }
        }
        fn night_ends_ms(&self, at_ms: i64) -> i64 {
            at_ms
        }
        fn morning_ms(&self, at_ms: i64) -> i64 {
            at_ms
        }
    }
    let mut course = course();
    course.steps[1].approval = true;
    let mut play = Play::new(course);
    play.calendar = Box::new(Opens(START_MS + 300_000));
    play.ask(CommandKind::Start { from: None });
    play.seconds(61, 10, 0);
    assert_eq!(play.phase(), "awaiting approval");
    play.ask(CommandKind::Approve);
    play.seconds(1, 10, 0);
    assert_eq!(play.phase(), "awaiting the calendar");
    play.seconds(237, 10, 0);
    assert_eq!(play.percentages(), [1.0]);
    play.seconds(1, 10, 0);
    assert_eq!(play.percentages(), [1.0, 10.0]);
}

#[test]
fn a_night_is_eight_hours_of_bake_and_its_end() {
    let mut course = course();
    course.steps[0].overnight = true;
    let scaled = course.clone().scaled(10_000);
    assert_eq!((scaled.steps[0].bake(), scaled.steps[1].bake(), scaled.thin_evidence_ms), (2_880, 6, 12));
    struct Night;
    impl Calendar for Night {
        fn next_allowed_ms(&self, at_ms: i64) -> i64 {
            at_ms
        }
        fn night_ends_ms(&self, at_ms: i64) -> i64 {
            at_ms + 3_600_000
        }
        fn morning_ms(&self, at_ms: i64) -> i64 {
            at_ms
        }
    }
    let mut play = Play::new(course);
    play.calendar = Box::new(Night);
    play.ask(CommandKind::Start { from: None });
    play.seconds(9 * 3_600 - 1, 1, 0);
    assert_eq!(play.percentages(), [1.0]);
    play.seconds(1, 1, 0);
    assert_eq!(play.percentages(), [1.0, 10.0]);
}

#[test]
fn a_start_is_refused_with_every_reason() {
    let mut course = course();
    course.checklist =
        vec![CheckItem { text: "Code reviewed".into(), gate: Gate::Start }, CheckItem { text: "Done".into(), gate: Gate::Complete }];
    let mut play = Play::new(course);
    play.targeting.killed = true;
    play.targeting.owned.enabled = true;
    play.targeting.owned.percentage = percent(5.0);
    play.seconds(60, 100, 20);
    let why = play.ask(CommandKind::Start { from: None });
    assert_eq!(why.len(), 4, "{why:?}");
    assert!(why[3].contains("today's traffic breaks error_rate > 5% (1,200 of 6,000 requests)"), "{why:?}");
    play.targeting.killed = false;
    play.ask(CommandKind::Tick { item: 0, done: true });
    let mut forced = command(CommandKind::Start { from: Some(1) });
    forced.force = true;
    let input = storyflag_release::machine::Input::tick(play.targeting.clone()).with_command(forced);
    assert_eq!(play.evaluate(&input), Vec::<String>::new());
    assert_eq!((play.phase(), play.percentages()), ("baking", vec![10.0]));
    assert!(play.records[0].evidence.contains("today's traffic breaks error_rate > 5%"), "{}", play.records[0].evidence);
}

#[test]
fn a_planned_start_that_is_refused_loses_its_time_and_tells() {
    let mut play = Play::new(course());
    play.state = storyflag_release::machine::State::scheduled(Some(START_MS + 5_000));
    play.targeting.killed = true;
    play.seconds(10, 1, 0);
    assert_eq!(play.state.phase, Phase::Scheduled { start_ms: None });
    assert!(play.told("not started: the flag is killed") >= 1);
    play.targeting.killed = false;
    play.seconds(100, 1, 0);
    assert_eq!(play.percentages(), Vec::<f64>::new());
    play.ask(CommandKind::Schedule { start_ms: Some(play.now + 3_000) });
    play.seconds(3, 1, 0);
    assert_eq!(play.percentages(), [1.0]);
}

#[test]
fn a_plain_schedule_asks_no_telemetry() {
    let mut course = course();
    course.triggers.clear();
    let mut play = Play::started(course);
    play.health = Default::default();
    play.seconds(180, 1, 1);
    assert_eq!((play.phase(), play.percentages()), ("completed", vec![1.0, 10.0, 100.0]));
    assert!(play.records[1].evidence.ends_with("nothing watched"), "{}", play.records[1].evidence);
}

#[test]
fn advance_by_force_needs_a_reason_and_takes_one_step() {
    let mut play = Play::started(course());
    let mut silent = command(CommandKind::Advance);
    silent.reason = None;
    let input = storyflag_release::machine::Input::tick(play.targeting.clone()).with_command(silent);
    assert_eq!(play.evaluate(&input), ["to advance by force needs a reason"]);
    play.ask(CommandKind::Advance);
    assert_eq!(play.percentages(), [1.0, 10.0]);
    play.ask(CommandKind::Pause);
    assert_eq!(play.ask(CommandKind::Advance), ["the release is paused: resume it first"]);
}
