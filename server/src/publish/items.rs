//! The wire texts that an environment serves, as their writers encoded them.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;
use storyflag_evaluation::{ItemKind, item_hash};

/// What a write did to one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedItem {
    /// Flag or cohort.
    pub kind: ItemKind,
    /// Its key.
    pub key: Arc<str>,
    /// Its wire text, verbatim; none when it was removed.
    pub after: Option<Arc<str>>,
}

/// All texts, and the sum of their hashes.
#[derive(Debug, Clone, Default)]
pub(super) struct Items {
    flags: BTreeMap<Arc<str>, Arc<str>>,
    cohorts: BTreeMap<Arc<str>, Arc<str>>,
    digest: u64,
    bytes: usize,
}

impl Items {
    pub(super) fn new(flags: Vec<String>, cohorts: Vec<String>) -> Self {
        let mut items = Self::default();
        for (kind, texts) in [(ItemKind::Flag, flags), (ItemKind::Cohort, cohorts)] {
            for text in texts {
                let text: Arc<str> = text.into();
                // A text without a key cannot be named by a change; it still counts in the digest.
                let key = key_of(&text).unwrap_or_else(|| Arc::clone(&text));
                items.set(kind, &key, Some(text));
            }
        }
        items
    }

    /// See [`storyflag_evaluation::Identity::digest`].
    pub(super) fn digest(&self) -> u64 {
        self.digest
    }

    /// The length of all texts.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn count(&self) -> usize {
        self.flags.len().saturating_add(self.cohorts.len())
    }

    /// In key order.
    pub(super) fn texts(&self, kind: ItemKind) -> impl Iterator<Item = &str> {
        self.side(kind).values().map(AsRef::as_ref)
    }

    pub(super) fn text(&self, kind: ItemKind, key: &str) -> Option<&str> {
        self.side(kind).get(key).map(AsRef::as_ref)
    }

    /// Puts or removes an item; what stood there before.
    pub(super) fn set(&mut self, kind: ItemKind, key: &Arc<str>, text: Option<Arc<str>>) -> Option<Arc<str>> {
        if let Some(text) = &text {
            self.digest = self.digest.wrapping_add(item_hash(kind, text));
            self.bytes = self.bytes.saturating_add(text.len());
        }
        let side = match kind {
            ItemKind::Flag => &mut self.flags,
            ItemKind::Cohort => &mut self.cohorts,
        };
        let before = match text {
            Some(text) => side.insert(Arc::clone(key), text),
            None => side.remove(key),
        };
        if let Some(before) = &before {
            self.digest = self.digest.wrapping_sub(item_hash(kind, before));
            self.bytes = self.bytes.saturating_sub(before.len());
        }
        before
    }

    fn side(&self, kind: ItemKind) -> &BTreeMap<Arc<str>, Arc<str>> {
        match kind {
            ItemKind::Flag => &self.flags,
            ItemKind::Cohort => &self.cohorts,
        }
    }
}

fn key_of(text: &str) -> Option<Arc<str>> {
    #[derive(Deserialize)]
    struct Item {
        key: Arc<str>,
    }
    Some(serde_json::from_str::<Item>(text).ok()?.key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_of_what_is_there() {
        let mut items = Items::new(vec![r#"{"key":"a","n":1}"#.into(), r#"{"key":"b"}"#.into()], vec![r#"{"key":"a"}"#.into()]);
        let whole = items.digest();
        let before = items.set(ItemKind::Flag, &"a".into(), Some(r#"{"key":"a","n":2}"#.into()));
        assert_eq!(before.as_deref(), Some(r#"{"key":"a","n":1}"#));
        assert_ne!(items.digest(), whole);
        items.set(ItemKind::Flag, &"a".into(), before);
        assert_eq!((items.digest(), items.count(), items.bytes()), (whole, 3, 17 + 11 + 11));
        for (kind, key) in [(ItemKind::Flag, "a"), (ItemKind::Flag, "b"), (ItemKind::Cohort, "a")] {
            items.set(kind, &key.into(), None);
        }
        assert_eq!((items.digest(), items.count(), items.bytes()), (0, 0, 0));
    }
}
