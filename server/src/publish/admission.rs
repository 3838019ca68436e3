//! How fast new streams are let in: after an outage all SDKs come back at once, and those that are served come first.

use std::{
    num::NonZero,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use super::environment::lock;

/// A rate, and how many may come at once.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// On the long run.
    pub per_second: u32,
    /// After a quiet time.
    pub burst: u32,
}

impl Default for Rate {
    /// 500 a second for each core, twice that at once.
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let per_second = u32::try_from(cores).unwrap_or(u32::MAX).saturating_mul(500);
        Self { per_second, burst: per_second.saturating_mul(2) }
    }
}

/// A bucket of tokens.
pub(super) struct Admission {
    rate: Rate,
    bucket: Mutex<Bucket>,
}

struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl Admission {
    pub(super) fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, bucket: Mutex::new(Bucket { tokens: f64::from(rate.burst), filled: now }) }
    }

    /// Whether one more may come in now.
    pub(super) fn admit(&self, now: Instant) -> bool {
        let mut bucket = lock(&self.bucket);
        let passed = now.saturating_duration_since(bucket.filled).as_secs_f64();
        bucket.tokens = (bucket.tokens + passed * f64::from(self.rate.per_second)).min(f64::from(self.rate.burst));
        bucket.filled = bucket.filled.max(now);
        if bucket.tokens < 1.0 {
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }
}

/// When who was not let in may try again: spread, so that they do not come at once again.
pub(super) fn retry_after() -> Duration {
    Duration::from_secs(fastrand::u64(5..=30))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let start = Instant::now();
        let admission = Admission::new(Rate { per_second: 10, burst: 20 }, start);
        let admitted = |now: Instant| (0..100).filter(|_| admission.admit(now)).count();
        assert_eq!(admitted(start), 20);
        assert_eq!(admitted(start), 0);
        assert_eq!(admitted(start + Duration::from_millis(500)), 5);
        // A clock that is read late by another thread gives nothing and takes nothing.
        assert_eq!(admitted(start), 0);
        assert_eq!(admitted(start + Duration::from_secs(60)), 20);
    }
}
