//! Conditions with their operands parsed and their names resolved.

use regex::{Regex, RegexBuilder};

use super::cohort::CohortNames;
use crate::{
    condition::{Condition, Operator, Order, Scalar, Test},
    date,
    semver::OwnedSemver,
    text::same,
};

/// The longest regular expression, in bytes.
pub(crate) const PATTERN_BYTES: usize = 512;
/// The largest compiled regular expression, in bytes.
const PATTERN_COMPILED_BYTES: usize = 256 * 1024;

#[derive(Debug, Clone)]
pub(crate) struct CompiledCondition {
    pub(crate) test: CompiledTest,
    pub(crate) not: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum CompiledTest {
    /// The index into the flag's or cohort's attribute names.
    Attribute(u16, CompiledOperator),
    /// The cohort's place in the ruleset.
    InCohort(u32),
}

#[derive(Debug, Clone)]
pub(crate) enum CompiledOperator {
    /// `equals` and `in` of text only: by far the commonest.
    OneOfTexts(Texts),
    OneOf(Box<Scalars>),
    Contains(Box<str>),
    StartsWith(Box<str>),
    EndsWith(Box<str>),
    Matches(Box<Regex>),
    Number(Order, f64),
    Date(Order, i128),
    Semver(Order, Box<OwnedSemver>),
    Exists(bool),
}

/// Texts, sorted so that long lists are searched by halves.
#[derive(Debug, Clone)]
pub(crate) struct Texts(Box<[Box<str>]>);

impl Texts {
    #[inline]
    pub(crate) fn contain(&self, text: &str) -> bool {
        if self.0.len() <= 12 {
            return self.0.iter().any(|one| same(one, text));
        }
        self.0.binary_search_by(|one| (**one).cmp(text)).is_ok()
    }
}

/// Operands of several types; only those of the attribute's own type count.
#[derive(Debug, Clone)]
pub(crate) struct Scalars {
    pub(crate) texts: Texts,
    pub(crate) has_texts: bool,
    pub(crate) numbers: Box<[f64]>,
    pub(crate) booleans: Box<[bool]>,
}

/// The distinct attribute names of one flag or cohort, so that a context is searched once for each.
#[derive(Debug, Default)]
pub(crate) struct AttributeNames(Vec<Box<str>>);

impl AttributeNames {
    fn index(&mut self, name: &str) -> Result<u16, String> {
        let index = self.0.iter().position(|known| **known == *name).unwrap_or_else(|| {
            self.0.push(name.into());
            self.0.len().saturating_sub(1)
        });
        u16::try_from(index).map_err(|_| "too many attributes".to_owned())
    }

    pub(crate) fn into_boxed(self) -> Box<[Box<str>]> {
        self.0.into_boxed_slice()
    }
}

/// Compiles all conditions of a rule or cohort. `cohorts` is `None` inside a cohort, where `in_cohort` has no place.
pub(crate) fn compile(
    conditions: &[Condition],
    names: &mut AttributeNames,
    mut cohorts: Option<&mut CohortNames>,
) -> Result<Box<[CompiledCondition]>, String> {
    let compiled = conditions.iter().map(|condition| {
        let test = match &condition.test {
            Test::Attribute(attribute, operator) => CompiledTest::Attribute(names.index(attribute)?, compile_operator(operator)?),
            Test::InCohort(key) => match &mut cohorts {
                Some(cohorts) => CompiledTest::InCohort(cohorts.place(key)),
                None => return Err("in_cohort has no place inside a cohort".to_owned()),
            },
        };
        Ok(CompiledCondition { test, not: condition.not })
    });
    compiled.collect()
}

/// Parses one operand; the text of an error names it and says what would be right.
pub(crate) fn compile_operator(operator: &Operator) -> Result<CompiledOperator, String> {
    Ok(match operator {
        Operator::Equals(scalar) => one_of(std::slice::from_ref(scalar)),
        Operator::In(scalars) if scalars.is_empty() => return Err("an empty list holds for nobody; give at least one value".to_owned()),
        Operator::In(scalars) => one_of(scalars),
        Operator::Contains(text) => CompiledOperator::Contains(text.as_str().into()),
        Operator::StartsWith(text) => CompiledOperator::StartsWith(text.as_str().into()),
        Operator::EndsWith(text) => CompiledOperator::EndsWith(text.as_str().into()),
        Operator::Matches(pattern) => CompiledOperator::Matches(Box::new(compile_pattern(pattern)?)),
        Operator::Number(order, number) => CompiledOperator::Number(*order, *number),
        Operator::Date(order, text) => {
            let point = date::nanoseconds(text)
                .ok_or_else(|| format!("{text:?} is not RFC 3339 text with an offset, such as 2026-12-01T16:00:00Z"))?;
            CompiledOperator::Date(*order, point)
        }
        Operator::Semver(order, text) => {
            let version =
                OwnedSemver::parse(text).ok_or_else(|| format!("{text:?} is not a semantic version, such as 1.4.0 or 2.0.0-rc.1"))?;
            CompiledOperator::Semver(*order, Box::new(version))
        }
        Operator::Exists(expected) => CompiledOperator::Exists(*expected),
    })
}

fn one_of(scalars: &[Scalar]) -> CompiledOperator {
    let (mut texts, mut numbers, mut booleans) = (Vec::<Box<str>>::new(), Vec::new(), Vec::new());
    for scalar in scalars {
        match scalar {
            Scalar::Text(text) => texts.push(text.as_str().into()),
            Scalar::Number(number) => numbers.push(*number),
            Scalar::Boolean(value) => booleans.push(*value),
        }
    }
    texts.sort_unstable();
    let has_texts = !texts.is_empty();
    let texts = Texts(texts.into());
    if numbers.is_empty() && booleans.is_empty() {
        return CompiledOperator::OneOfTexts(texts);
    }
    CompiledOperator::OneOf(Box::new(Scalars { texts, has_texts, numbers: numbers.into(), booleans: booleans.into() }))
}

fn compile_pattern(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > PATTERN_BYTES {
        return Err(format!("the pattern has {} bytes; at most {PATTERN_BYTES}", pattern.len()));
    }
    let regex = RegexBuilder::new(pattern).size_limit(PATTERN_COMPILED_BYTES).dfa_size_limit(PATTERN_COMPILED_BYTES).nest_limit(32).build();
    regex.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "the pattern is too large once compiled: fewer or smaller repetitions, please".to_owned(),
        other => format!("{pattern:?} is not a linear-time regular expression: {}", other.to_string().replace('\n', " ")),
    })
}
