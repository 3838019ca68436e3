//! Channels: where people hear of what happens in an environment.

use serde_json::json;

use super::{App, Ask, Done, Place, check_key, write::Write};
use crate::{
    auth::Right,
    error::Error,
    notify::new_secret,
    store::{ChannelRow, ChannelWaiting, NewNotice},
};

/// To whom messages are.
pub const AUDIENCES: [&str; 4] = ["team", "on_call", "stakeholders", "changes"];
/// Every message is written once for each that receives it.
const MOST_CHANNELS: usize = 50;

/// What a PUT of a channel says.
#[derive(Debug, Clone)]
pub struct ChannelDefinition {
    /// `webhook`.
    pub kind: String,
    /// Where messages are sent.
    pub url: String,
    /// Audiences.
    pub receives: Vec<String>,
    /// Whether messages are signed with another secret from now on.
    pub rotate: bool,
}

/// A channel, and how it is doing.
#[derive(Debug, Clone)]
pub struct StoredChannel {
    /// Its row.
    pub row: ChannelRow,
    /// What it has yet to receive.
    pub waiting: Option<ChannelWaiting>,
    /// Whether its secret is new: then it is shown, once.
    pub is_new_secret: bool,
}

impl StoredChannel {
    fn of(row: ChannelRow) -> Self {
        Self { row, waiting: None, is_new_secret: false }
    }
}

impl App {
    /// All channels of an environment.
    ///
    /// # Errors
    /// The database away.
    pub async fn list_channels(&self, place: &Place) -> Result<Vec<StoredChannel>, Error> {
        let rows = self.store.list_channels(place.environment.id).await?;
        let mut waiting = self.store.waiting_of_channels(place.environment.id).await?;
        let mut of = |row: ChannelRow| {
            let index = waiting.iter().position(|one| one.channel == row.key);
            StoredChannel { waiting: index.map(|index| waiting.swap_remove(index)), ..StoredChannel::of(row) }
        };
        Ok(rows.into_iter().map(&mut of).collect())
    }

    /// A channel.
    ///
    /// # Errors
    /// 404; the database away.
    pub async fn find_channel(&self, place: &Place, key: &str) -> Result<StoredChannel, Error> {
        let channels = self.list_channels(place).await?;
        channels.into_iter().find(|channel| channel.row.key == key).ok_or_else(|| Error::no_such("channel", key))
    }

    /// Makes a channel, or changes it. What failed to reach it is tried again at once.
    ///
    /// # Errors
    /// 403, 409, 412, 422; the database away.
    pub async fn put_channel(
        &self,
        ask: &Ask,
        place: &Place,
        key: &str,
        definition: ChannelDefinition,
    ) -> Result<Done<StoredChannel>, Error> {
        check_key("/channel", "channel", key)?;
        ask.caller.may(Right::Change, &place.project.key, &place.environment)?;
        let environment = place.environment.id;
        let mut write = Write::begin(self, ask).await?;
        // Also the lock: two who put the same key come one after the other.
        write.tx.touch_settings(environment).await?;
        let known = write.tx.list_channels(environment).await?;
        let count = known.len();
        let before = known.into_iter().find(|row| row.key == key);
        match &before {
            None => ask.matches_nothing()?,
            Some(row) => ask.matches(row.version)?,
        }
        if before.is_none() && count >= MOST_CHANNELS {
            return Err(Error::conflict("", format!("the environment has {count} channels; at most {MOST_CHANNELS}: delete one")));
        }
        let rotates = before.is_none() || definition.rotate;
        let after = wanted(environment, key, definition, before.as_ref(), rotates, write.now)?;
        let changed = before.as_ref() != Some(&after);
        match &before {
            Some(_) if !changed => drop(write.undo().await?),
            _ => {
                match &before {
                    None => write.tx.insert_channel(&after).await?,
                    Some(_) => {
                        write.tx.update_channel(&after).await?;
                        write.tx.hasten_notices(environment, key, write.now).await?;
                    }
                }
                let told = json!({"kind": after.kind, "url": after.url, "receives": after.audiences(), "new_secret": rotates});
                write.audit(place.project.id, Some(environment), "channel", key, Some(told.to_string()));
                write.commit().await?;
                self.announce_settings(ask).await;
            }
        }
        let after = StoredChannel { is_new_secret: rotates, ..StoredChannel::of(after) };
        Ok(Done { before: before.map(StoredChannel::of), after, revision: None, changed, warnings: Vec::new() })
    }

    /// Deletes a channel. What it has not received yet is given up.
    ///
    /// # Errors
    /// 403, 404, 412; the database away.
    pub async fn delete_channel(&self, ask: &Ask, place: &Place, key: &str) -> Result<Done<StoredChannel>, Error> {
        ask.caller.may(Right::Change, &place.project.key, &place.environment)?;
        let environment = place.environment.id;
        let mut write = Write::begin(self, ask).await?;
        write.tx.touch_settings(environment).await?;
        let row = write.tx.find_channel(environment, key).await?.ok_or_else(|| Error::no_such("channel", key))?;
        ask.matches(row.version)?;
        write.tx.give_up_notices(environment, key, "the channel was deleted").await?;
        write.tx.delete_channel(environment, key).await?;
        write.audit(place.project.id, Some(environment), "channel", key, None);
        write.commit().await?;
        self.announce_settings(ask).await;
        let stored = StoredChannel::of(row);
        Ok(Done { before: Some(stored.clone()), after: stored, revision: None, changed: true, warnings: Vec::new() })
    }

    /// Sends a message to a channel, the way that every message goes. Its id, for who looks for it at the other end.
    ///
    /// # Errors
    /// 403, 404; the database away.
    pub async fn test_channel(&self, ask: &Ask, place: &Place, key: &str) -> Result<String, Error> {
        ask.caller.may(Right::Change, &place.project.key, &place.environment)?;
        let environment = &place.environment;
        let mut write = Write::begin(self, ask).await?;
        write.tx.find_channel(environment.id, key).await?.ok_or_else(|| Error::no_such("channel", key))?;
        let event = format!("test/{:016x}", fastrand::u64(..));
        let text = format!("a test of the channel {key} of {}, by {}", environment.key, ask.caller.subject);
        let data = json!({"text": text, "actor": ask.caller.subject});
        let notice = NewNotice { event: &event, audience: "test", kind: "channel.test", release: None, data };
        let now = write.now;
        let id = write.tx.tell_channel(environment.id, key, &notice, now).await?;
        write.commit().await?;
        Ok(id)
    }
}

fn wanted(
    environment: i64,
    key: &str,
    definition: ChannelDefinition,
    before: Option<&ChannelRow>,
    rotates: bool,
    now: i64,
) -> Result<ChannelRow, Error> {
    let secret = match before {
        Some(row) if !rotates => row.secret.clone(),
        _ => new_secret().map_err(Error::internal)?,
    };
    let mut after = ChannelRow {
        environment,
        key: key.to_owned(),
        kind: definition.kind,
        url: definition.url,
        receives: json!(definition.receives).to_string(),
        secret,
        version: before.map_or(1, |row| row.version),
        created_at: before.map_or(now, |row| row.created_at),
        updated_at: before.map_or(now, |row| row.updated_at),
    };
    if before.is_some_and(|row| *row != after) {
        after.version = after.version.saturating_add(1);
        after.updated_at = now;
    }
    Ok(after)
}
