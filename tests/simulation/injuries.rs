//! What hurt people elsewhere, by the thread that tells of it; and what was found and mended here. The machine's own part of
//! it has tests beside it: here nodes and store take part.

use storyflag_evaluation::Percentage;
use storyflag_release::{machine::CommandKind, plan::Media};

use super::{
    agenda::Fault,
    gate::Op,
    node::Said,
    plan::{Kind, Spec},
    shelf::Edit,
    stage::{Stage, plan},
};

/// A bad version was promoted although its analysis had failed: a later success made up for it.
#[test]
fn argo_1411() {
    let mut stage = Stage::started(plan(), 0.0, 2);
    stage.seconds(2);
    stage.errors(1.0);
    stage.until("rolling back");
    stage.errors(0.0);
    stage.until("rolled back");
    stage.fault(Fault::AllDown { down_s: 2 });
    stage.seconds(120);
    assert_eq!((stage.phase(), stage.percentages()), ("rolled back", vec![0.1, 0.0]));
    stage.close();
}

/// An abort was ignored after a full promotion.
#[test]
fn argo_4461() {
    let mut stage = Stage::new(plan(), 0.5, 2);
    // The flag serves more than the first step.
    assert_eq!(stage.ask(CommandKind::Start { from: Some(1) }), Said::Done(None));
    for _ in 0..3 {
        assert_eq!(stage.ask(CommandKind::Advance), Said::Done(None));
    }
    assert_eq!(stage.ask(CommandKind::Rollback), Said::Done(None));
    assert!(matches!(stage.ask(CommandKind::Advance), Said::Refused(_)));
    stage.until("rolled back");
    assert_eq!(stage.percentages(), [1.0, 10.0, 50.0, 100.0, 0.5]);
    stage.close();
}

/// A run was successful while every measurement of it was an error.
#[test]
fn argo_4479() {
    let spec = Spec { kind: Kind { reading: true, ..plan().kind }, ..plan() };
    let mut stage = Stage::started(spec, 0.0, 2);
    stage.fault(Fault::NoReadings { for_s: 600, is_error: true });
    stage.seconds(599);
    assert_eq!((stage.phase(), stage.percentages()), ("holding: source error", vec![0.1]));
    stage.until("completed");
    stage.close();
}

/// Failed checks went far over the threshold in a phase in which nobody looked at it.
#[test]
fn flagger_1801() {
    for phase in ["baking", "paused", "awaiting approval", "awaiting the calendar", "holding: no data"] {
        let mut spec = plan();
        spec.approvals[1] = phase == "awaiting approval";
        let mut stage = Stage::started(spec, 0.0, 2);
        let now = stage.0.now;
        match phase {
            "paused" => drop(stage.ask(CommandKind::Pause)),
            "awaiting the calendar" => drop(stage.edit(Edit::Freeze { from: now, to: now + 60_000 })),
            "holding: no data" => {
                // All but one are silent: the others' silence is no excuse for not looking at what that one says.
                stage.fault(Fault::Silent { share: 1, for_s: 40 });
            }
            _ => {}
        }
        if phase == "holding: no data" && stage.0.crowd.instances.len() < 3 {
            continue;
        }
        stage.until(phase);
        stage.errors(1.0);
        stage.until("rolling back");
        stage.until("rolled back");
        assert_eq!(stage.percentages(), [0.1, 0.0], "{phase}");
        stage.close();
    }
}

/// After a downtime a backlog of overdue steps was replayed at once, and two processes advanced one rollout.
#[test]
fn growthbook_6330() {
    let mut stage = Stage::started(plan(), 0.0, 3);
    stage.seconds(3);
    stage.fault(Fault::Away { for_s: 7_200 });
    while stage.percentages().len() < 2 {
        stage.seconds(1);
    }
    assert_eq!(stage.percentages(), [0.1, 1.0], "the step that was under way goes on, and no other is made up for");
    stage.seconds(2);
    assert_eq!(stage.percentages(), [0.1, 1.0]);
    stage.until("completed");
    assert_eq!(stage.percentages(), [0.1, 1.0, 10.0, 50.0, 100.0]);
    stage.close();
}

/// A rollback was reported and not applied: the snapshot to go back to was empty.
#[test]
fn growthbook_6984() {
    let mut stage = Stage::started(plan(), 0.05, 2);
    stage.fault(Fault::Crash { op: Op::Commit, skip: 0, down_s: 1 });
    stage.seconds(8);
    stage.fault(Fault::LostAnswers(1));
    stage.ask(CommandKind::Rollback);
    stage.until("rolled back");
    let dump = stage.dump();
    assert_eq!(dump.serves.owned.percentage.percent(), 0.05, "what is reported is what is served");
    assert_eq!(stage.percentages().last(), Some(&0.05));
    stage.close();
}

/// A rollout went on growing after its end.
#[test]
fn goff_4630() {
    let mut stage = Stage::started(plan(), 0.0, 2);
    stage.until("completed");
    stage.fault(Fault::ClockJumps { node: 0, by_ms: 3_600_000 });
    stage.fault(Fault::ClockJumps { node: 1, by_ms: -3_600_000 });
    stage.seconds(30);
    stage.fault(Fault::AllDown { down_s: 3_600 });
    stage.seconds(60);
    assert_eq!(stage.percentages(), [0.1, 1.0, 10.0, 50.0, 100.0]);
    // A human lowers it: nobody raises it again.
    let lowered = Percentage::from_percent(5.0).unwrap();
    assert!(matches!(stage.edit(Edit::Lower { to: lowered }), Said::Done(Some(_))));
    stage.seconds(30);
    assert_eq!((stage.dump().serves.owned.percentage, stage.phase()), (lowered, "completed"));
    stage.close();
}

/// A scheduled change to more than 100 % was accepted.
#[test]
fn posthog_39528() {
    let document = plan().document("DP-1", "US-1").replace("percentage: 100,", "percentage: 150,");
    let reading = storyflag_release::plan::read(Media::Yaml, &document);
    assert!(reading.plan.is_none() && !reading.faults.is_empty(), "{document}");
    let mut stage = Stage::started(plan(), 0.0, 2);
    stage.until("completed");
    assert!(stage.dump().changes.iter().all(|change| change.owned.percentage <= Percentage::ALL));
    stage.close();
}

/// A node that started after hours took rows of then for reports of now, and went on by them.
#[test]
fn what_stood_for_hours_is_no_data() {
    let mut stage = Stage::started(Spec { bakes_ms: [3_000; 5], ..plan() }, 0.0, 1);
    stage.seconds(1);
    let instances = stage.0.crowd.instances.len();
    stage.fault(Fault::Silent { share: 100, for_s: 7_200 });
    stage.fault(Fault::AllDown { down_s: 3_600 });
    stage.seconds(60);
    assert_eq!((stage.percentages(), instances > 0), (vec![0.1], true));
    stage.close();
}

/// After its clock went back by an hour a node took what it had heard before for news, for an hour.
#[test]
fn a_clock_that_goes_back_is_no_data() {
    let mut stage = Stage::started(plan(), 0.0, 1);
    stage.fault(Fault::ClockJumps { node: 0, by_ms: -3_600_000 });
    stage.fault(Fault::Silent { share: 100, for_s: 600 });
    stage.seconds(300);
    assert_eq!((stage.phase(), stage.percentages()), ("holding: no data", vec![0.1]));
    stage.close();
}

/// A step went into a freeze that had been answered: what is frozen was known from before the lock.
#[test]
fn a_freeze_that_was_answered_holds() {
    for second in 0..6 {
        let mut stage = Stage::started(plan(), 0.0, 3);
        stage.seconds(second);
        let now = stage.0.now + 1_000;
        let steps = stage.percentages().len();
        assert_eq!(stage.edit(Edit::Freeze { from: now, to: now + 30_000 }), Said::Done(None));
        stage.seconds(20);
        assert!(stage.percentages().len() <= steps + 1);
        stage.close();
    }
}

/// A kill before the start cancels, also where no node had looked at the flag before it.
#[test]
fn a_kill_before_anybody_looked_cancels() {
    let mut stage = Stage::new(plan(), 0.0, 1);
    stage.fault(Fault::AllDown { down_s: 3 });
    assert!(matches!(stage.edit(Edit::Kill), Said::Done(Some(_))));
    stage.until("cancelled");
    stage.close();
}
