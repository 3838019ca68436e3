//! How long to wait before a message is tried again.

use std::time::Duration;

/// After the first failed attempt, after the second, and so on; the last one from then on.
const WAITS: [Duration; 6] = [
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3_600),
    Duration::from_secs(5 * 3_600),
    Duration::from_secs(10 * 3_600),
];

#[derive(Debug, Clone, Copy)]
pub(super) struct Backoff {
    /// The longest wait.
    pub(super) longest: Duration,
}

impl Backoff {
    /// The wait after so many attempts: at most what the schedule says, and anything below it, so that what failed together
    /// does not come back together.
    pub(super) fn after(self, attempts: i64) -> Duration {
        self.most_after(attempts).mul_f64(fastrand::f64())
    }

    fn most_after(self, attempts: i64) -> Duration {
        let index = usize::try_from(attempts.saturating_sub(1)).unwrap_or_default();
        let [.., last] = WAITS;
        WAITS.get(index).copied().unwrap_or(last).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_ten_hours_and_stay_there() {
        let backoff = Backoff { longest: Duration::from_secs(36_000) };
        let seconds: Vec<u64> = (0..9).map(|attempts| backoff.most_after(attempts).as_secs()).collect();
        assert_eq!(seconds, [5, 5, 300, 1_800, 7_200, 18_000, 36_000, 36_000, 36_000]);
        assert_eq!(backoff.most_after(i64::MAX).as_secs(), 36_000);
        assert_eq!(Backoff { longest: Duration::from_secs(1) }.most_after(3).as_secs(), 1);
        let waits: Vec<Duration> = (0..100).map(|_| backoff.after(2)).collect();
        assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(300)) && waits.iter().any(|wait| *wait != waits[0]), "{waits:?}");
    }
}
