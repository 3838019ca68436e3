//! What turns a release back, and what a limit is made of.

use std::fmt;

use serde::{Deserialize, Serialize};
use storyflag_evaluation::Percentage;

use super::math::float;
use super::share::Arm;
use super::{ArmCounts, Direction, Event, EventCounts, relative_factors, share_factors};

/// A share of requests: of success, failure and error together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Share {
    /// Ours to blame: `error_rate`.
    Error,
    /// Failures and errors: `success_rate < 95%` is "more than 5 % are not successful".
    NotSuccess,
    /// Slower than a limit: `p95_latency > 1000ms` is "more than 5 % are slower than 1000 ms".
    Slow {
        /// In milliseconds.
        limit_ms: u32,
    },
}

impl Share {
    /// The event that befalls a unit when a request of it is counted here.
    pub fn event(self) -> Event {
        match self {
            Self::Error => Event::Error,
            Self::NotSuccess => Event::NotSuccess,
            Self::Slow { limit_ms } => Event::Slow { limit_ms },
        }
    }

    /// (counted here, all) of an arm's requests.
    pub fn of(self, counts: &ArmCounts) -> (u64, u64) {
        let hits = match self {
            Self::Error => counts.error,
            Self::NotSuccess => counts.failure.saturating_add(counts.error),
            Self::Slow { limit_ms } => counts.slow.get(&limit_ms).map_or(0, |slow| slow.count),
        };
        let judged = counts.judged();
        (hits.min(judged), judged)
    }
}

/// As plans write it: `error_rate`, `slow(1000ms)`.
impl fmt::Display for Share {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error => formatter.write_str("error_rate"),
            Self::NotSuccess => formatter.write_str("not_success_rate"),
            Self::Slow { limit_ms } => write!(formatter, "slow({limit_ms}ms)"),
        }
    }
}

/// What a trigger or an alert tests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// More requests of treatment and cohort than this are bad.
    Absolute {
        /// Which are bad.
        share: Share,
        /// How many of all may be.
        limit: Percentage,
    },
    /// The treatment's rate of first events is on the wrong side of so many times the control's. Says nothing while the
    /// control is empty.
    Relative {
        /// What is counted.
        event: Event,
        /// Which side is wrong.
        bad: Direction,
        /// How many times the control's rate is allowed.
        ratio: f64,
    },
    /// A number from another source is on the wrong side of a threshold, for so long: no statistics.
    Reading {
        /// Which side is wrong.
        bad: Direction,
        /// The threshold.
        limit: f64,
        /// For how long, in milliseconds.
        for_ms: i64,
    },
}

/// What another source said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// One number.
    Value(f64),
    /// No single number: NaN, empty, several series, a time-out. The text says which.
    SourceError(String),
}

/// A condition that turns the release back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trigger {
    /// As the plan writes it: `error_rate > 5%`. Names the readings of a [`Test::Reading`].
    pub name: String,
    /// What it tests.
    pub test: Test,
    /// For an absolute test: hold and page, rather than turn back, while the control fails alike.
    #[serde(default)]
    pub unless_control_fails: bool,
}

/// One window of a test on our own counts: its factors for the wrong side and whether anything was there to be judged.
pub(crate) struct Window<const J: usize> {
    pub(crate) factors: [f64; J],
    pub(crate) empty: bool,
}

pub(crate) fn absolute(share: Share, limit: f64, bad: Direction, treatment: &ArmCounts, cohort: &ArmCounts) -> Window<8> {
    let ((hits, trials), (more_hits, more_trials)) = (share.of(treatment), share.of(cohort));
    let (hits, trials) = (hits.saturating_add(more_hits), trials.saturating_add(more_trials));
    Window { factors: share_factors(hits, trials, limit, bad), empty: trials == 0 }
}

pub(crate) fn relative(event: &Event, ratio: f64, bad: Direction, treatment: &ArmCounts, control: &ArmCounts) -> Window<7> {
    let arm = |counts: &ArmCounts| {
        counts
            .event(event)
            .map_or(Arm { at_risk: 0, first: 0 }, |event| Arm { at_risk: event.at_risk.max(event.first), first: event.first })
    };
    let (treatment, control) = (arm(treatment), arm(control));
    Window { factors: relative_factors(treatment, control, ratio, bad), empty: treatment.at_risk == 0 || control.at_risk == 0 }
}

/// First events over units at risk: how many times one arm's rate is the other's. `None` where a rate is nothing.
pub(crate) fn times(treatment: &EventCounts, control: &EventCounts) -> Option<f64> {
    let products = (float(treatment.first) * float(control.at_risk), float(control.first) * float(treatment.at_risk));
    (products.1 > 0.0).then(|| products.0 / products.1)
}
