//! Counts are exact, whoever counts and whenever they are read.

use std::{sync::Barrier, thread};

use storyflag_evaluation::{Context, Identity};

use super::*;
use crate::environment;

fn ruleset(keys: &[&str], previous: Option<&Ruleset>) -> Ruleset {
    let texts: Vec<String> = keys.iter().map(|key| environment::flag(key, 100.0)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    Ruleset::compile(Identity::default(), &texts, &[], previous)
}

fn slot(ruleset: &Ruleset, key: &str) -> u32 {
    ruleset.evaluate(key, &Context::new("a")).slot().unwrap()
}

fn total(report: &Report, flag: &str) -> u64 {
    report.served.get(flag).map_or(0, |variants| variants.values().sum())
}

#[test]
fn every_thread_counts_and_none_is_lost_when_it_ends() {
    let usage = Usage::new();
    let ruleset = ruleset(&["a", "b"], None);
    usage.learn(&ruleset);
    let (a, b) = (slot(&ruleset, "a"), slot(&ruleset, "b"));
    let (barrier, mut told) = (Barrier::new(5), [0, 0]);
    let tell = |told: &mut [u64; 2]| {
        let report = usage.report();
        *told = [told[0] + total(&report, "a"), told[1] + total(&report, "b")];
        usage.sent(report);
    };
    thread::scope(|scope| {
        let count = || {
            barrier.wait();
            (0..10_000).for_each(|_| usage.count(a));
            usage.count(b);
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
        barrier.wait();
        while !threads.iter().all(thread::ScopedJoinHandle::is_finished) {
            tell(&mut told);
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    tell(&mut told);
    assert_eq!(told, [40_000, 4]);
    assert!(usage.report().served.is_empty());
    assert!(usage.lock().blocks.is_empty(), "the blocks of threads that ended are given up");
}

#[test]
fn what_was_not_sent_is_told_with_what_comes_next() {
    let usage = Usage::new();
    let ruleset = ruleset(&["a"], None);
    usage.learn(&ruleset);
    usage.count(slot(&ruleset, "a"));
    drop(usage.report());
    usage.count(slot(&ruleset, "a"));
    assert_eq!(total(&usage.report(), "a"), 2);
}

#[test]
fn counters_grow_with_the_ruleset_and_old_names_stay() {
    let usage = Usage::new();
    let first = ruleset(&["a"], None);
    usage.learn(&first);
    usage.count(slot(&first, "a"));
    let keys: Vec<String> = (0..500).map(|number| format!("flag-{number}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let second = ruleset(&keys, Some(&first));
    usage.learn(&second);
    for key in &keys {
        usage.count(slot(&second, key));
    }
    let report = usage.report();
    assert_eq!(report.served.len(), 501);
    assert!(keys.iter().chain(&["a"]).all(|key| total(&report, key) == 1), "the flag that is gone still reports");
    let blocks = usage.lock().blocks.len();
    assert_eq!(blocks, 1, "the thread's smaller block is given up");
}

#[test]
fn two_clients_in_one_thread_do_not_mix() {
    let (one, other) = (Usage::new(), Usage::new());
    let ruleset = ruleset(&["a"], None);
    one.learn(&ruleset);
    other.learn(&ruleset);
    for _ in 0..10 {
        one.count(slot(&ruleset, "a"));
        other.count(slot(&ruleset, "a"));
        other.count(slot(&ruleset, "a"));
    }
    assert_eq!((total(&one.report(), "a"), total(&other.report(), "a")), (10, 20));
    assert_eq!((one.lock().blocks.len(), other.lock().blocks.len()), (1, 1));
}

#[test]
fn blocks_of_clients_that_are_gone_are_given_up() {
    for _ in 0..100 {
        Usage::new().count(0);
    }
    let mine = MINE.with_borrow(Vec::len);
    assert!(mine <= 2, "{mine}");
}

#[test]
fn errors_are_counted_by_kind() {
    let usage = Usage::new();
    usage.count_error(EvaluationError::NotReady);
    usage.count_error(EvaluationError::FlagNotFound);
    usage.count_error(EvaluationError::NotReady);
    assert_eq!(usage.errors(), [(EvaluationError::FlagNotFound, 1), (EvaluationError::NotReady, 2)]);
}
