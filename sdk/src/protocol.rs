//! What events mean: a pure state machine, events and times in, one [`Action`] out. No socket, no clock.
//!
//! The ruleset that is applied is not kept here but passed in, so that there is one of it.
//! Whatever comes, what is applied stays unless something better is proven: a change must start from it and lead where it
//! says, a whole must be what its identity says and of an equal or higher pair.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use storyflag_evaluation::{ApplyError, Change, CohortList, Identity, Ruleset};

use crate::{
    problem::Problem,
    wire::{ChangeBody, GoodbyeBody, HeartbeatBody, Kill, KillsBody, RulesetBody, Texts},
};

/// A stream on which nothing is heard for this long is dead: three heartbeats.
pub(crate) const SILENT_AFTER: Duration = Duration::from_secs(15);
/// A head that is not sent for this long is asked for.
const BEHIND_FOR: Duration = Duration::from_secs(2);
/// Where a goodbye's own window cannot be read, and the longest that one is taken for.
const WINDOW: Duration = Duration::from_secs(30);
const LONGEST_WINDOW: Duration = Duration::from_secs(300);

/// What to do after an event.
#[derive(Debug)]
pub(crate) enum Action {
    /// Go on.
    Nothing,
    /// Serve this from now on, and go on.
    Serve(Box<Ruleset>),
    /// Tell, keep what is served, and go on.
    Kept(Problem),
    /// Connect again and present what is applied: what is missing will be sent.
    Reconnect(Problem),
    /// Connect again and present nothing: everything will be sent.
    AskWhole(Problem),
    /// Connect again at some time in this window; nothing is wrong.
    Goodbye(Duration, Duration),
}

/// The state of the conversation.
#[derive(Debug, Default)]
pub(crate) struct Protocol {
    /// Kills by id, until a ruleset has absorbed them.
    kills: BTreeMap<String, String>,
    /// The ids that the applied ruleset has absorbed: they kill no more.
    absorbed: BTreeSet<String>,
    /// Present where a disk cache wants them.
    texts: Option<Texts>,
    /// The service's head on this connection.
    head: Option<Identity>,
    behind_since: Option<Duration>,
    /// Whether the connection was given up for that, and nothing has come since.
    asked_again: bool,
    heard_at: Duration,
    /// Whether the service has said on this connection that what is applied is its head.
    confirmed: bool,
}

impl Protocol {
    /// A conversation that has not begun; with texts where they have to be written to disk.
    pub(crate) fn new(keep_texts: bool) -> Self {
        Self { texts: keep_texts.then(Texts::default), ..Self::default() }
    }

    /// Goes on from what the file on disk said beside the ruleset.
    pub(crate) fn restore(&mut self, texts: Texts, kills: impl IntoIterator<Item = Kill>, absorbed: BTreeSet<String>) {
        self.kills.extend(kills.into_iter().map(|kill| (kill.id, kill.flag)));
        self.absorbed = absorbed;
        self.texts = self.texts.is_some().then_some(texts);
    }

    /// The stream is open: nothing is known of this service yet.
    pub(crate) fn begin(&mut self, now: Duration) {
        (self.head, self.behind_since, self.confirmed) = (None, None, false);
        self.heard_at = now;
    }

    /// Bytes have come, whatever they are.
    pub(crate) fn heard(&mut self, now: Duration) {
        self.heard_at = now;
    }

    /// Whether the service has said that what is applied is its head.
    pub(crate) fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    /// The service has said so beside the stream, by a poll.
    pub(crate) fn confirm(&mut self) {
        self.confirmed = true;
    }

    /// When [`Protocol::time_passed`] has something to say if nothing happens before.
    pub(crate) fn deadline(&self) -> Duration {
        let silent = self.heard_at.saturating_add(SILENT_AFTER);
        self.behind_since.map_or(silent, |since| since.saturating_add(BEHIND_FOR).min(silent))
    }

    /// What to do now that it is `now`.
    pub(crate) fn time_passed(&mut self, applied: Option<Identity>, now: Duration) -> Action {
        if now >= self.heard_at.saturating_add(SILENT_AFTER) {
            return Action::Reconnect(Problem::Silent);
        }
        match (self.behind_since, self.head) {
            (Some(since), Some(head)) if now >= since.saturating_add(BEHIND_FOR) => {
                // With an equal pair there is no change to wait for, since the items differ; and what did not come when it
                // was asked for will not come when it is asked for once more.
                let diverged = applied.is_some_and(|applied| applied.pair() == head.pair());
                let asked_before = std::mem::replace(&mut self.asked_again, true);
                let problem = Problem::Behind(head);
                if diverged || asked_before { Action::AskWhole(problem) } else { Action::Reconnect(problem) }
            }
            _ => Action::Nothing,
        }
    }

    /// What an event means for the ruleset that is applied. What is not understood is not even read.
    pub(crate) fn receive(&mut self, applied: Option<&Ruleset>, name: &str, id: Option<&str>, data: &[u8], now: Duration) -> Action {
        let action = match name {
            "ruleset" => self.ruleset(applied, id, data, now),
            "change" => self.change(applied, id, data, now),
            "heartbeat" => self.heartbeat(applied, data, now),
            "kills" => self.new_kills(applied, data),
            "goodbye" => goodbye(data),
            _ => Ok(Action::Nothing),
        };
        action.unwrap_or_else(Action::Reconnect)
    }

    /// A list has come. Only the list that the cohort still names is taken.
    pub(crate) fn list(applied: &Ruleset, cohort: &str, digest: &str, list: CohortList) -> Option<Ruleset> {
        let named = applied.missing_lists().any(|missing| missing == (cohort, digest));
        named.then(|| applied.with_list(cohort, digest, list.into()))
    }

    /// The kills that still stand.
    pub(crate) fn kills(&self) -> impl Iterator<Item = Kill> {
        self.kills.iter().map(|(id, flag)| Kill { flag: flag.clone(), id: id.clone() })
    }

    /// The kills that the applied ruleset contains.
    pub(crate) fn absorbed(&self) -> &BTreeSet<String> {
        &self.absorbed
    }

    /// The texts of what is applied, where they are kept.
    pub(crate) fn texts(&self) -> Option<&Texts> {
        self.texts.as_ref()
    }

    fn ruleset(&mut self, applied: Option<&Ruleset>, id: Option<&str>, data: &[u8], now: Duration) -> Result<Action, Problem> {
        let identity = identity(id)?;
        if applied.is_some_and(|applied| identity.pair() < applied.identity().pair()) {
            self.confirmed = false;
            return Ok(Action::Kept(Problem::LowerPair(identity)));
        }
        let body: RulesetBody<'_> = read("a ruleset", data)?;
        if let Some(applied) = applied.filter(|applied| applied.identity() == identity) {
            return Ok(self.serve(applied.clone(), body.absorbed, now));
        }
        let flags: Vec<&str> = body.flags.iter().map(|text| text.get()).collect();
        let cohorts: Vec<&str> = body.cohorts.iter().map(|text| text.get()).collect();
        let ruleset = Ruleset::compile(identity, &flags, &cohorts, applied);
        if !ruleset.is_whole() {
            return Ok(Action::AskWhole(Problem::WrongDigest(identity)));
        }
        if let Some(texts) = &mut self.texts {
            *texts = Texts::of_ruleset(&body);
        }
        self.absorbed.clear();
        Ok(self.serve(ruleset, body.absorbed, now))
    }

    fn change(&mut self, applied: Option<&Ruleset>, id: Option<&str>, data: &[u8], now: Duration) -> Result<Action, Problem> {
        let identity = identity(id)?;
        let Some(applied) = applied else {
            return Ok(Action::AskWhole(Problem::WrongBase(identity)));
        };
        if identity.pair() < applied.identity().pair() || identity == applied.identity() {
            return Ok(Action::Nothing);
        }
        let body: ChangeBody<'_> = read("a change", data)?;
        let put_flags: Vec<&str> = body.put.flags.iter().map(|text| text.get()).collect();
        let put_cohorts: Vec<&str> = body.put.cohorts.iter().map(|text| text.get()).collect();
        let remove_flags: Vec<&str> = body.remove.flags.iter().map(String::as_str).collect();
        let remove_cohorts: Vec<&str> = body.remove.cohorts.iter().map(String::as_str).collect();
        let change = Change {
            from: body.from,
            identity,
            put_flags: &put_flags,
            put_cohorts: &put_cohorts,
            remove_flags: &remove_flags,
            remove_cohorts: &remove_cohorts,
        };
        let ruleset = match applied.apply(&change) {
            Ok(ruleset) => ruleset,
            Err(ApplyError::WrongBase) => return Ok(Action::AskWhole(Problem::WrongBase(identity))),
            Err(ApplyError::WrongDigest) => return Ok(Action::AskWhole(Problem::WrongDigest(identity))),
        };
        if let Some(texts) = &mut self.texts {
            texts.apply(&body);
        }
        Ok(self.serve(ruleset, body.absorbed, now))
    }

    fn heartbeat(&mut self, applied: Option<&Ruleset>, data: &[u8], now: Duration) -> Result<Action, Problem> {
        let HeartbeatBody { head } = read("a heartbeat", data)?;
        self.head = Some(head);
        let applied = applied.map(Ruleset::identity);
        self.behind_since = if self.is_behind(applied) { self.behind_since.or(Some(now)) } else { None };
        if applied.is_some_and(|applied| head.pair() < applied.pair()) {
            self.confirmed = false;
            return Ok(Action::Kept(Problem::LowerPair(head)));
        }
        // Where it is ahead, a change is on its way: nothing is stale for that.
        self.confirmed |= applied == Some(head);
        Ok(Action::Nothing)
    }

    /// Whether the service's head is something else than what is applied, and not older.
    fn is_behind(&self, applied: Option<Identity>) -> bool {
        self.head.is_some_and(|head| applied.is_none_or(|applied| applied != head && applied.pair() <= head.pair()))
    }

    fn new_kills(&mut self, applied: Option<&Ruleset>, data: &[u8]) -> Result<Action, Problem> {
        let body: KillsBody<'_> = read("kills", data)?;
        let before = self.kills.len();
        for kill in body.kills {
            match serde_json::from_str::<Kill>(kill.get()) {
                Ok(kill) if !self.absorbed.contains(&kill.id) => _ = self.kills.insert(kill.id, kill.flag),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(match applied {
            Some(applied) if self.kills.len() != before => Action::Serve(Box::new(self.with_kills(applied))),
            _ => Action::Nothing,
        })
    }

    /// Takes what the service has sent.
    fn serve(&mut self, ruleset: Ruleset, absorbed: BTreeSet<String>, now: Duration) -> Action {
        let had_kills = !self.kills.is_empty();
        self.absorbed.extend(absorbed);
        self.kills.retain(|id, _| !self.absorbed.contains(id));
        let behind = self.is_behind(Some(ruleset.identity()));
        self.behind_since = behind.then_some(now);
        self.asked_again = false;
        self.confirmed |= !behind;
        // A ruleset takes over the kills of the one before it: almost always there were none.
        Action::Serve(Box::new(if had_kills { self.with_kills(&ruleset) } else { ruleset }))
    }

    fn with_kills(&self, ruleset: &Ruleset) -> Ruleset {
        ruleset.with_kills(self.kills.values().map(String::as_str))
    }
}

fn goodbye(data: &[u8]) -> Result<Action, Problem> {
    let window = serde_json::from_slice::<GoodbyeBody>(data).map(|body| body.reconnect_after_ms.map(Duration::from_millis));
    let [least, most] = window.unwrap_or([Duration::ZERO, WINDOW]).map(|end| end.min(LONGEST_WINDOW));
    Ok(Action::Goodbye(least, most.max(least)))
}

fn identity(id: Option<&str>) -> Result<Identity, Problem> {
    id.unwrap_or_default().parse().map_err(|error: storyflag_evaluation::IdentityError| garbage("an event's id", &error))
}

fn read<'a, T: serde::Deserialize<'a>>(what: &'static str, data: &'a [u8]) -> Result<T, Problem> {
    serde_json::from_slice(data).map_err(|error| garbage(what, &error))
}

fn garbage(what: &'static str, why: &impl std::fmt::Display) -> Problem {
    Problem::Garbage { what, why: why.to_string() }
}

#[cfg(test)]
mod tests;
