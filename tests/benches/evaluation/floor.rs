//! The floor: what a good engineer would write by hand for exactly these workloads and nothing else. One atomic pointer, one
//! look-up (hashbrown with foldhash), one hash (XXH3), the user as a plain struct; nothing comes back but the variant.

use std::sync::Arc;

use arc_swap::ArcSwap;
use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

pub struct User {
    pub key: String,
    pub email: String,
    pub country: String,
    pub app: String,
}

pub enum Flag {
    Always(u8),
    Percentage(Percentage),
    Cohort { seed: u64, list: Arc<List>, suffix: String, rest: Percentage },
    Rules { rules: Vec<Rule>, split_seed: u64, ends: Vec<u32> },
}

pub struct Percentage {
    seed: u64,
    below: u32,
}

pub struct Rule {
    pub countries: Vec<String>,
    pub at_least: [u64; 3],
}

/// The variants are numbers here: 0 is off, 1 is on, and those of a split count from 2.
pub struct Flags(ArcSwap<Map>);

pub type List = HashSet<u64, FixedState>;
type Map = HashMap<String, Flag, FixedState>;

impl Flags {
    pub fn new(flags: impl IntoIterator<Item = (String, Flag)>) -> Self {
        Self(ArcSwap::new(Arc::new(flags.into_iter().collect())))
    }

    #[inline]
    pub fn variant(&self, key: &str, user: &User) -> u8 {
        self.0.load().get(key).map_or(0, |flag| flag.variant(user))
    }

    /// Several flags for one user, with one look at the pointer.
    #[inline]
    pub fn on_of(&self, keys: &[String], user: &User) -> u64 {
        let flags = self.0.load();
        keys.iter().map(|key| u64::from(flags.get(key).is_some_and(|flag| flag.variant(user) == 1))).sum()
    }
}

impl Percentage {
    pub fn new(key: &str, below: u32) -> Self {
        Self { seed: xxh3_64(key.as_bytes()), below }
    }

    #[inline]
    fn holds(&self, user: &User) -> bool {
        bucket(&user.key, self.seed) < self.below
    }
}

impl Flag {
    pub fn cohort(key: &str, seed: u64, list: Arc<List>, suffix: &str, below: u32) -> Self {
        Self::Cohort { seed, list, suffix: suffix.to_owned(), rest: Percentage::new(key, below) }
    }

    pub fn rules(key: &str, rules: Vec<Rule>, ends: Vec<u32>) -> Self {
        Self::Rules { rules, split_seed: xxh3_64(format!("{key}/split").as_bytes()), ends }
    }

    #[inline]
    fn variant(&self, user: &User) -> u8 {
        match self {
            Self::Always(variant) => *variant,
            Self::Percentage(percentage) => percentage.holds(user).into(),
            Self::Cohort { seed, list, suffix, rest } => {
                let listed = list.contains(&xxh3_64_with_seed(user.key.as_bytes(), *seed));
                (listed || user.email.ends_with(suffix) || rest.holds(user)).into()
            }
            Self::Rules { rules, split_seed, ends } => {
                let app = version(&user.app);
                let holds = |rule: &Rule| rule.countries.contains(&user.country) && app >= Some(rule.at_least);
                if !rules.iter().any(holds) {
                    return 0;
                }
                let place = bucket(&user.key, *split_seed);
                ends.iter().take_while(|end| place >= **end).count() as u8 + 2
            }
        }
    }
}

#[inline]
fn bucket(key: &str, seed: u64) -> u32 {
    ((u128::from(xxh3_64_with_seed(key.as_bytes(), seed)) * 1_000_000) >> 64) as u32
}

fn version(text: &str) -> Option<[u64; 3]> {
    let mut parts = text.split('.').map(|part| part.parse().ok());
    Some([parts.next()??, parts.next()??, parts.next()??])
}
