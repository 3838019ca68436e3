//! The machine as it is watched: bugs are planted into what goes in and comes out, and what it may never do is looked for.

use storyflag_release::{
    evidence::Health,
    machine::{
        Calendar, Cause, Command, CommandKind, Course, Doing, Effect, Hold, Input, Outcome, Owned, Phase, Record, State, step as machine,
    },
};
use storyflag_server::scheduler::Books;

use super::{bugs::Bug, desk::Desk, watched::Watched};

/// The most that an evaluation may add to a bake.
const TICK_MS: i64 = 2_000;

pub(crate) fn step<B: Books>(
    books: &Watched<B>,
    course: &Course,
    state: State,
    input: &Input,
    calendar: &dyn Calendar,
    now: i64,
) -> Outcome {
    let desk = &books.desk;
    let command = input.command.as_ref().map(|command| (name(&command.kind), state.phase.name()));
    let before = Before::of(&state);
    let outcome = match desk.bug {
        None => machine(course, state, input, calendar, now),
        Some(bug) => with_bug(bug, course, state, input, calendar, now),
    };
    if let Some(met) = command {
        let refused = outcome.1.iter().any(|effect| matches!(effect, Effect::Refuse { .. }));
        let mut shared = desk.state();
        let met = shared.met.entry(met).or_default();
        met.done += u64::from(!refused);
        met.refused += u64::from(refused);
    }
    before.compare(desk, course, input, &outcome.0, now);
    outcome
}

/// What is compared with what comes out.
struct Before {
    step: usize,
    bake_ms: i64,
    ticked_ms: Option<i64>,
    started: bool,
    /// Whether time counts in this phase.
    counts: bool,
}

impl Before {
    fn of(state: &State) -> Self {
        let counts = match &state.phase {
            Phase::Running(Doing::Holding(hold)) => matches!(hold, Hold::ThinEvidence),
            Phase::Running(_) => true,
            _ => false,
        };
        Self { step: state.step, bake_ms: state.bake_ms, ticked_ms: state.ticked_ms, started: state.started_ms.is_some(), counts }
    }

    /// Healthy time is counted here once more, from what the machine was told.
    fn compare(&self, desk: &Desk, course: &Course, input: &Input, after: &State, now: i64) {
        if !self.started || after.step != self.step {
            return;
        }
        let added = after.bake_ms - self.bake_ms;
        let healthy = input.health.as_ref().is_none_or(|health| health.heard > 0 && health.current * 10 >= health.heard * 9);
        let passed = self.ticked_ms.map_or(0, |ticked_ms| (now - ticked_ms).max(0));
        let most = if self.counts && (healthy || course.triggers.is_empty()) { passed.min(TICK_MS) } else { 0 };
        if added > most || added < 0 {
            desk.break_rule(format!("{} ms of bake were added in {passed} ms, at most {most} are right", added));
        }
    }
}

/// The command's name in the coverage table.
pub(crate) fn name(kind: &CommandKind) -> &'static str {
    match kind {
        CommandKind::Start { .. } => "start",
        CommandKind::Schedule { .. } => "schedule",
        CommandKind::Pause => "pause",
        CommandKind::Resume => "resume",
        CommandKind::Approve => "approve",
        CommandKind::Advance => "advance",
        CommandKind::Rollback => "rollback",
        CommandKind::Cancel => "cancel",
        CommandKind::Tick { .. } => "tick",
    }
}

/// The machine, with a bug.
fn with_bug(bug: Bug, course: &Course, mut state: State, input: &Input, calendar: &dyn Calendar, now: i64) -> Outcome {
    let mut input = input.clone();
    let passed = state.ticked_ms.map_or(0, |ticked_ms| (now - ticked_ms).max(0));
    let watched = matches!(state.phase, Phase::Running(Doing::Baking | Doing::Holding(Hold::NoData)));
    let paused = matches!(state.phase, Phase::Paused { .. });
    match bug {
        Bug::BakeOverOutage if watched => state.bake_ms += (passed - TICK_MS).max(0),
        Bug::BakeWhilePaused if paused => state.bake_ms += passed.min(TICK_MS),
        Bug::AdvanceOnNoData => input.health = Some(Health { heard: 1, current: 1, ..Health::default() }),
        Bug::VerifiedUnseen if matches!(state.phase, Phase::RollingBack { .. }) => {
            input.health = Some(Health { heard: 1, current: 1, ..Health::default() });
            input.seconds.clear();
        }
        Bug::PausedIsBlind if paused => input.seconds.clear(),
        Bug::NoApproval => state.approved = true,
        Bug::SupersededIgnored => {
            if let Some(written) = &state.written {
                input.targeting.owned = written.clone();
            }
            input.targeting.rollout_changed = false;
        }
        Bug::TurnBackOnNoData if watched && state.silent_ms >= 4_000 => return turned_back(course, state, &input, calendar, now),
        _ => {}
    }
    let (before, steps) = (state.step, course.steps.len());
    let number = state.number;
    let (mut state, mut effects) = machine(course, state, &input, calendar, now);
    let stepped = effects.iter().any(|effect| matches!(effect, Effect::SetRollout(_)));
    match bug {
        Bug::FoldedSteps | Bug::SkippedStep if stepped && state.step > before && state.step + 1 < steps => {
            let mut again = input.clone();
            let reason = Some("again".to_owned());
            again.command = Some(Command { kind: CommandKind::Advance, actor: "nobody".to_owned(), reason, force: true });
            again.targeting.owned = state.written.clone().unwrap_or_default();
            (again.seconds, again.targeting.rollout_changed) = (Vec::new(), false);
            if bug == Bug::SkippedStep {
                (state.number, effects) = (number, Vec::new());
            }
            let (folded, more) = machine(course, state, &again, calendar, now);
            effects.extend(more.into_iter().map(nobodys));
            return (folded, effects);
        }
        Bug::StepTwice if before > 0 && watched && (2_000..4_000).contains(&state.bake_ms) && effects.is_empty() => {
            let owned = state.written.clone().unwrap_or_default();
            write_again(&mut state, &mut effects, owned, now);
            state.bake_ms = 4_000;
        }
        Bug::LateStep => {
            let late = matches!(state.phase, Phase::RollingBack { waited_ms, .. } if (2_000..3_500).contains(&waited_ms));
            if late && effects.is_empty() {
                let percentage = course.steps[state.step].percentage;
                let owned = Owned { percentage, enabled: true, ..state.written.clone().unwrap_or_default() };
                state.written = Some(owned.clone());
                write_again(&mut state, &mut effects, owned, now);
            }
        }
        Bug::StepAfterEnd if state.has_ended() && state.ended_ms.is_some_and(|ended_ms| (0..4_000).contains(&(now - ended_ms))) => {
            if let Some(owned) = state.written.clone().filter(|_| effects.is_empty()) {
                write_again(&mut state, &mut effects, owned, now);
            }
        }
        Bug::EmptyBaseline => state.baseline = state.baseline.map(|_| Owned::default()),
        Bug::LateBaseline if stepped && state.step > before => state.baseline = Some(input.targeting.owned),
        _ => {}
    }
    (state, effects)
}

/// As the machine itself would have decided it.
fn nobodys(effect: Effect) -> Effect {
    match effect {
        Effect::Record(record) => Effect::Record(Record { actor: None, ..record }),
        other => other,
    }
}

fn turned_back(course: &Course, state: State, input: &Input, calendar: &dyn Calendar, now: i64) -> Outcome {
    let mut input = input.clone();
    input.command = Some(Command { kind: CommandKind::Rollback, actor: "nobody".to_owned(), reason: None, force: true });
    let (mut state, effects) = machine(course, state, &input, calendar, now);
    if let Phase::RollingBack { cause, .. } = &mut state.phase {
        *cause = Cause::Trigger { name: "error_rate > 5%".to_owned(), evidence: "no data".to_owned() };
    }
    (state, effects.into_iter().map(nobodys).collect())
}

fn write_again(state: &mut State, effects: &mut Vec<Effect>, owned: Owned, now: i64) {
    state.number += 1;
    effects.push(Effect::SetRollout(owned));
    effects.push(Effect::Record(Record {
        number: state.number,
        at_ms: now,
        from: state.phase.name().to_owned(),
        to: state.phase.name().to_owned(),
        step: state.step,
        actor: None,
        evidence: "once more".to_owned(),
    }));
}
