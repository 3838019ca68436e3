//! Reading a JSON body field by field, so that every fault is found at once and named by its pointer.
//!
//! serde would stop at the first. A type that is read here says so by [`FromJson`]; an object reads its fields through
//! [`Fields`], which knows at the end which names nobody asked for.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use storyflag_evaluation::{Fault, Percentage, PercentageError};

use crate::error::MOST_FAULTS;

/// The longest text of a name, description, reason or unit, in bytes.
const LONGEST_TEXT: usize = 1024;

/// What can be read from JSON; a fault is noted where it is not.
pub trait FromJson: Sized {
    /// Reads `value`, which stands at the pointer `at`; `None` when it was not right, and `faults` says why.
    fn from_json(value: &Value, at: &str, faults: &mut Vec<Fault>) -> Option<Self>;
}

/// An object that is being read.
pub struct Fields<'a> {
    map: &'a Map<String, Value>,
    at: &'a str,
    known: Vec<&'static str>,
    faults: &'a mut Vec<Fault>,
}

impl<'a> Fields<'a> {
    /// The fields of `value`, if it is an object.
    pub fn of(value: &'a Value, at: &'a str, faults: &'a mut Vec<Fault>) -> Option<Self> {
        match value {
            Value::Object(map) => Some(Self { map, at, known: Vec::new(), faults }),
            other => {
                wrong_type(other, at, "an object", faults);
                None
            }
        }
    }

    /// A field that may be missing.
    pub fn optional<T: FromJson>(&mut self, name: &'static str) -> Option<T> {
        self.known.push(name);
        let value = self.map.get(name)?;
        T::from_json(value, &format!("{}/{name}", self.at), self.faults)
    }

    /// A field that must be there.
    pub fn required<T: FromJson>(&mut self, name: &'static str) -> Option<T> {
        if !self.map.contains_key(name) {
            self.known.push(name);
            self.fault(name, "is missing");
            return None;
        }
        self.optional(name)
    }

    /// Whether a field is there, whatever it holds.
    pub fn has(&self, name: &str) -> bool {
        self.map.contains_key(name)
    }

    /// Every field that was not asked for yet.
    pub fn rest(&mut self) -> Vec<(&'a str, &'a Value)> {
        let rest: Vec<_> = self.map.iter().filter(|(name, _)| !self.known.contains(&name.as_str())).collect();
        rest.into_iter().map(|(name, value)| (name.as_str(), value)).collect()
    }

    /// Notes a fault of one field.
    pub fn fault(&mut self, name: &str, detail: impl Into<String>) {
        self.faults.push(Fault { pointer: format!("{}/{}", self.at, escaped(name)), detail: detail.into() });
    }

    /// Nothing else is known here: every other field is a fault.
    pub fn end(mut self) {
        let names: Vec<&str> = self.rest().into_iter().map(|(name, _)| name).take(MOST_FAULTS.saturating_add(1)).collect();
        let known = self.known.join(", ");
        for name in names {
            self.fault(name, format!("is not known here; known are {known}"));
        }
    }
}

/// A segment of a JSON pointer (RFC 6901).
pub fn escaped(segment: &str) -> String {
    segment.replace('~', "~0").replace('/', "~1")
}

/// A collection and one more.
fn with<C: Extend<T>, T>((mut all, one): (C, T)) -> C {
    all.extend([one]);
    all
}

/// What a value is, in words, and short.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::String(text) if text.chars().count() > 40 => format!("\"{}...\"", text.chars().take(40).collect::<String>()),
        other => other.to_string(),
    }
}

pub(super) fn wrong_type(value: &Value, at: &str, expected: &str, faults: &mut Vec<Fault>) {
    faults.push(Fault { pointer: at.to_owned(), detail: format!("is {}, not {expected}", shown(value)) });
}

impl FromJson for bool {
    fn from_json(value: &Value, at: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        value.as_bool().or_else(|| {
            wrong_type(value, at, "true or false", faults);
            None
        })
    }
}

impl FromJson for i64 {
    fn from_json(value: &Value, at: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        value.as_i64().or_else(|| {
            wrong_type(value, at, "a whole number", faults);
            None
        })
    }
}

impl FromJson for f64 {
    fn from_json(value: &Value, at: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        value.as_f64().or_else(|| {
            wrong_type(value, at, "a number", faults);
            None
        })
    }
}

impl FromJson for String {
    fn from_json(value: &Value, at: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        match value {
            Value::String(text) if text.len() > LONGEST_TEXT => {
                faults.push(Fault { pointer: at.to_owned(), detail: format!("has {} bytes of text; at most {LONGEST_TEXT}", text.len()) });
                None
            }
            Value::String(text) if text.contains('\0') => {
                faults.push(Fault { pointer: at.to_owned(), detail: "has a NUL character".to_owned() });
                None
            }
            Value::String(text) => Some(text.clone()),
            other => {
                wrong_type(other, at, "text", faults);
                None
            }
        }
    }
}

/// In percent: 0 to 100, at most four decimals.
impl FromJson for Percentage {
    fn from_json(value: &Value, at: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        let Value::Number(number) = value else {
            wrong_type(value, at, "a number from 0 to 100 with at most four decimals", faults);
            return None;
        };
        match Self::from_percent(number.as_f64().unwrap_or(f64::NAN)) {
            Ok(percentage) => Some(percentage),
            Err(why) => {
                let right = match why {
                    PercentageError::OutOfRange => "a percentage is 0 to 100",
                    PercentageError::TooFine => "a percentage has at most four decimals, so 0.0001 is the finest",
                };
                faults.push(Fault { pointer: at.to_owned(), detail: format!("is {number}; {right}") });
                None
            }
        }
    }
}

impl FromJson for Value {
    fn from_json(value: &Value, _: &str, _: &mut Vec<Fault>) -> Option<Self> {
        Some(value.clone())
    }
}

impl<T: FromJson> FromJson for Vec<T> {
    fn from_json(value: &Value, at: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        let Value::Array(values) = value else {
            wrong_type(value, at, "a list", faults);
            return None;
        };
        let mut read = Some(Vec::with_capacity(values.len()));
        for (index, value) in values.iter().enumerate() {
            // Where something is wrong, the rest is looked through for what else is, up to what an answer lists.
            if faults.len() > MOST_FAULTS {
                return None;
            }
            let one = T::from_json(value, &format!("{at}/{index}"), faults);
            read = read.zip(one).map(with);
        }
        read
    }
}

impl<T: FromJson> FromJson for BTreeMap<String, T> {
    fn from_json(value: &Value, at: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        let Value::Object(map) = value else {
            wrong_type(value, at, "an object", faults);
            return None;
        };
        let mut read = Some(Self::new());
        for (name, value) in map {
            if faults.len() > MOST_FAULTS {
                return None;
            }
            let at = format!("{at}/{}", escaped(name));
            let (name, one) = (String::from_json(&Value::String(name.clone()), &at, faults), T::from_json(value, &at, faults));
            read = read.zip(name.zip(one)).map(with);
        }
        read
    }
}

/// Null, which takes away what may be missing: for merges by PATCH (RFC 7396).
impl<T: FromJson> FromJson for Option<T> {
    fn from_json(value: &Value, at: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        if value.is_null() { Some(None) } else { T::from_json(value, at, faults).map(Some) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn percentage(value: Value) -> Result<u32, String> {
        let mut faults = Vec::new();
        let read = Percentage::from_json(&value, "/percentage", &mut faults);
        read.map(Percentage::millionths).ok_or_else(|| format!("{} {}", faults[0].pointer, faults[0].detail))
    }

    #[test]
    fn a_bad_percentage_is_told_with_what_came_and_what_is_right() {
        assert_eq!(percentage(json!(0.1)), Ok(1_000));
        for (value, told) in [
            (json!(-1), "is -1; a percentage is 0 to 100"),
            (json!(100.5), "is 100.5; a percentage is 0 to 100"),
            (json!(0.00001), "is 0.00001; a percentage has at most four decimals, so 0.0001 is the finest"),
            (json!("ten"), "is \"ten\", not a number from 0 to 100 with at most four decimals"),
            (json!(null), "is null, not a number from 0 to 100 with at most four decimals"),
        ] {
            assert_eq!(percentage(value), Err(format!("/percentage {told}")));
        }
    }

    #[test]
    fn every_fault_is_listed() {
        let body = json!({"name": 7, "tags": ["a", 1, null], "c/d": true});
        let mut faults = Vec::new();
        let mut fields = Fields::of(&body, "", &mut faults).unwrap();
        assert_eq!(fields.optional::<String>("name"), None);
        assert_eq!(fields.optional::<Vec<String>>("tags"), None);
        assert_eq!(fields.required::<bool>("on"), None);
        fields.end();
        let pointers: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(pointers, ["/name", "/tags/1", "/tags/2", "/on", "/c~1d"]);
    }
}
