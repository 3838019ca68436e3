//! The steps: past, present and future.

use super::{
    Line, Page, Tone,
    figures::{bar, moment, share},
};
use crate::cli::{
    releases::shape::{Planned, Step},
    table::lasting,
};

/// A mark, a percentage and the gaps around them.
const HEAD: usize = 12;
/// What stands beside a bar: `12m 30s of 1h baked`, and a little more.
const BESIDE: usize = 26;

impl Page<'_> {
    /// A line a step.
    pub(super) fn ramp(&self) -> Vec<Line> {
        self.release.steps.iter().map(|step| self.planned(step)).collect()
    }

    fn planned(&self, planned: &Planned) -> Line {
        let present = self.release.step.as_ref();
        let is_present = present.is_some_and(|step| step.number == planned.number);
        let is_over = present.is_some_and(|step| planned.number < step.number);
        let percentage = format!("{:>7} %", planned.percentage);
        let (mark, tone, told) = match present {
            Some(step) if is_present => self.present(step),
            _ if is_over => match &planned.taken_at {
                Some(taken) => ('✓', Tone::Good, Line::of(Tone::Dim, &self.past(taken, planned.over_at.as_deref()))),
                // It began with a later step.
                None => ('·', Tone::Dim, Line::of(Tone::Dim, "not taken")),
            },
            _ => ('·', Tone::Dim, Line::of(Tone::Dim, &self.future(planned))),
        };
        let name = if is_present { Tone::Strong } else { Tone::Plain };
        let line = Line::of(tone, &mark.to_string()).with(name, &percentage).padded(HEAD).followed_by(told);
        match planned.cohorts.as_slice() {
            [] => line,
            cohorts => line.with(Tone::Dim, &format!("  and {}", cohorts.join(", "))),
        }
    }

    fn present(&self, step: &Step) -> (char, Tone, Line) {
        let baked = format!("{} of {} baked", lasting(step.baked_ms), lasting(step.bake_ms));
        match self.release.phase.as_str() {
            "completed" => ('✓', Tone::Good, Line::of(Tone::Dim, &baked)),
            "rolling_back" => ('◀', Tone::Bad, Line::of(Tone::Bad, &format!("turning back, after {baked}"))),
            "rolled_back" => ('✗', Tone::Bad, Line::of(Tone::Bad, &format!("turned back, after {baked}"))),
            "superseded" => ('✗', Tone::Warning, Line::of(Tone::Warning, &format!("taken over, after {baked}"))),
            _ => {
                let drawn = bar(share(step.baked_ms, step.bake_ms), self.cells(HEAD + BESIDE));
                let tone = if self.release.doing() == "baking" { Tone::Good } else { Tone::Warning };
                let approved = if step.approved { ", approved" } else { "" };
                ('▶', tone, Line::of(tone, &drawn).with(Tone::Plain, &format!(" {baked}{approved}")))
            }
        }
    }

    fn past(&self, taken: &str, over: Option<&str>) -> String {
        let taken = moment(taken, self.now);
        over.map_or_else(|| format!("since {taken} UTC"), |over| format!("{taken} to {} UTC", moment(over, self.now)))
    }

    fn future(&self, planned: &Planned) -> String {
        let mut text = match (planned.overnight, planned.bake_ms) {
            (true, _) => "bakes overnight".to_owned(),
            (false, bake_ms) => format!("bakes {}", lasting(bake_ms)),
        };
        if planned.approval {
            text.push_str(", waits for an approval");
        }
        if let Some(not_before) = &planned.not_before {
            text.push_str(&format!(", not before {} UTC", moment(not_before, self.now)));
        }
        text
    }
}
