//! Projects: namespaces of flags.

use super::{App, Ask, Done, check_key, write::Write};
use crate::{
    auth::{Caller, Right},
    error::Error,
    store::ProjectRow,
};

impl App {
    /// Up to `limit` projects with keys after `after`.
    ///
    /// # Errors
    /// The database away.
    pub async fn list_projects(&self, after: &str, limit: i64) -> Result<Vec<ProjectRow>, Error> {
        Ok(self.store.list_projects(after, limit).await?)
    }

    /// Makes a project, or gives it another name.
    ///
    /// # Errors
    /// 403, 409, 412, 422; the database away.
    pub async fn put_project(&self, ask: &Ask, key: &str, name: Option<String>) -> Result<Done<ProjectRow>, Error> {
        check_key("/project", "project", key)?;
        may_administer(&ask.caller, key)?;
        let mut write = Write::begin(self, ask).await?;
        let before = self.store.find_project(key).await?;
        before.as_ref().map_or_else(|| ask.matches_nothing(), |row| ask.matches(row.version))?;
        let name = name.unwrap_or_else(|| before.as_ref().map_or_else(|| key.to_owned(), |row| row.name.clone()));
        let unchanged = before.as_ref().is_some_and(|row| row.name == name);
        let after = match &before {
            Some(row) if unchanged => row.clone(),
            Some(row) => {
                if !write.tx.rename_project(row, &name).await? {
                    return Err(Error::conflict("", "somebody else changed it at this moment: read it again"));
                }
                ProjectRow { name: name.clone(), version: row.version.saturating_add(1), ..row.clone() }
            }
            None => {
                let id = write.tx.insert_project(key, &name, write.now).await?;
                ProjectRow { id, key: key.to_owned(), name: name.clone(), created_at: write.now, version: 1 }
            }
        };
        if unchanged {
            write.undo().await?;
        } else {
            write.audit(after.id, None, "project", key, Some(serde_json::json!({ "name": name }).to_string()));
            write.commit().await?;
        }
        Ok(Done { before, after, revision: None, changed: !unchanged, warnings: Vec::new() })
    }
}

fn may_administer(caller: &Caller, project: &str) -> Result<(), Error> {
    caller.may_in_project(Right::Administer, project)
}
