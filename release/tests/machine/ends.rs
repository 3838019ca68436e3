//! Turning back, being taken over, and what ranks higher.

use storyflag_evaluation::Percentage;
use storyflag_release::evidence::{Health, Second};
use storyflag_release::machine::{CommandKind, Input, Phase};

use super::play::*;

#[test]
fn a_trigger_turns_back_and_the_end_is_seen() {
    let mut play = Play::new(course());
    play.targeting.owned.percentage = percent(0.5);
    play.ask(CommandKind::Start { from: None });
    play.seconds(30, 100, 0);
    play.seconds(1, 100, 100);
    assert_eq!((play.phase(), play.percentages()), ("rolling back", vec![1.0, 0.5]));
    let line = &play.records.last().unwrap().evidence;
    assert!(line.starts_with("error_rate 3.2 % (100 of 3,100 requests, 8 units) > 5 %, no control; e = 10^"), "{line}");
    // The treatment goes on for a while, and one instance lags.
    play.health.behind = 1;
    play.seconds(3, 50, 50);
    play.seconds(5, 0, 0);
    assert_eq!(play.phase(), "rolling back");
    play.health.behind = 0;
    play.seconds(1, 0, 0);
    let Phase::RolledBack { verified, took_ms, .. } = &play.state.phase else { panic!("{:?}", play.state.phase) };
    assert_eq!((*verified, *took_ms), (true, 9_000));
    play.seconds(1_000, 100, 0);
    assert_eq!(play.percentages(), [1.0, 0.5]);
}

#[test]
fn who_falls_silent_is_named_when_the_time_is_over() {
    let mut play = Play::started(course());
    play.seconds(10, 10, 0);
    play.ask(CommandKind::Rollback);
    play.health = Health { heard: 1, current: 1, behind: 1, behind_names: vec!["host-7".into()] };
    // A clock that jumps is not waiting.
    play.now += 3_600_000;
    play.seconds(57, 0, 0);
    assert_eq!(play.phase(), "rolling back");
    play.seconds(2, 0, 0);
    let Phase::RolledBack { verified, silent, .. } = &play.state.phase else { panic!("{:?}", play.state.phase) };
    assert_eq!((*verified, silent.as_slice()), (false, ["host-7".to_owned()].as_slice()));
    assert!(play.notices.iter().any(|notice| notice.to == "on_call" && notice.text.contains("host-7")));
}

#[test]
fn precedence_in_one_evaluation() {
    // All at once: a human's change, a kill, a rollback, and a second that fires.
    let everything = |play: &mut Play, changed: bool, killed: bool, kind: CommandKind| {
        play.now += 1_000;
        let mut targeting = play.targeting.clone();
        targeting.killed = killed;
        if changed {
            targeting.owned.percentage = Percentage::ALL;
        }
        let seconds: Vec<Second> = (0..3).map(|_| play.counted(100, 100)).collect();
        let input = Input::tick(targeting).with_seconds(seconds, healthy()).with_command(command(kind));
        play.evaluate(&input)
    };
    for (changed, killed, kind, phase, cause) in [
        (true, true, CommandKind::Rollback, "superseded", "mia changed what the release owns"),
        (false, true, CommandKind::Rollback, "rolling back", "killed by mia"),
        (false, false, CommandKind::Rollback, "rolling back", "rolled back by mia: because"),
        (false, false, CommandKind::Advance, "rolling back", "error_rate 75 %"),
        (false, false, CommandKind::Pause, "rolling back", "error_rate 75 %"),
    ] {
        let mut play = Play::started(course());
        play.seconds(1, 100, 0);
        let refused = everything(&mut play, changed, killed, kind.clone());
        assert_eq!(play.phase(), phase);
        assert!(play.records.last().unwrap().evidence.starts_with(cause), "{:?}", play.records.last());
        assert_eq!(refused.is_empty(), kind == CommandKind::Rollback && phase == "rolling back", "{refused:?}");
        assert_eq!(play.writes.len(), if changed { 1 } else { 2 });
    }
}

#[test]
fn a_superseded_release_never_writes_again() {
    let mut play = Play::started(course());
    play.targeting.owned.percentage = percent(50.0);
    play.targeting.by = "noor".into();
    play.seconds(1, 10, 0);
    assert_eq!(play.phase(), "superseded");
    play.targeting.killed = true;
    play.seconds(1_000, 100, 100);
    assert_eq!(play.ask(CommandKind::Rollback), ["the release is superseded"]);
    assert_eq!(play.writes.len(), 1);
    assert_eq!(play.told("nothing watches this flag now"), 1);
}

#[test]
fn before_the_start_a_kill_cancels_and_so_does_a_command() {
    let mut play = Play::new(course());
    play.seconds(1, 0, 0);
    play.targeting.killed = true;
    play.seconds(1, 0, 0);
    assert_eq!(play.phase(), "cancelled");
    let mut play = Play::new(course());
    assert_eq!(play.ask(CommandKind::Cancel), Vec::<String>::new());
    assert_eq!(play.phase(), "cancelled");
    let mut play = Play::started(course());
    assert_eq!(play.ask(CommandKind::Cancel), ["the first step is taken: roll back instead"]);
}

#[test]
fn a_control_that_fails_alike_holds_only_where_the_plan_says_so() {
    for (unless, phase) in [(false, "rolling back"), (true, "holding: control fails alike")] {
        let mut course = course();
        course.triggers[0].unless_control_fails = unless;
        let mut play = Play::started(course);
        play.now += 1_000;
        let mut second = play.counted(100, 50);
        second.control = second.treatment.clone();
        play.evaluate(&Input::tick(play.targeting.clone()).with_seconds(vec![second], healthy()));
        assert_eq!(play.phase(), phase);
        assert!(play.records.last().unwrap().evidence.contains("control 50 % fails alike"), "{:?}", play.records.last());
    }
}
