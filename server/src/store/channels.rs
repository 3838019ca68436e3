//! Channels: where people hear of what happens in an environment.

use std::fmt;

use sqlx::FromRow;

use super::{Store, StoreError, Tx, with_db, with_tx};

macro_rules! columns {
    () => {
        "environment, key, kind, url, receives, secret, version, created_at, updated_at"
    };
}

const LIST: &str = concat!("select ", columns!(), " from channels where environment = $1 order by key");
const FIND: &str = concat!("select ", columns!(), " from channels where environment = $1 and key = $2");
const INSERT: &str = concat!("insert into channels (", columns!(), ") values ($1, $2, $3, $4, $5, $6, 1, $7, $7)");
const UPDATE: &str = "update channels set kind = $3, url = $4, receives = $5, secret = $6, updated_at = $7, version = version + 1 \
     where environment = $1 and key = $2";
const DELETE: &str = "delete from channels where environment = $1 and key = $2";

/// A channel.
#[derive(Clone, PartialEq, Eq, FromRow)]
pub struct ChannelRow {
    /// The environment's row.
    pub environment: i64,
    /// Its key.
    pub key: String,
    /// `webhook`.
    pub kind: String,
    /// Where messages are sent.
    pub url: String,
    /// JSON: audiences.
    pub receives: String,
    /// What messages are signed with: `whsec_` and 32 bytes in base64.
    pub secret: String,
    /// For `If-Match`.
    pub version: i64,
    /// Epoch milliseconds.
    pub created_at: i64,
    /// Epoch milliseconds.
    pub updated_at: i64,
}

impl ChannelRow {
    /// Which audiences' messages it receives.
    pub fn audiences(&self) -> Vec<String> {
        serde_json::from_str(&self.receives).unwrap_or_default()
    }
}

/// Without its secret, nor its address, which may be one.
impl fmt::Debug for ChannelRow {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { environment, key, kind, receives, version, .. } = self;
        write!(formatter, "{kind} channel {key:?} of {environment}, version {version}, receives {receives}")
    }
}

impl Store {
    /// The channels of an environment, by key.
    ///
    /// # Errors
    /// The database away.
    pub async fn list_channels(&self, environment: i64) -> Result<Vec<ChannelRow>, StoreError> {
        with_db!(self, |db| sqlx::query_as(LIST).bind(environment).fetch_all(db).await)
    }

    /// The channel with this key.
    ///
    /// # Errors
    /// The database away.
    pub async fn find_channel(&self, environment: i64, key: &str) -> Result<Option<ChannelRow>, StoreError> {
        with_db!(self, |db| sqlx::query_as(FIND).bind(environment).bind(key).fetch_optional(db).await)
    }
}

impl Tx {
    /// The channels of an environment, by key.
    ///
    /// # Errors
    /// The database away.
    pub async fn list_channels(&mut self, environment: i64) -> Result<Vec<ChannelRow>, StoreError> {
        with_tx!(self, |db| sqlx::query_as(LIST).bind(environment).fetch_all(db).await)
    }

    /// The channel with this key.
    ///
    /// # Errors
    /// The database away.
    pub async fn find_channel(&mut self, environment: i64, key: &str) -> Result<Option<ChannelRow>, StoreError> {
        with_tx!(self, |db| sqlx::query_as(FIND).bind(environment).bind(key).fetch_optional(db).await)
    }

    /// A new channel at version 1.
    ///
    /// # Errors
    /// The key taken; the database away.
    pub async fn insert_channel(&mut self, row: &ChannelRow) -> Result<(), StoreError> {
        with_tx!(self, |db| {
            let query = sqlx::query(INSERT).bind(row.environment).bind(&row.key).bind(&row.kind).bind(&row.url);
            query.bind(&row.receives).bind(&row.secret).bind(row.created_at).execute(db).await.map(drop)
        })
    }

    /// Writes everything that may change of a channel, at its next version.
    ///
    /// # Errors
    /// The database away.
    pub async fn update_channel(&mut self, row: &ChannelRow) -> Result<(), StoreError> {
        with_tx!(self, |db| {
            let query = sqlx::query(UPDATE).bind(row.environment).bind(&row.key).bind(&row.kind).bind(&row.url);
            query.bind(&row.receives).bind(&row.secret).bind(row.updated_at).execute(db).await.map(drop)
        })
    }

    /// Deletes a channel.
    ///
    /// # Errors
    /// The database away.
    pub async fn delete_channel(&mut self, environment: i64, key: &str) -> Result<(), StoreError> {
        with_tx!(self, |db| sqlx::query(DELETE).bind(environment).bind(key).execute(db).await.map(drop))
    }
}
