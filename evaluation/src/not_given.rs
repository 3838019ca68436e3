//! What an answer would have looked at, had the context had it: for people who ask why, not for the path of answers.

use std::collections::BTreeSet;

use crate::{
    answer::{Arm, Evaluation},
    asked::Asked,
    bucket::unit_hash,
    compile::{
        cohort::Cohort,
        condition::{CompiledCondition, CompiledOperator, CompiledTest},
        flag::{CompiledTargeting, Flag},
    },
    context::{Context, UnitName},
    ruleset::Ruleset,
};

/// Attributes that were missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NotGiven {
    /// Their names.
    pub attributes: BTreeSet<String>,
    /// The cohorts, and the rules as `rule "id"`, that could not be judged without them.
    pub wanted_by: BTreeSet<String>,
}

impl Ruleset {
    /// What was missing to judge the rules and cohorts that an answer passed by.
    pub fn not_given(&self, answer: &Evaluation<'_>, context: &Context) -> NotGiven {
        let mut missing = NotGiven::default();
        let Some(flag) = answer.flag else { return missing };
        if let Some(targeting) = flag.targeting.as_deref().filter(|_| !flag.killed && self.was_asked(flag, answer)) {
            self.look_into(targeting, answer, context, &mut missing);
        }
        missing
    }

    /// Whether rules or cohorts had a say: not where the flag is off, a prerequisite is not met, or an override decides.
    fn was_asked(&self, flag: &Flag, answer: &Evaluation<'_>) -> bool {
        let by_rollout = matches!(answer.arm(), Arm::Treatment | Arm::Control | Arm::Cohort);
        let no_unit = answer.error() == Some(crate::answer::EvaluationError::TargetingKeyMissing);
        !self.is_killed_here(flag) && !self.is_blocked(flag) && (by_rollout || no_unit || answer.rule().is_some())
    }

    fn look_into(&self, targeting: &CompiledTargeting, answer: &Evaluation<'_>, context: &Context, missing: &mut NotGiven) {
        for rule in &targeting.rules {
            if answer.rule() == Some(&*rule.id) {
                return;
            }
            let by = format!("rule {:?}", rule.id);
            self.open(&rule.conditions, &targeting.attributes, &by, context, missing);
        }
        if answer.arm() == Arm::Cohort {
            return;
        }
        for cohort in targeting.cohorts.iter().filter_map(|place| self.cohort(*place)) {
            self.open_cohort(cohort, context, missing);
        }
    }

    /// Notes what conditions lack, unless one of them fails whatever the rest.
    fn open(&self, conditions: &[CompiledCondition], names: &[Box<str>], by: &str, context: &Context, missing: &mut NotGiven) {
        let mut asked = Asked::new(context, names);
        let mut lacks = NotGiven::default();
        for condition in conditions {
            match &condition.test {
                CompiledTest::InCohort(place) => match self.cohort(*place) {
                    Some(cohort) => self.open_cohort(cohort, context, &mut lacks),
                    None => return,
                },
                CompiledTest::Attribute(index, operator) => {
                    let Some(name) = names.get(usize::from(*index)) else { return };
                    let is_absent = context.get(name).is_none() && !matches!(operator, CompiledOperator::Exists(_));
                    if is_absent {
                        lacks.add(name, by);
                    } else if asked.test(*index, operator).is_none_or(|holds| holds == condition.not) {
                        return;
                    }
                }
            }
        }
        missing.attributes.extend(lacks.attributes);
        missing.wanted_by.extend(lacks.wanted_by);
    }

    fn open_cohort(&self, cohort: &Cohort, context: &Context, missing: &mut NotGiven) {
        if cohort.reference.is_some() {
            let has = |unit: &str| cohort.list.as_ref().is_some_and(|named| named.list.contains(unit_hash(unit.as_bytes(), cohort.seed)));
            match (context.unit(&cohort.unit, has), &cohort.unit) {
                (Some(true), _) => return,
                (None, UnitName::Attribute(name)) => missing.add(name, &cohort.key),
                (None, UnitName::TargetingKey) => missing.add("targetingKey", &cohort.key),
                (Some(false), _) => {}
            }
        }
        self.open(&cohort.conditions, &cohort.attributes, &cohort.key, context, missing);
    }
}

impl NotGiven {
    fn add(&mut self, attribute: &str, by: &str) {
        self.attributes.insert(attribute.to_owned());
        self.wanted_by.insert(by.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;

    fn missing(context: &Context) -> (Vec<String>, Vec<String>) {
        let flag = r#"{"kind":"flag","key":"f","enabled":true,"killed":false,"unit":"targetingKey","seed":"f","off":"off",
            "variants":{"off":false,"on":true},"prerequisites":[],"overrides":{"ann":"on"},
            "rules":[{"id":"germany","if":[{"attribute":"country","equals":"DE"},{"attribute":"beta","equals":true}],"serve":"on"}],
            "rollout":{"cohorts":["us"],"millionths":1000,"serve":"on"}}"#;
        let us = r#"{"kind":"cohort","key":"us","unit":"targetingKey","seed":"0000000000000001",
            "if":[{"attribute":"email","ends_with":"@example.com"}]}"#;
        let ruleset = Ruleset::compile(Identity::default(), &[flag], &[us], None);
        assert_eq!(ruleset.flag("f").and_then(|view| view.unsupported()), None);
        assert_eq!(ruleset.unsupported_cohorts().next(), None);
        let found = ruleset.not_given(&ruleset.evaluate("f", context), context);
        (found.attributes.into_iter().collect(), found.wanted_by.into_iter().collect())
    }

    #[test]
    fn what_rules_and_cohorts_lack_is_named_unless_it_would_not_matter() {
        let user = || Context::new("user-42");
        let words = |of: &[&str]| of.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        assert_eq!(missing(&user()), (words(&["beta", "country", "email"]), words(&["rule \"germany\"", "us"])));
        assert_eq!(missing(&user().with("country", "FR")), (words(&["email"]), words(&["us"])));
        let given = user().with("country", "FR").with("email", "a@example.org");
        assert_eq!(missing(&given), (Vec::new(), Vec::new()));
        let inside = user().with("country", "DE").with("email", "a@example.com");
        assert_eq!(missing(&inside), (words(&["beta"]), words(&["rule \"germany\""])));
        assert_eq!(missing(&user().with("country", "DE").with("beta", true)), (Vec::new(), Vec::new()));
        assert_eq!(missing(&Context::new("ann")), (Vec::new(), Vec::new()));
    }
}
