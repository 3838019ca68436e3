//! Rulesets that an application makes itself, for its unit tests.

use std::collections::BTreeMap;

use storyflag_evaluation::{FlagItem, Identity, Percentage, Rollout, Ruleset, Serve};

/// A ruleset in which everybody gets these values; a later value of the same flag replaces an earlier one.
pub(crate) fn ruleset<K: Into<String>, V: Into<serde_json::Value>>(flags: impl IntoIterator<Item = (K, V)>) -> Ruleset {
    let texts: Vec<String> =
        flags.into_iter().filter_map(|(key, value)| serde_json::to_string(&item(key.into(), value.into())).ok()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let unnamed = Ruleset::compile(Identity::default(), &texts, &[], None);
    let identity = Identity { digest: unnamed.digest(), ..Identity::default() };
    Ruleset::compile(identity, &texts, &[], None)
}

fn item(key: String, value: serde_json::Value) -> FlagItem {
    let (variants, serve, off) = match value {
        serde_json::Value::Bool(on) => {
            let variants = BTreeMap::from([("on".to_owned(), true.into()), ("off".to_owned(), false.into())]);
            (variants, if on { "on" } else { "off" }, "off")
        }
        value => (BTreeMap::from([("fixed".to_owned(), value)]), "fixed", "fixed"),
    };
    FlagItem {
        seed: key.clone(),
        key,
        killed: false,
        off: off.to_owned(),
        variants,
        enabled: true,
        unit: "targetingKey".to_owned(),
        prerequisites: Vec::new(),
        overrides: BTreeMap::new(),
        rules: Vec::new(),
        rollout: Rollout { cohorts: Vec::new(), millionths: Percentage::ALL, serve: Serve::Variant(serve.to_owned()), otherwise: None },
        client: None,
        watch: None,
    }
}
