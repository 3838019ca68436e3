//! Who is told, what holds, and what time adds.

use storyflag_release::evidence::{Share, Test};
use storyflag_release::machine::{Alert, CommandKind, Message, MessageKind, NoticeKind, Phase, State, When};

use super::play::*;

#[test]
fn no_data_holds_tells_escalates_and_goes_on_by_itself() {
    let mut play = Play::started(course());
    play.seconds(30, 10, 0);
    let healthy = std::mem::take(&mut play.health);
    play.seconds(4, 0, 0);
    assert_eq!(play.phase(), "baking");
    play.seconds(55, 0, 0);
    assert_eq!((play.phase(), play.told("no data")), ("holding: no data", 0));
    play.seconds(1, 0, 0);
    assert_eq!(play.told("no data for 60 s"), 1);
    play.seconds(540, 0, 0);
    assert!(play.notices.iter().any(|notice| notice.to == "on_call" && notice.text.contains("no data for 600 s")));
    play.seconds(7_200, 0, 0);
    assert_eq!((play.percentages(), play.state.bake_ms), (vec![1.0], 30_000));
    play.health = healthy;
    play.seconds(31, 10, 0);
    assert_eq!(play.percentages(), [1.0, 10.0]);
}

#[test]
fn a_clock_that_jumps_adds_two_seconds_at_most() {
    let mut play = Play::started(course());
    play.seconds(10, 10, 0);
    play.now += 86_400_000;
    play.seconds(1, 10, 0);
    assert_eq!(play.state.bake_ms, 12_000);
    play.now -= 2 * 86_400_000;
    play.seconds(1, 10, 0);
    assert_eq!(play.state.bake_ms, 12_000);
    play.seconds(1, 10, 0);
    assert_eq!(play.state.bake_ms, 13_000);
}

#[test]
fn a_pause_adds_no_bake() {
    let mut play = Play::started(course());
    play.seconds(10, 10, 0);
    play.ask(CommandKind::Pause);
    play.seconds(1_000, 10, 0);
    assert_eq!((play.phase(), play.state.bake_ms), ("paused", 10_000));
    play.ask(CommandKind::Resume);
    play.seconds(50, 10, 0);
    assert_eq!(play.percentages(), [1.0, 10.0]);
}

#[test]
fn a_sample_ratio_fault_holds_until_it_is_approved() {
    let mut play = Play::started(course());
    for _ in 0..60 {
        play.now += 1_000;
        let mut second = play.counted(10, 0);
        (second.treatment.new_units, second.control.new_units) = (50, 990);
        let input = storyflag_release::machine::Input::tick(play.targeting.clone()).with_seconds(vec![second], healthy());
        play.evaluate(&input);
    }
    assert_eq!(play.phase(), "holding: sample ratio");
    assert!(play.told("not 1 %: evidence may be biased") >= 1);
    play.seconds(100, 10, 0);
    assert_eq!(play.percentages(), [1.0]);
    play.ask(CommandKind::Approve);
    play.seconds(60, 10, 0);
    assert_eq!(play.percentages(), [1.0, 10.0]);
    // It never masks a trigger.
    play.state.unfair = true;
    play.seconds(10, 100, 100);
    assert_eq!(play.phase(), "rolling back");
}

#[test]
fn every_slot_is_written_once() {
    let mut course = course();
    let message = |kind, to: &str, when| Message { kind, to: to.into(), when };
    course.messages = vec![
        message(MessageKind::Announcement, "team", When::Before(10_000)),
        message(MessageKind::Status, "team", When::Every(30_000)),
        message(MessageKind::Completion, "stakeholders", When::UponCompletion),
        message(MessageKind::Report, "stakeholders", When::After(86_400_000)),
    ];
    let mut play = Play::new(course);
    play.state = State::scheduled(Some(START_MS + 20_000));
    play.seconds(9, 0, 0);
    assert!(play.notices.is_empty());
    play.seconds(1, 0, 0);
    assert_eq!(play.notices[0].kind, NoticeKind::Announcement);
    play.seconds(200, 10, 0);
    assert!(matches!(play.state.phase, Phase::Completed { .. }));
    // The end is no slot of its own: 180 s are five whole slots before it.
    let slots =
        |play: &Play, kind| play.notices.iter().filter(|notice| notice.kind == kind).map(|notice| notice.slot.clone()).collect::<Vec<_>>();
    assert_eq!(slots(&play, NoticeKind::Status), ["message-1-1", "message-1-2", "message-1-3", "message-1-4", "message-1-5"]);
    assert_eq!((slots(&play, NoticeKind::Completion).len(), slots(&play, NoticeKind::Report).len()), (1, 0));
    play.now += 86_400_000;
    play.seconds(10, 0, 0);
    assert_eq!(slots(&play, NoticeKind::Report).len(), 1);
    let mut all: Vec<_> = play.notices.iter().map(|notice| (&notice.to, &notice.slot)).collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), play.notices.len());
}

#[test]
fn an_alert_opens_and_closes_once_and_turns_nothing_back() {
    let mut course = course();
    course.steps[0].bake_ms = 1_000_000_000;
    let test = Test::Absolute { share: Share::Error, limit: percent(1.0) };
    course.alerts = vec![Alert { name: "high_error_rate".into(), condition: "error_rate > 1%".into(), test, to: "on_call".into() }];
    let mut play = Play::started(course);
    play.seconds(300, 100, 4);
    assert_eq!((play.phase(), play.told("alert high_error_rate opened"), play.told("closed")), ("baking", 1, 0));
    play.seconds(3_000, 100, 0);
    assert_eq!((play.told("alert high_error_rate opened"), play.told("alert high_error_rate closed")), (1, 1));
}
