//! What can go wrong on the way to a ruleset. None of it reaches an evaluation; `status` tells it.

use std::{fmt, time::Duration};

use storyflag_evaluation::Identity;

use crate::sse::TooLong;

/// Why a try gave nothing, or not all that it should have.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Problem {
    /// No connection; nothing has been sent.
    Unreachable(String),
    /// Connected, and then the connection failed.
    Broken(String),
    /// The service said something else than 200.
    Status { status: u16, retry_after: Option<Duration> },
    /// The answer is no event stream: something else stands at that address.
    NotEvents,
    /// The stream ended.
    Ended,
    /// Nothing was heard for too long.
    Silent,
    /// The service has had a newer ruleset for some time and has not sent it.
    Behind(Identity),
    /// Longer than anything of ours.
    TooLong(TooLong),
    /// Not of the form that it should have.
    Garbage { what: &'static str, why: String },
    /// The items are not those that the identity names.
    WrongDigest(Identity),
    /// The change does not start from what is applied.
    WrongBase(Identity),
    /// Older than what is applied.
    LowerPair(Identity),
    /// The service does not know a list that its ruleset names.
    UnknownList(String),
    /// The file on disk could not be read or written.
    Disk(String),
}

impl Problem {
    /// Whether it will hardly pass by itself: the key is not, or no longer, accepted.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Status { status: 401 | 403, .. })
    }

    /// How long the service asks to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(formatter, "cannot connect: {why}"),
            Self::Broken(why) => write!(formatter, "the connection broke: {why}"),
            Self::Status { status: 401, .. } => formatter.write_str("the service does not accept the SDK key (401)"),
            Self::Status { status: 403, .. } => formatter.write_str("the SDK key may not do this (403)"),
            Self::Status { status, .. } => write!(formatter, "the service answered {status}"),
            Self::NotEvents => formatter.write_str("the answer is no event stream: is this the address of a Storyflag service?"),
            Self::Ended => formatter.write_str("the stream ended"),
            Self::Silent => formatter.write_str("nothing was heard for too long"),
            Self::Behind(head) => write!(formatter, "the service is at {head} and has not sent it"),
            Self::TooLong(too_long) => too_long.fmt(formatter),
            Self::Garbage { what, why } => write!(formatter, "{what} cannot be read: {why}"),
            Self::WrongDigest(identity) => write!(formatter, "the items sent are not those of {identity}"),
            Self::WrongBase(identity) => write!(formatter, "the change to {identity} starts from another ruleset"),
            Self::LowerPair(identity) => write!(formatter, "the service offers {identity}, older than what is applied; kept"),
            Self::UnknownList(cohort) => write!(formatter, "the service does not know the list that its cohort {cohort} names"),
            Self::Disk(why) => write!(formatter, "disk cache: {why}"),
        }
    }
}
