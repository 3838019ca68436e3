//! YAML 1.2 to a tree. Anchors, aliases, tags and several documents have no place in a plan and are refused.

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::node::{DEPTH, Entry, Malformed, Node, Place, Scalar, Value};

/// Reads `text`, which begins at `origin` of the document that people see.
pub(super) fn read(text: &str, origin: Place) -> Result<Node, Malformed> {
    let mut tree = Tree { letters: text.chars().collect(), origin, open: Vec::new(), root: None };
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => tree.event(event, span)?,
            Err(why) => {
                let at = tree.place(why.marker().line(), why.marker().col());
                return Err(Malformed::new(at, format!("this is no YAML: {}", why.info())));
            }
        }
    }
    Ok(tree.root.unwrap_or(Node { at: origin, value: Value::Null }))
}

struct Tree {
    /// The source, to see whether a value stands in it letter by letter.
    letters: Vec<char>,
    origin: Place,
    /// Lists and maps that are not closed yet, each with the key that waits for a value.
    open: Vec<(Node, Option<(String, Place)>)>,
    root: Option<Node>,
}

impl Tree {
    /// Where the parser's line (from 1) and column (from 0) are in the whole document.
    fn place(&self, line: usize, column: usize) -> Place {
        let line = line.max(1) - 1;
        let indent = if line == 0 { self.origin.column } else { 1 };
        Place { line: self.origin.line + line, column: column + indent }
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Malformed> {
        let at = self.place(span.start.line(), span.start.col());
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                refuse_extras(at, anchor, tag.is_some())?;
                self.scalar(text.into_owned(), style, at, span.start.index())
            }
            Event::SequenceStart(anchor, tag) => {
                refuse_extras(at, anchor, tag.is_some())?;
                self.begin(Node::list(Vec::new(), at))
            }
            Event::MappingStart(anchor, tag) => {
                refuse_extras(at, anchor, tag.is_some())?;
                self.begin(Node::map(Vec::new(), at))
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some((node, _)) => self.add(node),
                None => Ok(()),
            },
            Event::Alias(_) => Err(Malformed::new(at, "a plan has no aliases: write the value out")),
            Event::DocumentStart(_) if self.root.is_some() => Err(Malformed::new(at, "a plan is one document")),
            Event::DocumentStart(_) | Event::DocumentEnd | Event::StreamStart | Event::StreamEnd | Event::Nothing => Ok(()),
        }
    }

    fn begin(&mut self, node: Node) -> Result<(), Malformed> {
        if self.open.len() >= DEPTH {
            return Err(Malformed::too_deep(node.at));
        }
        self.open.push((node, None));
        Ok(())
    }

    fn scalar(&mut self, text: String, style: ScalarStyle, at: Place, index: usize) -> Result<(), Malformed> {
        let is_plain = style == ScalarStyle::Plain;
        let is_quoted = matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted);
        let waits_for_key = matches!(self.open.last(), Some((Node { value: Value::Map(_), .. }, None)));
        if is_plain && !waits_for_key && matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL") {
            return self.add(Node { at, value: Value::Null });
        }
        let quotation = usize::from(is_quoted);
        // Escapes, folded lines and blocks say it otherwise.
        let source = self.letters.get(index + quotation..).unwrap_or_default();
        let is_verbatim = text.chars().count() <= source.len() && text.chars().zip(source).all(|(said, shown)| said == *shown);
        let text_at = is_verbatim.then_some(Place { line: at.line, column: at.column + quotation });
        self.add(Node { at, value: Value::Scalar(Scalar { text, is_plain, text_at }) })
    }

    fn add(&mut self, node: Node) -> Result<(), Malformed> {
        let Some((parent, key)) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match (&mut parent.value, key.take()) {
            (Value::List(items), _) => items.push(node),
            (Value::Map(entries), Some((key, at))) => entries.push(Entry { key, at, value: node }),
            (_, _) => match node.value {
                Value::Scalar(scalar) => *key = Some((scalar.text, node.at)),
                _ => return Err(Malformed::new(node.at, "a key is a single word")),
            },
        }
        Ok(())
    }
}

fn refuse_extras(at: Place, anchor: usize, has_tag: bool) -> Result<(), Malformed> {
    if anchor != 0 {
        return Err(Malformed::new(at, "a plan has no anchors: write the value out"));
    }
    if has_tag {
        return Err(Malformed::new(at, "a plan has no tags"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_knows_where_it_stands() {
        let root = read("a: 1\nsteps:\n  - { percentage: 0.1, bake: \"15m\" }\n", Place::START).unwrap();
        let Some(Node { value: Value::List(steps), at }) = root.get("steps") else { panic!("no steps") };
        assert_eq!(*at, Place { line: 3, column: 3 });
        let bake = steps[0].get("bake").unwrap();
        assert_eq!((bake.at, bake.as_text()), (Place { line: 3, column: 30 }, Some("15m")));
        let Value::Scalar(bake) = &bake.value else { panic!("no text") };
        assert_eq!((bake.is_plain, bake.text_at), (false, Some(Place { line: 3, column: 31 })));
    }

    #[test]
    fn what_has_no_place_is_refused() {
        for (text, line, part) in [
            ("a: &x 1\nb: *x\n", 1, "anchors"),
            ("a: !!str 1\n", 1, "tags"),
            ("a: 1\n---\nb: 2\n", 2, "one document"),
            ("a: [1\nb: 2\n", 2, "no YAML"),
            ("[a]: 1\n", 1, "single word"),
        ] {
            let why = read(text, Place::START).unwrap_err();
            assert_eq!(why.at.line, line, "{text}: {why:?}");
            assert!(why.detail.contains(part), "{text}: {why:?}");
        }
        assert!(read(&"[".repeat(100), Place::START).unwrap_err().detail.contains("nested"));
    }
}
