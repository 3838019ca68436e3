//! Whether the arms hold the shares of new units that the percentage says.

use serde::{Deserialize, Serialize};
use storyflag_evaluation::Percentage;

use super::SAMPLE_RATIO_ALPHA;
use super::math::{float, ln_gamma};

/// How firmly the prior believes in the expected shares, in units.
const PRIOR: f64 = 10_000.0;

/// New units of treatment and control. Who is in by cohort never counts: 200 internal users beside 0.1 % of 50,000 units
/// would look like a fault at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleRatio {
    /// In by bucket.
    pub treatment: u64,
    /// Out by bucket.
    pub control: u64,
}

impl SampleRatio {
    /// Adds new units.
    pub fn take(&mut self, treatment: u64, control: u64) {
        self.treatment = self.treatment.saturating_add(treatment);
        self.control = self.control.saturating_add(control);
    }

    /// The logarithm of the evidence against "`percentage` of new units are in": the Dirichlet-multinomial e-process of
    /// Lindon and Malek (2022). At 0 % and 100 % there is no split to judge: 0.
    pub fn log_e(&self, percentage: Percentage) -> f64 {
        let share = percentage.percent() / 100.0;
        if share <= 0.0 || share >= 1.0 {
            return 0.0;
        }
        let scale = (1e9 / (float(self.treatment) + float(self.control)).max(1.0)).min(1.0);
        let part = |count: u64, share: f64| {
            let count = float(count) * scale;
            ln_gamma(PRIOR * share + count) - ln_gamma(PRIOR * share) - count * share.ln()
        };
        let total = (float(self.treatment) + float(self.control)) * scale;
        ln_gamma(PRIOR) - ln_gamma(PRIOR + total) + part(self.treatment, share) + part(self.control, 1.0 - share)
    }

    /// Whether the split is shown to be another than `percentage`.
    pub fn is_unfair(&self, percentage: Percentage) -> bool {
        self.log_e(percentage) >= -SAMPLE_RATIO_ALPHA.ln()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_lost_fifth_is_seen_and_a_fair_split_is_not() {
        let share = Percentage::from_millionths(1_000).unwrap();
        assert!(!SampleRatio { treatment: 1_000, control: 999_000 }.is_unfair(share));
        assert!(SampleRatio { treatment: 480, control: 599_400 }.is_unfair(share));
        assert!(!SampleRatio { treatment: 50, control: 0 }.is_unfair(Percentage::ALL));
    }

    proptest! {
        #[test]
        fn any_counts_give_a_number(treatment: u64, control: u64, millionths in 0..=1_000_000_u32) {
            let ratio = SampleRatio { treatment, control };
            prop_assert!(ratio.log_e(Percentage::from_millionths(millionths).unwrap()).is_finite());
        }
    }
}
