//! A flag that is watched, without a release that goes on and off: its item is written as the service writes it.

use std::path::Path;

use storyflag_evaluation::{ItemKind, item_hash};
use storyflag_server::store::{NewChange, Store};

use crate::messages::FLAG;

/// Marks the flag as watched in `staging`, in the database of a service that runs; the revision since which it is.
pub async fn watch(database: &Path) -> u64 {
    let store = Store::open(&format!("sqlite:{}", database.display()), 2).await.unwrap();
    let project = store.find_project("default").await.unwrap().unwrap();
    let environment = store.find_environment(project.id, "staging").await.unwrap().unwrap();
    let mut tx = store.begin().await.unwrap();
    let row = tx.lock_and_advance(environment.id, environment.changed_at + 1).await.unwrap().unwrap();
    let before = tx.find_targeting(environment.id, FLAG).await.unwrap().unwrap().item;
    let mut item: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&before).unwrap();
    item.insert("watch".to_owned(), serde_json::json!({ "rollout_revision": row.revision, "limits_ms": [200, 500, 1_000] }));
    let after = serde_json::to_string(&item).unwrap();
    tx.update_targeting(environment.id, FLAG, &after, row.changed_at, "bench").await.unwrap();
    let change = NewChange {
        project: project.id,
        environment: Some(environment.id),
        revision: Some(row.revision),
        at: row.changed_at,
        actor: "bench",
        reason: None,
        request: "bench",
        kind: ItemKind::Flag.name(),
        key: FLAG,
        after: Some(&after),
    };
    tx.insert_change(&change).await.unwrap();
    let hash = |text: &str| item_hash(ItemKind::Flag, text);
    let digest = row.identity().digest.wrapping_sub(hash(&before)).wrapping_add(hash(&after));
    tx.settle_environment(environment.id, digest, row.flags, row.item_bytes).await.unwrap();
    tx.commit().await.unwrap();
    store.close().await;
    row.revision.cast_unsigned()
}
