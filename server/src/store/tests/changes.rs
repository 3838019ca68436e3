//! History: catching up, and the past.

use super::{Database, NOW, both, change};
use crate::store::{NewChange, StoreError};

both!(
    the_past_is_exact,
    a_revision_is_never_cut,
    an_item_changes_once_in_a_revision,
    audit_has_what_is_not_served,
    history_takes_many_rows
);

async fn the_past_is_exact(database: Database) {
    let (_, environment) = database.production().await;
    for (at, kind, key, after) in [
        (10, "flag", "a", Some("a1")),
        (20, "flag", "b", Some("b2")),
        (30, "cohort", "a", Some("c3")),
        (30, "flag", "a", Some("a4")),
        (50, "flag", "b", None),
        (60, "flag", "b", Some("b6")),
    ] {
        database.write(environment, NOW + at, kind, key, after).await;
    }
    let store = &database.store;
    let at = async |revision| {
        let rows = store.items_at(environment, revision).await.unwrap();
        rows.into_iter().map(|row| format!("{}/{}={}", row.kind, row.key, row.after.unwrap())).collect::<Vec<_>>()
    };
    assert!(at(0).await.is_empty());
    assert_eq!(at(2).await, ["flag/a=a1", "flag/b=b2"]);
    assert_eq!(at(4).await, ["cohort/a=c3", "flag/a=a4", "flag/b=b2"]);
    assert_eq!(at(5).await, ["cohort/a=c3", "flag/a=a4"]);
    assert_eq!(at(99).await, ["cohort/a=c3", "flag/a=a4", "flag/b=b6"]);

    assert_eq!(store.item_at(environment, "flag", "b", 1).await.unwrap(), None);
    assert_eq!(store.item_at(environment, "flag", "b", 4).await.unwrap().as_deref(), Some("b2"));
    assert_eq!(store.item_at(environment, "flag", "b", 5).await.unwrap(), None);
    assert_eq!(store.item_at(environment, "cohort", "a", 6).await.unwrap().as_deref(), Some("c3"));

    for (moment, revision) in [(9, None), (10, Some(1)), (29, Some(2)), (30, Some(4)), (59, Some(5)), (1000, Some(6))] {
        assert_eq!(store.revision_at(environment, NOW + moment).await.unwrap(), revision, "at {moment}");
    }
    assert_eq!(store.moment_of(environment, 4).await.unwrap(), Some(NOW + 30));
    assert_eq!(store.keys_at(environment, "flag", 1).await.unwrap(), ["a"]);

    let page = async |below, limit| {
        let rows = store.history(environment, "flag", "b", below, limit).await.unwrap();
        rows.into_iter().map(|row| (row.revision.unwrap(), row.after)).collect::<Vec<_>>()
    };
    assert_eq!(page(i64::MAX, 2).await, [(6, Some("b6".to_owned())), (5, None)]);
    assert_eq!(page(5, 2).await, [(2, Some("b2".to_owned()))]);
}

async fn a_revision_is_never_cut(database: Database) {
    let (_, environment) = database.production().await;
    for keys in [vec!["a"], vec!["b", "c", "d"], vec!["e"], vec![], vec!["f"]] {
        let mut tx = database.store.begin().await.unwrap();
        let row = tx.lock_and_advance(environment, NOW).await.unwrap().unwrap();
        for key in keys {
            tx.insert_change(&change(&row, "flag", key, Some("{}"))).await.unwrap();
        }
        tx.commit().await.unwrap();
    }
    let since = async |revision, limit| {
        let rows = database.store.changes_since(environment, revision, limit).await.unwrap();
        rows.into_iter().map(|row| row.key).collect::<String>()
    };
    assert_eq!(since(0, 1).await, "a");
    assert_eq!(since(0, 2).await, "abcd");
    assert_eq!(since(0, 4).await, "abcd");
    assert_eq!(since(1, 1).await, "bcd");
    assert_eq!(since(2, 0).await, "e");
    assert_eq!(since(0, 100).await, "abcdef");
    assert_eq!(since(5, 100).await, "");
}

async fn an_item_changes_once_in_a_revision(database: Database) {
    let (_, environment) = database.production().await;
    let mut tx = database.store.begin().await.unwrap();
    let row = tx.lock_and_advance(environment, NOW).await.unwrap().unwrap();
    tx.insert_change(&change(&row, "flag", "a", Some("1"))).await.unwrap();
    tx.insert_change(&change(&row, "cohort", "a", Some("1"))).await.unwrap();
    let twice = tx.insert_change(&change(&row, "flag", "a", Some("2"))).await;
    assert!(matches!(twice, Err(StoreError::Taken(_))), "{twice:?}");
}

async fn audit_has_what_is_not_served(database: Database) {
    let (project, environment) = database.production().await;
    let served = database.write(environment, NOW, "flag", "a", Some("1")).await;
    let audited =
        |environment, kind, key| NewChange { environment, revision: None, reason: None, ..change(&served, kind, key, Some("{}")) };
    let mut tx = database.store.begin().await.unwrap();
    tx.insert_change(&audited(None, "flag_definition", "a")).await.unwrap();
    // Without a revision the same thing may be written again and again.
    tx.insert_change(&audited(Some(environment), "key", "k1")).await.unwrap();
    tx.insert_change(&audited(Some(environment), "key", "k1")).await.unwrap();
    tx.commit().await.unwrap();

    let store = &database.store;
    let all = store.audit(environment, project, i64::MAX, 10).await.unwrap();
    let kinds: Vec<&str> = all.iter().map(|row| row.kind.as_str()).collect();
    assert_eq!(kinds, ["key", "key", "flag_definition", "flag"]);
    let next = store.audit(environment, project, all[1].id, 1).await.unwrap();
    assert_eq!((next[0].kind.as_str(), next[0].revision, next[0].reason.as_deref()), ("flag_definition", None, None));
    assert_eq!(store.changes_since(environment, 0, 10).await.unwrap().len(), 1);
    assert_eq!(store.items_at(environment, 10).await.unwrap().len(), 1);
}

async fn history_takes_many_rows(database: Database) {
    let (_, environment) = database.production().await;
    let mut tx = database.store.begin().await.unwrap();
    let row = tx.lock_and_advance(environment, NOW).await.unwrap().unwrap();
    let keys: Vec<String> = (0..1203).map(|number| format!("flag-{number:04}")).collect();
    let rows: Vec<_> = keys.iter().map(|key| change(&row, "flag", key, Some("{\"ü\":\"\\u0000\"}"))).collect();
    tx.insert_changes(&rows).await.unwrap();
    tx.insert_changes(&[]).await.unwrap();
    tx.commit().await.unwrap();
    let found = database.store.changes_since(environment, 0, 1).await.unwrap();
    assert_eq!(found.iter().map(|row| &row.key).collect::<Vec<_>>(), keys.iter().collect::<Vec<_>>());
    assert!(found.iter().all(|row| row.after.as_deref() == Some("{\"ü\":\"\\u0000\"}") && row.actor == "ada"));
}
