//! First hit wins.

use crate::{
    answer::{Arm, Evaluation, EvaluationError, Outcome, Reason},
    asked::Asked,
    bucket::{bucket, bucket_of, unit_hash},
    compile::{
        cohort::Cohort,
        condition::{CompiledCondition, CompiledTest},
        flag::{CompiledRule, CompiledServe, CompiledTargeting, Flag, Plan},
    },
    context::Context,
    percentage::Percentage,
    ruleset::Ruleset,
};

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
    let Some(hash) = context.unit(&flag.unit, |unit| unit_hash(unit.as_bytes(), rollout.seed)) else {
        return Outcome::error(EvaluationError::TargetingKeyMissing);
    };
    let outcome = if bucket_of(hash) < rollout.below {
        serve_in(flag, targeting, context, Reason::Split, Arm::Treatment)
    } else {
        Outcome::served(rollout.otherwise, Reason::Split, Arm::Control)
    };
    Outcome { has_hash: true, hash, ..outcome }
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
