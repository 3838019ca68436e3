//! What happened, written into the document in which it was planned. Everything else stays byte for byte.

use std::ops::Range;

use jiff::Timestamp;

use crate::plan::{
    Media, Plan,
    read::{
        self,
        markdown::{Marked, NOTE, outline},
    },
};

/// What happened so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Check boxes that were ticked.
    pub ticks: Vec<Tick>,
    /// Steps that were taken.
    pub steps: Vec<StepProgress>,
}

/// A ticked check box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tick {
    /// The item's id.
    pub item: String,
    /// Who ticked it.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// A step that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepProgress {
    /// Which one, counted from 0.
    pub step: usize,
    /// When it was taken.
    pub from: Timestamp,
    /// When it was over.
    pub to: Option<Timestamp>,
    /// What was measured, for people: `12,345 requests, error rate 0.02 %`. May be empty.
    pub figures: String,
}

/// The Markdown document with its boxes ticked and its steps noted. A document that is no plan, and one in which nothing happened, comes
/// back as it is. Writing again replaces what was written before.
pub fn write_back(markdown: &str, progress: &Progress) -> String {
    let Some(plan) = read::read(Media::Markdown, markdown).plan else { return markdown.to_owned() };
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    for mark in outline(markdown).marks {
        match mark.what {
            Marked::Item { list, item, box_at } => {
                let id = plan.checklists.get(list).and_then(|list| list.items.get(item)).map(|item| item.id.as_str());
                if let Some(tick) = progress.ticks.iter().find(|tick| Some(tick.item.as_str()) == id) {
                    edits.push((box_at, "[x]".to_owned()));
                    edits.push((mark.note, note(&format!("{}, {}", tick.by, local(&plan, tick.at)))));
                }
            }
            Marked::Step(step) => {
                if let Some(taken) = progress.steps.iter().find(|taken| taken.step == step) {
                    edits.push((mark.note, note(&step_note(&plan, taken))));
                }
            }
            Marked::Row(step) => {
                if let Some(taken) = progress.steps.iter().find(|taken| taken.step == step) {
                    edits.push((mark.note, note(&local(&plan, taken.from))));
                }
            }
        }
    }
    edits.sort_by_key(|(range, _)| range.start);
    let mut text = String::new();
    let mut done = 0;
    for (range, replacement) in edits {
        text.push_str(markdown.get(done..range.start).unwrap_or_default());
        text.push_str(&replacement);
        done = range.end;
    }
    text.push_str(markdown.get(done..).unwrap_or_default());
    text
}

fn step_note(plan: &Plan, taken: &StepProgress) -> String {
    let from = local(plan, taken.from);
    let times = match taken.to {
        Some(to) => format!("{from} to {}", local(plan, to)),
        None => format!("since {from}"),
    };
    if taken.figures.is_empty() { times } else { format!("{times}: {}", taken.figures) }
}

fn local(plan: &Plan, at: Timestamp) -> String {
    plan.calendar.local(at).strftime("%Y-%m-%d %H:%M").to_string()
}

fn note(text: &str) -> String {
    // A note ends where its mark ends, and stays in its cell and line.
    let text: String =
        text.chars().map(|letter| if letter.is_control() || matches!(letter, '*' | '|' | '`' | '\\') { ' ' } else { letter }).collect();
    format!("{}{text}{}", NOTE.0, NOTE.1)
}
