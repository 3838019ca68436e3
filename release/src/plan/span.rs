//! A length of time as plans write it: `15m`, `1h30m`, `4 hours`.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

/// No plan waits longer than a leap year for anything.
const LONGEST_MS: u64 = 366 * 24 * 60 * 60 * 1000;

/// Units from long to short: what [`Span`] is written in, and the words that are read for it.
const UNITS: [(&str, u64, &[&str]); 5] = [
    ("d", 86_400_000, &["d", "day", "days"]),
    ("h", 3_600_000, &["h", "hr", "hrs", "hour", "hours"]),
    ("m", 60_000, &["m", "min", "mins", "minute", "minutes"]),
    ("s", 1_000, &["s", "sec", "secs", "second", "seconds"]),
    ("ms", 1, &["ms", "millisecond", "milliseconds"]),
];

/// A length of time in whole milliseconds, at most 366 days.
///
/// ```
/// use storyflag_release::plan::Span;
/// let span: Span = "90 minutes".parse().unwrap();
/// assert_eq!(span.millis(), 5_400_000);
/// assert_eq!(span.to_string(), "1h30m");
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u64);

impl Span {
    /// From milliseconds; longer than 366 days is 366 days.
    pub const fn from_millis(millis: u64) -> Self {
        Self(if millis > LONGEST_MS { LONGEST_MS } else { millis })
    }

    /// From minutes; longer than 366 days is 366 days.
    pub const fn from_minutes(minutes: u64) -> Self {
        Self::from_millis(minutes.saturating_mul(60_000))
    }

    /// In milliseconds.
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// As jiff counts with it.
    pub(crate) fn signed(self) -> jiff::SignedDuration {
        jiff::SignedDuration::from_millis(i64::try_from(self.0).unwrap_or(i64::MAX))
    }
}

/// From the longest unit to the shortest, without those that are zero: `1h30m`.
impl fmt::Display for Span {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return formatter.write_str("0s");
        }
        let mut rest = self.0;
        for (name, millis, _) in UNITS {
            if rest >= millis {
                write!(formatter, "{}{name}", rest / millis)?;
                rest %= millis;
            }
        }
        Ok(())
    }
}

/// Why a text is no length of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanError(String);

impl fmt::Display for SpanError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for SpanError {}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let wrong = || SpanError(format!("{text:?} is not a length of time; write for example 15m, 4h or 1h30m"));
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(wrong());
        }
        let mut sum: u64 = 0;
        while !rest.is_empty() {
            let (number, after) = split_where(rest, |letter| !letter.is_ascii_digit());
            let (unit, after) = split_where(after.trim_start(), |letter| !letter.is_alphabetic());
            rest = after.trim_start();
            let number: u64 = number.parse().map_err(|_| wrong())?;
            let unit = unit.to_lowercase();
            let (_, millis, _) = UNITS.iter().find(|(_, _, words)| words.contains(&unit.as_str())).ok_or_else(wrong)?;
            sum = number.checked_mul(*millis).and_then(|part| sum.checked_add(part)).unwrap_or(u64::MAX);
        }
        if sum > LONGEST_MS { Err(SpanError(format!("{text:?} is longer than 366 days"))) } else { Ok(Self(sum)) }
    }
}

fn split_where(text: &str, stop: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(stop).unwrap_or(text.len()))
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, minutes) in
            [("15m", 15), ("1 hour", 60), ("4 hours", 240), ("1h30m", 90), ("1h 30 min", 90), ("2 days", 2880), ("60s", 1)]
        {
            assert_eq!(text.parse(), Ok(Span::from_minutes(minutes)), "{text}");
        }
        assert_eq!("250ms".parse(), Ok(Span::from_millis(250)));
    }

    #[test]
    fn refuses_everything_else() {
        for text in ["", "m", "15", "-1h", "1.5h", "1 fortnight", "[X minutes]", "400d", "99999999999999999999h", "1h half", "4294967296d"]
        {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn writes_what_it_reads() {
        for text in ["15m", "1h30m", "1d", "2d4h", "1s", "1s500ms", "0s"] {
            assert_eq!(text.parse::<Span>().map(|span| span.to_string()).as_deref(), Ok(text));
        }
    }
}
