//! Kill and revive: a bit of its own, which nothing else touches.

use storyflag_evaluation::FlagItem;

use super::{App, Ask, Done, Place, releases::Edit, targetings::TargetingState, write::Write};
use crate::{auth::Right, error::Error};

impl App {
    /// Everybody gets the off variant, from the next second on, whatever the targeting says. Needs no reason, and is
    /// done once however often it is asked for. What a newer version of the service wrote is killed by any older one.
    ///
    /// # Errors
    /// 403, 404; the database away.
    pub async fn kill(&self, ask: &Ask, place: &Place, flag: &str) -> Result<Done<TargetingState>, Error> {
        // A kill wins every race: it is not held back by a version that somebody else has just replaced.
        let ask = Ask { if_match: None, told_version: None, ..ask.clone() };
        ask.caller.may(Right::Lower, &place.project.key, &place.environment)?;
        let write = Write::begin_ahead(self, &ask).await?;
        let done =
            self.change_within(write, &ask, place, flag, Edit::Part, |state| Ok(FlagItem { killed: true, ..state.item.clone() })).await;
        match done {
            Err(error) => Err(self.or_near(error, place, flag).await),
            Ok(done) => Ok(self.warned(place, flag, done)),
        }
    }

    /// The targeting counts again: the same users as before are served.
    ///
    /// # Errors
    /// 403, 404, 412, 422; the database away.
    pub async fn revive(&self, ask: &Ask, place: &Place, flag: &str) -> Result<Done<TargetingState>, Error> {
        let done = self.change(ask, place, flag, Edit::Part, |state| Ok(FlagItem { killed: false, ..state.item.clone() })).await;
        match done {
            Err(error) => Err(self.or_near(error, place, flag).await),
            done => done,
        }
    }
}
