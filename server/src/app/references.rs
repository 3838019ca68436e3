//! What items of an environment name: read under its lock, so that what is checked is what stands.

use std::collections::{BTreeMap, BTreeSet};

use storyflag_evaluation::{Fault, FlagItem, Test};

use super::flags::decode;
use crate::{error::Error, store::Tx};

/// How far a chain of prerequisites is followed before it counts as endless.
const LONGEST_CHAIN: usize = 16;

/// What a flag's targeting names and is not there: cohorts, prerequisites and their variants; and cycles.
pub(super) async fn check(tx: &mut Tx, environment: i64, item: &FlagItem) -> Result<Vec<Fault>, Error> {
    let mut faults = Vec::new();
    let mut known: BTreeMap<String, bool> = BTreeMap::new();
    for (pointer, cohort) in cohorts_named(item) {
        let there = match known.get(cohort) {
            Some(there) => *there,
            None => tx.find_cohort(environment, cohort).await?.is_some_and(|row| row.deleted_at.is_none()),
        };
        known.insert(cohort.to_owned(), there);
        if !there {
            faults.push(Fault { pointer, detail: format!("there is no cohort {cohort:?} in this environment") });
        }
    }
    check_prerequisites(tx, environment, item, &mut faults).await?;
    Ok(faults)
}

fn cohorts_named(item: &FlagItem) -> impl Iterator<Item = (String, &str)> {
    let in_rollout = item.rollout.cohorts.iter().enumerate().map(|(index, key)| (format!("/rollout/cohorts/{index}"), key.as_str()));
    let in_rules = item.rules.iter().enumerate().flat_map(|(rule, of)| {
        of.conditions.iter().enumerate().filter_map(move |(index, condition)| match &condition.test {
            Test::InCohort(key) => Some((format!("/rules/{rule}/if/{index}/in_cohort"), key.as_str())),
            Test::Attribute(..) => None,
        })
    });
    in_rollout.chain(in_rules)
}

async fn check_prerequisites(tx: &mut Tx, environment: i64, item: &FlagItem, faults: &mut Vec<Fault>) -> Result<(), Error> {
    let wanted: Vec<String> = item.prerequisites.iter().map(|one| one.flag.clone()).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let direct = items(tx, environment, &wanted).await?;
    for (index, prerequisite) in item.prerequisites.iter().enumerate() {
        let at = format!("/prerequisites/{index}");
        let Some(other) = direct.get(&prerequisite.flag) else {
            faults.push(Fault { pointer: format!("{at}/flag"), detail: format!("there is no flag {:?}", prerequisite.flag) });
            continue;
        };
        for (place, variant) in prerequisite.variants.iter().enumerate() {
            if !other.variants.contains_key(variant) {
                let known: Vec<&str> = other.variants.keys().map(String::as_str).collect();
                let detail = format!("{variant:?} is not a variant of {}; it has {}", prerequisite.flag, known.join(", "));
                faults.push(Fault { pointer: format!("{at}/variants/{place}"), detail });
            }
        }
    }
    // Breadth first: each level is one query.
    let (mut level, mut seen) = (direct, BTreeSet::from([item.key.clone()]));
    for depth in 0.. {
        let next: BTreeSet<String> = level.values().flat_map(|one| one.prerequisites.iter().map(|one| one.flag.clone())).collect();
        if next.contains(&item.key) {
            let detail = format!("leads back to {:?} itself: prerequisites make no circle", item.key);
            faults.push(Fault { pointer: "/prerequisites".to_owned(), detail });
            return Ok(());
        }
        let next: Vec<String> = next.into_iter().filter(|key| seen.insert(key.clone())).collect();
        if next.is_empty() {
            return Ok(());
        }
        if depth >= LONGEST_CHAIN {
            let detail = format!("is a chain of more than {LONGEST_CHAIN} flags: SDKs follow no longer one");
            faults.push(Fault { pointer: "/prerequisites".to_owned(), detail });
            return Ok(());
        }
        level = items(tx, environment, &next).await?;
    }
    Ok(())
}

async fn items(tx: &mut Tx, environment: i64, keys: &[String]) -> Result<BTreeMap<String, FlagItem>, Error> {
    let rows = tx.find_targetings(environment, keys).await?;
    rows.into_iter().map(|row| Ok((row.key, decode(&row.item)?))).collect()
}

/// The flags of an environment that have this one as a prerequisite.
pub(super) async fn flags_that_name_flag(tx: &mut Tx, environment: i64, flag: &str) -> Result<Vec<String>, Error> {
    flags_where(tx, environment, flag, |item| item.prerequisites.iter().any(|one| one.flag == flag)).await
}

/// The flags of an environment that need one of these variants of another flag.
pub(super) async fn flags_that_need_variants(
    tx: &mut Tx,
    environment: i64,
    flag: &str,
    variants: &BTreeSet<String>,
) -> Result<Vec<String>, Error> {
    let needs = |item: &FlagItem| {
        item.prerequisites.iter().any(|one| one.flag == flag && one.variants.iter().any(|variant| variants.contains(variant)))
    };
    flags_where(tx, environment, flag, needs).await
}

/// The flags of an environment that name a cohort.
pub(super) async fn flags_that_name_cohort(tx: &mut Tx, environment: i64, cohort: &str) -> Result<Vec<String>, Error> {
    flags_where(tx, environment, cohort, |item| cohorts_named(item).any(|(_, key)| key == cohort)).await
}

async fn flags_where(tx: &mut Tx, environment: i64, word: &str, names: impl Fn(&FlagItem) -> bool) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    for (key, text) in tx.list_flag_items(environment).await? {
        // Decoding thousands of items to find the few: only those that have the word at all.
        if text.contains(word) && names(&decode(&text)?) {
            found.push(key);
        }
    }
    found.sort_unstable();
    Ok(found)
}
