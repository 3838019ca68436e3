//! What a variant stands for.

use serde_json::Number;

/// The value of a variant.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `true` or `false`.
    Boolean(bool),
    /// Text.
    Text(Box<str>),
    /// A number, as exact as it was written.
    Number(Number),
    /// A JSON object.
    Object(Box<serde_json::Map<String, serde_json::Value>>),
}

/// The types that variants have; all variants of one flag share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueKind {
    /// See [`Value::Boolean`].
    Boolean,
    /// See [`Value::Text`].
    Text,
    /// See [`Value::Number`].
    Number,
    /// See [`Value::Object`].
    Object,
}

impl ValueKind {
    /// As the API names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Text => "string",
            Self::Number => "number",
            Self::Object => "object",
        }
    }
}

impl Value {
    /// From JSON; null and arrays are no values of variants.
    pub fn from_json(json: serde_json::Value) -> Option<Self> {
        Some(match json {
            serde_json::Value::Bool(value) => Self::Boolean(value),
            serde_json::Value::String(text) => Self::Text(text.into()),
            serde_json::Value::Number(number) => Self::Number(number),
            serde_json::Value::Object(object) => Self::Object(Box::new(object)),
            serde_json::Value::Null | serde_json::Value::Array(_) => return None,
        })
    }

    /// As JSON.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Boolean(value) => (*value).into(),
            Self::Text(text) => text.as_ref().into(),
            Self::Number(number) => number.clone().into(),
            Self::Object(object) => serde_json::Value::Object(object.as_ref().clone()),
        }
    }

    /// Its type.
    pub const fn kind(&self) -> ValueKind {
        match self {
            Self::Boolean(_) => ValueKind::Boolean,
            Self::Text(_) => ValueKind::Text,
            Self::Number(_) => ValueKind::Number,
            Self::Object(_) => ValueKind::Object,
        }
    }
}
