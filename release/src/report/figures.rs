//! What was measured of an arm: no figure without its counts, no rate of nothing.

use std::collections::BTreeMap;

use serde::Serialize;
use storyflag_evaluation::Arm;

use super::{ArmSums, Moment};
use crate::evidence::{ArmCounts, BOUND_ALPHA, Event, EventCounts, Interval, Share, float, quantile, ratio_interval, share_interval};

/// A share of requests. Nothing is said of an arm without requests.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rate {
    /// Requests that are counted here.
    pub count: u64,
    /// Of so many.
    pub of: u64,
    /// The share, 0 to 1.
    pub value: Option<f64>,
    /// Not less: holds at every moment at once, but with a chance of 5 %.
    pub low: Option<f64>,
    /// Not more.
    pub high: Option<f64>,
}

impl Rate {
    pub(super) fn of(count: u64, of: u64) -> Self {
        let count = count.min(of);
        if of == 0 {
            return Self { count, of, value: None, low: None, high: None };
        }
        let Interval { lower, upper } = share_interval(count, of, BOUND_ALPHA);
        Self { count, of, value: Some(float(count) / float(of)), low: Some(lower), high: Some(upper) }
    }
}

/// A quantile of latency, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Latency {
    /// The upper bound of the bucket that holds it.
    pub value: f64,
    /// Not less: holds at every moment at once, but with a chance of 5 %.
    pub low: f64,
    /// Not more.
    pub high: f64,
}

/// The quantiles of an arm's latency, in milliseconds; none where no latency was told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Latencies {
    /// Half of the requests take at most so long.
    pub p50: Option<Latency>,
    /// 95 % do.
    pub p95: Option<Latency>,
    /// 99 % do.
    pub p99: Option<Latency>,
}

impl Latencies {
    fn of(buckets: &[(u64, u64)]) -> Self {
        let mut sorted: BTreeMap<u64, u64> = BTreeMap::new();
        for (upper_us, count) in buckets {
            let known = sorted.entry(*upper_us).or_default();
            *known = known.saturating_add(*count);
        }
        let buckets: Vec<(u64, u64)> = sorted.into_iter().collect();
        let at = |share| {
            let millis = |us: u64| float(us) / 1_000.0;
            let found = quantile(&buckets, share, BOUND_ALPHA)?;
            Some(Latency { value: millis(found.value), low: millis(found.lower), high: millis(found.upper) })
        };
        Self { p50: at(0.5), p95: at(0.95), p99: at(0.99) }
    }
}

/// A tracked event in one arm.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EventFigures {
    /// How often it was tracked.
    pub count: u64,
    /// How often per unit; none where the units are not known.
    pub per_unit: Option<f64>,
    /// The sum of its values, in the application's unit; none where none was told, or no sum can be made.
    pub value_sum: Option<f64>,
}

impl EventFigures {
    pub(super) fn of(count: u64, units: Option<u64>, value_sum: Option<f64>) -> Self {
        let per_unit = units.filter(|units| *units > 0).map(|units| float(count) / float(units));
        Self { count, per_unit, value_sum: value_sum.filter(|sum| sum.is_finite()) }
    }
}

/// What one arm counted in one step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ArmFigures {
    /// `treatment`, `control` or `cohort`.
    pub arm: &'static str,
    /// Exposures: requests in which the flag was asked for.
    pub requests: u64,
    /// Requests that went well.
    pub success: u64,
    /// Requests that failed by the caller's fault.
    pub failure: u64,
    /// Requests that failed by ours.
    pub error: u64,
    /// Requests whose client went away: in no rate.
    pub cancelled: u64,
    /// Requests that saw two arms: in no rate.
    pub mixed: u64,
    /// Errors of success, failure and error.
    pub error_rate: Rate,
    /// Successes of success, failure and error.
    pub success_rate: Rate,
    /// By limit in milliseconds: slower requests of success, failure and error.
    pub slow: BTreeMap<u32, Rate>,
    /// In milliseconds.
    pub latency_ms: Latencies,
    /// Distinct units ever exposed in this step, as estimated.
    pub units: Option<u64>,
    /// By name.
    pub events: BTreeMap<String, EventFigures>,
    /// When something was counted first.
    pub first_at: Option<Moment>,
    /// When something was counted last.
    pub last_at: Option<Moment>,
}

impl ArmFigures {
    pub(super) fn of(sums: &ArmSums, limits_ms: &[u32]) -> Self {
        let counts = &sums.counts;
        let judged = counts.judged();
        let rate = |share: Share| {
            let (hits, trials) = share.of(counts);
            Rate::of(hits, trials)
        };
        // A limit that no request broke is not told by telemetry: nothing was slower.
        let limits = limits_ms.iter().chain(counts.slow.keys());
        let event = |(name, event): (&String, &EventCounts)| {
            (name.clone(), EventFigures::of(event.count, sums.units, sums.values.get(name).copied()))
        };
        Self {
            arm: sums.arm.name(),
            requests: counts.requests,
            success: counts.success,
            failure: counts.failure,
            error: counts.error,
            cancelled: counts.cancelled,
            mixed: counts.mixed,
            error_rate: rate(Share::Error),
            success_rate: Rate::of(counts.success, judged),
            slow: limits.map(|limit_ms| (*limit_ms, rate(Share::Slow { limit_ms: *limit_ms }))).collect(),
            latency_ms: Latencies::of(&sums.latency_us),
            units: sums.units,
            events: counts.named.iter().map(event).collect(),
            first_at: sums.seen_ms.map(|(first_ms, _)| Moment::of(first_ms)),
            last_at: sums.seen_ms.map(|(_, last_ms)| Moment::of(last_ms)),
        }
    }
}

/// How many times the control's rate the treatment's is, by units and their first events.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// `error`, `not_success`, `slow_1000`, or `event_purchase`.
    pub measure: String,
    /// First events of treatment.
    pub treatment: u64,
    /// First events of control.
    pub control: u64,
    /// How many times; none where the control had no such event.
    pub ratio: Option<f64>,
    /// Not less: holds at every moment at once, but with a chance of 5 %.
    pub low: f64,
    /// Not more; none where the control had no such event, and nothing bounds it.
    pub high: Option<f64>,
    /// `higher` or `lower` where the interval shows it, else `not shown to differ`.
    pub says: &'static str,
}

/// Whatever both arms were at risk of and one of them had. Each step is compared by itself: over steps of different shares, a sum
/// would compare days with nights.
pub(super) fn comparisons(treatment: &ArmCounts, control: &ArmCounts) -> Vec<Comparison> {
    let mut events = vec![("error".to_owned(), Event::Error), ("not_success".to_owned(), Event::NotSuccess)];
    let limits = treatment.slow.keys().filter(|limit_ms| control.slow.contains_key(*limit_ms));
    events.extend(limits.map(|limit_ms| (format!("slow_{limit_ms}"), Event::Slow { limit_ms: *limit_ms })));
    let names = treatment.named.keys().filter(|name| control.named.contains_key(*name));
    events.extend(names.map(|name| (format!("event_{name}"), Event::Named { name: name.clone() })));
    let compare = |(measure, event): (String, Event)| comparison(measure, treatment.event(&event)?, control.event(&event)?);
    events.into_iter().filter_map(compare).collect()
}

fn comparison(measure: String, treatment: &EventCounts, control: &EventCounts) -> Option<Comparison> {
    let pair = |event: &EventCounts| (event.first, event.at_risk.max(event.first));
    let ((hits, exposed), (others, compared)) = (pair(treatment), pair(control));
    let Interval { lower, upper } = ratio_interval((hits, exposed), (others, compared), BOUND_ALPHA)?;
    // Without an event of the control nothing bounds the ratio from above.
    let high = (others > 0 && upper.is_finite()).then_some(upper);
    let says = if lower > 1.0 {
        "higher"
    } else if high.is_some_and(|high| high < 1.0) {
        "lower"
    } else {
        "not shown to differ"
    };
    let ratio = (others > 0).then(|| float(hits) * float(compared) / (float(others) * float(exposed)));
    Some(Comparison { measure, treatment: hits, control: others, ratio, low: lower, high, says })
}

/// The sums of a revision and arm, if anything was told.
pub(super) fn sums_of(sums: &[ArmSums], revision: Option<u64>, arm: Arm) -> Option<ArmSums> {
    let mut found = sums.iter().filter(|sums| Some(sums.revision) == revision && sums.arm == arm);
    let mut first = found.next()?.clone();
    found.for_each(|more| first.add(more));
    Some(first)
}

impl ArmSums {
    /// Adds what else was counted of the same arm. Distinct units cannot be added: the larger number is the better estimate.
    pub fn add(&mut self, other: &Self) {
        self.counts.add(&other.counts);
        for (name, sum) in &other.values {
            *self.values.entry(name.clone()).or_default() += sum;
        }
        self.latency_us.extend(&other.latency_us);
        self.units = self.units.max(other.units);
        self.seen_ms = match (self.seen_ms, other.seen_ms) {
            (Some(mine), Some(theirs)) => Some((mine.0.min(theirs.0), mine.1.max(theirs.1))),
            (mine, theirs) => mine.or(theirs),
        };
    }
}
