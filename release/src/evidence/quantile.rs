//! Quantiles of latency, for reports. No trigger reads them: "p95 over 1000 ms" is a share, and exact.

use serde::{Deserialize, Serialize};

use super::math::float;
use super::share::probability;

/// A quantile of a histogram, in the unit of its buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuantileEstimate {
    /// The upper bound of the bucket that holds it.
    pub value: u64,
    /// Not less, but with the chance asked for.
    pub lower: u64,
    /// Not more, but with the chance asked for.
    pub upper: u64,
}

/// The `share` quantile (0.95 for p95) of (bucket's upper bound, count) pairs in ascending order, with the two-sided normal
/// mixture on ranks (Howard and Ramdas 2022) tuned to the count at hand. The buckets' own width comes on top. `None` for
/// an empty histogram.
pub fn quantile(buckets: &[(u64, u64)], share: f64, alpha: f64) -> Option<QuantileEstimate> {
    let total = buckets.iter().fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
    if total == 0 {
        return None;
    }
    let (share, log) = (probability(share), -2.0 * probability(alpha).ln());
    let variance = share * (1.0 - share) * float(total);
    let tuning = variance / (log + log.ln_1p());
    let margin = ((variance + tuning) * ((variance / tuning).ln_1p() + log)).sqrt() / float(total);
    Some(QuantileEstimate {
        value: at(buckets, share * float(total))?,
        lower: at(buckets, (share - margin) * float(total))?,
        upper: at(buckets, (share + margin) * float(total))?,
    })
}

/// The upper bound of the bucket that holds this rank; the last one for a rank beyond.
fn at(buckets: &[(u64, u64)], rank: f64) -> Option<u64> {
    let mut below = 0_u64;
    let filled = buckets.iter().filter(|(_, count)| *count > 0);
    let mut last = None;
    for (upper, count) in filled {
        below = below.saturating_add(*count);
        last = Some(*upper);
        if float(below) >= rank {
            break;
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_bucket_and_its_neighbours() {
        let buckets: Vec<_> = (1..=1_000).map(|value| (value, 1)).collect();
        let p95 = quantile(&buckets, 0.95, 0.05).unwrap();
        // The margin is 0.021 at a thousand requests.
        assert_eq!((p95.value, p95.lower, p95.upper), (950, 930, 971));
        assert_eq!(quantile(&[], 0.95, 0.05), None);
        assert_eq!(quantile(&[(7, 0)], 0.95, 0.05), None);
        let one = quantile(&[(7, u64::MAX), (9, u64::MAX)], f64::NAN, f64::NAN).unwrap();
        assert_eq!(one.value, 7);
    }
}
