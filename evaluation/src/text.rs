//! Equality of short texts, such as keys, attribute names and country codes.

/// Whether two texts are equal. Short ones are compared in words, here: a call of `memcmp` costs more than that.
#[inline]
pub(crate) fn same(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    left.len() == right.len()
        && match left.len() {
            0 => true,
            1 => left.first() == right.first(),
            2..=3 => ends::<2>(left) == ends::<2>(right),
            4..=7 => ends::<4>(left) == ends::<4>(right),
            8..=16 => ends::<8>(left) == ends::<8>(right),
            _ => left == right,
        }
}

/// The first and the last bytes; of up to twice as many, these are all.
#[inline]
fn ends<const N: usize>(bytes: &[u8]) -> Option<(&[u8; N], &[u8; N])> {
    Some((bytes.first_chunk()?, bytes.last_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_anywhere_is_seen_at_every_length() {
        for length in 0..40 {
            let text = "abcdefghijklmnopqrstuvwxyzabcdefghijklmn".get(..length).unwrap();
            assert!(same(text, &String::from(text)), "{length}");
            assert!(!same(text, &format!("{text}x")) && !same(&format!("{text}x"), text), "{length}");
            for place in 0..length {
                let mut other = text.to_owned();
                other.replace_range(place..=place, "_");
                assert!(!same(text, &other) && !same(&other, text), "{length} at {place}");
            }
        }
    }
}
