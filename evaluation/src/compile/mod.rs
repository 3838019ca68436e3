//! From the wire form to what is asked a million times a second. Everything of the ruleset's side is parsed here, once.

pub(crate) mod cohort;
pub(crate) mod condition;
pub(crate) mod flag;
