//! "Release settings": what has no home in the template's own words, laid over what has.

use super::Outline;
use crate::plan::read::node::{Entry, Node, Value};

/// Lays the settings over what the document says elsewhere. What both say is a fault, since people would read only one of them.
pub(super) fn lay_over(outline: &mut Outline, settings: Node) {
    let Value::Map(entries) = settings.value else {
        if settings.value != Value::Null {
            outline.fault(settings.at, "", "release settings are keys and values");
        }
        return;
    };
    for entry in entries {
        match outline.entries.iter().position(|known| known.key == entry.key) {
            Some(index) => join(outline, index, entry),
            None => outline.entries.push(entry),
        }
    }
}

fn join(outline: &mut Outline, index: usize, entry: Entry) {
    let pointer = format!("/{}", entry.key);
    let Some(known) = outline.entries.get_mut(index) else { return };
    let line = known.at.line;
    match (&mut known.value.value, entry.value.value) {
        (Value::List(steps), Value::List(overrides)) if entry.key == "steps" => {
            let mut faults = Vec::new();
            for step in overrides {
                if let Err(fault) = override_step(steps, step) {
                    faults.push(fault);
                }
            }
            for (at, detail) in faults {
                outline.fault(at, &pointer, detail);
            }
        }
        (Value::List(items), Value::List(more)) => items.extend(more),
        (Value::Map(entries), Value::Map(more)) => entries.extend(more),
        (Value::Scalar(first), Value::Scalar(second)) if first.text == second.text => {}
        _ => outline.fault(entry.at, &pointer, format!("line {line} says this already, and otherwise: say it in one place")),
    }
}

type Fault = (crate::plan::read::node::Place, String);

/// Adds an override's keys to the step of the same percentage.
fn override_step(steps: &mut [Node], step: Node) -> Result<(), Fault> {
    let percentage = number(&step);
    let Some(known) = steps.iter_mut().find(|known| percentage.is_some() && number(known) == percentage) else {
        return Err((step.at, "no step of the rollout has this percentage".to_owned()));
    };
    let (Value::Map(entries), Value::Map(more)) = (&mut known.value, step.value) else {
        return Err((step.at, "a step is keys and values".to_owned()));
    };
    for entry in more.into_iter().filter(|entry| entry.key != "percentage") {
        match entries.iter_mut().find(|known| known.key == entry.key) {
            // The prose names cohorts by their everyday names.
            Some(known) if entry.key == "cohorts" => *known = entry,
            Some(known) => {
                let detail = format!("line {} says the {} of this step already: say it in one place", known.at.line, entry.key);
                return Err((entry.at, detail));
            }
            None => entries.push(entry),
        }
    }
    Ok(())
}

pub(super) fn number(step: &Node) -> Option<f64> {
    step.get("percentage").and_then(Node::as_text).and_then(|text| text.parse().ok())
}
