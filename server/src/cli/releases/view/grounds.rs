//! What a decision rests on: triggers and rates.

use std::collections::BTreeSet;

use storyflag_release::evidence::{count, percent};

use super::{
    Line, NARROW, Page, Tone,
    figures::{bar, number, rate, rate_and_count},
};
use crate::cli::{
    releases::shape::{Arm, Trigger},
    table::shortened,
};

/// What stands beside a trigger's bar: `e = 10^12 of 1,000`.
const BESIDE: usize = 21;
const BESIDE_NARROW: usize = 13;

impl Page<'_> {
    /// A bar each, from nothing to turning back.
    pub(super) fn triggers(&self) -> Vec<Line> {
        if self.release.step.is_none() {
            return Vec::new();
        }
        let is_narrow = self.columns < NARROW;
        let beside = if is_narrow { BESIDE_NARROW } else { BESIDE };
        let longest = self.release.triggers.iter().map(|trigger| trigger.name.chars().count()).max().unwrap_or_default();
        let names = longest.min(self.room() / 2);
        let cells = self.cells(names.saturating_add(beside + 3));
        let line = |trigger: &Trigger| {
            let share = trigger.share();
            let name = Line::of(Tone::Plain, &shortened(&trigger.name, names)).padded(names.saturating_add(2));
            name.with(heat(share), &bar(share, cells)).with(Tone::Plain, " ").followed_by(trigger.told(is_narrow))
        };
        self.release.triggers.iter().map(line).collect()
    }

    /// Treatment beside control.
    pub(super) fn rates(&self) -> Vec<Line> {
        let arms = &self.release.arms;
        let named = [("treatment", &arms.treatment), ("control", &arms.control), ("cohort", &arms.cohort)];
        if self.release.step.is_none() || named.iter().all(|(_, arm)| arm.requests == 0) {
            return Vec::new();
        }
        let mut limits: BTreeSet<(u64, &str)> = BTreeSet::new();
        for (_, arm) in named {
            limits.extend(arm.slow.keys().filter_map(|limit| Some((limit.parse().ok()?, limit.as_str()))));
        }
        let limits: Vec<&str> = limits.into_iter().map(|(_, limit)| limit).collect();
        let is_narrow = self.columns < NARROW;
        let mut rows = vec![heads(&limits, is_narrow)];
        // Nobody need be in by cohort.
        let shown = named.iter().filter(|(name, arm)| *name != "cohort" || arm.requests > 0);
        rows.extend(shown.map(|(name, arm)| cells(name, arm, &limits, is_narrow)));
        aligned(&rows)
    }
}

/// How near to turning back.
fn heat(share: f64) -> Tone {
    match share {
        share if share >= 1.0 => Tone::Bad,
        share if share >= 0.5 => Tone::Warning,
        _ => Tone::Plain,
    }
}

impl Trigger {
    /// How far it is from nothing, 0, to turning back, 1: as told, else on the scale of the e-value's logarithm.
    fn share(&self) -> f64 {
        let reckoned = || Some(self.e?.max(1.0).ln() / self.turns_back_at.filter(|limit| *limit > 1.0)?.ln());
        self.bar.or_else(reckoned).unwrap_or_default()
    }

    fn told(&self, is_narrow: bool) -> Line {
        let is_read = self.kind == "reading";
        let (name, value) = if is_read { ("", self.last) } else { ("e = ", self.e) };
        match (value, self.turns_back_at.filter(|_| !is_narrow)) {
            _ if self.shown_to_hold => Line::of(Tone::Good, "shown to hold"),
            (Some(value), Some(limit)) => Line::of(Tone::Plain, &format!("{name}{} of {}", number(value), number(limit))),
            (Some(value), None) => Line::of(Tone::Plain, &format!("{name}{}", number(value))),
            (None, _) if is_read => Line::of(Tone::Warning, "not read yet"),
            (None, _) => Line::of(Tone::Dim, "nothing yet"),
        }
    }
}

fn heads(limits: &[&str], is_narrow: bool) -> Vec<String> {
    let mut heads = vec![String::new(), "requests".to_owned(), "errors".to_owned()];
    if !is_narrow {
        heads.push("success".to_owned());
        heads.extend(limits.iter().map(|limit| format!("> {limit}ms")));
        heads.push("new users".to_owned());
    }
    heads.push("per s".to_owned());
    heads
}

fn cells(name: &str, arm: &Arm, limits: &[&str], is_narrow: bool) -> Vec<String> {
    let judged = arm.judged();
    let mut cells = vec![name.to_owned(), count(arm.requests), rate_and_count(arm.error, judged)];
    if !is_narrow {
        cells.push(rate(arm.success, judged));
        cells.extend(limits.iter().map(|limit| arm.slow.get(*limit).map_or_else(|| "-".to_owned(), |share| percent(*share))));
        cells.push(count(arm.new_units));
    }
    cells.push(arm.per_s.map_or_else(|| "-".to_owned(), number));
    cells
}

/// The first column to the left, figures to the right.
fn aligned(rows: &[Vec<String>]) -> Vec<Line> {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |(index, row): (usize, &Vec<String>)| {
        let tone = if index == 0 { Tone::Dim } else { Tone::Plain };
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("  {cell:>width$}"),
        });
        Line::of(tone, &cells.collect::<String>())
    };
    rows.iter().enumerate().map(line).collect()
}
