//! Items: what an environment serves of a flag, as wire text and as what it says.

use std::collections::BTreeMap;

use serde_json::Value;
use storyflag_evaluation::{Fault, FlagItem, Percentage, Rollout, Serve};

use crate::{error::Error, store::FlagRow};

/// The wire text of a flag: from here on it is never encoded again.
pub(super) fn encode(item: &FlagItem) -> Result<String, Error> {
    serde_json::to_string(item).map_err(Error::internal)
}

/// The flag of a wire text that this service wrote itself.
pub(super) fn decode(text: &str) -> Result<FlagItem, Error> {
    serde_json::from_str(text).map_err(Error::internal)
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
