//! The team's deployment plan in Markdown, read by its structure into a tree in the plan's own keys.
//!
//! What has no meaning for a release is kept word for word, where it stands.

mod blocks;
mod phrase;
mod section;
mod settings;

use std::ops::Range;

use super::{
    Kept,
    node::{Entry, Node, Place},
};

/// What the document says, and where what happens can be written into it.
pub(crate) struct Outline {
    pub(crate) entries: Vec<Entry>,
    pub(crate) kept: Vec<Kept>,
    pub(crate) faults: Vec<(Place, String, String)>,
    pub(crate) marks: Vec<Mark>,
    /// Lines that are not read because another approach was chosen.
    pub(crate) unread: Vec<Range<usize>>,
}

impl Outline {
    fn fault(&mut self, at: Place, pointer: &str, detail: impl Into<String>) {
        self.faults.push((at, pointer.to_owned(), detail.into()));
    }

    /// The tree of all that was understood.
    pub(crate) fn root(&self) -> Node {
        Node::map(self.entries.clone(), Place::START)
    }
}

/// A place in the source where what happened is noted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mark {
    pub(crate) what: Marked,
    /// Where a note stands or would stand: from the end of the text to the end of the note.
    pub(crate) note: Range<usize>,
}

/// What is marked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Marked {
    /// A check box: the number of its list and of the item in it, and where the box stands.
    Item { list: usize, item: usize, box_at: Range<usize> },
    /// A line of the rollout, by the number of its step.
    Step(usize),
    /// A date in the schedule, by the number of its step.
    Row(usize),
}

pub(crate) use section::outline;

/// What a note of what happened begins and ends with: ` *(anna, 2026-12-01 14:03)*`.
pub(crate) const NOTE: (&str, &str) = (" *(", ")*");

/// How long the text is without the note of what happened that it may end in.
pub(crate) fn without_note(text: &str) -> usize {
    let end = text.trim_end();
    match end.strip_suffix(NOTE.1).and_then(|rest| rest.rfind(NOTE.0)) {
        Some(start) => start,
        None => end.len(),
    }
}

#[cfg(test)]
#[path = "markdown_tests.rs"]
mod tests;
