//! The targetings of flags that releases own, as a node read them last.

use std::collections::{HashMap, HashSet};

use storyflag_evaluation::Identity;

use super::books::{Books, Seen};
use crate::error::Error;

/// By flag.
#[derive(Debug, Default)]
pub(super) struct Targetings {
    seen: HashMap<String, Seen>,
    /// The flags that were asked for.
    asked: HashSet<String>,
    /// What stood then.
    at: Identity,
}

impl Targetings {
    /// A flag's, if it has one.
    pub(super) fn get(&self, flag: &str) -> Option<&Seen> {
        self.seen.get(flag)
    }

    /// Brings them up to what stands: reads what was written since, and all of them where that is not enough.
    ///
    /// # Errors
    /// The database away.
    pub(super) async fn read<B: Books>(&mut self, books: &B, flags: HashSet<String>) -> Result<(), Error> {
        if flags.is_subset(&self.asked)
            && let Some(written) = books.written_since(&self.asked, self.at).await?
        {
            for (flag, seen) in written.seen {
                match seen {
                    Some(seen) => drop(self.seen.insert(flag, seen)),
                    None => drop(self.seen.remove(&flag)),
                }
            }
            self.at = written.at;
            return Ok(());
        }
        // Read before them: what is written meanwhile is read again.
        let at = books.stands().await?;
        self.seen = books.targetings(&flags).await?;
        (self.asked, self.at) = (flags, at);
        Ok(())
    }
}
