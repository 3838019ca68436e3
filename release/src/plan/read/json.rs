//! JSON to a tree. Written by hand, since serde_json does not tell where a value stands.

use super::node::{DEPTH, Entry, Malformed, Node, Place, Scalar, Value};

pub(crate) fn read(text: &str) -> Result<Node, Malformed> {
    let mut scan = Scan { text, at: 0, place: Place::START };
    let node = scan.value(0)?;
    scan.skip_space();
    if scan.peek().is_some() { Err(scan.wrong("nothing was expected after the plan")) } else { Ok(node) }
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
    place: Place,
}

impl Scan<'_> {
    fn wrong(&self, detail: &str) -> Malformed {
        Malformed::new(self.place, format!("this is no JSON: {detail}"))
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.peek()?;
        self.at += letter.len_utf8();
        self.place = match letter {
            '\n' => Place { line: self.place.line + 1, column: 1 },
            _ => Place { line: self.place.line, column: self.place.column + 1 },
        };
        Some(letter)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\r' | '\n')) {
            self.next();
        }
    }

    fn take(&mut self, wanted: char) -> bool {
        self.skip_space();
        let found = self.peek() == Some(wanted);
        if found {
            self.next();
        }
        found
    }

    fn value(&mut self, depth: usize) -> Result<Node, Malformed> {
        self.skip_space();
        let at = self.place;
        if depth >= DEPTH {
            return Err(Malformed::too_deep(at));
        }
        match self.peek() {
            Some('{') => self.map(depth, at),
            Some('[') => self.list(depth, at),
            Some('"') => {
                let start = self.at;
                let text = self.string()?;
                let is_verbatim = text.len() + 2 == self.at - start;
                let text_at = is_verbatim.then_some(Place { line: at.line, column: at.column + 1 });
                Ok(Node { at, value: Value::Scalar(Scalar { text, is_plain: false, text_at }) })
            }
            Some(_) => self.word(at),
            None => Err(self.wrong("a value was expected")),
        }
    }

    fn map(&mut self, depth: usize, at: Place) -> Result<Node, Malformed> {
        let mut entries = Vec::new();
        self.next();
        if self.take('}') {
            return Ok(Node::map(entries, at));
        }
        loop {
            self.skip_space();
            let key_at = self.place;
            let key = self.string()?;
            if !self.take(':') {
                return Err(self.wrong("a colon was expected"));
            }
            entries.push(Entry { key, at: key_at, value: self.value(depth + 1)? });
            if self.take('}') {
                return Ok(Node::map(entries, at));
            }
            if !self.take(',') {
                return Err(self.wrong("a comma or a closing brace was expected"));
            }
        }
    }

    fn list(&mut self, depth: usize, at: Place) -> Result<Node, Malformed> {
        let mut items = Vec::new();
        self.next();
        if self.take(']') {
            return Ok(Node::list(items, at));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.take(']') {
                return Ok(Node::list(items, at));
            }
            if !self.take(',') {
                return Err(self.wrong("a comma or a closing bracket was expected"));
            }
        }
    }

    fn string(&mut self) -> Result<String, Malformed> {
        let (start, place) = (self.at, self.place);
        if !self.take('"') {
            return Err(self.wrong("a text in double quotation marks was expected"));
        }
        loop {
            match self.next() {
                Some('"') => break,
                Some('\\') => {
                    self.next();
                }
                Some(_) => {}
                None => return Err(Malformed::new(place, "this is no JSON: this quotation mark is never closed")),
            }
        }
        // serde_json knows the escapes.
        let text = self.text.get(start..self.at).unwrap_or_default();
        serde_json::from_str(text).map_err(|_| Malformed::new(place, "this is no JSON: the text holds what must be escaped"))
    }

    fn word(&mut self, at: Place) -> Result<Node, Malformed> {
        let start = self.at;
        while self.peek().is_some_and(|letter| letter.is_alphanumeric() || matches!(letter, '.' | '-' | '+')) {
            self.next();
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        match serde_json::from_str(text) {
            Ok(serde_json::Value::Null) => Ok(Node { at, value: Value::Null }),
            Ok(serde_json::Value::Bool(_) | serde_json::Value::Number(_)) => Ok(Node::text(text, at)),
            _ => Err(Malformed::new(at, "this is no JSON: a value was expected")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_knows_where_it_stands() {
        let root = read("{\n\t\"a\": [1.5, true, null, \"\\u00e9\\/\"]\n}").unwrap();
        let Some(Node { value: Value::List(items), at }) = root.get("a") else { panic!("no list") };
        assert_eq!(*at, Place { line: 2, column: 7 });
        assert_eq!(items[3].as_text(), Some("é/"));
        assert_eq!(items[1], Node::text("true", Place { line: 2, column: 13 }));
    }

    #[test]
    fn what_is_no_json_is_refused_where_it_stops() {
        for (text, line, column) in
            [("", 1, 1), ("{", 1, 2), ("{\"a\" 1}", 1, 6), ("[1,\n]", 2, 1), ("[1] 2", 1, 5), ("\"a", 1, 1), ("{\"a\": 01}", 1, 7)]
        {
            let why = read(text).unwrap_err();
            assert_eq!(why.at, Place { line, column }, "{text}: {why:?}");
        }
        assert!(read(&"[".repeat(100)).unwrap_err().detail.contains("nested"));
    }

    proptest::proptest! {
        #[test]
        fn it_accepts_what_serde_json_accepts(text in "[\\[\\]{}\",:0-9a-e \\\\ntrue.-]{0,20}") {
            let ours = read(&text).is_ok();
            let theirs = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            proptest::prop_assert_eq!(ours, theirs);
        }
    }
}
