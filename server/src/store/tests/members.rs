//! Members: generations, additions, ends, and the past.

use super::{Database, NOW, both};
use crate::store::StoreError;

both!(a_new_list_replaces_the_old_at_once, additions_and_ends_hold_from_their_revision, unfinished_lists_are_swept, a_long_list_is_paged);

fn units(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| format!("user-{number:06}")).collect()
}

async fn cohort(database: &Database) -> i64 {
    let (_, environment) = database.production().await;
    let mut tx = database.store.begin().await.unwrap();
    let cohort = tx.insert_cohort(environment, "staff", "", "{}", NOW).await.unwrap();
    tx.commit().await.unwrap();
    cohort
}

/// Writes a whole list, not current yet.
async fn write_list(database: &Database, cohort: i64, units: &[String]) -> i64 {
    let mut tx = database.store.begin().await.unwrap();
    let generation = tx.begin_generation(cohort, NOW).await.unwrap();
    tx.commit().await.unwrap();
    for chunk in units.chunks(1000) {
        let mut tx = database.store.begin().await.unwrap();
        tx.insert_members(cohort, generation, chunk, 0).await.unwrap();
        tx.commit().await.unwrap();
    }
    generation
}

async fn switch(database: &Database, cohort: i64, before: i64, next: i64, revision: i64) {
    let mut tx = database.store.begin().await.unwrap();
    tx.switch_generation(cohort, before, next, revision).await.unwrap();
    tx.commit().await.unwrap();
}

async fn a_new_list_replaces_the_old_at_once(database: Database) {
    let cohort = cohort(&database).await;
    let first = write_list(&database, cohort, &units(0..10)).await;
    let was = async |unit: &str, revision| database.store.was_member(cohort, unit, revision).await.unwrap();
    assert!(!was("user-000003", 99).await, "not current yet");
    switch(&database, cohort, 0, first, 5).await;
    let second = write_list(&database, cohort, &units(5..15)).await;
    assert_ne!(first, second);
    assert!(!was("user-000012", 99).await, "not current yet");
    switch(&database, cohort, first, second, 8).await;

    for (unit, held) in [
        ("user-000003", [false, true, true, false]),
        ("user-000007", [false, true, true, true]),
        ("user-000012", [false, false, false, true]),
    ] {
        let found = [was(unit, 4).await, was(unit, 5).await, was(unit, 7).await, was(unit, 8).await];
        assert_eq!(found, held, "{unit}");
    }
    // Neither the standing list nor one that ended begins again.
    for again in [first, second, 77] {
        let mut tx = database.store.begin().await.unwrap();
        assert!(matches!(tx.switch_generation(cohort, second, again, 9).await, Err(StoreError::Other(_))));
    }
    assert!(was("user-000007", 9).await);
}

async fn additions_and_ends_hold_from_their_revision(database: Database) {
    let cohort = cohort(&database).await;
    let generation = write_list(&database, cohort, &units(0..3)).await;
    switch(&database, cohort, 0, generation, 1).await;

    let mut tx = database.store.begin().await.unwrap();
    assert_eq!(tx.insert_members(cohort, generation, &units(3..5), 2).await.unwrap(), 2);
    assert_eq!(tx.insert_members(cohort, generation, &units(3..5), 2).await.unwrap(), 0, "twice in one request");
    assert_eq!(tx.end_members(cohort, generation, &units(0..2), 2).await.unwrap(), 2);
    assert!(!tx.end_member(cohort, generation, "user-000000", 3).await.unwrap(), "ended already");
    assert!(!tx.is_member(cohort, generation, "user-000000").await.unwrap());
    let mut held = tx.find_members(cohort, generation, &units(0..9)).await.unwrap();
    held.sort();
    assert_eq!(held, units(2..5));
    // Back again, in a later revision.
    assert_eq!(tx.insert_members(cohort, generation, &units(0..1), 4).await.unwrap(), 1);
    assert_eq!(tx.count_members(cohort, generation).await.unwrap(), 4);
    tx.commit().await.unwrap();

    let mut held = Vec::new();
    for revision in 0..5 {
        held.push(database.store.was_member(cohort, "user-000000", revision).await.unwrap());
    }
    assert_eq!(held, [false, true, false, false, true]);
    assert!(!database.store.was_member(cohort, "user-000003", 1).await.unwrap());
    assert_eq!(database.store.count_members(cohort, generation).await.unwrap(), 4);
}

async fn unfinished_lists_are_swept(database: Database) {
    let cohort = cohort(&database).await;
    let standing = write_list(&database, cohort, &units(0..3)).await;
    switch(&database, cohort, 0, standing, 1).await;
    let abandoned = write_list(&database, cohort, &units(0..2500)).await;
    database.store.sweep_generations(NOW).await.unwrap();
    assert_eq!(database.store.count_members(cohort, abandoned).await.unwrap(), 2500, "too young");
    database.store.sweep_generations(NOW + 1).await.unwrap();
    assert_eq!(database.store.count_members(cohort, abandoned).await.unwrap(), 0);
    assert_eq!(database.store.count_members(cohort, standing).await.unwrap(), 3);

    // Its writer comes back to life: it is told, and the standing list stands.
    let mut tx = database.store.begin().await.unwrap();
    assert!(matches!(tx.insert_members(cohort, abandoned, &units(0..3), 0).await, Err(StoreError::Other(_))));
    drop(tx);
    let mut tx = database.store.begin().await.unwrap();
    assert!(tx.switch_generation(cohort, standing, abandoned, 2).await.is_err());
    drop(tx);
    assert!(database.store.was_member(cohort, "user-000001", 2).await.unwrap());
}

async fn a_long_list_is_paged(database: Database) {
    let cohort = cohort(&database).await;
    let mut all = units(0..12_000);
    all.push("zoë's \"unit\" %_\\".to_owned());
    let generation = write_list(&database, cohort, &all).await;
    switch(&database, cohort, 0, generation, 1).await;
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let page = database.store.list_members(cohort, generation, &after, 5000).await.unwrap();
        let Some(last) = page.last() else { break };
        after.clone_from(last);
        found.extend(page);
    }
    assert_eq!(found, all);
}
