//! Whether a report can be read: as JSON, and as Markdown.

use std::collections::BTreeMap;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use serde_json::Value;
use storyflag_release::report::Report;

/// Every number of the JSON is one, and every time is a time.
pub(crate) fn readable(report: &Report) {
    let text = serde_json::to_string(report).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    check(&value, "");
    for word in ["NaN", "nan ", "inf ", "infinity"] {
        assert!(!report.markdown().contains(word), "{word}: {}", report.markdown());
    }
}

fn check(value: &Value, key: &str) {
    match value {
        Value::Number(number) => assert!(number.as_f64().is_some_and(f64::is_finite), "{key}: {number}"),
        Value::String(text) if key.ends_with("_at") || key == "at" => {
            text.parse::<jiff::Timestamp>().unwrap_or_else(|error| panic!("{key} {text}: {error}"));
        }
        Value::Array(values) => values.iter().for_each(|value| check(value, key)),
        Value::Object(entries) => {
            for (key, value) in entries {
                assert!(!key.contains(char::is_uppercase) || key.contains("event"), "{key} is not in snake case");
                check(value, key);
            }
        }
        _ => {}
    }
    if let (Value::Object(entries), true) = (value, matches!(key, "error_rate" | "success_rate")) {
        let part = |name: &str| entries[name].as_f64();
        if let (Some(low), Some(value), Some(high)) = (part("low"), part("value"), part("high")) {
            assert!((0.0..=1.0).contains(&low) && low <= value && value <= high && high <= 1.0, "{entries:?}");
        }
    }
}

/// The headings, and how many rows of a table have how many cells. There is no HTML, and no link.
pub(crate) fn headings_and_cells(text: &str) -> (Vec<String>, BTreeMap<usize, usize>) {
    let (mut headings, mut rows, mut cells, mut in_heading) = (Vec::new(), BTreeMap::new(), 0, false);
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Heading { .. }) => (in_heading, _) = (true, headings.push(String::new())),
            Event::End(TagEnd::Heading(_)) => in_heading = false,
            Event::Text(text) | Event::Code(text) if in_heading => headings.last_mut().unwrap().push_str(&text),
            Event::Start(Tag::TableRow | Tag::TableHead) => cells = 0,
            Event::Start(Tag::TableCell) => cells += 1,
            Event::End(TagEnd::TableRow) => *rows.entry(cells).or_default() += 1,
            Event::Html(html) | Event::InlineHtml(html) => panic!("{html}"),
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => panic!("{dest_url}"),
            _ => {}
        }
    }
    (headings, rows)
}
