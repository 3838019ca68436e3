//! Being in one flag tells nothing about another, for the kinds of units that applications have.
//!
//! For a pair of flags, the units that the first has in at 10 % are taken, and their buckets in the second are held
//! against a uniform distribution by Kolmogorov and Smirnov. Units and flags are fixed, so an answer is always the same:
//! this cannot flake. Significance is 1 % for the whole of a test (Bonferroni: 1 % / 200 for each of its pairs).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tests")]

use storyflag_evaluation::{BUCKETS, bucket, flag_seed, split_seed};

const PAIRS: usize = 200;
const UNITS: usize = 20_000;
const SIGNIFICANCE: f64 = 0.01;
const TENTH: u32 = BUCKETS / 10;

/// Seeds of two flags: neighbours, as keys of stories are, and every fourth time a flag and its own split.
fn pair(index: usize) -> (u64, u64) {
    let first = format!("US-{}-checkout", 100 + index);
    let second = format!("US-{}-checkout", 101 + index);
    let seed = if index % 4 == 3 { split_seed(&first) } else { flag_seed(&second) };
    (flag_seed(&first), seed)
}

/// Buckets in the second flag of those that the first has in, ascending.
fn buckets_of_those_in(units: &[String], first: u64, second: u64) -> Vec<u32> {
    let inside = units.iter().filter(|unit| bucket(unit.as_bytes(), first) < TENTH);
    let mut buckets: Vec<u32> = inside.map(|unit| bucket(unit.as_bytes(), second)).collect();
    buckets.sort_unstable();
    buckets
}

/// The probability that uniform buckets are at least as far from uniform as these: the asymptotic series, with Stephens'
/// correction for finite samples.
fn p_value(sorted: &[u32]) -> f64 {
    let count = sorted.len() as f64;
    let distance = sorted.iter().enumerate().fold(0.0_f64, |distance, (index, bucket)| {
        let (below, here) = (index as f64 / count, (index + 1) as f64 / count);
        let uniform = (f64::from(*bucket) + 0.5) / f64::from(BUCKETS);
        distance.max((uniform - below).abs()).max((here - uniform).abs())
    });
    let lambda = (count.sqrt() + 0.12 + 0.11 / count.sqrt()) * distance;
    let term = |k: i32| f64::from(if k % 2 == 0 { -2 } else { 2 }) * (-2.0 * f64::from(k * k) * lambda * lambda).exp();
    (1..=100).map(term).sum::<f64>().clamp(0.0, 1.0)
}

fn assert_independent(units: &[String]) {
    let p_values: Vec<f64> = (0..PAIRS)
        .map(|index| {
            let (first, second) = pair(index);
            let buckets = buckets_of_those_in(units, first, second);
            // Ten standard deviations of a binomial count around its mean.
            assert!((1_576..=2_424).contains(&buckets.len()), "10 % of {UNITS} are not {} in pair {index}", buckets.len());
            p_value(&buckets)
        })
        .collect();
    let least = p_values.iter().copied().fold(1.0, f64::min);
    assert!(least >= SIGNIFICANCE / PAIRS as f64, "a pair depends on one another: p = {least:e}");
    // Under independence the p-values are uniform themselves: many small ones would be a weak but common dependence.
    let mut as_buckets: Vec<u32> = p_values.iter().map(|p| (p * f64::from(BUCKETS - 1)) as u32).collect();
    as_buckets.sort_unstable();
    let joint = p_value(&as_buckets);
    assert!(joint >= SIGNIFICANCE, "the {PAIRS} pairs together: p = {joint:e}");
}

fn sequential() -> Vec<String> {
    (0..UNITS).map(|index| format!("user-{index}")).collect()
}

#[test]
fn short_units() {
    assert_independent(&(0..UNITS).map(|index| format!("{index:x}")).collect::<Vec<_>>());
}

#[test]
fn sequential_units() {
    assert_independent(&sequential());
}

#[test]
fn uuid_like_units() {
    // SplitMix64: fixed, and as random as version 4 wants it.
    let mut state = 0_u64;
    let mut next = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    let units = (0..UNITS).map(|_| {
        let (high, low) = (next(), next());
        let (time, middle, version) = (high >> 32, (high >> 16) & 0xffff, high & 0xfff);
        format!("{time:08x}-{middle:04x}-4{version:03x}-{:04x}-{:012x}", 0x8000 | (low >> 50), low & 0xffff_ffff_ffff)
    });
    assert_independent(&units.collect::<Vec<_>>());
}

#[test]
fn dependence_would_be_seen() {
    let (units, seed) = (sequential(), flag_seed("US-123-checkout"));
    assert!(p_value(&buckets_of_those_in(&units, seed, seed)) < 1e-9, "a flag depends on itself");
    // What a shift too far would give: only the first quarter of the buckets.
    let coarse: Vec<u32> = buckets_of_those_in(&units, seed, flag_seed("US-124-checkout")).iter().map(|bucket| bucket / 4).collect();
    assert!(p_value(&coarse) < 1e-9, "a quarter of the buckets is not all of them");
}
