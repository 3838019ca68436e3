//! The answer is data, never an error: what is served, and why.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    bucket::{bucket_of, unit_hash},
    compile::flag::Flag,
    context::Context,
    value::Value,
};

/// Why the answer is what it is; the words of OpenFeature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The same for everybody, and nothing was looked at.
    Static,
    /// Nothing before it decided.
    Default,
    /// An override, a rule or a cohort named the unit.
    TargetingMatch,
    /// By bucket.
    Split,
    /// Killed or not enabled.
    Disabled,
    /// The caller's default is served; [`Evaluation::error`] says why.
    Error,
}

impl Reason {
    /// As the wire names it: `STATIC`, `DEFAULT`, `TARGETING_MATCH`, `SPLIT`, `DISABLED`, `ERROR`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Static => "STATIC",
            Self::Default => "DEFAULT",
            Self::TargetingMatch => "TARGETING_MATCH",
            Self::Split => "SPLIT",
            Self::Disabled => "DISABLED",
            Self::Error => "ERROR",
        }
    }
}

/// What went wrong; the words of OpenFeature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EvaluationError {
    /// No such flag.
    FlagNotFound,
    /// A unit is needed and the context has none.
    TargetingKeyMissing,
    /// The caller asked for another type.
    TypeMismatch,
    /// This version does not understand the flag.
    ParseError,
    /// There is no ruleset yet.
    NotReady,
}

impl EvaluationError {
    /// As the wire names it: `FLAG_NOT_FOUND`, `TARGETING_KEY_MISSING`, `TYPE_MISMATCH`, `PARSE_ERROR`, `NOT_READY`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FlagNotFound => "FLAG_NOT_FOUND",
            Self::TargetingKeyMissing => "TARGETING_KEY_MISSING",
            Self::TypeMismatch => "TYPE_MISMATCH",
            Self::ParseError => "PARSE_ERROR",
            Self::NotReady => "NOT_READY",
        }
    }
}

impl fmt::Display for EvaluationError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Where an evaluation stands in an experiment's sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arm {
    /// In by bucket.
    Treatment,
    /// Out by bucket.
    Control,
    /// In by a cohort of the rollout.
    Cohort,
    /// Decided by anything else.
    Outside,
}

impl Arm {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Treatment, Self::Control, Self::Cohort, Self::Outside];

    /// As the wire names it: `treatment`, `control`, `cohort`, `outside`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Treatment => "treatment",
            Self::Control => "control",
            Self::Cohort => "cohort",
            Self::Outside => "outside",
        }
    }
}

/// The answer without its ruleset: sixteen bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    pub(crate) variant: u16,
    pub(crate) rule: u16,
    pub(crate) reason: Reason,
    pub(crate) arm: Arm,
    pub(crate) error: Option<EvaluationError>,
    /// Whether the rollout looked at the unit's bucket.
    pub(crate) has_hash: bool,
    /// The unit's hash there, from which its bucket comes.
    pub(crate) hash: u64,
}

impl Outcome {
    pub(crate) const NO_VARIANT: u16 = u16::MAX;
    pub(crate) const NO_RULE: u16 = u16::MAX;

    #[inline]
    pub(crate) const fn served(variant: u16, reason: Reason, arm: Arm) -> Self {
        Self { variant, rule: Self::NO_RULE, reason, arm, error: None, has_hash: false, hash: 0 }
    }

    pub(crate) const fn disabled(off: u16) -> Self {
        Self::served(off, Reason::Disabled, Arm::Outside)
    }

    pub(crate) const fn error(error: EvaluationError) -> Self {
        Self {
            variant: Self::NO_VARIANT,
            rule: Self::NO_RULE,
            reason: Reason::Error,
            arm: Arm::Outside,
            error: Some(error),
            has_hash: false,
            hash: 0,
        }
    }
}

/// What a flag answers for a context, and why. Borrowed from the ruleset that gave it.
#[derive(Clone, Copy)]
pub struct Evaluation<'a> {
    pub(crate) flag: Option<&'a Flag>,
    pub(crate) outcome: Outcome,
    pub(crate) revision: u64,
}

impl<'a> Evaluation<'a> {
    /// The value; `None` means: the caller's default.
    #[inline]
    pub fn value(&self) -> Option<&'a Value> {
        Some(&self.flag?.variants.get(usize::from(self.outcome.variant))?.value)
    }

    /// The variant's name; `None` means: the caller's default.
    #[inline]
    pub fn variant(&self) -> Option<&'a str> {
        Some(&self.flag?.variants.get(usize::from(self.outcome.variant))?.name)
    }

    /// Whether the value is `true`.
    #[inline]
    pub fn is_on(&self) -> bool {
        matches!(self.value(), Some(Value::Boolean(true)))
    }

    /// Why.
    #[inline]
    pub fn reason(&self) -> Reason {
        self.outcome.reason
    }

    /// What went wrong, exactly where [`Evaluation::reason`] is [`Reason::Error`].
    #[inline]
    pub fn error(&self) -> Option<EvaluationError> {
        self.outcome.error
    }

    /// The id of the rule that decided.
    pub fn rule(&self) -> Option<&'a str> {
        let rule = self.flag?.targeting.as_ref()?.rules.get(usize::from(self.outcome.rule))?;
        Some(&rule.id)
    }

    /// The unit's bucket, 0 to 999,999, where the rollout looked at it.
    pub fn bucket(&self) -> Option<u32> {
        self.outcome.has_hash.then(|| bucket_of(self.outcome.hash))
    }

    /// Where the evaluation stands in an experiment's sense.
    #[inline]
    pub fn arm(&self) -> Arm {
        self.outcome.arm
    }

    /// The hash of the context's unit under the flag's seed, from which its bucket comes; `None` without a unit or a flag.
    ///
    /// `context` is the one that was asked for: where the rollout looked at its bucket, nothing is hashed again.
    #[inline]
    pub fn unit_hash(&self, context: &Context) -> Option<u64> {
        if self.outcome.has_hash {
            return Some(self.outcome.hash);
        }
        let flag = self.flag?;
        context.unit(&flag.unit, |unit| unit_hash(unit.as_bytes(), flag.rollout.seed))
    }

    /// The revision of the ruleset that answered.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The counter of this flag and variant; dense, and kept when a ruleset is derived from another.
    #[inline]
    pub fn slot(&self) -> Option<u32> {
        let flag = self.flag?;
        (self.outcome.variant != Outcome::NO_VARIANT).then(|| flag.slot.saturating_add(u32::from(self.outcome.variant)))
    }
}

impl fmt::Debug for Evaluation<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Evaluation");
        shown.field("value", &self.value()).field("variant", &self.variant()).field("reason", &self.reason()).field("error", &self.error());
        shown
            .field("rule", &self.rule())
            .field("bucket", &self.bucket())
            .field("arm", &self.arm())
            .field("revision", &self.revision)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arms_read_as_they_are_named() {
        for arm in Arm::ALL {
            assert_eq!(serde_json::to_string(&arm).unwrap(), format!("\"{}\"", arm.name()));
        }
    }
}
