//! The deployment plan: what it says, and how it is read and written.

pub mod calendar;
mod checklist;
pub mod condition;
mod message;
mod model;
mod read;
mod span;
mod suggest;
mod write;

pub use calendar::{Calendar, Freeze, Hours};
pub use checklist::{Checklist, Gate, Item};
pub use condition::{Bound, Comparison, Condition, ConditionError, Failing, Measure, Quantile};
pub use message::{Audience, Kind, Message, When};
pub use model::{Action, Alert, Approach, Bake, Entries, Plan, Risk, Step};
pub use read::{Fault, Kept, LONGEST_DOCUMENT, Media, Reading, read};
pub use span::{Span, SpanError};
pub use write::{Progress, StepProgress, Tick, write, write_back};
