//! Communication: who is told what, and when.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, Serializer};

use crate::plan::{Span, suggest};

/// One line of the communication plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// What is told.
    pub kind: Kind,
    /// To whom.
    pub to: Audience,
    /// When.
    pub when: When,
}

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// That a release is coming.
    Announcement,
    /// How it stands.
    Status,
    /// That something is wrong.
    Escalation,
    /// That it is done.
    Success,
    /// What it measured.
    Report,
}

/// Who is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// The team.
    Team,
    /// Who is on call.
    OnCall,
    /// The stakeholders.
    Stakeholders,
}

/// When it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// `1h before`: before the planned start.
    Before(Span),
    /// `every 30m`, from the start to the end.
    Every(Span),
    /// `immediately`
    Immediately,
    /// `upon completion`
    UponCompletion,
    /// `morning of deployment`: the calendar's `morning` on the day of the start.
    MorningOfDeployment,
    /// `next day`: 24 h after the end.
    NextDay,
}

impl Kind {
    /// As plans write it.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, known)| *known == self).map_or("", |(name, _)| name)
    }

    pub(crate) const NAMES: [(&'static str, Self); 5] = [
        ("announcement", Self::Announcement),
        ("status", Self::Status),
        ("escalation", Self::Escalation),
        ("success", Self::Success),
        ("report", Self::Report),
    ];
}

impl Audience {
    /// As plans write it.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, known)| *known == self).map_or("", |(name, _)| name)
    }

    pub(crate) const NAMES: [(&'static str, Self); 3] =
        [("team", Self::Team), ("on_call", Self::OnCall), ("stakeholders", Self::Stakeholders)];
}

impl fmt::Display for When {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Before(span) => write!(formatter, "{span} before"),
            Self::Every(span) => write!(formatter, "every {span}"),
            Self::Immediately => formatter.write_str("immediately"),
            Self::UponCompletion => formatter.write_str("upon completion"),
            Self::MorningOfDeployment => formatter.write_str("morning of deployment"),
            Self::NextDay => formatter.write_str("next day"),
        }
    }
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words = text.trim().to_lowercase();
        match words.as_str() {
            "immediately" | "immediate" | "at once" => return Ok(Self::Immediately),
            "upon completion" | "on completion" => return Ok(Self::UponCompletion),
            "morning of deployment" => return Ok(Self::MorningOfDeployment),
            "next day" => return Ok(Self::NextDay),
            _ => {}
        }
        let span = |part: &str| part.parse().ok().filter(|span: &Span| span.millis() >= 1_000);
        if let Some(span) = words.strip_suffix("before").and_then(span) {
            return Ok(Self::Before(span));
        }
        if let Some(every) = words.strip_prefix("every").and_then(span) {
            if every.millis() < 60_000 {
                return Err(format!("{text:?} is more often than anybody reads: every 1m at most"));
            }
            return Ok(Self::Every(every));
        }
        let known = ["1h before", "every 30m", "immediately", "upon completion", "morning of deployment", "next day"];
        Err(format!("{text:?} is no time to tell people{}", suggest::hint(text, &known)))
    }
}

impl Serialize for When {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_words_of_the_template() {
        for (words, text) in [
            ("1 hour before", "1h before"),
            ("Every 30 minutes", "every 30m"),
            ("Immediate", "immediately"),
            ("Upon completion", "upon completion"),
            ("Morning of deployment", "morning of deployment"),
            ("Next day", "next day"),
        ] {
            let when: When = words.parse().unwrap();
            assert_eq!(when.to_string(), text);
            assert_eq!(text.parse(), Ok(when));
        }
        assert!("imediately".parse::<When>().unwrap_err().contains("did you mean immediately"));
        assert!("before".parse::<When>().is_err());
    }
}
