//! **One release under way**: where its machine stands, how far telemetry was folded into it, and how it is written down.

mod fold;
mod seconds;

pub use fold::{Rows, Run};
pub use seconds::{Heard, NodeSecond, Row, Watched};
