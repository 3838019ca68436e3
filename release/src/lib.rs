//! How far, how fast, when back: the plan, the machine that carries it out, the evidence it rests on, and the report. Pure.

pub mod evidence;
mod execution;
pub mod machine;
pub mod plan;
pub mod report;
pub mod run;

pub use execution::PlanCalendar;
