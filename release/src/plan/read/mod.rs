//! From a document to a plan: every fault at once, with its line and column.

mod check;
mod document;
pub(crate) mod json;
pub(crate) mod markdown;
pub(crate) mod node;
mod placeholder;
mod reader;
mod steps;
mod yaml;

use std::ops::Range;

use node::{Malformed, Place};
use reader::Reader;

use crate::plan::Plan;

/// The longest document.
pub const LONGEST_DOCUMENT: usize = 256 * 1024;

/// More faults than these help nobody.
const MOST_FAULTS: usize = 500;

/// What a document is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// `application/yaml`: canonical.
    Yaml,
    /// `application/json`
    Json,
    /// `text/markdown`: the team's deployment plan.
    Markdown,
}

/// What a document says.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The plan, if nothing is at fault.
    pub plan: Option<Plan>,
    /// Everything that is not right, in the document's order.
    pub faults: Vec<Fault>,
    /// What the reader added, a line each.
    pub assumed: Vec<String>,
    /// What is kept word for word and not executed.
    pub kept: Vec<Kept>,
    /// Where and why the plan, though well written, cannot be executed here.
    pub not_executable: Option<Fault>,
}

/// Something that is not right, and where.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Fault {
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// JSON pointer (RFC 6901) into the plan.
    pub pointer: String,
    /// What is not right, and what would be.
    pub detail: String,
}

/// A part of the document that is not executed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Kept {
    /// Where it begins, counted from 1.
    pub line: usize,
    /// Word for word.
    pub text: String,
}

/// Reads a plan. Total: any text gives a reading.
pub fn read(media: Media, text: &str) -> Reading {
    let mut reader = Reader::default();
    if text.len() > LONGEST_DOCUMENT {
        reader.fault(Place::START, "", format!("a plan has at most {} KiB", LONGEST_DOCUMENT / 1024));
        return finish(reader, None, Vec::new());
    }
    let mut kept = Vec::new();
    let mut unread: Vec<Range<usize>> = Vec::new();
    let root = match media {
        Media::Yaml => yaml::read(text, Place::START),
        Media::Json => json::read(text),
        Media::Markdown => {
            let outline = markdown::outline(text);
            let root = outline.root();
            for (at, pointer, detail) in outline.faults {
                reader.fault(at, &pointer, detail);
            }
            (kept, unread) = (outline.kept, outline.unread);
            Ok(root)
        }
    };
    for (at, word) in placeholder::find(text, |line| unread.iter().any(|lines| lines.contains(&line))) {
        reader.fault(at, "", format!("{word} is a placeholder: fill it in"));
    }
    let plan = match root {
        Ok(root) => document::plan(&mut reader, &root),
        Err(Malformed { at, detail }) => {
            reader.fault(at, "", detail);
            None
        }
    };
    finish(reader, plan, kept)
}

fn finish(mut reader: Reader, plan: Option<Plan>, kept: Vec<Kept>) -> Reading {
    reader.faults.sort_by_key(|fault| (fault.line, fault.column));
    reader.faults.dedup();
    reader.faults.truncate(MOST_FAULTS);
    let not_executable = plan.as_ref().and_then(Plan::cannot_be_executed).map(|why| {
        reader.fault_of("/approach", why);
        reader.faults.pop()
    });
    let plan = plan.filter(|_| reader.faults.is_empty());
    Reading { plan, faults: reader.faults, assumed: reader.assumed, kept, not_executable: not_executable.flatten() }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
