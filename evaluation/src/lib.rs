//! **Who gets what**: Storyflag's evaluation kernel.
//!
//! A [`Ruleset`] is everything that is needed to evaluate one environment at one revision. It is compiled once when it is
//! loaded, never changed, and answers [`Ruleset::evaluate`] from memory: one look-up of the flag, one hash of the unit,
//! no lock, no allocation. The service and every SDK run this same code, so they give the same answers.
//!
//! ```
//! use storyflag_evaluation::{Context, Identity, Reason, Ruleset};
//!
//! let flag = r#"{"key":"US-123-checkout","killed":false,"off":"off","variants":{"on":true,"off":false},
//!     "enabled":true,"seed":"US-123-checkout","unit":"targetingKey","prerequisites":[],"overrides":{},
//!     "rules":[{"id":"germany","if":[{"attribute":"country","in":["DE"]}],"serve":"on"}],
//!     "rollout":{"cohorts":[],"millionths":1000,"serve":"on"}}"#;
//! let ruleset = Ruleset::compile(Identity::default(), &[flag], &[], None);
//!
//! let german = Context::new("user-42").with("country", "DE");
//! let answer = ruleset.evaluate("US-123-checkout", &german);
//! assert!(answer.is_on());
//! assert_eq!((answer.reason(), answer.rule()), (Reason::TargetingMatch, Some("germany")));
//!
//! let missing = ruleset.evaluate("US-9-nothing", &german);
//! assert_eq!((missing.variant(), missing.reason()), (None, Reason::Error));
//! ```
//!
//! # Invariants
//!
//! - There is no clock, randomness, I/O, log, runtime or global here: the same ruleset and context give the same answer,
//!   for ever and everywhere.
//! - Evaluating cannot fail: what goes wrong is a [`Reason::Error`] in the answer.
//! - Compiling cannot fail either: an item that this version does not understand is *unsupported* alone, and its envelope
//!   (`key`, `killed`, `off`, `variants`) still lets a kill through.
//! - Nothing here panics, loops or recurses without bound, whatever the ruleset (cycles included) and the context.
//! - Percentages, weights and buckets are integers. No float decides who is in.
//!
//! The exact rules, for any language, stand in `docs/bucketing.md`; `evaluation/testdata` holds their vectors.

mod answer;
mod asked;
mod bucket;
mod check;
mod compile;
mod condition;
mod context;
mod date;
mod evaluate;
mod identity;
mod list;
mod model;
mod not_given;
mod percentage;
mod ruleset;
mod semver;
mod text;
mod value;

pub use answer::{Arm, Evaluation, EvaluationError, Reason};
pub use bucket::{BUCKETS, bucket, flag_seed, split_seed, unit_hash};
pub use check::{Fault, check_cohort, check_condition, check_flag};
pub use condition::{Condition, Operator, Order, Scalar, Test};
pub use context::{Attribute, Context};
pub use identity::{Identity, IdentityError, ItemKind, item_hash};
pub use list::{CohortList, ListError};
pub use model::{CohortItem, FlagItem, ListReference, Prerequisite, Rollout, Rule, Serve, Watch, Weight};
pub use not_given::NotGiven;
pub use percentage::{Percentage, PercentageError};
pub use ruleset::{ApplyError, Change, FlagView, Ruleset};
pub use value::{Value, ValueKind};

/// The version of the wire format that this kernel writes and fully understands.
pub const FORMAT: u32 = 1;
