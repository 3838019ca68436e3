//! Semantic versions 2.0, compared in place: nothing is allocated.

use std::cmp::Ordering;

/// A version; build metadata is checked and dropped, since it takes no part in precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Semver<'a> {
    core: (u64, u64, u64),
    pre: &'a str,
}

impl<'a> Semver<'a> {
    /// Strictly three numeric parts without leading zeros, then perhaps `-pre.release` and `+build`.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (major, rest) = number(text)?;
        let (minor, rest) = number(rest.strip_prefix('.')?)?;
        let (patch, rest) = number(rest.strip_prefix('.')?)?;
        let core = (major, minor, patch);
        if rest.is_empty() {
            return Some(Self { core, pre: "" });
        }
        let (rest, build) = rest.split_once('+').map_or((rest, None), |(rest, build)| (rest, Some(build)));
        if build.is_some_and(|build| !build.split('.').all(is_identifier)) {
            return None;
        }
        if rest.is_empty() {
            return Some(Self { core, pre: "" });
        }
        let pre = rest.strip_prefix('-')?;
        pre.split('.').all(is_pre_release).then_some(Self { core, pre })
    }

    /// Precedence as in semver 2.0, section 11.
    pub(crate) fn precedence(&self, other: &Self) -> Ordering {
        self.core.cmp(&other.core).then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => compare_pre(self.pre, other.pre),
        })
    }
}

/// The number at the start of a text, and what follows it.
#[inline]
fn number(text: &str) -> Option<(u64, &str)> {
    let mut number = 0_u64;
    let mut length = 0_usize;
    for byte in text.bytes().take_while(u8::is_ascii_digit) {
        if length > 0 && number == 0 {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
        length += 1;
    }
    (length > 0).then(|| text.get(length..)).flatten().map(|rest| (number, rest))
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_numeric(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_pre_release(text: &str) -> bool {
    is_identifier(text) && (!is_numeric(text) || text.len() == 1 || !text.starts_with('0'))
}

fn compare_pre(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.split('.'), right.split('.'));
    loop {
        let (left, right) = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(left), Some(right)) => (left, right),
        };
        let ordering = match (is_numeric(left), is_numeric(right)) {
            // Without leading zeros, the longer number is the larger one: no width is too large.
            (true, true) => left.len().cmp(&right.len()).then_with(|| left.cmp(right)),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => left.cmp(right),
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
}

/// A version of a ruleset, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnedSemver {
    core: (u64, u64, u64),
    pre: Box<str>,
}

impl OwnedSemver {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Semver::parse(text).map(|version| Self { core: version.core, pre: version.pre.into() })
    }

    #[inline]
    pub(crate) fn borrow(&self) -> Semver<'_> {
        Semver { core: self.core, pre: &self.pre }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_as_the_specification_does() {
        let ascending = [
            "0.0.1",
            "1.0.0-0",
            "1.0.0-9",
            "1.0.0-10",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.1",
            "1.2.0",
            "2.0.0",
            "18446744073709551615.0.0",
        ];
        for (low, left) in ascending.iter().enumerate() {
            for (high, right) in ascending.iter().enumerate() {
                let (left, right) = (Semver::parse(left).unwrap(), Semver::parse(right).unwrap());
                assert_eq!(left.precedence(&right), low.cmp(&high), "{left:?} {right:?}");
            }
        }
        let (left, right) = (Semver::parse("1.0.0+a").unwrap(), Semver::parse("1.0.0+b.c-d").unwrap());
        assert_eq!(left.precedence(&right), Ordering::Equal);
    }

    #[test]
    fn refuses_what_is_no_version() {
        for text in [
            "",
            "1",
            "1.2",
            "1.2.3.4",
            "v1.2.3",
            "01.2.3",
            "1.2.03",
            "1.2.3-",
            "1.2.3-01",
            "1.2.3-a..b",
            "1.2.3+",
            "1.2.3+a_b",
            " 1.2.3",
            "1.2.x",
            "18446744073709551616.0.0",
            "-1.0.0",
        ] {
            assert_eq!(Semver::parse(text), None, "{text}");
        }
    }
}
