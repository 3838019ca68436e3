//! One e-process per trigger: a mixture over alternatives and over the second in which the trouble began.

use serde::{Deserialize, Serialize};

use super::math::{float, log_add_exp, log_sum_exp};

/// A factor's logarithm is clipped here from above: that keeps the test valid and its sums finite.
const CLIP: f64 = 50.0;

/// The logarithms of the mixture's parts, one per alternative.
///
/// A test that only bets from a step's first second goes deaf: after a healthy hour its stake is nearly gone, and a spike
/// takes minutes longer to see. So a small part of the stake is kept back for each later second: with J alternatives and
/// a horizon of N seconds, 1/(2J) is placed in the first second, 1/(4JN) in each of the next N, then 1/(4J u(u+1)) in the
/// u-th after these. All parts sum to at most 1 however long a step waits, so Ville's inequality holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Mixture {
    /// Empty until the first second: an empty stake's logarithm has no place in JSON.
    log_parts: Vec<f64>,
    /// Seconds taken in.
    seconds: u64,
}

impl Mixture {
    /// Takes in one second: the logarithm of each alternative's likelihood ratio in it. `horizon` is N.
    pub fn take(&mut self, log_factors: &[f64], horizon: u64) {
        let log_stake = log_stake(self.seconds, log_factors.len(), horizon);
        self.seconds = self.seconds.saturating_add(1);
        if self.log_parts.len() != log_factors.len() {
            self.log_parts = vec![f64::MIN; log_factors.len()];
        }
        for (part, factor) in self.log_parts.iter_mut().zip(log_factors) {
            *part = (log_add_exp(*part, log_stake) + factor.min(CLIP)).max(f64::MIN);
        }
    }

    /// The logarithm of the e-value: at `ln(1 / alpha)` or above, all is not well.
    pub fn log_e(&self) -> f64 {
        log_sum_exp(self.log_parts.iter().copied())
    }

    /// Seconds taken in.
    pub fn seconds(&self) -> u64 {
        self.seconds
    }
}

/// The logarithm of what is placed on each alternative after so many seconds.
fn log_stake(seconds: u64, alternatives: usize, horizon: u64) -> f64 {
    let (alternatives, horizon) = (float(u64::try_from(alternatives).unwrap_or(1)).max(1.0), horizon.max(1));
    if seconds == 0 {
        return -(2.0 * alternatives).ln();
    }
    let Some(beyond) = seconds.checked_sub(horizon).filter(|beyond| *beyond > 0) else {
        return -(4.0 * alternatives * float(horizon)).ln();
    };
    let beyond = float(beyond);
    -(4.0 * alternatives).ln() - beyond.ln() - (beyond + 1.0).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stakes_sum_to_at_most_one() {
        for horizon in [0, 1, 7, 1_000] {
            let sum: f64 = (0..200_000).map(|seconds| 8.0 * log_stake(seconds, 8, horizon).exp()).sum();
            assert!(sum <= 1.0 + 1e-9 && sum > 0.99, "{horizon}: {sum}");
        }
    }

    #[test]
    fn survives_the_ends_of_numbers_and_reads_back_from_json() {
        let mut mixture = Mixture::default();
        assert!(mixture.log_e() <= 0.0);
        for factor in [0.0, -1e300, f64::MIN, 1e300, -5.0] {
            mixture.take(&[factor; 8], 0);
            assert!(mixture.log_e().is_finite(), "{factor}");
        }
        mixture.seconds = u64::MAX;
        mixture.take(&[1.0; 8], u64::MAX);
        let text = serde_json::to_string(&mixture).unwrap();
        assert_eq!(serde_json::from_str::<Mixture>(&text).unwrap(), mixture);
    }
}
