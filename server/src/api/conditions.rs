//! Reading conditions: each field's fault by its own pointer, so that all of a targeting's are told at once.

use serde_json::{Value, json};
use storyflag_evaluation::{Condition, Fault, Operator, check_condition};

use super::fields::{FromJson, escaped, wrong_type};
use crate::error::MOST_FAULTS;

/// Conditions that are compiled to find out what else is not right: more would be work without bound.
const MOST_LOOKED_INTO: usize = 50;

impl FromJson for Condition {
    fn from_json(value: &Value, at: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        let Value::Object(fields) = value else {
            wrong_type(value, at, "a condition such as {\"attribute\": \"country\", \"in\": [\"DE\"]}", faults);
            return None;
        };
        let before = faults.len();
        for (name, operand) in fields {
            if faults.len() > MOST_FAULTS {
                return None;
            }
            let pointer = format!("{at}/{}", escaped(name));
            match name.as_str() {
                "attribute" | "in_cohort" if !operand.is_string() => wrong_type(operand, &pointer, "text", faults),
                "attribute" | "in_cohort" => {}
                "not" => drop(bool::from_json(operand, &pointer, faults)),
                name if Operator::NAMES.contains(&name) => {
                    // By itself, so that it is told of each operand.
                    let alone = serde_json::from_value::<Self>(json!({ "attribute": "a", name: operand }));
                    faults.extend(alone.err().map(|error| Fault { pointer, detail: in_json(&error) }));
                }
                _ => {
                    let detail = format!("is no operator; known are {}; others are attribute, in_cohort, not", Operator::NAMES.join(", "));
                    faults.push(Fault { pointer, detail });
                }
            }
        }
        if faults.len() > before {
            return None;
        }
        // Each part is right: what is left is whether they make one condition.
        let read = serde_json::from_value(value.clone());
        read.map_err(|error| faults.push(Fault { pointer: at.to_owned(), detail: in_json(&error) })).ok()
    }
}

/// serde names the types of Rust; whoever wrote the JSON knows its own.
fn in_json(error: &serde_json::Error) -> String {
    error.to_string().replace("expected f64", "expected a number")
}

/// A body that is refused anyway is refused for those of its conditions, too, that can be read and not compiled: else
/// they would be told only when everything else is mended. `lists` are those that stand in it, each with its pointer.
pub(super) fn also_uncompilable<'a>(lists: impl Iterator<Item = (String, &'a Value)>, faults: &mut Vec<Fault>) {
    if faults.is_empty() {
        return;
    }
    let each = lists.flat_map(|(at, list)| {
        let conditions = list.as_array().into_iter().flatten().enumerate();
        conditions.map(move |(index, value)| (format!("{at}/{index}"), value))
    });
    for (at, value) in each.take(MOST_LOOKED_INTO) {
        if let Ok(condition) = serde_json::from_value(value.clone()) {
            faults.extend(check_condition(&at, &condition));
        }
    }
}
