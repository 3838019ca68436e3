//! The evidence of one step: its counts, and where each trigger stands.

use serde::{Deserialize, Serialize};
use storyflag_evaluation::Percentage;

use super::math::float;
use super::text::count;
use super::trigger::{absolute, relative};
use super::{
    ArmCounts, BOUND_ALPHA, Direction, Event, FAILING_UNITS, Mixture, Reading, SampleRatio, Second, Share, TRIGGER_ALPHA, Test, Trigger,
    share_is_below,
};

/// Everything that was counted since a step began. Empty at each new step: its percentage is a new question.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// In by bucket.
    pub treatment: ArmCounts,
    /// Out by bucket.
    pub control: ArmCounts,
    /// In by cohort.
    pub cohort: ArmCounts,
    /// Windows taken in.
    pub seconds: u64,
    /// New units of treatment and control since the step, or since its last fault was approved.
    pub sample_ratio: SampleRatio,
    judges: Vec<Judge>,
}

/// Where one trigger stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judge {
    /// A test on our own counts.
    Counts(Mixture),
    /// A threshold on another source's number.
    Reading {
        /// What it said last.
        last: Option<Reading>,
        /// For how long it has been on the wrong side, in milliseconds.
        over_ms: i64,
    },
}

/// What a trigger says of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing against it so far.
    Quiet,
    /// Turn back; the evidence in words.
    Fires(String),
    /// It would fire, but the control fails alike and the plan says to hold then.
    ControlFails(String),
    /// Its source does not answer: nothing is known.
    SourceError(String),
}

impl Evidence {
    /// Takes in one second. `horizon` is the seconds of bake that the step may need in all.
    pub fn take(&mut self, second: &Second, triggers: &[Trigger], horizon: u64) {
        self.take_counts(second);
        self.fit(triggers);
        for (trigger, judge) in triggers.iter().zip(&mut self.judges) {
            match (&trigger.test, judge) {
                (Test::Absolute { share, limit }, Judge::Counts(mixture)) => {
                    let limit = limit.percent() / 100.0;
                    let window = absolute(*share, limit, Direction::Above, &second.treatment, &second.cohort);
                    mixture.take(&window.factors, horizon);
                }
                (Test::Relative { event, bad, ratio }, Judge::Counts(mixture)) => {
                    let window = relative(event, *ratio, *bad, &second.treatment, &second.control);
                    mixture.take(&window.factors, horizon);
                }
                (_, Judge::Reading { last, .. }) => {
                    let told = second.readings.iter().rev().find(|(name, _)| *name == trigger.name);
                    if let Some((_, reading)) = told {
                        // What is no number could not be read back from JSON.
                        *last = Some(match reading {
                            Reading::Value(value) if !value.is_finite() => Reading::SourceError("not a number".to_owned()),
                            told => told.clone(),
                        });
                    }
                }
                (Test::Reading { .. }, Judge::Counts(_)) => {}
            }
        }
    }

    /// Adds a second's counts without judging them.
    pub fn take_counts(&mut self, second: &Second) {
        self.treatment.add(&second.treatment);
        self.control.add(&second.control);
        self.cohort.add(&second.cohort);
        self.seconds = self.seconds.saturating_add(1);
        self.sample_ratio.take(second.treatment.new_units, second.control.new_units);
    }

    /// Lets time go by for readings: a number on the wrong side has been there for so much longer.
    pub fn pass(&mut self, triggers: &[Trigger], elapsed_ms: i64) {
        self.fit(triggers);
        for (trigger, judge) in triggers.iter().zip(&mut self.judges) {
            if let (Test::Reading { bad, limit, .. }, Judge::Reading { last, over_ms }) = (&trigger.test, judge) {
                let over = matches!(last, Some(Reading::Value(value)) if is_bad(*value, *bad, *limit));
                *over_ms = if over { over_ms.saturating_add(elapsed_ms.max(0)) } else { 0 };
            }
        }
    }

    /// What each trigger says, in their order. `instances` is how many report.
    pub fn verdicts<'a>(&'a self, triggers: &'a [Trigger], instances: u64) -> impl Iterator<Item = (&'a Trigger, Verdict)> {
        triggers.iter().zip(&self.judges).map(move |(trigger, judge)| (trigger, self.verdict(trigger, judge, instances)))
    }

    /// The absolute triggers on our own counts that are not shown to hold, each with its counts.
    pub fn thin(&self, triggers: &[Trigger]) -> Vec<String> {
        let said = self.unproven_shares(triggers);
        said.map(|(_, trigger, (hits, trials))| format!("{}: {} of {} requests", trigger.name, count(hits), count(trials))).collect()
    }

    /// The indices of the same.
    pub fn unproven(&self, triggers: &[Trigger]) -> Vec<usize> {
        self.unproven_shares(triggers).map(|(index, _, _)| index).collect()
    }

    fn unproven_shares<'a>(&self, triggers: &'a [Trigger]) -> impl Iterator<Item = (usize, &'a Trigger, (u64, u64))> {
        triggers.iter().enumerate().filter_map(|(index, trigger)| {
            let Test::Absolute { share, limit } = trigger.test else { return None };
            let (hits, trials) = self.share(share);
            let holds = share_is_below(hits, trials, limit.percent() / 100.0, BOUND_ALPHA);
            (!holds).then_some((index, trigger, (hits, trials)))
        })
    }

    /// What another source said last, by trigger, in their order.
    pub fn readings(&self) -> Vec<Option<Reading>> {
        self.judges.iter().map(|judge| if let Judge::Reading { last, .. } = judge { last.clone() } else { None }).collect()
    }

    /// (counted, all) over treatment and cohort.
    pub fn share(&self, share: Share) -> (u64, u64) {
        let ((hits, trials), (more_hits, more_trials)) = (share.of(&self.treatment), share.of(&self.cohort));
        (hits.saturating_add(more_hits), trials.saturating_add(more_trials))
    }

    /// How many distinct instances had requests of treatment or cohort, as far as they are remembered.
    pub fn reporters(&self) -> u64 {
        let (treatment, cohort) = (&self.treatment.reporters, &self.cohort.reporters);
        let others = cohort.iter().filter(|instance| !treatment.contains(instance)).count();
        u64::try_from(treatment.len().saturating_add(others)).unwrap_or(u64::MAX)
    }

    /// Whether the arms hold other shares of new units than `percentage` says.
    pub fn is_unfair(&self, percentage: Percentage) -> bool {
        self.sample_ratio.is_unfair(percentage)
    }

    /// Each trigger's e-value, in their order; 0 for readings.
    pub fn e_values(&self) -> Vec<f64> {
        self.judges.iter().map(|judge| if let Judge::Counts(mixture) = judge { mixture.e() } else { 0.0 }).collect()
    }

    /// Judges fit for these triggers, as they are if they fit already.
    fn fit(&mut self, triggers: &[Trigger]) {
        if self.judges.len() != triggers.len() {
            let judge = |trigger: &Trigger| match trigger.test {
                Test::Reading { .. } => Judge::Reading { last: None, over_ms: 0 },
                Test::Absolute { .. } | Test::Relative { .. } => Judge::Counts(Mixture::default()),
            };
            self.judges = triggers.iter().map(judge).collect();
        }
    }

    fn verdict(&self, trigger: &Trigger, judge: &Judge, instances: u64) -> Verdict {
        match (&trigger.test, judge) {
            (Test::Absolute { share, limit }, Judge::Counts(mixture)) if fires(mixture) && self.is_broad(&share.event(), instances) => {
                let control_fails = control_fails(*share, *limit, &self.control);
                let line = self.absolute_line(*share, *limit, mixture, control_fails);
                let holds = control_fails && trigger.unless_control_fails;
                if holds { Verdict::ControlFails(line) } else { Verdict::Fires(line) }
            }
            (Test::Relative { event, bad, ratio }, Judge::Counts(mixture)) if fires(mixture) => {
                Verdict::Fires(self.relative_line(event, *bad, *ratio, mixture))
            }
            (Test::Reading { bad, limit, for_ms }, Judge::Reading { last, over_ms }) => match last {
                Some(Reading::Value(value)) if is_bad(*value, *bad, *limit) && over_ms >= for_ms => {
                    let line = format!("{}: {value} for {} s", trigger.name, over_ms / 1_000);
                    Verdict::Fires(line)
                }
                Some(Reading::Value(_)) => Verdict::Quiet,
                Some(Reading::SourceError(cause)) => Verdict::SourceError(format!("{}: {cause}", trigger.name)),
                None => Verdict::SourceError(format!("{}: no answer yet", trigger.name)),
            },
            _ => Verdict::Quiet,
        }
    }

    /// Whether enough distinct units failed, and not on one instance alone where two report: one sick client or one bad
    /// host must not turn a release back.
    fn is_broad(&self, event: &Event, instances: u64) -> bool {
        let none = super::EventCounts::default();
        let (treatment, cohort) = (self.treatment.event(event).unwrap_or(&none), self.cohort.event(event).unwrap_or(&none));
        let on = &treatment.instances;
        let on_two = on.len() >= 2 || cohort.instances.iter().any(|instance| on.first() != Some(instance) && !on.is_empty());
        self.failing_units(event) >= FAILING_UNITS && (instances < 2 || on_two || cohort.instances.len() >= 2)
    }
}

fn fires(mixture: &Mixture) -> bool {
    mixture.e() >= 1.0 / TRIGGER_ALPHA
}

/// Whether the control is over the limit too: by its plain rate, since this only ever explains or holds.
fn control_fails(share: Share, limit: Percentage, control: &ArmCounts) -> bool {
    let (hits, trials) = share.of(control);
    trials > 0 && float(hits) > limit.percent() / 100.0 * float(trials)
}

pub(crate) fn is_bad(value: f64, bad: Direction, limit: f64) -> bool {
    match bad {
        Direction::Above => value > limit,
        Direction::Below => value < limit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::EventCounts;

    fn error_rate() -> Trigger {
        let limit = Percentage::from_percent(5.0).unwrap();
        Trigger { name: "error_rate > 5%".into(), test: Test::Absolute { share: Share::Error, limit }, unless_control_fails: false }
    }

    fn failing(requests: u64, errors: u64, unit: u64, instance: &str) -> Second {
        let counts =
            EventCounts { count: errors, at_risk: requests, first: errors.min(1), units: vec![unit], instances: vec![instance.into()] };
        let treatment = ArmCounts {
            requests,
            success: requests - errors,
            error: errors,
            errors: if errors > 0 { counts } else { EventCounts::default() },
            ..ArmCounts::default()
        };
        Second { treatment, ..Second::default() }
    }

    fn fired(evidence: &Evidence, triggers: &[Trigger], instances: u64) -> bool {
        evidence.verdicts(triggers, instances).any(|(_, verdict)| matches!(verdict, Verdict::Fires(_)))
    }

    #[test]
    fn total_failure_needs_four_requests_three_units_and_two_instances() {
        let triggers = [error_rate()];
        let mut evidence = Evidence::default();
        for request in 0..4 {
            assert!(!fired(&evidence, &triggers, 1), "after {request}");
            evidence.take(&failing(1, 1, request, "a"), &triggers, 1_800);
        }
        assert!(fired(&evidence, &triggers, 1));
        assert!(!fired(&evidence, &triggers, 2));
        evidence.take(&failing(1, 1, 9, "b"), &triggers, 1_800);
        assert!(fired(&evidence, &triggers, 2));
        let (_, verdict) = evidence.verdicts(&triggers, 2).next().unwrap();
        let Verdict::Fires(line) = verdict else { panic!("{verdict:?}") };
        assert!(line.starts_with("error_rate 100 % (5 of 5 requests, 5 units) > 5 %, no control; e = "), "{line}");
    }

    #[test]
    fn one_unit_alone_never_turns_back() {
        let triggers = [error_rate()];
        let mut evidence = Evidence::default();
        for _ in 0..1_000 {
            evidence.take(&failing(1, 1, 7, "a"), &triggers, 1_800);
        }
        assert!(!fired(&evidence, &triggers, 1));
        assert_eq!(evidence.thin(&triggers), ["error_rate > 5%: 1,000 of 1,000 requests"]);
    }

    #[test]
    fn two_errors_in_three_requests_are_not_evidence() {
        let triggers = [error_rate()];
        let mut evidence = Evidence::default();
        for (unit, errors) in [(1, 1), (2, 1), (3, 0)] {
            evidence.take(&failing(1, errors, unit, "a"), &triggers, 1_800);
        }
        assert!(!fired(&evidence, &triggers, 1));
    }

    #[test]
    fn a_reading_fires_after_its_time_and_never_without_a_number() {
        let test = Test::Reading { bad: Direction::Above, limit: 3.0, for_ms: 5_000 };
        let triggers = [Trigger { name: "prometheus".into(), test, unless_control_fails: false }];
        let mut evidence = Evidence::default();
        let told = |reading| Second { readings: vec![("prometheus".into(), reading)], ..Second::default() };
        evidence.take(&told(Reading::Value(f64::NAN)), &triggers, 0);
        evidence.pass(&triggers, 60_000);
        assert!(matches!(evidence.verdicts(&triggers, 1).next().unwrap().1, Verdict::SourceError(_)));
        evidence.take(&told(Reading::Value(4.0)), &triggers, 0);
        evidence.pass(&triggers, 4_000);
        assert!(!fired(&evidence, &triggers, 1));
        evidence.pass(&triggers, 1_000);
        assert!(fired(&evidence, &triggers, 1));
    }
}
