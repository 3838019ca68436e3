//! What nodes heard of watched flags: seconds, minutes, and exposed units.

use storyflag_evaluation::{Arm, Identity};
use storyflag_release::{
    evidence::ArmCounts,
    run::{Heard, NodeSecond, Row, Watched},
};

use super::{Database, NOW, both};
use crate::store::{ExposedRow, Latency, MinuteCounts, MinuteRow, NodeHead, NodeMinuteRow, NodeRows, Registers, SecondRow, Store, Tracked};

both!(
    seconds_are_written_once_and_read_in_order,
    old_seconds_go_and_so_do_silent_nodes,
    minutes_are_replaced_and_added_up_over_nodes,
    more_minutes_than_a_page_holds,
    exposed_units_only_grow,
);

fn heard(requests: u64) -> NodeSecond {
    let counts = ArmCounts { requests, success: requests, ..ArmCounts::default() };
    let watched = vec![Watched { flag: "a".to_owned(), rollout_revision: u64::MAX, arm: Arm::Cohort, counts }];
    let applied = Identity { incarnation: 1, revision: 2, digest: 3 };
    NodeSecond { watched, instances: vec![Heard { instance: "i".to_owned(), applied, goodbye: true }] }
}

fn second(environment: i64, second: i64) -> SecondRow {
    SecondRow { environment, second, heard: heard(second.unsigned_abs()) }
}

fn head(environment: i64, node: &str, second: i64) -> NodeHead {
    NodeHead { environment, node: node.to_owned(), second }
}

impl Database {
    async fn put_seconds(&self, node: &str, seconds: &[SecondRow]) {
        self.store.put_node_rows(&NodeRows { node, seconds, ..NodeRows::default() }, NOW, 0).await.unwrap();
    }
}

async fn seconds_are_written_once_and_read_in_order(database: Database) {
    let (_, environment) = database.production().await;
    let store = &database.store;
    assert_eq!(store.telemetry_heads().await.unwrap(), []);
    let rows: Vec<_> = (1..=1_200).map(|number| second(environment, number)).collect();
    database.put_seconds("n1", &rows).await;
    database.put_seconds("n2", &[second(environment, 7)]).await;
    // The answer to the commit was lost: what was written stands, what came meanwhile is added.
    let again = SecondRow { heard: NodeSecond::default(), ..second(environment, 1_200) };
    database.put_seconds("n1", &[again, second(environment, 1_201)]).await;
    // An old word of how far the node is changes nothing.
    database.put_seconds("n1", &rows[..1]).await;
    assert_eq!(store.telemetry_heads().await.unwrap(), [head(environment, "n1", 1_201), head(environment, "n2", 7)]);
    let read = store.seconds_after(environment, "n1", 1_198, 2).await.unwrap();
    let row = |second: i64| Row { node: "n1".to_owned(), second, heard: heard(second.unsigned_abs()) };
    assert_eq!(read, [row(1_199), row(1_200)]);
    assert_eq!(store.seconds_after(environment, "n1", 0, 5_000).await.unwrap().len(), 1_201);
    assert_eq!(store.seconds_after(environment, "n1", 1_201, 5_000).await.unwrap(), []);
}

async fn old_seconds_go_and_so_do_silent_nodes(database: Database) {
    let (_, environment) = database.production().await;
    let store = &database.store;
    let rows: Vec<_> = (1..=1_200).map(|number| second(environment, number)).collect();
    database.put_seconds("n1", &rows).await;
    database.put_seconds("silent", &rows[..3]).await;
    store.prune_seconds(1_100).await.unwrap();
    assert_eq!(store.telemetry_heads().await.unwrap(), [head(environment, "n1", 1_200)]);
    let rest = store.seconds_after(environment, "n1", 0, 5_000).await.unwrap();
    assert_eq!((rest.len(), rest[0].second), (101, 1_100));
    assert_eq!(store.seconds_after(environment, "silent", 0, 10).await.unwrap(), []);
    store.prune_seconds(i64::MAX).await.unwrap();
    assert_eq!(store.telemetry_heads().await.unwrap(), []);
}

fn minute(environment: i64, arm: Arm, minute: i64, requests: u64) -> NodeMinuteRow {
    let mut counts = MinuteCounts { requests, success: requests, ..MinuteCounts::default() };
    counts.slow.insert(200, 1);
    counts.named.insert("purchase".to_owned(), Tracked { count: 1, sum: 2.5 });
    counts.latency_us = Latency::from(vec![(1_007, requests), (12_031, 1)]);
    NodeMinuteRow { environment, flag: "a".to_owned(), rollout_revision: 7, arm, minute, counts }
}

async fn minutes_are_replaced_and_added_up_over_nodes(database: Database) {
    let (_, environment) = database.production().await;
    let store = &database.store;
    let rows = |requests: u64| [minute(environment, Arm::Control, 11, requests), minute(environment, Arm::Treatment, 10, requests)];
    store.put_minutes("n1", &rows(5)).await.unwrap();
    // The same minutes, further on.
    store.put_minutes("n1", &rows(20)).await.unwrap();
    store.put_minutes("n2", &[minute(environment, Arm::Treatment, 10, 3)]).await.unwrap();
    let other = NodeMinuteRow { flag: "b".to_owned(), ..minute(environment, Arm::Treatment, 10, 1) };
    store.put_minutes("n2", &[other]).await.unwrap();

    let mut sum = minute(environment, Arm::Treatment, 10, 23).counts;
    sum.slow.insert(200, 2);
    sum.named.insert("purchase".to_owned(), Tracked { count: 2, sum: 5.0 });
    sum.latency_us = Latency::from(vec![(1_007, 23), (12_031, 2)]);
    let control = minute(environment, Arm::Control, 11, 20).counts;
    let expected = [
        MinuteRow { rollout_revision: 7, arm: Arm::Control, minute: 11, counts: control },
        MinuteRow { rollout_revision: 7, arm: Arm::Treatment, minute: 10, counts: sum },
    ];
    assert_eq!(store.minute_sums(environment, "a").await.unwrap(), expected);
    store.prune_minutes(11).await.unwrap();
    assert_eq!(store.minute_sums(environment, "a").await.unwrap(), expected[..1]);
    assert_eq!(store.minute_sums(environment, "b").await.unwrap(), []);
}

async fn more_minutes_than_a_page_holds(database: Database) {
    let (_, environment) = database.production().await;
    for node in ["n1", "n2", "n3"] {
        let rows: Vec<_> = (0..700).map(|number| minute(environment, Arm::Treatment, number, 1)).collect();
        database.store.put_minutes(node, &rows).await.unwrap();
    }
    let sums = database.store.minute_sums(environment, "a").await.unwrap();
    assert_eq!((sums.len(), sums[699].minute), (700, 699));
    assert!(sums.iter().all(|row| row.counts.requests == 3));
}

fn registers(known: &[(usize, char)]) -> Registers {
    let mut digits = vec!['A'; 4_096];
    known.iter().for_each(|(register, digit)| digits[*register] = *digit);
    Registers::read(&digits.iter().collect::<String>()).unwrap()
}

async fn exposed_units_only_grow(database: Database) {
    let (_, environment) = database.production().await;
    let store = &database.store;
    let row = |known: &[(usize, char)]| ExposedRow {
        environment,
        flag: "a".to_owned(),
        rollout_revision: 7,
        arm: Arm::Treatment,
        registers: registers(known),
    };
    store.put_exposed("n1", &[row(&[(0, 'B'), (1, 'D')]), row(&[(1, 'C')])], NOW).await.unwrap();
    // The node was told again, by another process.
    store.put_exposed("n1", &[row(&[(9, 'B')])], NOW + 5).await.unwrap();
    store.put_exposed("n1", &[row(&[(9, 'B')])], NOW + 50).await.unwrap();
    assert_eq!(estimates(store, environment, "a").await, [(7, Arm::Treatment, 3)]);
    store.put_exposed("n2", &[row(&[(1, 'B'), (77, 'C')])], NOW).await.unwrap();
    assert_eq!(estimates(store, environment, "a").await, [(7, Arm::Treatment, 4)]);
    assert_eq!(estimates(store, environment, "b").await, []);
    // Nothing new was no reason to write.
    store.prune_exposed(NOW + 6).await.unwrap();
    assert_eq!(estimates(store, environment, "a").await, []);
}

async fn estimates(store: &Store, environment: i64, flag: &str) -> Vec<(u64, Arm, u64)> {
    let exposed = store.exposed_registers(environment, flag).await.unwrap();
    exposed.into_iter().map(|(revision, arm, registers)| (revision, arm, registers.estimate())).collect()
}
