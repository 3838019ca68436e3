//! Markdown as a flat list of blocks that know their bytes in the source.

use std::ops::Range;

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use crate::plan::read::node::Place;

/// A piece of the document.
pub(super) struct Block {
    pub(super) kind: BlockKind,
    /// All of it, with what marks it: `- [ ] `, the fences of code.
    pub(super) outer: Range<usize>,
    /// Its text as it stands in the source.
    pub(super) inner: Range<usize>,
}

pub(super) enum BlockKind {
    Heading(u8),
    Paragraph,
    Item {
        /// 1 for an item of an outermost list.
        depth: usize,
        is_ordered: bool,
        /// A check box: whether it is ticked, and where it stands.
        ticked: Option<(bool, Range<usize>)>,
    },
    Code,
    /// A row of a table, with the bytes of each cell.
    Row {
        is_head: bool,
        cells: Vec<Range<usize>>,
    },
    /// A line across the page, raw HTML.
    Other,
}

/// Where each line begins.
pub(super) struct Lines(Vec<usize>);

impl Lines {
    pub(super) fn of(text: &str) -> Self {
        Self(std::iter::once(0).chain(text.match_indices('\n').map(|(index, _)| index + 1)).collect())
    }

    pub(super) fn place(&self, text: &str, offset: usize) -> Place {
        let line = self.0.partition_point(|start| *start <= offset).max(1);
        let start = self.0.get(line - 1).copied().unwrap_or(0);
        Place { line, column: text.get(start..offset).map_or(0, |before| before.chars().count()) + 1 }
    }
}

pub(super) fn read(text: &str) -> Vec<Block> {
    let mut reader = Blocks::default();
    for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES | Options::ENABLE_TASKLISTS).into_offset_iter() {
        reader.event(event, range);
    }
    reader.flush();
    reader.blocks
}

#[derive(Default)]
struct Blocks {
    blocks: Vec<Block>,
    /// Whether each open list is ordered.
    lists: Vec<bool>,
    /// What the inline text that comes next belongs to.
    open: Option<Block>,
}

impl Blocks {
    fn event(&mut self, event: Event<'_>, range: Range<usize>) {
        match event {
            Event::Start(tag) => self.start(&tag, range),
            Event::End(tag) => self.end(tag),
            Event::TaskListMarker(ticked) => {
                if let Some(Block { kind: BlockKind::Item { ticked: known, .. }, inner, .. }) = &mut self.open {
                    *inner = range.end..range.end;
                    *known = Some((ticked, range));
                }
            }
            Event::Rule => {
                self.flush();
                self.blocks.push(Block { kind: BlockKind::Other, inner: range.clone(), outer: range });
            }
            _ => self.extend(&range),
        }
    }

    fn start(&mut self, tag: &Tag<'_>, range: Range<usize>) {
        let kind = match tag {
            Tag::Heading { level, .. } => BlockKind::Heading(level_number(*level)),
            // The paragraph of a loose item is the item's own text.
            Tag::Paragraph if matches!(&self.open, Some(Block { kind: BlockKind::Item { .. }, inner, .. }) if inner.is_empty()) => return,
            Tag::Paragraph => BlockKind::Paragraph,
            Tag::CodeBlock(CodeBlockKind::Fenced(_) | CodeBlockKind::Indented) => BlockKind::Code,
            Tag::HtmlBlock => BlockKind::Other,
            Tag::List(start) => {
                self.flush();
                self.lists.push(start.is_some());
                return;
            }
            Tag::Item => BlockKind::Item { depth: self.lists.len(), is_ordered: self.lists.last().copied().unwrap_or(false), ticked: None },
            Tag::TableHead => BlockKind::Row { is_head: true, cells: Vec::new() },
            Tag::TableRow => BlockKind::Row { is_head: false, cells: Vec::new() },
            Tag::TableCell => {
                if let Some(Block { kind: BlockKind::Row { cells, .. }, .. }) = &mut self.open {
                    cells.push(range);
                }
                return;
            }
            Tag::Table(_) | Tag::BlockQuote(_) | Tag::FootnoteDefinition(_) => return self.flush(),
            _ => return self.extend(&range),
        };
        self.flush();
        self.open = Some(Block { kind, inner: range.start..range.start, outer: range });
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::List(_) => {
                self.flush();
                self.lists.pop();
            }
            TagEnd::Heading(_)
            | TagEnd::Paragraph
            | TagEnd::CodeBlock
            | TagEnd::HtmlBlock
            | TagEnd::Item
            | TagEnd::TableHead
            | TagEnd::TableRow => {
                self.flush();
            }
            _ => {}
        }
    }

    fn extend(&mut self, range: &Range<usize>) {
        if let Some(block) = &mut self.open {
            if block.inner.is_empty() {
                block.inner = range.clone();
            }
            block.inner.end = block.inner.end.max(range.end);
        }
    }

    fn flush(&mut self) {
        self.blocks.extend(self.open.take());
    }
}

fn level_number(level: HeadingLevel) -> u8 {
    match level {
        HeadingLevel::H1 => 1,
        HeadingLevel::H2 => 2,
        HeadingLevel::H3 => 3,
        HeadingLevel::H4 => 4,
        HeadingLevel::H5 => 5,
        HeadingLevel::H6 => 6,
    }
}
