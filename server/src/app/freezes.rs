//! Freezes: times in which nothing is raised. What is safe passes.

use serde_json::json;
use storyflag_evaluation::FlagItem;

use super::{App, Ask, Done, Place, exposure::raises, now_ms, write::Write};
use crate::{
    auth::Right,
    error::Error,
    store::{EnvironmentRow, FreezeRow, Tx},
};

/// Freezes of an environment that have not ended.
const MOST_FREEZES: usize = 100;

/// What a POST of a freeze says, in epoch milliseconds.
#[derive(Debug, Clone)]
pub struct FreezeDefinition {
    /// From now on unless given.
    pub from: Option<i64>,
    /// When it is over.
    pub to: i64,
    /// Why.
    pub reason: String,
}

impl App {
    /// The freezes of an environment that have not ended, or all.
    ///
    /// # Errors
    /// The database away.
    pub async fn list_freezes(&self, place: &Place, ended_too: bool) -> Result<Vec<FreezeRow>, Error> {
        let ending_after = if ended_too { i64::MIN } else { now_ms() };
        Ok(self.store.list_freezes(place.environment.id, ending_after).await?)
    }

    /// Freezes an environment for a time.
    ///
    /// # Errors
    /// 403, 409, 422; the database away.
    pub async fn create_freeze(&self, ask: &Ask, place: &Place, definition: FreezeDefinition) -> Result<Done<FreezeRow>, Error> {
        ask.caller.may(Right::Change, &place.project.key, &place.environment)?;
        let environment = place.environment.id;
        // Why it is frozen is why it was written, too.
        let ask = Ask { reason: ask.reason.clone().or_else(|| Some(definition.reason.clone())), ..ask.clone() };
        let mut write = Write::begin(self, &ask).await?;
        write.tx.touch_settings(environment).await?;
        if definition.to <= write.now {
            return Err(Error::invalid("/to", "is over already"));
        }
        let count = write.tx.list_freezes(environment, write.now).await?.len();
        if count >= MOST_FREEZES {
            return Err(Error::conflict("", format!("the environment has {count} freezes; at most {MOST_FREEZES}: delete one")));
        }
        let row = FreezeRow {
            id: format!("freeze-{:012x}", fastrand::u64(..) >> 16),
            environment,
            from_at: definition.from.unwrap_or(write.now),
            to_at: definition.to,
            reason: definition.reason,
            created_at: write.now,
            created_by: ask.caller.subject.clone(),
        };
        write.tx.insert_freeze(&row).await?;
        let told = json!({"from": told_time(row.from_at), "to": told_time(row.to_at), "reason": row.reason});
        write.audit(place.project.id, Some(environment), "freeze", &row.id, Some(told.to_string()));
        write.commit().await?;
        self.announce_settings(&ask).await;
        Ok(Done { before: None, after: row, revision: None, changed: true, warnings: Vec::new() })
    }

    /// Ends a freeze, or takes back one to come.
    ///
    /// # Errors
    /// 403, 404; the database away.
    pub async fn delete_freeze(&self, ask: &Ask, place: &Place, id: &str) -> Result<Done<FreezeRow>, Error> {
        ask.caller.may(Right::Change, &place.project.key, &place.environment)?;
        let environment = place.environment.id;
        let mut write = Write::begin(self, ask).await?;
        write.tx.touch_settings(environment).await?;
        let row = write.tx.find_freeze(environment, id).await?.ok_or_else(|| Error::no_such("freeze", id))?;
        write.tx.delete_freeze(environment, id).await?;
        write.audit(place.project.id, Some(environment), "freeze", id, None);
        write.commit().await?;
        self.announce_settings(ask).await;
        Ok(Done { before: Some(row.clone()), after: row, revision: None, changed: true, warnings: Vec::new() })
    }
}

/// # Errors
/// 409 while the environment is frozen, for a change by which somebody would be served more; but for who may say `force`.
pub(super) async fn refuse_raise(
    tx: &mut Tx,
    ask: &Ask,
    place: &Place,
    environment: &EnvironmentRow,
    (before, after): (&FlagItem, &FlagItem),
    now: i64,
) -> Result<(), Error> {
    if !raises(before, after) {
        return Ok(());
    }
    match tx.freeze_at(environment.id, now).await? {
        None => Ok(()),
        Some(_) if ask.force => ask.caller.may(Right::Advance, &place.project.key, environment),
        Some(freeze) => Err(Error::Conflict(frozen(&environment.key, &freeze), None)),
    }
}

/// What is told to whoever wants to raise something meanwhile.
pub(super) fn frozen(environment: &str, freeze: &FreezeRow) -> String {
    let FreezeRow { id, reason, to_at, .. } = freeze;
    let until = told_time(*to_at);
    format!("{environment:?} is frozen until {until} ({id}: {reason}): nothing is raised; a release manager passes with \"force\": true")
}

fn told_time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map(|at| at.to_string()).unwrap_or_default()
}
