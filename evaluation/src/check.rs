//! What a compile would refuse, found before a write, every fault with its pointer.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use crate::{
    compile::condition::compile_operator,
    condition::{Condition, Test},
    model::{CohortItem, FlagItem, Serve},
    percentage::Percentage,
    value::Value,
};

/// Something that is not right, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// JSON pointer (RFC 6901) into the item.
    pub pointer: String,
    /// What is not right, and what would be.
    pub detail: String,
}

/// Everything about a flag that no SDK could serve.
pub fn check_flag(item: &FlagItem) -> Vec<Fault> {
    let mut check = Check { faults: Vec::new(), variants: item.variants.keys().map(String::as_str).collect() };
    check.variant_values(item);
    check.variant("/off", &item.off);
    for (unit, variant) in &item.overrides {
        check.variant(&format!("/overrides/{}", escaped(unit)), variant);
    }
    for (index, prerequisite) in item.prerequisites.iter().enumerate() {
        if prerequisite.flag == item.key {
            check.fault(&format!("/prerequisites/{index}/flag"), "a flag cannot be its own prerequisite".to_owned());
        }
        if prerequisite.variants.is_empty() {
            check.fault(&format!("/prerequisites/{index}/variants"), "names no variant: it could never be met".to_owned());
        }
    }
    check.rules(item);
    check.serve("/rollout/serve", &item.rollout.serve);
    if let Some(otherwise) = &item.rollout.otherwise {
        check.variant("/rollout/otherwise", otherwise);
    }
    check.faults
}

/// Everything about a cohort that no SDK could use.
pub fn check_cohort(item: &CohortItem) -> Vec<Fault> {
    let mut check = Check { faults: Vec::new(), variants: BTreeSet::new() };
    check.conditions("/if", &item.conditions, false);
    check.faults
}

/// What a compile would refuse of one condition, which stands at the pointer `at`.
pub fn check_condition(at: &str, condition: &Condition) -> Option<Fault> {
    let Test::Attribute(_, operator) = &condition.test else { return None };
    let detail = compile_operator(operator).err()?;
    Some(Fault { pointer: format!("{at}/{}", operator.name()), detail })
}

struct Check<'a> {
    faults: Vec<Fault>,
    variants: BTreeSet<&'a str>,
}

impl Check<'_> {
    fn fault(&mut self, pointer: &str, detail: String) {
        self.faults.push(Fault { pointer: pointer.to_owned(), detail });
    }

    fn variant(&mut self, pointer: &str, name: &str) {
        if !self.variants.contains(name) {
            let known: Vec<&str> = self.variants.iter().copied().collect();
            self.fault(pointer, format!("{name:?} is not a variant of this flag; it has {}", known.join(", ")));
        }
    }

    fn variant_values(&mut self, item: &FlagItem) {
        if item.variants.is_empty() {
            self.fault("/variants", "a flag has at least one variant".to_owned());
        }
        let mut first = None;
        for (name, json) in &item.variants {
            let pointer = format!("/variants/{}", escaped(name));
            let Some(value) = Value::from_json(json.clone()) else {
                self.fault(&pointer, format!("{} is neither boolean, string, number nor object", kind_of(json)));
                continue;
            };
            let kind = value.kind();
            let expected = *first.get_or_insert(kind);
            if kind != expected {
                self.fault(&pointer, format!("a {} among variants of type {}: all have one type", kind.name(), expected.name()));
            }
        }
    }

    fn rules(&mut self, item: &FlagItem) {
        let mut ids = BTreeSet::new();
        for (index, rule) in item.rules.iter().enumerate() {
            let at = format!("/rules/{index}");
            if !ids.insert(rule.id.as_str()) {
                self.fault(&format!("{at}/id"), format!("{:?} names two rules", rule.id));
            }
            self.conditions(&format!("{at}/if"), &rule.conditions, true);
            self.serve(&format!("{at}/serve"), &rule.serve);
        }
    }

    fn conditions(&mut self, at: &str, conditions: &[Condition], cohorts_allowed: bool) {
        for (index, condition) in conditions.iter().enumerate() {
            if matches!(condition.test, Test::InCohort(_)) && !cohorts_allowed {
                self.fault(&format!("{at}/{index}/in_cohort"), "has no place inside a cohort".to_owned());
            }
            self.faults.extend(check_condition(&format!("{at}/{index}"), condition));
        }
    }

    fn serve(&mut self, at: &str, serve: &Serve) {
        let weights = match serve {
            Serve::Variant(variant) => return self.variant(at, variant),
            Serve::Split(weights) => weights,
        };
        for (index, weight) in weights.iter().enumerate() {
            self.variant(&format!("{at}/{index}/variant"), &weight.variant);
        }
        let sum: u64 = weights.iter().map(|weight| u64::from(weight.millionths.millionths())).sum();
        if sum != u64::from(Percentage::ALL.millionths()) {
            // At most a few thousand weights of at most 10^6: exact in an f64.
            #[allow(clippy::cast_precision_loss)]
            let percent = sum as f64 / 10_000.0;
            self.fault(at, format!("the weights sum to {percent}, not to exactly 100"));
        }
    }
}

fn kind_of(json: &Json) -> &'static str {
    if json.is_null() { "null" } else { "a list" }
}

fn escaped(segment: &str) -> String {
    segment.replace('~', "~0").replace('/', "~1")
}
