//! "Deployment Steps" and "Rollout Schedule": the steps, their bakes and dates.

use super::{
    Mark, Marked,
    blocks::{Block, BlockKind},
    page::{Document, plain},
    phrase::{self, Phrase},
    settings, without_note,
};
use crate::plan::read::node::{Entry, Node, Value};

impl Document<'_> {
    pub(super) fn deployment(&mut self, block: &Block) {
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
    pub(super) fn feature_flags(&mut self, block: &Block) {
        let Some(root) = self.yaml(block) else { return };
        let Some(Value::Map(flags)) = root.get("feature_flags").map(|flags| &flags.value) else { return self.keep(block) };
        if let [flag] = flags.as_slice() {
            self.outline.entries.push(Entry { key: "flag".to_owned(), at: flag.at, value: Node::text(flag.key.clone(), flag.at) });
        } else {
            self.outline.fault(root.at, "/flag", format!("a plan drives one flag, not {}", flags.len()));
        }
    }

    pub(super) fn rollout(&mut self, block: &Block) {
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

    pub(super) fn schedule(&mut self, block: &Block) {
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
}
