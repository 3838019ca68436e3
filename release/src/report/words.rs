//! Times, spans and texts as people read them.

use std::fmt;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::evidence::count;

/// The first and the last millisecond whose year has four digits.
const YEARS_MS: (i64, i64) = (-62_135_596_800_000, 253_402_207_200_000);
/// Units of a span, from long to short.
const UNITS: [(&str, u64); 4] = [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000)];

/// A moment, written in RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Timestamp);

impl Moment {
    /// From epoch milliseconds; what has no year of four digits is taken as the nearest that has.
    pub fn of(ms: i64) -> Self {
        Self(Timestamp::from_millisecond(ms.clamp(YEARS_MS.0, YEARS_MS.1)).unwrap_or_default())
    }

    /// The same, as jiff knows it.
    pub fn timestamp(self) -> Timestamp {
        self.0
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// From one time to a later one, in milliseconds.
pub(super) fn between(from_ms: i64, to_ms: i64) -> u64 {
    u64::try_from(to_ms.saturating_sub(from_ms)).unwrap_or(0)
}

/// A span in words, of its two largest units: `1.4 s`, `4 min`, `1 h 30 min`.
pub(super) fn span(ms: u64) -> String {
    if ms < 10_000 {
        let tenths = ms / 100;
        return if tenths.is_multiple_of(10) { format!("{} s", tenths / 10) } else { format!("{}.{} s", tenths / 10, tenths % 10) };
    }
    let (mut rest, mut parts) = (ms, Vec::new());
    for (name, unit_ms) in UNITS {
        let units = rest / unit_ms;
        rest %= unit_ms;
        if units > 0 {
            parts.push(format!("{units} {name}"));
        } else if !parts.is_empty() {
            break;
        }
        if parts.len() == 2 {
            break;
        }
    }
    parts.join(" ")
}

/// A latency in milliseconds: `0.84 ms`, `120 ms`, `1.25 s`.
pub(super) fn latency(ms: f64) -> String {
    let (number, unit) = if ms < 1_000.0 { (ms, "ms") } else { (ms / 1_000.0, "s") };
    format!("{} {unit}", number_of(number))
}

/// A share of requests as a percentage. It is all or nothing only where it is: `99.96 %`, `under 0.0001 %`.
pub(super) fn share(share: f64) -> String {
    match rounded(share, f64::round) {
        _ if share <= 0.0 => "0 %".to_owned(),
        _ if share >= 1.0 => "100 %".to_owned(),
        (percent, _) if percent <= 0.0 => "under 0.0001 %".to_owned(),
        (percent, _) if percent >= 100.0 => "over 99.9999 %".to_owned(),
        (percent, decimals) => format!("{} %", written(percent, decimals)),
    }
}

/// From which share to which: rounded outwards, so that no more is said than was shown.
pub(super) fn range(low: f64, high: f64) -> String {
    let ((low, few), (high, many)) = (rounded(low, f64::floor), rounded(high, f64::ceil));
    format!("{} to {} %", written(low, few), written(high, many))
}

/// In percent, with as many decimals as its distance from the nearer end asks for.
fn rounded(share: f64, round: fn(f64) -> f64) -> (f64, usize) {
    let percent = share * 100.0;
    let distance = percent.min(100.0 - percent);
    let (decimals, scale) = if distance >= 1.0 {
        (1, 10.0)
    } else if distance >= 0.1 {
        (2, 100.0)
    } else if distance >= 0.01 {
        (3, 1_000.0)
    } else {
        (4, 10_000.0)
    };
    (round(percent * scale) / scale, decimals)
}

fn written(percent: f64, decimals: usize) -> String {
    format!("{percent:.decimals$}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A number with about three digits, or its thousands apart: `0.84`, `1.3`, `61,936`.
pub(super) fn number_of(number: f64) -> String {
    if number.abs() >= 1e12 || (number != 0.0 && number.abs() < 0.005) {
        return format!("{number:.1e}");
    }
    if let (true, Ok(whole)) = (number >= 1_000.0, format!("{number:.0}").parse()) {
        return count(whole);
    }
    let decimals = if number.abs() >= 100.0 {
        0
    } else if number.abs() >= 10.0 {
        1
    } else {
        2
    };
    let text = format!("{number:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A text that others wrote, as one piece of a line of Markdown: it opens no heading, list, table cell, link or tag, and it
/// reads as it was written.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let text = one_line(text);
    let mut before = None;
    let mut letters = text.chars().peekable();
    let mut only_digits = true;
    while let Some(letter) = letters.next() {
        let is_inside_a_word = before.is_some_and(char::is_alphanumeric) && letters.peek().is_some_and(|next| next.is_alphanumeric());
        let is_special = match letter {
            '\\' | '`' | '*' | '[' | ']' | '|' | '~' | '&' | '$' => true,
            '<' => letters.peek().is_some_and(|next| next.is_alphabetic() || matches!(next, '/' | '!' | '?')),
            '_' => !is_inside_a_word,
            // These mean something at the start of a line alone.
            '#' | '>' | '+' | '-' | '=' => before.is_none(),
            '.' | ')' => before.is_some() && only_digits,
            _ => false,
        };
        if is_special {
            plain.push('\\');
        }
        only_digits = only_digits && letter.is_ascii_digit();
        plain.push(letter);
        before = Some(letter);
    }
    plain
}

/// What a plan writes in its own language, as code.
pub(super) fn code(text: &str) -> String {
    let text = one_line(text);
    let fence = "`".repeat(longest_run(&text).saturating_add(1));
    let pad = if text.is_empty() || text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    // A table's cells are told apart before code is.
    format!("{fence}{pad}{}{pad}{fence}", text.replace('|', "\\|"))
}

/// A command or a script, fenced so that it cannot end its fence.
pub(super) fn block(text: &str) -> String {
    let fence = "`".repeat(longest_run(text).saturating_add(1).max(3));
    let text: String = text.chars().map(|letter| if letter == '\n' || letter == '\t' || is_seen(letter) { letter } else { ' ' }).collect();
    format!("{fence}\n{}\n{fence}\n", text.trim_end_matches('\n'))
}

/// Without line breaks, control characters, and marks that turn the direction of what follows.
pub(super) fn one_line(text: &str) -> String {
    let text: String = text.chars().map(|letter| if is_seen(letter) { letter } else { ' ' }).collect();
    text.trim().to_owned()
}

fn is_seen(letter: char) -> bool {
    !letter.is_control() && !matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn longest_run(text: &str) -> usize {
    text.split(|letter| letter != '`').map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_numbers_read_well() {
        for (ms, text) in [
            (0, "0 s"),
            (1_400, "1.4 s"),
            (45_000, "45 s"),
            (240_000, "4 min"),
            (252_000, "4 min 12 s"),
            (5_400_000, "1 h 30 min"),
            (3_605_000, "1 h"),
            (183_600_000, "2 d 3 h"),
        ] {
            assert_eq!(span(ms), text);
        }
        assert_eq!(
            (latency(0.84), latency(120.0), latency(1_250.0), latency(12.25)),
            ("0.84 ms".into(), "120 ms".into(), "1.25 s".into(), "12.2 ms".into())
        );
        assert_eq!((Moment::of(i64::MIN).to_string(), Moment::of(i64::MAX).to_string().len()), ("0001-01-01T00:00:00Z".into(), 20));
        assert_eq!(between(i64::MAX, i64::MIN), 0);
    }

    #[test]
    fn shares_are_never_rounded_to_more_than_was_seen() {
        for (value, text) in [
            (0.0, "0 %"),
            (1e-9, "under 0.0001 %"),
            (0.0005, "0.05 %"),
            (0.119, "11.9 %"),
            (0.9996, "99.96 %"),
            (0.999_999_999, "over 99.9999 %"),
            (1.0, "100 %"),
        ] {
            assert_eq!(share(value), text);
        }
        assert_eq!(range(0.0, 1.0), "0 to 100 %");
        assert_eq!(range(0.123_49, 0.123_41), "12.3 to 12.4 %");
        assert_eq!(range(1e-9, 1e-9), "0 to 0.0001 %");
        assert_eq!([1e15, 61_936.4, 0.0, -2.5].map(number_of), ["1.0e15", "61,936", "0", "-2.5"]);
    }

    #[test]
    fn what_others_wrote_stays_text() {
        for (text, written) in [
            ("error_rate 5 % (1 of 20)", "error_rate 5 % (1 of 20)"),
            ("# a | b\n| - |", "\\# a \\| b \\| - \\|"),
            ("1. one", "1\\. one"),
            ("10:30 and 2.5 < 3", "10:30 and 2.5 < 3"),
            ("<b>_x_ [y](z) `q`", "\\<b>\\_x\\_ \\[y\\](z) \\`q\\`"),
            ("- > 5%", "\\- > 5%"),
        ] {
            assert_eq!(plain(text), written);
        }
        assert_eq!((code("a | b"), code("a `b`")), ("`a \\| b`".into(), "`` a `b` ``".into()));
        assert_eq!(block("echo ```\n"), "````\necho ```\n````\n");
    }
}
