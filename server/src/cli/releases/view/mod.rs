//! What a person sees of a release: pure, from the release to lines.

mod figures;
mod grounds;
mod line;
mod ramp;
#[cfg(test)]
mod tests;
mod words;

use jiff::Timestamp;

use self::figures::moment;
pub(in crate::cli) use self::line::{Line, Tone};
pub(super) use self::words::{advice, entry_in_words, place_in_words, status_in_words};
use super::{
    super::table::lasting,
    shape::{Entry, Release},
};

/// How many lines of the timeline are shown.
const LATEST: usize = 5;
/// The column at which everything but labels begins.
const MARGIN: usize = 10;
/// How many instances are named.
const NAMED: usize = 3;
/// Text is not broken to columns that are narrower.
const LEAST: usize = 20;
/// Below so many columns only what matters most is told in a row of figures.
const NARROW: usize = 64;

/// What is shown, and how.
#[derive(Debug)]
pub(super) struct Page<'a> {
    pub(super) release: &'a Release,
    pub(super) environment: &'a str,
    pub(super) timeline: &'a [Entry],
    /// Only to leave out today's date: all that counts comes from the service.
    pub(super) now: Timestamp,
    pub(super) columns: usize,
}

impl Page<'_> {
    /// The page, top down from what matters most: what does not fit on a screen is cut at its end.
    pub(super) fn lines(&self) -> Vec<Line> {
        let mut lines = vec![self.title(), self.state()];
        lines.extend(section("BECAUSE", self.whole(self.cause())));
        lines.extend(section("ROLLBACK", self.whole(self.rollback())));
        lines.extend(section("TARGETS", self.whole(self.targets())));
        lines.extend(section("TO DO", self.whole(advice(self.release, self.environment).map(|advice| Line::of(Tone::Warning, &advice)))));
        lines.extend(section("STEPS", self.ramp()));
        lines.extend(section("NEXT", self.whole(self.next())));
        lines.extend(section("TRIGGERS", self.triggers()));
        lines.extend(section("RATES", self.rates()));
        lines.extend(section("INSTANCES", self.whole(self.instances())));
        lines.extend(section("ALERTS", self.alerts()));
        lines.extend(section("EVIDENCE", self.whole(self.evidence())));
        lines.extend(section("TIMELINE", self.latest()));
        lines.into_iter().map(|line| line.fitted(self.columns)).collect()
    }

    /// Only what a decision rests on.
    pub(super) fn grounds(&self) -> Vec<Line> {
        let mut lines = vec![self.title(), self.state()];
        lines.extend(section("NEXT", self.whole(self.next())));
        lines.extend(section("TRIGGERS", self.triggers()));
        lines.extend(section("RATES", self.rates()));
        lines.extend(section("INSTANCES", self.whole(self.instances())));
        lines.extend(section("EVIDENCE", self.whole(self.evidence())));
        lines.into_iter().map(|line| line.fitted(self.columns)).collect()
    }

    /// The columns behind the labels.
    fn room(&self) -> usize {
        self.columns.saturating_sub(MARGIN)
    }

    /// All of a line, on as many as it takes.
    fn whole(&self, line: Option<Line>) -> Vec<Line> {
        line.map(|line| line.wrapped(self.room().max(LEAST))).unwrap_or_default()
    }

    /// How many cells a bar has beside `others` columns.
    fn cells(&self, others: usize) -> u16 {
        u16::try_from(self.room().saturating_sub(others).clamp(8, 30)).unwrap_or(8)
    }

    fn title(&self) -> Line {
        let Release { id, flag, time_scale, .. } = self.release;
        let mut title = Line::of(Tone::Strong, id).with(Tone::Plain, &format!(" in {}", self.environment));
        if !flag.is_empty() {
            title = title.with(Tone::Dim, &format!("  flag {flag}"));
        }
        if *time_scale > 1 {
            title = title.with(Tone::Dim, &format!("  bakes divided by {time_scale}"));
        }
        title
    }

    fn state(&self) -> Line {
        let release = self.release;
        let mut line = Line::of(tone_of(release), &release.doing().to_uppercase());
        let place = place_in_words(release, self.now);
        if !place.is_empty() {
            line = line.with(Tone::Plain, &format!("  {place}"));
        }
        line
    }

    fn cause(&self) -> Option<Line> {
        let cause = self.release.cause.as_ref()?;
        let text = match (cause.kind.as_str(), cause.evidence.as_str()) {
            ("trigger", evidence) => format!("{}: {evidence}", cause.name),
            ("kill", "") => format!("killed by {}", cause.by),
            (_, "") => format!("rolled back by {}", cause.by),
            (_, evidence) => evidence.to_owned(),
        };
        Some(Line::of(Tone::Bad, &text))
    }

    fn rollback(&self) -> Option<Line> {
        let rollback = self.release.rollback.as_ref().filter(|_| self.release.ended)?;
        let planned = rollback.planned_ms.map(|planned_ms| format!(" of {} planned", lasting(planned_ms))).unwrap_or_default();
        let took = rollback.took_ms.map(|took_ms| format!("took {}{planned}", precisely(took_ms))).unwrap_or_default();
        if rollback.verified {
            return Some(Line::of(Tone::Good, "verified").with(Tone::Plain, &format!(": every instance runs what stood before; {took}")));
        }
        let silent = match rollback.silent.as_slice() {
            [] => "not every instance was seen to run what stood before".to_owned(),
            silent => format!("silent: {}", silent.join(", ")),
        };
        Some(Line::of(Tone::Bad, "NOT VERIFIED").with(Tone::Plain, &format!(": {silent}; {took}")))
    }

    fn targets(&self) -> Option<Line> {
        let (tone, meaning) = match self.release.targets.as_deref()? {
            "met" => (Tone::Good, "shown to hold in the last step"),
            "not met" => (Tone::Bad, "one is shown to be missed in the last step"),
            _ => (Tone::Warning, "the last step saw too few requests to tell"),
        };
        Some(Line::of(tone, self.release.targets.as_deref()?).with(Tone::Plain, &format!(": {meaning}")))
    }

    fn next(&self) -> Option<Line> {
        let next = self.release.next.as_ref().filter(|_| !self.release.ended && self.release.step.is_some())?;
        let what = next.percentage.map_or_else(|| "the end".to_owned(), |percentage| format!("{percentage} %"));
        let mut line = Line::of(Tone::Plain, &what);
        if let Some(left_ms) = next.left_ms.filter(|left_ms| *left_ms > 0) {
            line = line.with(Tone::Strong, &format!(" in {}", lasting(left_ms))).with(Tone::Plain, " at the earliest");
        }
        Some(match &next.earliest_at {
            Some(at) => line.with(Tone::Dim, &format!(", at {} UTC", moment(at, self.now))),
            None => line,
        })
    }

    fn instances(&self) -> Option<Line> {
        let health = self.release.health.as_ref().filter(|_| self.release.step.is_some() && !self.release.ended)?;
        if health.instances == 0 {
            return Some(Line::of(Tone::Warning, "none is heard of"));
        }
        let text = format!("{} heard of, {} up to date", health.instances, health.current);
        let line = Line::of(if health.healthy { Tone::Plain } else { Tone::Warning }, &text);
        Some(match (health.behind_names.as_slice(), health.behind) {
            ([], 0) => line,
            ([], behind) => line.with(Tone::Warning, &format!("; {behind} behind")),
            (names, behind) => {
                let named: Vec<&str> = names.iter().take(NAMED).map(String::as_str).collect();
                line.with(Tone::Warning, &format!("; {behind} behind: {}", named.join(", ")))
            }
        })
    }

    fn alerts(&self) -> Vec<Line> {
        let open = self.release.alerts.iter().filter(|alert| alert.open);
        let lines: Vec<Line> = open.map(|alert| Line::of(Tone::Warning, &format!("{} is open: {}", alert.name, alert.condition))).collect();
        let is_asked = !self.release.alerts.is_empty() && self.release.step.is_some() && !self.release.ended;
        if lines.is_empty() && is_asked { vec![Line::of(Tone::Plain, "none open")] } else { lines }
    }

    fn evidence(&self) -> Option<Line> {
        let evidence = &self.release.evidence;
        // Before the start it would be about nobody.
        self.release.step.as_ref()?;
        (!evidence.is_empty()).then(|| Line::of(Tone::Plain, evidence))
    }

    fn latest(&self) -> Vec<Line> {
        let latest = self.timeline.iter().rev().take(LATEST).rev();
        let line = |entry: &Entry| {
            let at = format!("{}  ", moment(&entry.at, self.now));
            Line::of(Tone::Dim, &at).with(Tone::Plain, &entry_in_words(entry))
        };
        latest.map(line).collect()
    }
}

/// Lines with a label at the first.
fn section(label: &str, lines: impl IntoIterator<Item = Line>) -> impl Iterator<Item = Line> {
    let label = Line::of(Tone::Dim, label).padded(MARGIN);
    let blank = Line::default().padded(MARGIN);
    lines.into_iter().enumerate().map(move |(index, line)| if index == 0 { label.clone() } else { blank.clone() }.followed_by(line))
}

/// How good or bad it stands.
fn tone_of(release: &Release) -> Tone {
    let state = release.doing();
    match release.phase.as_str() {
        "running" if state == "baking" => Tone::Good,
        "completed" if release.targets.as_deref() == Some("not met") => Tone::Bad,
        "completed" if release.targets.as_deref() == Some("met") => Tone::Good,
        "rolling_back" | "rolled_back" => Tone::Bad,
        "running" | "paused" | "superseded" | "completed" => Tone::Warning,
        _ => Tone::Strong,
    }
}

/// `1.4s`: of a short time the tenths count.
fn precisely(ms: i64) -> String {
    if ms < 60_000 { format!("{}.{}s", ms.max(0) / 1_000, ms.max(0) % 1_000 / 100) } else { lasting(ms) }
}
