//! Alerts: they tell people, and may be wrong once a month.

use serde::{Deserialize, Serialize};

use super::ALERT_RUN_LENGTH;
use super::math::{float, grown};

/// Seconds between false ends of an open alert, on average and at least.
const CLOSE_RUN_LENGTH: f64 = 600.0;

/// A Shiryaev-Roberts e-detector (Shin, Ramdas and Rinaldo 2024): a stake of 1 is placed anew in every second, so it never
/// goes deaf, and while all is well it alarms at most once in [`ALERT_RUN_LENGTH`] seconds on average. Once it is open, the
/// same detector bets on the good side of 0.8 times the limit, and closes it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Detector {
    parts: Vec<f64>,
    open: bool,
    /// For a threshold on a reading: whether it was broken when last told.
    is_bad: bool,
    /// For how long that has been another answer than `open`.
    other_ms: i64,
}

/// What a detector has to say now, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alarm {
    /// The limit is broken.
    Opened,
    /// It holds again.
    Closed,
}

impl Detector {
    /// Whether the alert stands.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Takes in one second: the logarithms of the likelihood ratios of the bad side or, while it is open, of the good side.
    /// A second without requests must not be taken in: nothing is staked on it.
    pub fn take(&mut self, log_factors: &[f64]) -> Option<Alarm> {
        self.take_until(log_factors, if self.open { CLOSE_RUN_LENGTH } else { ALERT_RUN_LENGTH })
    }

    /// The same, with so many seconds between false turns on average and at least.
    fn take_until(&mut self, log_factors: &[f64], run_length: f64) -> Option<Alarm> {
        self.parts.resize(log_factors.len(), 0.0);
        let mut sum = 0.0;
        for (part, log_factor) in self.parts.iter_mut().zip(log_factors) {
            *part = grown(*part + 1.0, *log_factor);
            sum += *part;
        }
        let alternatives = float(u64::try_from(log_factors.len()).unwrap_or(1)).max(1.0);
        if sum < run_length * alternatives {
            return None;
        }
        Some(self.turn())
    }

    /// For a plain threshold on a reading: opens, and closes, once it has been on the other side for `for_ms`. What was told
    /// last stands until something else is.
    pub fn take_reading(&mut self, told: Option<bool>, elapsed_ms: i64, for_ms: i64) -> Option<Alarm> {
        self.is_bad = told.unwrap_or(self.is_bad);
        self.other_ms = if self.is_bad == self.open { 0 } else { self.other_ms.saturating_add(elapsed_ms.max(0)) };
        (self.is_bad != self.open && self.other_ms >= for_ms).then(|| self.turn())
    }

    fn turn(&mut self) -> Alarm {
        self.parts.clear();
        self.other_ms = 0;
        self.open = !self.open;
        if self.open { Alarm::Opened } else { Alarm::Closed }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Direction, share_factors};
    use super::*;
    use crate::machine::SplitMix;

    /// How many of `trials` hit: one by one.
    fn binomial(trials: u64, share: f64, random: &mut dyn FnMut() -> u64) -> u64 {
        (0..trials).map(|_| u64::from(float(random() >> 11) / 9_007_199_254_740_992.0 < share)).sum()
    }

    fn second(detector: &mut Detector, hits: u64, trials: u64) -> Option<Alarm> {
        let (limit, side) = if detector.is_open() { (0.008, Direction::Below) } else { (0.01, Direction::Above) };
        detector.take(&share_factors(hits, trials, limit, side))
    }

    #[test]
    fn opens_once_stays_open_and_closes() {
        let mut detector = Detector::default();
        assert!((0..3_600).all(|_| second(&mut detector, 0, 10).is_none()));
        let opened = (0..60).find(|_| second(&mut detector, 1, 10) == Some(Alarm::Opened));
        assert!(opened.is_some_and(|seconds| seconds <= 20), "{opened:?}");
        assert!((0..600).all(|_| second(&mut detector, 1, 10).is_none()) && detector.is_open());
        assert!((0..3_600).any(|_| second(&mut detector, 0, 10) == Some(Alarm::Closed)));
    }

    /// Seconds until it turns, at exactly its limit: of so many requests each, a share of them bad.
    fn run(limit: f64, requests: u64, run_length: f64, side: Direction, generator: &mut SplitMix) -> u64 {
        let mut detector = Detector::default();
        let bound = if side == Direction::Above { limit } else { limit * 0.8 };
        (1..)
            .find(|_| {
                let hits = binomial(requests, bound, &mut || generator.draw());
                detector.take_until(&share_factors(hits, requests, bound, side), run_length).is_some()
            })
            .unwrap()
    }

    #[test]
    fn at_its_edge_it_is_wrong_no_oftener_than_it_says() {
        // Every run length is a mean over seeded runs. Its error is about a twentieth: runs are as good as exponential.
        let mut generator = SplitMix(11);
        for (limit, requests, run_length, side) in [
            (0.01, 10, 1_000.0, Direction::Above),
            (0.01, 100, 1_000.0, Direction::Above),
            (0.05, 10, 1_000.0, Direction::Above),
            (0.01, 10, CLOSE_RUN_LENGTH, Direction::Below),
            (0.01, 100, CLOSE_RUN_LENGTH, Direction::Below),
        ] {
            let runs = 400;
            let sum: u64 = (0..runs).map(|_| run(limit, requests, run_length, side, &mut generator)).sum();
            let mean = float(sum) / float(runs);
            assert!(mean >= run_length, "{limit} at {requests}/s {side:?}: {mean} s, not {run_length}");
        }
    }
}
