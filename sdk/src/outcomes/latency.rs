//! How long requests took: the bucket arithmetic of `hdrhistogram` at two significant digits, from 1 us to 60 s.
//!
//! Written here because it is four lines: the crate brings a dozen features that nobody asks for in a library that
//! applications build. The upper bounds are the same, so that whoever reads the pairs can add them to such a histogram.

/// Every bucket is at most 1/128 of its value wide: that is better than two digits.
const HALF: usize = 128;
const SLOWEST_US: u64 = 60_000_000;

/// Counts by bucket; nothing is allocated until something is counted.
#[derive(Debug, Default)]
pub(super) struct Latency {
    counts: Vec<u32>,
}

impl Latency {
    /// Counts one request; what took longer than 60 s counts as 60 s.
    pub(super) fn add(&mut self, us: u64) {
        let bucket = bucket_of(us);
        if self.counts.is_empty() {
            self.counts.resize(bucket_of(SLOWEST_US).saturating_add(1), 0);
        }
        if let Some(count) = self.counts.get_mut(bucket) {
            *count = count.saturating_add(1);
        }
    }

    /// Takes what was counted: (a bucket's upper bound in microseconds, its count), ascending, without empty ones.
    pub(super) fn take(&mut self) -> impl Iterator<Item = (u64, u64)> {
        let counted = self.counts.iter_mut().enumerate().filter(|(_, count)| **count > 0);
        counted.map(|(bucket, count)| (upper_bound(bucket), u64::from(std::mem::take(count))))
    }
}

/// The first 256 buckets are one microsecond wide, each further 128 twice as wide as those before.
fn bucket_of(us: u64) -> usize {
    let us = us.clamp(1, SLOWEST_US);
    let doublings = (us | 0xff).ilog2().saturating_sub(7);
    let place = usize::try_from(us >> doublings).unwrap_or(0);
    usize::try_from(doublings).unwrap_or(0).saturating_mul(HALF).saturating_add(place)
}

fn upper_bound(bucket: usize) -> u64 {
    let doublings = (bucket / HALF).saturating_sub(1);
    let place = bucket.saturating_sub(doublings.saturating_mul(HALF));
    let next = u64::try_from(place).unwrap_or(u64::MAX).saturating_add(1);
    (next << doublings.min(32)).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upper_bounds_are_those_of_an_hdr_histogram_of_two_digits() {
        let bound = |us| upper_bound(bucket_of(us));
        for (us, upper) in [
            (0, 1),
            (1, 1),
            (255, 255),
            (256, 257),
            (1_004, 1_007),
            (1_007, 1_007),
            (1_008, 1_011),
            (12_000, 12_031),
            (1_000_000, 1_003_519),
            (60_000_000, 60_030_975),
            (u64::MAX, 60_030_975),
        ] {
            assert_eq!(bound(us), upper, "{us}");
        }
    }

    #[test]
    fn every_value_is_in_a_bucket_that_is_narrow_and_in_order() {
        let mut before = 0;
        for us in (1..2_000_000).chain((2_000_000..=SLOWEST_US).step_by(977)) {
            let (bucket, upper) = (bucket_of(us), upper_bound(bucket_of(us)));
            assert!(bucket >= before && upper >= us && upper - us <= us / 128, "{us} in {bucket} up to {upper}");
            before = bucket;
        }
        assert_eq!(before, 2_532);
    }

    #[test]
    fn what_was_taken_is_gone() {
        let mut latency = Latency::default();
        assert_eq!(latency.take().count(), 0);
        [12_000, 1_005, 12_001, 3].iter().for_each(|us| latency.add(*us));
        assert_eq!(latency.take().collect::<Vec<_>>(), [(3, 1), (1_007, 1), (12_031, 2)]);
        assert_eq!(latency.take().count(), 0);
    }
}
