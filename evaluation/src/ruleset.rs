//! All that is needed to evaluate one environment, immutable, at one revision.

use std::{collections::BTreeSet, fmt, hash::BuildHasher, sync::Arc};

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};

use crate::{
    bucket::bucket,
    compile::{
        cohort::{Cohort, CohortNames, NamedList},
        flag::{Flag, Workshop},
    },
    context::Context,
    identity::{Identity, ItemKind, item_hash},
    list::CohortList,
    model::Watch,
    text::same,
    value::Value,
};

/// Compiled flags and cohorts of one environment at one revision.
///
/// Deriving a ruleset from another ([`Ruleset::apply`], [`Ruleset::with_list`], [`Ruleset::with_kills`]) shares every
/// flag that did not change.
#[derive(Debug, Clone, Default)]
pub struct Ruleset {
    identity: Identity,
    /// The digest of what is really here.
    digest: u64,
    flags: HashTable<Arc<Flag>>,
    names: CohortNames,
    cohorts: Vec<Option<Arc<Cohort>>>,
    /// Flags, by slot, that name an unsupported cohort or prerequisite.
    blocked: HashMap<u32, Box<str>, FixedState>,
    kills: BTreeSet<Box<str>>,
    next_slot: u32,
}

/// The difference between two neighbouring revisions.
#[derive(Debug, Clone, Copy, Default)]
pub struct Change<'a> {
    /// The revision that it starts from.
    pub from: u64,
    /// The ruleset that it leads to.
    pub identity: Identity,
    /// Wire texts of flags that are new or changed.
    pub put_flags: &'a [&'a str],
    /// Wire texts of cohorts that are new or changed.
    pub put_cohorts: &'a [&'a str],
    /// Keys of flags that are gone.
    pub remove_flags: &'a [&'a str],
    /// Keys of cohorts that are gone.
    pub remove_cohorts: &'a [&'a str],
}

/// Why a change was not applied; the ruleset stays as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApplyError {
    /// It starts from another revision or incarnation.
    WrongBase,
    /// What it leads to is not what its identity says.
    WrongDigest,
}

impl fmt::Display for ApplyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::WrongBase => "the change starts from another revision",
            Self::WrongDigest => "the change leads to another digest than it says",
        })
    }
}

impl std::error::Error for ApplyError {}

impl Ruleset {
    /// Nothing at all, at `0-0`.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Compiles wire texts. An item that this version does not understand is unsupported alone.
    ///
    /// `previous` lends what stays useful: the lists of the same cohorts, places, counters and local kills.
    /// Whether the items are those that `identity` names is told by [`Ruleset::is_whole`].
    pub fn compile(identity: Identity, flags: &[&str], cohorts: &[&str], previous: Option<&Self>) -> Self {
        let mut ruleset = Self { identity, ..Self::default() };
        if let Some(previous) = previous {
            ruleset.names = previous.names.clone();
            ruleset.kills = previous.kills.clone();
            ruleset.next_slot = previous.next_slot;
        }
        for text in cohorts {
            ruleset.put_cohort(text, previous);
        }
        ruleset.flags.reserve(flags.len(), |flag| hash_of(&flag.key));
        ruleset.put_flags(flags, previous);
        ruleset.link();
        ruleset
    }

    /// The ruleset that a change leads to.
    ///
    /// # Errors
    /// When the change does not start here, or does not lead where it says.
    pub fn apply(&self, change: &Change<'_>) -> Result<Self, ApplyError> {
        let (from, to) = (self.identity, change.identity);
        if change.from != from.revision || to.incarnation != from.incarnation || to.revision <= from.revision {
            return Err(ApplyError::WrongBase);
        }
        let mut next = self.clone();
        next.identity = to;
        for key in change.remove_cohorts {
            next.remove_cohort(key);
        }
        for text in change.put_cohorts {
            next.put_cohort(text, Some(self));
        }
        for key in change.remove_flags {
            next.remove_flag(key);
        }
        next.put_flags(change.put_flags, Some(self));
        next.link();
        if next.is_whole() { Ok(next) } else { Err(ApplyError::WrongDigest) }
    }

    /// The same with the list of a cohort, if the cohort still names it.
    #[must_use]
    pub fn with_list(&self, cohort: &str, digest: &str, list: Arc<CohortList>) -> Self {
        let mut next = self.clone();
        let place = next.names.find(cohort).and_then(|place| usize::try_from(place).ok());
        if let Some(Some(slot)) = place.and_then(|place| next.cohorts.get_mut(place))
            && slot.reference.as_ref().is_some_and(|reference| reference.digest == digest)
        {
            *slot = Arc::new(Cohort { list: Some(NamedList { digest: digest.into(), list }), ..slot.as_ref().clone() });
        }
        next
    }

    /// The same with exactly these flags killed here, whatever their items say.
    #[must_use]
    pub fn with_kills<'k>(&self, flags: impl IntoIterator<Item = &'k str>) -> Self {
        Self { kills: flags.into_iter().map(Into::into).collect(), ..self.clone() }
    }

    /// Which ruleset this says it is.
    #[inline]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The digest of the items that are really here.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Whether the items are those that the identity names.
    pub fn is_whole(&self) -> bool {
        self.digest == self.identity.digest
    }

    /// How many flags.
    pub fn len(&self) -> usize {
        self.flags.len()
    }

    /// Whether there is no flag.
    pub fn is_empty(&self) -> bool {
        self.flags.is_empty()
    }

    /// The flag called `key`.
    pub fn flag(&self, key: &str) -> Option<FlagView<'_>> {
        self.find(key).map(|flag| FlagView { ruleset: self, flag })
    }

    /// Every flag, in no particular order.
    pub fn flags(&self) -> impl Iterator<Item = FlagView<'_>> {
        self.flags.iter().map(|flag| FlagView { ruleset: self, flag })
    }

    /// Lists that are named and not there yet: (cohort, digest). Until they are, the lists before them stand.
    pub fn missing_lists(&self) -> impl Iterator<Item = (&str, &str)> {
        self.cohorts.iter().flatten().filter_map(|cohort| Some((&*cohort.key, cohort.missing_list()?)))
    }

    /// The cohorts that this version does not understand, and why.
    pub fn unsupported_cohorts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.cohorts.iter().flatten().filter_map(|cohort| Some((&*cohort.key, cohort.unsupported.as_deref()?)))
    }

    /// One more than the highest counter of [`crate::Evaluation::slot`].
    pub fn slots(&self) -> u32 {
        self.next_slot
    }

    #[inline]
    pub(crate) fn find(&self, key: &str) -> Option<&Flag> {
        self.flags.find(hash_of(key), |flag| same(&flag.key, key)).map(AsRef::as_ref)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Flag> {
        self.flags.iter().map(AsRef::as_ref)
    }

    /// Whether the flag is killed here, whatever its item says. Almost always there is no such kill.
    #[inline]
    pub(crate) fn is_killed_here(&self, flag: &Flag) -> bool {
        !self.kills.is_empty() && self.kills.contains(&flag.key)
    }

    #[inline]
    pub(crate) fn cohort(&self, place: u32) -> Option<&Cohort> {
        self.cohorts.get(usize::try_from(place).ok()?)?.as_deref()
    }

    #[inline]
    pub(crate) fn is_blocked(&self, flag: &Flag) -> bool {
        !self.blocked.is_empty() && self.blocked.contains_key(&flag.slot)
    }

    fn put_flags(&mut self, texts: &[&str], previous: Option<&Self>) {
        let mut recent = Vec::new();
        for text in texts {
            let mut workshop = Workshop { cohorts: &mut self.names, recent: std::mem::take(&mut recent) };
            let compiled = Flag::compile(text, &mut workshop);
            recent = workshop.recent;
            match compiled {
                Some(flag) => self.put_flag(flag, previous),
                // Nothing can name it or ask for it; it still counts in the digest.
                None => self.digest = self.digest.wrapping_add(item_hash(ItemKind::Flag, text)),
            }
        }
    }

    fn put_flag(&mut self, mut flag: Flag, previous: Option<&Self>) {
        self.remove_flag(&flag.key);
        let before = previous.and_then(|previous| previous.flags.find(hash_of(&flag.key), |known| known.key == flag.key));
        let same_names =
            |before: &&Arc<Flag>| before.variants.iter().map(|variant| &variant.name).eq(flag.variants.iter().map(|variant| &variant.name));
        flag.slot = match before.filter(same_names) {
            Some(before) => before.slot,
            None => {
                let slot = self.next_slot;
                self.next_slot = slot.saturating_add(u32::try_from(flag.variants.len().max(1)).unwrap_or(u32::MAX));
                slot
            }
        };
        self.digest = self.digest.wrapping_add(flag.hash);
        self.flags.insert_unique(hash_of(&flag.key), Arc::new(flag), |flag| hash_of(&flag.key));
    }

    fn remove_flag(&mut self, key: &str) {
        if let Ok(entry) = self.flags.find_entry(hash_of(key), |flag| *flag.key == *key) {
            self.digest = self.digest.wrapping_sub(entry.get().hash);
            entry.remove();
        }
    }

    fn put_cohort(&mut self, text: &str, previous: Option<&Self>) {
        let before =
            |key: &str| previous.and_then(|previous| previous.cohorts.get(usize::try_from(previous.names.find(key)?).ok()?)?.clone());
        let Some(cohort) = Cohort::compile(text, before) else {
            self.digest = self.digest.wrapping_add(item_hash(ItemKind::Cohort, text));
            return;
        };
        self.remove_cohort(&cohort.key);
        self.digest = self.digest.wrapping_add(cohort.hash);
        let place = usize::try_from(self.names.place(&cohort.key)).unwrap_or(usize::MAX);
        self.cohorts.resize(self.names.len().max(self.cohorts.len()), None);
        if let Some(slot) = self.cohorts.get_mut(place) {
            *slot = Some(Arc::new(cohort));
        }
    }

    fn remove_cohort(&mut self, key: &str) {
        let place = self.names.find(key).and_then(|place| usize::try_from(place).ok());
        if let Some(cohort) = place.and_then(|place| self.cohorts.get_mut(place)).and_then(Option::take) {
            self.digest = self.digest.wrapping_sub(cohort.hash);
        }
    }

    /// Finds out which flags cannot be answered because of what they name, to the end of every chain.
    fn link(&mut self) {
        let mut blocked: HashMap<u32, Box<str>, FixedState> = HashMap::default();
        loop {
            let newly: Vec<(u32, Box<str>)> = self
                .flags
                .iter()
                .filter(|flag| !blocked.contains_key(&flag.slot))
                .filter_map(|flag| Some((flag.slot, self.why_blocked(flag, &blocked)?)))
                .collect();
            if newly.is_empty() {
                break;
            }
            blocked.extend(newly);
        }
        self.blocked = blocked;
    }

    fn why_blocked(&self, flag: &Flag, blocked: &HashMap<u32, Box<str>, FixedState>) -> Option<Box<str>> {
        let targeting = flag.targeting.as_ref()?;
        let cohort = targeting.names_cohorts.iter().filter_map(|place| self.cohort(*place)).find(|cohort| cohort.unsupported.is_some());
        if let Some(cohort) = cohort {
            return Some(format!("names the unsupported cohort {}", cohort.key).into());
        }
        let unsupported = |key: &str| {
            let flag = self.flags.find(hash_of(key), |flag| *flag.key == *key);
            flag.is_some_and(|flag| flag.unsupported.is_some() || blocked.contains_key(&flag.slot))
        };
        let prerequisite = targeting.prerequisites.iter().find(|prerequisite| unsupported(&prerequisite.flag))?;
        Some(format!("names the unsupported prerequisite {}", prerequisite.flag).into())
    }
}

#[inline]
fn hash_of(key: &str) -> u64 {
    // Keys come from the environment's own managers: nobody gains by making them collide.
    FixedState::default().hash_one(key)
}

/// One flag, looked at from outside.
#[derive(Clone, Copy)]
pub struct FlagView<'a> {
    ruleset: &'a Ruleset,
    flag: &'a Flag,
}

impl<'a> FlagView<'a> {
    /// Its key.
    pub fn key(&self) -> &'a str {
        &self.flag.key
    }

    /// Its variants in the order of their counters.
    pub fn variants(&self) -> impl Iterator<Item = (&'a str, &'a Value)> + use<'a> {
        self.flag.variants.iter().map(|variant| (&*variant.name, &variant.value))
    }

    /// The first of its counters.
    pub fn slot(&self) -> u32 {
        self.flag.slot
    }

    /// The context's place in the flag, 0 to 999,999, whatever its targeting says: it is in by percentage from
    /// `(bucket + 1)` millionths on. `None` without a unit, and for an unsupported flag.
    pub fn bucket(&self, context: &Context) -> Option<u32> {
        if self.flag.unsupported.is_some() {
            return None;
        }
        context.unit(&self.flag.unit, |unit| bucket(unit.as_bytes(), self.flag.rollout.seed))
    }

    /// Why this version cannot answer for it.
    pub fn unsupported(&self) -> Option<&'a str> {
        self.flag.unsupported.as_deref().or_else(|| self.ruleset.blocked.get(&self.flag.slot).map(|why| &**why))
    }

    /// Whether everybody gets `off`, by a kill of the item.
    pub fn is_killed(&self) -> bool {
        self.flag.killed
    }

    /// Whether it is served only where another flag serves this variant, among others perhaps.
    pub fn needs(&self, flag: &str, variant: &str) -> bool {
        let prerequisites = self.flag.targeting.iter().flat_map(|targeting| &targeting.prerequisites);
        prerequisites.into_iter().any(|one| *one.flag == *flag && one.variants.iter().any(|known| **known == *variant))
    }

    /// What SDKs measure while a release watches the flag.
    pub fn watch(&self) -> Option<&'a Watch> {
        self.flag.watch.as_deref()
    }
}
