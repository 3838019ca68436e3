//! The latest changes of an environment, each encoded once, for whoever is a little behind.

use std::collections::VecDeque;

use bytes::Bytes;
use storyflag_evaluation::Identity;

/// How many revisions.
const REVISIONS: usize = 1_024;
/// And of how many bytes together.
const BYTES: usize = 8 * 1_024 * 1_024;

/// One revision's change.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) from: Identity,
    pub(super) to: Identity,
    /// The `change` event.
    pub(super) event: Bytes,
}

/// Neighbouring steps of one incarnation, the last of which leads to what is served.
#[derive(Debug, Default)]
pub(super) struct Ring {
    steps: VecDeque<Step>,
    bytes: usize,
}

impl Ring {
    pub(super) fn push(&mut self, step: Step) {
        if self.steps.back().is_some_and(|last| last.to != step.from) {
            self.clear();
        }
        self.bytes = self.bytes.saturating_add(step.event.len());
        self.steps.push_back(step);
        while self.steps.len() > REVISIONS || self.bytes > BYTES {
            let Some(oldest) = self.steps.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(oldest.event.len());
        }
    }

    pub(super) fn clear(&mut self) {
        self.steps.clear();
        self.bytes = 0;
    }

    /// The change that starts exactly from there: same incarnation, revision and digest.
    pub(super) fn after(&self, from: Identity) -> Option<&Step> {
        self.steps.get(self.position(from)?).filter(|step| step.from == from)
    }

    /// The one that leads to what is served, unless it was too large to keep.
    pub(super) fn last(&self) -> Option<&Step> {
        self.steps.back()
    }

    /// How many bytes of changes lead from there to the end.
    pub(super) fn bytes_after(&self, from: Identity) -> Option<usize> {
        let position = self.position(from)?;
        self.steps.get(position).filter(|step| step.from == from)?;
        Some(self.steps.iter().skip(position).map(|step| step.event.len()).sum())
    }

    fn position(&self, from: Identity) -> Option<usize> {
        let oldest = self.steps.front()?.from;
        usize::try_from(from.revision.checked_sub(oldest.revision)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(revision: u64) -> Identity {
        Identity { incarnation: 1, revision, digest: revision * 31 }
    }

    fn step(from: u64, size: usize) -> Step {
        Step { from: at(from), to: at(from + 1), event: Bytes::from(vec![b'x'; size]) }
    }

    #[test]
    fn finds_the_step_from_exactly_there() {
        let mut ring = Ring::default();
        (5..9).for_each(|from| ring.push(step(from, 10)));
        assert_eq!(ring.after(at(5)).unwrap().to, at(6));
        assert_eq!(ring.after(at(8)).unwrap().to, at(9));
        assert_eq!(ring.bytes_after(at(7)), Some(20));
        for unknown in [at(4), at(9), at(100), Identity { digest: 1, ..at(6) }, Identity { incarnation: 2, ..at(6) }] {
            assert!(ring.after(unknown).is_none() && ring.bytes_after(unknown).is_none(), "{unknown}");
        }
    }

    #[test]
    fn is_bounded_in_revisions_and_in_bytes() {
        let mut ring = Ring::default();
        (0..2_000).for_each(|from| ring.push(step(from, 10)));
        assert!(ring.after(at(2_000 - 1_025)).is_none());
        assert!(ring.after(at(2_000 - 1_024)).is_some());
        (2_000..2_010).for_each(|from| ring.push(step(from, BYTES / 4)));
        assert!(ring.after(at(2_005)).is_none());
        assert!(ring.after(at(2_006)).is_some());
        // One that is larger than all: whoever is behind it gets the whole.
        ring.push(step(2_010, BYTES + 1));
        assert!(ring.after(at(2_009)).is_none() && ring.after(at(2_010)).is_none());
        ring.push(step(2_011, 10));
        assert_eq!(ring.bytes, 10);
    }

    #[test]
    fn a_jump_starts_anew() {
        let mut ring = Ring::default();
        (0..5).for_each(|from| ring.push(step(from, 10)));
        ring.push(step(9, 10));
        assert!(ring.after(at(3)).is_none());
        assert!(ring.after(at(9)).is_some());
    }
}
