//! What hurt people elsewhere, by the thread that tells of it.

use storyflag_evaluation::Percentage;
use storyflag_release::evidence::{Direction, Health, Reading, Second, Test, Trigger};
use storyflag_release::machine::{CommandKind, Input, Phase};

use super::play::*;

/// A bad version was promoted although its analysis had failed: a later success made up for it.
#[test]
fn argo_1411() {
    let mut course = course();
    course.triggers.push(Trigger { name: "success".into(), ..error_rate(50.0) });
    let mut play = Play::started(course);
    play.seconds(5, 10, 10);
    assert_eq!(play.phase(), "rolling back");
    play.seconds(5_000, 1_000, 0);
    assert_eq!((play.phase(), play.percentages()), ("rolled back, not verified", vec![1.0, 0.0]));
}

/// An abort was ignored after a full promotion.
#[test]
fn argo_4461() {
    let mut play = Play::started(course());
    play.ask(CommandKind::Advance);
    play.ask(CommandKind::Advance);
    assert_eq!(play.percentages(), [1.0, 10.0, 100.0]);
    assert_eq!(play.ask(CommandKind::Rollback), Vec::<String>::new());
    assert_eq!(play.ask(CommandKind::Advance), ["the release is rolling back"]);
    assert_eq!(play.percentages(), [1.0, 10.0, 100.0, 0.0]);
}

/// A run was successful while every measurement of it was an error.
#[test]
fn argo_4479() {
    let mut course = course();
    let test = Test::Reading { bad: Direction::Above, limit: 3.0, for_ms: 60_000 };
    course.triggers.push(Trigger { name: "prometheus".into(), test, unless_control_fails: false });
    let mut play = Play::started(course);
    let ill = [
        Reading::Value(f64::NAN),
        Reading::Value(f64::INFINITY),
        Reading::SourceError("empty".into()),
        Reading::SourceError("time-out".into()),
    ];
    for reading in ill.iter().cycle().take(2_000) {
        play.now += 1_000;
        let mut second = play.counted(100, 0);
        // serde_json writes what is no number as null; the state that is stored must stay readable.
        second.readings = vec![("prometheus".into(), reading.clone())];
        play.evaluate(&Input::tick(play.targeting.clone()).with_seconds(vec![second], healthy()));
    }
    assert_eq!((play.phase(), play.percentages()), ("holding: source error", vec![1.0]));
    assert_eq!((play.told("no data for 60 s"), play.told("no data for 600 s")), (1, 2));
    let told = Second { readings: vec![("prometheus".into(), Reading::Value(1.0))], ..Second::default() };
    play.evaluate(&Input::tick(play.targeting.clone()).with_seconds(vec![told], healthy()));
    play.seconds(60, 10, 0);
    assert_eq!(play.percentages(), [1.0, 10.0]);
}

/// Failed checks went far over the threshold in a phase in which nobody looked at it.
#[test]
fn flagger_1801() {
    let until = |play: &mut Play, phase: &str| {
        for _ in 0..2_000 {
            if play.phase() == phase {
                return;
            }
            play.seconds(1, 10, 0);
        }
        panic!("{phase}: {:?}", play.state.phase);
    };
    for phase in ["baking", "paused", "awaiting approval", "awaiting the calendar", "holding: no data"] {
        let mut course = course();
        course.steps[1].approval = phase == "awaiting approval";
        course.steps[1].not_before_ms = (phase == "awaiting the calendar").then_some(i64::MAX);
        let mut play = Play::started(course);
        match phase {
            "paused" => play.ask(CommandKind::Pause).clear(),
            "holding: no data" => play.health.current = 0,
            _ => {}
        }
        until(&mut play, phase);
        play.seconds(30, 100, 100);
        assert_eq!(play.state.writes_back(), Some(Percentage::ZERO), "{phase}: {:?}", play.state.phase);
    }
}

trait WritesBack {
    fn writes_back(&self) -> Option<Percentage>;
}

impl WritesBack for storyflag_release::machine::State {
    fn writes_back(&self) -> Option<Percentage> {
        let back = matches!(self.phase, Phase::RollingBack { .. } | Phase::RolledBack { .. });
        back.then(|| self.written.as_ref().map(|owned| owned.percentage)).flatten()
    }
}

/// After a downtime a backlog of overdue steps was replayed at once, and two processes advanced one rollout.
#[test]
fn growthbook_6330() {
    let mut play = Play::started(course());
    play.seconds(58, 10, 0);
    for days in 1..4 {
        play.now += days * 86_400_000;
        let before = play.writes.len();
        play.evaluate(&Input::tick(play.targeting.clone()));
        assert!(play.writes.len() <= before + 1);
    }
    // Three days without telemetry: no bake at all was added while nobody reported.
    assert_eq!(play.percentages(), [1.0]);
    play.seconds(3, 10, 0);
    assert_eq!(play.percentages(), [1.0, 10.0]);
    // The other process evaluates the same state: the same number, of which the store lets one through.
    let input = Input::tick(play.targeting.clone()).with_seconds(Vec::new(), healthy());
    let twice = [(); 2].map(|()| {
        storyflag_release::machine::step(&play.course, play.state.clone(), &input, &storyflag_release::machine::Always, play.now)
    });
    assert_eq!(twice[0], twice[1]);
}

/// A rollback was reported and not applied: the snapshot to go back to was empty.
#[test]
fn growthbook_6984() {
    let mut play = Play::started(course());
    play.seconds(5, 10, 0);
    play.state.baseline = None;
    play.ask(CommandKind::Rollback);
    let written = play.writes.last().unwrap();
    assert_eq!((written.enabled, written.percentage), (false, Percentage::ZERO));
    // While instances still serve the treatment it is not rolled back.
    play.health = Health { heard: 2, current: 0, behind: 2, behind_names: vec!["a".into(), "b".into()] };
    play.seconds(30, 10, 0);
    assert_eq!(play.phase(), "rolling back");
}

/// A rollout went on growing after its end.
#[test]
fn goff_4630() {
    let mut play = Play::started(course());
    play.seconds(180, 10, 0);
    assert_eq!((play.phase(), play.percentages()), ("completed", vec![1.0, 10.0, 100.0]));
    let state = play.state.clone();
    play.seconds(10_000, 10, 0);
    play.now = i64::MAX;
    play.evaluate(&Input::tick(play.targeting.clone()));
    assert_eq!(play.percentages(), [1.0, 10.0, 100.0]);
    assert_eq!((play.state.phase, play.state.number), (state.phase, state.number));
}

/// A scheduled change to more than 100 % was accepted.
#[test]
fn posthog_39528() {
    assert!(Percentage::from_percent(150.0).is_err());
    assert!(serde_json::from_str::<storyflag_release::machine::Step>(r#"{"percentage":1000001}"#).is_err());
    let mut course = course();
    course.steps.swap(0, 2);
    course.steps[0].bake_ms = 0;
    assert_eq!(
        course.faults(),
        [
            "10 % comes after 100 %: steps never go down",
            "1 % comes after 10 %: steps never go down",
            "100 % has no bake: its triggers would see nothing"
        ]
    );
}
