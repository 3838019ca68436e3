//! An environment as a service would publish it: items, revisions, digests, and the events that carry them.
//! Shared by the unit tests and the tests with sockets, each of which needs another part of it.

#![allow(dead_code, clippy::unwrap_used)]

use std::collections::BTreeMap;

use storyflag_evaluation::{CohortList, Identity, ItemKind, item_hash, unit_hash};

pub(crate) const INCARNATION: u64 = 1_764_000_000_000;

/// Flags and cohorts by key, each as its wire text.
#[derive(Debug, Clone)]
pub(crate) struct Environment {
    pub(crate) incarnation: u64,
    pub(crate) revision: u64,
    pub(crate) flags: BTreeMap<String, String>,
    pub(crate) cohorts: BTreeMap<String, String>,
    pub(crate) absorbed: Vec<String>,
}

/// An event as it stands in a stream.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) name: &'static str,
    pub(crate) id: Option<String>,
    pub(crate) data: String,
}

impl Sent {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let id = self.id.as_ref().map(|id| format!("id: {id}\n")).unwrap_or_default();
        format!("event: {}\n{id}data: {}\n\n", self.name, self.data).into_bytes()
    }
}

impl Environment {
    /// Nothing, at revision 1.
    pub(crate) fn new() -> Self {
        Self { incarnation: INCARNATION, revision: 1, flags: BTreeMap::new(), cohorts: BTreeMap::new(), absorbed: Vec::new() }
    }

    /// With a boolean flag at this percentage.
    pub(crate) fn with(key: &str, percentage: f64) -> Self {
        let mut environment = Self::new();
        environment.flags.insert(key.into(), flag(key, percentage));
        environment
    }

    pub(crate) fn identity(&self) -> Identity {
        let flags = self.flags.values().map(|text| item_hash(ItemKind::Flag, text));
        let cohorts = self.cohorts.values().map(|text| item_hash(ItemKind::Cohort, text));
        let digest = flags.chain(cohorts).fold(0, u64::wrapping_add);
        Identity { incarnation: self.incarnation, revision: self.revision, digest }
    }

    /// The data of a `ruleset` event.
    pub(crate) fn body(&self) -> String {
        let join = |items: &BTreeMap<String, String>| items.values().cloned().collect::<Vec<_>>().join(",");
        let absorbed = serde_json::to_string(&self.absorbed).unwrap();
        format!(r#"{{"format":1,"flags":[{}],"cohorts":[{}],"absorbed":{absorbed}}}"#, join(&self.flags), join(&self.cohorts))
    }

    pub(crate) fn ruleset(&self) -> Sent {
        Sent { name: "ruleset", id: Some(self.identity().to_string()), data: self.body() }
    }

    pub(crate) fn heartbeat(&self) -> Sent {
        Sent { name: "heartbeat", id: None, data: format!(r#"{{"head":"{}"}}"#, self.identity()) }
    }

    /// Puts a flag's text; the change that says so.
    pub(crate) fn put(&mut self, key: &str, text: &str) -> Sent {
        self.flags.insert(key.into(), text.into());
        self.change(&format!(r#""put":{{"flags":[{text}]}}"#))
    }

    /// Puts a boolean flag at this percentage.
    pub(crate) fn raise(&mut self, key: &str, percentage: f64) -> Sent {
        self.put(key, &flag(key, percentage))
    }

    pub(crate) fn put_cohort(&mut self, key: &str, text: &str) -> Sent {
        self.cohorts.insert(key.into(), text.into());
        self.change(&format!(r#""put":{{"cohorts":[{text}]}}"#))
    }

    pub(crate) fn remove(&mut self, key: &str) -> Sent {
        self.flags.remove(key);
        self.change(&format!(r#""remove":{{"flags":["{key}"]}}"#))
    }

    pub(crate) fn remove_cohort(&mut self, key: &str) -> Sent {
        self.cohorts.remove(key);
        self.change(&format!(r#""remove":{{"cohorts":["{key}"]}}"#))
    }

    fn change(&mut self, what: &str) -> Sent {
        let from = self.revision;
        self.revision += 1;
        let data = format!(r#"{{"format":1,"from":{from},{what}}}"#);
        Sent { name: "change", id: Some(self.identity().to_string()), data }
    }
}

/// A boolean flag with nothing but a percentage.
pub(crate) fn flag(key: &str, percentage: f64) -> String {
    let millionths = (percentage * 10_000.0).round();
    format!(
        r#"{{"key":"{key}","killed":false,"off":"off","variants":{{"on":true,"off":false}},"enabled":true,"seed":"{key}","unit":"targetingKey","prerequisites":[],"overrides":{{}},"rules":[],"rollout":{{"cohorts":[],"millionths":{millionths},"serve":"on"}}}}"#
    )
}

/// A boolean flag that is watched since this revision set its rollout.
pub(crate) fn flag_watched(key: &str, percentage: f64, rollout_revision: u64) -> String {
    let watch = format!(r#","watch":{{"rollout_revision":{rollout_revision},"limits_ms":[200,1000]}}}}"#);
    flag(key, percentage).strip_suffix('}').unwrap().to_owned() + &watch
}

/// A flag that is on for one cohort alone.
pub(crate) fn flag_for_cohort(key: &str, cohort: &str) -> String {
    flag(key, 0.0).replace(r#""cohorts":[]"#, &format!(r#""cohorts":["{cohort}"]"#))
}

/// A flag that serves one value to everybody.
pub(crate) fn flag_serving(key: &str, value: &str) -> String {
    flag(key, 100.0).replace(r#"{"on":true,"off":false}"#, &format!(r#"{{"on":{value},"off":{value}}}"#))
}

/// A flag as a later version may write it: an operator and fields that nobody knows yet.
pub(crate) fn flag_of_the_future(key: &str, killed: bool) -> String {
    flag(key, 100.0).replace(r#""killed":false"#, &format!(r#""killed":{killed}"#)).replace(
        r#""rules":[]"#,
        r#""rules":[{"id":"r","if":[{"attribute":"mood","resembles":["sunny"]}],"serve":"on"}],"horoscope":{"sign":7}"#,
    )
}

/// A cohort by list, and the list.
pub(crate) fn cohort(key: &str, units: &[&str]) -> (String, CohortList) {
    const SEED: u64 = 0x5eed;
    let list = CohortList::from_hashes(units.iter().map(|unit| unit_hash(unit.as_bytes(), SEED)).collect());
    let (digest, count) = (list.digest(), list.len());
    let text = format!(r#"{{"key":"{key}","unit":"targetingKey","seed":"{SEED:016x}","list":{{"digest":"{digest}","count":{count}}}}}"#);
    (text, list)
}
