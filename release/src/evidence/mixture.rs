//! One e-process per trigger: a mixture over alternatives and over the second in which the trouble began.

use serde::{Deserialize, Serialize};

use super::math::{float, grown};

/// What is at stake, one part per alternative.
///
/// A test that only bets from a step's first second goes deaf: after a healthy hour its stake is nearly gone, and a spike
/// takes minutes longer to see. So a small part of the stake is kept back for each later second: with J alternatives and
/// a horizon of N seconds, 1/(2J) is placed in the first second, 1/(4JN) in each of the next N, then 1/(4J u(u+1)) in the
/// u-th after these. All parts sum to at most 1 however long a step waits, so Ville's inequality holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Mixture {
    parts: Vec<f64>,
    /// Seconds taken in.
    seconds: u64,
}

impl Mixture {
    /// Takes in one second: the logarithm of each alternative's likelihood ratio in it. `horizon` is N.
    pub fn take(&mut self, log_factors: &[f64], horizon: u64) {
        let stake = stake(self.seconds, log_factors.len(), horizon);
        self.seconds = self.seconds.saturating_add(1);
        self.parts.resize(log_factors.len(), 0.0);
        for (part, log_factor) in self.parts.iter_mut().zip(log_factors) {
            *part = grown(*part + stake, *log_factor);
        }
    }

    /// The e-value, 0 to 1e300: at `1 / alpha` or above, all is not well.
    pub fn e(&self) -> f64 {
        self.parts.iter().sum()
    }

    /// Seconds taken in.
    pub fn seconds(&self) -> u64 {
        self.seconds
    }
}

/// What is placed on each alternative after so many seconds.
fn stake(seconds: u64, alternatives: usize, horizon: u64) -> f64 {
    let (alternatives, horizon) = (float(u64::try_from(alternatives).unwrap_or(1)).max(1.0), horizon.max(1));
    if seconds == 0 {
        return 0.5 / alternatives;
    }
    match seconds.checked_sub(horizon) {
        None | Some(0) => 0.25 / (alternatives * float(horizon)),
        Some(beyond) => 0.25 / (alternatives * float(beyond) * (float(beyond) + 1.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stakes_sum_to_at_most_one() {
        for horizon in [0, 1, 7, 1_000] {
            let sum: f64 = (0..200_000).map(|seconds| 8.0 * stake(seconds, 8, horizon)).sum();
            assert!(sum <= 1.0 + 1e-9 && sum > 0.99, "{horizon}: {sum}");
        }
    }

    #[test]
    fn survives_the_ends_of_numbers_and_reads_back_from_json() {
        let mut mixture = Mixture::default();
        assert!(mixture.e() == 0.0);
        for factor in [0.0, -1e300, f64::MIN, 1e300, -5.0] {
            mixture.take(&[factor; 8], 0);
            assert!((0.0..=1e300).contains(&mixture.e()), "{factor}");
        }
        mixture.seconds = u64::MAX;
        mixture.take(&[1.0; 8], u64::MAX);
        let text = serde_json::to_string(&mixture).unwrap();
        assert_eq!(serde_json::from_str::<Mixture>(&text).unwrap(), mixture);
    }
}
