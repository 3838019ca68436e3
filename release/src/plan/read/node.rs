//! A document as a tree in which everything knows where it stands.

/// Deeper documents are refused: no plan is deeper than five.
pub(super) const DEPTH: usize = 32;

/// A place in a text, both counted from 1; columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Place {
    pub(crate) const START: Self = Self { line: 1, column: 1 };

    /// The place after so many letters of a text that begins here.
    pub(crate) fn after(self, text: &str, letters: usize) -> Self {
        text.chars().take(letters).fold(self, |at, letter| match letter {
            '\n' => Self { line: at.line + 1, column: 1 },
            _ => Self { line: at.line, column: at.column + 1 },
        })
    }
}

/// A value and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) at: Place,
    pub(crate) value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    /// Without quotation marks: what may be a number or a boolean.
    pub(crate) is_plain: bool,
    /// Where the text itself begins, behind a quotation mark; none where the document does not show it letter by letter.
    pub(crate) text_at: Option<Place>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) at: Place,
    pub(crate) value: Node,
}

impl Node {
    /// A text that stands at `at` without quotation marks.
    pub(crate) fn text(text: impl Into<String>, at: Place) -> Self {
        Self { at, value: Value::Scalar(Scalar { text: text.into(), is_plain: true, text_at: Some(at) }) }
    }

    pub(crate) const fn list(items: Vec<Self>, at: Place) -> Self {
        Self { at, value: Value::List(items) }
    }

    pub(crate) const fn map(entries: Vec<Entry>, at: Place) -> Self {
        Self { at, value: Value::Map(entries) }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value),
            _ => None,
        }
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    /// What it is, for people.
    pub(crate) const fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Scalar(_) => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "keys and values",
        }
    }
}

impl Entry {
    pub(crate) fn new(key: impl Into<String>, value: Node) -> Self {
        Self { key: key.into(), at: value.at, value }
    }
}

/// A text that is no document, and where it stops being one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) at: Place,
    pub(crate) detail: String,
}

impl Malformed {
    pub(super) fn new(at: Place, detail: impl Into<String>) -> Self {
        Self { at, detail: detail.into() }
    }

    pub(super) fn too_deep(at: Place) -> Self {
        Self::new(at, format!("nested deeper than {DEPTH}"))
    }
}
