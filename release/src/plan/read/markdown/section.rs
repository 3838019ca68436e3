//! Which part of the template means what.

use super::{
    Mark, Marked,
    blocks::{Block, BlockKind},
    page::{Document, Item, Line, labelled, plain},
    without_note,
};
use crate::plan::{
    checklist::slug,
    read::node::{Entry, Node},
};

impl<'a> Document<'a> {
    pub(super) fn reference(&mut self, label: &str, value: Line<'a>) -> bool {
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

    pub(super) fn strategy(&mut self, label: &str, value: Line<'a>) -> bool {
        let key = match label {
            "approach" => "approach",
            "risk level" | "risk" => "risk",
            "rollback time" => "rollback_time",
            _ => return false,
        };
        self.set(key, value.text, value.start);
        true
    }

    pub(super) fn checklist(&mut self, block: &Block, gate: &'static str) {
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

    pub(super) fn monitoring(&mut self, block: &Block) {
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

    pub(super) fn rollback(&mut self, block: &Block) {
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

    pub(super) fn communication(&mut self, block: &Block) {
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

    pub(super) fn release_settings(&mut self, block: &Block) {
        if !matches!(block.kind, BlockKind::Code) {
            return self.keep(block);
        }
        let Some(root) = self.yaml(block) else { return };
        if self.settings.replace(root).is_some() {
            let at = self.place(block.outer.start);
            self.outline.fault(at, "", "a plan has one block of release settings");
        }
    }
}
