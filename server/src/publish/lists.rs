//! The lists that cohorts name, in memory: as bytes for SDKs, and compiled for evaluating here.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use storyflag_evaluation::CohortList;

use super::environment::lock;

/// How many lists of a cohort are kept: the present one, and the one before for who is a moment behind.
const KEPT: usize = 2;

#[derive(Default)]
pub(super) struct Lists {
    by_cohort: Mutex<HashMap<Box<str>, VecDeque<Named>>>,
}

struct Named {
    digest: Box<str>,
    bytes: Bytes,
}

impl Lists {
    pub(super) fn find(&self, cohort: &str, digest: &str) -> Option<Bytes> {
        let lists = lock(&self.by_cohort);
        Some(lists.get(cohort)?.iter().find(|named| *named.digest == *digest)?.bytes.clone())
    }

    /// Keeps a list if it is what its digest says.
    pub(super) fn put(&self, cohort: &str, digest: &str, bytes: Bytes) -> Option<Arc<CohortList>> {
        let list = CohortList::from_bytes(&bytes).ok().filter(|list| list.digest() == digest)?;
        let mut lists = lock(&self.by_cohort);
        let named = lists.entry(cohort.into()).or_default();
        named.retain(|named| *named.digest != *digest);
        named.push_back(Named { digest: digest.into(), bytes });
        if named.len() > KEPT {
            named.pop_front();
        }
        Some(Arc::new(list))
    }

    pub(super) fn forget(&self, cohort: &str) {
        lock(&self.by_cohort).remove(cohort);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(units: std::ops::Range<u64>) -> (String, Bytes) {
        let list = CohortList::from_hashes(units.collect());
        (list.digest(), list.to_bytes().into())
    }

    #[test]
    fn keeps_the_present_list_and_the_one_before() {
        let lists = Lists::default();
        let [first, second, third] = [list(0..10), list(0..20), list(0..30)];
        for (digest, bytes) in [&first, &second, &third, &third] {
            assert!(lists.put("staff", digest, bytes.clone()).is_some());
        }
        assert_eq!(lists.find("staff", &first.0), None);
        assert_eq!(lists.find("staff", &second.0).as_ref(), Some(&second.1));
        assert_eq!(lists.find("staff", &third.0).as_ref(), Some(&third.1));
        assert_eq!(lists.find("guests", &third.0), None);
        lists.forget("staff");
        assert_eq!(lists.find("staff", &third.0), None);
    }

    #[test]
    fn refuses_what_is_not_what_it_says() {
        let lists = Lists::default();
        let (digest, bytes) = list(0..10);
        assert!(lists.put("staff", &digest, bytes.slice(..8)).is_none());
        assert!(lists.put("staff", &digest, bytes.slice(..9)).is_none());
        assert_eq!(lists.find("staff", &digest), None);
    }
}
