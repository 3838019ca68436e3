//! From what was committed to the ruleset that follows.

use std::collections::BTreeMap;

use storyflag_evaluation::{Change, Identity, ItemKind, Ruleset};

use super::items::CommittedItem;
use crate::store::Loaded;

/// One revision, as history tells it.
#[derive(Debug)]
pub(super) struct Revision {
    pub(super) revision: u64,
    pub(super) items: Vec<CommittedItem>,
}

/// What became of news.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is served.
    Applied,
    /// It was served already.
    Old,
    /// Something is missing before it.
    Early,
    /// It leads elsewhere: only the whole helps.
    Astray,
}

/// Everything, as it was read.
pub(super) fn compile(loaded: &Loaded, previous: Option<&Ruleset>) -> Ruleset {
    let flags: Vec<&str> = loaded.flags.iter().map(String::as_str).collect();
    let cohorts: Vec<&str> = loaded.cohorts.iter().map(String::as_str).collect();
    Ruleset::compile(loaded.head.identity(), &flags, &cohorts, previous)
}

/// The ruleset that these revisions lead to, in one step.
pub(super) fn derive(ruleset: &Ruleset, revisions: &[Revision], head: Identity) -> Option<Ruleset> {
    let mut last = BTreeMap::new();
    for item in revisions.iter().flat_map(|revision| &revision.items) {
        last.insert((item.kind, &*item.key), item.after.as_deref());
    }
    let put = |kind| last.iter().filter(move |((of, _), _)| *of == kind).filter_map(|(_, text)| *text).collect::<Vec<_>>();
    let gone =
        |kind| last.iter().filter(move |((of, _), text)| *of == kind && text.is_none()).map(|((_, key), _)| *key).collect::<Vec<_>>();
    let change = Change {
        from: ruleset.identity().revision,
        identity: head,
        put_flags: &put(ItemKind::Flag),
        put_cohorts: &put(ItemKind::Cohort),
        remove_flags: &gone(ItemKind::Flag),
        remove_cohorts: &gone(ItemKind::Cohort),
    };
    ruleset.apply(&change).ok()
}
