//! The past of a targeting, and the way back to it.

use storyflag_evaluation::{FlagItem, ItemKind};

use super::{
    App, Ask, Done, Place,
    items::{decode, understand},
    releases::Edit,
    targetings::TargetingState,
};
use crate::{error::Error, store::ChangeRow};

/// One change of a targeting.
#[derive(Debug, Clone)]
pub struct HistoryEntry {
    /// When, by whom, why.
    pub change: ChangeRow,
    /// What stood before it; none at the flag's birth.
    pub before: Option<FlagItem>,
    /// What stood after it; none when the flag was archived.
    pub after: Option<FlagItem>,
}

/// As much as this version understands: history is told even where a newer one wrote it.
fn told(text: &str) -> Result<FlagItem, Error> {
    understand(text).map(|understood| understood.item)
}

impl App {
    /// Up to `limit` changes of a flag's targeting below a revision, newest first.
    ///
    /// # Errors
    /// 404; the database away.
    pub async fn history(&self, place: &Place, flag: &str, below: i64, limit: i64) -> Result<Vec<HistoryEntry>, Error> {
        // One more than is shown: the last entry's *before* is the row behind it.
        let rows = self.store.history(place.environment.id, ItemKind::Flag.name(), flag, below, limit.saturating_add(1)).await?;
        if rows.is_empty() && below == i64::MAX {
            return Err(self.or_near(Error::no_such("flag", flag), place, flag).await);
        }
        let items: Vec<Option<FlagItem>> =
            rows.iter().map(|row| row.after.as_deref().map(told).transpose()).collect::<Result<_, Error>>()?;
        let shown = usize::try_from(limit).unwrap_or(usize::MAX);
        let befores = items.iter().skip(1).cloned().chain(std::iter::once(None));
        let entries = rows.into_iter().zip(items.iter().cloned()).zip(befores);
        Ok(entries.take(shown).map(|((change, after), before)| HistoryEntry { change, before, after }).collect())
    }

    /// Gives a flag the targeting that it had at a revision. A kill stands, and the variants are today's.
    ///
    /// # Errors
    /// 403, 404, 412, 422; the database away.
    pub async fn revert(&self, ask: &Ask, place: &Place, flag: &str, revision: i64) -> Result<Done<TargetingState>, Error> {
        let text = self.store.item_at(place.environment.id, ItemKind::Flag.name(), flag, revision).await?;
        let text = text.ok_or_else(|| Error::invalid("/revision", format!("at revision {revision} there was no flag {flag:?} here")))?;
        let then = decode(&text)?;
        self.change(ask, place, flag, Edit::Part, |state| {
            Ok(FlagItem {
                off: then.off,
                enabled: then.enabled,
                unit: then.unit,
                prerequisites: then.prerequisites,
                overrides: then.overrides,
                rules: then.rules,
                rollout: then.rollout,
                ..state.item.clone()
            })
        })
        .await
    }
}
