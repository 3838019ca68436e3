//! SDK keys: made, shown once, revoked.

use sha2::{Digest, Sha256};
use storyflag::SdkKey;

use super::{App, Ask, Done, Place, now_ms, write::Write};
use crate::{auth::Right, error::Error, store::KeyRow};

/// A key that was just made: the only time that its text is seen.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// What is stored of it.
    pub row: KeyRow,
    /// What the application is given.
    pub text: String,
}

impl App {
    /// All keys of an environment, revoked ones too, without their secrets.
    ///
    /// # Errors
    /// The database away.
    pub async fn list_keys(&self, place: &Place) -> Result<Vec<KeyRow>, Error> {
        Ok(self.store.list_keys(place.environment.id).await?)
    }

    /// Makes a key.
    ///
    /// # Errors
    /// 403; the database away.
    pub async fn create_key(&self, ask: &Ask, place: &Place, name: &str) -> Result<Done<NewKey>, Error> {
        ask.caller.may(Right::Administer, &place.project.key, &place.environment)?;
        let key = new_key(place.environment.id, name, &ask.caller.subject, now_ms())?;
        let mut write = Write::begin(self, ask).await?;
        write.tx.insert_key(&key.row).await?;
        write.tx.touch_settings(place.environment.id).await?;
        let after = serde_json::json!({ "name": name }).to_string();
        write.audit(place.project.id, Some(place.environment.id), "key", &key.row.id, Some(after));
        write.commit().await?;
        self.announce_settings(ask).await;
        Ok(Done { before: None, after: key, revision: None, changed: true, warnings: Vec::new() })
    }

    /// Revokes a key: every node closes its streams within about a second.
    ///
    /// # Errors
    /// 403, 404; the database away.
    pub async fn revoke_key(&self, ask: &Ask, place: &Place, id: &str) -> Result<Done<()>, Error> {
        ask.caller.may(Right::Administer, &place.project.key, &place.environment)?;
        let mut write = Write::begin(self, ask).await?;
        let now = write.now;
        if !write.tx.revoke_key(place.environment.id, id, now).await? {
            return Err(Error::NotFound(format!("there is no key {id:?} that works in environment {:?}", place.environment.key)));
        }
        write.tx.touch_settings(place.environment.id).await?;
        write.audit(place.project.id, Some(place.environment.id), "key", id, None);
        write.commit().await?;
        self.announce_settings(ask).await;
        Ok(Done { before: None, after: (), revision: None, changed: true, warnings: Vec::new() })
    }
}

/// A key of 256 random bits; only its hash is kept.
pub(super) fn new_key(environment: i64, name: &str, by: &str, now: i64) -> Result<NewKey, Error> {
    let (mut id, mut secret) = ([0; 8], [0; 32]);
    getrandom::fill(&mut id).map_err(Error::internal)?;
    getrandom::fill(&mut secret).map_err(Error::internal)?;
    let key = SdkKey::new(id, secret);
    let text = key.as_str().to_owned();
    let hash = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let row = KeyRow {
        id: key.id().to_owned(),
        environment,
        name: name.to_owned(),
        hash,
        created_at: now,
        created_by: by.to_owned(),
        revoked_at: None,
    };
    Ok(NewKey { row, text })
}
