//! What the template leaves for people to fill in.

use super::node::Place;

/// The template's own placeholders. Other words in brackets may be meant.
const WORDS: [&str; 14] = [
    "[X minutes]",
    "[Date]",
    "[Date+1]",
    "[story-name]",
    "[Canary/Blue-Green/Rolling/Feature Flag]",
    "[Low/Medium/High]",
    "[version]",
    "[table]",
    "[new_column]",
    "[field]",
    "[old_value]",
    "[condition]",
    "[resource]",
    "XXX",
];

/// Every placeholder in the text, in order, except in lines that `skip` names.
pub(super) fn find(text: &str, skip: impl Fn(usize) -> bool) -> Vec<(Place, &'static str)> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(index, _)| !skip(index + 1)) {
        for word in WORDS {
            for (offset, _) in line.match_indices(word) {
                let before = line.get(..offset).unwrap_or_default();
                let after = line.get(offset + word.len()..).unwrap_or_default();
                // XXX is one only as a part of a key: not within a longer word.
                let is_part = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
                if word == "XXX" && (is_part(before.chars().next_back()) || is_part(after.chars().next())) {
                    continue;
                }
                found.push((Place { line: index + 1, column: before.chars().count() + 1 }, word));
            }
        }
    }
    found.sort_by_key(|(place, _)| *place);
    found
}

/// Whether a value still holds one, or is nothing but words in brackets: `[two weeks?]`.
pub(super) fn is_unfilled(value: &str) -> bool {
    !find(value, |_| false).is_empty() || (value.starts_with('[') && value.ends_with(']') && !value.starts_with("[["))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_placeholder() {
        let found = find("# DP-XXX-[story-name]\nXXXL [ ] [x]\n| [Date+1] |", |_| false);
        let found: Vec<(usize, usize, &str)> = found.iter().map(|(place, word)| (place.line, place.column, *word)).collect();
        assert_eq!(found, [(1, 6, "XXX"), (1, 10, "[story-name]"), (3, 3, "[Date+1]")]);
        assert!(is_unfilled("[ask Anna]") && !is_unfilled("[[US-1-a]]"));
    }
}
