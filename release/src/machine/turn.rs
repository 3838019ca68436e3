//! One evaluation: what ranks higher wins.

use super::effect::Outcome;
use super::{Calendar, Cause, CommandKind, Course, Doing, Effect, Hold, Input, NoticeKind, Phase, Record, State};
use crate::evidence::Verdict;

/// The longest that one evaluation adds to a bake or a wait, in milliseconds.
const TICK_MS: i64 = 2_000;
/// How long a health that was told is believed.
const HEALTH_MS: i64 = 3_000;
/// Over what time exposures are averaged.
const EXPOSURES_MS: i64 = 60_000;

/// Evaluates a release: from its course, its state and what is new, the state after and what must be done. `now` is in
/// epoch milliseconds. The same arguments give the same answer, for ever and everywhere.
pub fn step(course: &Course, state: State, input: &Input, calendar: &dyn Calendar, now: i64) -> Outcome {
    let passed_ms = state.ticked_ms.map_or(0, |ticked_ms| now.saturating_sub(ticked_ms).max(0));
    let mut turn = Turn { course, calendar, input, now, passed_ms, elapsed_ms: passed_ms.min(TICK_MS), state, effects: Vec::new() };
    turn.run();
    (turn.state, turn.effects)
}

/// An evaluation under way.
pub(super) struct Turn<'a> {
    pub(super) course: &'a Course,
    pub(super) calendar: &'a dyn Calendar,
    pub(super) input: &'a Input,
    pub(super) now: i64,
    /// By the clock since the evaluation before: how old what was told has become.
    passed_ms: i64,
    /// The same, at most 2 s: a clock that jumps, either way, adds no more.
    pub(super) elapsed_ms: i64,
    pub(super) state: State,
    pub(super) effects: Vec<Effect>,
}

/// What the triggers say together.
struct Judged {
    fires: Option<Cause>,
    hold: Option<Hold>,
}

impl Turn<'_> {
    fn run(&mut self) {
        self.state.ticked_ms = Some(self.now);
        self.tick_box();
        if self.state.has_ended() {
            self.refuse_command();
        } else if matches!(self.state.phase, Phase::Scheduled { .. }) {
            self.before_start();
        } else {
            self.hear();
            self.live();
        }
        self.send_messages();
    }

    /// Takes in what was counted, and lets time go by.
    fn hear(&mut self) {
        self.state.health_age_ms = self.state.health_age_ms.saturating_add(self.passed_ms);
        if let Some(health) = &self.input.health {
            self.state.health = health.clone();
            self.state.health_age_ms = 0;
        }
        let horizon = self.horizon_seconds();
        let mut exposures: u64 = 0;
        for second in &self.input.seconds {
            self.state.evidence.take(second, &self.course.triggers, horizon);
            exposures = exposures.saturating_add(second.treatment.requests);
        }
        self.state.evidence.pass(&self.course.triggers, self.elapsed_ms);
        if let Phase::RollingBack { recent, .. } = &mut self.state.phase {
            match recent.last_mut() {
                // No time has gone by: not a tick of its own, or a clock that stands still would fill the state.
                Some((_, counted)) if self.elapsed_ms == 0 => *counted = counted.saturating_add(exposures),
                _ => recent.push((self.elapsed_ms, exposures)),
            }
        } else {
            self.measure_exposures(exposures);
            self.judge_alerts();
        }
        let watched = matches!(
            self.state.phase,
            Phase::Running(
                Doing::Baking | Doing::Holding(Hold::ThinEvidence) | Doing::AwaitingApproval(_) | Doing::AwaitingCalendar { .. }
            )
        );
        if watched && (self.course.is_plain_schedule() || self.is_healthy()) {
            self.state.bake_ms = self.state.bake_ms.saturating_add(self.elapsed_ms);
        }
    }

    /// Between the first step and the end.
    fn live(&mut self) {
        let command = self.input.command.as_ref();
        let is_rolling_back = matches!(self.state.phase, Phase::RollingBack { .. });
        if let Some(by) = self.taken_over() {
            let evidence = format!("{by} changed what the release owns: nothing watches this flag now");
            self.go(Phase::Superseded { by: by.clone() }, Some(by), evidence);
            self.tell_transition(NoticeKind::Transition);
            return self.refuse_command();
        }
        if is_rolling_back {
            self.verify();
            return self.refuse_command();
        }
        if self.input.targeting.killed {
            self.roll_back(Cause::Kill { by: self.input.targeting.by.clone() });
            return self.refuse_command();
        }
        if let Some(command) = command.filter(|command| command.kind == CommandKind::Rollback) {
            let reason = command.reason.clone().unwrap_or_else(|| "no reason given".to_owned());
            return self.roll_back(Cause::Command { by: command.actor.clone(), reason });
        }
        let judged = self.judge();
        if let Some(cause) = judged.fires {
            self.roll_back(cause);
            return self.refuse_command();
        }
        self.note_silence(matches!(judged.hold, Some(Hold::SourceError { .. })));
        let step = self.state.step;
        self.command_live();
        if matches!(self.state.phase, Phase::Running(_)) && self.state.step == step {
            self.progress(judged.hold);
        }
    }

    /// Who changed what the release owns since its last write, killed or not.
    fn taken_over(&self) -> Option<String> {
        let targeting = &self.input.targeting;
        let changed = targeting.rollout_changed || self.state.written.as_ref() != Some(&targeting.owned);
        changed.then(|| targeting.by.clone())
    }

    fn judge(&self) -> Judged {
        let mut judged = Judged { fires: None, hold: None };
        // Those that serve this flag: others of the environment could not have failed.
        let instances = self.state.evidence.reporters();
        for (trigger, verdict) in self.state.evidence.verdicts(&self.course.triggers, instances) {
            match verdict {
                Verdict::Fires(evidence) if judged.fires.is_none() => {
                    judged.fires = Some(Cause::Trigger { name: trigger.name.clone(), evidence });
                }
                Verdict::ControlFails(evidence) => judged.hold = Some(Hold::ControlFails { evidence }),
                Verdict::SourceError(evidence) if judged.hold.is_none() => judged.hold = Some(Hold::SourceError { evidence }),
                Verdict::Fires(_) | Verdict::SourceError(_) | Verdict::Quiet => {}
            }
        }
        judged
    }

    fn measure_exposures(&mut self, exposures: u64) {
        if self.elapsed_ms == 0 {
            return;
        }
        let state = &mut self.state;
        state.exposures_ms = state.exposures_ms.saturating_add(self.elapsed_ms).min(EXPOSURES_MS);
        let (elapsed_ms, measured_ms) = (milliseconds(self.elapsed_ms), milliseconds(state.exposures_ms));
        let rate = crate::evidence::float(exposures) / (elapsed_ms / 1_000.0);
        state.exposures_per_s += (rate - state.exposures_per_s) * elapsed_ms / measured_ms;
    }

    /// Whether telemetry says enough to go on.
    pub(super) fn is_healthy(&self) -> bool {
        self.state.health_age_ms <= HEALTH_MS && self.state.health.is_healthy()
    }

    /// The seconds of bake that the present step may need in all: its own, and as long again for thin evidence.
    fn horizon_seconds(&self) -> u64 {
        let bake = self.course.steps.get(self.state.step).map_or(0, super::Step::bake);
        let more = bake.max(self.course.thin_evidence_ms);
        u64::try_from(bake.saturating_add(more) / 1_000).unwrap_or(0)
    }

    /// Goes to another phase: counted, and written into the timeline.
    pub(super) fn go(&mut self, phase: Phase, actor: Option<String>, evidence: String) {
        self.state.number = self.state.number.saturating_add(1);
        if phase.is_end() {
            self.state.ended_ms = Some(self.now);
        }
        self.effects.push(Effect::Record(Record {
            number: self.state.number,
            at_ms: self.now,
            from: self.state.phase.name().to_owned(),
            to: phase.name().to_owned(),
            step: self.state.step,
            actor,
            evidence,
        }));
        self.state.phase = phase;
    }
}

/// A span as a float.
#[allow(clippy::cast_precision_loss)]
pub(super) fn milliseconds(span_ms: i64) -> f64 {
    span_ms as f64
}
