//! Server-sent events, by hand: item texts are spliced in byte for byte, because their hashes are part of the digest.

use std::{fmt::Write, time::Duration};

use bytes::Bytes;
use memchr::memchr2;
use storyflag_evaluation::{FORMAT, Identity, ItemKind};

use super::items::{CommittedItem, Items};

/// Room for everything of an event that is not an item's text.
const ENVELOPE: usize = 256;

/// A whole ruleset, encoded once for streams and for polling.
#[derive(Debug, Clone)]
pub(super) struct Encoded {
    /// The `ruleset` event.
    pub(super) event: Bytes,
    /// The data of that event alone: what polling gets.
    pub(super) body: Bytes,
}

/// The `ruleset` event of these items.
pub(super) fn ruleset(identity: Identity, items: &Items) -> Encoded {
    let mut body = String::with_capacity(items.bytes().saturating_add(items.count()).saturating_add(ENVELOPE));
    let _ = write!(body, r#"{{"format":{FORMAT},"flags":["#);
    join(&mut body, items.texts(ItemKind::Flag));
    body.push_str(r#"],"cohorts":["#);
    join(&mut body, items.texts(ItemKind::Cohort));
    body.push_str(r#"],"absorbed":[]}"#);
    let event = event("ruleset", Some(identity), &body);
    // In the event the data stands before two line feeds, unless it had to be split.
    let start = event.len().saturating_sub(body.len()).saturating_sub(2);
    let body = match event.get(start..event.len().saturating_sub(2)) {
        Some(data) if *data == *body.as_bytes() => event.slice(start..event.len().saturating_sub(2)),
        _ => body.into(),
    };
    Encoded { event, body }
}

/// The `change` event from the revision `from` to `to`.
pub(super) fn change(from: u64, to: Identity, items: &[CommittedItem]) -> Bytes {
    let texts: usize = items.iter().map(|item| item.after.as_ref().map_or(0, |text| text.len()).saturating_add(item.key.len())).sum();
    let mut body = String::with_capacity(texts.saturating_add(items.len().saturating_mul(4)).saturating_add(ENVELOPE));
    let _ = write!(body, r#"{{"format":{FORMAT},"from":{from},"put":"#);
    sides(&mut body, items, |item, body| match &item.after {
        Some(text) => {
            body.push_str(text);
            true
        }
        None => false,
    });
    body.push_str(r#","remove":"#);
    sides(&mut body, items, |item, body| {
        // A key is text that somebody once chose: quoted as JSON.
        item.after.is_none() && serde_json::to_string(&*item.key).map(|key| body.push_str(&key)).is_ok()
    });
    body.push('}');
    event("change", Some(to), &body)
}

/// The `heartbeat` event.
pub(super) fn heartbeat(head: Identity) -> Bytes {
    event("heartbeat", None, &format!(r#"{{"head":"{head}"}}"#))
}

/// The `goodbye` event: come back at a moment of your own within this window.
pub(super) fn goodbye(window: Duration) -> Bytes {
    event("goodbye", None, &format!(r#"{{"reconnect_after_ms":[0,{}]}}"#, window.as_millis()))
}

/// `{"flags":[...],"cohorts":[...]}`, empty ones left out; `write` tells whether it wrote.
fn sides(body: &mut String, items: &[CommittedItem], write: impl Fn(&CommittedItem, &mut String) -> bool) {
    body.push('{');
    let mut first_side = true;
    for (kind, name) in [(ItemKind::Flag, "flags"), (ItemKind::Cohort, "cohorts")] {
        let mut first = true;
        for item in items.iter().filter(|item| item.kind == kind) {
            let before = body.len();
            match (first, first_side) {
                (true, true) => drop(write!(body, r#""{name}":["#)),
                (true, false) => drop(write!(body, r#","{name}":["#)),
                (false, _) => body.push(','),
            }
            if write(item, body) {
                (first, first_side) = (false, false);
            } else {
                body.truncate(before);
            }
        }
        if !first {
            body.push(']');
        }
    }
    body.push('}');
}

fn join<'a>(body: &mut String, texts: impl Iterator<Item = &'a str>) {
    for (index, text) in texts.enumerate() {
        if index > 0 {
            body.push(',');
        }
        body.push_str(text);
    }
}

fn event(name: &str, id: Option<Identity>, data: &str) -> Bytes {
    let mut text = String::with_capacity(data.len().saturating_add(name.len()).saturating_add(96));
    let _ = writeln!(text, "event: {name}");
    if let Some(id) = id {
        let _ = writeln!(text, "id: {id}");
    }
    // Writers encode compact JSON, in which no line ends. Should one ever do, the event stays one event: a reader joins
    // the lines again.
    for line in lines(data) {
        text.push_str("data: ");
        text.push_str(line);
        text.push('\n');
    }
    text.push('\n');
    text.into()
}

/// Split as a reader of events would: at CR LF, LF and CR. Almost always one.
fn lines(data: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(data);
    std::iter::from_fn(move || {
        let text = rest.take()?;
        let end = memchr2(b'\r', b'\n', text.as_bytes());
        let Some((line, after)) = end.and_then(|at| text.split_at_checked(at)) else { return Some(text) };
        rest = after.strip_prefix("\r\n").or_else(|| after.get(1..));
        Some(line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(kind: ItemKind, key: &str, after: Option<&str>) -> CommittedItem {
        CommittedItem { kind, key: key.into(), after: after.map(Into::into) }
    }

    const HEAD: Identity = Identity { incarnation: 1_764_000_000_000, revision: 814, digest: 0x77aa };

    #[test]
    fn a_change_names_what_is_put_and_what_is_gone() {
        let items = [
            item(ItemKind::Flag, "a", Some(r#"{"key":"a"}"#)),
            item(ItemKind::Cohort, "c", Some(r#"{"key":"c"}"#)),
            item(ItemKind::Flag, "b", None),
            item(ItemKind::Flag, r#"odd"key"#, None),
        ];
        let event = change(813, HEAD, &items);
        let expected = "event: change\nid: 1764000000000-814-00000000000077aa\ndata: {\"format\":1,\"from\":813,\
             \"put\":{\"flags\":[{\"key\":\"a\"}],\"cohorts\":[{\"key\":\"c\"}]},\"remove\":{\"flags\":[\"b\",\"odd\\\"key\"]}}\n\n";
        assert_eq!(event, expected);
        let nothing = change(813, HEAD, &[]);
        assert_eq!(
            nothing,
            "event: change\nid: 1764000000000-814-00000000000077aa\ndata: {\"format\":1,\"from\":813,\"put\":{},\"remove\":{}}\n\n"
        );
    }

    #[test]
    fn the_whole_is_one_allocation_for_streams_and_polling() {
        let items = Items::new([r#"{"key":"b"}"#, r#"{"key":"a"}"#].map(str::to_owned).to_vec(), vec![r#"{"key":"c"}"#.to_owned()]);
        let encoded = ruleset(HEAD, &items);
        assert_eq!(encoded.body, r#"{"format":1,"flags":[{"key":"a"},{"key":"b"}],"cohorts":[{"key":"c"}],"absorbed":[]}"#);
        let event = String::from_utf8(encoded.event.to_vec()).unwrap();
        let data = str::from_utf8(&encoded.body).unwrap();
        assert_eq!(event, format!("event: ruleset\nid: {HEAD}\ndata: {data}\n\n"));
        assert!(encoded.event.as_ptr_range().contains(&encoded.body.as_ptr()));
    }

    #[test]
    fn a_text_with_line_ends_stays_one_event() {
        let items = Items::new(vec!["{\"key\":\n\"a\",\r\n\"x\":\r1}".to_owned()], vec![]);
        let encoded = ruleset(HEAD, &items);
        let event = String::from_utf8(encoded.event.to_vec()).unwrap();
        let expected = format!(
            "event: ruleset\nid: {HEAD}\ndata: {{\"format\":1,\"flags\":[{{\"key\":\ndata: \"a\",\ndata: \"x\":\ndata: 1}}],\"cohorts\":[],\"absorbed\":[]}}\n\n"
        );
        assert_eq!(event, expected);
        assert!(str::from_utf8(&encoded.body).unwrap().contains("\r\n"));
    }

    #[test]
    fn heartbeat_and_goodbye_have_no_id() {
        assert_eq!(heartbeat(HEAD), "event: heartbeat\ndata: {\"head\":\"1764000000000-814-00000000000077aa\"}\n\n");
        assert_eq!(goodbye(Duration::from_secs(30)), "event: goodbye\ndata: {\"reconnect_after_ms\":[0,30000]}\n\n");
    }
}
