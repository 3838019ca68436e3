//! What a demo shows: a row a step, and on a terminal the shop at work in between.

use std::{
    fmt,
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use super::shop::Traffic;
use crate::cli::table::grouped;

const BAR: u64 = 20;

/// What came of a step.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) asked: String,
    pub(super) served: u64,
    pub(super) users: u64,
    /// Served before and now.
    pub(super) kept: u64,
    /// Served before and not now.
    pub(super) dropped: u64,
    pub(super) revision: u64,
    pub(super) lag: Lag,
}

/// From a write's answer until the last instance served it, in microseconds. Often it is below zero: the news is on its
/// way to the instances while the answer is on its way to the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Lag(i64);

impl Lag {
    pub(super) fn between(answered: Instant, served: Instant) -> Self {
        let microseconds = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let after = microseconds(served.saturating_duration_since(answered));
        Self(after.saturating_sub(microseconds(answered.saturating_duration_since(served))))
    }
}

/// Earlier than any.
impl Default for Lag {
    fn default() -> Self {
        Self(i64::MIN)
    }
}

impl fmt::Display for Lag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let microseconds = self.0.unsigned_abs();
        let side = if self.0 < 0 { "before" } else { "after" };
        write!(formatter, "{}.{} ms {side} the answer", microseconds / 1_000, microseconds % 1_000 / 100)
    }
}

/// The standard output.
pub(super) struct Screen {
    is_terminal: bool,
}

impl Screen {
    pub(super) fn of_stdout() -> Self {
        Self { is_terminal: io::stdout().is_terminal() }
    }

    /// Whether somebody may be watching: then it takes its time.
    pub(super) fn is_live(&self) -> bool {
        self.is_terminal
    }

    pub(super) fn line(&mut self, text: &str) {
        self.write(&format!("{text}\n"));
    }

    pub(super) fn head(&mut self, users: &str) {
        let served = format!("SERVED OF {}", users.to_uppercase());
        self.line(&format!("{:<8} {served:<41} {:>8} {:>8} {:>9}  LAST INSTANCE", "ASKED", "KEPT", "DROPPED", "REVISION"));
    }

    pub(super) fn row(&mut self, row: &Row) {
        self.wipe();
        self.line(&row_in_words(row));
    }

    /// Drawn over by whatever comes next.
    pub(super) fn live(&mut self, asked: &str, traffic: &Traffic, elapsed: Duration) {
        if self.is_terminal {
            self.write(&format!("\r\u{1b}[2K{}", live_in_words(asked, traffic, elapsed)));
        }
    }

    pub(super) fn wipe(&mut self) {
        if self.is_terminal {
            self.write("\r\u{1b}[2K");
        }
    }

    fn write(&mut self, text: &str) {
        let mut out = io::stdout();
        // Nobody reads any more: the demo goes on to its end, and its exit code tells.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

fn row_in_words(row: &Row) -> String {
    let Row { asked, revision, lag, .. } = row;
    let share = format!("{} %", percent(row.served, row.users));
    let (served, kept) = (grouped(row.served), grouped(row.kept));
    // A kill drops everybody: that is no fault to be counted.
    let dropped = if asked == "kill" { "all".to_owned() } else { grouped(row.dropped) };
    format!("{asked:<8} {} {share:>9} {served:>9} {kept:>8} {dropped:>8} {revision:>9}  {lag}", bar(row.served, row.users))
}

fn live_in_words(asked: &str, traffic: &Traffic, elapsed: Duration) -> String {
    let milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    let each_second = traffic.asked.saturating_mul(1_000).checked_div(milliseconds).unwrap_or_default();
    let share = percent(traffic.on, traffic.asked);
    format!("{asked:<8} {} the shop asks {} times a second: {share} % on", bar(traffic.on, traffic.asked), grouped(each_second))
}

/// The share in percent with three decimals, without floating point: 0.101.
fn percent(part: u64, whole: u64) -> String {
    let thousandths = part.saturating_mul(100_000).checked_div(whole).unwrap_or_default();
    format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000)
}

fn bar(part: u64, whole: u64) -> String {
    // Somebody is more than nobody: what is served at all is seen.
    let full = part.saturating_mul(BAR).checked_div(whole).unwrap_or_default().max(u64::from(part > 0));
    (0..BAR).map(|place| if place < full { '█' } else { '░' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(asked: &str) -> Row {
        let lag = Lag(1_290);
        Row { asked: asked.to_owned(), served: 10_043, users: 100_000, kept: 1_003, dropped: 0, revision: 5, lag }
    }

    #[test]
    fn a_row_stands_under_its_head() {
        let line = row_in_words(&row("10 %"));
        assert_eq!(line, "10 %     ██░░░░░░░░░░░░░░░░░░  10.043 %    10,043    1,003        0         5  1.2 ms after the answer");
        assert!(row_in_words(&Row { dropped: 100_000, ..row("kill") }).contains(" all "));
    }

    #[test]
    fn a_lag_tells_on_which_side_of_the_answer_it_lies() {
        let answered = Instant::now();
        let later = answered + Duration::from_micros(2_340);
        assert_eq!(Lag::between(answered, later).to_string(), "2.3 ms after the answer");
        assert_eq!(Lag::between(later, answered).to_string(), "2.3 ms before the answer");
        assert_eq!(Lag::default().max(Lag::between(later, answered)), Lag(-2_340));
    }

    #[test]
    fn the_least_share_is_seen() {
        assert_eq!((bar(0, 100), bar(1, 1_000_000), bar(100, 100)), ("░".repeat(20), format!("█{}", "░".repeat(19)), "█".repeat(20)));
        assert_eq!((percent(101, 100_000), percent(1, 1), percent(0, 0)), ("0.101".to_owned(), "100.000".to_owned(), "0.000".to_owned()));
    }

    #[test]
    fn the_live_line_tells_how_busy_the_shop_is() {
        let line = live_in_words("1 %", &Traffic { asked: 50_000, on: 500 }, Duration::from_millis(500));
        assert!(line.ends_with("the shop asks 100,000 times a second: 1.000 % on"), "{line}");
    }
}
