//! How long each step would need to notice trouble, at today's traffic.

use serde::{Deserialize, Serialize};
use storyflag_evaluation::Percentage;

use super::Course;
use crate::evidence::{
    Arm, BOUND_ALPHA, Direction, Event, FAILING_UNITS, Share, TRIGGER_ALPHA, Test, relative_factors, share_factors, share_is_below,
};

/// Rates are multiplied by so many seconds to become counts.
const SCALE: f64 = 1e6;
/// A base error rate is taken as at least this: ten times nothing is nothing.
const LEAST_RATE: f64 = 0.000_1;
/// How many requests a proof is looked for in.
const PROOF_REQUESTS: u64 = 1 << 30;

/// Today's traffic of a flag.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    /// Requests a second that are bucketed.
    pub requests_per_s: f64,
    /// Requests a second that are in by cohort.
    pub cohort_requests_per_s: f64,
    /// Errors over all requests, 0 to 1.
    pub error_rate: f64,
}

/// What one step can see. Times are milliseconds; `None` is never.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prediction {
    /// The step's index.
    pub step: usize,
    /// Its percentage.
    pub percentage: Percentage,
    /// About how long until errors ten times as frequent as today turn it back.
    pub spike_ms: Option<i64>,
    /// About how long until the failure of every request does.
    pub total_failure_ms: Option<i64>,
    /// How long until today's error rate shows that the absolute limits on errors hold.
    pub proof_ms: Option<i64>,
    /// What the step is too small for: a warning, never a fault.
    pub warning: Option<String>,
}

/// Predicts every step of a course. About half of all troubles are noticed sooner; 95 % within about twice the time.
pub fn predict(course: &Course, traffic: &Traffic) -> Vec<Prediction> {
    let traffic = Traffic {
        requests_per_s: rate(traffic.requests_per_s),
        cohort_requests_per_s: rate(traffic.cohort_requests_per_s),
        error_rate: rate(traffic.error_rate).clamp(LEAST_RATE, 1.0),
    };
    course.steps.iter().enumerate().map(|(index, _)| predict_step(course, index, &traffic)).collect()
}

fn predict_step(course: &Course, index: usize, traffic: &Traffic) -> Prediction {
    let (percentage, bake_ms) = course.steps.get(index).map_or((Percentage::ZERO, 0), |step| (step.percentage, step.bake()));
    let share = percentage.percent() / 100.0;
    let (treatment, control) = (traffic.requests_per_s * share, traffic.requests_per_s * (1.0 - share));
    let exposed = treatment + traffic.cohort_requests_per_s;
    let base = traffic.error_rate;
    let notice = |broken: f64| {
        let seconds = course.triggers.iter().filter_map(|trigger| match &trigger.test {
            Test::Absolute { share: Share::Error | Share::NotSuccess, limit } => {
                let factors = share_factors(whole(exposed * broken), whole(exposed), limit.percent() / 100.0, Direction::Above);
                noticed(&factors, exposed * broken)
            }
            Test::Relative { event: Event::Error | Event::NotSuccess, bad: Direction::Above, ratio } => {
                let arm = |requests: f64, rate: f64| Arm { at_risk: whole(requests), first: whole(requests * rate) };
                noticed(&relative_factors(arm(treatment, broken), arm(control, base), *ratio, Direction::Above), treatment * broken)
            }
            _ => None,
        });
        seconds.min_by(f64::total_cmp).map(to_ms)
    };
    let (spike_ms, total_failure_ms) = (notice((base * 10.0).min(1.0)), notice(1.0));
    let proof_ms =
        proof_requests(course, base).and_then(|requests| (exposed > 0.0).then(|| to_ms(crate::evidence::float(requests) / exposed)));
    let too_late = |time_ms: Option<i64>, limit_ms: i64| time_ms.is_none_or(|time_ms| time_ms > limit_ms);
    let patience_ms = bake_ms.saturating_add(bake_ms.max(course.thin_evidence_ms));
    let warning = if course.is_plain_schedule() {
        Some("nothing is watched: a plain schedule".to_owned())
    } else if too_late(total_failure_ms, bake_ms) {
        Some("too little traffic to notice even a total failure within the bake".to_owned())
    } else if too_late(proof_ms, patience_ms) {
        Some("too little traffic to show that the limits hold: it will wait for approval".to_owned())
    } else if spike_ms.is_none() && control <= 0.0 {
        Some("nobody is left to compare with: ten times today's errors stay below the absolute limits".to_owned())
    } else if too_late(spike_ms, bake_ms) {
        Some("too little traffic to notice ten times today's errors within the bake".to_owned())
    } else {
        None
    };
    Prediction { step: index, percentage, spike_ms, total_failure_ms, proof_ms, warning }
}

/// Seconds until the best alternative's stake has grown enough, and enough units can have failed.
fn noticed(factors: &[f64], failures_per_s: f64) -> Option<f64> {
    let growth_per_s = factors.iter().copied().fold(0.0, f64::max) / SCALE;
    let alternatives = crate::evidence::float(u64::try_from(factors.len()).unwrap_or(1)).max(1.0);
    let needed = -TRIGGER_ALPHA.ln() + alternatives.ln();
    let units = crate::evidence::float(u64::try_from(FAILING_UNITS).unwrap_or(0));
    (growth_per_s > 0.0 && failures_per_s > 0.0).then(|| (needed / growth_per_s).max(units / failures_per_s))
}

/// The fewest requests, to a power of two's quarter, at which this error rate shows every absolute limit on errors.
fn proof_requests(course: &Course, error_rate: f64) -> Option<u64> {
    let limits = course.triggers.iter().filter_map(|trigger| match trigger.test {
        Test::Absolute { share: Share::Error | Share::NotSuccess, limit } => Some(limit.percent() / 100.0),
        _ => None,
    });
    let strictest = limits.min_by(f64::total_cmp)?;
    let mut requests = 16_u64;
    while requests <= PROOF_REQUESTS {
        let errors = whole(error_rate * crate::evidence::float(requests) / SCALE);
        if share_is_below(errors, requests, strictest, BOUND_ALPHA) {
            return Some(requests);
        }
        requests = requests.saturating_add(requests / 4);
    }
    None
}

/// A rate that can be reckoned with.
fn rate(rate: f64) -> f64 {
    if rate.is_finite() { rate.clamp(0.0, 1e9) } else { 0.0 }
}

/// A rate a second as a count in `SCALE` seconds: at most 1e15.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole(per_s: f64) -> u64 {
    (per_s * SCALE).round() as u64
}

#[allow(clippy::cast_possible_truncation)]
fn to_ms(seconds: f64) -> i64 {
    (seconds * 1_000.0).ceil() as i64
}
