//! What to try next: stream, then poll beside it, then the next endpoint. Pure: times and randomness are passed in.

use std::time::Duration;

use crate::{
    backoff::{Backoff, Jitter},
    problem::Problem,
};

/// Failed tries of the stream after which an endpoint is polled too.
const FAILURES_BEFORE_POLL: u32 = 2;
/// Time without a stream after which it is polled too, however often it was tried.
const LOST_BEFORE_POLL: Duration = Duration::from_secs(60);
/// A stream that lasted this long was healthy: what fails after it is a new failure.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);
/// A stream that lasted this long was no mere hello and goodbye.
const SETTLED_AFTER: Duration = Duration::from_secs(5);
const POLL_LEAST: Duration = Duration::from_secs(24);
const POLL_MOST: Duration = Duration::from_secs(36);
/// The longest that a service's `Retry-After` is obeyed.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);

/// Where this client stands among its endpoints.
#[derive(Debug)]
pub(crate) struct Ladder {
    endpoints: usize,
    current: usize,
    backoff: Backoff,
    /// Endpoints that have failed since the last that did not.
    failed_in_turn: usize,
    failures_here: u32,
    lost_since: Option<Duration>,
    poll_at: Option<Duration>,
    /// Until the first round is over or somebody answers, endpoints are tried once each, without waiting.
    first_round: bool,
}

impl Ladder {
    /// At the first of so many endpoints.
    pub(crate) fn new(endpoints: usize) -> Self {
        Self {
            endpoints,
            current: 0,
            backoff: Backoff::default(),
            failed_in_turn: 0,
            failures_here: 0,
            lost_since: None,
            poll_at: None,
            first_round: true,
        }
    }

    /// Waits at most this long for the next try after a failure that may pass by itself.
    pub(crate) fn with_longest_wait(self, longest: Duration) -> Self {
        Self { backoff: Backoff::up_to(longest), ..self }
    }

    /// The endpoint to ask.
    pub(crate) fn endpoint(&self) -> usize {
        self.current
    }

    /// When to poll it, if at all.
    pub(crate) fn poll_at(&self) -> Option<Duration> {
        self.poll_at
    }

    /// Whether every endpoint has been tried in vain since the start.
    pub(crate) fn all_failed(&self) -> bool {
        !self.first_round
    }

    /// The stream has brought what it should.
    pub(crate) fn confirmed(&mut self) {
        self.first_round = false;
        self.failed_in_turn = 0;
        self.failures_here = 0;
        self.lost_since = None;
        self.poll_at = None;
    }

    /// The stream failed after having been healthy for some time. Returns how long to wait before the next try.
    pub(crate) fn failed(&mut self, problem: &Problem, healthy_for: Duration, now: Duration, jitter: Jitter) -> Duration {
        if healthy_for >= HEALTHY_AFTER {
            self.backoff.reset();
        }
        let lost_since = *self.lost_since.get_or_insert(now);
        self.failures_here = self.failures_here.saturating_add(1);
        self.failed_in_turn = self.failed_in_turn.saturating_add(1);
        let round_over = self.failed_in_turn >= self.endpoints;
        if self.first_round || problem.is_refusal() {
            self.first_round &= !round_over;
            self.go_on();
            return match (round_over, problem.is_refusal()) {
                (false, _) => Duration::ZERO,
                (true, true) => self.backoff.after_refusal(jitter),
                (true, false) => self.wait(problem, jitter),
            };
        }
        if self.failures_here >= FAILURES_BEFORE_POLL || now.saturating_sub(lost_since) >= LOST_BEFORE_POLL {
            // A service that asks to be left alone is not polled before that time either.
            let first = now.saturating_add(problem.retry_after().unwrap_or_default().min(LONGEST_RETRY_AFTER));
            self.poll_at.get_or_insert(first);
        }
        self.wait(problem, jitter)
    }

    /// The node said goodbye after having been healthy for some time, and this is the wait that it asks for. One that says
    /// goodbye to everybody who comes is backed off from.
    pub(crate) fn goodbye(&mut self, asked: Duration, healthy_for: Duration, jitter: Jitter) -> Duration {
        if healthy_for >= SETTLED_AFTER { asked } else { asked.max(self.backoff.after_failure(jitter)) }
    }

    /// A poll gave the service's ruleset, or did not.
    pub(crate) fn polled(&mut self, worked: bool, now: Duration, jitter: Jitter) {
        self.poll_at = Some(now.saturating_add(jitter.between(POLL_LEAST, POLL_MOST)));
        if !worked {
            self.go_on();
        }
    }

    /// The longer of our own wait and the service's.
    fn wait(&mut self, problem: &Problem, jitter: Jitter) -> Duration {
        let asked = problem.retry_after().unwrap_or_default().min(LONGEST_RETRY_AFTER);
        self.backoff.after_failure(jitter).max(asked)
    }

    /// To the next endpoint, if there is another.
    fn go_on(&mut self) {
        if self.endpoints > 1 {
            self.current = self.current.saturating_add(1) % self.endpoints;
            self.failures_here = 0;
            self.poll_at = None;
        }
        if self.failed_in_turn >= self.endpoints {
            self.failed_in_turn = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNREACHABLE: Problem = Problem::Silent;
    const REFUSED: Problem = Problem::Status { status: 401, retry_after: None };

    fn fail(ladder: &mut Ladder, problem: &Problem, now: u64) -> u128 {
        ladder.failed(problem, Duration::ZERO, Duration::from_secs(now), Jitter::ALL).as_millis()
    }

    #[test]
    fn one_endpoint_streams_then_polls_beside_it() {
        let mut ladder = Ladder::new(1);
        assert_eq!(fail(&mut ladder, &UNREACHABLE, 1), 500);
        assert!(ladder.all_failed());
        assert_eq!(ladder.poll_at(), None);
        assert_eq!(fail(&mut ladder, &UNREACHABLE, 2), 1_000);
        assert_eq!(ladder.poll_at(), Some(Duration::from_secs(2)));
        ladder.polled(true, Duration::from_secs(2), Jitter::NONE);
        assert_eq!(ladder.poll_at(), Some(Duration::from_secs(26)));
        assert_eq!(fail(&mut ladder, &UNREACHABLE, 3), 2_000);
        assert_eq!(ladder.poll_at(), Some(Duration::from_secs(26)), "a failed stream does not hurry the poll");
        ladder.polled(false, Duration::from_secs(26), Jitter::ALL);
        assert_eq!((ladder.endpoint(), ladder.poll_at()), (0, Some(Duration::from_secs(62))));
        ladder.confirmed();
        assert_eq!(ladder.poll_at(), None);
    }

    #[test]
    fn the_first_round_tries_everybody_once_without_waiting() {
        let mut ladder = Ladder::new(3);
        assert_eq!((fail(&mut ladder, &UNREACHABLE, 0), ladder.endpoint(), ladder.all_failed()), (0, 1, false));
        assert_eq!((fail(&mut ladder, &REFUSED, 0), ladder.endpoint(), ladder.all_failed()), (0, 2, false));
        assert_eq!((fail(&mut ladder, &UNREACHABLE, 0), ladder.endpoint(), ladder.all_failed()), (500, 0, true));
    }

    #[test]
    fn later_an_endpoint_is_left_when_stream_and_poll_have_failed() {
        let mut ladder = Ladder::new(2);
        ladder.confirmed();
        fail(&mut ladder, &UNREACHABLE, 1);
        fail(&mut ladder, &UNREACHABLE, 2);
        assert_eq!((ladder.endpoint(), ladder.poll_at()), (0, Some(Duration::from_secs(2))));
        ladder.polled(false, Duration::from_secs(2), Jitter::NONE);
        assert_eq!((ladder.endpoint(), ladder.poll_at()), (1, None));
        ladder.confirmed();
        assert_eq!(ladder.endpoint(), 1, "what works is kept");
    }

    #[test]
    fn after_a_minute_one_failure_is_enough_to_poll() {
        let mut ladder = Ladder::new(1);
        ladder.confirmed();
        ladder.lost_since = Some(Duration::from_secs(10));
        fail(&mut ladder, &UNREACHABLE, 70);
        assert_eq!(ladder.poll_at(), Some(Duration::from_secs(70)));
    }

    #[test]
    fn a_refused_key_waits_longer_and_is_never_given_up() {
        let mut ladder = Ladder::new(1);
        ladder.confirmed();
        let waits: Vec<u128> = (0..8).map(|_| fail(&mut ladder, &REFUSED, 0) / 1_000).collect();
        assert_eq!(waits, [10, 20, 30, 30, 30, 30, 30, 30]);
        assert_eq!(ladder.poll_at(), None, "a poll would be refused alike");
    }

    #[test]
    fn another_endpoint_may_accept_a_refused_key() {
        let mut ladder = Ladder::new(2);
        ladder.confirmed();
        assert_eq!((fail(&mut ladder, &REFUSED, 0), ladder.endpoint()), (0, 1));
        assert_eq!((fail(&mut ladder, &REFUSED, 0), ladder.endpoint()), (10_000, 0));
        assert_eq!((fail(&mut ladder, &REFUSED, 0), ladder.endpoint()), (0, 1));
    }

    #[test]
    fn the_longest_wait_is_the_applications_to_say() {
        let mut ladder = Ladder::new(1).with_longest_wait(Duration::from_secs(1));
        ladder.confirmed();
        let waits: Vec<u128> = (0..5).map(|_| fail(&mut ladder, &UNREACHABLE, 0)).collect();
        assert_eq!(waits, [500, 1_000, 1_000, 1_000, 1_000]);
    }

    #[test]
    fn retry_after_is_obeyed_up_to_five_minutes() {
        let mut ladder = Ladder::new(1);
        let busy = |seconds| Problem::Status { status: 503, retry_after: Some(Duration::from_secs(seconds)) };
        assert_eq!(fail(&mut ladder, &busy(20), 0), 20_000);
        assert_eq!(fail(&mut ladder, &busy(1_000_000), 100), 300_000);
        assert_eq!(ladder.poll_at(), Some(Duration::from_secs(400)));
    }

    #[test]
    fn goodbyes_are_obeyed_and_endless_ones_backed_off_from() {
        let mut ladder = Ladder::new(1);
        let goodbye = |ladder: &mut Ladder, seconds| ladder.goodbye(Duration::ZERO, Duration::from_secs(seconds), Jitter::ALL).as_millis();
        assert_eq!([60, 60, 60].map(|seconds| goodbye(&mut ladder, seconds)), [0, 0, 0]);
        assert_eq!([0, 0, 0, 0].map(|seconds| goodbye(&mut ladder, seconds)), [500, 1_000, 2_000, 4_000]);
        assert_eq!(ladder.goodbye(Duration::from_secs(9), Duration::ZERO, Jitter::NONE).as_secs(), 9);
    }

    #[test]
    fn a_healthy_minute_makes_the_next_failure_a_first_one() {
        let mut ladder = Ladder::new(1);
        ladder.confirmed();
        (0..6).for_each(|_| _ = fail(&mut ladder, &UNREACHABLE, 0));
        let mut short = |seconds| {
            ladder.confirmed();
            ladder.failed(&UNREACHABLE, Duration::from_secs(seconds), Duration::from_secs(100), Jitter::ALL).as_millis()
        };
        assert_eq!(short(59), 30_000);
        assert_eq!(short(60), 500);
    }
}
