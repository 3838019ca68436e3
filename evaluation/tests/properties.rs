//! What holds for every ruleset and every context.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tests")]

mod generate;

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, prelude::*};
use serde_json::{Value as Json, json};
use storyflag_evaluation::{
    ApplyError, Arm, Change, Context, Evaluation, FlagItem, Identity, ItemKind, Reason, Ruleset, check_flag, item_hash,
};

use generate::{KEYS, any_json, cohort, context, flag, millionths, mutated};

fn texts(items: &[Json]) -> Vec<String> {
    items.iter().map(Json::to_string).collect()
}

fn compile(flags: &[String], cohorts: &[String]) -> Ruleset {
    let (flags, cohorts): (Vec<&str>, Vec<&str>) =
        (flags.iter().map(String::as_str).collect(), cohorts.iter().map(String::as_str).collect());
    Ruleset::compile(Identity::default(), &flags, &cohorts, None)
}

fn context_of(json: &Json) -> Context {
    serde_json::from_value(json.clone()).unwrap()
}

/// Everything that an answer tells, except its revision.
fn told(answer: &Evaluation<'_>) -> String {
    let value = answer.value().map(|value| value.to_json());
    format!("{value:?} {:?} {:?} {:?}", answer.variant(), answer.reason(), answer.error())
        + &format!(" {:?} {:?} {:?}", answer.rule(), answer.bucket(), answer.arm())
}

fn all_told(ruleset: &Ruleset, context: &Context) -> Vec<String> {
    KEYS.iter().map(|key| told(&ruleset.evaluate(key, context))).collect()
}

fn unsupported(ruleset: &Ruleset) -> BTreeSet<String> {
    ruleset.flags().filter(|flag| flag.unsupported().is_some()).map(|flag| flag.key().to_owned()).collect()
}

fn rolled_out(seed: &str, millionths: u32, serve: &Json) -> Ruleset {
    let item = json!({
        "key": "a", "killed": false, "off": "off", "variants": {"off": "", "blue": "b", "green": "g", "red": "r"}, "enabled": true,
        "seed": seed, "unit": "targetingKey", "rollout": {"millionths": millionths, "serve": serve},
    });
    compile(&[item.to_string()], &[])
}

/// What an answer must be like, whatever it answers.
fn is_sound(answer: &Evaluation<'_>) -> bool {
    let failed = answer.reason() == Reason::Error;
    failed == answer.error().is_some()
        && failed == answer.variant().is_none()
        && failed == answer.value().is_none()
        && failed == answer.slot().is_none()
        && answer.bucket().is_none_or(|bucket| bucket < 1_000_000 && answer.arm() != Arm::Cohort)
}

proptest! {
    #[test]
    fn raising_never_drops_a_unit_nor_moves_its_variant(
        seed in ".{0,20}", units in vec(".{1,40}", 1..50), low in millionths(), high in millionths(), weights in (0..=500_000_u32, 0..=500_000_u32),
    ) {
        let (low, high) = (low.min(high), low.max(high));
        let (blue, green) = weights;
        let serve = json!([
            {"variant": "blue", "millionths": blue}, {"variant": "green", "millionths": green},
            {"variant": "red", "millionths": 1_000_000 - blue - green},
        ]);
        let (before, after) = (rolled_out(&seed, low, &serve), rolled_out(&seed, high, &serve));
        for unit in units {
            let context = Context::new(unit.as_str());
            let (before, after) = (before.evaluate("a", &context), after.evaluate("a", &context));
            prop_assert!(before.arm() == Arm::Control || after.arm() == Arm::Treatment, "{unit:?} was dropped");
            prop_assert!(before.arm() == Arm::Control || before.variant() == after.variant(), "{unit:?} moved");
        }
    }

    #[test]
    fn nothing_panics_or_loops_and_every_answer_is_sound(
        flags in vec(prop_oneof![flag(), mutated(flag()), any_json()], 0..8),
        cohorts in vec(prop_oneof![cohort(), mutated(cohort()), any_json()], 0..4),
        garbage in ".{0,40}",
        contexts in vec(context(), 1..4),
    ) {
        let (mut flags, cohorts) = (texts(&flags), texts(&cohorts));
        flags.push(garbage);
        let ruleset = compile(&flags, &cohorts);
        for context in contexts {
            let context = context_of(&context);
            for key in KEYS {
                prop_assert!(is_sound(&ruleset.evaluate(key, &context)), "{key} {:?}", ruleset.evaluate(key, &context));
            }
            prop_assert_eq!(ruleset.evaluate_all(&context).count(), ruleset.len());
        }
    }

    #[test]
    fn an_unknown_operator_makes_that_flag_unsupported_and_nothing_else(
        flags in vec(flag(), 5), broken in 0..5_usize, context in context(),
    ) {
        // Each under a key of its own, none naming another.
        let mut flags: Vec<Json> = flags;
        for (index, flag) in flags.iter_mut().enumerate() {
            flag["key"] = KEYS[index].into();
            flag["prerequisites"] = json!([]);
        }
        let context = context_of(&context);
        let before = all_told(&compile(&texts(&flags), &[]), &context);
        flags[broken]["rules"] = json!([{"id": "later", "if": [{"attribute": "a", "sounds_like": "b"}], "serve": "on"}]);
        let killed = flags[broken]["killed"] == true;
        let after = compile(&texts(&flags), &[]);
        prop_assert_eq!(unsupported(&after), BTreeSet::from([KEYS[broken].to_owned()]));
        for (index, (before, after)) in before.iter().zip(all_told(&after, &context)).enumerate() {
            prop_assert!(index == broken || *before == after, "{} was touched: {before} {after}", KEYS[index]);
        }
        let expected = if killed { Reason::Disabled } else { Reason::Error };
        prop_assert_eq!(after.evaluate(KEYS[broken], &context).reason(), expected);
    }

    #[test]
    fn applying_changes_is_compiling_the_whole(
        steps in vec((
            vec(prop_oneof![4 => flag(), 1 => mutated(flag())], 0..4), vec(cohort(), 0..2),
            vec(generate::key(), 0..2), vec(prop::sample::select(vec!["staff", "beta"]), 0..2),
        ), 1..5),
        contexts in vec(context(), 1..4),
    ) {
        let (mut flags, mut cohorts) = (BTreeMap::new(), BTreeMap::new());
        let mut applied = Ruleset::empty();
        for (put_flags, put_cohorts, remove_flags, remove_cohorts) in steps {
            // An item that has lost its key cannot be named by a later change; a server sends none.
            let keyed = |items: Vec<Json>| items.into_iter().filter(|item| item["key"].is_string()).collect::<Vec<_>>();
            let (put_flags, put_cohorts) = (keyed(put_flags), keyed(put_cohorts));
            remove_cohorts.iter().for_each(|key| drop(cohorts.remove(*key)));
            remove_flags.iter().for_each(|key| drop(flags.remove(key)));
            put_cohorts.iter().for_each(|item| drop(cohorts.insert(item["key"].as_str().unwrap().to_owned(), item.to_string())));
            put_flags.iter().for_each(|item| drop(flags.insert(item["key"].as_str().unwrap().to_owned(), item.to_string())));
            let whole_flags: Vec<String> = flags.values().cloned().collect();
            let whole_cohorts: Vec<String> = cohorts.values().cloned().collect();
            let hashes = whole_flags.iter().map(|text| item_hash(ItemKind::Flag, text));
            let digest = hashes.chain(whole_cohorts.iter().map(|text| item_hash(ItemKind::Cohort, text))).fold(0, u64::wrapping_add);
            let from = applied.identity().revision;
            let (flag_texts, cohort_texts) = (texts(&put_flags), texts(&put_cohorts));
            let change = Change {
                from,
                identity: Identity { incarnation: 0, revision: from + 1, digest },
                put_flags: &flag_texts.iter().map(String::as_str).collect::<Vec<_>>(),
                put_cohorts: &cohort_texts.iter().map(String::as_str).collect::<Vec<_>>(),
                remove_flags: &remove_flags.iter().map(String::as_str).collect::<Vec<_>>(),
                remove_cohorts: &remove_cohorts,
            };
            let elsewhere = Change { from: from + 1, ..change };
            let lying = Change { identity: Identity { digest: digest ^ 1, ..change.identity }, ..change };
            prop_assert_eq!(applied.apply(&elsewhere).err(), Some(ApplyError::WrongBase));
            prop_assert_eq!(applied.apply(&lying).err(), Some(ApplyError::WrongDigest));
            applied = applied.apply(&change).unwrap();
            let whole = compile(&whole_flags, &whole_cohorts);
            prop_assert_eq!((applied.digest(), applied.len()), (whole.digest(), whole.len()));
            prop_assert_eq!(unsupported(&applied), unsupported(&whole));
            let missing = |ruleset: &Ruleset| ruleset.missing_lists().map(|(cohort, _)| cohort.to_owned()).collect::<BTreeSet<_>>();
            prop_assert_eq!(missing(&applied), missing(&whole));
            for context in &contexts {
                prop_assert_eq!(all_told(&applied, &context_of(context)), all_told(&whole, &context_of(context)));
            }
        }
    }

    #[test]
    fn the_digest_and_the_answers_do_not_depend_on_order(
        flags in vec(flag(), 0..6), cohorts in vec(cohort(), 0..3), context in context(),
    ) {
        // Of two items with one key the last counts, so each key stands once.
        let once = |items: &[Json]| items.iter().map(|item| (item["key"].to_string(), item.to_string())).collect::<BTreeMap<_, _>>();
        let (flags, cohorts): (Vec<String>, Vec<String>) = (once(&flags).into_values().collect(), once(&cohorts).into_values().collect());
        let reversed = |texts: &[String]| texts.iter().rev().cloned().collect::<Vec<_>>();
        let (one, other) = (compile(&flags, &cohorts), compile(&reversed(&flags), &reversed(&cohorts)));
        prop_assert_eq!(one.digest(), other.digest());
        prop_assert_eq!(all_told(&one, &context_of(&context)), all_told(&other, &context_of(&context)));
    }

    #[test]
    fn a_check_finds_exactly_what_a_compile_refuses(item in prop_oneof![1 => flag(), 4 => mutated(flag())]) {
        // Fields that tell nothing about serving are refused by people, not by readers.
        let harmless = |pointer: &str| {
            (pointer.starts_with("/rules/") && pointer.ends_with("/id")) || (pointer.starts_with("/prerequisites/") && (pointer.ends_with("/flag") || pointer.ends_with("/variants")))
        };
        let text = item.to_string();
        let ruleset = compile(std::slice::from_ref(&text), &[]);
        let refused = ruleset.flags().next().is_none_or(|flag| flag.unsupported().is_some());
        match serde_json::from_str::<FlagItem>(&text) {
            Err(_) => prop_assert!(refused, "{text}"),
            Ok(item) => {
                let faults = check_flag(&item);
                prop_assert_eq!(faults.iter().any(|fault| !harmless(&fault.pointer)), refused, "{} {:?}", text, faults);
                for fault in faults {
                    let parent = fault.pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
                    prop_assert!(serde_json::to_value(&item).unwrap().pointer(parent).is_some(), "{} points nowhere", fault.pointer);
                }
            }
        }
    }
}
