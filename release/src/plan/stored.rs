//! A plan as it was stored: its canonical JSON, taken back without a second reading.
//!
//! A release holds a copy of its plan whose bakes may have been scaled since, so what a document would be refused for is no fault here.

use std::{fmt::Display, str::FromStr};

use jiff::{
    civil::{DateTime, Time},
    tz::TimeZone,
};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};
use storyflag_evaluation::Percentage;

use crate::plan::{
    Bake, Checklist, Condition, Entries, Hours, Item, Span, When,
    calendar::{read_local, read_time, time_zone},
    checklist::identify,
};

/// Reads a text that `FromStr` understands.
fn from_text<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(deserializer: D) -> Result<T, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer)
    }
}

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer)
    }
}

impl<'de> Deserialize<'de> for Hours {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer)
    }
}

impl<'de> Deserialize<'de> for Bake {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "overnight" => Ok(Self::Overnight),
            text => text.parse().map(Self::For).map_err(de::Error::custom),
        }
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Stored {
            Text(String),
            Ticked { text: String, done: bool },
        }
        let (text, done) = match Stored::deserialize(deserializer)? {
            Stored::Text(text) => (text, false),
            Stored::Ticked { text, done } => (text, done),
        };
        Ok(Self { id: String::new(), text, done })
    }
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Entries;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("names and texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

pub(super) fn checklists<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Checklist>, D::Error> {
    let mut checklists = Vec::deserialize(deserializer)?;
    identify(&mut checklists);
    Ok(checklists)
}

pub(super) fn triggers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Condition>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Stored {
        List(Vec<Condition>),
        None(String),
    }
    match Stored::deserialize(deserializer)? {
        Stored::List(triggers) => Ok(triggers),
        Stored::None(word) if word == "none" => Ok(Vec::new()),
        Stored::None(word) => Err(de::Error::custom(format_args!("triggers are a list or none, not {word:?}"))),
    }
}

pub(super) fn relative_triggers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(String::deserialize(deserializer)? != "none")
}

pub(super) fn percent<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Percentage, D::Error> {
    Percentage::from_percent(f64::deserialize(deserializer)?).map_err(de::Error::custom)
}

pub(super) fn local_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DateTime>, D::Error> {
    let text = String::deserialize(deserializer)?;
    read_local(&text).map(Some).ok_or_else(|| de::Error::custom(format_args!("{text:?} is no local time")))
}

pub(super) fn zone<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TimeZone, D::Error> {
    let name = String::deserialize(deserializer)?;
    time_zone(&name).ok_or_else(|| de::Error::custom(format_args!("{name:?} is no time zone")))
}

pub(super) fn clock_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
    let text = String::deserialize(deserializer)?;
    read_time(&text).ok_or_else(|| de::Error::custom(format_args!("{text:?} is no time of day")))
}
