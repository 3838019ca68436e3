//! The list of a cohort: sorted hashes of its units, so that no raw id leaves the service.

use std::fmt;

use xxhash_rust::xxh3::xxh3_128;

/// Ascending 64-bit hashes, `XXH3_64(unit, cohort seed)`.
#[derive(Clone, PartialEq, Eq)]
pub struct CohortList {
    hashes: Box<[u64]>,
    /// Where each part of the hashes begins, so that a search looks at a few of them only; one more at the end.
    starts: Box<[u32]>,
}

/// Bytes that are no list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListError {
    /// Not a whole number of 8-byte hashes.
    Torn,
    /// Not strictly ascending.
    Unsorted,
}

impl fmt::Display for ListError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Torn => "a list is a whole number of 8-byte hashes",
            Self::Unsorted => "a list is strictly ascending",
        })
    }
}

impl std::error::Error for ListError {}

impl CohortList {
    /// From hashes in any order; equal ones become one.
    pub fn from_hashes(mut hashes: Vec<u64>) -> Self {
        hashes.sort_unstable();
        hashes.dedup();
        Self::of_sorted(hashes.into_boxed_slice())
    }

    /// From the wire: ascending u64, little-endian, no header.
    ///
    /// # Errors
    /// A torn or unsorted list.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ListError> {
        let (chunks, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(ListError::Torn);
        }
        let hashes: Box<[u64]> = chunks.iter().map(|chunk| u64::from_le_bytes(*chunk)).collect();
        if !hashes.is_sorted_by(|left, right| left < right) {
            return Err(ListError::Unsorted);
        }
        Ok(Self::of_sorted(hashes))
    }

    fn of_sorted(hashes: Box<[u64]>) -> Self {
        let parts = hashes.len().div_ceil(PART);
        let mut starts = Vec::with_capacity(parts.saturating_add(1));
        for (index, hash) in hashes.iter().enumerate() {
            let start = u32::try_from(index).unwrap_or(u32::MAX);
            starts.resize(starts.len().max(part_of(*hash, parts).saturating_add(1)), start);
        }
        starts.resize(parts.saturating_add(1), u32::try_from(hashes.len()).unwrap_or(u32::MAX));
        Self { hashes, starts: starts.into_boxed_slice() }
    }

    /// As the wire carries it.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.hashes.iter().flat_map(|hash| hash.to_le_bytes()).collect()
    }

    /// XXH3_128 of the wire's bytes, 32 hex digits: the list's name.
    pub fn digest(&self) -> String {
        format!("{:032x}", xxh3_128(&self.to_bytes()))
    }

    /// The hashes, ascending.
    pub fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// How many units.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Whether a hash is in it. Hashes are uniform, so the one part where it could be is short, and almost always within
    /// a window of fixed size: that is compared whole, without a branch to mispredict.
    #[inline]
    pub fn contains(&self, hash: u64) -> bool {
        let part = part_of(hash, self.starts.len().saturating_sub(1));
        let (Some(&start), Some(&end)) = (self.starts.get(part), self.starts.get(part.saturating_add(1))) else { return false };
        let (start, end) = (start as usize, end as usize);
        if end.saturating_sub(start) <= WINDOW
            && let Some(last) = self.hashes.len().checked_sub(WINDOW)
            && let Some(window) = self.hashes.get(start.min(last)..).and_then(<[u64]>::first_chunk::<WINDOW>)
        {
            return window.iter().fold(false, |found, one| found | (*one == hash));
        }
        self.hashes.get(start..end).is_some_and(|part| part.binary_search(&hash).is_ok())
    }
}

/// How many hashes are compared at once.
const WINDOW: usize = 8;
/// How many hashes a part has on average.
const PART: usize = 4;

/// The part, of so many, in which a hash stands: as a unit stands in a bucket.
#[inline]
fn part_of(hash: u64, parts: usize) -> usize {
    // Below `parts`, which is a usize.
    #[allow(clippy::cast_possible_truncation)]
    let part = ((u128::from(hash) * parts as u128) >> 64) as usize;
    part
}

impl fmt::Debug for CohortList {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "CohortList({} units)", self.hashes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bucket::unit_hash;

    #[test]
    fn finds_exactly_its_members() {
        for size in [0_u64, 1, 2, 7, 8, 9, 100, 5_000] {
            let hashes: Vec<u64> = (0..size).map(|n| unit_hash(&n.to_le_bytes(), 7)).collect();
            let list = CohortList::from_hashes(hashes.clone());
            assert!(hashes.iter().all(|hash| list.contains(*hash)), "{size}");
            assert!(hashes.iter().all(|hash| !list.contains(hash ^ 1)), "{size}");
            assert!(!list.contains(0) && !list.contains(u64::MAX));
        }
    }

    #[test]
    fn finds_members_that_are_not_uniform_either() {
        let list = CohortList::from_hashes((0..1_000).chain([u64::MAX, u64::MAX - 5]).collect());
        assert!(list.contains(0) && list.contains(999) && list.contains(u64::MAX) && list.contains(u64::MAX - 5));
        assert!(!list.contains(1_000) && !list.contains(u64::MAX - 1) && !list.contains(1 << 63));
    }

    #[test]
    fn bytes_read_back_and_torn_ones_do_not() {
        let list = CohortList::from_hashes(vec![3, 1, 2, 3]);
        assert_eq!(CohortList::from_bytes(&list.to_bytes()), Ok(list.clone()));
        assert_eq!(list.len(), 3);
        assert_eq!(CohortList::from_bytes(&[0; 7]), Err(ListError::Torn));
        assert_eq!(CohortList::from_bytes(&[0; 16]), Err(ListError::Unsorted));
    }
}
