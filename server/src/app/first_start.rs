//! The first start: a project, three environments, and what is needed to go on.

use super::{environments::Settings, keys::new_key, now_ms};
use crate::{
    auth::{Caller, Role, TOKEN_LIFE, Tokens},
    error::Error,
    store::{NewChange, NewEnvironment, Store, StoreError},
};

/// Key, name, protected.
const ENVIRONMENTS: [(&str, &str, bool); 3] =
    [("development", "Development", false), ("staging", "Staging", false), ("production", "Production", true)];

/// What the first start made, shown once.
#[derive(Debug, Clone)]
pub struct FirstStart {
    /// A token of role admin.
    pub admin_token: String,
    /// Environment and SDK key.
    pub keys: Vec<(String, String)>,
}

/// Makes the default project, unless there is any project, or another node is making it at this moment.
///
/// # Errors
/// The database away.
pub async fn first_start(store: &Store, tokens: &Tokens) -> Result<Option<FirstStart>, Error> {
    if !store.list_projects("", 1).await?.is_empty() {
        return Ok(None);
    }
    let now = now_ms();
    let service = Caller::service();
    let mut tx = store.begin().await?;
    let project = match tx.insert_project("default", "Default", now).await {
        Ok(project) => project,
        Err(StoreError::Taken(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let options = serde_json::to_string(&Settings::default()).map_err(Error::internal)?;
    let mut keys = Vec::new();
    for (key, name, protected) in ENVIRONMENTS {
        let new = NewEnvironment { project, key, name, protected, options: &options, at: now };
        let environment = tx.insert_environment(&new).await?;
        let sdk_key = new_key(environment, "first", &service.subject, now)?;
        tx.insert_key(&sdk_key.row).await?;
        for (kind, of) in [("environment", key), ("key", sdk_key.row.id.as_str())] {
            tx.insert_change(&NewChange {
                project,
                environment: Some(environment),
                revision: None,
                at: now,
                actor: &service.subject,
                reason: Some("first start"),
                request: &service.request_id,
                kind,
                key: of,
                after: Some("{}"),
            })
            .await?;
        }
        keys.push((key.to_owned(), sdk_key.text));
    }
    match tx.commit().await {
        Ok(()) => {}
        Err(StoreError::Taken(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let admin_token = tokens.issue("admin", Role::Admin, None, TOKEN_LIFE).map_err(Error::internal)?;
    Ok(Some(FirstStart { admin_token, keys }))
}
