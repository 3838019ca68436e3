//! Bars, rates and times, as the view shows them.

use jiff::Timestamp;
use storyflag_release::evidence::{count, percent};

/// A bar as full as `share` says, of so many cells. What is more than nothing is seen, and only what is whole is full.
pub(super) fn bar(share: f64, cells: u16) -> String {
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    let full = |cell: u16| share * f64::from(cells) >= f64::from(cell) + 1.0 || (cell == 0 && share > 0.0);
    (0..cells).map(|cell| if full(cell) { '█' } else { '░' }).collect()
}

/// How much of a whole.
pub(super) fn share(part: i64, whole: i64) -> f64 {
    if whole <= 0 {
        return if part >= whole { 1.0 } else { 0.0 };
    }
    // Spans of a release are far below 2^53 ms.
    #[allow(clippy::cast_precision_loss)]
    let share = part.max(0) as f64 / whole as f64;
    share
}

/// `0.3 % (3)`; nothing where there is nothing to have a rate of.
pub(super) fn rate(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    // So many requests are below 2^53.
    #[allow(clippy::cast_precision_loss)]
    let share = part as f64 / whole as f64;
    percent(share)
}

/// `0.3 % (3)`.
pub(super) fn rate_and_count(part: u64, whole: u64) -> String {
    if whole == 0 { "-".to_owned() } else { format!("{} ({})", rate(part, whole), count(part)) }
}

/// An e-value, or another number: three figures, more being only noise.
pub(super) fn number(number: f64) -> String {
    if !number.is_finite() {
        return "unknown".to_owned();
    }
    // There is a zero below zero.
    match number + 0.0 {
        number if number.abs() >= 1e6 => format!("10^{:.0}", number.abs().log10()),
        number if number.abs() >= 1_000.0 => grouped(&format!("{number:.0}")),
        number if number.abs() >= 100.0 => format!("{number:.0}"),
        number if number.fract() == 0.0 => format!("{number}"),
        number => format!("{number:.1}"),
    }
}

fn grouped(whole: &str) -> String {
    whole.parse().map_or_else(|_| whole.to_owned(), count)
}

/// The time of a moment in UTC, with its day where that is not the day of `now`.
pub(super) fn moment(at: &str, now: Timestamp) -> String {
    let Ok(moment) = at.parse::<Timestamp>() else { return at.to_owned() };
    let (text, today) = (moment.strftime("%m-%d %H:%M:%S").to_string(), now.strftime("%m-%d %Y").to_string());
    match text.split_once(' ') {
        Some((_, time)) if moment.strftime("%m-%d %Y").to_string() == today => time.to_owned(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_full_only_when_all_is_done() {
        let drawn = |share| bar(share, 4);
        assert_eq!(
            [drawn(0.0), drawn(0.001), drawn(0.5), drawn(0.999), drawn(1.0), drawn(7.0), drawn(f64::NAN)],
            ["░░░░", "█░░░", "██░░", "███░", "████", "████", "░░░░"]
        );
        assert_eq!((share(1, 4), share(9, 0), share(-5, 10)), (0.25, 1.0, 0.0));
    }

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (0.26, "0.3"),
            (12.34, "12.3"),
            (123.4, "123"),
            (1_000.0, "1,000"),
            (2.7e43, "10^43"),
            (f64::NAN, "unknown"),
        ] {
            assert_eq!(number(value), text);
        }
        assert_eq!((rate(3, 1_000), rate(0, 0), rate_and_count(3, 1_000)), ("0.3 %".into(), "-".into(), "0.3 % (3)".into()));
    }

    #[test]
    fn a_day_is_told_where_it_is_another() {
        let now = "2026-12-01T14:00:00Z".parse().unwrap();
        assert_eq!(moment("2026-12-01T14:03:11.25+01:00", now), "13:03:11");
        assert_eq!(moment("2026-12-02T01:00:00Z", now), "12-02 01:00:00");
        assert_eq!(moment("soon", now), "soon");
    }
}
