//! What the application knows at the call.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};

use crate::text::same;

/// A targeting key and flat attributes.
///
/// ```
/// use storyflag_evaluation::Context;
/// let user = Context::new("user-42").with("country", "DE").with("age", 33).with("beta", true);
/// let job = Context::without_key().with("queue", "mail");
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Context {
    key: Option<Attribute>,
    /// The decimal text of a numeric targeting key, rendered once so that no evaluation has to.
    key_text: Option<Box<str>>,
    attributes: Vec<(Box<str>, Attribute)>,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    /// Text.
    Text(Box<str>),
    /// A number; integers beyond 2^53 lose their last digits and are no units.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// A list; a condition holds if it holds for any element.
    List(Box<[Attribute]>),
    /// A nested object: present, and of a type that no condition asks for.
    Object,
    /// Null: as good as absent.
    Null,
}

/// The name under which the targeting key is also an attribute.
pub(crate) const TARGETING_KEY: &str = "targetingKey";

impl Context {
    /// A context for this targeting key: text, or an integer.
    pub fn new(targeting_key: impl Into<Attribute>) -> Self {
        let mut context = Self::default();
        context.set_key(targeting_key.into());
        context
    }

    /// A context that names nobody.
    pub fn without_key() -> Self {
        Self::default()
    }

    /// The same with one more attribute; a later value replaces an earlier one.
    #[must_use]
    pub fn with(mut self, name: impl Into<Box<str>>, value: impl Into<Attribute>) -> Self {
        self.set(name, value);
        self
    }

    /// Sets an attribute; a later value replaces an earlier one.
    pub fn set(&mut self, name: impl Into<Box<str>>, value: impl Into<Attribute>) {
        let (name, value) = (name.into(), value.into());
        if &*name == TARGETING_KEY {
            self.set_key(value);
        } else if let Some((_, old)) = self.attributes.iter_mut().find(|(known, _)| *known == name) {
            *old = value;
        } else {
            self.attributes.push((name, value));
        }
    }

    fn set_key(&mut self, key: Attribute) {
        self.key_text = match &key {
            Attribute::Number(number) => Digits::of(*number).map(|digits| digits.as_str().into()),
            _ => None,
        };
        self.key = Some(key);
    }

    /// An attribute; null is absent.
    #[inline]
    pub fn get(&self, name: &str) -> Option<&Attribute> {
        let found = if name == TARGETING_KEY {
            self.key.as_ref()
        } else {
            self.attributes.iter().find(|(known, _)| same(known, name)).map(|(_, value)| value)
        };
        found.filter(|value| !matches!(value, Attribute::Null))
    }

    /// The text that is hashed when an attribute (or `targetingKey`) is the unit; `None` where its value is no unit.
    pub fn unit_of(&self, attribute: &str) -> Option<String> {
        self.unit(&UnitName::new(attribute), str::to_owned)
    }

    /// The targeting key as a unit.
    #[inline]
    pub(crate) fn key_unit(&self) -> Option<&str> {
        match &self.key {
            Some(Attribute::Text(text)) if !text.is_empty() => Some(text),
            _ => self.key_text.as_deref(),
        }
    }

    /// Looks at the value of an attribute as a unit: non-empty text, or an integer as its decimal text.
    ///
    /// A closure, because that text may have to be rendered, on the stack of this function.
    #[inline]
    pub(crate) fn unit<T>(&self, name: &UnitName, look: impl FnOnce(&str) -> T) -> Option<T> {
        let rendered;
        let text = match name {
            UnitName::TargetingKey => self.key_unit()?,
            UnitName::Attribute(name) => match self.get(name)? {
                Attribute::Text(text) if !text.is_empty() => text,
                Attribute::Number(number) => {
                    rendered = Digits::of(*number)?;
                    rendered.as_str()
                }
                _ => return None,
            },
        };
        Some(look(text))
    }
}

/// Which attribute is hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum UnitName {
    TargetingKey,
    Attribute(Box<str>),
}

impl UnitName {
    pub(crate) fn new(name: &str) -> Self {
        if name == TARGETING_KEY { Self::TargetingKey } else { Self::Attribute(name.into()) }
    }
}

/// The decimal text of an integer: at most 16 digits and a sign, right-aligned from the index.
struct Digits([u8; 20], usize);

impl Digits {
    /// Integers within +-(2^53 - 1), as decimal text; other numbers are no units.
    fn of(number: f64) -> Option<Self> {
        if number.fract() != 0.0 || number.abs() > 9_007_199_254_740_991.0 {
            return None;
        }
        // Integral and below 2^53: the conversion is exact. -0.0 becomes 0.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let mut rest = number.abs() as u64;
        let mut digits = [b'0'; 20];
        let mut start = digits.len();
        for (index, digit) in digits.iter_mut().enumerate().rev() {
            *digit = b'0'.saturating_add(u8::try_from(rest % 10).unwrap_or(0));
            rest /= 10;
            start = index;
            if rest == 0 {
                break;
            }
        }
        if number < 0.0 {
            start = start.saturating_sub(1);
            if let Some(sign) = digits.get_mut(start) {
                *sign = b'-';
            }
        }
        Some(Self(digits, start))
    }

    fn as_str(&self) -> &str {
        self.0.get(self.1..).and_then(|digits| std::str::from_utf8(digits).ok()).unwrap_or_default()
    }
}

macro_rules! from_number {
    ($($number:ty),*) => { $(
        impl From<$number> for Attribute {
            #[allow(clippy::cast_precision_loss, clippy::cast_lossless)]
            fn from(number: $number) -> Self {
                Self::Number(number as f64)
            }
        }
    )* };
}
from_number!(i8, i16, i32, i64, u8, u16, u32, u64, isize, usize, f32, f64);

impl From<&str> for Attribute {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Attribute {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<&String> for Attribute {
    fn from(text: &String) -> Self {
        Self::Text(text.as_str().into())
    }
}

impl From<bool> for Attribute {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl<T: Into<Attribute>> From<Vec<T>> for Attribute {
    fn from(values: Vec<T>) -> Self {
        Self::List(values.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Attribute>, const N: usize> From<[T; N]> for Attribute {
    fn from(values: [T; N]) -> Self {
        Self::List(values.into_iter().map(Into::into).collect())
    }
}

impl From<serde_json::Value> for Attribute {
    fn from(value: serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(value) => Self::Boolean(value),
            serde_json::Value::Number(number) => number.as_f64().map_or(Self::Null, Self::Number),
            serde_json::Value::String(text) => Self::Text(text.into()),
            serde_json::Value::Array(values) => Self::List(values.into_iter().map(Into::into).collect()),
            serde_json::Value::Object(_) => Self::Object,
        }
    }
}

impl<'de> Deserialize<'de> for Context {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ContextVisitor)
    }
}

struct ContextVisitor;

impl<'de> Visitor<'de> for ContextVisitor {
    type Value = Context;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a context: an object with \"targetingKey\" and attributes")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Context, A::Error> {
        let mut context = Context::default();
        while let Some((name, value)) = map.next_entry::<String, serde_json::Value>()? {
            context.set(name, value);
        }
        Ok(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(value: serde_json::Value) -> Option<String> {
        let context = Context::without_key().with("account", value);
        context.unit(&UnitName::new("account"), str::to_owned)
    }

    #[test]
    fn units_are_text_or_whole_numbers() {
        assert_eq!(unit("user-42".into()).as_deref(), Some("user-42"));
        for (json, text) in
            [("42", "42"), ("42.0", "42"), ("-7", "-7"), ("-0.0", "0"), ("0", "0"), ("9007199254740991", "9007199254740991")]
        {
            assert_eq!(unit(serde_json::from_str(json).unwrap()).as_deref(), Some(text), "{json}");
        }
        for json in ["\"\"", "42.5", "9007199254740992", "1e300", "true", "[1]", "{}", "null"] {
            assert_eq!(unit(serde_json::from_str(json).unwrap()), None, "{json}");
        }
    }

    #[test]
    fn the_targeting_key_is_also_an_attribute() {
        let context: Context = serde_json::from_str(r#"{"targetingKey": 42, "country": "DE", "country": "FR"}"#).unwrap();
        assert_eq!(context.key_unit(), Some("42"));
        assert_eq!(context.get("targetingKey"), Some(&Attribute::Number(42.0)));
        assert_eq!(context.get("country"), Some(&Attribute::from("FR")));
        assert_eq!(Context::new("a").with("targetingKey", serde_json::Value::Null).key_unit(), None);
    }
}
