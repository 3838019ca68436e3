//! The steps of a plan.

use storyflag_evaluation::Percentage;

use super::{node::Node, reader::Reader};
use crate::plan::{Bake, Span, Step, calendar::read_local};

/// A step with its place in the document, which differs from its place among the steps where another could not be read.
pub(super) struct NumberedStep {
    pub(super) index: usize,
    pub(super) step: Step,
}

const MOST_STEPS: usize = 100;

pub(super) fn read(reader: &mut Reader, root: &Node, is_required: bool) -> Vec<NumberedStep> {
    let Some(node) = root.get("steps") else {
        if is_required {
            reader.fault(root.at, "/steps", "steps is missing");
        }
        return Vec::new();
    };
    let nodes = reader.list(node, "/steps");
    if nodes.is_empty() && is_required {
        reader.fault_of("/steps", "a plan has at least one step");
    }
    if nodes.len() > MOST_STEPS {
        reader.fault_of("/steps", format!("a plan has at most {MOST_STEPS} steps"));
        return Vec::new();
    }
    let read = nodes.iter().enumerate().filter_map(|(index, node)| Some(NumberedStep { index, step: read_step(reader, node, index)? }));
    read.collect()
}

fn read_step(reader: &mut Reader, node: &Node, index: usize) -> Option<Step> {
    let pointer = format!("/steps/{index}");
    if !reader.keys(node, &pointer, &["cohorts", "percentage", "bake", "not_before", "approval"]) {
        return None;
    }
    let percentage = read_percentage(reader, node, &pointer);
    let cohorts = node.get("cohorts").map(|list| read_cohorts(reader, list, &format!("{pointer}/cohorts"))).unwrap_or_default();
    let bake = read_bake(reader, node, &pointer, index);
    let not_before = node.get("not_before").and_then(|time| {
        let at = format!("{pointer}/not_before");
        let text = reader.text(time, &at)?;
        let local = read_local(&text).ok_or_else(|| format!("{text:?} is no local time; write for example \"2026-12-01 16:00\""));
        reader.result(local, &text, time, &at)
    });
    let approval = node.get("approval").and_then(|approval| reader.boolean(approval, &format!("{pointer}/approval")));
    Some(Step { cohorts, percentage: percentage?, bake: bake?, not_before, approval: approval.unwrap_or(false) })
}

fn read_percentage(reader: &mut Reader, node: &Node, pointer: &str) -> Option<Percentage> {
    let at = format!("{pointer}/percentage");
    let Some(percentage) = node.get("percentage") else {
        reader.fault(node.at, &at, "percentage is missing");
        return None;
    };
    let number = reader.number(percentage, &at)?;
    match Percentage::from_percent(number) {
        Ok(percentage) => Some(percentage),
        Err(why) => {
            reader.fault(percentage.at, &at, why.to_string());
            None
        }
    }
}

fn read_cohorts(reader: &mut Reader, node: &Node, pointer: &str) -> Vec<String> {
    let nodes = reader.list(node, pointer);
    let mut cohorts: Vec<String> = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let at = format!("{pointer}/{index}");
        let Some(cohort) = reader.text(node, &at) else { continue };
        if cohorts.contains(&cohort) {
            reader.fault(node.at, &at, format!("{cohort:?} is named twice in this step"));
        } else {
            cohorts.push(cohort);
        }
    }
    cohorts
}

fn read_bake(reader: &mut Reader, node: &Node, pointer: &str, index: usize) -> Option<Bake> {
    let Some(bake) = node.get("bake") else {
        let span = Span::from_minutes(if index == 0 { 15 } else { 60 });
        reader.assume(format!("bake of step {}: {span}", index + 1));
        return Some(Bake::For(span));
    };
    let at = format!("{pointer}/bake");
    let text = reader.text(bake, &at)?;
    if text.trim() == "overnight" {
        return Some(Bake::Overnight);
    }
    let span: Result<Span, _> = text.parse();
    reader.result(span.map_err(|_| format!("{text:?} is no bake; write for example 15m, 4h or overnight")), &text, bake, &at).map(Bake::For)
}
