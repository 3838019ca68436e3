//! Items: what an environment serves of a flag, as wire text and as what it says.

use std::collections::BTreeMap;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, value::RawValue};
use storyflag_evaluation::{Fault, FlagItem, Percentage, Rollout, Serve};

use crate::{error::Error, store::FlagRow};

/// The wire text of a flag: from here on it is never encoded again.
pub(super) fn encode(item: &FlagItem) -> Result<String, Error> {
    serde_json::to_string(item).map_err(Error::internal)
}

/// What this version understands of a wire text.
#[derive(Debug, Clone)]
pub(super) struct Understood {
    /// All of it, or the envelope and whatever else can be read.
    pub(super) item: FlagItem,
    /// Why it is not all: a newer version of the service wrote it.
    pub(super) unsupported: Option<String>,
}

/// A flag of a wire text, which is to be changed or copied: 409 where a newer version wrote what this one does not know.
pub(super) fn decode(text: &str) -> Result<FlagItem, Error> {
    let understood = understand(text)?;
    understood.unsupported.map_or(Ok(understood.item), |why| Err(not_understood(&why)))
}

/// What a change meets that would lose what it does not understand.
pub(super) fn not_understood(why: &str) -> Error {
    Error::Conflict(
        format!(
            "a newer version of the service wrote this targeting, and this one does not understand it ({why}): change it there; a kill works here, too"
        ),
        None,
    )
}

/// A flag to look at, or to kill. The envelope is understood by every version, so this fails for no flag of any version.
pub(super) fn understand(text: &str) -> Result<Understood, Error> {
    let why = match serde_json::from_str::<FlagItem>(text) {
        Ok(item) => {
            let (all, mine) = (serde_json::from_str(text).map_err(Error::internal)?, serde_json::to_value(&item).map_err(Error::internal)?);
            let unsupported = unknown_field(&all, &mine).map(|field| format!("it has a field {field:?}"));
            return Ok(Understood { item, unsupported });
        }
        Err(why) => why.to_string(),
    };
    let mut fields: Map<String, Value> = serde_json::from_str(text).map_err(Error::internal)?;
    let item = FlagItem {
        key: needed(&mut fields, "key")?,
        killed: needed(&mut fields, "killed")?,
        off: needed(&mut fields, "off")?,
        variants: needed(&mut fields, "variants")?,
        enabled: readable(&mut fields, "enabled").unwrap_or(true),
        seed: readable(&mut fields, "seed").unwrap_or_default(),
        unit: readable(&mut fields, "unit").unwrap_or_default(),
        prerequisites: readable_of(&mut fields, "prerequisites"),
        overrides: readable(&mut fields, "overrides").unwrap_or_default(),
        rules: readable_of(&mut fields, "rules"),
        rollout: rollout_of(&mut fields),
        client: readable(&mut fields, "client"),
        watch: readable(&mut fields, "watch"),
    };
    Ok(Understood { item, unsupported: Some(why) })
}

/// The first field that says something in one JSON and is not in the other: to write the other would lose it.
fn unknown_field(all: &Value, mine: &Value) -> Option<String> {
    match (all, mine) {
        (Value::Object(all), Value::Object(mine)) => all.iter().find_map(|(name, value)| match mine.get(name) {
            Some(known) => unknown_field(value, known),
            None => says_something(value).then(|| name.clone()),
        }),
        (Value::Array(all), Value::Array(mine)) => all.iter().zip(mine).find_map(|(value, known)| unknown_field(value, known)),
        _ => None,
    }
}

fn says_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(values) => !values.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    }
}

fn needed<T: DeserializeOwned>(fields: &mut Map<String, Value>, name: &str) -> Result<T, Error> {
    readable(fields, name).ok_or_else(|| Error::internal(format!("a flag whose envelope has no readable {name}")))
}

fn readable<T: DeserializeOwned>(fields: &mut Map<String, Value>, name: &str) -> Option<T> {
    fields.remove(name).and_then(|value| serde_json::from_value(value).ok())
}

/// Those of a list that can be read.
fn readable_of<T: DeserializeOwned>(fields: &mut Map<String, Value>, name: &str) -> Vec<T> {
    let values: Vec<Value> = readable(fields, name).unwrap_or_default();
    values.into_iter().filter_map(|value| serde_json::from_value(value).ok()).collect()
}

fn rollout_of(fields: &mut Map<String, Value>) -> Rollout {
    let mut fields: Map<String, Value> = readable(fields, "rollout").unwrap_or_default();
    Rollout {
        cohorts: readable(&mut fields, "cohorts").unwrap_or_default(),
        millionths: readable(&mut fields, "millionths").unwrap_or(Percentage::ZERO),
        serve: readable(&mut fields, "serve").unwrap_or(Serve::Split(Vec::new())),
        otherwise: readable(&mut fields, "otherwise"),
    }
}

/// The same text with the other kill bit: what a newer version put beside it stays, to the byte.
pub(super) fn with_killed(text: &str, killed: bool) -> Result<String, Error> {
    #[derive(Deserialize)]
    struct Bit<'a> {
        #[serde(borrow)]
        killed: &'a RawValue,
    }
    let bit: Bit<'_> = serde_json::from_str(text).map_err(Error::internal)?;
    let old = bit.killed.get();
    // It is a slice of the text, so this is where in the text it begins.
    let start = old.as_ptr().addr().saturating_sub(text.as_ptr().addr());
    let rest = start.saturating_add(old.len());
    match (text.get(..start), text.get(rest..)) {
        (Some(before), Some(after)) => Ok(format!("{before}{killed}{after}")),
        _ => Err(Error::internal("a value outside of its text")),
    }
}

/// A flag as it is born in an environment: enabled, at 0 %, without a cohort.
pub(super) fn born(flag: &FlagRow) -> Result<FlagItem, Error> {
    Ok(FlagItem {
        key: flag.key.clone(),
        killed: false,
        off: flag.off.clone(),
        variants: variants_of(flag)?,
        enabled: true,
        seed: flag.seed.clone(),
        unit: "targetingKey".to_owned(),
        prerequisites: Vec::new(),
        overrides: BTreeMap::new(),
        rules: Vec::new(),
        rollout: Rollout { cohorts: Vec::new(), millionths: Percentage::ZERO, serve: Serve::Variant(flag.serve.clone()), otherwise: None },
        client: flag.client.then_some(true),
        watch: None,
    })
}

/// A flag's variants.
pub(super) fn variants_of(row: &FlagRow) -> Result<BTreeMap<String, Value>, Error> {
    serde_json::from_str(&row.variants).map_err(Error::internal)
}

/// 422 when there are faults.
pub(super) fn refuse(faults: Vec<Fault>) -> Result<(), Error> {
    if faults.is_empty() { Ok(()) } else { Err(Error::Invalid(faults)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a later version may write it: fields and an operator that this one does not know.
    const LATER: &str = r#"{"key":"a","killed":false,"off":"off","variants":{"off":false,"on":true},"mood":{"killed":7},"enabled":true,"seed":"a","unit":"targetingKey","rules":[{"id":"near","if":[{"attribute":"place","near":[1.50,2]}],"serve":"on"},{"id":"all","if":[],"serve":"on"}],"rollout":{"cohorts":["us"],"millionths":1000,"serve":"on","pace":"slow"}}"#;

    #[test]
    fn a_kill_changes_one_word_of_the_text() {
        let killed = with_killed(LATER, true).unwrap();
        assert_eq!(killed, LATER.replacen("false", "true", 1));
        assert_eq!(with_killed(&killed, false).unwrap(), LATER);
        assert!(with_killed(r#"{"key":"a"}"#, true).is_err());
    }

    #[test]
    fn a_field_that_would_be_lost_is_not_understood() {
        let known = r#"{"key":"a","killed":false,"off":"off","variants":{"off":{"size":1},"on":{"size":2}},"enabled":true,"seed":"a","unit":"targetingKey","prerequisites":[],"rollout":{"cohorts":[],"millionths":0,"serve":"on"}}"#;
        assert!(understand(known).unwrap().unsupported.is_none());
        for (field, later) in [
            ("mood", known.replacen("\"enabled\"", "\"mood\":1,\"enabled\"", 1)),
            ("pace", known.replacen("\"millionths\"", "\"pace\":\"slow\",\"millionths\"", 1)),
        ] {
            assert_eq!(understand(&later).unwrap().unsupported, Some(format!("it has a field {field:?}")));
        }
        assert!(understand(&known.replacen("\"enabled\"", "\"mood\":null,\"enabled\"", 1)).unwrap().unsupported.is_none());
    }

    #[test]
    fn of_a_later_version_as_much_is_told_as_can_be_read() {
        let Understood { item, unsupported } = understand(LATER).unwrap();
        assert!(unsupported.unwrap().contains("near"));
        assert_eq!((item.key.as_str(), item.killed, item.off.as_str(), item.enabled), ("a", false, "off", true));
        assert_eq!((item.rollout.millionths.percent(), item.rollout.cohorts), (0.1, vec!["us".to_owned()]));
        assert_eq!(item.rules.iter().map(|rule| rule.id.as_str()).collect::<Vec<_>>(), ["all"]);
        assert!(matches!(decode(LATER), Err(Error::Conflict(..))));
    }
}
