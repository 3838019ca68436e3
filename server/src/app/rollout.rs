//! Rollouts: the percentage that a release manager raises, and the cohorts beside it.

use storyflag_evaluation::{Fault, FlagItem, Percentage, Rollout};

use super::{App, Ask, Done, Place, releases::Edit, targetings::TargetingState};
use crate::error::Error;

impl App {
    /// Raises or lowers the percentage. With `from`, only if that is what stands: a compare-and-set that a person can type.
    ///
    /// # Errors
    /// 403, 404, 409, 412, 422; the database away.
    pub async fn bump(
        &self,
        ask: &Ask,
        place: &Place,
        flag: &str,
        percentage: Percentage,
        from: Option<Percentage>,
    ) -> Result<Done<TargetingState>, Error> {
        let edit = |state: &TargetingState| {
            let stands = state.item.rollout.millionths;
            if let Some(from) = from.filter(|from| *from != stands) {
                let detail = format!("is {} here, not {}: nothing was changed", stands.percent(), from.percent());
                return Err(Error::conflict("/from", detail));
            }
            let mut item = state.item.clone();
            item.rollout.millionths = percentage;
            Ok(item)
        };
        match self.change(ask, place, flag, Edit::Part, edit).await {
            Err(error) => Err(self.or_near(within_rollout(error), place, flag).await),
            Ok(done) => Ok(self.warned(place, flag, done)),
        }
    }

    /// Replaces the whole rollout.
    ///
    /// # Errors
    /// 403, 404, 409, 412, 422; the database away.
    pub async fn put_rollout(&self, ask: &Ask, place: &Place, flag: &str, rollout: Rollout) -> Result<Done<TargetingState>, Error> {
        match self.change(ask, place, flag, Edit::Whole, |state| Ok(FlagItem { rollout, ..state.item.clone() })).await {
            Err(error) => Err(self.or_near(within_rollout(error), place, flag).await),
            Ok(done) => Ok(self.warned(place, flag, done)),
        }
    }
}

/// The same error for a body that is the rollout itself.
fn within_rollout(error: Error) -> Error {
    let Error::Invalid(faults) = error else { return error };
    let inner = |pointer: String| pointer.strip_prefix("/rollout").map(str::to_owned).unwrap_or(pointer);
    Error::Invalid(faults.into_iter().map(|fault| Fault { pointer: inner(fault.pointer), ..fault }).collect())
}
