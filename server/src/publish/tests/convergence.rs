//! Whatever order news comes in, and whenever clients look: they only go forward, and all arrive.

use proptest::prelude::*;
use storyflag_evaluation::{Identity, ItemKind, Ruleset, item_hash};

use super::{
    client::{Event, take},
    writer::flag_text,
};
use crate::{
    publish::{
        CommittedItem, Environment,
        derive::{Outcome, Revision},
        environment::Next,
    },
    store::{Head, Loaded},
};

/// What the database holds: every revision there ever was, with everything that it served.
struct History {
    revisions: Vec<(Identity, Vec<CommittedItem>, Vec<Option<String>>)>,
}

const KEYS: usize = 4;

impl History {
    fn new() -> Self {
        Self { revisions: vec![(Identity { incarnation: 1, revision: 0, digest: 0 }, vec![], vec![None; KEYS])] }
    }

    fn head(&self) -> Identity {
        self.revisions.last().unwrap().0
    }

    /// One write: puts a flag, or removes it when it is there and `value` says so; sometimes of a new incarnation.
    fn write(&mut self, key: usize, value: u32, raise: bool) {
        let (before, _, mut texts) = self.revisions.last().unwrap().clone();
        let name = format!("flag-{key}");
        texts[key] = if texts[key].is_some() && value.is_multiple_of(5) { None } else { Some(flag_text(&name, value)) };
        let digest = texts.iter().flatten().fold(0_u64, |sum, text| sum.wrapping_add(item_hash(ItemKind::Flag, text)));
        let identity = Identity { incarnation: before.incarnation + u64::from(raise), revision: before.revision + 1, digest };
        let item = CommittedItem { kind: ItemKind::Flag, key: name.into(), after: texts[key].clone().map(Into::into) };
        self.revisions.push((identity, vec![item], texts));
    }

    fn load(&self, at: usize) -> Loaded {
        let (identity, _, texts) = &self.revisions[at];
        Loaded { head: Head::of(1, *identity), flags: texts.iter().flatten().cloned().collect(), cohorts: vec![] }
    }

    fn since(&self, revision: u64) -> Vec<Revision> {
        let later = self.revisions.iter().filter(|(identity, ..)| identity.revision > revision);
        later.map(|(identity, items, _)| Revision { revision: identity.revision, items: items.clone() }).collect()
    }
}

#[derive(Debug, Clone)]
enum Deed {
    /// A write; published here, or by another node only.
    Write { key: usize, value: u32, raise: bool, published: bool },
    /// A publication that comes late, or again.
    Late { back: usize },
    /// The follower's round.
    Follow,
    /// A whole that was read some revisions ago.
    StaleWhole { back: usize },
    /// A client looks what comes next.
    Look { client: usize },
    /// A client comes anew, with what it has or without.
    Reconnect { client: usize, empty: bool },
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        6 => (0..KEYS, 0..1_000_u32, prop::bool::weighted(0.03), any::<bool>())
            .prop_map(|(key, value, raise, published)| Deed::Write { key, value, raise, published }),
        4 => (0..6_usize).prop_map(|back| Deed::Late { back }),
        2 => Just(Deed::Follow),
        1 => (0..6_usize).prop_map(|back| Deed::StaleWhole { back }),
        12 => (0..3_usize).prop_map(|client| Deed::Look { client }),
        1 => (0..3_usize, any::<bool>()).prop_map(|(client, empty)| Deed::Reconnect { client, empty }),
    ]
}

/// As the follower does it.
fn follow(environment: &Environment, history: &History) {
    let before = environment.identity();
    if before == history.head() {
        return;
    }
    if environment.catch_up(history.since(before.revision), history.head()) == Outcome::Astray {
        assert!(environment.replace(history.load(history.revisions.len() - 1), before));
    }
}

/// What a client knows: what it sent last, as its stream does, and what it runs.
#[derive(Clone)]
struct Reader {
    sent: Option<Identity>,
    ruleset: Ruleset,
}

impl Reader {
    fn look(&mut self, environment: &Environment) -> bool {
        let latest = environment.subscribe().borrow().clone();
        let Next::Send(identity, event) = environment.next(self.sent, &latest) else { return false };
        let event = Event::read(str::from_utf8(&event).unwrap());
        assert_eq!(event.id, Some(identity));
        self.ruleset = take(&self.ruleset, &event);
        self.sent = Some(identity);
        true
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn clients_only_go_forward_and_all_arrive(deeds in prop::collection::vec(deed(), 1..120)) {
        let mut history = History::new();
        let environment = Environment::new(history.load(0));
        let mut readers = vec![Reader { sent: None, ruleset: Ruleset::empty() }; 3];
        for deed in deeds {
            let last = history.revisions.len() - 1;
            match deed {
                Deed::Write { key, value, raise, published } => {
                    history.write(key, value, raise);
                    if published {
                        let (identity, items, _) = history.revisions.last().unwrap().clone();
                        environment.offer(identity, items);
                    }
                }
                Deed::Late { back } => {
                    let (identity, items, _) = history.revisions[last.saturating_sub(back)].clone();
                    environment.offer(identity, items);
                }
                Deed::Follow => follow(&environment, &history),
                Deed::StaleWhole { back } => {
                    let served = environment.identity();
                    let before = Identity { digest: !served.digest, ..served };
                    environment.replace(history.load(last.saturating_sub(back)), before);
                    prop_assert!(environment.identity().pair() >= served.pair());
                }
                Deed::Look { client } => drop(readers[client].look(&environment)),
                Deed::Reconnect { client, empty } => {
                    let sent = Some(readers[client].ruleset.identity()).filter(|_| !empty);
                    readers[client].sent = sent;
                }
            }
            prop_assert!(environment.ruleset().is_whole());
            prop_assert_eq!(environment.ruleset().identity(), environment.identity());
        }
        follow(&environment, &history);
        prop_assert_eq!(environment.identity(), history.head());
        for reader in &mut readers {
            while reader.look(&environment) {}
            prop_assert_eq!(reader.ruleset.identity(), history.head());
        }
    }
}
