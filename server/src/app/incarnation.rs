//! Incarnations: which history an environment's revisions are of. One is begun by the next write after a regression,
//! or here, by hand.

use std::time::Duration;

use super::{App, Ask, Done, Place, targetings::reason_given, write::Write};
use crate::{auth::Right, error::Error, publish::Committed, store::EnvironmentRow};

/// How long the answer waits until this node serves what it tells; the others follow within a second.
const SERVED_WITHIN: Duration = Duration::from_secs(2);

impl App {
    /// Begins a new incarnation at the revision that stands: every SDK takes the whole of it, whatever it had. No revision
    /// is taken, since nothing else is served: in the history it is a row of audit.
    ///
    /// # Errors
    /// 403, 404, 422; the database away.
    pub async fn raise_incarnation(&self, ask: &Ask, place: &Place) -> Result<Done<EnvironmentRow>, Error> {
        ask.caller.may(Right::Administer, &place.project.key, &place.environment)?;
        reason_given(ask, &place.environment)?;
        let mut write = Write::begin(self, ask).await?;
        let now = write.now;
        let raised = write.tx.raise_incarnation(place.environment.id, now).await?;
        let after = raised.ok_or_else(|| Error::no_such("environment", &place.environment.key))?;
        let identity = after.identity();
        let told = serde_json::json!({ "identity": identity.to_string() }).to_string();
        write.audit(place.project.id, Some(after.id), "incarnation", &after.key, Some(told));
        write.commit().await?;
        if !ask.dry_run {
            // No change leads from one incarnation to the next: every node reads the whole.
            self.hub.publish(&Committed { environment: after.id, identity, items: Vec::new() });
            if let Some(environment) = self.hub.environment(after.id) {
                environment.reached(identity, SERVED_WITHIN).await;
            }
        }
        Ok(Done { before: Some(place.environment.clone()), after, revision: None, changed: true, warnings: Vec::new() })
    }
}
