//! Typed access to a tree that goes on after a fault, so that a plan's author sees all of them at once.

use std::{collections::BTreeMap, fmt::Display, str::FromStr};

use super::{
    Fault,
    node::{Node, Place, Value},
    placeholder,
};
use crate::plan::{Condition, suggest};

/// The longest single value.
const LONGEST_VALUE: usize = 16_384;
/// The longest list of anything.
const LONGEST_LIST: usize = 1_000;

#[derive(Default)]
pub(super) struct Reader {
    pub(super) faults: Vec<Fault>,
    pub(super) assumed: Vec<String>,
    /// Where each pointer of the plan stands, for checks that see only the plan.
    places: BTreeMap<String, Place>,
}

impl Reader {
    pub(super) fn fault(&mut self, at: Place, pointer: &str, detail: impl Into<String>) {
        self.faults.push(Fault { line: at.line, column: at.column, pointer: pointer.to_owned(), detail: detail.into() });
    }

    /// A fault at what the pointer, or its nearest parent in the document, names.
    pub(super) fn fault_of(&mut self, pointer: &str, detail: impl Into<String>) {
        let mut known = pointer;
        while !known.is_empty() && !self.places.contains_key(known) {
            known = known.rsplit_once('/').map_or("", |(parent, _)| parent);
        }
        let at = self.places.get(known).copied().unwrap_or(Place::START);
        self.fault(at, pointer, detail);
    }

    pub(super) fn assume(&mut self, line: impl Into<String>) {
        self.assumed.push(line.into());
    }

    /// Notes where the node stands.
    pub(super) fn see(&mut self, node: &Node, pointer: &str) {
        self.places.insert(pointer.to_owned(), node.at);
    }

    /// Whether it holds keys and values, none of them unknown or twice.
    pub(super) fn keys(&mut self, node: &Node, pointer: &str, known: &[&str]) -> bool {
        self.see(node, pointer);
        let Value::Map(entries) = &node.value else {
            self.fault(node.at, pointer, format!("keys and values were expected, not {}; there are {}", node.kind(), known.join(", ")));
            return false;
        };
        for (index, entry) in entries.iter().enumerate() {
            let at = format!("{pointer}/{}", escaped(&entry.key));
            if !known.contains(&entry.key.as_str()) {
                self.fault(entry.at, &at, format!("{:?} is no key here{}", entry.key, suggest::hint(&entry.key, known)));
            } else if entries.iter().take(index).any(|earlier| earlier.key == entry.key) {
                self.fault(entry.at, &at, format!("{:?} is said twice", entry.key));
            }
        }
        true
    }

    pub(super) fn list<'n>(&mut self, node: &'n Node, pointer: &str) -> &'n [Node] {
        self.see(node, pointer);
        match &node.value {
            Value::List(items) if items.len() > LONGEST_LIST => {
                self.fault(node.at, pointer, format!("a list has at most {LONGEST_LIST} items"));
                &[]
            }
            Value::List(items) => items,
            _ => {
                self.fault(node.at, pointer, format!("a list was expected, not {}", node.kind()));
                &[]
            }
        }
    }

    pub(super) fn text(&mut self, node: &Node, pointer: &str) -> Option<String> {
        self.see(node, pointer);
        let Some(text) = node.as_text().filter(|text| !text.trim().is_empty()) else {
            self.fault(node.at, pointer, format!("a text was expected, not {}", node.as_text().map_or(node.kind(), |_| "nothing")));
            return None;
        };
        if text.len() > LONGEST_VALUE {
            self.fault(node.at, pointer, format!("a text has at most {LONGEST_VALUE} bytes"));
            return None;
        }
        // What Postgres cannot keep, and what a terminal would obey.
        if let Some(letter) = text.chars().find(|letter| letter.is_control() && !matches!(letter, '\n' | '\r' | '\t')) {
            self.fault(node.at, pointer, format!("has the control character U+{:04X}", u32::from(letter)));
            return None;
        }
        Some(text.to_owned())
    }

    /// A text that `FromStr` understands.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&mut self, node: &Node, pointer: &str) -> Option<T> {
        let text = self.text(node, pointer)?;
        self.result(text.parse(), &text, node, pointer)
    }

    /// The value, or a fault unless the text still holds a placeholder, which is told as such.
    pub(super) fn result<T>(&mut self, result: Result<T, impl Display>, text: &str, node: &Node, pointer: &str) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(why) if !placeholder::is_unfilled(text.trim()) => {
                self.fault(node.at, pointer, why.to_string());
                None
            }
            Err(_) => {
                // The template's own placeholders are found by their own search.
                if placeholder::find(text, |_| false).is_empty() {
                    self.fault(node.at, pointer, format!("{text} is a placeholder: fill it in"));
                }
                None
            }
        }
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&mut self, node: &Node, pointer: &str, names: &[(&str, T)]) -> Option<T> {
        let text = self.text(node, pointer)?;
        let plain = text.trim().to_lowercase().replace([' ', '-'], "_");
        let found = names.iter().find(|(name, _)| *name == plain).map(|(_, value)| *value);
        let known: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
        self.result(found.ok_or_else(|| format!("{text:?} is unknown{}", suggest::hint(&text, &known))), &text, node, pointer)
    }

    pub(super) fn number(&mut self, node: &Node, pointer: &str) -> Option<f64> {
        self.see(node, pointer);
        let number = match &node.value {
            Value::Scalar(scalar) if scalar.is_plain => scalar.text.parse().ok().filter(|number: &f64| number.is_finite()),
            _ => None,
        };
        if number.is_none() {
            self.fault(node.at, pointer, "a number was expected, without a unit or quotation marks");
        }
        number
    }

    pub(super) fn boolean(&mut self, node: &Node, pointer: &str) -> Option<bool> {
        self.see(node, pointer);
        match &node.value {
            Value::Scalar(scalar) if scalar.is_plain && scalar.text == "true" => Some(true),
            Value::Scalar(scalar) if scalar.is_plain && scalar.text == "false" => Some(false),
            _ => {
                self.fault(node.at, pointer, "true or false was expected");
                None
            }
        }
    }

    /// A condition; a fault points at the column inside it.
    pub(super) fn condition(&mut self, node: &Node, pointer: &str) -> Option<Condition> {
        let text = self.text(node, pointer)?;
        match Condition::parse(&text) {
            Ok(condition) => Some(condition),
            Err(why) => {
                let at = match &node.value {
                    Value::Scalar(scalar) => scalar.text_at.map(|start| start.after(&text, why.column - 1)),
                    _ => None,
                };
                let at = at.unwrap_or(node.at);
                self.fault(at, pointer, why.detail);
                None
            }
        }
    }
}

/// A segment of a JSON pointer (RFC 6901).
pub(super) fn escaped(segment: &str) -> String {
    segment.replace('~', "~0").replace('/', "~1")
}
