//! The document as it is read, block by block, and what comes of it.

use std::{collections::BTreeSet, ops::Range};

use super::{
    Outline,
    blocks::{self, Block, BlockKind, Lines},
    settings, without_note,
};
use crate::plan::{
    checklist::slug,
    read::{
        Kept,
        node::{Entry, Node, Place, Scalar, Value},
        yaml,
    },
};

/// Sentences of the template that say nothing by themselves.
const FURNITURE: [&str; 4] = [
    "gradual rollout",
    "deployment is successful when",
    "rollout strategy for story level deployment",
    "this deployment plan ensures safe monitored rollout of the story implementation",
];

/// What compares each with each must end soon.
const MOST_BLOCKS: usize = 5_000;

/// Reads the whole document.
pub(crate) fn outline(text: &str) -> Outline {
    let outline = Outline { entries: Vec::new(), kept: Vec::new(), faults: Vec::new(), marks: Vec::new(), unread: BTreeSet::new() };
    let mut document = Document {
        text,
        lines: Lines::of(text),
        path: Vec::new(),
        outline,
        checklists: Vec::new(),
        steps: Vec::new(),
        approve_next: false,
        is_step_lost: false,
        head: Vec::new(),
        group: String::new(),
        settings: None,
        last_kept: None,
    };
    let blocks = blocks::read(text);
    if let Some(block) = blocks.get(MOST_BLOCKS) {
        let at = document.place(block.outer.start);
        document.outline.fault(at, "", format!("a plan has at most {MOST_BLOCKS} headings, paragraphs, items and rows"));
    }
    for block in blocks.iter().take(MOST_BLOCKS) {
        document.block(block);
    }
    document.finish()
}

/// Titles of headings with their levels, in plain words.
type Path = Vec<(u8, String)>;

pub(super) struct Document<'a> {
    pub(super) text: &'a str,
    pub(super) lines: Lines,
    /// The open headings.
    pub(super) path: Path,
    pub(super) outline: Outline,
    /// Group, gate, first place and items.
    pub(super) checklists: Vec<(String, &'static str, Place, Vec<Node>)>,
    pub(super) steps: Vec<(Place, Vec<Entry>)>,
    /// The line before asked for approval.
    pub(super) approve_next: bool,
    /// The step before could not be read: what is said of it belongs to no other.
    pub(super) is_step_lost: bool,
    /// The columns of the open table.
    pub(super) head: Vec<String>,
    /// The outer item of a list of lists: `Application Metrics`.
    pub(super) group: String,
    pub(super) settings: Option<Node>,
    /// The section and the bytes of what was kept last.
    last_kept: Option<(Path, Range<usize>)>,
}

/// A part of the source on one line.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) text: &'a str,
    pub(super) start: usize,
}

impl<'a> Document<'a> {
    pub(super) fn raw(&self, range: &Range<usize>) -> &'a str {
        self.text.get(range.clone()).unwrap_or_default()
    }

    pub(super) fn place(&self, offset: usize) -> Place {
        self.lines.place(self.text, offset)
    }

    pub(super) fn title(&self, level: u8) -> &str {
        self.path.iter().find(|(known, _)| *known == level).map_or("", |(_, title)| title)
    }

    /// The title of the innermost heading.
    pub(super) fn innermost(&self) -> String {
        self.path.last().map(|(_, title)| title.clone()).unwrap_or_default()
    }

    /// The approach in plain words; "feature flag" unless another that is known was chosen.
    pub(super) fn approach(&self) -> &'static str {
        let approach = self.outline.entries.iter().find(|entry| entry.key == "approach");
        let chosen = approach.and_then(|entry| entry.value.as_text()).map(plain).unwrap_or_default();
        ["canary", "blue green", "rolling"].into_iter().find(|known| *known == chosen).unwrap_or("feature flag")
    }

    /// Whether this stands under an option of the template that was not chosen.
    pub(super) fn is_other_option(&self) -> bool {
        self.path.iter().any(|(_, title)| title.starts_with("option ") && !title.contains(self.approach()))
    }

    pub(super) fn block(&mut self, block: &Block) {
        let text = self.raw(&block.inner);
        if let BlockKind::Heading(level) = block.kind {
            return self.heading(level, text, block);
        }
        if self.is_other_option() {
            let first = self.place(block.outer.start).line;
            self.outline.unread.extend(first..first + self.raw(&block.outer).lines().count());
            return self.keep(block);
        }
        match self.title(2).to_owned().as_str() {
            "story reference" => self.fields(block, text, Self::reference),
            "deployment strategy" => self.fields(block, text, Self::strategy),
            "pre deployment checklist" => self.checklist(block, "start"),
            "deployment steps" => self.deployment(block),
            "monitoring plan" => self.monitoring(block),
            "rollback plan" => self.rollback(block),
            "post deployment validation" if matches!(block.kind, BlockKind::Code) => {
                self.runbook(block, &slug(&self.innermost()).replace('-', "_"))
            }
            "post deployment validation" | "success criteria" => self.checklist(block, "complete"),
            "communication plan" => self.communication(block),
            "rollout schedule" => self.schedule(block),
            "release settings" => self.release_settings(block),
            _ => self.keep(block),
        }
    }

    pub(super) fn heading(&mut self, level: u8, text: &str, block: &Block) {
        self.path.retain(|(known, _)| *known < level);
        self.path.push((level, plain(text)));
        self.group.clear();
        if level != 1 {
            return;
        }
        let key = text.split_once(':').map_or(text, |(_, key)| key);
        let offset = block.inner.start + text.len() - key.trim_start().len();
        self.set("plan", key.trim(), offset);
    }

    pub(super) fn set(&mut self, key: &str, text: &str, offset: usize) {
        let at = self.place(offset);
        self.outline.entries.push(Entry::new(key, Node::text(text, at)));
    }

    /// Adds to the list or map under a key, which begins with its first item.
    pub(super) fn add(&mut self, key: &str, item: Item) {
        let at = match &item {
            Item::Of(node) => node.at,
            Item::Named(entry) => entry.at,
        };
        let index = self.outline.entries.iter().position(|entry| entry.key == key);
        let value = match index.and_then(|index| self.outline.entries.get_mut(index)) {
            Some(entry) => &mut entry.value.value,
            None => {
                let empty = if matches!(item, Item::Of(_)) { Node::list(Vec::new(), at) } else { Node::map(Vec::new(), at) };
                self.outline.entries.push(Entry::new(key, empty));
                let Some(entry) = self.outline.entries.last_mut() else { return };
                &mut entry.value.value
            }
        };
        match (value, item) {
            (Value::List(items), Item::Of(node)) => items.push(node),
            (Value::Map(entries), Item::Named(entry)) => entries.push(entry),
            _ => {}
        }
    }

    /// Keeps a block word for word, joined to the one before it in the same section.
    pub(super) fn keep(&mut self, block: &Block) {
        let text = self.raw(&block.outer);
        if matches!(block.kind, BlockKind::Other) || FURNITURE.contains(&plain(text).as_str()) {
            return;
        }
        if let (Some((path, range)), Some(kept)) = (&mut self.last_kept, self.outline.kept.last_mut())
            && *path == self.path
            && self.text.get(range.end..block.outer.start).is_some_and(|between| between.trim().is_empty())
        {
            range.end = block.outer.end;
            self.text.get(range.clone()).unwrap_or_default().trim_end().clone_into(&mut kept.text);
            return;
        }
        self.last_kept = Some((self.path.clone(), block.outer.clone()));
        self.outline.kept.push(Kept { line: self.place(block.outer.start).line, text: text.trim_end().to_owned() });
    }

    /// Reads lines of `**Label**: value`.
    pub(super) fn fields(&mut self, block: &Block, text: &'a str, read: impl Fn(&mut Self, &str, Line<'a>) -> bool) {
        if !matches!(block.kind, BlockKind::Paragraph | BlockKind::Item { .. }) {
            return self.keep(block);
        }
        let mut start = block.inner.start;
        let mut is_read = true;
        for line in text.split_inclusive('\n') {
            is_read &= labelled(Line { text: line, start }).is_some_and(|(label, value)| read(self, &label, value));
            start += line.len();
        }
        if !is_read {
            self.keep(block);
        }
    }

    pub(super) fn yaml(&mut self, block: &Block) -> Option<Node> {
        match yaml::read(self.raw(&block.inner), self.place(block.inner.start)) {
            Ok(root) => Some(root),
            Err(why) => {
                self.outline.fault(why.at, "", why.detail);
                None
            }
        }
    }

    pub(super) fn runbook(&mut self, block: &Block, name: &str) {
        let at = self.place(block.inner.start);
        let text = self.raw(&block.inner).trim_end().to_owned();
        let value = Node { at, value: Value::Scalar(Scalar { text, is_plain: false, text_at: Some(at) }) };
        self.add("runbook", Item::Named(Entry::new(name, value)));
    }

    /// The text of a block without the note that it may end in.
    pub(super) fn line(&self, block: &Block) -> Line<'a> {
        let text = self.raw(&block.inner);
        let text = text.get(..without_note(text)).unwrap_or_default();
        // A condition may be set as code.
        match text.strip_prefix('`').and_then(|text| text.strip_suffix('`')) {
            Some(code) => Line { text: code, start: block.inner.start + 1 },
            None => Line { text, start: block.inner.start },
        }
    }

    pub(super) fn add_text(&mut self, key: &str, line: Line<'a>) {
        let at = self.place(line.start);
        self.add(key, Item::Of(Node::text(line.text, at)));
    }

    pub(super) fn finish(mut self) -> Outline {
        for (group, gate, at, items) in std::mem::take(&mut self.checklists) {
            let entries = vec![
                Entry::new("group", Node::text(group, at)),
                Entry::new("gate", Node::text(gate, at)),
                Entry::new("items", Node::list(items, at)),
            ];
            self.add("checklists", Item::Of(Node::map(entries, at)));
        }
        for (at, entries) in std::mem::take(&mut self.steps) {
            self.add("steps", Item::Of(Node::map(entries, at)));
        }
        if self.approve_next {
            self.outline.fault(Place::START, "/steps", "an approval stands after the last step, and nothing comes after it");
        }
        if let Some(settings) = self.settings.take() {
            settings::lay_over(&mut self.outline, settings);
        }
        self.outline
    }
}

/// What is added to a list, or to a map.
pub(super) enum Item {
    Of(Node),
    Named(Entry),
}

/// `**Label**: value` as the plain label and the value.
pub(super) fn labelled(line: Line<'_>) -> Option<(String, Line<'_>)> {
    let (label, value) = line.text.split_once(':')?;
    // The colon may stand inside the bold text: `**Label:** value`.
    let text = value.trim_start_matches('*').trim_start();
    let start = line.start + label.len() + 1 + (value.len() - text.len());
    (!text.trim().is_empty()).then(|| (plain(label), Line { text: text.trim_end(), start }))
}

/// Lower-case words without any mark.
pub(super) fn plain(text: &str) -> String {
    slug(text).replace('-', " ")
}
