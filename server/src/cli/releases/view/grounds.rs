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
    writes::in_words,
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
        let columns = Columns::of(&named, self.columns < NARROW);
        let mut rows = vec![columns.heads()];
        // Nobody need be in by cohort.
        let shown = named.iter().filter(|(name, arm)| *name != "cohort" || arm.requests > 0);
        rows.extend(shown.map(|(name, arm)| columns.cells(name, arm)));
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
        match (self.e, self.turns_back_at.filter(|_| !is_narrow)) {
            _ if self.shown_to_hold => Line::of(Tone::Good, if is_narrow { "holds" } else { "shown to hold" }),
            _ if self.kind == "reading" && self.last.is_null() => Line::of(Tone::Warning, "not read yet"),
            _ if self.kind == "reading" => Line::of(Tone::Plain, &format!("last {}", in_words(&self.last))),
            (Some(e), Some(limit)) => Line::of(Tone::Plain, &format!("e = {} of {}", number(e), number(limit))),
            (Some(e), None) => Line::of(Tone::Plain, &format!("e = {}", number(e))),
            (None, _) => Line::of(Tone::Dim, "nothing yet"),
        }
    }
}

/// What is told of an arm.
struct Columns<'a> {
    /// Of latency, in milliseconds.
    limits: Vec<&'a str>,
    is_narrow: bool,
    /// Whether the service tells how many requests there are in a second.
    is_timed: bool,
}

impl<'a> Columns<'a> {
    fn of(arms: &[(&str, &'a Arm)], is_narrow: bool) -> Self {
        let limits =
            arms.iter().flat_map(|(_, arm)| arm.slow.keys()).filter_map(|limit| Some((limit.parse::<u64>().ok()?, limit.as_str())));
        let limits: BTreeSet<_> = limits.filter(|_| !is_narrow).collect();
        let is_timed = arms.iter().any(|(_, arm)| arm.per_s.is_some());
        Self { limits: limits.into_iter().map(|(_, limit)| limit).collect(), is_narrow, is_timed }
    }

    fn heads(&self) -> Vec<String> {
        let mut heads = vec![String::new(), "requests".to_owned(), "errors".to_owned()];
        if !self.is_narrow {
            heads.push("success".to_owned());
            heads.extend(self.limits.iter().map(|limit| format!("> {limit}ms")));
            heads.push("new users".to_owned());
        }
        heads.extend(self.is_timed.then(|| "per s".to_owned()));
        heads
    }

    fn cells(&self, name: &str, arm: &Arm) -> Vec<String> {
        let judged = arm.judged();
        let mut cells = vec![name.to_owned(), count(arm.requests), rate_and_count(arm.error, judged)];
        if !self.is_narrow {
            cells.push(rate(arm.success, judged));
            cells.extend(self.limits.iter().map(|limit| arm.slow.get(*limit).map_or_else(|| "-".to_owned(), |share| percent(*share))));
            cells.push(count(arm.new_units));
        }
        cells.extend(self.is_timed.then(|| arm.per_s.map_or_else(|| "-".to_owned(), number)));
        cells
    }
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
