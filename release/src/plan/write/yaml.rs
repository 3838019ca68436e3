//! Canonical YAML: one line for what fits on one, blocks for commands.

use std::fmt::Write as _;

use crate::plan::read::node::{Entry, Node, Scalar, Value};

/// Words that are no texts in some YAML.
const NO_TEXT: [&str; 9] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];

pub(super) fn write(root: &Node) -> String {
    let mut text = String::new();
    let Value::Map(entries) = &root.value else { return text };
    for entry in entries {
        text.push_str(&scalar(&entry.key));
        text.push(':');
        match &entry.value.value {
            Value::List(items) if items.iter().any(|item| matches!(item.value, Value::Map(_))) => {
                text.push('\n');
                for item in items {
                    // Writing to a String does not fail.
                    let _ = writeln!(text, "  - {}", flow(item));
                }
            }
            Value::Map(inner) if inner.iter().any(|entry| entry.value.as_text().is_some_and(|text| text.contains('\n'))) => {
                text.push('\n');
                inner.iter().for_each(|entry| block_entry(&mut text, entry));
            }
            _ => {
                let _ = writeln!(text, " {}", flow(&entry.value));
            }
        }
    }
    text
}

fn block_entry(text: &mut String, entry: &Entry) {
    let key = scalar(&entry.key);
    match entry.value.as_text().filter(|value| is_block(value)) {
        Some(value) => {
            let _ = writeln!(text, "  {key}: |-");
            for line in value.split('\n') {
                let _ = if line.is_empty() { writeln!(text) } else { writeln!(text, "    {line}") };
            }
        }
        None => {
            let _ = writeln!(text, "  {key}: {}", flow(&entry.value));
        }
    }
}

/// Whether a literal block keeps the text as it is.
fn is_block(text: &str) -> bool {
    let begins = text.starts_with(|letter: char| !letter.is_whitespace());
    let ends = text.ends_with(|letter: char| !letter.is_whitespace());
    let is_printable = text.chars().all(|letter| letter == '\n' || is_printable(letter));
    text.contains('\n') && begins && ends && is_printable
}

fn is_printable(letter: char) -> bool {
    !letter.is_control() && !matches!(letter, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

fn flow(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".to_owned(),
        Value::Scalar(Scalar { text, is_plain: true, .. }) => text.clone(),
        Value::Scalar(Scalar { text, .. }) => scalar(text),
        Value::List(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Map(entries) if entries.is_empty() => "{}".to_owned(),
        Value::Map(entries) => {
            let entries = entries.iter().map(|entry| format!("{}: {}", scalar(&entry.key), flow(&entry.value)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

/// Without quotation marks where every YAML reads it as this text.
fn scalar(text: &str) -> String {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, ' ' | '_' | '-' | '.' | '/');
    let is_plain = text.len() < 200
        && text.chars().all(fits)
        && text.starts_with(|letter: char| letter.is_ascii_alphanumeric())
        && !text.ends_with(' ')
        && text.contains(|letter: char| letter.is_ascii_alphabetic())
        && text.parse::<f64>().is_err()
        && !text.starts_with("0x")
        && !text.starts_with("0o")
        && !NO_TEXT.contains(&text.to_lowercase().as_str());
    if is_plain {
        return text.to_owned();
    }
    // A JSON text is a YAML text, once what YAML does not take as it is has been escaped.
    let mut quoted = String::new();
    for letter in serde_json::to_string(text).unwrap_or_default().chars() {
        if is_printable(letter) {
            quoted.push(letter);
        } else {
            let _ = write!(quoted, "\\u{:04x}", u32::from(letter));
        }
    }
    quoted
}
