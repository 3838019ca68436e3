//! Likelihood ratios of a window: of a share against a limit, and of one arm against the other.

use serde::{Deserialize, Serialize};

use super::math::float;

/// How many times worse than the limit, in odds, an absolute test supposes it to be; with its logarithm.
const ODDS: [(f64, f64); 8] = [
    (1.5, 0.405_465_108_108_164_4),
    (2.0, std::f64::consts::LN_2),
    (3.0, 1.098_612_288_668_11),
    (5.0, 1.609_437_912_434_1),
    (10.0, std::f64::consts::LN_10),
    (20.0, 2.995_732_273_553_991),
    (100.0, 4.605_170_185_988_092),
    (1_000.0, 6.907_755_278_982_137),
];
/// How many times worse than the allowed ratio a relative test supposes it to be; with its logarithm.
const RATIOS: [(f64, f64); 7] = [
    (1.5, 0.405_465_108_108_164_4),
    (2.0, std::f64::consts::LN_2),
    (3.0, 1.098_612_288_668_11),
    (5.0, 1.609_437_912_434_1),
    (10.0, std::f64::consts::LN_10),
    (30.0, 3.401_197_381_662_155),
    (100.0, 4.605_170_185_988_092),
];

/// Which side of a limit is the bad one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// More than the limit is bad: errors.
    Above,
    /// Less than the limit is bad: purchases.
    Below,
}

/// For each alternative, the logarithm of the likelihood ratio of `hits` of `trials` against "the share is `limit`"; the
/// share is supposed to be on the bad side. Each ratio's mean is at most 1 for every share on the good side, trial by
/// trial, whatever came before.
pub fn share_factors(hits: u64, trials: u64, limit: f64, bad: Direction) -> [f64; 8] {
    let (hits, trials) = (float(hits.min(trials)), float(trials));
    if trials == 0.0 {
        return [0.0; 8];
    }
    let limit = probability(limit);
    let odds = limit / (1.0 - limit);
    // A hit weighs supposed / limit, a miss (1 - supposed) / (1 - limit): both have the same divisor.
    ODDS.map(|(times, log_times)| match bad {
        Direction::Above => hits * log_times - trials * ((1.0 - limit) * (1.0 + odds * times)).ln(),
        Direction::Below => -hits * log_times - trials * ((1.0 - limit) * (1.0 + odds / times)).ln(),
    })
}

/// For each alternative, the logarithm of the likelihood ratio of the arms' first events against "the treatment's rate is
/// `ratio` times the control's", given how many there were in both: the anytime-valid log-rank test (ter Schure,
/// Perez-Ortiz, Ly and Grunwald 2024). What both arms suffer alike cancels. Zero when an arm is empty: nothing is said.
pub fn relative_factors(treatment: Arm, control: Arm, ratio: f64, bad: Direction) -> [f64; 7] {
    let (hits, others) = (float(treatment.first), float(control.first));
    let (exposed, compared) = (float(treatment.at_risk), float(control.at_risk));
    if exposed == 0.0 || compared == 0.0 || hits + others == 0.0 {
        return [0.0; 7];
    }
    let ratio = if ratio.is_finite() { ratio.clamp(1e-6, 1e6) } else { 1.0 };
    let (weight, all) = (exposed * ratio, hits + others);
    // As above: an event of the treatment weighs times / divisor, one of the control 1 / divisor.
    let divisor = |times: f64| (weight * times + compared) / (weight + compared);
    RATIOS.map(|(times, log_times)| match bad {
        Direction::Above => hits * log_times - all * divisor(times).ln(),
        Direction::Below => -hits * log_times - all * divisor(1.0 / times).ln(),
    })
}

/// One arm in a window of a relative test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arm {
    /// Units that could still have their first event.
    pub at_risk: u64,
    /// Units that had it.
    pub first: u64,
}

/// A limit that a test can be made of: 0 % and 100 % are taken as a millionth away from these.
pub(crate) fn probability(share: f64) -> f64 {
    if share.is_finite() { share.clamp(1e-6, 1.0 - 1e-6) } else { 0.5 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_alternative_wins_on_average_while_the_limit_holds() {
        for limit in [0.001, 0.05, 0.5, 0.95] {
            for (good, bad) in [(1.0, Direction::Above), (0.3, Direction::Above), (1.0, Direction::Below)] {
                let share = limit * good;
                let hit = share_factors(1, 1, limit, bad);
                let miss = share_factors(0, 1, limit, bad);
                for (hit, miss) in hit.iter().zip(miss) {
                    let mean = share * hit.exp() + (1.0 - share) * miss.exp();
                    assert!(mean <= 1.0 + 1e-9, "{limit} {good} {mean}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn merging_windows_changes_nothing(a in 0..1_000_u64, b in 0..1_000_u64, c in 0..1_000_u64, d in 0..1_000_u64) {
            let whole = share_factors(a + c, a + b + c + d, 0.05, Direction::Above);
            let first = share_factors(a, a + b, 0.05, Direction::Above);
            let second = share_factors(c, c + d, 0.05, Direction::Above);
            for ((whole, first), second) in whole.iter().zip(first).zip(second) {
                prop_assert!((whole - first - second).abs() < 1e-6);
            }
        }

        #[test]
        fn any_counts_give_numbers(hits: u64, trials: u64, limit: f64, ratio: f64, a: u64, b: u64, c: u64, d: u64) {
            for bad in [Direction::Above, Direction::Below] {
                prop_assert!(share_factors(hits, trials, limit, bad).iter().all(|factor| factor.is_finite()));
                let (treatment, control) = (Arm { at_risk: a, first: b }, Arm { at_risk: c, first: d });
                prop_assert!(relative_factors(treatment, control, ratio, bad).iter().all(|factor| factor.is_finite()));
            }
        }
    }
}
