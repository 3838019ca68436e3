//! A share of everyone, exact to a ten-thousandth of a percent.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A percentage from 0 to 100 with at most four decimals, held as an integer: 0.1 % is 1,000 millionths.
///
/// People write percent ([`Percentage::from_percent`]); rulesets, databases and telemetry hold millionths, and so does
/// its serde form.
///
/// ```
/// use storyflag_evaluation::Percentage;
/// assert_eq!(Percentage::from_percent(0.1).map(|p| p.millionths()), Ok(1_000));
/// assert!(Percentage::from_percent(0.00001).is_err());
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percentage(u32);

impl Percentage {
    /// 0 %: nobody.
    pub const ZERO: Self = Self(0);
    /// 100 %: everybody.
    pub const ALL: Self = Self(1_000_000);

    /// From millionths, 0 to 1,000,000.
    pub const fn from_millionths(millionths: u32) -> Option<Self> {
        if millionths <= Self::ALL.0 { Some(Self(millionths)) } else { None }
    }

    /// From percent. The number meant is the shortest decimal that reads back to `percent`.
    ///
    /// # Errors
    /// Anything outside 0 to 100 (NaN included), and more than four decimals: finer is refused, never rounded.
    pub fn from_percent(percent: f64) -> Result<Self, PercentageError> {
        if !(0.0..=100.0).contains(&percent) {
            return Err(PercentageError::OutOfRange);
        }
        // `Display` of an f64 is its shortest decimal, never in exponent form.
        let text = percent.abs().to_string();
        let (whole, decimals) = text.split_once('.').unwrap_or((&text, ""));
        if decimals.len() > 4 {
            return Err(PercentageError::TooFine);
        }
        format!("{whole}{decimals:0<4}").parse().ok().and_then(Self::from_millionths).ok_or(PercentageError::OutOfRange)
    }

    /// In millionths, 0 to 1,000,000: also the number of buckets that are in.
    pub const fn millionths(self) -> u32 {
        self.0
    }

    /// In percent, 0 to 100.
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }

    /// Whether a bucket, 0 to 999,999, is in.
    pub const fn contains(self, bucket: u32) -> bool {
        bucket < self.0
    }
}

/// As people write it: `0.1 %`.
impl fmt::Display for Percentage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} %", self.percent())
    }
}

/// Why a number is no percentage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PercentageError {
    /// Below 0, above 100, or not a number.
    OutOfRange,
    /// More than four decimals.
    TooFine,
}

impl fmt::Display for PercentageError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::OutOfRange => "a percentage is 0 to 100",
            Self::TooFine => "a percentage has at most four decimals",
        })
    }
}

impl std::error::Error for PercentageError {}

impl Serialize for Percentage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.0)
    }
}

impl<'de> Deserialize<'de> for Percentage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let millionths = u32::deserialize(deserializer)?;
        Self::from_millionths(millionths).ok_or_else(|| de::Error::custom(format!("{millionths} is over 1000000 millionths")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_shortest_decimal_exactly() {
        for (percent, millionths) in
            [(0.0, 0), (-0.0, 0), (0.0001, 1), (0.1, 1_000), (33.3333, 333_333), (99.9999, 999_999), (100.0, 1_000_000)]
        {
            assert_eq!(Percentage::from_percent(percent).map(Percentage::millionths), Ok(millionths), "{percent}");
        }
    }

    #[test]
    fn every_percentage_reads_back() {
        for millionths in 0..=1_000_000 {
            let percentage = Percentage::from_millionths(millionths).unwrap();
            assert_eq!(Percentage::from_percent(percentage.percent()), Ok(percentage));
        }
    }

    #[test]
    fn refuses_what_is_out_of_range_or_too_fine() {
        for percent in [-1.0, -0.0001, 100.0001, 100.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
            assert_eq!(Percentage::from_percent(percent), Err(PercentageError::OutOfRange), "{percent}");
        }
        for percent in [0.00001, 1e-300, 0.10001, 99.99999] {
            assert_eq!(Percentage::from_percent(percent), Err(PercentageError::TooFine), "{percent}");
        }
    }
}
