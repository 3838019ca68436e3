//! Which part of the template means what.

use std::ops::Range;

use super::{
    Mark, Marked, Outline,
    blocks::{self, Block, BlockKind, Lines},
    phrase::{self, Phrase},
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

/// Reads the whole document.
pub(crate) fn outline(text: &str) -> Outline {
    let outline = Outline { entries: Vec::new(), kept: Vec::new(), faults: Vec::new(), marks: Vec::new(), unread: Vec::new() };
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
    for block in blocks::read(text) {
        document.block(&block);
    }
    document.finish()
}

struct Document<'a> {
    text: &'a str,
    lines: Lines,
    /// Titles of the open headings, with their levels, plain: lower case, words only.
    path: Headings,
    outline: Outline,
    /// Group, gate, first place and items.
    checklists: Vec<(String, &'static str, Place, Vec<Node>)>,
    steps: Vec<(Place, Vec<Entry>)>,
    /// The line before asked for approval.
    approve_next: bool,
    /// The step before could not be read: what is said of it belongs to no other.
    is_step_lost: bool,
    /// The columns of the open table.
    head: Vec<String>,
    /// The outer item of a list of lists: `Application Metrics`.
    group: String,
    settings: Option<Node>,
    /// The section and the bytes of what was kept last.
    last_kept: Option<(Headings, Range<usize>)>,
}

/// Titles of headings, with their levels.
type Headings = Vec<(u8, String)>;

/// A part of the source on one line.
#[derive(Clone, Copy)]
struct Line<'a> {
    text: &'a str,
    start: usize,
}

impl<'a> Document<'a> {
    fn raw(&self, range: &Range<usize>) -> &'a str {
        self.text.get(range.clone()).unwrap_or_default()
    }

    fn place(&self, offset: usize) -> Place {
        self.lines.place(self.text, offset)
    }

    fn title(&self, level: u8) -> &str {
        self.path.iter().find(|(known, _)| *known == level).map_or("", |(_, title)| title)
    }

    /// The title of the innermost heading.
    fn innermost(&self) -> String {
        self.path.last().map(|(_, title)| title.clone()).unwrap_or_default()
    }

    /// The approach in plain words; "feature flag" unless another that is known was chosen.
    fn approach(&self) -> &'static str {
        let approach = self.outline.entries.iter().find(|entry| entry.key == "approach");
        let chosen = approach.and_then(|entry| entry.value.as_text()).map(plain).unwrap_or_default();
        ["canary", "blue green", "rolling"].into_iter().find(|known| *known == chosen).unwrap_or("feature flag")
    }

    /// Whether this stands under an option of the template that was not chosen.
    fn is_other_option(&self) -> bool {
        self.path.iter().any(|(_, title)| title.starts_with("option ") && !title.contains(self.approach()))
    }

    fn block(&mut self, block: &Block) {
        let text = self.raw(&block.inner);
        if let BlockKind::Heading(level) = block.kind {
            return self.heading(level, text, block);
        }
        if self.is_other_option() {
            let first = self.place(block.outer.start).line;
            self.outline.unread.push(first..first + self.raw(&block.outer).lines().count());
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

    fn heading(&mut self, level: u8, text: &str, block: &Block) {
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

    fn set(&mut self, key: &str, text: &str, offset: usize) {
        let at = self.place(offset);
        self.outline.entries.push(Entry::new(key, Node::text(text, at)));
    }

    /// Adds to the list or map under a key, which begins with its first item.
    fn add(&mut self, key: &str, item: Item) {
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
    fn keep(&mut self, block: &Block) {
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
    fn fields(&mut self, block: &Block, text: &'a str, read: impl Fn(&mut Self, &str, Line<'a>) -> bool) {
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

    fn reference(&mut self, label: &str, value: Line<'a>) -> bool {
        let linked = value.text.trim_start_matches("[[").trim_end_matches("]]");
        let offset = value.start + if linked.len() < value.text.len() { 2 } else { 0 };
        if label == "user story" {
            self.set("story", linked, offset);
        } else {
            let at = self.place(offset);
            self.add("references", Item::Named(Entry::new(slug(label).replace('-', "_"), Node::text(linked, at))));
        }
        true
    }

    fn strategy(&mut self, label: &str, value: Line<'a>) -> bool {
        let key = match label {
            "approach" => "approach",
            "risk level" | "risk" => "risk",
            "rollback time" => "rollback_time",
            _ => return false,
        };
        self.set(key, value.text, value.start);
        true
    }

    fn checklist(&mut self, block: &Block, gate: &'static str) {
        let BlockKind::Item { ticked: Some((ticked, box_at)), .. } = &block.kind else { return self.keep(block) };
        let text = self.raw(&block.inner);
        let lead = text.len() - text.trim_start().len();
        let start = block.inner.start + lead;
        let end = block.inner.start + without_note(text).max(lead);
        let at = self.place(start);
        let group = self.innermost();
        if !self.checklists.iter().any(|(known, known_gate, ..)| *known == group && *known_gate == gate) {
            self.checklists.push((group.clone(), gate, at, Vec::new()));
        }
        let Some(list) = self.checklists.iter().position(|(known, known_gate, ..)| *known == group && *known_gate == gate) else { return };
        let mut node = Node::text(self.text.get(start..end).unwrap_or_default(), at);
        if *ticked {
            node = Node::map(vec![Entry::new("text", node), Entry::new("done", Node::text("true", at))], at);
        }
        if let Some((.., items)) = self.checklists.get_mut(list) {
            let what = Marked::Item { list, item: items.len(), box_at: box_at.clone() };
            self.outline.marks.push(Mark { what, note: end..block.inner.start + text.trim_end().len() });
            items.push(node);
        }
    }

    fn deployment(&mut self, block: &Block) {
        match block.kind {
            BlockKind::Item { is_ordered: true, .. } => self.rollout(block),
            BlockKind::Code if self.path.iter().any(|(_, title)| title.starts_with("option ") && !title.contains("feature flag")) => {
                self.keep(block)
            }
            BlockKind::Code => {
                if self.raw(&block.inner).contains("feature_flags") {
                    return self.feature_flags(block);
                }
                let title = self.innermost();
                // "step 1 pre deployment" is named by what it does.
                let words = title.split(' ').skip_while(|word| *word == "step" || word.bytes().all(|byte| byte.is_ascii_digit()));
                self.runbook(block, &words.collect::<Vec<_>>().join("_"));
            }
            _ => self.keep(block),
        }
    }

    /// `feature_flags: { US-123-checkout: { ... } }` names the flag.
    fn feature_flags(&mut self, block: &Block) {
        let Some(root) = self.yaml(block) else { return };
        let Some(Value::Map(flags)) = root.get("feature_flags").map(|flags| &flags.value) else { return self.keep(block) };
        if let [flag] = flags.as_slice() {
            self.outline.entries.push(Entry { key: "flag".to_owned(), at: flag.at, value: Node::text(flag.key.clone(), flag.at) });
        } else {
            self.outline.fault(root.at, "/flag", format!("a plan drives one flag, not {}", flags.len()));
        }
    }

    fn rollout(&mut self, block: &Block) {
        let text = self.raw(&block.inner);
        let end = without_note(text);
        let line = text.get(..end).unwrap_or_default();
        let start = block.inner.start;
        let at = self.place(start);
        let placed = |offset: usize| self.lines.place(self.text, start + offset);
        match phrase::read(line) {
            Phrase::Step { percentage, offset, cohorts } => {
                let mut entries = vec![Entry::new("percentage", Node::text(percentage, placed(offset)))];
                if !cohorts.is_empty() {
                    let cohorts = cohorts.into_iter().map(|cohort| Node::text(cohort, at)).collect();
                    entries.push(Entry::new("cohorts", Node::list(cohorts, at)));
                }
                if std::mem::take(&mut self.approve_next) {
                    entries.push(Entry::new("approval", Node::text("true", at)));
                }
                self.outline.marks.push(Mark { what: Marked::Step(self.steps.len()), note: start + end..start + text.trim_end().len() });
                self.steps.push((at, entries));
                self.is_step_lost = false;
            }
            Phrase::Bake { .. } if self.is_step_lost => {}
            Phrase::Bake { text, offset } => {
                let bake = Entry::new("bake", Node::text(text, placed(offset)));
                match self.steps.last_mut() {
                    Some((_, entries)) => entries.push(bake),
                    None => self.outline.fault(at, "/steps", "there is no step before this that could be watched"),
                }
            }
            Phrase::Approval => self.approve_next = true,
            Phrase::Unclear(detail) => {
                self.is_step_lost |= line.contains('%');
                self.outline.fault(at, "/steps", detail);
            }
            Phrase::Other => self.keep(block),
        }
    }

    fn monitoring(&mut self, block: &Block) {
        match block.kind {
            BlockKind::Item { depth, .. } => {
                let line = self.line(block);
                if depth == 1 && line.text.starts_with("**") {
                    self.group = plain(line.text);
                } else if line.text.contains(['<', '>', '≤', '≥']) {
                    self.add_text("targets", line);
                } else {
                    self.add_text("watch", line);
                }
            }
            BlockKind::Code => {
                let Some(root) = self.yaml(block) else { return };
                match root.get("alerts") {
                    Some(alerts) => self.outline.entries.push(Entry::new("alerts", alerts.clone())),
                    None => self.keep(block),
                }
            }
            _ => self.keep(block),
        }
    }

    fn rollback(&mut self, block: &Block) {
        let title = self.innermost();
        match block.kind {
            BlockKind::Item { .. } if title.contains("trigger") => {
                let line = self.line(block);
                if line.text.eq_ignore_ascii_case("none") {
                    self.set("triggers", "none", line.start)
                } else {
                    self.add_text("triggers", line)
                }
            }
            BlockKind::Code if title.starts_with("data rollback") => self.runbook(block, "data_rollback"),
            BlockKind::Code if title.starts_with("manual rollback") => self.runbook(block, "rollback"),
            BlockKind::Code => self.runbook(block, &title.replace(' ', "_")),
            _ => self.keep(block),
        }
    }

    fn communication(&mut self, block: &Block) {
        let line = self.line(block);
        let known = labelled(line).and_then(|(label, value)| {
            let (kind, to) = match label.as_str() {
                "team notification" => ("announcement", "team"),
                "stakeholder update" => ("announcement", "stakeholders"),
                "status updates" => ("status", "team"),
                "issue escalation" => ("escalation", "on_call"),
                "success notification" => ("success", "team"),
                "metrics report" => ("report", "stakeholders"),
                other => other.split_once(" to ")?,
            };
            Some((kind.to_owned(), to.replace(' ', "_"), value))
        });
        let (BlockKind::Item { .. }, Some((kind, to, value))) = (&block.kind, known) else { return self.keep(block) };
        let at = self.place(line.start);
        let when = Node::text(value.text, self.place(value.start));
        let entries = vec![Entry::new("kind", Node::text(kind, at)), Entry::new("to", Node::text(to, at)), Entry::new("when", when)];
        self.add("communication", Item::Of(Node::map(entries, at)));
    }

    fn schedule(&mut self, block: &Block) {
        let BlockKind::Row { is_head, cells } = &block.kind else { return self.keep(block) };
        let texts: Vec<&str> = cells.iter().map(|cell| self.raw(cell).trim()).collect();
        if *is_head {
            self.head = texts.iter().map(|text| plain(text)).collect();
            return;
        }
        let column = |word: &str| self.head.iter().position(|title| title.contains(word));
        let action = column("action").and_then(|index| texts.get(index)).copied().unwrap_or_default();
        let Some(percentage) = phrase::single_percentage(action).filter(|_| self.approach() == "feature flag") else {
            return self.keep(block);
        };
        let Some(cell) = column("date").and_then(|index| cells.get(index)) else { return self.keep(block) };
        let raw = self.raw(cell);
        let lead = raw.len() - raw.trim_start().len();
        let (start, end) = (cell.start + lead, cell.start + without_note(raw).max(lead));
        let date = self.text.get(start..end).unwrap_or_default();
        let at = self.place(start);
        let wanted: Option<f64> = percentage.parse().ok();
        let is_it = |entries: &[Entry]| settings::number(&Node::map(entries.to_vec(), at)) == wanted;
        let Some(index) = self.steps.iter().position(|(_, entries)| is_it(entries)) else {
            let at = self.place(block.outer.start);
            return self.outline.fault(at, "/steps", format!("the schedule names {percentage} %, and no step of the rollout does"));
        };
        if matches!(date, "" | "-" | "–") {
            return;
        }
        self.outline.marks.push(Mark { what: Marked::Row(index), note: end..cell.start + raw.trim_end().len() });
        if let Some((_, entries)) = self.steps.get_mut(index) {
            entries.push(Entry::new("not_before", Node::text(date, at)));
        }
    }

    fn release_settings(&mut self, block: &Block) {
        if !matches!(block.kind, BlockKind::Code) {
            return self.keep(block);
        }
        let Some(root) = self.yaml(block) else { return };
        if self.settings.replace(root).is_some() {
            let at = self.place(block.outer.start);
            self.outline.fault(at, "", "a plan has one block of release settings");
        }
    }

    fn yaml(&mut self, block: &Block) -> Option<Node> {
        match yaml::read(self.raw(&block.inner), self.place(block.inner.start)) {
            Ok(root) => Some(root),
            Err(why) => {
                self.outline.fault(why.at, "", why.detail);
                None
            }
        }
    }

    fn runbook(&mut self, block: &Block, name: &str) {
        let at = self.place(block.inner.start);
        let text = self.raw(&block.inner).trim_end().to_owned();
        let value = Node { at, value: Value::Scalar(Scalar { text, is_plain: false, text_at: Some(at) }) };
        self.add("runbook", Item::Named(Entry::new(name, value)));
    }

    /// The text of a block without the note that it may end in.
    fn line(&self, block: &Block) -> Line<'a> {
        let text = self.raw(&block.inner);
        let text = text.get(..without_note(text)).unwrap_or_default();
        // A condition may be set as code.
        match text.strip_prefix('`').and_then(|text| text.strip_suffix('`')) {
            Some(code) => Line { text: code, start: block.inner.start + 1 },
            None => Line { text, start: block.inner.start },
        }
    }

    fn add_text(&mut self, key: &str, line: Line<'a>) {
        let at = self.place(line.start);
        self.add(key, Item::Of(Node::text(line.text, at)));
    }

    fn finish(mut self) -> Outline {
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
enum Item {
    Of(Node),
    Named(Entry),
}

/// `**Label**: value` as the plain label and the value.
fn labelled(line: Line<'_>) -> Option<(String, Line<'_>)> {
    let (label, value) = line.text.split_once(':')?;
    // The colon may stand inside the bold text: `**Label:** value`.
    let text = value.trim_start_matches('*').trim_start();
    let start = line.start + label.len() + 1 + (value.len() - text.len());
    (!text.trim().is_empty()).then(|| (plain(label), Line { text: text.trim_end(), start }))
}

/// Lower-case words without any mark.
fn plain(text: &str) -> String {
    slug(text).replace('-', " ")
}
