//! Which ruleset this is.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use xxhash_rust::xxh3::Xxh3Default;

/// The identity of a ruleset: `incarnation-revision-digest`, such as `1764000000000-813-9f2c41d0a6e7b358`.
///
/// Two rulesets are ordered by [`Identity::pair`]; the digest tells whether equal pairs really hold the same items.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The millisecond at which the environment's history was last declared to start anew.
    pub incarnation: u64,
    /// Counts what the environment has served; gapless within an incarnation.
    pub revision: u64,
    /// The wrapping sum of [`item_hash`] over all flags and cohorts.
    pub digest: u64,
}

impl Identity {
    /// What orders rulesets: nobody goes to a lower pair by accident.
    pub const fn pair(&self) -> (u64, u64) {
        (self.incarnation, self.revision)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}-{:016x}", self.incarnation, self.revision, self.digest)
    }
}

/// A text that is no identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdentityError;

impl fmt::Display for IdentityError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an identity is incarnation-revision-digest, such as 1764000000000-813-9f2c41d0a6e7b358")
    }
}

impl std::error::Error for IdentityError {}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let mut parts = text.split('-');
        let (Some(incarnation), Some(revision), Some(digest), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(IdentityError);
        };
        let decimal = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        let hex = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !hex(digest) {
            return Err(IdentityError);
        }
        Ok(Self {
            incarnation: decimal(incarnation).ok_or(IdentityError)?,
            revision: decimal(revision).ok_or(IdentityError)?,
            digest: u64::from_str_radix(digest, 16).map_err(|_| IdentityError)?,
        })
    }
}

impl Serialize for Identity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Identity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// What an environment serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ItemKind {
    /// A flag with its targeting.
    Flag,
    /// A cohort.
    Cohort,
}

impl ItemKind {
    /// As history and digest name it: `flag` or `cohort`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Cohort => "cohort",
        }
    }
}

/// One item's part in the digest: XXH3_64 of its kind, `/` and its wire text, byte for byte.
pub fn item_hash(kind: ItemKind, text: &str) -> u64 {
    let mut hasher = Xxh3Default::new();
    hasher.update(kind.name().as_bytes());
    hasher.update(b"/");
    hasher.update(text.as_bytes());
    hasher.digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_shows_and_nothing_else() {
        let identity = Identity { incarnation: 1_764_000_000_000, revision: 813, digest: 0x9f2c };
        assert_eq!(identity.to_string(), "1764000000000-813-0000000000009f2c");
        assert_eq!(identity.to_string().parse(), Ok(identity));
        for text in [
            "",
            "1-2",
            "1-2-3",
            "1-2-0000000000009f2c-4",
            "+1-2-0000000000009f2c",
            "1--0000000000009f2c",
            "99999999999999999999-2-0000000000009f2c",
        ] {
            assert_eq!(text.parse::<Identity>(), Err(IdentityError), "{text}");
        }
    }

    #[test]
    fn the_digest_tells_kinds_apart() {
        assert_ne!(item_hash(ItemKind::Flag, "{}"), item_hash(ItemKind::Cohort, "{}"));
        assert_eq!(item_hash(ItemKind::Flag, "{}"), xxhash_rust::xxh3::xxh3_64(b"flag/{}"));
    }
}
