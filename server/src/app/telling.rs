//! What people hear of changes that people made by hand; of releases the scheduler tells.

use serde_json::{Map, Value, json};
use storyflag_evaluation::{FlagItem, ItemKind};

use super::{Ask, items::understand};
use crate::{
    error::Error,
    store::{EnvironmentRow, NewNotice, Tx},
};

/// Who hears of a kill. A channel that is several of them hears it once.
const OF_A_KILL: [&str; 3] = ["on_call", "team", "changes"];
const OF_A_CHANGE: [&str; 1] = ["changes"];
/// The actor of what a release does by itself begins so.
const RELEASE: &str = "release:";

/// Something that is served, before and after a write.
pub(super) struct Change {
    pub(super) kind: ItemKind,
    pub(super) key: String,
    pub(super) before: String,
    pub(super) after: Option<String>,
}

/// What a change is, for whom, and in words.
struct Message {
    event: String,
    kind: &'static str,
    audiences: &'static [&'static str],
    data: Value,
}

/// Whether anybody may want to hear what is written in an environment: known from its row, which the write has anyway.
pub(super) fn is_heard(ask: &Ask, environment: &EnvironmentRow) -> bool {
    environment.has_channels && !ask.caller.subject.starts_with(RELEASE)
}

/// Tells an environment's channels what changed in it, in the transaction that changes it.
pub(super) async fn tell(tx: &mut Tx, ask: &Ask, environment: &EnvironmentRow, changes: &[Change]) -> Result<(), Error> {
    let mut messages = Vec::new();
    for change in changes {
        messages.extend(message_of(ask, environment, change)?);
    }
    let notices: Vec<NewNotice<'_>> = messages
        .iter()
        .flat_map(|message| {
            let Message { event, kind, audiences, data } = message;
            audiences.iter().map(move |&audience| NewNotice { event, audience, kind, release: None, data: data.clone() })
        })
        .collect();
    Ok(tx.tell_channels(environment.id, &notices, environment.changed_at).await?)
}

fn message_of(ask: &Ask, environment: &EnvironmentRow, change: &Change) -> Result<Option<Message>, Error> {
    let Change { kind: of, key, before, after } = change;
    if after.as_ref() == Some(before) {
        return Ok(None);
    }
    let (kind, what, figures) = match (of, after) {
        (ItemKind::Flag, Some(after)) => of_flag(&understand(before)?.item, &understand(after)?.item),
        (ItemKind::Flag, None) => ("flag.archived", "is archived".to_owned(), Map::new()),
        (_, Some(_)) => ("cohort.changed", "is changed".to_owned(), Map::new()),
        (_, None) => ("cohort.deleted", "is deleted".to_owned(), Map::new()),
    };
    let (name, actor) = (&environment.key, &ask.caller.subject);
    let mut text = format!("{key} in {name}: {what}, by {actor}");
    if let Some(reason) = &ask.reason {
        text.push_str(&format!(": {reason}"));
    }
    let mut data = figures;
    let told = [("text", json!(text)), (of.name(), json!(key)), ("revision", json!(environment.revision)), ("actor", json!(actor))];
    data.extend(told.map(|(name, value)| (name.to_owned(), value)));
    data.insert("reason".to_owned(), json!(ask.reason));
    let audiences: &[&str] = if kind == "flag.killed" { &OF_A_KILL } else { &OF_A_CHANGE };
    let event = format!("change/{}-{}/{}/{key}", environment.incarnation, environment.revision, of.name());
    Ok(Some(Message { event, kind, audiences, data: Value::Object(data) }))
}

/// The type of the message, what happened in words, and its figures.
fn of_flag(before: &FlagItem, after: &FlagItem) -> (&'static str, String, Map<String, Value>) {
    let (from, to) = (before.rollout.millionths, after.rollout.millionths);
    let mut figures = Map::new();
    if from != to {
        figures.extend([("from".to_owned(), json!(from.percent())), ("to".to_owned(), json!(to.percent()))]);
    }
    let (kind, what) = match (before.killed, after.killed) {
        (false, true) => ("flag.killed", "is killed: nobody is served".to_owned()),
        (true, false) => ("flag.revived", format!("is revived at {to}")),
        _ if from != to => ("flag.changed", format!("goes from {from} to {to}")),
        _ if before.enabled != after.enabled => {
            ("flag.changed", if after.enabled { format!("is enabled at {to}") } else { "is disabled".to_owned() })
        }
        _ => ("flag.changed", "is changed".to_owned()),
    };
    (kind, what, figures)
}
