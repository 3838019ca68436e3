//! The file that holds a ruleset: pure, from bytes and to bytes.
//!
//! One line, `storyflag-ruleset 1 <identity> <XXH3_128 of identity, newline and the rest>`, then the data of a `ruleset`
//! event with the kills that stand beside it. Without the line it is a ruleset made by hand: its identity is `0-0` and
//! whatever its digest is.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::value::RawValue;
use storyflag_evaluation::{Identity, Ruleset};
use xxhash_rust::xxh3::Xxh3Default;

use crate::wire::{Kill, RulesetBody, Texts};

const MAGIC: &str = "storyflag-ruleset 1 ";

/// A ruleset with what has to be known beside it to go on from it.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) ruleset: Ruleset,
    pub(crate) texts: Texts,
    pub(crate) kills: Vec<Kill>,
    pub(crate) absorbed: BTreeSet<String>,
}

/// What is written.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) identity: Identity,
    pub(crate) texts: Texts,
    pub(crate) kills: Vec<Kill>,
    pub(crate) absorbed: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Kills<'a> {
    #[serde(borrow, default)]
    kills: Vec<&'a RawValue>,
}

impl Snapshot {
    /// The bytes of the file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = String::from("{\"format\":1,\"flags\":");
        push_all(&mut body, self.texts.flags());
        body.push_str(",\"cohorts\":");
        push_all(&mut body, self.texts.cohorts());
        body.push_str(",\"absorbed\":");
        body.push_str(&serde_json::to_string(&self.absorbed).unwrap_or_else(|_| "[]".into()));
        body.push_str(",\"kills\":");
        body.push_str(&serde_json::to_string(&self.kills).unwrap_or_else(|_| "[]".into()));
        body.push_str("}\n");
        let identity = self.identity.to_string();
        let check = check_of(&identity, body.as_bytes());
        format!("{MAGIC}{identity} {check}\n{body}").into_bytes()
    }
}

fn push_all<'a>(body: &mut String, texts: impl Iterator<Item = &'a str>) {
    body.push('[');
    for (index, text) in texts.enumerate() {
        body.push_str(if index == 0 { "\n" } else { ",\n" });
        body.push_str(text);
    }
    body.push(']');
}

fn check_of(identity: &str, body: &[u8]) -> String {
    let mut hasher = Xxh3Default::new();
    hasher.update(identity.as_bytes());
    hasher.update(b"\n");
    hasher.update(body);
    format!("{:032x}", hasher.digest128())
}

impl Stored {
    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// Why they are no ruleset.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let Some(rest) = bytes.strip_prefix(MAGIC.as_bytes()) else {
            return if bytes.trim_ascii_start().starts_with(b"{") { Self::by_hand(bytes) } else { Err("it is no ruleset file".into()) };
        };
        let end = rest.iter().take(200).position(|byte| *byte == b'\n').ok_or("its first line is torn")?;
        let (line, body) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        let body = body.strip_prefix(b"\n").unwrap_or(body);
        let line = std::str::from_utf8(line).map_err(|_| "its first line is no text")?;
        let (identity, check) = line.split_once(' ').ok_or("its first line is torn")?;
        if check_of(identity, body) != check {
            return Err("its checksum is wrong".into());
        }
        let identity = identity.parse().map_err(|error: storyflag_evaluation::IdentityError| error.to_string())?;
        let stored = Self::compile(identity, body)?;
        if stored.ruleset.is_whole() { Ok(stored) } else { Err("its items are not those that its first line names".into()) }
    }

    fn by_hand(body: &[u8]) -> Result<Self, String> {
        let unnamed = Self::compile(Identity::default(), body)?;
        let identity = Identity { digest: unnamed.ruleset.digest(), ..Identity::default() };
        Self::compile(identity, body)
    }

    fn compile(identity: Identity, bytes: &[u8]) -> Result<Self, String> {
        let body: RulesetBody<'_> = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let beside: Kills<'_> = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let kills: Vec<Kill> = beside.kills.iter().filter_map(|kill| serde_json::from_str(kill.get()).ok()).collect();
        let flags: Vec<&str> = body.flags.iter().map(|text| text.get()).collect();
        let cohorts: Vec<&str> = body.cohorts.iter().map(|text| text.get()).collect();
        let mut ruleset = Ruleset::compile(identity, &flags, &cohorts, None);
        if !kills.is_empty() {
            ruleset = ruleset.with_kills(kills.iter().map(|kill| kill.flag.as_str()));
        }
        Ok(Self { ruleset, texts: Texts::of_ruleset(&body), kills, absorbed: body.absorbed })
    }
}
