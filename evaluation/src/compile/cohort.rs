//! Cohorts, and the places at which flags find them.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::condition::{AttributeNames, CompiledCondition, compile};
use crate::{
    context::UnitName,
    identity::{ItemKind, item_hash},
    list::CohortList,
    model::{CohortItem, ListReference},
};

/// One cohort, ready to be asked.
#[derive(Debug, Clone)]
pub(crate) struct Cohort {
    pub(crate) key: Box<str>,
    /// Of its wire text.
    pub(crate) hash: u64,
    pub(crate) unit: UnitName,
    pub(crate) seed: u64,
    /// The list that the item names.
    pub(crate) reference: Option<ListReference>,
    /// The list that stands: the one that is named, or the last one that was there.
    pub(crate) list: Option<NamedList>,
    pub(crate) attributes: Box<[Box<str>]>,
    pub(crate) conditions: Box<[CompiledCondition]>,
    pub(crate) unsupported: Option<Box<str>>,
}

#[derive(Debug, Clone)]
pub(crate) struct NamedList {
    pub(crate) digest: Box<str>,
    pub(crate) list: Arc<CohortList>,
}

impl Cohort {
    /// The cohort of a wire text. An item without a readable key cannot be named by anything and is left out.
    pub(crate) fn compile(text: &str, previous: impl Fn(&str) -> Option<Arc<Self>>) -> Option<Self> {
        let hash = item_hash(ItemKind::Cohort, text);
        let item: CohortItem = match serde_json::from_str(text) {
            Ok(item) => item,
            Err(error) => return Self::unsupported(text, hash, &error.to_string()),
        };
        let mut names = AttributeNames::default();
        let conditions = match compile(&item.conditions, &mut names, None) {
            Ok(conditions) => conditions,
            Err(why) => return Self::unsupported(text, hash, &why),
        };
        let list = match &item.list {
            None => None,
            Some(_) => previous(&item.key).filter(|previous| previous.seed == item.seed).and_then(|previous| previous.list.clone()),
        };
        Some(Self {
            key: item.key.into(),
            hash,
            unit: UnitName::new(&item.unit),
            seed: item.seed,
            reference: item.list,
            list,
            attributes: names.into_boxed(),
            conditions,
            unsupported: None,
        })
    }

    fn unsupported(text: &str, hash: u64, why: &str) -> Option<Self> {
        #[derive(serde::Deserialize)]
        struct Envelope {
            key: Box<str>,
        }
        let Envelope { key } = serde_json::from_str(text).ok()?;
        let unit = UnitName::TargetingKey;
        Some(Self {
            key,
            hash,
            unit,
            seed: 0,
            reference: None,
            list: None,
            attributes: [].into(),
            conditions: [].into(),
            unsupported: Some(why.into()),
        })
    }

    /// The digest of the list that the item names and that is not there yet.
    pub(crate) fn missing_list(&self) -> Option<&str> {
        let reference = self.reference.as_ref()?;
        let there = self.list.as_ref().is_some_and(|list| *list.digest == *reference.digest);
        (!there).then_some(reference.digest.as_str())
    }
}

/// Which place in the ruleset a cohort's key has. Places are never given up, so that flags compiled long ago find theirs.
#[derive(Debug, Clone, Default)]
pub(crate) struct CohortNames {
    places: HashMap<Box<str>, u32, FixedState>,
}

impl CohortNames {
    pub(crate) fn place(&mut self, key: &str) -> u32 {
        let next = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        *self.places.entry(key.into()).or_insert(next)
    }

    pub(crate) fn find(&self, key: &str) -> Option<u32> {
        self.places.get(key).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }
}
