//! "Did you mean": the nearest known word to one that is unknown.

/// The known word nearest to `word`, if it is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    // Longer words are no typos of ours, and cost quadratic time.
    if word.chars().count() > 40 {
        return None;
    }
    let word = word.to_lowercase().replace([' ', '-'], "_");
    let mut best = None;
    for candidate in known {
        let distance = distance(&word, candidate);
        let allowed = 1.max(candidate.chars().count() / 3);
        if distance <= allowed && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, *candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// "; did you mean `rollback_time`?", else "; known are ...".
pub(crate) fn hint(word: &str, known: &[&str]) -> String {
    match nearest(word, known) {
        Some(candidate) => format!("; did you mean {candidate}?"),
        None => format!("; there are {}", known.join(", ")),
    }
}

/// Edits (insert, delete, replace, swap of neighbours) between two short words.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    let mut previous = None;
    for (row, letter) in from.chars().enumerate() {
        let mut line = vec![row + 1];
        for (column, other) in to.iter().enumerate() {
            let at = |cells: &[usize], index: usize| cells.get(index).copied().unwrap_or(usize::MAX / 2);
            let mut least = at(&last, column) + usize::from(letter != *other);
            least = least.min(at(&last, column + 1) + 1).min(at(&line, column) + 1);
            if column > 0 && previous == Some(*other) && to.get(column - 1) == Some(&letter) {
                least = least.min(at(&before, column - 1) + 1);
            }
            line.push(least);
        }
        before = std::mem::replace(&mut last, line);
        previous = Some(letter);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let known = ["steps", "story", "rollback_time", "error_rate"];
        assert_eq!(nearest("stpes", &known), Some("steps"));
        assert_eq!(nearest("rollback-time", &known), Some("rollback_time"));
        assert_eq!(nearest("eror_rate", &known), Some("error_rate"));
        assert_eq!(nearest("banana", &known), None);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("ab", "ba"), 1);
    }
}
