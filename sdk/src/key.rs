//! The form of an SDK key.

use std::{fmt, str::FromStr};

use xxhash_rust::xxh3::xxh3_64;

/// An SDK key: `sfs_<id>_<secret>_<check>`.
///
/// `id` (16 hex digits) may be shown; `secret` (64 hex digits) may not, and no `Debug` or error here shows it. `check`
/// (8 hex digits, the low half of XXH3_64 of everything before it) lets a typing mistake be told from a wrong key without
/// asking anybody.
///
/// ```
/// let key = storyflag::SdkKey::new([7; 8], [42; 32]);
/// assert_eq!(storyflag::SdkKey::parse(key.as_str()), Ok(key.clone()));
/// assert_eq!(key.id(), "0707070707070707");
/// assert_eq!(format!("{key:?}"), "SdkKey(sfs_0707070707070707_...)");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct SdkKey {
    text: Box<str>,
}

/// A text that is no SDK key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyError {
    /// It has another form.
    Form,
    /// It has the form, and its check digits say that it was not copied whole.
    Check,
}

impl fmt::Display for KeyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Form => "an SDK key has the form sfs_<16 hex digits>_<64 hex digits>_<8 hex digits>",
            Self::Check => "the SDK key's check digits are wrong: it was not copied whole, or mistyped",
        })
    }
}

impl std::error::Error for KeyError {}

const PREFIX: &str = "sfs";
const ID_DIGITS: usize = 16;
const SECRET_DIGITS: usize = 64;
const CHECK_DIGITS: usize = 8;

impl SdkKey {
    /// The key of this id and secret, both random.
    pub fn new(id: [u8; 8], secret: [u8; 32]) -> Self {
        let mut text = String::with_capacity(PREFIX.len() + ID_DIGITS + SECRET_DIGITS + CHECK_DIGITS + 3);
        text.push_str(PREFIX);
        text.push('_');
        push_hex(&mut text, &id);
        text.push('_');
        push_hex(&mut text, &secret);
        let check = check_of(&text);
        text.push('_');
        text.push_str(&check);
        Self { text: text.into() }
    }

    /// Reads a key.
    ///
    /// # Errors
    /// A text of another form, or whose check digits are wrong.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut parts = text.split('_');
        let (Some(PREFIX), Some(id), Some(secret), Some(check), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(KeyError::Form);
        };
        let hex = |part: &str, digits| part.len() == digits && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !(hex(id, ID_DIGITS) && hex(secret, SECRET_DIGITS) && hex(check, CHECK_DIGITS)) {
            return Err(KeyError::Form);
        }
        let checked = text.strip_suffix(check).and_then(|rest| rest.strip_suffix('_')).ok_or(KeyError::Form)?;
        if check_of(checked) == check { Ok(Self { text: text.into() }) } else { Err(KeyError::Check) }
    }

    /// The whole key. Secret.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What names the key: 16 hex digits. Not secret.
    pub fn id(&self) -> &str {
        self.part(1)
    }

    /// What proves that somebody holds it: 64 hex digits. Secret.
    pub fn secret(&self) -> &str {
        self.part(2)
    }

    fn part(&self, index: usize) -> &str {
        self.text.split('_').nth(index).unwrap_or_default()
    }
}

impl FromStr for SdkKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::parse(text)
    }
}

impl fmt::Debug for SdkKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SdkKey({PREFIX}_{}_...)", self.id())
    }
}

fn check_of(text: &str) -> String {
    format!("{:08x}", xxh3_64(text.as_bytes()) & u64::from(u32::MAX))
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SdkKey {
        SdkKey::new([0, 1, 2, 3, 0xfc, 0xfd, 0xfe, 0xff], std::array::from_fn(|index| u8::try_from(index * 7).unwrap()))
    }

    /// Computed by an independent program (Python, `xxhash` package): keys outlive the version that made them.
    #[test]
    fn the_form_never_changes() {
        assert_eq!(key().as_str(), "sfs_00010203fcfdfeff_00070e151c232a31383f464d545b626970777e858c939aa1a8afb6bdc4cbd2d9_ad0fb5ec");
    }

    #[test]
    fn every_single_typing_mistake_is_told() {
        let key = key();
        for place in 0..key.as_str().len() {
            let mut bytes = key.as_str().as_bytes().to_vec();
            bytes[place] = if bytes[place] == b'0' { b'1' } else { b'0' };
            let text = String::from_utf8(bytes).unwrap();
            assert!(SdkKey::parse(&text).is_err(), "{text}");
        }
    }

    #[test]
    fn other_forms_are_refused() {
        let key = key();
        let whole = key.as_str();
        for text in ["", "sfs", "sfs____", &whole[1..], &whole[..whole.len() - 1], &whole.to_uppercase(), &format!("{whole} ")] {
            assert_eq!(SdkKey::parse(text), Err(KeyError::Form), "{text}");
        }
        assert_eq!(SdkKey::parse(whole), Ok(key.clone()));
    }

    #[test]
    fn no_secret_is_shown() {
        let shown = format!("{:?} {} {}", key(), KeyError::Form, KeyError::Check);
        assert!(!shown.contains(&key().secret()[..8]), "{shown}");
    }
}
