//! What people ask of a release that is under way.

use super::turn::Turn;
use super::{Command, CommandKind, Doing, Effect, Hold, NoticeKind, Phase, Ticked};
use crate::evidence::SampleRatio;

impl Turn<'_> {
    /// Check boxes can be ticked at any time.
    pub(super) fn tick_box(&mut self) {
        let Some(Command { kind: CommandKind::Tick { item, done }, actor, .. }) = &self.input.command else { return };
        if *item >= self.course.checklist.len() {
            return self.refuse("there is no such check box");
        }
        if *done {
            self.state.ticks.entry(*item).or_insert_with(|| Ticked { by: actor.clone(), at_ms: self.now });
        } else {
            self.state.ticks.remove(item);
        }
    }

    /// Refuses whatever was asked, unless it has been done already.
    pub(super) fn refuse_command(&mut self) {
        let Some(command) = &self.input.command else { return };
        let done = match command.kind {
            CommandKind::Tick { .. } => true,
            CommandKind::Rollback => matches!(self.state.phase, Phase::RollingBack { .. } | Phase::RolledBack { .. }),
            CommandKind::Cancel => matches!(self.state.phase, Phase::Cancelled { .. }),
            _ => false,
        };
        if !done {
            self.refuse(&format!("the release is {}", self.state.phase.name()));
        }
    }

    pub(super) fn refuse(&mut self, why: &str) {
        self.effects.push(Effect::Refuse { why: vec![why.to_owned()] });
    }

    /// Carries out what may be asked of a release that runs or is paused; `Rollback` is dealt with before.
    pub(super) fn command_live(&mut self) {
        let Some(command) = &self.input.command else { return };
        let reason = command.reason.clone().unwrap_or_default();
        let actor = command.actor.clone();
        match command.kind {
            CommandKind::Pause => {
                if !matches!(self.state.phase, Phase::Paused { .. }) {
                    self.go(Phase::Paused { by: actor.clone(), reason: reason.clone() }, Some(actor), reason);
                    self.tell_transition(NoticeKind::Transition);
                }
            }
            CommandKind::Resume => {
                if matches!(self.state.phase, Phase::Paused { .. }) {
                    self.go(Phase::Running(Doing::Baking), Some(actor), reason);
                    self.tell_transition(NoticeKind::Transition);
                } else {
                    self.refuse("the release is not paused");
                }
            }
            CommandKind::Approve => self.approve(actor, reason),
            CommandKind::Advance => self.advance_by_force(actor, &reason),
            CommandKind::Start { .. } | CommandKind::Schedule { .. } => self.refuse("the release has started already"),
            CommandKind::Cancel => self.refuse("the first step is taken: roll back instead"),
            CommandKind::Rollback | CommandKind::Tick { .. } => {}
        }
    }

    fn approve(&mut self, actor: String, reason: String) {
        match self.state.phase {
            Phase::Running(Doing::AwaitingApproval(_)) => {
                self.state.approved = true;
                let counts = self.counts_line();
                self.go(Phase::Running(Doing::Baking), Some(actor), with_reason("approved", &reason, &counts));
            }
            Phase::Running(Doing::Holding(Hold::SampleRatio)) => {
                self.state.unfair = false;
                let SampleRatio { treatment, control } = std::mem::take(&mut self.state.evidence.sample_ratio);
                let counts = format!("{treatment} new units of treatment, {control} of control; the test begins anew");
                self.go(Phase::Running(Doing::Baking), Some(actor), with_reason("sample ratio approved", &reason, &counts));
            }
            _ => self.refuse(&format!("the release is {}: nothing waits for approval", self.state.phase.name())),
        }
    }

    fn advance_by_force(&mut self, actor: String, reason: &str) {
        if !matches!(self.state.phase, Phase::Running(_)) {
            return self.refuse("the release is paused: resume it first");
        }
        if reason.trim().is_empty() {
            return self.refuse("to advance by force needs a reason");
        }
        let counts = self.counts_line();
        self.next_step(Some(actor), with_reason("advanced by force", reason, &counts));
    }
}

fn with_reason(what: &str, reason: &str, counts: &str) -> String {
    if reason.trim().is_empty() { format!("{counts} ({what})") } else { format!("{counts} ({what}: {reason})") }
}
