//! Units and their requests, drawn count by count.

use crate::evidence::{ArmCounts, EventCounts, float};

/// A small generator of uniform 64-bit numbers (Steele, Lea and Flood 2014): the seed is the caller's.
#[derive(Debug, Clone, Copy)]
pub struct SplitMix(pub u64);

impl SplitMix {
    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// The units of one arm in one rollout revision.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Crowd {
    units: u64,
    seen: u64,
    /// Whether failed units are named: only the treatment's are ever asked for.
    named: bool,
    /// Units whose every request fails, and how many of them have been met.
    failing: u64,
    failing_met: u64,
    /// Other units that had an error, or a slow request.
    failed: u64,
    slowed: u64,
}

/// What befalls an arm's requests, each 0 to 1.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rates {
    pub(super) error: f64,
    pub(super) slow: f64,
}

impl Crowd {
    pub(super) fn new(units: u64, named: bool) -> Self {
        Self { units, named, ..Self::default() }
    }

    /// Makes a share of all units fail whatever they ask, beside those that do already.
    pub(super) fn sicken(&mut self, share: f64, random: &mut dyn FnMut() -> u64) {
        self.failing = self.failing.saturating_add(binomial(self.units, share, random)).min(self.units);
    }

    /// Draws what so many requests of uniformly chosen units come to.
    pub(super) fn counts(&mut self, requests: u64, rates: Rates, limits_ms: &[u32], random: &mut dyn FnMut() -> u64) -> ArmCounts {
        let mut counts = ArmCounts { requests, success: requests, ..ArmCounts::default() };
        if self.units == 0 || requests == 0 {
            return counts;
        }
        counts.reporters = vec!["a".to_owned(), "b".to_owned()];
        let units = float(self.units);
        let reached = -(-float(requests) / units).exp_m1();
        let distinct = |of: u64| (float(of) * reached).round();
        counts.new_units = fresh(requests, self.units - self.seen, self.units, random);
        self.seen += counts.new_units;

        let from_failing = binomial(requests, float(self.failing) / units, random);
        let met = fresh(from_failing, self.failing - self.failing_met, self.failing, random);
        self.failing_met += met;
        let strays = binomial(requests - from_failing, rates.error, random);
        let strays_first = binomial(strays, 1.0 - (float(self.failed) / units).min(1.0), random);
        let had_error = self.failed.saturating_add(self.failing_met).min(self.units);
        counts.error = from_failing + strays;
        counts.success = requests - counts.error;
        counts.errors =
            EventCounts { at_risk: whole(distinct(self.units - had_error)), first: met + strays_first, ..EventCounts::default() };
        self.failed = self.failed.saturating_add(strays_first).min(self.units);
        self.name(&mut counts.errors, from_failing, strays, random);
        counts.errors.count = counts.error;
        counts.not_success = counts.errors.clone();

        let slow = binomial(requests, rates.slow, random);
        let first = binomial(slow, 1.0 - (float(self.slowed) / units).min(1.0), random);
        let mut slow = EventCounts { count: slow, at_risk: whole(distinct(self.units - self.slowed)), first, ..EventCounts::default() };
        self.slowed = self.slowed.saturating_add(first).min(self.units);
        let slow_count = slow.count;
        self.name(&mut slow, 0, slow_count, random);
        if let [limit_ms, others_ms @ ..] = limits_ms {
            counts.slow.extend(others_ms.iter().map(|other_ms| (*other_ms, slow.clone())));
            counts.slow.insert(*limit_ms, slow);
        }
        counts
    }

    /// Names up to 4 units and 2 instances, as telemetry does.
    fn name(&self, event: &mut EventCounts, from_failing: u64, strays: u64, random: &mut dyn FnMut() -> u64) {
        let named = if self.named { 4 } else { 0 };
        for one in 0..from_failing.saturating_add(strays).min(named) {
            let unit = if one < from_failing { random() % self.failing.max(1) } else { self.failing + random() % self.units.max(1) };
            if !event.units.contains(&unit) {
                event.units.push(unit);
            }
            let instance = if random().is_multiple_of(2) { "a" } else { "b" };
            if !event.instances.iter().any(|known| known == instance) {
                event.instances.push(instance.to_owned());
            }
        }
    }
}

/// How many of `left` units that were not met before, out of `all`, so many requests meet. What is random about the
/// requests is random already: only which of them meet a new unit is drawn.
fn fresh(requests: u64, left: u64, all: u64, random: &mut dyn FnMut() -> u64) -> u64 {
    let expected = float(left) * -(-float(requests) / float(all).max(1.0)).exp_m1();
    binomial(requests, expected / float(requests).max(1.0), random).min(left)
}

/// Uniform in 0 to 1, ends excluded.
fn uniform(random: &mut dyn FnMut() -> u64) -> f64 {
    (float(random() >> 11) + 0.5) / 9_007_199_254_740_992.0
}

/// How many of `trials` hit with chance `share`: one by one for few, by Poisson for rare, by the normal
/// curve for many.
pub(super) fn binomial(trials: u64, share: f64, random: &mut dyn FnMut() -> u64) -> u64 {
    if trials == 0 || share.is_nan() || share <= 0.0 {
        return 0;
    }
    if share >= 1.0 {
        return trials;
    }
    if share > 0.5 {
        return trials - binomial(trials, 1.0 - share, random);
    }
    let mean = float(trials) * share;
    if trials <= 200 && share >= 0.1 {
        let mut hits = 0;
        for _ in 0..trials {
            hits += u64::from(uniform(random) < share);
        }
        return hits;
    }
    if mean < 20.0 && share < 0.1 {
        return poisson(mean, random).min(trials);
    }
    whole(mean + normal(random) * (mean * (1.0 - share)).sqrt()).min(trials)
}

/// How often something happens whose mean is `mean`.
pub(super) fn poisson(mean: f64, random: &mut dyn FnMut() -> u64) -> u64 {
    if mean.is_nan() || mean <= 0.0 {
        return 0;
    }
    if mean >= 20.0 {
        return whole(mean + normal(random) * mean.sqrt());
    }
    let (mut left, mut hits) = (uniform(random), 0_u64);
    let mut chance = (-mean).exp();
    while left > chance && hits < 200 {
        left -= chance;
        hits += 1;
        chance *= mean / float(hits);
    }
    hits
}

fn normal(random: &mut dyn FnMut() -> u64) -> f64 {
    (-2.0 * uniform(random).ln()).sqrt() * (std::f64::consts::TAU * uniform(random)).cos()
}

/// The nearest count; below nothing is nothing.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub(super) fn whole(number: f64) -> u64 {
    number.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_their_means() {
        let mut generator = SplitMix(7);
        let mut random = || generator.draw();
        for (trials, share) in [(10, 0.3), (1_000, 0.01), (1_000, 0.4), (50, 0.9)] {
            let sum: u64 = (0..20_000).map(|_| binomial(trials, share, &mut random)).sum();
            let (mean, expected) = (float(sum) / 20_000.0, float(trials) * share);
            assert!((mean / expected - 1.0).abs() < 0.02, "{trials} {share}: {mean}");
        }
        let sum: u64 = (0..20_000).map(|_| poisson(0.4, &mut random)).sum();
        assert!((float(sum) / 8_000.0 - 1.0).abs() < 0.05);
        assert_eq!((binomial(5, f64::NAN, &mut random), poisson(f64::NAN, &mut random)), (0, 0));
    }
}
