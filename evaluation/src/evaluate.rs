//! The answer: first hit wins, and the result is data, never an error.

use std::{cmp::Ordering, fmt};

use crate::{
    bucket::{bucket, unit_hash},
    compile::{
        cohort::Cohort,
        condition::{CompiledCondition, CompiledOperator, CompiledTest},
        flag::{CompiledRule, CompiledServe, CompiledTargeting, Flag, Plan},
    },
    condition::Order,
    context::{Attribute, Context},
    date,
    percentage::Percentage,
    ruleset::Ruleset,
    semver::Semver,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    variant: u16,
    rule: u16,
    bucket: u32,
    reason: Reason,
    arm: Arm,
    error: Option<EvaluationError>,
}

impl Outcome {
    pub(crate) const NO_VARIANT: u16 = u16::MAX;
    const NO_RULE: u16 = u16::MAX;
    const NO_BUCKET: u32 = u32::MAX;

    #[inline]
    pub(crate) const fn served(variant: u16, reason: Reason, arm: Arm) -> Self {
        Self { variant, rule: Self::NO_RULE, bucket: Self::NO_BUCKET, reason, arm, error: None }
    }

    pub(crate) const fn disabled(off: u16) -> Self {
        Self::served(off, Reason::Disabled, Arm::Outside)
    }

    pub(crate) const fn error(error: EvaluationError) -> Self {
        Self {
            variant: Self::NO_VARIANT,
            rule: Self::NO_RULE,
            bucket: Self::NO_BUCKET,
            reason: Reason::Error,
            arm: Arm::Outside,
            error: Some(error),
        }
    }
}

/// What a flag answers for a context, and why. Borrowed from the ruleset that gave it.
#[derive(Clone, Copy)]
pub struct Evaluation<'a> {
    flag: Option<&'a Flag>,
    outcome: Outcome,
    revision: u64,
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
        (self.outcome.bucket != Outcome::NO_BUCKET).then_some(self.outcome.bucket)
    }

    /// Where the evaluation stands in an experiment's sense.
    #[inline]
    pub fn arm(&self) -> Arm {
        self.outcome.arm
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

/// How deep prerequisites are followed.
const PREREQUISITE_DEPTH: u32 = 16;
/// How many prerequisites one call evaluates at most; beyond, they are not met. Cycles and wide trees end here.
const PREREQUISITES_PER_CALL: u32 = 256;

impl Ruleset {
    /// What the flag called `key` answers for this context.
    #[inline]
    pub fn evaluate<'a>(&'a self, key: &str, context: &Context) -> Evaluation<'a> {
        let Some(flag) = self.find(key) else {
            return Evaluation { flag: None, outcome: Outcome::error(EvaluationError::FlagNotFound), revision: self.identity().revision };
        };
        self.answer(flag, context)
    }

    /// Every flag for one context, in no particular order.
    pub fn evaluate_all<'a>(&'a self, context: &Context) -> impl Iterator<Item = (&'a str, Evaluation<'a>)> {
        self.all().map(move |flag| (&*flag.key, self.answer(flag, context)))
    }

    #[inline]
    fn answer<'a>(&'a self, flag: &'a Flag, context: &Context) -> Evaluation<'a> {
        let outcome = match flag.plan {
            _ if self.is_killed_here(flag) => flag.when_killed(),
            Plan::Fixed(outcome) => outcome,
            Plan::Bucket => by_bucket(flag, None, context),
            Plan::Full => {
                let mut fuel = PREREQUISITES_PER_CALL;
                self.decide(flag, context, 0, &mut fuel)
            }
        };
        Evaluation { flag: Some(flag), outcome, revision: self.identity().revision }
    }

    fn decide(&self, flag: &Flag, context: &Context, depth: u32, fuel: &mut u32) -> Outcome {
        if self.is_killed_here(flag) {
            return flag.when_killed();
        }
        let targeting = match (&flag.plan, &flag.targeting) {
            (Plan::Fixed(outcome), _) => return *outcome,
            (Plan::Full, Some(targeting)) => targeting,
            _ => return by_bucket(flag, None, context),
        };
        if self.is_blocked(flag) {
            return Outcome::error(EvaluationError::ParseError);
        }
        if !targeting.prerequisites.is_empty() && !self.prerequisites_met(targeting, context, depth, fuel) {
            return Outcome::served(flag.off, Reason::Default, Arm::Outside);
        }
        if !targeting.overrides.is_empty() {
            let named = context.unit(&flag.unit, |unit| targeting.overrides.get(unit).copied());
            if let Some(variant) = named.flatten() {
                return Outcome::served(variant, Reason::TargetingMatch, Arm::Outside);
            }
        }
        if !targeting.rules.is_empty()
            && let Some(outcome) = self.by_rule(flag, targeting, context)
        {
            return outcome;
        }
        let in_cohort = |place: &u32| self.cohort(*place).and_then(|cohort| self.is_member(cohort, context)) == Some(true);
        if targeting.cohorts.iter().any(in_cohort) {
            let outcome = serve(&flag.rollout.serve, flag, targeting, context, Reason::TargetingMatch, Arm::Cohort);
            let reason = if outcome.error.is_some() { Reason::Error } else { Reason::TargetingMatch };
            return Outcome { reason, ..outcome };
        }
        by_bucket(flag, Some(targeting), context)
    }

    fn prerequisites_met(&self, targeting: &CompiledTargeting, context: &Context, depth: u32, fuel: &mut u32) -> bool {
        targeting.prerequisites.iter().all(|prerequisite| {
            if depth >= PREREQUISITE_DEPTH || *fuel == 0 {
                return false;
            }
            *fuel = fuel.saturating_sub(1);
            let Some(flag) = self.find(&prerequisite.flag) else { return false };
            let outcome = self.decide(flag, context, depth.saturating_add(1), fuel);
            let variant = flag.variants.get(usize::from(outcome.variant));
            variant.is_some_and(|variant| prerequisite.variants.contains(&variant.name))
        })
    }

    /// The answer of the first rule that holds.
    fn by_rule(&self, flag: &Flag, targeting: &CompiledTargeting, context: &Context) -> Option<Outcome> {
        let mut asked = Asked::new(context, &targeting.attributes);
        let holds = |rule: &CompiledRule| rule.conditions.iter().all(|condition| self.holds(condition, &mut asked));
        let index = targeting.rules.iter().position(holds)?;
        let outcome = serve(&targeting.rules.get(index)?.serve, flag, targeting, context, Reason::TargetingMatch, Arm::Outside);
        Some(Outcome { rule: u16::try_from(index).unwrap_or(Outcome::NO_RULE), ..outcome })
    }

    #[inline]
    fn holds(&self, condition: &CompiledCondition, asked: &mut Asked<'_>) -> bool {
        let result = match &condition.test {
            CompiledTest::Attribute(index, operator) => asked.test(*index, operator),
            CompiledTest::InCohort(place) => self.cohort(*place).and_then(|cohort| self.is_member(cohort, asked.context)),
        };
        result.is_some_and(|holds| holds != condition.not)
    }

    /// Whether the context is in a cohort; `None` where that cannot be known.
    fn is_member(&self, cohort: &Cohort, context: &Context) -> Option<bool> {
        let listed = match &cohort.reference {
            None => Some(false),
            Some(_) => context.unit(&cohort.unit, |unit| {
                let hash = unit_hash(unit.as_bytes(), cohort.seed);
                cohort.list.as_ref().is_some_and(|named| named.list.contains(hash))
            }),
        };
        if listed == Some(true) || cohort.conditions.is_empty() {
            return listed;
        }
        let mut asked = Asked::new(context, &cohort.attributes);
        if cohort.conditions.iter().all(|condition| self.holds(condition, &mut asked)) { Some(true) } else { listed }
    }
}

/// The last part of a targeting. `targeting` is `None` where there is nothing but the percentage.
#[inline]
fn by_bucket(flag: &Flag, targeting: Option<&CompiledTargeting>, context: &Context) -> Outcome {
    let rollout = &flag.rollout;
    let whole = match rollout.below {
        0 => Some((false, Arm::Control)),
        below if below >= Percentage::ALL.millionths() => Some((true, Arm::Treatment)),
        _ => None,
    };
    if let Some((is_in, arm)) = whole {
        let plain = targeting.is_none_or(CompiledTargeting::is_bare);
        let reason = if plain { Reason::Static } else { Reason::Default };
        return if is_in { serve_in(flag, targeting, context, reason, arm) } else { Outcome::served(rollout.otherwise, reason, arm) };
    }
    let Some(bucket) = context.unit(&flag.unit, |unit| bucket(unit.as_bytes(), rollout.seed)) else {
        return Outcome::error(EvaluationError::TargetingKeyMissing);
    };
    let outcome = if bucket < rollout.below {
        serve_in(flag, targeting, context, Reason::Split, Arm::Treatment)
    } else {
        Outcome::served(rollout.otherwise, Reason::Split, Arm::Control)
    };
    Outcome { bucket, ..outcome }
}

#[inline]
fn serve_in(flag: &Flag, targeting: Option<&CompiledTargeting>, context: &Context, reason: Reason, arm: Arm) -> Outcome {
    match (&flag.rollout.serve, targeting) {
        (CompiledServe::One(variant), _) => Outcome::served(*variant, reason, arm),
        (split, Some(targeting)) => serve(split, flag, targeting, context, reason, arm),
        // A split makes a targeting: `Flag::of_item` keeps one beside every split.
        (CompiledServe::Split(_), None) => Outcome::error(EvaluationError::ParseError),
    }
}

fn serve(serve: &CompiledServe, flag: &Flag, targeting: &CompiledTargeting, context: &Context, reason: Reason, arm: Arm) -> Outcome {
    let boundaries = match serve {
        CompiledServe::One(variant) => return Outcome::served(*variant, reason, arm),
        CompiledServe::Split(boundaries) => boundaries,
    };
    let Some(bucket) = context.unit(&flag.unit, |unit| bucket(unit.as_bytes(), targeting.split_seed)) else {
        return Outcome::error(EvaluationError::TargetingKeyMissing);
    };
    match boundaries.iter().find(|(end, _)| bucket < *end) {
        Some((_, variant)) => Outcome::served(*variant, Reason::Split, arm),
        None => Outcome::error(EvaluationError::ParseError),
    }
}

/// What one evaluation has already asked of its context: each attribute is searched once, each version parsed once.
struct Asked<'a> {
    context: &'a Context,
    names: &'a [Box<str>],
    found: [Option<Option<&'a Attribute>>; 4],
    version: Option<(u16, Option<Semver<'a>>)>,
}

impl<'a> Asked<'a> {
    #[inline]
    fn new(context: &'a Context, names: &'a [Box<str>]) -> Self {
        Self { context, names, found: [None; 4], version: None }
    }

    #[inline]
    fn attribute(&mut self, index: u16) -> Option<&'a Attribute> {
        let search = || self.names.get(usize::from(index)).and_then(|name| self.context.get(name));
        match self.found.get_mut(usize::from(index)) {
            Some(Some(found)) => *found,
            Some(unknown) => *unknown.insert(search()),
            None => search(),
        }
    }

    /// Whether an operator holds; `None` for absence and a wrong type.
    #[inline]
    fn test(&mut self, index: u16, operator: &CompiledOperator) -> Option<bool> {
        let attribute = self.attribute(index);
        if let CompiledOperator::Exists(expected) = operator {
            return Some(attribute.is_some() == *expected);
        }
        match (attribute?, operator) {
            (Attribute::List(elements), _) => Some(elements.iter().any(|element| test(element, operator) == Some(true))),
            (Attribute::Text(text), CompiledOperator::Semver(order, than)) => {
                let version = match self.version {
                    Some((known, version)) if known == index => version,
                    _ => self.version.insert((index, Semver::parse(text))).1,
                };
                version.map(|version| ordered(*order, version.precedence(&than.borrow())))
            }
            (attribute, operator) => test(attribute, operator),
        }
    }
}

/// Whether an operator holds for one value that is no list; `None` for a wrong type.
#[inline]
fn test(attribute: &Attribute, operator: &CompiledOperator) -> Option<bool> {
    match (attribute, operator) {
        (Attribute::Text(text), CompiledOperator::OneOfTexts(texts)) => Some(texts.contain(text)),
        (Attribute::Text(text), operator) => test_text(text, operator),
        (Attribute::Number(number), CompiledOperator::Number(order, than)) => {
            number.partial_cmp(than).map(|ordering| ordered(*order, ordering))
        }
        (Attribute::Number(number), CompiledOperator::OneOf(scalars)) if !scalars.numbers.is_empty() => {
            Some(scalars.numbers.contains(number))
        }
        (Attribute::Boolean(value), CompiledOperator::OneOf(scalars)) if !scalars.booleans.is_empty() => {
            Some(scalars.booleans.contains(value))
        }
        _ => None,
    }
}

#[inline]
fn test_text(text: &str, operator: &CompiledOperator) -> Option<bool> {
    match operator {
        CompiledOperator::OneOf(scalars) if scalars.has_texts => Some(scalars.texts.contain(text)),
        CompiledOperator::Contains(part) => Some(text.contains(&**part)),
        CompiledOperator::StartsWith(start) => Some(text.starts_with(&**start)),
        CompiledOperator::EndsWith(end) => Some(text.ends_with(&**end)),
        CompiledOperator::Matches(pattern) => Some(pattern.is_match(text)),
        CompiledOperator::Date(order, than) => date::nanoseconds(text).map(|point| ordered(*order, point.cmp(than))),
        CompiledOperator::Semver(order, than) => Semver::parse(text).map(|version| ordered(*order, version.precedence(&than.borrow()))),
        _ => None,
    }
}

#[inline]
fn ordered(order: Order, ordering: Ordering) -> bool {
    match order {
        Order::Less => ordering == Ordering::Less,
        Order::AtMost => ordering != Ordering::Greater,
        Order::Equal => ordering == Ordering::Equal,
        Order::AtLeast => ordering != Ordering::Less,
        Order::Greater => ordering == Ordering::Greater,
    }
}
