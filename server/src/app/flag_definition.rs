//! What people say of a flag, and the row that it makes.

use std::collections::BTreeMap;

use serde_json::Value;
use storyflag_evaluation::{Fault, check_flag};

use super::{
    check_key,
    items::{born, refuse},
};
use crate::{
    error::Error,
    store::{FlagRow, ProjectRow},
};

const MOST_TAGS: usize = 50;

/// What a PUT of a flag says.
#[derive(Debug, Clone, Default)]
pub struct FlagDefinition {
    /// The user story it releases.
    pub story: String,
    /// What it is for.
    pub description: String,
    /// Name to value; none: boolean `on` and `off`.
    pub variants: Option<BTreeMap<String, Value>>,
    /// The variant of who is out.
    pub off: Option<String>,
    /// The variant of who is in.
    pub serve: Option<String>,
    /// For finding it.
    pub tags: Vec<String>,
    /// Who answers for it.
    pub owner: String,
    /// The seed text of its buckets; the key unless given.
    pub seed: Option<String>,
    /// Whether browsers and phones may see it.
    pub client: bool,
}

/// What a PATCH of a flag says: only what changes.
#[derive(Debug, Clone, Default)]
pub struct FlagPatch {
    /// See [`FlagDefinition`], as for all.
    pub story: Option<String>,
    #[allow(missing_docs)]
    pub description: Option<String>,
    #[allow(missing_docs)]
    pub variants: Option<BTreeMap<String, Value>>,
    #[allow(missing_docs)]
    pub off: Option<String>,
    #[allow(missing_docs)]
    pub serve: Option<String>,
    #[allow(missing_docs)]
    pub tags: Option<Vec<String>>,
    #[allow(missing_docs)]
    pub owner: Option<String>,
    #[allow(missing_docs)]
    pub client: Option<bool>,
}

pub(super) fn row_of(
    project: &ProjectRow,
    key: &str,
    definition: FlagDefinition,
    before: Option<&FlagRow>,
    now: i64,
) -> Result<FlagRow, Error> {
    let mut faults = Vec::new();
    let plain = definition.variants.is_none();
    if !plain {
        for (name, given) in [("off", &definition.off), ("serve", &definition.serve)] {
            if given.is_none() {
                let detail = format!("is missing: a flag with variants of its own names the variant it means by \"{name}\"");
                faults.push(Fault { pointer: format!("/{name}"), detail });
            }
        }
    }
    let variants = definition.variants.unwrap_or_else(|| [("on".to_owned(), true.into()), ("off".to_owned(), false.into())].into());
    for name in variants.keys() {
        if let Err(Error::Invalid(more)) = check_key(&format!("/variants/{}", name.replace('~', "~0").replace('/', "~1")), "variant", name)
        {
            faults.extend(more);
        }
    }
    if let Some(serve) = definition.serve.as_ref().filter(|serve| !variants.contains_key(*serve)) {
        let known: Vec<&str> = variants.keys().map(String::as_str).collect();
        let detail = format!("{serve:?} is not a variant of this flag; it has {}", known.join(", "));
        faults.push(Fault { pointer: "/serve".to_owned(), detail });
    }
    if definition.tags.len() > MOST_TAGS {
        faults.push(Fault { pointer: "/tags".to_owned(), detail: format!("has more than {MOST_TAGS} tags") });
    }
    let seed = definition.seed.or_else(|| before.map(|row| row.seed.clone())).unwrap_or_else(|| key.to_owned());
    if let Some(fixed) = before.map(|row| &row.seed).filter(|fixed| **fixed != seed) {
        let detail = format!("is {seed:?}, but a flag's seed never changes, and this one's is {fixed:?}");
        faults.push(Fault { pointer: "/seed".to_owned(), detail });
    }
    if seed.is_empty() {
        faults.push(Fault { pointer: "/seed".to_owned(), detail: "is empty; leave it out for the key".to_owned() });
    }
    let row = FlagRow {
        id: before.map_or(0, |row| row.id),
        project: project.id,
        key: key.to_owned(),
        story: definition.story,
        description: definition.description,
        variants: serde_json::to_string(&variants).map_err(Error::internal)?,
        off: definition.off.unwrap_or_else(|| "off".to_owned()),
        serve: definition.serve.unwrap_or_else(|| "on".to_owned()),
        tags: serde_json::to_string(&definition.tags).map_err(Error::internal)?,
        owner: definition.owner,
        seed,
        client: definition.client,
        archived_at: None,
        version: before.map_or(1, |row| row.version),
        created_at: before.map_or(now, |row| row.created_at),
        updated_at: now,
    };
    // What no SDK could serve; what was found to be missing above is not found again.
    let unservable = check_flag(&born(&row)?).into_iter().filter(|fault| !fault.pointer.starts_with("/rollout"));
    let known: Vec<String> = faults.iter().map(|fault| fault.pointer.clone()).collect();
    faults.extend(unservable.filter(|fault| !known.contains(&fault.pointer)));
    refuse(faults)?;
    Ok(row)
}

pub(super) fn same_content(left: &FlagRow, right: &FlagRow) -> bool {
    let content = |row: &FlagRow| {
        let texts = (row.story.clone(), row.description.clone(), row.variants.clone(), row.off.clone(), row.serve.clone());
        (texts, row.tags.clone(), row.owner.clone(), row.seed.clone(), row.client)
    };
    content(left) == content(right)
}

pub(super) fn tags_of(row: &FlagRow) -> Vec<String> {
    serde_json::from_str(&row.tags).unwrap_or_default()
}

pub(super) fn audit_of(row: &FlagRow) -> String {
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    serde_json::json!({
        "story": row.story, "description": row.description, "variants": json(&row.variants), "off": row.off, "serve": row.serve,
        "tags": json(&row.tags), "owner": row.owner, "seed": row.seed, "client": row.client,
    })
    .to_string()
}
