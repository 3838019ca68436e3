//! A crowd of slow writers, and somebody who may not wait for them.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::task::JoinSet;

use super::{Database, NOW, both};

both!(a_kill_goes_ahead_of_those_who_wait, a_turn_that_is_dropped_is_given_back);

/// How many wait, and how long each writes.
const CROWD: usize = 50;
const SLOW: Duration = Duration::from_millis(40);

async fn a_kill_goes_ahead_of_those_who_wait(database: Database) {
    let (_, environment) = database.production().await;
    let began: Arc<Mutex<Vec<&str>>> = Arc::default();
    let mut writers = JoinSet::new();
    let turns = database.store.turns.available_permits();
    let mut writing = Vec::new();
    for _ in 0..turns {
        writing.push(database.store.begin().await.unwrap());
    }
    for _ in 0..CROWD {
        let (store, began) = (database.store.clone(), Arc::clone(&began));
        writers.spawn(async move {
            let mut tx = store.begin().await.unwrap();
            began.lock().unwrap().push("writer");
            tx.lock_and_advance(environment, NOW).await.unwrap();
            tokio::time::sleep(SLOW).await;
            tx.rollback().await.unwrap();
        });
    }
    tokio::time::sleep(SLOW).await;
    // The kill comes last.
    let (store, order) = (database.store.clone(), Arc::clone(&began));
    writers.spawn(async move {
        let mut tx = store.begin_ahead().await.unwrap();
        order.lock().unwrap().push("kill");
        tx.lock_and_advance(environment, NOW).await.unwrap();
        tx.commit().await.unwrap();
    });
    tokio::time::sleep(SLOW).await;
    assert!(began.lock().unwrap().iter().all(|who| *who == "kill"), "nobody else has a turn while all are taken");
    writing.clear();
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let order = began.lock().unwrap().clone();
    let place = order.iter().position(|who| *who == "kill").unwrap();
    assert!(place <= turns && order.len() == CROWD + 1, "the kill began after {place} writers");
}

async fn a_turn_that_is_dropped_is_given_back(database: Database) {
    let turns = database.store.turns.available_permits();
    for _ in 0..turns * 3 {
        drop(database.store.begin().await.unwrap());
    }
    assert_eq!(database.store.turns.available_permits(), turns);
}
