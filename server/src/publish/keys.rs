//! SDK keys, as hashes in memory: whoever connects is known without the database.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use sha2::{Digest, Sha256};

use crate::store::KeyRow;

/// No key is longer; what is, is not hashed.
const LONGEST: usize = 256;

/// All live keys.
#[derive(Default)]
pub(super) struct Keys {
    /// By the first eight bytes of the hash.
    by_prefix: HashMap<[u8; 8], Vec<Arc<Key>>>,
}

struct Key {
    id: Arc<str>,
    environment: i64,
    hash: [u8; 32],
    revoked: AtomicBool,
}

/// Whose key it is, and what it opens.
#[derive(Clone)]
pub struct KeyScope {
    /// The environment's row.
    pub environment: i64,
    /// The part of the key that may be shown.
    pub id: Arc<str>,
    key: Arc<Key>,
}

impl KeyScope {
    /// Whether the key was revoked since it was found.
    pub fn is_revoked(&self) -> bool {
        self.key.revoked.load(Ordering::Relaxed)
    }
}

impl Keys {
    /// The keys of these rows. Keys that are not among them any more are revoked: their environments.
    pub(super) fn renew(&self, rows: Vec<KeyRow>) -> (Self, Vec<i64>) {
        let mut keys = Self::default();
        for row in rows {
            let Some(hash) = read_hash(&row.hash) else {
                tracing::error!(key = row.id, "the key's hash cannot be read: it opens nothing");
                continue;
            };
            let known = self.find_hash(&hash).filter(|key| *key.id == *row.id && key.environment == row.environment);
            let key = known.unwrap_or_else(|| {
                Arc::new(Key { id: row.id.into(), environment: row.environment, hash, revoked: AtomicBool::new(false) })
            });
            keys.by_prefix.entry(prefix(&hash)).or_default().push(key);
        }
        let mut environments = Vec::new();
        for key in self.by_prefix.values().flatten() {
            if !keys.find_hash(&key.hash).is_some_and(|live| Arc::ptr_eq(&live, key)) {
                key.revoked.store(true, Ordering::Relaxed);
                environments.push(key.environment);
            }
        }
        (keys, environments)
    }

    /// Whose key this is.
    pub(super) fn find(&self, presented: &str) -> Option<KeyScope> {
        if presented.len() > LONGEST {
            return None;
        }
        let key = self.find_hash(&Sha256::digest(presented.as_bytes()).into())?;
        Some(KeyScope { environment: key.environment, id: Arc::clone(&key.id), key })
    }

    fn find_hash(&self, hash: &[u8; 32]) -> Option<Arc<Key>> {
        self.by_prefix.get(&prefix(hash))?.iter().find(|key| same(&key.hash, hash)).cloned()
    }
}

fn prefix(hash: &[u8; 32]) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = *hash;
    [a, b, c, d, e, f, g, h]
}

/// Takes as long whether they differ early, late or not at all.
fn same(left: &[u8; 32], right: &[u8; 32]) -> bool {
    std::hint::black_box(left.iter().zip(right).fold(0, |differs, (left, right)| differs | (left ^ right))) == 0
}

fn read_hash(hex: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    if !rest.is_empty() || pairs.len() != hash.len() {
        return None;
    }
    for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
        let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        *byte = (digit(*high)? << 4) | digit(*low)?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, environment: i64, key: &str) -> KeyRow {
        let hash = Sha256::digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        let (name, created_by) = (String::new(), String::new());
        KeyRow { id: id.into(), environment, name, hash, created_at: 0, created_by, revoked_at: None }
    }

    #[test]
    fn a_key_opens_its_environment_until_it_is_revoked() {
        let (keys, revoked) = Keys::default().renew(vec![row("a", 1, "secret-a"), row("b", 2, "secret-b")]);
        assert!(revoked.is_empty());
        let (a, b) = (keys.find("secret-a").unwrap(), keys.find("secret-b").unwrap());
        assert_eq!((a.environment, &*a.id, b.environment), (1, "a", 2));
        for wrong in ["", "secret-c", "secret-a ", &"x".repeat(1_000)] {
            assert!(keys.find(wrong).is_none(), "{wrong}");
        }

        let (keys, revoked) = keys.renew(vec![row("b", 2, "secret-b"), row("c", 1, "secret-c")]);
        assert_eq!(revoked, [1]);
        assert!(a.is_revoked() && !b.is_revoked());
        assert!(keys.find("secret-a").is_none() && keys.find("secret-c").is_some());
    }

    #[test]
    fn a_hash_that_cannot_be_read_opens_nothing() {
        let mut broken = row("a", 1, "secret-a");
        broken.hash.pop();
        let (keys, _) = Keys::default().renew(vec![broken, row("b", 2, "secret-b")]);
        assert!(keys.find("secret-a").is_none() && keys.find("secret-b").is_some());
        assert_eq!(read_hash(&"g0".repeat(32)), None);
        assert_eq!(read_hash(&"0F".repeat(32)), Some([15; 32]));
    }
}
