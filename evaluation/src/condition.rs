//! The wire form of a condition: `{"attribute": "country", "in": ["DE"], "not": true}` or `{"in_cohort": "internal-users"}`.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, Visitor},
    ser::SerializeMap,
};

/// A test, or its negation.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// What is tested.
    pub test: Test,
    /// True turns it round. Absence and a wrong type stay false.
    pub not: bool,
}

/// What a condition tests.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// An attribute of the context.
    Attribute(String, Operator),
    /// Membership in a cohort, by its key.
    InCohort(String),
}

/// How an attribute is tested.
#[derive(Debug, Clone, PartialEq)]
pub enum Operator {
    /// `equals`: the same type and value.
    Equals(Scalar),
    /// `in`: equal to one of them.
    In(Vec<Scalar>),
    /// `contains`: the text has this part.
    Contains(String),
    /// `starts_with`
    StartsWith(String),
    /// `ends_with`
    EndsWith(String),
    /// `matches`: a linear-time regular expression, unanchored, case-sensitive.
    Matches(String),
    /// `less`, `at_most`, `greater`, `at_least`: a number against this one, as f64.
    Number(Order, f64),
    /// `before` ([`Order::Less`]), `after` ([`Order::Greater`]): RFC 3339 text with an offset.
    Date(Order, String),
    /// `semver_equals`, `semver_less`...: semantic versions 2.0.
    Semver(Order, String),
    /// `exists`: the only operator that looks at absence.
    Exists(bool),
}

/// How two things that have an order are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Before it.
    Less,
    /// Before it or equal.
    AtMost,
    /// Equal.
    Equal,
    /// After it or equal.
    AtLeast,
    /// After it.
    Greater,
}

/// What `equals` and `in` compare with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// True or false.
    Boolean(bool),
    /// A number, compared as f64.
    Number(f64),
    /// Text.
    Text(String),
}

impl Order {
    const fn number_name(self) -> &'static str {
        match self {
            Self::Less => "less",
            Self::AtMost => "at_most",
            Self::Equal => "equals",
            Self::AtLeast => "at_least",
            Self::Greater => "greater",
        }
    }

    const fn semver_name(self) -> &'static str {
        match self {
            Self::Less => "semver_less",
            Self::AtMost => "semver_at_most",
            Self::Equal => "semver_equals",
            Self::AtLeast => "semver_at_least",
            Self::Greater => "semver_greater",
        }
    }
}

impl Operator {
    /// What the wire names them, all that there are.
    pub const NAMES: [&'static str; 18] = [
        "equals",
        "in",
        "contains",
        "starts_with",
        "ends_with",
        "matches",
        "less",
        "at_most",
        "greater",
        "at_least",
        "before",
        "after",
        "semver_equals",
        "semver_less",
        "semver_at_most",
        "semver_greater",
        "semver_at_least",
        "exists",
    ];

    /// As the wire names it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Equals(_) => "equals",
            Self::In(_) => "in",
            Self::Contains(_) => "contains",
            Self::StartsWith(_) => "starts_with",
            Self::EndsWith(_) => "ends_with",
            Self::Matches(_) => "matches",
            Self::Number(order, _) => order.number_name(),
            Self::Date(Order::Less, _) => "before",
            Self::Date(..) => "after",
            Self::Semver(order, _) => order.semver_name(),
            Self::Exists(_) => "exists",
        }
    }

    /// Reads the operand of the operator called `name`.
    fn read<'de, A: MapAccess<'de>>(name: &str, map: &mut A) -> Result<Self, A::Error> {
        Ok(match name {
            "equals" => Self::Equals(map.next_value()?),
            "in" => Self::In(map.next_value()?),
            "contains" => Self::Contains(map.next_value()?),
            "starts_with" => Self::StartsWith(map.next_value()?),
            "ends_with" => Self::EndsWith(map.next_value()?),
            "matches" => Self::Matches(map.next_value()?),
            "less" => Self::Number(Order::Less, map.next_value()?),
            "at_most" => Self::Number(Order::AtMost, map.next_value()?),
            "greater" => Self::Number(Order::Greater, map.next_value()?),
            "at_least" => Self::Number(Order::AtLeast, map.next_value()?),
            "before" => Self::Date(Order::Less, map.next_value()?),
            "after" => Self::Date(Order::Greater, map.next_value()?),
            "semver_equals" => Self::Semver(Order::Equal, map.next_value()?),
            "semver_less" => Self::Semver(Order::Less, map.next_value()?),
            "semver_at_most" => Self::Semver(Order::AtMost, map.next_value()?),
            "semver_greater" => Self::Semver(Order::Greater, map.next_value()?),
            "semver_at_least" => Self::Semver(Order::AtLeast, map.next_value()?),
            "exists" => Self::Exists(map.next_value()?),
            other => return Err(de::Error::custom(format_args!("unknown operator {other:?}"))),
        })
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ConditionVisitor)
    }
}

struct ConditionVisitor;

impl<'de> Visitor<'de> for ConditionVisitor {
    type Value = Condition;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a condition: \"attribute\" and one operator, or \"in_cohort\", and perhaps \"not\"")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Condition, A::Error> {
        let (mut attribute, mut operator, mut cohort, mut not) = (None, None, None, false);
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            match name.as_ref() {
                "attribute" => attribute = Some(map.next_value()?),
                "in_cohort" => cohort = Some(map.next_value()?),
                "not" => not = map.next_value()?,
                name if operator.is_none() => operator = Some(Operator::read(name, &mut map)?),
                name => return Err(de::Error::custom(format_args!("a second operator, {name:?}"))),
            }
        }
        let test = match (attribute, operator, cohort) {
            (Some(attribute), Some(operator), None) => Test::Attribute(attribute, operator),
            (None, None, Some(cohort)) => Test::InCohort(cohort),
            _ => return Err(de::Error::custom("a condition has \"attribute\" and one operator, or \"in_cohort\"")),
        };
        Ok(Condition { test, not })
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match &self.test {
            Test::InCohort(cohort) => map.serialize_entry("in_cohort", cohort)?,
            Test::Attribute(attribute, operator) => {
                map.serialize_entry("attribute", attribute)?;
                let name = operator.name();
                match operator {
                    Operator::Equals(scalar) => map.serialize_entry(name, scalar)?,
                    Operator::In(scalars) => map.serialize_entry(name, scalars)?,
                    Operator::Contains(text)
                    | Operator::StartsWith(text)
                    | Operator::EndsWith(text)
                    | Operator::Matches(text)
                    | Operator::Date(_, text)
                    | Operator::Semver(_, text) => map.serialize_entry(name, text)?,
                    Operator::Number(_, number) => map.serialize_entry(name, &plain(*number))?,
                    Operator::Exists(expected) => map.serialize_entry(name, expected)?,
                }
            }
        }
        if self.not {
            map.serialize_entry("not", &true)?;
        }
        map.end()
    }
}

/// A number as JSON writes it best: `18`, not `18.0`.
fn plain(number: f64) -> serde_json::Value {
    // Whole numbers of this size convert without loss, both ways.
    #[allow(clippy::cast_possible_truncation)]
    let whole = number as i64;
    if number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0 { whole.into() } else { number.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_that_of_an_operator() {
        for name in Operator::NAMES {
            let operands = ["true", "1", "\"a\"", "[1]"].map(|operand| format!(r#"{{"attribute":"a","{name}":{operand}}}"#));
            let read: Vec<Condition> = operands.iter().filter_map(|text| serde_json::from_str(text).ok()).collect();
            let known = |one: &Condition| matches!(&one.test, Test::Attribute(_, operator) if operator.name() == name);
            assert!(!read.is_empty() && read.iter().all(known), "{name}: {read:?}");
        }
    }
}
