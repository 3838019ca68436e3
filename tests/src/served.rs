//! What a node serves to whoever polls, checked from outside.

use serde::Deserialize;
use serde_json::value::RawValue;
use storyflag_evaluation::{Identity, ItemKind, item_hash};

use crate::actors::Actor;

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    flags: Vec<&'a RawValue>,
    #[serde(borrow)]
    cohorts: Vec<&'a RawValue>,
}

/// Which ruleset the node of this actor serves to who holds this SDK key. Its digest is that of the items that came.
///
/// # Panics
/// When it is not, or when there is none.
pub async fn served(somebody: &Actor, sdk_key: &str) -> Identity {
    let answer = somebody.with_token("application", Some(sdk_key)).get("/sdk/v1/ruleset").await.expect(200);
    let identity: Identity = answer.header("etag").trim_matches('"').parse().expect("the ETag is an identity");
    let body: Body<'_> = serde_json::from_str(&answer.text).expect("a ruleset");
    let hash = |kind: ItemKind, items: &[&RawValue]| items.iter().fold(0_u64, |sum, item| sum.wrapping_add(item_hash(kind, item.get())));
    let digest = hash(ItemKind::Flag, &body.flags).wrapping_add(hash(ItemKind::Cohort, &body.cohorts));
    assert_eq!(digest, identity.digest, "the digest of {identity} is not that of its items");
    identity
}
