//! What SDKs say they run, as evidence that the database went back.

use std::{collections::HashMap, sync::Mutex};

use storyflag_evaluation::Identity;

use super::environment::lock;

/// The highest claims of an environment that are held at a time; more would add nothing.
const HELD: usize = 8;

/// Claims that wait for the heads that are read next: this node may merely be behind.
#[derive(Default)]
pub(super) struct Claims {
    by_environment: Mutex<HashMap<i64, Vec<Identity>>>,
}

/// Whether somebody who runs this shows that the database went back from it to `head`.
pub(super) fn contradicts(claimed: Identity, head: Identity) -> bool {
    claimed.pair() > head.pair() || (claimed.pair() == head.pair() && claimed.digest != head.digest)
}

impl Claims {
    /// Holds a claim.
    pub(super) fn hold(&self, environment: i64, claimed: Identity) {
        let mut claims = lock(&self.by_environment);
        let held = claims.entry(environment).or_default();
        if held.contains(&claimed) {
            return;
        }
        held.push(claimed);
        held.sort_unstable_by_key(|claim| std::cmp::Reverse(claim.pair()));
        held.truncate(HELD);
    }

    /// Lets go of all that are held, to judge them.
    pub(super) fn take(&self) -> HashMap<i64, Vec<Identity>> {
        std::mem::take(&mut lock(&self.by_environment))
    }

    /// Holds them again: they could not be judged.
    pub(super) fn put_back(&self, claims: HashMap<i64, Vec<Identity>>) {
        for (environment, claims) in claims {
            claims.into_iter().for_each(|claim| self.hold(environment, claim));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(incarnation: u64, revision: u64, digest: u64) -> Identity {
        Identity { incarnation, revision, digest }
    }

    #[test]
    fn a_higher_pair_or_another_digest_contradicts() {
        let head = at(5, 10, 1);
        for claim in [at(5, 11, 1), at(6, 0, 1), at(5, 10, 2)] {
            assert!(contradicts(claim, head), "{claim}");
        }
        for claim in [at(5, 10, 1), at(5, 9, 7), at(4, 99, 7)] {
            assert!(!contradicts(claim, head), "{claim}");
        }
    }

    #[test]
    fn the_highest_are_held_once_and_few() {
        let claims = Claims::default();
        for revision in (0..100).chain(0..100) {
            claims.hold(1, at(5, revision, 1));
        }
        claims.hold(2, at(9, 9, 9));
        let taken = claims.take();
        let revisions: Vec<u64> = taken[&1].iter().map(|claim| claim.revision).collect();
        assert_eq!(revisions, (92..100).rev().collect::<Vec<_>>());
        assert_eq!(taken[&2], [at(9, 9, 9)]);
        assert!(claims.take().is_empty());
        claims.put_back(taken);
        assert_eq!(claims.take()[&1].len(), 8);
    }
}
