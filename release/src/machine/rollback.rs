//! Turning back, and knowing that it worked.

use super::turn::{Turn, milliseconds};
use super::{Cause, Effect, NoticeKind, Phase};
use crate::evidence::float;

/// Over how much time exposures must have ceased.
const CEASED_MS: i64 = 3_000;
/// How little of the exposures before may be left.
const CEASED_SHARE: f64 = 0.01;
/// The least time after which a rollback is called unverified.
const PATIENCE_MS: i64 = 60_000;

impl Turn<'_> {
    /// Writes the baseline. The end, verified or not, comes in a later evaluation: nothing is claimed before it is seen.
    pub(super) fn roll_back(&mut self, cause: Cause) {
        // There is a baseline since the first step. Were there none, off for everybody is the safe one.
        let baseline = self.state.baseline.clone().unwrap_or_default();
        self.effects.push(Effect::WriteBaseline(baseline.clone()));
        self.state.written = Some(baseline);
        let actor = match &cause {
            Cause::Kill { by } | Cause::Command { by, .. } => Some(by.clone()),
            Cause::Trigger { .. } => None,
        };
        let evidence = cause.line();
        let exposures_before_per_s = self.state.exposures_per_s;
        let phase = Phase::RollingBack { cause, since_ms: self.now, waited_ms: 0, exposures_before_per_s, recent: Vec::new() };
        self.go(phase, actor, evidence);
        self.tell_transition(NoticeKind::Escalation);
    }

    /// Ends a rollback once the baseline is read back (what the release owns is untouched, or this were not asked), every
    /// instance runs it and exposures have ceased; or once its time is over, naming who was not seen to run it.
    pub(super) fn verify(&mut self) {
        let Phase::RollingBack { cause, since_ms, waited_ms, exposures_before_per_s, recent } = &mut self.state.phase else { return };
        *waited_ms = waited_ms.saturating_add(self.elapsed_ms);
        let span = |recent: &[(i64, u64)]| recent.iter().fold(0_i64, |sum, (span_ms, _)| sum.saturating_add(*span_ms));
        while recent.get(1..).is_some_and(|rest| span(rest) >= CEASED_MS) {
            recent.remove(0);
        }
        let (span_ms, exposures) = (span(recent), recent.iter().fold(0_u64, |sum, (_, exposures)| sum.saturating_add(*exposures)));
        let allowed = CEASED_SHARE * *exposures_before_per_s * milliseconds(span_ms) / 1_000.0;
        let ceased = span_ms >= CEASED_MS && (exposures == 0 || float(exposures) < allowed);
        let reached = self.input.health.as_ref().is_some_and(|health| health.heard > 0 && health.behind == 0);
        let late = *waited_ms >= self.course.rollback_time_ms.max(PATIENCE_MS);
        if !(late || ceased && reached) {
            return;
        }
        let (verified, took_ms, cause) = (ceased && reached, self.now.saturating_sub(*since_ms).max(0), cause.clone());
        let silent = if verified { Vec::new() } else { self.state.health.behind_names.clone() };
        let evidence = self.verified_line(verified, ceased, took_ms, &cause);
        self.go(Phase::RolledBack { cause, verified, silent, took_ms }, None, evidence);
        self.tell_transition(if verified { NoticeKind::Transition } else { NoticeKind::Escalation });
    }

    fn verified_line(&self, verified: bool, ceased: bool, took_ms: i64, cause: &Cause) -> String {
        let plan_s = self.course.rollback_time_ms / 1_000;
        let took = format!("{}.{} s of {plan_s} s planned", took_ms / 1_000, took_ms % 1_000 / 100);
        let health = &self.state.health;
        let seen = if verified {
            format!("every instance heard of ({}) runs the baseline", health.heard)
        } else if health.behind > 0 {
            format!("{} instances not seen to run the baseline: {}", health.behind, health.behind_names.join(", "))
        } else if health.heard == 0 {
            "no instance is heard of".to_owned()
        } else if ceased {
            "instances not told of".to_owned()
        } else {
            "the treatment is still served".to_owned()
        };
        format!("{}; {seen}; took {took}", cause.line())
    }
}
