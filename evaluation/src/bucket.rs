//! Where a unit stands in a flag: the whole of it.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The number of buckets: a bucket is 0 to 999,999.
pub const BUCKETS: u32 = 1_000_000;

/// The hash seed of a flag: XXH3_64 of its seed text.
pub fn flag_seed(seed: &str) -> u64 {
    xxh3_64(seed.as_bytes())
}

/// The hash seed of a flag's splits: XXH3_64 of its seed text followed by `/split`, so that raising a percentage never
/// reshuffles variants.
pub fn split_seed(seed: &str) -> u64 {
    let mut text = String::with_capacity(seed.len().saturating_add(6));
    text.push_str(seed);
    text.push_str("/split");
    xxh3_64(text.as_bytes())
}

/// XXH3_64 of a unit's UTF-8 bytes as given: no trimming, folding or normalisation.
#[inline]
pub fn unit_hash(unit: &[u8], seed: u64) -> u64 {
    xxh3_64_with_seed(unit, seed)
}

/// The bucket of a unit, 0 to 999,999: `(XXH3_64(unit, seed) * 1_000_000) >> 64` in 128-bit arithmetic.
#[inline]
pub fn bucket(unit: &[u8], seed: u64) -> u32 {
    bucket_of(unit_hash(unit, seed))
}

/// The bucket that belongs to a unit's hash.
#[inline]
pub(crate) fn bucket_of(hash: u64) -> u32 {
    let product = u128::from(hash) * u128::from(BUCKETS);
    // The product is below BUCKETS << 64, so its upper half is below BUCKETS and fits.
    #[allow(clippy::cast_possible_truncation)]
    let bucket = (product >> 64) as u32;
    bucket
}
