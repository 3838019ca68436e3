//! What triggers, alerts and targets say: `error_rate > 5%`, `slow(1000ms) > 1.25x control`.

mod parse;

use std::fmt;

use serde::{Serialize, Serializer};
use storyflag_evaluation::Percentage;

pub use parse::ConditionError;

use crate::plan::Span;

/// A measure against a bound.
///
/// ```
/// use storyflag_release::plan::Condition;
/// let condition = Condition::parse("Response time > 1000ms (p95)").unwrap();
/// assert_eq!(condition.text, "p95_latency > 1000ms");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// Its canonical form, whatever the plan's words were.
    pub text: String,
    /// What is measured.
    pub measure: Measure,
    /// On which side of the bound the condition holds.
    pub comparison: Comparison,
    /// The bound.
    pub bound: Bound,
    /// How long it must hold: `for 5m`, of Prometheus queries only, since our own metrics are judged by tests that need no such guard.
    pub lasting: Option<Span>,
}

/// What a condition measures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Measure {
    /// `error_rate`: requests that ended in an error of ours, of all.
    ErrorRate,
    /// `success_rate`: requests that succeeded, of all.
    SuccessRate,
    /// `p95_latency`: the latency that this share of requests stays under.
    Latency(Quantile),
    /// `slow(1000ms)`: requests slower than this, of all.
    Slow {
        /// In milliseconds.
        limit_ms: u64,
    },
    /// `event(purchase)`: tracked events per exposed unit.
    Event(String),
    /// `prometheus("...")`: a number that a query answers.
    Prometheus(String),
}

/// Which part of the requests a latency speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantile {
    /// Half of them.
    P50,
    /// 90 %.
    P90,
    /// 95 %.
    P95,
    /// 99 %.
    P99,
}

impl Quantile {
    const ALL: [Self; 4] = [Self::P50, Self::P90, Self::P95, Self::P99];

    /// As it is written: `p95`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P95 => "p95",
            Self::P99 => "p99",
        }
    }

    /// The share of requests that may be slower: p95 leaves 5 %.
    pub fn share_above(self) -> Percentage {
        let millionths = match self {
            Self::P50 => 500_000,
            Self::P90 => 100_000,
            Self::P95 => 50_000,
            Self::P99 => 10_000,
        };
        Percentage::from_millionths(millionths).unwrap_or(Percentage::ALL)
    }
}

/// On which side of the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
    /// `<`
    Less,
    /// `<=`
    AtMost,
}

impl Comparison {
    /// As it is written.
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Greater => ">",
            Self::AtLeast => ">=",
            Self::Less => "<",
            Self::AtMost => "<=",
        }
    }

    /// Whether the condition holds above its bound.
    pub const fn is_upwards(self) -> bool {
        matches!(self, Self::Greater | Self::AtLeast)
    }

    /// Whether `value` stands so to `bound`; NaN never does.
    pub fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Self::Greater => value > bound,
            Self::AtLeast => value >= bound,
            Self::Less => value < bound,
            Self::AtMost => value <= bound,
        }
    }
}

/// What a measure is held against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// `5%`: a share of the requests.
    Share(Percentage),
    /// `1000ms`, `1s`.
    Latency {
        /// In milliseconds.
        limit_ms: u64,
    },
    /// A plain number.
    Number(f64),
    /// `1.25x control`: so many times what the control arm shows.
    TimesControl(f64),
}

/// What a failing request or unit did, as telemetry names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Failing {
    /// `error`
    Error,
    /// `not_success`
    NotSuccess,
    /// `slow_1000`
    Slow {
        /// In milliseconds.
        limit_ms: u64,
    },
}

/// As telemetry names it.
impl fmt::Display for Failing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error => formatter.write_str("error"),
            Self::NotSuccess => formatter.write_str("not_success"),
            Self::Slow { limit_ms } => write!(formatter, "slow_{limit_ms}"),
        }
    }
}

impl Condition {
    /// Reads one, in the condition language or in the words of the team's deployment plan.
    ///
    /// # Errors
    /// What is not right, at which column, and what would be.
    pub fn parse(text: &str) -> Result<Self, ConditionError> {
        parse::condition(text)
    }

    pub(crate) fn new(measure: Measure, comparison: Comparison, bound: Bound, lasting: Option<Span>) -> Self {
        let mut condition = Self { text: String::new(), measure, comparison, bound, lasting };
        condition.text = condition.canonical();
        condition
    }

    /// Whether it compares with the control arm.
    pub const fn is_relative(&self) -> bool {
        matches!(self.bound, Bound::TimesControl(_))
    }

    /// What fails, for the measures that count failing requests: `success_rate` counts those that are no success, a latency those that
    /// are slower. None for events and Prometheus.
    pub fn failing(&self) -> Option<Failing> {
        match (&self.measure, self.bound) {
            (Measure::ErrorRate, _) => Some(Failing::Error),
            (Measure::SuccessRate, _) => Some(Failing::NotSuccess),
            (Measure::Latency(_), Bound::Latency { limit_ms }) => Some(Failing::Slow { limit_ms }),
            (Measure::Slow { limit_ms }, _) => Some(Failing::Slow { limit_ms: *limit_ms }),
            _ => None,
        }
    }

    /// The share of failing requests at the bound of an absolute condition: 5 % for `error_rate > 5%`, `success_rate < 95%` and
    /// `p95_latency > 1000ms` alike. Over it is always the bad side.
    pub fn failing_limit(&self) -> Option<Percentage> {
        match (&self.measure, self.bound) {
            (Measure::ErrorRate | Measure::Slow { .. }, Bound::Share(share)) => Some(share),
            (Measure::SuccessRate, Bound::Share(share)) => Percentage::from_millionths(Percentage::ALL.millionths() - share.millionths()),
            (Measure::Latency(quantile), Bound::Latency { .. }) => Some(quantile.share_above()),
            _ => None,
        }
    }

    /// The latency that it needs counted over, if any: what the ruleset's `limits_ms` lists.
    pub fn limit_ms(&self) -> Option<u64> {
        match self.failing() {
            Some(Failing::Slow { limit_ms }) => Some(limit_ms),
            _ => None,
        }
    }

    /// What it asks Prometheus, if anything.
    pub fn query(&self) -> Option<&str> {
        match &self.measure {
            Measure::Prometheus(query) => Some(query),
            _ => None,
        }
    }

    /// Whether it holds when things go badly. None where the measure does not say which side is bad: events and Prometheus.
    pub fn holds_when_bad(&self) -> Option<bool> {
        match self.measure {
            Measure::SuccessRate => Some(!self.comparison.is_upwards()),
            Measure::ErrorRate | Measure::Latency(_) | Measure::Slow { .. } => Some(self.comparison.is_upwards()),
            Measure::Event(_) | Measure::Prometheus(_) => None,
        }
    }

    fn canonical(&self) -> String {
        let mut text = format!("{} {} {}", self.measure, self.comparison.sign(), self.bound);
        if let Some(lasting) = self.lasting {
            text.push_str(&format!(" for {lasting}"));
        }
        text
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ErrorRate => formatter.write_str("error_rate"),
            Self::SuccessRate => formatter.write_str("success_rate"),
            Self::Latency(quantile) => write!(formatter, "{}_latency", quantile.name()),
            Self::Slow { limit_ms } => write!(formatter, "slow({limit_ms}ms)"),
            Self::Event(name) => write!(formatter, "event({name})"),
            Self::Prometheus(query) => {
                write!(formatter, "prometheus(\"{}\")", query.replace('\\', "\\\\").replace('"', "\\\""))
            }
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share(share) => write!(formatter, "{}%", share.percent()),
            Self::Latency { limit_ms } => write!(formatter, "{limit_ms}ms"),
            Self::Number(number) => write!(formatter, "{number}"),
            Self::TimesControl(times) => write!(formatter, "{times}x control"),
        }
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}
