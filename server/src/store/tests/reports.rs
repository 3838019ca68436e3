//! Instances and usage.

use super::{Database, NOW, both};
use crate::store::{InstanceRow, UsageRow, UsedRow};

both!(the_latest_word_of_an_instance_stands, counts_are_added, nodes_report_at_once);

fn instance(environment: i64, instance: &str, node: &str, last_seen_at: i64) -> InstanceRow {
    InstanceRow {
        environment,
        instance: instance.to_owned(),
        node: node.to_owned(),
        sdk: "rust/0.1.0".to_owned(),
        applied: "1-2-0000000000000003".to_owned(),
        last_seen_at,
        goodbye: false,
    }
}

fn usage(environment: i64, flag: &str, variant: &str, count: i64) -> UsageRow {
    UsageRow { environment, flag: flag.to_owned(), variant: variant.to_owned(), count }
}

async fn the_latest_word_of_an_instance_stands(database: Database) {
    let (_, environment) = database.production().await;
    let store = &database.store;
    let leaving = InstanceRow { goodbye: true, ..instance(environment, "b", "n1", NOW + 3) };
    let heard = [
        instance(environment, "a", "n1", NOW),
        instance(environment, "b", "n1", NOW),
        leaving.clone(),
        instance(environment, "a", "n1", NOW - 5),
    ];
    store.put_telemetry(&heard, &[], NOW, 0).await.unwrap();
    // Another node writes later what it heard earlier.
    store
        .put_telemetry(&[instance(environment, "a", "n2", NOW - 1), instance(environment, "c", "n2", NOW + 9)], &[], NOW, 0)
        .await
        .unwrap();

    let rows = store.list_instances(environment, NOW - 100, 10).await.unwrap();
    assert_eq!(rows, [instance(environment, "a", "n1", NOW), leaving, instance(environment, "c", "n2", NOW + 9)]);
    assert_eq!(store.list_instances(environment, NOW + 1, 1).await.unwrap()[0].instance, "b");
    assert_eq!(store.count_instances(environment, NOW).await.unwrap(), 2);
    assert_eq!(store.count_instances(environment, NOW + 4).await.unwrap(), 1);
    assert_eq!(store.instances_of_others(NOW, "n1").await.unwrap(), [instance(environment, "c", "n2", NOW + 9)]);
    store.put_telemetry(&[], &[], NOW, NOW + 9).await.unwrap();
    assert_eq!(store.list_instances(environment, 0, 10).await.unwrap().len(), 1);
}

async fn counts_are_added(database: Database) {
    let (_, environment) = database.production().await;
    let store = &database.store;
    let rows = [usage(environment, "a", "on", 2), usage(environment, "a", "off", 40), usage(environment, "a", "on", 3)];
    store.put_telemetry(&[], &rows, NOW + 5, 0).await.unwrap();
    // Clocks of nodes differ: the later moment stands.
    store.put_telemetry(&[], &[usage(environment, "a", "on", 1)], NOW, 0).await.unwrap();
    let used = |variant: &str, count| UsedRow { flag: "a".to_owned(), variant: variant.to_owned(), count, last_asked_at: NOW + 5 };
    assert_eq!(store.list_usage(environment).await.unwrap(), [used("off", 40), used("on", 6)]);
    assert_eq!(store.last_asked(environment, "a").await.unwrap(), Some(NOW + 5));
    assert_eq!(store.last_asked(environment, "b").await.unwrap(), None);
}

async fn nodes_report_at_once(database: Database) {
    let (_, environment) = database.production().await;
    let mut nodes = tokio::task::JoinSet::new();
    for node in 0..8_usize {
        let store = database.open_again().await;
        nodes.spawn(async move {
            // Each in another order, over the bound of one statement.
            let mut rows: Vec<_> = (0..600).map(|number| usage(environment, &format!("flag-{number}"), "on", 1)).collect();
            rows.rotate_left(node * 70);
            let mut heard: Vec<_> = (0..600).map(|number| instance(environment, &format!("i-{number}"), "n", NOW)).collect();
            heard.rotate_left(node * 70);
            store.put_telemetry(&heard, &rows, NOW, 0).await.unwrap();
        });
    }
    nodes.join_all().await;
    let used = database.store.list_usage(environment).await.unwrap();
    assert_eq!((used.len(), used.iter().map(|row| row.count).sum::<i64>()), (600, 4800));
    assert_eq!(database.store.count_instances(environment, NOW).await.unwrap(), 600);
}
