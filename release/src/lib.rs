//! How far, how fast, when back: the plan, the machine that carries it out, and the evidence it rests on. Pure.

pub mod evidence;
mod execution;
pub mod machine;
pub mod plan;
pub mod run;

pub use execution::PlanCalendar;
