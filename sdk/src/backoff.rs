//! How long to wait before the next try. Pure: randomness is passed in.

use std::time::Duration;

/// A random fraction of something: what keeps ten thousand SDKs from coming back at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Jitter(pub(crate) u32);

impl Jitter {
    /// Nothing of it.
    #[cfg(test)]
    pub(crate) const NONE: Self = Self(0);
    /// All of it.
    #[cfg(test)]
    pub(crate) const ALL: Self = Self(u32::MAX);

    /// A random one.
    pub(crate) fn random() -> Self {
        Self(fastrand::u32(..))
    }

    /// A time from nothing to `whole`.
    pub(crate) fn of(self, whole: Duration) -> Duration {
        let micros = whole.as_micros().saturating_mul(u128::from(self.0)) / u128::from(u32::MAX);
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// A time from `least` to `most`.
    pub(crate) fn between(self, least: Duration, most: Duration) -> Duration {
        least.saturating_add(self.of(most.saturating_sub(least)))
    }
}

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);
const FIRST_REFUSED: Duration = Duration::from_secs(10);
const LONGEST_REFUSED: Duration = Duration::from_secs(30);

/// The number of failures in a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    failures: u32,
    longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::up_to(LONGEST)
    }
}

impl Backoff {
    /// No failure yet; never longer than this after one that may pass by itself.
    pub(crate) fn up_to(longest: Duration) -> Self {
        Self { failures: 0, longest }
    }

    /// The next failure is a first one.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// After a failure that may pass by itself: full jitter up to 0.5 s, 1 s, 2 s ... 30 s.
    pub(crate) fn after_failure(&mut self, jitter: Jitter) -> Duration {
        jitter.of(self.doubled(FIRST, self.longest))
    }

    /// After an answer that will hardly change by itself, such as a revoked key: 5 to 10 s at first, 15 to 30 s at most.
    pub(crate) fn after_refusal(&mut self, jitter: Jitter) -> Duration {
        let longest = self.doubled(FIRST_REFUSED, LONGEST_REFUSED);
        jitter.between(longest / 2, longest)
    }

    fn doubled(&mut self, first: Duration, longest: Duration) -> Duration {
        let doublings = self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        first.saturating_mul(1 << doublings).min(longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_jitter_doubles_up_to_thirty_seconds() {
        let mut backoff = Backoff::default();
        let longest: Vec<u128> = (0..9).map(|_| backoff.after_failure(Jitter::ALL).as_millis()).collect();
        assert_eq!(longest, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
        assert_eq!(backoff.after_failure(Jitter::NONE), Duration::ZERO);
        assert_eq!(backoff.after_failure(Jitter(u32::MAX / 2)).as_secs(), 14);
        for _ in 0..1_000 {
            assert!(backoff.after_failure(Jitter::random()) <= LONGEST);
        }
    }

    #[test]
    fn the_longest_wait_can_be_shorter() {
        let mut backoff = Backoff::up_to(Duration::from_millis(1_500));
        let longest: Vec<u128> = (0..4).map(|_| backoff.after_failure(Jitter::ALL).as_millis()).collect();
        assert_eq!(longest, [500, 1_000, 1_500, 1_500]);
        backoff.reset();
        assert_eq!(backoff.after_failure(Jitter::ALL).as_millis(), 500);
    }

    #[test]
    fn refusals_wait_longer_at_once_and_never_longer_than_thirty_seconds() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.after_refusal(Jitter::NONE), Duration::from_secs(5));
        let last = (0..10).map(|_| backoff.after_refusal(Jitter::ALL)).last();
        assert_eq!(last, Some(Duration::from_secs(30)));
        assert_eq!(backoff.after_refusal(Jitter::NONE), Duration::from_secs(15));
    }
}
