//! What items of an environment name: read under its lock, so that what is checked is what stands.

use std::collections::{BTreeMap, BTreeSet};

use storyflag_evaluation::{Fault, FlagItem, Test};

use super::items::{Understood, understand};
use crate::{error::Error, store::Tx};

/// As many prerequisites behind one another as SDKs follow.
const LONGEST_CHAIN: usize = 16;

/// What a flag's targeting names and is not there: cohorts, prerequisites and their variants; and cycles.
pub(super) async fn check(tx: &mut Tx, environment: i64, before: &FlagItem, item: &FlagItem) -> Result<Vec<Fault>, Error> {
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
    check_prerequisites(tx, environment, before, item, &mut faults).await?;
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

async fn check_prerequisites(
    tx: &mut Tx,
    environment: i64,
    before: &FlagItem,
    item: &FlagItem,
    faults: &mut Vec<Fault>,
) -> Result<(), Error> {
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
    if item.prerequisites != before.prerequisites {
        faults.extend(check_chain(tx, environment, item).await?);
    }
    Ok(())
}

/// Prerequisites make no circle, and no chain through this flag is longer than SDKs follow: what it needs, and who needs it.
async fn check_chain(tx: &mut Tx, environment: i64, item: &FlagItem) -> Result<Option<Fault>, Error> {
    let fault = |detail: String| Some(Fault { pointer: "/prerequisites".to_owned(), detail });
    let mut needs: Edges = BTreeMap::new();
    for (key, text) in tx.list_flag_items(environment).await? {
        if key != item.key && !text.contains("\"prerequisites\":[]") {
            needs.insert(key, understand(&text)?.item.prerequisites.into_iter().map(|one| one.flag).collect());
        }
    }
    needs.insert(item.key.clone(), item.prerequisites.iter().map(|one| one.flag.clone()).collect());
    let mut needed_by: Edges = BTreeMap::new();
    for (key, others) in &needs {
        for other in others {
            needed_by.entry(other.clone()).or_default().insert(key.clone());
        }
    }
    let (Some(below), Some(above)) = (longest(&item.key, &needs), longest(&item.key, &needed_by)) else {
        return Ok(fault(format!("leads back to {:?} itself: prerequisites make no circle", item.key)));
    };
    if below.saturating_add(above) <= LONGEST_CHAIN {
        return Ok(None);
    }
    Ok(fault(format!("makes a chain of more than {LONGEST_CHAIN} prerequisites: SDKs follow no longer one")))
}

type Edges = BTreeMap<String, BTreeSet<String>>;

/// How many steps the longest way from a key takes, beyond [`LONGEST_CHAIN`] one too many; `None` when it comes back.
fn longest(from: &str, edges: &Edges) -> Option<usize> {
    let mut level = BTreeSet::from([from]);
    for steps in 0..=LONGEST_CHAIN {
        // A key may be on several levels: the last one counts.
        level = level.iter().filter_map(|key| edges.get(*key)).flatten().map(String::as_str).collect();
        if level.contains(from) {
            return None;
        }
        if level.is_empty() {
            return Some(steps);
        }
    }
    Some(LONGEST_CHAIN.saturating_add(1))
}

async fn items(tx: &mut Tx, environment: i64, keys: &[String]) -> Result<BTreeMap<String, FlagItem>, Error> {
    let rows = tx.find_targetings(environment, keys).await?;
    rows.into_iter().map(|row| Ok((row.key, understand(&row.item)?.item))).collect()
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
        if !text.contains(word) {
            continue;
        }
        let Understood { item, unsupported } = understand(&text)?;
        // What is not understood names whatever stands in it as a word, but for its own key.
        let may_name = unsupported.is_some() && key != word && text.contains(&format!("\"{word}\""));
        if may_name || names(&item) {
            found.push(key);
        }
    }
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(of: &[(&str, &[&str])]) -> Edges {
        of.iter().map(|(key, others)| ((*key).to_owned(), others.iter().map(|&other| other.to_owned()).collect())).collect()
    }

    #[test]
    fn the_longest_way_counts_and_a_circle_has_none() {
        let shortcut = edges(&[("a", &["b", "d"]), ("b", &["c"]), ("c", &["d"])]);
        assert_eq!((longest("a", &shortcut), longest("c", &shortcut), longest("d", &shortcut)), (Some(3), Some(1), Some(0)));
        assert_eq!(longest("a", &edges(&[("a", &["a"])])), None);
        assert_eq!(longest("a", &edges(&[("a", &["b"]), ("b", &["c"]), ("c", &["a"])])), None);
        let chain: Edges = (0..40).map(|at: u32| (at.to_string(), BTreeSet::from([(at + 1).to_string()]))).collect();
        assert_eq!((longest("24", &chain), longest("23", &chain), longest("0", &chain)), (Some(16), Some(17), Some(17)));
    }
}
