//! A release's events, followed for as long as somebody listens: whatever happens to the network, it is tried again.

use std::{
    io::{BufRead, BufReader, Read},
    sync::mpsc::Sender,
    time::Duration,
};

use super::{
    super::{
        client::{Client, Stream},
        failure::Failure,
    },
    shape::{Entry, Release},
};

/// The longest event that is read.
const LONGEST: u64 = 4 * 1024 * 1024;
/// The first and the longest wait between two tries.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// What is heard of a release, with the service's own words.
#[derive(Debug)]
pub(super) enum News {
    Release(Box<Release>, String),
    Entry(Entry, String),
    /// Nothing is heard, and why; tried again after a while.
    Away(String),
    /// The service will not tell: its answer is no accident of the network.
    Refused(Failure),
}

/// Tells what is heard until nobody listens any more, or the service refuses.
pub(super) fn follow(client: &Client, path: &str, after: u64, news: &Sender<News>) {
    let mut follower = Follower { after, news, heard: false };
    let mut wait = FIRST_WAIT;
    loop {
        follower.heard = false;
        let why = match client.events(path, follower.after) {
            Ok(Stream::Open(bytes)) => match follower.listen(bytes) {
                Ok(why) => why,
                Err(NobodyListens) => return,
            },
            Ok(Stream::Refused { status, failure, is_ours }) if is_ours && is_final(status) => {
                // Who does not listen need not be told.
                let _ = news.send(News::Refused(failure));
                return;
            }
            Ok(Stream::Refused { failure, .. }) | Err(failure) => failure.text(),
        };
        let again = if follower.heard { FIRST_WAIT } else { jittered(wait) };
        wait = if follower.heard { FIRST_WAIT } else { wait.saturating_mul(2).min(LONGEST_WAIT) };
        // A stream that gave something and ended is only begun anew.
        if !follower.heard && news.send(News::Away(why)).is_err() {
            return;
        }
        std::thread::sleep(again);
    }
}

/// Whether the same question would get the same answer.
fn is_final(status: u16) -> bool {
    (400..500).contains(&status) && !matches!(status, 408 | 425 | 429)
}

/// Half of it, and up to as much again: not all who were cut off come back in the same moment.
fn jittered(wait: Duration) -> Duration {
    let half = wait / 2;
    half + half.mul_f64(fastrand::f64())
}

/// The other end of the channel is gone.
struct NobodyListens;

struct Follower<'a> {
    /// The last transition that was heard of.
    after: u64,
    news: &'a Sender<News>,
    heard: bool,
}

impl Follower<'_> {
    /// Reads a stream to its end, however it ends: why it did.
    fn listen(&mut self, bytes: Box<dyn Read + Send>) -> Result<String, NobodyListens> {
        let (mut lines, mut parser, mut line) = (BufReader::new(bytes), Parser::default(), Vec::new());
        loop {
            line.clear();
            match (&mut lines).take(LONGEST).read_until(b'\n', &mut line) {
                Ok(0) => return Ok("the stream ended".to_owned()),
                Ok(_) if line.last() != Some(&b'\n') => return Ok("the stream broke off".to_owned()),
                Ok(_) => {}
                Err(error) => return Ok(error.to_string()),
            }
            // A comment, too, is a sign of life.
            self.heard = true;
            if let Some(event) = parser.line(&String::from_utf8_lossy(&line)) {
                self.tell(event)?;
            }
        }
    }

    fn tell(&mut self, event: Event) -> Result<(), NobodyListens> {
        // What cannot be read is of another version, and not for us.
        let told = match event.name.as_str() {
            "release" => Release::read(&event.data).ok().map(|release| News::Release(Box::new(release), event.data)),
            "timeline" => {
                let number: Option<u64> = event.id.as_deref().and_then(|id| id.parse().ok());
                self.after = number.unwrap_or_default().max(self.after);
                let entry = Entry::read(&event.data).ok().map(|entry| Entry { number: entry.number.or(number), ..entry });
                entry.map(|entry| News::Entry(entry, event.data))
            }
            _ => None,
        };
        told.map_or(Ok(()), |told| self.news.send(told).map_err(|_| NobodyListens))
    }
}

/// One event as it was sent.
#[derive(Debug, Default, PartialEq, Eq)]
struct Event {
    name: String,
    id: Option<String>,
    data: String,
}

/// Server-sent events from lines.
#[derive(Debug, Default)]
struct Parser {
    event: Event,
    has_data: bool,
}

impl Parser {
    /// Takes a line; at an empty one, the event that it ends.
    fn line(&mut self, line: &str) -> Option<Event> {
        let line = line.trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return std::mem::take(&mut self.has_data).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.event.name = value.to_owned(),
            "id" => self.event.id = Some(value.to_owned()),
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.has_data = true;
                self.event.data.push_str(value);
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_line_by_line() {
        let mut parser = Parser::default();
        let text = ": hello\n\nevent: timeline\r\nid:7\r\ndata: {\"a\":\ndata: 1}\nretry: 5\n\nevent: release\n\ndata\n\n";
        let events: Vec<Event> = text.split_inclusive('\n').filter_map(|line| parser.line(line)).collect();
        let timeline = Event { name: "timeline".to_owned(), id: Some("7".to_owned()), data: "{\"a\":\n1}".to_owned() };
        assert_eq!(events, [timeline, Event::default()]);
    }

    #[test]
    fn a_refusal_is_told_from_an_accident() {
        assert!([400, 401, 403, 404, 422].into_iter().all(is_final));
        assert!(![408, 429, 500, 502, 503, 200].into_iter().any(is_final));
    }

    #[test]
    fn waits_are_spread() {
        let wait = Duration::from_secs(2);
        assert!((0..100).all(|_| (wait / 2..=wait).contains(&jittered(wait))));
    }
}
