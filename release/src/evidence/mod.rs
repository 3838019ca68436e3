//! **What the counts say**: tests that may be looked at every second without ever spending their error.
//!
//! All of them are *e-processes*: a bet against "all is well" whose stake never grows on average while all is well. When
//! it stands at 1,000, either the release is broken or a chance of at most 1 in 1,000 came true (Ville 1939), however
//! often and whenever anyone looked. Counts go in as integers, and no rate is formed where a decision falls: there is no NaN
//! and no division by nothing.

mod alert;
mod bound;
mod counts;
mod fold;
mod instances;
mod math;
mod mixture;
mod quantile;
mod sample_ratio;
mod share;
mod text;
mod trigger;

pub use alert::{Alarm, Detector};
pub use bound::{Interval, ratio_interval, share_interval, share_is_above, share_is_below};
pub use counts::{ArmCounts, Event, EventCounts, Second};
pub(crate) use fold::is_bad;
pub use fold::{Evidence, Judge, Verdict};
pub use instances::{Health, Instances};
pub(crate) use math::float;
pub use mixture::Mixture;
pub use quantile::{QuantileEstimate, quantile};
pub use sample_ratio::SampleRatio;
pub use share::{Arm, Direction, relative_factors, share_factors};
pub use text::{count, e_value, percent};
pub use trigger::{Reading, Share, Test, Trigger};
pub(crate) use trigger::{absolute, relative};

/// The chance that a trigger turns a healthy step back, per trigger and step.
pub const TRIGGER_ALPHA: f64 = 0.001;
/// The chance that a bound which lets a step go on, or stands in a report, is wrong.
pub const BOUND_ALPHA: f64 = 0.05;
/// The chance that a step with a fair split is called unfair.
pub const SAMPLE_RATIO_ALPHA: f64 = 0.001;
/// Seconds between false alarms of an alert, on average and at least: 30 days.
pub const ALERT_RUN_LENGTH: f64 = 2_592_000.0;
/// Distinct units that must have failed before an absolute trigger turns back.
pub const FAILING_UNITS: usize = 3;
