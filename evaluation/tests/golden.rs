//! The vectors of the independent program (`testdata/reference.py`): every answer, whole.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tests")]

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc};

use serde::Deserialize;
use serde_json::{Value as Json, json, value::RawValue};
use storyflag_evaluation::{CohortList, Context, Evaluation, Identity, ListReference, Percentage, Ruleset};

#[derive(Deserialize)]
struct Vector<'a> {
    name: String,
    #[serde(borrow)]
    ruleset: Items<'a>,
    context: Context,
    flag: String,
    expect: Json,
}

#[derive(Deserialize)]
struct Items<'a> {
    #[serde(borrow)]
    flags: Vec<&'a RawValue>,
    #[serde(borrow)]
    cohorts: Vec<&'a RawValue>,
    /// Of the lists that have come: cohort to hashes in hex.
    lists: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct Counts {
    seed: String,
    prefix: String,
    users: u64,
    percentages: BTreeMap<String, u64>,
    bucket_0: String,
    bucket_999999: String,
}

fn testdata() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "testdata"].iter().collect()
}

impl<'a> Items<'a> {
    fn compile(&self) -> Ruleset {
        let texts = |items: &[&'a RawValue]| items.iter().map(|item| item.get()).collect::<Vec<_>>();
        let (flags, cohorts) = (texts(&self.flags), texts(&self.cohorts));
        let ruleset = Ruleset::compile(Identity::default(), &flags, &cohorts, None);
        self.lists.iter().fold(ruleset, |ruleset, (cohort, hashes)| {
            let hashes = hashes.iter().map(|hash| u64::from_str_radix(hash, 16).unwrap()).collect();
            let list = CohortList::from_hashes(hashes);
            assert_eq!(list.digest(), self.digest_named_by(cohort), "the list's digest is XXH3_128 of its bytes");
            ruleset.with_list(cohort, &list.digest(), Arc::new(list))
        })
    }

    fn digest_named_by(&self, cohort: &str) -> String {
        #[derive(Deserialize)]
        struct Named {
            key: String,
            list: ListReference,
        }
        let items = self.cohorts.iter().filter_map(|item| serde_json::from_str::<Named>(item.get()).ok());
        items.into_iter().find(|item| item.key == cohort).unwrap().list.digest
    }
}

fn shown(answer: &Evaluation<'_>) -> Json {
    json!({
        "variant": answer.variant(),
        "value": answer.value().map(|value| value.to_json()),
        "reason": answer.reason().name(),
        "error": answer.error().map(|error| error.name()),
        "rule": answer.rule(),
        "bucket": answer.bucket(),
        "arm": answer.arm().name(),
    })
}

#[test]
fn every_vector_has_the_answer_of_the_independent_program() {
    let (mut checked, mut wrong) = (0, Vec::new());
    for entry in fs::read_dir(testdata()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") || path.ends_with("counts.json") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let vectors: Vec<Vector<'_>> = serde_json::from_str(&text).unwrap();
        for vector in vectors {
            let ruleset = vector.ruleset.compile();
            let answer = shown(&ruleset.evaluate(&vector.flag, &vector.context));
            if answer != vector.expect {
                wrong.push(format!("{} {:?}\n  is        {answer}\n  should be {}", path.display(), vector.name, vector.expect));
            }
            let among_all = ruleset.evaluate_all(&vector.context).find(|(key, _)| *key == vector.flag);
            assert!(among_all.is_none_or(|(_, one)| shown(&one) == answer), "{}: evaluate_all answers alike", vector.name);
            checked += 1;
        }
    }
    assert!(wrong.is_empty(), "{} of {checked} vectors differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(checked >= 300, "only {checked} vectors: are the files there?");
}

#[test]
fn ten_million_units_are_counted_as_the_independent_program_counts_them() {
    let counts: Counts = serde_json::from_str(&fs::read_to_string(testdata().join("counts.json")).unwrap()).unwrap();
    let texts: Vec<String> = counts
        .percentages
        .keys()
        .map(|percent| {
            let millionths = Percentage::from_percent(percent.parse().unwrap()).unwrap().millionths();
            json!({
                "key": percent, "killed": false, "off": "off", "variants": {"on": true, "off": false}, "enabled": true,
                "seed": counts.seed, "unit": "targetingKey", "rollout": {"millionths": millionths, "serve": "on"},
            })
            .to_string()
        })
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let ruleset = Ruleset::compile(Identity::default(), &texts, &[], None);
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for user in 0..counts.users {
        let context = Context::new(format!("{}{user}", counts.prefix));
        for percent in counts.percentages.keys() {
            if ruleset.evaluate(percent, &context).is_on() {
                *seen.entry(percent.clone()).or_default() += 1;
            }
        }
    }
    assert_eq!(seen, counts.percentages);
    let bucket = |unit: &str| ruleset.evaluate("50", &Context::new(unit)).bucket();
    assert_eq!((bucket(&counts.bucket_0), bucket(&counts.bucket_999999)), (Some(0), Some(999_999)));
}
