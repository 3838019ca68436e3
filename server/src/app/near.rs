//! A flag that is not there: mistyped, or archived. Whoever turns something off at 3 a.m. is told which.

use super::{App, Place, targetings::TargetingState};
use crate::{
    error::Error,
    store::{FlagFilter, ProjectRow},
};

/// As many keys are looked at.
const MOST_KEYS: usize = 5_000;
/// As many letters may be wrong, and in a short key one.
const FAR: usize = 2;
const SHORT: usize = 5;
/// No key is longer.
const LONGEST: usize = 100;

impl App {
    /// A flag's targeting, and the revision that made it.
    ///
    /// # Errors
    /// 404, with the key that was meant; the database away.
    pub async fn read_targeting(&self, place: &Place, flag: &str) -> Result<(TargetingState, i64), Error> {
        match self.find_targeting(place, flag).await {
            Err(error) => Err(self.or_near(error, place, flag).await),
            found => found,
        }
    }

    /// The same error; where it is that there is no such flag in an environment, it tells what there is or was.
    pub(super) async fn or_near(&self, error: Error, place: &Place, flag: &str) -> Error {
        if !is_about(&error, flag) {
            return error;
        }
        // What is served is known without the database.
        if self.hub.database_up()
            && let Some(archived) = self.archived(&place.project, flag).await
        {
            return archived;
        }
        let Some(environment) = self.hub.environment(place.environment.id) else { return error };
        let ruleset = environment.ruleset();
        let near = nearest(flag, ruleset.flags().map(|flag| flag.key()));
        near.map_or(error, |near| did_you_mean(flag, near))
    }

    /// The same for a flag of a project.
    pub(super) async fn or_near_in(&self, error: Error, project: &ProjectRow, flag: &str) -> Error {
        let filter = FlagFilter { limit: i64::try_from(MOST_KEYS).unwrap_or(i64::MAX), ..FlagFilter::default() };
        let rows = if is_about(&error, flag) { self.store.list_flags(project.id, &filter).await.unwrap_or_default() } else { Vec::new() };
        let near = nearest(flag, rows.iter().map(|row| row.key.as_str()));
        near.map_or(error, |near| did_you_mean(flag, near))
    }

    async fn archived(&self, project: &ProjectRow, flag: &str) -> Option<Error> {
        let at = self.store.find_flag(project.id, flag).await.ok()??.archived_at?;
        let at = jiff::Timestamp::from_millisecond(at).map(|at| at.to_string()).unwrap_or_default();
        Some(Error::NotFound(format!("there is no flag {flag:?} any more: it was archived at {at}, in every environment")))
    }
}

fn is_about(error: &Error, flag: &str) -> bool {
    let Error::NotFound(detail) = error else { return false };
    matches!(Error::no_such("flag", flag), Error::NotFound(expected) if expected == *detail)
}

fn did_you_mean(flag: &str, near: &str) -> Error {
    Error::NotFound(format!("there is no flag {flag:?}: did you mean {near:?}?"))
}

/// The key that is closest, if one is close; of several the first.
fn nearest<'k>(wanted: &str, keys: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    if wanted.is_empty() || wanted.len() > LONGEST {
        return None;
    }
    let far = if wanted.len() <= SHORT { 1 } else { FAR };
    let close = keys.take(MOST_KEYS).filter_map(|key| Some((distance(wanted, key, far)?, key)));
    close.min().map(|(_, key)| key)
}

/// How many letters have to be put, taken or changed, in any case; none beyond `far`.
fn distance(left: &str, right: &str, far: usize) -> Option<usize> {
    if left.len().abs_diff(right.len()) > far {
        return None;
    }
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, one) in left.bytes().enumerate() {
        let mut diagonal = index;
        let mut before = index.saturating_add(1);
        let mut least = before;
        for (slot, other) in row.iter_mut().skip(1).zip(right.bytes()) {
            let changed = diagonal.saturating_add(usize::from(!one.eq_ignore_ascii_case(&other)));
            let next = changed.min(slot.saturating_add(1)).min(before.saturating_add(1));
            diagonal = std::mem::replace(slot, next);
            before = next;
            least = least.min(next);
        }
        if least > far {
            return None;
        }
        if let Some(first) = row.first_mut() {
            *first = index.saturating_add(1);
        }
    }
    row.last().copied().filter(|distance| *distance <= far)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_close_by_case_and_by_few_letters() {
        let near = |wanted: &str| nearest(wanted, ["US-123-checkout", "US-124-theme", "US-1", "b"].into_iter());
        assert_eq!(near("us-123-CHECKOUT"), Some("US-123-checkout"));
        assert_eq!(near("US-123-chekout"), Some("US-123-checkout"));
        assert_eq!(near("US-123-checkuot"), Some("US-123-checkout"));
        assert_eq!(near("US-124-themes"), Some("US-124-theme"));
        assert_eq!(near("US-2"), Some("US-1"));
        assert_eq!((near("US-777"), near("cart"), near(""), near(&"x".repeat(4_000))), (None, None, None, None));
        assert_eq!(distance("kitten", "sitting", 3), Some(3));
    }
}
