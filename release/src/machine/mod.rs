//! **The machine that carries a plan out**: one pure function, [`step`].
//!
//! ```text
//! scheduled -> running(step; baking | holding | awaiting approval | awaiting the calendar) <-> paused -> completed(targets)
//! running | paused -> rolling_back(cause) -> rolled_back(cause, verified)     superseded     cancelled (before the first step)
//! ```
//!
//! # Invariants
//!
//! - In one evaluation: superseded > kill > rollback > a trigger fires > a fault holds > approval > calendar > the bake is
//!   complete with evidence. What ranks higher wins whatever else came in.
//! - At most one step per evaluation. Steps are never folded or skipped, however late the evaluation comes.
//! - An evaluation adds at most 2 s of bake, and only while telemetry is healthy: outages, pauses and clock jumps add nothing.
//! - The ends are ends: nothing is written after rolled back, completed, superseded or cancelled.
//! - Silence never advances and never turns back.

mod command;
mod communication;
mod course;
mod crowd;
mod effect;
mod input;
mod prediction;
mod progress;
mod rehearsal;
mod rollback;
mod start;
mod state;
mod turn;

pub use course::{Alert, CheckItem, Course, Gate, Message, MessageKind, Step, Target, When};
pub use crowd::SplitMix;
pub use effect::{Effect, Notice, NoticeKind, Outcome, Record};
pub use input::{Always, Calendar, Command, CommandKind, Input, Targeting};
pub use prediction::{Prediction, Traffic, predict};
pub use rehearsal::{Profile, Rehearsal, Trouble, rehearse};
pub use state::{Approval, Cause, Doing, Hold, Owned, Phase, State, Targets, Ticked};
pub use turn::step;
