//! Check boxes: what must be ticked before a start, and before a release counts as complete.

use serde::{Serialize, Serializer, ser::SerializeMap};

/// A group of check boxes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checklist {
    /// What they are about: `code readiness`.
    pub group: String,
    /// What they gate.
    pub gate: Gate,
    /// The boxes.
    pub items: Vec<Item>,
}

/// What a check box gates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// The start of a release.
    Start,
    /// Its completion; open ones are named in the report and hold nothing.
    Complete,
}

/// A check box. Written as its text alone unless it is ticked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Made of its text, and of its group's where two texts are alike: stable while the text is.
    pub id: String,
    /// What is to be done.
    pub text: String,
    /// Whether the document shows it ticked.
    pub done: bool,
}

impl Serialize for Item {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !self.done {
            return serializer.serialize_str(&self.text);
        }
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("text", &self.text)?;
        map.serialize_entry("done", &true)?;
        map.end()
    }
}

/// Gives every item its id.
pub(crate) fn identify(checklists: &mut [Checklist]) {
    let all: Vec<String> = checklists.iter().flat_map(|list| &list.items).map(|item| slug(&item.text)).collect();
    for list in checklists {
        for item in &mut list.items {
            let own = slug(&item.text);
            let is_shared = all.iter().filter(|other| **other == own).count() > 1;
            item.id = if is_shared { format!("{}.{own}", slug(&list.group)) } else { own };
        }
    }
}

/// Lower-case words joined by hyphens: what can stand in a path.
pub(crate) fn slug(text: &str) -> String {
    let words = text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(group: &str, texts: &[&str]) -> Checklist {
        let items = texts.iter().map(|text| Item { id: String::new(), text: (*text).to_owned(), done: false }).collect();
        Checklist { group: group.to_owned(), gate: Gate::Start, items }
    }

    #[test]
    fn ids_come_from_the_text_and_from_the_group_only_where_they_must() {
        let mut lists = [list("code", &["All tests passing in CI/CD", "Docs"]), list("after", &["Docs"])];
        identify(&mut lists);
        let ids: Vec<&str> = lists.iter().flat_map(|list| &list.items).map(|item| item.id.as_str()).collect();
        assert_eq!(ids, ["all-tests-passing-in-ci-cd", "code.docs", "after.docs"]);
    }
}
