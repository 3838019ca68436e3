//! Before the first step.

use super::turn::Turn;
use super::{Command, CommandKind, Gate, NoticeKind, Phase};
use crate::evidence::{ArmCounts, BOUND_ALPHA, Evidence, Share, Test, count, float, percent, share_is_above};

/// Under so many seconds of data, limits that today's traffic breaks are a warning and no refusal.
const KNOWN_SECONDS: u64 = 60;

impl Turn<'_> {
    /// Waits for its time or a command.
    pub(super) fn before_start(&mut self) {
        let Phase::Scheduled { start_ms } = self.state.phase else { return };
        for second in &self.input.seconds {
            self.state.evidence.take_counts(second);
        }
        let targeting = &self.input.targeting;
        let was_killed = self.state.was_killed.replace(targeting.killed);
        if targeting.killed && was_killed == Some(false) {
            let (by, reason) = (targeting.by.clone(), "the flag was killed".to_owned());
            self.go(Phase::Cancelled { by: by.clone(), reason: reason.clone() }, Some(by), reason);
            self.tell_transition(NoticeKind::Transition);
            return self.refuse_command();
        }
        match &self.input.command {
            Some(command) => self.command_before_start(command),
            None => self.start_by_itself(start_ms),
        }
    }

    fn command_before_start(&mut self, command: &Command) {
        let reason = command.reason.clone().unwrap_or_default();
        match command.kind {
            CommandKind::Start { from } => {
                let from = from.or(self.state.from);
                let against = self.against_start(from, command.force);
                if against.is_empty() {
                    // What was passed stands in the timeline.
                    let passed = if command.force { self.against_start(from, false) } else { Vec::new() };
                    let by_force = if passed.is_empty() { String::new() } else { format!("by force, past: {}", passed.join(", ")) };
                    let reason =
                        [by_force.as_str(), reason.as_str()].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ");
                    self.start(from.unwrap_or(0), Some(command.actor.clone()), &reason);
                } else {
                    self.effects.push(super::Effect::Refuse { why: against });
                }
            }
            CommandKind::Schedule { start_ms } => {
                let when = start_ms.map_or("when told".to_owned(), |start_ms| format!("at {start_ms} ms"));
                self.go(Phase::Scheduled { start_ms }, Some(command.actor.clone()), format!("starts {when}"));
            }
            CommandKind::Cancel => {
                self.go(Phase::Cancelled { by: command.actor.clone(), reason: reason.clone() }, Some(command.actor.clone()), reason);
                self.tell_transition(NoticeKind::Transition);
            }
            CommandKind::Tick { .. } => {}
            _ => self.refuse("the release has not started"),
        }
    }

    /// A start that is refused is not tried again: a human starts it.
    fn start_by_itself(&mut self, start_ms: Option<i64>) {
        let Some(start_ms) = start_ms else { return };
        let from = self.state.from;
        let not_before_ms = self.course.steps.get(from.unwrap_or(0)).and_then(|step| step.not_before_ms);
        if self.now < start_ms || self.allowed_ms(not_before_ms) > self.now {
            return;
        }
        let mut against = self.against_start(from, false);
        if self.course.steps.get(from.unwrap_or(0)).is_some_and(|step| step.approval) {
            against.push("its first step waits for a human's word: start it by hand".to_owned());
        }
        if against.is_empty() {
            return self.start(from.unwrap_or(0), None, "its time has come");
        }
        let evidence = format!("not started: {}", against.join("; "));
        self.go(Phase::Scheduled { start_ms: None }, None, evidence);
        self.tell_transition(NoticeKind::Escalation);
    }

    fn start(&mut self, from: usize, actor: Option<String>, reason: &str) {
        let mut evidence = today(&self.state.evidence);
        let warnings = self.broken_limits();
        if !warnings.is_empty() {
            evidence = format!("{evidence}; today's traffic breaks {}", warnings.join(", "));
        }
        if !reason.is_empty() {
            evidence = format!("{evidence} ({reason})");
        }
        self.state.baseline = Some(self.input.targeting.owned.clone());
        self.state.started_ms = Some(self.now);
        self.take_step(from, actor, evidence);
    }

    /// What stands against a start; `force` passes what it may.
    fn against_start(&self, from: Option<usize>, force: bool) -> Vec<String> {
        let mut against = Vec::new();
        let targeting = &self.input.targeting;
        if targeting.killed {
            against.push("the flag is killed: revive it first".to_owned());
        }
        let first = self.course.steps.get(from.unwrap_or(0));
        let Some(first) = first else {
            against.push("there is no such step".to_owned());
            return against;
        };
        let serves = targeting.owned.percentage;
        if from.is_none() && targeting.owned.enabled && serves > first.percentage {
            against.push(format!("the flag serves {serves} already, more than the first step: name the step to begin with (from)"));
        }
        if force {
            return against;
        }
        let opens_ms = self.allowed_ms(first.not_before_ms);
        if opens_ms > self.now {
            against.push(format!("the calendar opens in {} min", opens_ms.saturating_sub(self.now) / 60_000 + 1));
        }
        let open = self.course.checklist.iter().enumerate().filter(|(item, _)| !self.state.ticks.contains_key(item));
        against.extend(open.filter(|(_, item)| item.gate == Gate::Start).map(|(_, item)| format!("not ticked: {}", item.text)));
        if self.state.evidence.seconds >= KNOWN_SECONDS {
            against.extend(self.broken_limits().into_iter().map(|limit| format!("today's traffic breaks {limit}")));
        }
        against
    }

    /// The absolute triggers that today's traffic is shown to break.
    fn broken_limits(&self) -> Vec<String> {
        let broken = self.course.triggers.iter().filter_map(|trigger| {
            let Test::Absolute { share, limit } = trigger.test else { return None };
            let (hits, trials) = share.of(&everyone(&self.state.evidence));
            let breaks = share_is_above(hits, trials, limit.percent() / 100.0, BOUND_ALPHA);
            breaks.then(|| format!("{} ({} of {} requests)", trigger.name, count(hits), count(trials)))
        });
        broken.collect()
    }
}

fn everyone(evidence: &Evidence) -> ArmCounts {
    let mut all = evidence.treatment.clone();
    all.add(&evidence.cohort);
    all.add(&evidence.control);
    all
}

fn today(evidence: &Evidence) -> String {
    let (hits, trials) = Share::Error.of(&everyone(evidence));
    match trials {
        0 => "no traffic counted before the start".to_owned(),
        _ => {
            format!("before the start error_rate {} ({} of {} requests)", percent(float(hits) / float(trials)), count(hits), count(trials))
        }
    }
}
