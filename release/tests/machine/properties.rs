//! Whatever comes in, and in whatever order.

use proptest::prelude::*;
use storyflag_evaluation::Percentage;
use storyflag_release::evidence::{ArmCounts, Direction, Event, EventCounts, Health, Reading, Second, Test, Trigger};
use storyflag_release::machine::{Always, Command, CommandKind, Effect, Input, Phase, State, Targeting, step};

use super::play::*;

fn commands() -> impl Strategy<Value = Option<CommandKind>> {
    prop_oneof![
        20 => Just(None),
        1 => Just(Some(CommandKind::Start { from: None })),
        1 => (0..4_usize).prop_map(|from| Some(CommandKind::Start { from: Some(from) })),
        1 => any::<Option<i64>>().prop_map(|start_ms| Some(CommandKind::Schedule { start_ms })),
        1 => Just(Some(CommandKind::Pause)),
        1 => Just(Some(CommandKind::Resume)),
        1 => Just(Some(CommandKind::Approve)),
        1 => Just(Some(CommandKind::Advance)),
        1 => Just(Some(CommandKind::Rollback)),
        1 => Just(Some(CommandKind::Cancel)),
        1 => (0..3_usize, any::<bool>()).prop_map(|(item, done)| Some(CommandKind::Tick { item, done })),
    ]
}

fn arms() -> impl Strategy<Value = ArmCounts> {
    let number = || prop_oneof![4 => 0..200_u64, 1 => any::<u64>()];
    (number(), number(), number(), number(), number(), proptest::collection::vec(any::<u64>(), 0..9)).prop_map(
        |(success, failure, error, new_units, at_risk, units)| {
            let errors = EventCounts { count: error, at_risk, first: error.min(at_risk), units, instances: vec!["a".into(), "b".into()] };
            let requests = success.saturating_add(error);
            ArmCounts { requests, success, failure, error, new_units, errors, ..ArmCounts::default() }
        },
    )
}

#[derive(Debug, Clone)]
struct Turn {
    passes_ms: i64,
    command: Option<CommandKind>,
    treatment: ArmCounts,
    control: ArmCounts,
    health: Option<(u64, u64, u64)>,
    reading: f64,
    meddled: bool,
    killed: bool,
}

fn turns() -> impl Strategy<Value = Turn> {
    let passes = prop_oneof![20 => Just(1_000_i64), 5 => 0..100_000_i64, 1 => any::<i64>()];
    let health = prop_oneof![10 => Just(Some((2, 2, 0))), 1 => Just(None), 1 => any::<(u64, u64, u64)>().prop_map(Some)];
    let odd = || prop_oneof![60 => Just(false), 1 => Just(true)];
    (passes, commands(), arms(), arms(), health, any::<f64>(), odd(), odd()).prop_map(
        |(passes_ms, command, treatment, control, health, reading, meddled, killed)| Turn {
            passes_ms,
            command,
            treatment,
            control,
            health,
            reading,
            meddled,
            killed,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn invariants_hold(turns in proptest::collection::vec(turns(), 1..120), approval: bool, relative: bool) {
        let mut course = course();
        course.steps[2].approval = approval;
        for step in &mut course.steps {
            step.bake_ms = 5_000;
        }
        if relative {
            let test = Test::Relative { event: Event::Error, bad: Direction::Above, ratio: 1.25 };
            course.triggers.push(Trigger { name: "relative".into(), test, unless_control_fails: false });
            let test = Test::Reading { bad: Direction::Above, limit: 3.0, for_ms: 2_000 };
            course.triggers.push(Trigger { name: "reading".into(), test, unless_control_fails: false });
        }
        let (mut state, mut now) = (State::scheduled(None), START_MS);
        let mut targeting = Targeting { by: "mia".into(), ..Targeting::default() };
        for turn in turns {
            now = now.saturating_add(turn.passes_ms);
            let before = state.clone();
            if turn.meddled {
                targeting.owned.percentage = percent(33.0);
            }
            targeting.killed = targeting.killed || turn.killed;
            let readings = vec![("reading".to_owned(), Reading::Value(turn.reading))];
            let second = Second { treatment: turn.treatment, control: turn.control, readings, ..Second::default() };
            let mut input = Input::tick(targeting.clone());
            input.seconds = vec![second];
            input.health = turn.health.map(|(heard, current, behind)| Health { heard, current, behind, ..Health::default() });
            input.command = turn.command.map(|kind| Command { kind, actor: "mia".into(), reason: Some("x".into()), force: true });
            let (after, effects) = step(&course, state, &input, &Always, now);

            let writes: Vec<_> = effects.iter().filter_map(|effect| match effect {
                Effect::SetRollout(owned) | Effect::WriteBaseline(owned) => Some(owned.clone()),
                _ => None,
            }).collect();
            let records: Vec<_> = effects.iter().filter_map(|effect| match effect {
                Effect::Record(record) => Some(record.number),
                _ => None,
            }).collect();
            // One write at most; numbers without a gap.
            prop_assert!(writes.len() <= 1);
            prop_assert_eq!(&records, &(before.number + 1..=after.number).collect::<Vec<_>>());
            // The ends are ends.
            if before.has_ended() {
                prop_assert!(writes.is_empty() && records.is_empty());
                prop_assert_eq!(&before.phase, &after.phase);
            }
            // At most one step, and no step at all for who was killed or taken over.
            if before.started_ms.is_some() {
                prop_assert!(after.step <= before.step + 1);
                let taken_over = before.written.as_ref() != Some(&targeting.owned);
                if taken_over && !before.has_ended() {
                    prop_assert_eq!(after.phase.name(), "superseded");
                    prop_assert!(writes.is_empty());
                }
                if targeting.killed && after.step > before.step {
                    prop_assert!(false, "a step under a kill");
                }
            }
            // A bake grows by 2 s at most.
            if after.step == before.step && before.started_ms.is_some() {
                prop_assert!(after.bake_ms - before.bake_ms <= 2_000);
            }
            if let Phase::RollingBack { .. } = before.phase {
                prop_assert!(effects.iter().all(|effect| !matches!(effect, Effect::SetRollout(_))));
            }
            prop_assert!(after.evidence.e_values().iter().all(|e| e.is_finite()));
            if let Some(owned) = writes.into_iter().next() {
                prop_assert!(owned.percentage <= Percentage::ALL);
                targeting.owned = owned;
            }
            state = after;
        }
    }
}
