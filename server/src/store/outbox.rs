//! What is to be told: written in the transaction that causes it, once per event and channel, and kept until it is told.

use serde_json::{Value, json};
use sqlx::FromRow;

use super::{Store, StoreError, Tx, insert_rows, with_db, with_tx};

/// The environment comes back even where it has no channel.
const PLACE: &str = "select projects.key as project, environments.key as environment, channels.key as channel, channels.receives \
     from environments join projects on projects.id = environments.project left join channels on channels.environment = environments.id \
     where environments.id = $1 order by channels.key";
const TELL: &str = "insert into outbox (id, environment, event, channel, audience, kind, release, body, created_at, attempts, next_at, delivered_at, error) ";
const TELL_AGAIN: &str = " on conflict (environment, event, channel) do nothing";
/// A few of each channel: one with thousands that are due hides no other.
const DUE: &str = "select due.id, due.environment, due.channel, due.audience, due.event, due.body, due.attempts, channels.url, channels.secret \
     from (select id, environment, channel, audience, event, body, attempts, next_at, \
     row_number() over (partition by environment, channel order by next_at, id) as place from outbox where next_at <= $1) due \
     left join channels on channels.environment = due.environment and channels.key = due.channel \
     where due.place <= $2 order by due.next_at, due.id limit $3";
const CLAIM: &str = "update outbox set attempts = attempts + 1, next_at = $3 where id = $1 and attempts = $2 and next_at is not null";
const DELIVERED: &str = "update outbox set delivered_at = $2, next_at = null, error = null where id = $1 and delivered_at is null";
const FAILED: &str = "update outbox set next_at = $3, error = $4 where id = $1 and attempts = $2 and next_at is not null";
const GIVE_UP: &str = "update outbox set next_at = null, error = $3 where environment = $1 and channel = $2 and next_at is not null";
const GIVE_UP_ONE: &str = "update outbox set next_at = null, error = $2 where id = $1 and next_at is not null";
const HASTEN: &str = "update outbox set next_at = $3 where environment = $1 and channel = $2 and next_at > $3 and error is not null";
const LIST: &str = "select id, event, channel, audience, kind, release, body, created_at, attempts, delivered_at, error from outbox \
     where environment = $1 and release = $2 order by created_at, event, channel";
const WAITING: &str = "select count(*) as waiting, min(created_at) as oldest from outbox where next_at is not null";
/// One error of several: it says what is wrong with a channel.
const WAITING_OF: &str =
    "select channel, count(*) as waiting, max(error) as error from outbox where environment = $1 and next_at is not null group by channel";
const SWEEP: &str = "delete from outbox where next_at is null and coalesce(delivered_at, created_at) < $1";

/// Whoever nobody listens to is written into the log: the channel of such a message.
pub const LOG: &str = "";

/// Something that is to be told.
#[derive(Debug, Clone)]
pub struct NewNotice<'a> {
    /// What it tells of: told once to a channel, however often it is written.
    pub event: &'a str,
    /// To whom: `team`, `on_call`, `stakeholders`, `changes`.
    pub audience: &'a str,
    /// The type of the message, such as `flag.killed`; of a release, its last part is enough.
    pub kind: &'a str,
    /// The key of the release that it tells of, if any.
    pub release: Option<&'a str>,
    /// An object; its `text` says it in words, evidence first.
    pub data: Value,
}

/// A message, as far as it got.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct NoticeRow {
    /// The message's id, the same at every attempt.
    pub id: String,
    /// See [`NewNotice::event`].
    pub event: String,
    /// A channel's key, or [`LOG`].
    pub channel: String,
    /// To whom.
    pub audience: String,
    /// As it was written.
    pub kind: String,
    /// The release that it tells of.
    pub release: Option<String>,
    /// JSON, as it is sent.
    pub body: String,
    /// Epoch milliseconds.
    pub created_at: i64,
    /// How often it was tried.
    pub attempts: i64,
    /// Epoch milliseconds.
    pub delivered_at: Option<i64>,
    /// What the last attempt met.
    pub error: Option<String>,
}

/// A message that is to be delivered now.
#[derive(Clone, FromRow)]
pub struct DueRow {
    /// The message's id.
    pub id: String,
    /// The environment's row.
    pub environment: i64,
    /// A channel's key, or [`LOG`].
    pub channel: String,
    /// To whom.
    pub audience: String,
    /// See [`NewNotice::event`].
    pub event: String,
    /// JSON, as it is sent.
    pub body: String,
    /// How often it was tried: with the present attempt, once it is claimed.
    pub attempts: i64,
    /// Where to; none where the channel is gone.
    pub url: Option<String>,
    /// What it is signed with.
    pub secret: Option<String>,
}

/// How many messages wait, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct Waiting {
    /// All that are not delivered.
    pub waiting: i64,
    /// Epoch milliseconds at which the oldest was written.
    pub oldest: Option<i64>,
}

/// How many messages of a channel wait.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct ChannelWaiting {
    /// Its key, or [`LOG`].
    pub channel: String,
    /// All that are not delivered.
    pub waiting: i64,
    /// What an attempt to deliver one of them met.
    pub error: Option<String>,
}

impl NoticeRow {
    /// What it says in words.
    pub fn text(&self) -> String {
        text_of(&self.body)
    }
}

impl DueRow {
    /// What it says in words.
    pub fn text(&self) -> String {
        text_of(&self.body)
    }
}

fn text_of(body: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    body.pointer("/data/text").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A channel of the environment, if there is one.
#[derive(FromRow)]
struct PlaceRow {
    project: String,
    environment: String,
    channel: Option<String>,
    receives: Option<String>,
}

impl PlaceRow {
    /// The channel, if it receives what is for this audience.
    fn receiving(&self, audience: &str) -> Option<&str> {
        let receives: Vec<String> = serde_json::from_str(self.receives.as_deref()?).ok()?;
        receives.iter().any(|one| one == audience).then_some(self.channel.as_deref()?)
    }
}

/// A message to one channel.
struct Message<'a> {
    id: String,
    notice: &'a NewNotice<'a>,
    channel: &'a str,
    body: String,
}

impl Store {
    /// Takes up to `limit` messages that are due at `now`, at most `of_each` of one channel: `until` says to when each is
    /// put off meanwhile, or that it is left. Whichever node is first has a message; one that dies with it only delays it.
    ///
    /// # Errors
    /// The database away.
    pub async fn claim_due(
        &self,
        now: i64,
        of_each: i64,
        limit: i64,
        mut until: impl FnMut(&DueRow) -> Option<i64>,
    ) -> Result<Vec<DueRow>, StoreError> {
        let due: Vec<DueRow> = with_db!(self, |db| sqlx::query_as(DUE).bind(now).bind(of_each).bind(limit).fetch_all(db).await)?;
        let mut wanted: Vec<(DueRow, i64)> = due.into_iter().filter_map(|row| until(&row).map(|next_at| (row, next_at))).collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        // In the same order at every node, so that they wait for one another instead of dead-locking.
        wanted.sort_by(|(left, _), (right, _)| left.id.cmp(&right.id));
        let mut claimed = Vec::with_capacity(wanted.len());
        let mut tx = self.begin().await?;
        for (mut row, next_at) in wanted {
            let won = with_tx!(&mut tx, |db| {
                let query = sqlx::query(CLAIM).bind(&row.id).bind(row.attempts).bind(next_at);
                query.execute(db).await.map(|done| done.rows_affected())
            })?;
            if won > 0 {
                row.attempts = row.attempts.saturating_add(1);
                claimed.push(row);
            }
        }
        tx.commit().await?;
        Ok(claimed)
    }

    /// A message was delivered.
    ///
    /// # Errors
    /// The database away.
    pub async fn notice_delivered(&self, id: &str, at: i64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        with_tx!(&mut tx, |db| sqlx::query(DELIVERED).bind(id).bind(at).execute(db).await.map(drop))?;
        tx.commit().await
    }

    /// An attempt failed; the next is at `next_at`, unless somebody else has made one meanwhile.
    ///
    /// # Errors
    /// The database away.
    pub async fn notice_failed(&self, claimed: &DueRow, next_at: i64, error: &str) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        with_tx!(&mut tx, |db| {
            let query = sqlx::query(FAILED).bind(&claimed.id).bind(claimed.attempts).bind(next_at).bind(error);
            query.execute(db).await.map(drop)
        })?;
        tx.commit().await
    }

    /// There is nobody any more whom a message could reach.
    ///
    /// # Errors
    /// The database away.
    pub async fn give_up_notice(&self, id: &str, why: &str) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        with_tx!(&mut tx, |db| sqlx::query(GIVE_UP_ONE).bind(id).bind(why).execute(db).await.map(drop))?;
        tx.commit().await
    }

    /// What was told of a release, oldest first: a row per event and channel.
    ///
    /// # Errors
    /// The database away.
    pub async fn list_notices(&self, environment: i64, release: &str) -> Result<Vec<NoticeRow>, StoreError> {
        with_db!(self, |db| sqlx::query_as(LIST).bind(environment).bind(release).fetch_all(db).await)
    }

    /// How many messages wait, of all environments.
    ///
    /// # Errors
    /// The database away.
    pub async fn waiting_notices(&self) -> Result<Waiting, StoreError> {
        with_db!(self, |db| sqlx::query_as(WAITING).fetch_one(db).await)
    }

    /// How many messages wait for each channel of an environment that has any.
    ///
    /// # Errors
    /// The database away.
    pub async fn waiting_of_channels(&self, environment: i64) -> Result<Vec<ChannelWaiting>, StoreError> {
        with_db!(self, |db| sqlx::query_as(WAITING_OF).bind(environment).fetch_all(db).await)
    }

    /// Forgets messages that were delivered, or given up, before a moment.
    ///
    /// # Errors
    /// The database away.
    pub async fn sweep_notices(&self, before: i64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        with_tx!(&mut tx, |db| sqlx::query(SWEEP).bind(before).execute(db).await.map(drop))?;
        tx.commit().await
    }
}

impl Tx {
    /// Tells: a message for every channel of the environment that receives what is for this audience, or one for the log.
    /// What was written before is not written again.
    ///
    /// # Errors
    /// The database away.
    pub async fn tell(&mut self, environment: i64, notices: &[NewNotice<'_>], now: i64) -> Result<(), StoreError> {
        self.tell_or(Some(LOG), environment, notices, now).await
    }

    /// The same, but what no channel receives is not told.
    ///
    /// # Errors
    /// The database away.
    pub async fn tell_channels(&mut self, environment: i64, notices: &[NewNotice<'_>], now: i64) -> Result<(), StoreError> {
        self.tell_or(None, environment, notices, now).await
    }

    /// The same to one channel, whatever it receives; the message's id.
    ///
    /// # Errors
    /// The database away.
    pub async fn tell_channel(&mut self, environment: i64, channel: &str, notice: &NewNotice<'_>, now: i64) -> Result<String, StoreError> {
        let places = self.places(environment).await?;
        let body = places.first().map(|place| body_of(notice, place, now)).unwrap_or_default();
        let message = Message { id: new_id(), notice, channel, body };
        self.write_messages(environment, std::slice::from_ref(&message), now).await?;
        Ok(message.id)
    }

    async fn tell_or(&mut self, otherwise: Option<&str>, environment: i64, notices: &[NewNotice<'_>], now: i64) -> Result<(), StoreError> {
        if notices.is_empty() {
            return Ok(());
        }
        let places = self.places(environment).await?;
        let Some(place) = places.first() else { return Ok(()) };
        let mut messages = Vec::new();
        for notice in notices {
            let mut channels: Vec<&str> = places.iter().filter_map(|place| place.receiving(notice.audience)).collect();
            if channels.is_empty() {
                channels.extend(otherwise);
            }
            messages.extend(channels.into_iter().map(|channel| Message {
                id: new_id(),
                notice,
                channel,
                body: body_of(notice, place, now),
            }));
        }
        self.write_messages(environment, &messages, now).await
    }

    async fn places(&mut self, environment: i64) -> Result<Vec<PlaceRow>, StoreError> {
        with_tx!(self, |db| sqlx::query_as(PLACE).bind(environment).fetch_all(db).await)
    }

    async fn write_messages(&mut self, environment: i64, messages: &[Message<'_>], now: i64) -> Result<(), StoreError> {
        insert_rows!(
            self,
            TELL,
            messages,
            |values, message| {
                let Message { id, notice, channel, body } = message;
                values.push_bind(id).push_bind(environment).push_bind(notice.event).push_bind(*channel);
                values.push_bind(notice.audience).push_bind(notice.kind).push_bind(notice.release).push_bind(body);
                values.push_bind(now).push_bind(0_i64).push_bind(Some(now)).push_bind(None::<i64>).push_bind(None::<String>);
            },
            TELL_AGAIN
        );
        self.has_told |= !messages.is_empty();
        Ok(())
    }

    /// Gives up what a channel was to receive.
    ///
    /// # Errors
    /// The database away.
    pub async fn give_up_notices(&mut self, environment: i64, channel: &str, why: &str) -> Result<(), StoreError> {
        with_tx!(self, |db| sqlx::query(GIVE_UP).bind(environment).bind(channel).bind(why).execute(db).await.map(drop))
    }

    /// What failed to reach a channel is tried again now.
    ///
    /// # Errors
    /// The database away.
    pub async fn hasten_notices(&mut self, environment: i64, channel: &str, now: i64) -> Result<(), StoreError> {
        with_tx!(self, |db| sqlx::query(HASTEN).bind(environment).bind(channel).bind(now).execute(db).await.map(drop))?;
        self.has_told = true;
        Ok(())
    }
}

/// Without a dot, which separates it from the rest of what is signed.
fn new_id() -> String {
    format!("msg_{:032x}", fastrand::u128(..))
}

/// The body, as [Standard Webhooks](https://www.standardwebhooks.com) have it.
fn body_of(notice: &NewNotice<'_>, place: &PlaceRow, now: i64) -> String {
    let mut data = match &notice.data {
        Value::Object(data) => data.clone(),
        other => [("text".to_owned(), other.clone())].into_iter().collect(),
    };
    let known = [("project", &*place.project), ("environment", &place.environment), ("audience", notice.audience)];
    for (name, value) in known.into_iter().chain(notice.release.map(|release| ("release", release))) {
        data.entry(name).or_insert_with(|| value.into());
    }
    let kind = match notice.release {
        Some(_) if !notice.kind.contains('.') => format!("release.{}", notice.kind),
        _ => notice.kind.to_owned(),
    };
    let at = jiff::Timestamp::from_millisecond(now).unwrap_or_default();
    json!({ "type": kind, "timestamp": at.to_string(), "data": data }).to_string()
}
