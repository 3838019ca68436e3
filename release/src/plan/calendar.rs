//! When steps may be taken: time zones, allowed hours, freezes, nights.
//!
//! The time zone data come with the crate; the system's files are never read.

use std::{fmt, str::FromStr};

use jiff::{
    Timestamp, ToSpan,
    civil::{DateTime, Time, Weekday},
    tz::{TimeZone, TimeZoneDatabase},
};
use serde::{Serialize, Serializer};

use crate::plan::Span;

/// A night is at least this long, and holds this much bake.
pub const NIGHT: Span = Span::from_minutes(8 * 60);

/// Steps are looked for so far ahead: beyond it, a calendar and its freezes allow none.
const DAYS_AHEAD: i32 = 400;

/// When steps may be taken. It never holds a bake or a rollback.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calendar {
    /// Where local times are local.
    #[serde(serialize_with = "zone_name")]
    pub timezone: TimeZone,
    /// Days and hours in which steps may be taken; none: always.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps_only: Option<Hours>,
    /// When a night is over.
    #[serde(serialize_with = "clock_time")]
    pub overnight_ends: Time,
    /// When a morning begins, for `morning of deployment`.
    #[serde(serialize_with = "clock_time")]
    pub morning: Time,
}

impl Default for Calendar {
    fn default() -> Self {
        let eight = Time::constant(8, 0, 0, 0);
        Self { timezone: TimeZone::UTC, steps_only: None, overnight_ends: eight, morning: eight }
    }
}

/// A stretch of time in which no step is taken: from (included) to (excluded).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freeze {
    /// Its first moment.
    pub from: Timestamp,
    /// The first moment after it.
    pub to: Timestamp,
}

/// The time zone of this name, from the data that come with the crate.
pub fn time_zone(name: &str) -> Option<TimeZone> {
    // The empty name and POSIX strings are no names.
    let zone = TimeZoneDatabase::bundled().get(name).ok()?;
    zone.iana_name().is_some().then_some(zone)
}

impl Calendar {
    /// The first moment from `now` on at which a step may be taken, `now` included. None: not in the next 400 days.
    pub fn next_allowed(&self, now: Timestamp, not_before: Option<DateTime>, freezes: &[Freeze]) -> Option<Timestamp> {
        let start = not_before.and_then(|local| self.moment(local)).map_or(now, |earliest| earliest.max(now));
        let last = start.checked_add(jiff::SignedDuration::from_hours(i64::from(DAYS_AHEAD) * 24)).ok()?;
        let mut moment = start;
        // Each round leaves a freeze behind or comes to an opening, so the number of freezes bounds the rounds.
        for _ in 0..=freezes.len().saturating_mul(2).saturating_add(1) {
            let thawed = thaw(moment, freezes);
            let open = self.next_open(thawed)?;
            if open > last {
                return None;
            }
            if open == thawed && thaw(open, freezes) == open {
                return Some(open);
            }
            moment = open;
        }
        None
    }

    /// Whether a step may be taken at this moment.
    pub fn is_allowed(&self, now: Timestamp, freezes: &[Freeze]) -> bool {
        thaw(now, freezes) == now && self.next_open(now) == Some(now)
    }

    /// When the night after a step at `step_at` is over: the first `overnight_ends` at least 8 h later.
    pub fn night_ends(&self, step_at: Timestamp) -> Option<Timestamp> {
        let earliest = step_at.checked_add(NIGHT.signed()).ok()?;
        self.first_at(self.overnight_ends, earliest)
    }

    /// When the morning of the day of `start` begins.
    pub fn morning_of(&self, start: Timestamp) -> Option<Timestamp> {
        self.moment(self.local(start).date().to_datetime(self.morning))
    }

    /// The moment of a local time. One that clocks skip is taken as much later as they skip; of one that comes twice, the first.
    pub fn moment(&self, local: DateTime) -> Option<Timestamp> {
        self.timezone.to_ambiguous_timestamp(local).compatible().ok()
    }

    /// The local time of a moment.
    pub fn local(&self, moment: Timestamp) -> DateTime {
        self.timezone.to_datetime(moment)
    }

    fn next_open(&self, from: Timestamp) -> Option<Timestamp> {
        let Some(hours) = &self.steps_only else { return Some(from) };
        if hours.contains(self.local(from)) {
            return Some(from);
        }
        let mut date = self.local(from).date();
        // One week holds every allowed day; one more day for a clock change that swallows the hours.
        for _ in 0..=14 {
            if hours.has_day(date.weekday()) {
                let opening = self.moment(date.to_datetime(hours.from))?;
                if opening >= from && hours.contains(self.local(opening)) {
                    return Some(opening);
                }
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    fn first_at(&self, time: Time, earliest: Timestamp) -> Option<Timestamp> {
        let mut date = self.local(earliest).date().checked_sub(1.day()).ok()?;
        for _ in 0..4 {
            if let Some(moment) = self.moment(date.to_datetime(time)).filter(|moment| *moment >= earliest) {
                return Some(moment);
            }
            date = date.tomorrow().ok()?;
        }
        None
    }
}

/// The first moment from here that lies in no freeze.
fn thaw(mut moment: Timestamp, freezes: &[Freeze]) -> Timestamp {
    // A freeze may end in another: each is left at most once.
    for _ in 0..freezes.len() {
        match freezes.iter().find(|freeze| freeze.from <= moment && moment < freeze.to) {
            Some(freeze) => moment = freeze.to,
            None => break,
        }
    }
    moment
}

/// Days and hours: `mon-thu 09:00-17:00`. The end is excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    /// Monday first.
    days: [bool; 7],
    from: Time,
    to: Option<Time>,
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl Hours {
    fn has_day(&self, day: Weekday) -> bool {
        usize::try_from(day.to_monday_zero_offset()).ok().and_then(|index| self.days.get(index)).copied().unwrap_or(false)
    }

    fn contains(&self, local: DateTime) -> bool {
        let time = local.time();
        self.has_day(local.weekday()) && self.from <= time && self.to.is_none_or(|to| time < to)
    }
}

impl FromStr for Hours {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} are no days and hours; write for example mon-thu 09:00-17:00 or mon,wed 10:00-16:00");
        let lower = text.trim().to_lowercase();
        let (days, times) = lower.rsplit_once(' ').ok_or_else(wrong)?;
        let (from, to) = times.split_once('-').ok_or_else(wrong)?;
        let from = read_time(from).ok_or_else(wrong)?;
        // 24:00 is no time of a day, but the end of one.
        let to = if to == "24:00" { None } else { Some(read_time(to).ok_or_else(wrong)?) };
        if to.is_some_and(|to| to <= from) {
            return Err(format!("{text:?} ends before it begins"));
        }
        Ok(Self { days: read_days(days).ok_or_else(wrong)?, from, to })
    }
}

fn read_days(text: &str) -> Option<[bool; 7]> {
    let number = |name: &str| DAYS.iter().position(|day| *day == name.trim());
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        // fri-mon goes round the end of the week.
        let count = (last + 7 - first) % 7;
        for offset in 0..=count {
            *days.get_mut((first + offset) % 7)? = true;
        }
    }
    Some(days)
}

/// `08:00` or `8:00`, on a 24-hour clock.
pub(crate) fn read_time(text: &str) -> Option<Time> {
    let (hour, minute) = text.trim().split_once(':')?;
    let is_number = |part: &str, longest| part.bytes().all(|byte| byte.is_ascii_digit()) && (1..=longest).contains(&part.len());
    if !is_number(hour, 2) || !is_number(minute, 2) || minute.len() != 2 {
        return None;
    }
    Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
}

/// `2026-12-01 16:00`, with a `T` between or a space.
pub(crate) fn read_local(text: &str) -> Option<DateTime> {
    let text = text.trim();
    let (date, time) = text.split_once(['T', ' '])?;
    let date: jiff::civil::Date = if date.len() == 10 { date.parse().ok()? } else { return None };
    Some(date.to_datetime(read_time(time)?))
}

impl fmt::Display for Hours {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let mut index = 0;
        while index < DAYS.len() {
            let run = self.days.iter().skip(index).take_while(|day| **day).count();
            match (DAYS.get(index), DAYS.get((index + run).saturating_sub(1))) {
                (Some(first), Some(last)) if run > 1 => parts.push(format!("{first}-{last}")),
                (Some(first), _) if run == 1 => parts.push((*first).to_owned()),
                _ => {}
            }
            index += run.max(1);
        }
        let to = self.to.map_or_else(|| "24:00".to_owned(), |to| to.strftime("%H:%M").to_string());
        write!(formatter, "{} {}-{to}", parts.join(","), self.from.strftime("%H:%M"))
    }
}

impl Serialize for Hours {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn zone_name<S: Serializer>(zone: &TimeZone, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(zone.iana_name().unwrap_or("UTC"))
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn clock_time<S: Serializer>(time: &Time, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&time.strftime("%H:%M"))
}

#[cfg(test)]
#[path = "calendar_tests.rs"]
mod tests;
