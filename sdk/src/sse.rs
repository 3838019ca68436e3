//! Server-sent events from bytes: a pure state machine that is fed chunks as they come and keeps a bounded amount.

use std::{collections::VecDeque, fmt};

/// Above the 16 MiB that a ruleset may have. What is longer is refused while it arrives.
pub(crate) const EVENT_LIMIT: usize = 32 * 1024 * 1024;

/// One event as it was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// Empty where the event has no name.
    pub(crate) name: String,
    /// What the event itself carries; unlike a browser's, it does not outlive the event.
    pub(crate) id: Option<String>,
    /// Bytes, since nobody needs the text of an event that is not understood.
    pub(crate) data: Vec<u8>,
}

/// A line or an event that is longer than any of ours: the stream cannot be used any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong {
    limit: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "an event is longer than {} bytes", self.limit)
    }
}

/// The parser of one stream.
#[derive(Debug)]
pub(crate) struct Parser {
    limit: usize,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    /// The event whose empty line has not come.
    event: Event,
    /// Whether the event has a data line; an empty one counts.
    has_data: bool,
    /// Whether the last line ended with CR, so that a LF now belongs to it.
    after_return: bool,
    /// Whether nothing has been read, so that a byte order mark may come.
    at_start: bool,
    ready: VecDeque<Event>,
}

impl Parser {
    /// A parser that refuses events beyond `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            event: Event::default(),
            has_data: false,
            after_return: false,
            at_start: true,
            ready: VecDeque::new(),
        }
    }

    /// Takes the next bytes; [`Parser::next`] then has the events that they complete.
    ///
    /// # Errors
    /// A line or event beyond the limit. Events completed before it are still there.
    pub(crate) fn feed(&mut self, mut chunk: &[u8]) -> Result<(), TooLong> {
        while !chunk.is_empty() {
            if std::mem::take(&mut self.after_return) {
                chunk = chunk.strip_prefix(b"\n").unwrap_or(chunk);
            }
            let end = chunk.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let (head, rest) = chunk.split_at_checked(end.unwrap_or(chunk.len())).unwrap_or((chunk, &[]));
            if self.line.len().saturating_add(self.event.data.len()).saturating_add(head.len()) > self.limit {
                return Err(TooLong { limit: self.limit });
            }
            let Some((ending, rest)) = rest.split_first() else {
                self.line.extend_from_slice(head);
                return Ok(());
            };
            self.after_return = *ending == b'\r';
            chunk = rest;
            if self.line.is_empty() {
                self.end_line(head);
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(head);
                self.end_line(&line);
                // Its room is used again, unless a large event left it large.
                if line.capacity() <= 64 * 1024 {
                    line.clear();
                    self.line = line;
                }
            }
        }
        Ok(())
    }

    /// The next event that is complete.
    pub(crate) fn next(&mut self) -> Option<Event> {
        self.ready.pop_front()
    }

    fn end_line(&mut self, mut line: &[u8]) {
        if std::mem::take(&mut self.at_start) {
            line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
        }
        if line.is_empty() {
            return self.end_event();
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (field, value) = line.split_at_checked(colon).unwrap_or((line, &[]));
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"event" => self.event.name = String::from_utf8_lossy(value).into_owned(),
            b"id" if !value.contains(&0) => self.event.id = Some(String::from_utf8_lossy(value).into_owned()),
            b"data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push(b'\n');
                }
                self.event.data.extend_from_slice(value);
            }
            // Comments (an empty field), `retry` and whatever comes later.
            _ => {}
        }
    }

    fn end_event(&mut self) {
        let event = std::mem::take(&mut self.event);
        if std::mem::take(&mut self.has_data) {
            self.ready.push_back(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(chunks: &[&[u8]]) -> Vec<Event> {
        let mut parser = Parser::new(1024);
        for chunk in chunks {
            parser.feed(chunk).unwrap();
        }
        std::iter::from_fn(|| parser.next()).collect()
    }

    fn event(name: &str, id: Option<&str>, data: &str) -> Event {
        Event { name: name.into(), id: id.map(Into::into), data: data.into() }
    }

    #[test]
    fn reads_events_with_every_line_ending() {
        for ending in ["\n", "\r\n", "\r"] {
            let text = "event: change\nid: 1-2\ndata: {}\n\n: comment\nevent:ruleset\ndata:a\ndata: b\n\n".replace('\n', ending);
            let expected = [event("change", Some("1-2"), "{}"), event("ruleset", None, "a\nb")];
            assert_eq!(parse(&[text.as_bytes()]), expected, "{ending:?}");
        }
    }

    #[test]
    fn what_is_torn_is_no_event() {
        assert_eq!(parse(&[b"data: {\"half\":"]), []);
        assert_eq!(parse(&[b"data: whole\n"]), [], "the empty line has not come");
        assert_eq!(parse(&[b"event: x\nid: 1\n\n"]), [], "no data");
        assert_eq!(parse(&[b"data\n\n"]), [event("", None, "")]);
    }

    #[test]
    fn an_id_belongs_to_its_event_alone() {
        assert_eq!(parse(&[b"id: 7\ndata: a\n\ndata: b\n\n"]), [event("", Some("7"), "a"), event("", None, "b")]);
        assert_eq!(parse(&[b"id: 7\0\ndata: a\n\n"]), [event("", None, "a")]);
    }

    #[test]
    fn a_byte_order_mark_is_skipped_once() {
        assert_eq!(parse(&[b"\xEF\xBB\xBFdata: a\n\n"]), [event("", None, "a")]);
        assert_eq!(parse(&[b"\xEF\xBB", b"\xBFdata: a\n\n"]), [event("", None, "a")]);
        assert_eq!(parse(&[b"data: a\n\xEF\xBB\xBFdata: b\n\n"]), [event("", None, "a")]);
    }

    /// A line of a GiB is refused at the limit, and no more than the limit is ever kept.
    #[test]
    fn an_endless_line_is_refused_without_keeping_it() {
        let mut parser = Parser::new(1 << 20);
        let chunk = vec![b'x'; 64 * 1024];
        let mut fed = 0_usize;
        let refused = loop {
            fed += chunk.len();
            if let Err(refused) = parser.feed(&chunk) {
                break refused;
            }
            assert!(fed < 1 << 30);
        };
        assert_eq!(refused.to_string(), "an event is longer than 1048576 bytes");
        assert!(fed <= (1 << 20) + chunk.len());
        assert!(parser.line.capacity() <= 2 << 20);
    }

    #[test]
    fn many_lines_cannot_make_one_endless_event_either() {
        let mut parser = Parser::new(1000);
        let line = format!("data: {}\n", "y".repeat(90));
        let lines = (0..100).take_while(|_| parser.feed(line.as_bytes()).is_ok()).count();
        assert!((8..=11).contains(&lines), "{lines}");
    }

    proptest! {
        #[test]
        fn chunk_boundaries_do_not_matter(
            parts in prop::collection::vec(prop_oneof![
                Just("\n"), Just("\r"), Just("\r\n"), Just("data: x"), Just("data:"), Just("id: 1"), Just("event: e"), Just(": c"), Just("\u{feff}"), Just("ü"),
            ], 0..40),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let text = parts.concat();
            let bytes = text.as_bytes();
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            places.sort_unstable();
            let mut chunks = Vec::new();
            let mut start = 0;
            for place in places {
                chunks.push(&bytes[start..place]);
                start = place;
            }
            chunks.push(&bytes[start..]);
            prop_assert_eq!(parse(&chunks), parse(&[bytes]));
        }

        #[test]
        fn any_bytes_are_read_without_panic(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20)) {
            let mut parser = Parser::new(300);
            for chunk in &chunks {
                if parser.feed(chunk).is_err() {
                    break;
                }
                while let Some(event) = parser.next() {
                    prop_assert!(event.data.len() <= 300);
                }
            }
        }
    }
}
