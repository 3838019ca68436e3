//! Bounds that hold at every moment at once.

use serde::{Deserialize, Serialize};

use super::math::{float, ln_beta};
use super::share::probability;

/// Beyond this many trials counts are scaled down to it: the difference of two such large logarithms says no more.
const TRIALS: f64 = 1e9;

/// From where to where.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Not less.
    pub lower: f64,
    /// Not more.
    pub upper: f64,
}

/// The logarithm of the evidence against "the share is `share`": the beta-binomial mixture with a = b = 1/2 (Robbins 1970).
fn log_evidence(hits: u64, trials: u64, share: f64) -> f64 {
    let scale = (TRIALS / float(trials).max(1.0)).min(1.0);
    let (hits, misses) = (float(hits.min(trials)) * scale, float(trials.saturating_sub(hits)) * scale);
    ln_beta(0.5 + hits, 0.5 + misses) - ln_beta(0.5, 0.5) - hits * share.ln() - misses * (-share).ln_1p()
}

/// Whether the counts show, at every moment at once but with chance `alpha`, that the share is below `limit`. Without a
/// hit, 116 trials show 5 %, 680 show 1 % and 8,062 show 0.1 % at an alpha of 0.05.
pub fn share_is_below(hits: u64, trials: u64, limit: f64, alpha: f64) -> bool {
    let limit = probability(limit);
    float(hits) < limit * float(trials) && log_evidence(hits, trials, limit) >= -log_alpha(alpha)
}

/// Whether the counts show, at every moment at once but with chance `alpha`, that the share is above `limit`.
pub fn share_is_above(hits: u64, trials: u64, limit: f64, alpha: f64) -> bool {
    let limit = probability(limit);
    trials > 0 && float(hits) > limit * float(trials) && log_evidence(hits, trials, limit) >= -log_alpha(alpha)
}

/// The shares, 0 to 1, that the counts leave possible at every moment at once but with chance `alpha`.
pub fn share_interval(hits: u64, trials: u64, alpha: f64) -> Interval {
    if trials == 0 {
        return Interval { lower: 0.0, upper: 1.0 };
    }
    let hits = hits.min(trials);
    // What was seen is always possible; however rare, it lies strictly between never and always.
    let middle = (float(hits) / float(trials)).clamp(1e-20, 1.0 - f64::EPSILON);
    let possible = |share: f64| log_evidence(hits, trials, share) < -log_alpha(alpha);
    let lower = if hits == 0 { 0.0 } else { edge(middle, 0.0, possible) };
    let upper = if hits == trials { 1.0 } else { edge(middle, 1.0, possible) };
    Interval { lower, upper }
}

/// How many times the control's rate the treatment's may be, by first events and units at risk of each arm, at every
/// moment at once but with chance `alpha`. `None` while an arm is empty or nothing has happened.
pub fn ratio_interval(treatment: (u64, u64), control: (u64, u64), alpha: f64) -> Option<Interval> {
    let ((hits, exposed), (others, compared)) = (treatment, control);
    let events = hits.saturating_add(others);
    if exposed == 0 || compared == 0 || events == 0 {
        return None;
    }
    let share = share_interval(hits, events, alpha);
    let ratio = |share: f64| share / (1.0 - share).max(1e-9) * float(compared) / float(exposed);
    Some(Interval { lower: ratio(share.lower), upper: ratio(share.upper) })
}

/// Between `inside`, which is possible, and `outside`: where possible ends. Strictly between 0 and 1 is all it asks about.
fn edge(mut inside: f64, mut outside: f64, possible: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..60 {
        let middle = f64::midpoint(inside, outside);
        if middle <= 0.0 || middle >= 1.0 {
            break;
        }
        if possible(middle) { inside = middle } else { outside = middle }
    }
    outside
}

fn log_alpha(alpha: f64) -> f64 {
    probability(alpha).ln()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::BOUND_ALPHA;
    use super::*;

    #[test]
    fn so_many_clean_requests_prove_a_limit() {
        for (limit, trials) in [(0.05, 116), (0.01, 680), (0.001, 8_062)] {
            assert!(share_is_below(0, trials, limit, BOUND_ALPHA), "{limit}");
            assert!(!share_is_below(0, trials - 1, limit, BOUND_ALPHA), "{limit}");
        }
    }

    #[test]
    fn an_interval_holds_what_was_seen_and_narrows() {
        let few = share_interval(5, 100, BOUND_ALPHA);
        let many = share_interval(500, 10_000, BOUND_ALPHA);
        assert!(few.lower < many.lower && many.lower < 0.05 && 0.05 < many.upper && many.upper < few.upper, "{few:?} {many:?}");
        // However rare: a share far under a millionth lies in its interval too.
        for (hits, trials) in [(1, 10_000_000_000), (1, u64::MAX), (9_999_999_999, 10_000_000_000)] {
            let (rare, seen) = (share_interval(hits, trials, BOUND_ALPHA), float(hits) / float(trials));
            assert!(rare.lower <= seen && seen <= rare.upper && rare.upper - rare.lower < 1e-7, "{rare:?}");
        }
        let ratio = ratio_interval((50, 1_000), (50, 10_000), BOUND_ALPHA).unwrap();
        assert!(ratio.lower > 5.0 && ratio.upper < 20.0, "{ratio:?}");
        assert_eq!(ratio_interval((0, 10), (0, 10), BOUND_ALPHA), None);
    }

    proptest! {
        #[test]
        fn any_counts_give_numbers(hits: u64, trials: u64, a: u64, b: u64, limit: f64, alpha: f64) {
            let interval = share_interval(hits, trials, alpha);
            prop_assert!(0.0 <= interval.lower && interval.lower <= interval.upper && interval.upper <= 1.0);
            let seen = float(hits.min(trials)) / float(trials.max(1));
            prop_assert!(trials == 0 || interval.lower <= seen + 1e-15 && seen <= interval.upper + 1e-15, "{} {:?}", seen, interval);
            prop_assert!(!(share_is_below(hits, trials, limit, alpha) && share_is_above(hits, trials, limit, alpha)));
            if let Some(ratio) = ratio_interval((hits, trials), (a, b), alpha) {
                prop_assert!(ratio.lower.is_finite() && ratio.upper.is_finite() && ratio.lower <= ratio.upper);
            }
        }
    }
}
