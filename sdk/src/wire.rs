//! The bodies of events. Unknown fields are ignored, since formats grow; items stay raw, since their text is hashed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Everything: the data of a `ruleset` event, the body of a poll, and the middle of the file on disk.
#[derive(Debug, Deserialize)]
pub(crate) struct RulesetBody<'a> {
    #[serde(borrow)]
    pub(crate) flags: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) cohorts: Vec<&'a RawValue>,
    #[serde(default)]
    pub(crate) absorbed: BTreeSet<String>,
}

/// The data of a `change` event.
#[derive(Debug, Deserialize)]
pub(crate) struct ChangeBody<'a> {
    pub(crate) from: u64,
    #[serde(borrow, default)]
    pub(crate) put: Items<'a>,
    #[serde(default)]
    pub(crate) remove: Keys,
    #[serde(default)]
    pub(crate) absorbed: BTreeSet<String>,
}

/// Wire texts.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Items<'a> {
    #[serde(borrow, default)]
    pub(crate) flags: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) cohorts: Vec<&'a RawValue>,
}

/// Keys of items.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Keys {
    #[serde(default)]
    pub(crate) flags: Vec<String>,
    #[serde(default)]
    pub(crate) cohorts: Vec<String>,
}

/// The data of a `heartbeat` event.
#[derive(Debug, Deserialize)]
pub(crate) struct HeartbeatBody {
    pub(crate) head: storyflag_evaluation::Identity,
}

/// The data of a `kills` event. A kill that is not understood does not take the others with it.
#[derive(Debug, Deserialize)]
pub(crate) struct KillsBody<'a> {
    #[serde(borrow)]
    pub(crate) kills: Vec<&'a RawValue>,
}

/// A kill made on a node that cannot reach its database; it stands until a ruleset has absorbed it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Kill {
    pub(crate) flag: String,
    pub(crate) id: String,
}

/// The data of a `goodbye` event.
#[derive(Debug, Deserialize)]
pub(crate) struct GoodbyeBody {
    pub(crate) reconnect_after_ms: [u64; 2],
}

/// The texts of all items, kept only where a disk cache has to write them again.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Texts {
    flags: KeyedTexts,
    cohorts: KeyedTexts,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct KeyedTexts {
    keyed: BTreeMap<Arc<str>, Arc<str>>,
    /// Items without a readable key: nothing can name them, and they count in the digest.
    keyless: Vec<Arc<str>>,
}

#[derive(Deserialize)]
struct Keyed {
    key: Arc<str>,
}

impl KeyedTexts {
    fn put(&mut self, text: &RawValue) {
        match serde_json::from_str::<Keyed>(text.get()) {
            Ok(Keyed { key }) => _ = self.keyed.insert(key, text.get().into()),
            Err(_) => self.keyless.push(text.get().into()),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        self.keyed.values().chain(&self.keyless).map(|text| &**text)
    }
}

impl Texts {
    /// The texts of a whole ruleset.
    pub(crate) fn of_ruleset(body: &RulesetBody<'_>) -> Self {
        let mut texts = Self::default();
        body.flags.iter().for_each(|text| texts.flags.put(text));
        body.cohorts.iter().for_each(|text| texts.cohorts.put(text));
        texts
    }

    /// What a change makes of them, in the order in which the kernel applies it.
    pub(crate) fn apply(&mut self, change: &ChangeBody<'_>) {
        for key in &change.remove.cohorts {
            self.cohorts.keyed.remove(key.as_str());
        }
        for key in &change.remove.flags {
            self.flags.keyed.remove(key.as_str());
        }
        change.put.cohorts.iter().for_each(|text| self.cohorts.put(text));
        change.put.flags.iter().for_each(|text| self.flags.put(text));
    }

    /// The texts of all flags.
    pub(crate) fn flags(&self) -> impl Iterator<Item = &str> {
        self.flags.iter()
    }

    /// The texts of all cohorts.
    pub(crate) fn cohorts(&self) -> impl Iterator<Item = &str> {
        self.cohorts.iter()
    }

    /// The digests of the lists that the cohorts name.
    pub(crate) fn lists(&self) -> BTreeSet<String> {
        #[derive(Deserialize)]
        struct Cohort {
            list: Option<List>,
        }
        #[derive(Deserialize)]
        struct List {
            digest: String,
        }
        let named = |text| Some(serde_json::from_str::<Cohort>(text).ok()?.list?.digest);
        self.cohorts().filter_map(named).collect()
    }
}
