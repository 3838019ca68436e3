//! The environment's row: lock, number and digest.

use std::{collections::BTreeSet, sync::Arc};

use storyflag_evaluation::{Identity, ItemKind, item_hash};

use super::{Database, NOW, both, change, flag, targeting};
use crate::store::{NewEnvironment, SigningKeyRow, StoreError};

both!(
    fifty_writers_leave_no_gap,
    what_is_not_committed_never_was,
    history_never_runs_backwards,
    a_regressed_environment_takes_a_new_incarnation,
    a_mark_needs_the_head_that_was_seen,
    incarnations_only_rise,
    heads_tell_what_is_served,
    an_environment_is_read_at_one_moment,
    settings_are_changed_by_compare_and_set,
    a_project_can_be_locked,
    a_taken_key_is_told,
    nodes_that_start_together_share_one_signing_key,
    keys_die_once,
);

async fn fifty_writers_leave_no_gap(database: Database) {
    let (_, environment) = database.production().await;
    let database = Arc::new(database);
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..50_usize {
        let database = Arc::clone(&database);
        writers.spawn(async move {
            let mut revisions = Vec::new();
            for round in 0..4 {
                let mut tx = database.store.begin().await.unwrap();
                let row = tx.lock_and_advance(environment, NOW).await.unwrap().unwrap();
                let key = format!("flag-{writer}");
                tx.insert_change(&change(&row, "flag", &key, Some("{}"))).await.unwrap();
                // Every fourth thinks better of it: its number is not used up.
                if (writer + round) % 4 == 0 {
                    tx.rollback().await.unwrap();
                } else {
                    tx.commit().await.unwrap();
                    revisions.push(row.revision);
                }
            }
            revisions
        });
    }
    let revisions = writers.join_all().await.concat();
    let expected: BTreeSet<i64> = (1..=150).collect();
    assert_eq!(revisions.len(), 150);
    assert_eq!(revisions.into_iter().collect::<BTreeSet<_>>(), expected);
    let history = database.store.changes_since(environment, 0, 1000).await.unwrap();
    assert_eq!(history.iter().filter_map(|row| row.revision).collect::<Vec<_>>(), (1..=150).collect::<Vec<_>>());
    assert_eq!(database.store.heads().await.unwrap()[0].identity().revision, 150);
}

async fn what_is_not_committed_never_was(database: Database) {
    let (_, environment) = database.production().await;
    let mut tx = database.store.begin().await.unwrap();
    let row = tx.lock_and_advance(environment, NOW).await.unwrap().unwrap();
    tx.insert_change(&change(&row, "flag", "a", Some("{}"))).await.unwrap();
    drop(tx);
    // A writer whose request was cut off in the middle of a statement.
    let mut tx = database.store.begin().await.unwrap();
    {
        let mut statement = Box::pin(tx.lock_and_advance(environment, NOW));
        std::future::poll_fn(|context| {
            let _ = statement.as_mut().poll(context);
            std::task::Poll::Ready(())
        })
        .await;
    }
    drop(tx);
    let row = database.write(environment, NOW, "flag", "b", Some("{}")).await;
    assert_eq!(row.revision, 1);
    let keys = database.store.keys_at(environment, "flag", 10).await.unwrap();
    assert_eq!(keys, ["b"]);
    assert!(database.store.begin().await.unwrap().lock_and_advance(environment + 1, NOW).await.unwrap().is_none());
}

async fn history_never_runs_backwards(database: Database) {
    let (_, environment) = database.production().await;
    assert_eq!(database.write(environment, NOW + 500, "flag", "a", Some("1")).await.changed_at, NOW + 500);
    assert_eq!(database.write(environment, NOW + 200, "flag", "a", Some("2")).await.changed_at, NOW + 500);
    assert_eq!(database.write(environment, NOW + 501, "flag", "a", Some("3")).await.changed_at, NOW + 501);
}

async fn a_regressed_environment_takes_a_new_incarnation(database: Database) {
    let (_, environment) = database.production().await;
    let head = database.store.heads().await.unwrap()[0];
    assert!(database.store.mark_regressed(environment, head.identity()).await.unwrap());
    assert!(database.store.heads().await.unwrap()[0].regressed);

    let row = database.write(environment, NOW + 1000, "flag", "a", Some("1")).await;
    assert_eq!((row.incarnation, row.revision, row.regressed), (NOW + 1000, 1, false));

    // At most once in ten minutes; until then the mark stays.
    let head = database.store.heads().await.unwrap()[0];
    assert!(database.store.mark_regressed(environment, head.identity()).await.unwrap());
    let row = database.write(environment, NOW + 2000, "flag", "a", Some("2")).await;
    assert_eq!((row.incarnation, row.revision, row.regressed), (NOW + 1000, 2, true));
    let row = database.write(environment, NOW + 601_000, "flag", "a", Some("3")).await;
    assert_eq!((row.incarnation, row.revision, row.regressed), (NOW + 601_000, 3, false));

    // A kill does not wait, whatever the clocks say.
    for now in [NOW + 601_001, NOW - 5_000] {
        let head = database.store.heads().await.unwrap()[0];
        assert!(database.store.mark_regressed(environment, head.identity()).await.unwrap());
        let mut tx = database.store.begin_ahead().await.unwrap();
        let row = tx.lock_and_advance_for_kill(environment, now).await.unwrap().unwrap();
        tx.commit().await.unwrap();
        assert!(row.identity().incarnation > head.identity().incarnation && !row.regressed, "{row:?}");
    }
}

async fn a_mark_needs_the_head_that_was_seen(database: Database) {
    let (_, environment) = database.production().await;
    let seen = database.store.heads().await.unwrap()[0].identity();
    database.write(environment, NOW, "flag", "a", Some("1")).await;
    assert!(!database.store.mark_regressed(environment, seen).await.unwrap());
    assert!(!database.store.heads().await.unwrap()[0].regressed);
}

async fn incarnations_only_rise(database: Database) {
    let (_, environment) = database.production().await;
    // By a clock that is behind, too.
    for (now, expected) in [(NOW - 5000, NOW + 1), (NOW + 10, NOW + 10)] {
        let mut tx = database.store.begin().await.unwrap();
        tx.raise_incarnation(environment, now).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(database.store.heads().await.unwrap()[0].identity().incarnation, u64::try_from(expected).unwrap());
    }
}

async fn heads_tell_what_is_served(database: Database) {
    let (project, production) = database.production().await;
    let mut tx = database.store.begin().await.unwrap();
    let new = NewEnvironment { project, key: "staging", name: "Staging", protected: false, options: "{}", at: NOW + 7 };
    let staging = tx.insert_environment(&new).await.unwrap();
    tx.lock_and_advance(staging, NOW + 8).await.unwrap();
    // The upper half of the digest's values is kept, too.
    tx.settle_environment(staging, u64::MAX - 4, 3, 120).await.unwrap();
    tx.touch_settings(production).await.unwrap();
    tx.commit().await.unwrap();

    let heads = database.store.heads().await.unwrap();
    assert_eq!(heads.iter().map(|head| (head.id, head.settings)).collect::<Vec<_>>(), [(production, 1), (staging, 0)]);
    let incarnation = u64::try_from(NOW + 7).unwrap();
    assert_eq!(heads[1].identity(), Identity { incarnation, revision: 1, digest: u64::MAX - 4 });
    let row = database.store.find_environment_by_id(staging).await.unwrap().unwrap();
    assert_eq!((row.key.as_str(), row.flags, row.item_bytes, row.identity()), ("staging", 3, 120, heads[1].identity()));
    assert_eq!(database.store.find_environment(project, "staging").await.unwrap().unwrap().id, staging);
    assert!(database.store.find_environment(project, "qa").await.unwrap().is_none());
}

async fn an_environment_is_read_at_one_moment(database: Database) {
    let (project, environment) = database.production().await;
    let mut tx = database.store.begin().await.unwrap();
    let flag = tx.insert_flag(&flag(project, "a")).await.unwrap();
    tx.insert_targeting(&targeting(environment, flag, "a", "0")).await.unwrap();
    tx.settle_environment(environment, item_hash(ItemKind::Flag, "0"), 1, 1).await.unwrap();
    tx.commit().await.unwrap();

    let database = Arc::new(database);
    let writer = tokio::spawn({
        let database = Arc::clone(&database);
        async move {
            for turn in 1..=60 {
                let text = turn.to_string();
                let mut tx = database.store.begin().await.unwrap();
                tx.lock_and_advance(environment, NOW).await.unwrap();
                tx.update_targeting(environment, "a", &text, NOW, "ada").await.unwrap();
                tx.settle_environment(environment, item_hash(ItemKind::Flag, &text), 1, 1).await.unwrap();
                tx.commit().await.unwrap();
            }
        }
    });
    let mut seen = 0;
    while seen < 60 {
        let loaded = database.store.load_environment(environment).await.unwrap().unwrap();
        seen = loaded.head.identity().revision;
        assert_eq!(loaded.flags, [seen.to_string()]);
        assert_eq!(loaded.head.identity().digest, item_hash(ItemKind::Flag, &loaded.flags[0]));
    }
    writer.await.unwrap();
    assert!(database.store.load_environment(environment + 1).await.unwrap().is_none());
    // A snapshot cannot write.
    let mut snapshot = database.store.begin_snapshot().await.unwrap();
    assert!(snapshot.lock_and_advance(environment, NOW).await.is_err());
}

async fn settings_are_changed_by_compare_and_set(database: Database) {
    let (project, environment) = database.production().await;
    let row = database.store.find_environment(project, "production").await.unwrap().unwrap();
    for expected in [true, false] {
        let mut tx = database.store.begin().await.unwrap();
        assert_eq!(tx.update_environment(&row, "Live", false, "{}").await.unwrap(), expected);
        tx.commit().await.unwrap();
    }
    let row = database.store.find_environment_by_id(environment).await.unwrap().unwrap();
    assert_eq!((row.name.as_str(), row.protected, row.version, row.settings), ("Live", false, 2, 1));
}

async fn a_project_can_be_locked(database: Database) {
    let (project, _) = database.production().await;
    let other = database.open_again().await;
    let mut tx = database.store.begin().await.unwrap();
    assert!(tx.lock_project(project).await.unwrap());
    assert!(!tx.lock_project(project + 1).await.unwrap());
    // Another node waits for it, and then sees what was done under it.
    let waiting = tokio::spawn(async move {
        let mut tx = other.begin().await.unwrap();
        tx.lock_project(project).await.unwrap();
        tx.list_environments(project).await.unwrap().len()
    });
    let new = NewEnvironment { project, key: "staging", name: "Staging", protected: false, options: "{}", at: NOW };
    tx.insert_environment(&new).await.unwrap();
    assert!(!waiting.is_finished());
    tx.commit().await.unwrap();
    assert_eq!(waiting.await.unwrap(), 2);
}

async fn a_taken_key_is_told(database: Database) {
    let (project, _) = database.production().await;
    let mut tx = database.store.begin().await.unwrap();
    assert!(matches!(tx.insert_project("default", "Again", NOW).await, Err(StoreError::Taken(_))));
    drop(tx);
    let mut tx = database.store.begin().await.unwrap();
    let row = database.store.find_project("default").await.unwrap().unwrap();
    assert_eq!((row.id, row.version), (project, 1));
    assert!(tx.rename_project(&row, "Shop").await.unwrap());
    assert!(!tx.rename_project(&row, "Store").await.unwrap(), "somebody was faster");
    tx.insert_project("Zoo", "Zoo", NOW).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(database.store.find_project("default").await.unwrap().unwrap().name, "Shop");
    // By bytes, on both: upper case before lower case.
    let keys: Vec<String> = database.store.list_projects("", 10).await.unwrap().into_iter().map(|row| row.key).collect();
    assert_eq!(keys, ["Zoo", "default"]);
    assert_eq!(database.store.list_projects("Zoo", 10).await.unwrap().len(), 1);
}

async fn nodes_that_start_together_share_one_signing_key(database: Database) {
    let other = database.open_again().await;
    let mut nodes = tokio::task::JoinSet::new();
    for node in 0..10 {
        let store = if node % 2 == 0 { database.store.clone() } else { other.clone() };
        nodes.spawn(async move {
            let candidate = SigningKeyRow { id: format!("kid-{node}"), private_key: format!("secret-{node}"), created_at: NOW };
            let key = store.signing_key(&candidate).await.unwrap();
            (key.id, key.private_key)
        });
    }
    let keys: BTreeSet<_> = nodes.join_all().await.into_iter().collect();
    assert_eq!(keys.len(), 1, "{keys:?}");
    assert_eq!(database.store.list_signing_keys().await.unwrap().len(), 1);
}

async fn keys_die_once(database: Database) {
    let (_, environment) = database.production().await;
    let key = |id: &str| crate::store::KeyRow {
        id: id.to_owned(),
        environment,
        name: "web".to_owned(),
        hash: "00ff".to_owned(),
        created_at: NOW,
        created_by: "ada".to_owned(),
        revoked_at: None,
    };
    let mut tx = database.store.begin().await.unwrap();
    tx.insert_key(&key("a1")).await.unwrap();
    tx.insert_key(&key("b2")).await.unwrap();
    assert!(tx.revoke_key(environment, "a1", NOW + 5).await.unwrap());
    assert!(!tx.revoke_key(environment, "a1", NOW + 6).await.unwrap());
    assert!(!tx.revoke_key(environment + 1, "b2", NOW + 6).await.unwrap());
    tx.commit().await.unwrap();
    let live: Vec<String> = database.store.list_live_keys().await.unwrap().into_iter().map(|row| row.id).collect();
    assert_eq!(live, ["b2"]);
    let all: Vec<_> = database.store.list_keys(environment).await.unwrap().into_iter().map(|row| row.revoked_at).collect();
    assert_eq!(all, [Some(NOW + 5), None]);
}
