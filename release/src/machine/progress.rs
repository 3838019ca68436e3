//! The one rule of advance.

use super::turn::Turn;
use super::{Approval, Course, Doing, Effect, Hold, NoticeKind, Owned, Phase, State, Target, Targets};
use crate::evidence::{BOUND_ALPHA, Evidence, SampleRatio, Share, count, float, percent, share_is_above, share_is_below};

/// Telemetry may be missing for so long before the hold is written down: a blink makes no transition, but adds no bake.
const BLINK_MS: i64 = 5_000;
/// When people are told that data is missing.
const TELL_MS: i64 = 60_000;
/// When on-call is.
const ESCALATE_MS: i64 = 600_000;

/// What a running release does next.
enum Next {
    Do(Doing),
    /// Nothing yet: telemetry blinks.
    Wait,
    Advance,
}

impl Turn<'_> {
    /// Goes on, waits or holds. `fault` is what the triggers' sources say against going on.
    pub(super) fn progress(&mut self, fault: Option<Hold>) {
        let percentage = self.course.steps.get(self.state.step).map(|step| step.percentage).unwrap_or_default();
        let watches = !self.course.is_plain_schedule();
        self.state.unfair = self.state.unfair || (watches && self.state.evidence.is_unfair(percentage));
        match self.next(fault, watches) {
            Next::Wait => {}
            Next::Advance => {
                let evidence = self.counts_line();
                self.next_step(None, evidence);
            }
            Next::Do(doing) => self.turn_to(doing),
        }
    }

    /// Faults first, then approval, then the calendar: each asks only once the bake is complete.
    fn next(&self, fault: Option<Hold>, watches: bool) -> Next {
        let (Some(step), upcoming) = (self.course.steps.get(self.state.step), self.course.steps.get(self.state.step.saturating_add(1)))
        else {
            return Next::Wait;
        };
        if self.state.unfair {
            return Next::Do(Doing::Holding(Hold::SampleRatio));
        }
        if let Some(hold) = fault {
            // An answer that is missing once is a blink, as with telemetry.
            if matches!(hold, Hold::SourceError { .. }) && self.state.silent_ms < BLINK_MS {
                return Next::Wait;
            }
            return Next::Do(Doing::Holding(hold));
        }
        if watches && !self.is_healthy() {
            return if self.state.silent_ms >= BLINK_MS { Next::Do(Doing::Holding(Hold::NoData)) } else { Next::Wait };
        }
        let night_ends =
            step.overnight.then(|| self.calendar.night_ends_ms(self.state.step_ms.saturating_add(super::course::OVERNIGHT_MS)));
        if self.state.bake_ms < step.bake() || night_ends.is_some_and(|ends_ms| self.now < ends_ms) {
            return Next::Do(Doing::Baking);
        }
        if !self.state.approved && !self.state.evidence.thin(&self.course.triggers).is_empty() {
            let patience_ms = step.bake().saturating_add(step.bake().max(self.course.thin_evidence_ms));
            let waits = self.state.bake_ms < patience_ms;
            return Next::Do(if waits { Doing::Holding(Hold::ThinEvidence) } else { Doing::AwaitingApproval(Approval::ThinEvidence) });
        }
        if let Some(upcoming) = upcoming {
            if upcoming.approval && !self.state.approved {
                return Next::Do(Doing::AwaitingApproval(Approval::Planned));
            }
            let until_ms = self.allowed_ms(upcoming.not_before_ms);
            if until_ms > self.now {
                return Next::Do(Doing::AwaitingCalendar { until_ms });
            }
        }
        Next::Advance
    }

    /// When a step may go.
    pub(super) fn allowed_ms(&self, not_before_ms: Option<i64>) -> i64 {
        if self.course.ignores_calendar {
            return self.now;
        }
        let earliest = not_before_ms.map_or(self.now, |not_before_ms| not_before_ms.max(self.now));
        self.calendar.next_allowed_ms(earliest).max(earliest)
    }

    /// Does something else than before; what has the same name is no transition.
    fn turn_to(&mut self, doing: Doing) {
        let phase = Phase::Running(doing);
        if phase.name() == self.state.phase.name() {
            self.state.phase = phase;
            return;
        }
        let (kind, evidence) = match &phase {
            Phase::Running(Doing::Holding(Hold::SampleRatio)) => (Some(NoticeKind::Escalation), self.sample_ratio_line()),
            Phase::Running(Doing::Holding(Hold::ControlFails { evidence })) => (Some(NoticeKind::Escalation), evidence.clone()),
            Phase::Running(Doing::Holding(Hold::SourceError { evidence })) => (None, evidence.clone()),
            Phase::Running(Doing::Holding(Hold::NoData)) => (None, self.silence_line()),
            Phase::Running(Doing::Holding(Hold::ThinEvidence) | Doing::AwaitingApproval(Approval::ThinEvidence)) => {
                (Some(NoticeKind::Transition), self.state.evidence.thin(&self.course.triggers).join("; "))
            }
            Phase::Running(Doing::AwaitingApproval(Approval::Planned)) => (Some(NoticeKind::Transition), self.counts_line()),
            _ => (None, self.counts_line()),
        };
        self.go(phase, None, evidence);
        if let Some(kind) = kind {
            self.tell_transition(kind);
        }
    }

    /// Takes the step after the present one; after the last, completes.
    pub(super) fn next_step(&mut self, actor: Option<String>, evidence: String) {
        let upcoming = self.state.step.saturating_add(1);
        if upcoming < self.course.steps.len() {
            self.take_step(upcoming, actor, evidence);
            return;
        }
        let (targets, said) = self.judge_targets();
        self.go(Phase::Completed { targets }, actor, format!("targets {}: {said}; {evidence}", targets.name()));
        self.tell_transition(NoticeKind::Transition);
    }

    /// Writes a step into the targeting and begins to watch it.
    pub(super) fn take_step(&mut self, index: usize, actor: Option<String>, evidence: String) {
        let Some(step) = self.course.steps.get(index) else { return };
        let mut cohorts = self.state.baseline.as_ref().map(|baseline| baseline.cohorts.clone()).unwrap_or_default();
        cohorts.extend(self.course.steps.iter().take(index.saturating_add(1)).flat_map(|step| step.cohorts.iter().cloned()));
        let owned = Owned { enabled: true, percentage: step.percentage, cohorts };
        let state = &mut self.state;
        (state.step, state.step_ms, state.bake_ms, state.approved, state.unfair) = (index, self.now, 0, false, false);
        (state.exposures_per_s, state.exposures_ms) = (0.0, 0);
        state.evidence = Evidence::default();
        state.written = Some(owned.clone());
        self.effects.push(Effect::SetRollout(owned));
        self.go(Phase::Running(Doing::Baking), actor, evidence);
        self.tell_transition(NoticeKind::Transition);
    }

    /// Counts for how long nothing is known, and tells people in time.
    pub(super) fn note_silence(&mut self, source_error: bool) {
        if self.course.is_plain_schedule() || (self.is_healthy() && !source_error) {
            self.state.silent_ms = 0;
            return;
        }
        let before = self.state.silent_ms;
        self.state.silent_ms = before.saturating_add(self.elapsed_ms);
        for (limit_ms, kind) in [(TELL_MS, NoticeKind::Transition), (ESCALATE_MS, NoticeKind::Escalation)] {
            if before < limit_ms && self.state.silent_ms >= limit_ms {
                let text = format!("no data for {} s: {}; the release holds", limit_ms / 1_000, self.silence_line());
                self.tell(kind, &format!("silent-{}-{}", limit_ms / 1_000, self.now), &text);
            }
        }
    }

    fn silence_line(&self) -> String {
        let health = &self.state.health;
        format!("{} of {} instances report and run this step", count(health.current), count(health.heard))
    }

    fn sample_ratio_line(&self) -> String {
        let SampleRatio { treatment, control } = self.state.evidence.sample_ratio;
        let percentage = self.course.steps.get(self.state.step).map(|step| step.percentage).unwrap_or_default();
        let share = percent(float(treatment) / (float(treatment) + float(control)).max(1.0));
        let (treatment, control) = (count(treatment), count(control));
        format!("{share} of new units are in ({treatment} of treatment, {control} of control), not {percentage}: evidence may be biased")
    }

    /// See [`super::State::counts_line`].
    pub(super) fn counts_line(&self) -> String {
        self.state.counts_line(self.course)
    }

    /// What the last step says of the targets: over treatment and cohort, by bounds that hold at any moment.
    fn judge_targets(&self) -> (Targets, String) {
        let (mut verdict, mut said) = (Targets::Met, Vec::new());
        for target in &self.course.targets {
            let (one, hits, trials) = target.judge(&self.state.evidence);
            said.push(format!("{} {} ({} of {})", target.name, one.name(), count(hits), count(trials)));
            verdict = match (verdict, one) {
                (Targets::NotMet, _) | (_, Targets::NotMet) => Targets::NotMet,
                (Targets::NotProven, _) | (_, Targets::NotProven) => Targets::NotProven,
                (Targets::Met, Targets::Met) => Targets::Met,
            };
        }
        (verdict, if said.is_empty() { "none named".to_owned() } else { said.join(", ") })
    }
}

impl State {
    /// The present step's error rate beside the control's, in one line.
    pub fn counts_line(&self, course: &Course) -> String {
        let evidence = &self.evidence;
        let ((hits, trials), (others, compared)) = (evidence.share(Share::Error), Share::Error.of(&evidence.control));
        let rate = |hits: u64, trials: u64| if trials == 0 { "none".to_owned() } else { percent(float(hits) / float(trials)) };
        let control = if compared == 0 { "no control".to_owned() } else { format!("control {}", rate(others, compared)) };
        let watched = if course.is_plain_schedule() { ", nothing watched" } else { "" };
        format!("error_rate {} ({} of {} requests), {control}{watched}", rate(hits, trials), count(hits), count(trials))
    }
}

impl Target {
    /// What a step's evidence says of it, by bounds that hold at any moment: with the requests of treatment and cohort that miss
    /// it, and how many there were in all.
    pub fn judge(&self, evidence: &Evidence) -> (Targets, u64, u64) {
        let (hits, trials) = evidence.share(self.share);
        let limit = self.limit.percent() / 100.0;
        let verdict = if share_is_below(hits, trials, limit, BOUND_ALPHA) {
            Targets::Met
        } else if share_is_above(hits, trials, limit, BOUND_ALPHA) {
            Targets::NotMet
        } else {
            Targets::NotProven
        };
        (verdict, hits, trials)
    }
}
