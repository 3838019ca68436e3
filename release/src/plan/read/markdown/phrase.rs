//! The sentences of a gradual rollout: "Increase to 1% of users", "Monitor overnight".

use crate::plan::{Span, checklist::slug};

/// What a line of the rollout says. Offsets are bytes into the line.
#[derive(Debug, PartialEq)]
pub(super) enum Phrase {
    /// A step: its percentage and cohorts.
    Step { percentage: String, offset: usize, cohorts: Vec<String> },
    /// How long the step before it is watched.
    Bake { text: String, offset: usize },
    /// The next step needs a human's word.
    Approval,
    /// Meant as a step or bake, but not to be understood.
    Unclear(String),
    /// Something else.
    Other,
}

pub(super) fn read(line: &str) -> Phrase {
    let lower = line.to_lowercase();
    let words: Vec<&str> = lower.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let first = words.first().copied().unwrap_or_default();
    if words.contains(&"approval") && !line.contains('%') {
        return Phrase::Approval;
    }
    if matches!(first, "monitor" | "watch" | "bake" | "wait" | "observe") {
        return bake(line);
    }
    if line.contains(['<', '>']) {
        return Phrase::Other;
    }
    match percentages(line).as_slice() {
        [] if lower.contains("full rollout") => Phrase::Step { percentage: "100".to_owned(), offset: 0, cohorts: Vec::new() },
        [] if lower.starts_with("enable for ") && !cohorts(line).is_empty() => {
            Phrase::Step { percentage: "0".to_owned(), offset: 0, cohorts: cohorts(line) }
        }
        [] if line.contains('%') => {
            Phrase::Unclear("a percentage was expected before %; write for example Increase to 1% of users".to_owned())
        }
        [] => Phrase::Other,
        [(offset, percentage)] => Phrase::Step { percentage: percentage.clone(), offset: *offset, cohorts: cohorts(line) },
        _ => Phrase::Unclear("one step has one percentage; write for example Increase to 1% of users".to_owned()),
    }
}

/// The percentage that a schedule's line names, if it names exactly one.
pub(super) fn single_percentage(line: &str) -> Option<String> {
    match read(line) {
        Phrase::Step { percentage, .. } => Some(percentage),
        _ => None,
    }
}

fn bake(line: &str) -> Phrase {
    let start = line.find(char::is_whitespace).unwrap_or(line.len());
    let rest = line.get(start..).unwrap_or_default();
    let trimmed = rest.trim_start();
    let after = trimmed.strip_prefix("for ").unwrap_or(trimmed).trim();
    let offset = line.len() - rest.len() + rest.find(after).unwrap_or(0);
    let text = after.trim_end_matches('.');
    if text.eq_ignore_ascii_case("overnight") {
        return Phrase::Bake { text: "overnight".to_owned(), offset };
    }
    match text.parse::<Span>() {
        Ok(_) => Phrase::Bake { text: text.to_owned(), offset },
        Err(_) => Phrase::Unclear(format!("{text:?} is no bake; write for example Monitor for 1 hour, or Monitor overnight")),
    }
}

/// Every number before a `%`, and where it begins.
fn percentages(line: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (end, _) in line.match_indices('%') {
        let before = line.get(..end).unwrap_or_default().trim_end();
        let is_number = |letter: char| letter.is_ascii_digit() || letter == '.';
        let start = before
            .rfind(|letter| !is_number(letter))
            .map_or(0, |index| index + before.get(index..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8));
        let number = before.get(start..).unwrap_or_default();
        if number.parse::<f64>().is_ok() {
            found.push((start, number.to_owned()));
        }
    }
    found
}

/// Who is named in "Enable for internal users and beta testers (0.1%)".
fn cohorts(line: &str) -> Vec<String> {
    let prefix = "enable for ";
    if !line.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix)) {
        return Vec::new();
    }
    let named = line.get(prefix.len()..).unwrap_or_default();
    let named = named.split_once('(').map_or(named, |(named, _)| named);
    let names = named.split(" and ").flat_map(|part| part.split(','));
    names
        .filter(|name| !name.contains('%'))
        .map(slug)
        .filter(|name| !name.is_empty() && name != "all-users" && name != "everyone")
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(percentage: &str, offset: usize, cohorts: &[&str]) -> Phrase {
        let cohorts = cohorts.iter().map(|name| (*name).to_owned()).collect();
        Phrase::Step { percentage: percentage.to_owned(), offset, cohorts }
    }

    #[test]
    fn reads_the_sentences_of_the_template() {
        assert_eq!(read("Enable for internal users (0.1%)"), step("0.1", 27, &["internal-users"]));
        assert_eq!(read("Increase to 1% of users"), step("1", 12, &[]));
        assert_eq!(read("Full rollout (100%)"), step("100", 14, &[]));
        assert_eq!(read("100% rollout"), step("100", 0, &[]));
        assert_eq!(read("Deploy to 1%"), step("1", 10, &[]));
        assert_eq!(read("Enable for internal users and beta testers (2 %)"), step("2", 44, &["internal-users", "beta-testers"]));
        assert_eq!(read("Enable for internal users"), step("0", 0, &["internal-users"]));
        assert_eq!(read("Monitor for 1 hour"), Phrase::Bake { text: "1 hour".to_owned(), offset: 12 });
        assert_eq!(read("Monitor overnight"), Phrase::Bake { text: "overnight".to_owned(), offset: 8 });
        assert_eq!(read("Wait for approval"), Phrase::Approval);
        assert_eq!(read("Deploy to staging"), Phrase::Other);
        assert!(matches!(read("Monitor closely"), Phrase::Unclear(_)));
        assert!(matches!(read("Increase from 1% to 10%"), Phrase::Unclear(_)));
        assert!(matches!(read("Increase to ten%"), Phrase::Unclear(_)));
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_read(line in ".{0,40}", number in "(é|[0-9.]){0,4}%") {
            let _ = read(&line);
            let _ = read(&format!("Enable for {line}{number}"));
        }
    }
}
