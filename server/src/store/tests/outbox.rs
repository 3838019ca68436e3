//! Messages, channels and freezes.

use serde_json::{Value, json};

use super::{Database, NOW, both};
use crate::store::{ChannelRow, DueRow, FreezeRow, LOG, NewNotice, Store};

both!(
    a_channel_is_told_once_of_an_event,
    nobody_listens_and_the_log_is_told,
    one_node_of_many_has_a_message,
    a_channel_with_thousands_that_are_due_hides_no_other,
    what_failed_comes_again_and_what_was_delivered_is_kept_for_a_while,
    what_a_transaction_tells_is_undone_with_it,
    an_environment_knows_whether_it_has_channels,
    the_freeze_that_holds_is_the_one_that_ends_last,
);

fn channel(environment: i64, key: &str, receives: &[&str]) -> ChannelRow {
    ChannelRow {
        environment,
        key: key.to_owned(),
        kind: "webhook".to_owned(),
        url: format!("http://{key}.example.com"),
        receives: json!(receives).to_string(),
        secret: "whsec_".to_owned(),
        version: 1,
        created_at: NOW,
        updated_at: NOW,
    }
}

fn notice<'a>(event: &'a str, audience: &'a str) -> NewNotice<'a> {
    NewNotice { event, audience, kind: "transition", release: Some("DP-1-1"), data: json!({"text": "0.3 % (3 of 1,000 requests)"}) }
}

async fn put(store: &Store, row: &ChannelRow) {
    let mut tx = store.begin().await.unwrap();
    tx.insert_channel(row).await.unwrap();
    tx.commit().await.unwrap();
}

async fn tell(store: &Store, environment: i64, notices: &[NewNotice<'_>], now: i64) {
    let mut tx = store.begin().await.unwrap();
    tx.tell(environment, notices, now).await.unwrap();
    tx.commit().await.unwrap();
}

async fn due(store: &Store, now: i64) -> Vec<DueRow> {
    store.claim_due(now, 2, 100, |_| Some(now + 15_000)).await.unwrap()
}

fn to(rows: &[DueRow]) -> Vec<(&str, &str)> {
    let mut pairs: Vec<_> = rows.iter().map(|row| (row.event.as_str(), row.channel.as_str())).collect();
    pairs.sort_unstable();
    pairs
}

async fn a_channel_is_told_once_of_an_event(database: Database) {
    let (_, environment) = database.production().await;
    let store = &database.store;
    put(store, &channel(environment, "all", &["team", "on_call"])).await;
    put(store, &channel(environment, "team", &["team"])).await;
    tell(store, environment, &[notice("e1", "team"), notice("e1", "on_call"), notice("e2", "on_call")], NOW).await;
    tell(store, environment, &[notice("e1", "team"), notice("e2", "on_call")], NOW + 5).await;
    let claimed = due(store, NOW).await;
    assert_eq!(to(&claimed), [("e1", "all"), ("e1", "team"), ("e2", "all")]);
    let body: Value = serde_json::from_str(&claimed.iter().find(|row| row.channel == "team").unwrap().body).unwrap();
    assert_eq!(
        body,
        json!({"type": "release.transition", "timestamp": "2025-11-24T16:00:00Z", "data": {
            "text": "0.3 % (3 of 1,000 requests)", "project": "default", "environment": "production", "audience": "team", "release": "DP-1-1"
        }})
    );
    let rows = store.list_notices(environment, "DP-1-1").await.unwrap();
    assert_eq!(
        rows.iter().map(|row| (&*row.event, &*row.channel, row.attempts)).collect::<Vec<_>>(),
        [("e1", "all", 1), ("e1", "team", 1), ("e2", "all", 1)]
    );
    assert_eq!(rows[0].text(), "0.3 % (3 of 1,000 requests)");
    assert!(rows[0].id.starts_with("msg_") && rows[0].id.len() == 36 && rows[0].id != rows[1].id, "{rows:?}");
}

async fn nobody_listens_and_the_log_is_told(database: Database) {
    let (_, environment) = database.production().await;
    let store = &database.store;
    put(store, &channel(environment, "team", &["team"])).await;
    tell(store, environment, &[notice("e1", "on_call"), notice("e2", "team")], NOW).await;
    let mut tx = store.begin().await.unwrap();
    tx.tell_channels(environment, &[notice("e3", "on_call"), notice("e4", "team")], NOW).await.unwrap();
    tx.tell_channel(environment, "team", &notice("e5", "changes"), NOW).await.unwrap();
    tx.commit().await.unwrap();
    let mut claimed = due(store, NOW).await;
    claimed.extend(due(store, NOW).await);
    assert_eq!(to(&claimed), [("e1", LOG), ("e2", "team"), ("e4", "team"), ("e5", "team")]);
    let logged = claimed.iter().find(|row| row.channel == LOG).unwrap();
    assert_eq!((logged.url.as_deref(), logged.text().as_str()), (None, "0.3 % (3 of 1,000 requests)"));
}

async fn one_node_of_many_has_a_message(database: Database) {
    let (_, environment) = database.production().await;
    for key in 0..5 {
        put(&database.store, &channel(environment, &format!("c{key}"), &["team"])).await;
    }
    let events: Vec<String> = (0..8).map(|number| format!("e{number}")).collect();
    let notices: Vec<_> = events.iter().map(|event| notice(event, "team")).collect();
    tell(&database.store, environment, &notices, NOW).await;
    let mut nodes = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let store = database.open_again().await;
        nodes.spawn(async move {
            let mut claimed = Vec::new();
            for _ in 0..8 {
                claimed.extend(due(&store, NOW).await.into_iter().map(|row| row.id));
            }
            claimed
        });
    }
    let mut claimed: Vec<String> = nodes.join_all().await.into_iter().flatten().collect();
    claimed.sort();
    assert_eq!(claimed.len(), 40, "each once, and all of them");
    claimed.dedup();
    assert_eq!(claimed.len(), 40);
    assert!(due(&database.store, NOW + 14_999).await.is_empty(), "put off while they are tried");
    assert_eq!(due(&database.store, NOW + 15_000).await.len(), 10, "whoever had them died");
}

async fn a_channel_with_thousands_that_are_due_hides_no_other(database: Database) {
    let (_, environment) = database.production().await;
    let store = &database.store;
    put(store, &channel(environment, "hangs", &["team"])).await;
    put(store, &channel(environment, "well", &["on_call"])).await;
    let events: Vec<String> = (0..2_000).map(|number| format!("e{number}")).collect();
    tell(store, environment, &events.iter().map(|event| notice(event, "team")).collect::<Vec<_>>(), NOW - 1_000).await;
    tell(store, environment, &[notice("late", "on_call")], NOW).await;
    let claimed = store.claim_due(NOW, 2, 10, |row| (row.channel == "well").then_some(NOW + 15_000)).await.unwrap();
    assert_eq!(to(&claimed), [("late", "well")]);
    assert_eq!(due(store, NOW).await.len(), 2);
}

async fn what_failed_comes_again_and_what_was_delivered_is_kept_for_a_while(database: Database) {
    let (_, environment) = database.production().await;
    let store = &database.store;
    put(store, &channel(environment, "a", &["team"])).await;
    put(store, &channel(environment, "b", &["on_call"])).await;
    tell(store, environment, &[notice("e1", "team"), notice("e2", "on_call")], NOW).await;
    let claimed = due(store, NOW).await;
    let (a, b) = (claimed.iter().find(|row| row.channel == "a").unwrap(), claimed.iter().find(|row| row.channel == "b").unwrap());
    store.notice_delivered(&a.id, NOW + 1).await.unwrap();
    store.notice_failed(b, NOW + 5, "answered 500").await.unwrap();
    // What is known to be delivered cannot fail any more.
    store.notice_failed(a, NOW + 5, "late").await.unwrap();
    assert_eq!(store.waiting_notices().await.unwrap(), crate::store::Waiting { waiting: 1, oldest: Some(NOW) });
    assert!(due(store, NOW + 4).await.is_empty());
    let again = due(store, NOW + 5).await;
    assert_eq!((again[0].id.as_str(), again[0].attempts), (b.id.as_str(), 2));
    // The first attempt is heard of late, when there has been a second.
    store.notice_failed(b, NOW + 6, "answered late").await.unwrap();
    assert!(due(store, NOW + 10).await.is_empty());
    store.notice_failed(&again[0], NOW + 999_999, "answered 502").await.unwrap();
    let mut tx = store.begin().await.unwrap();
    tx.hasten_notices(environment, "b", NOW + 20).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(due(store, NOW + 20).await[0].attempts, 3, "a channel that was put right is tried at once");
    let mut tx = store.begin().await.unwrap();
    tx.give_up_notices(environment, "b", "the channel was deleted").await.unwrap();
    tx.delete_channel(environment, "b").await.unwrap();
    tx.commit().await.unwrap();
    assert!(due(store, NOW + 99_999_999).await.is_empty());
    let rows = store.list_notices(environment, "DP-1-1").await.unwrap();
    let told: Vec<_> = rows.iter().map(|row| (row.delivered_at, row.error.as_deref())).collect();
    assert_eq!(told, [(Some(NOW + 1), None), (None, Some("the channel was deleted"))]);
    store.sweep_notices(NOW + 1).await.unwrap();
    assert_eq!(store.list_notices(environment, "DP-1-1").await.unwrap().len(), 1, "given up before then");
    store.sweep_notices(NOW + 2).await.unwrap();
    assert!(store.list_notices(environment, "DP-1-1").await.unwrap().is_empty());
}

async fn what_a_transaction_tells_is_undone_with_it(database: Database) {
    let (_, environment) = database.production().await;
    let store = &database.store;
    let mut tx = store.begin().await.unwrap();
    tx.tell(environment, &[notice("e1", "team")], NOW).await.unwrap();
    tx.rollback().await.unwrap();
    assert!(due(store, NOW).await.is_empty());
    tell(store, environment, &[notice("e1", "team")], NOW).await;
    store.told().await;
    assert_eq!(due(store, NOW).await.len(), 1);
}

async fn an_environment_knows_whether_it_has_channels(database: Database) {
    let (_, environment) = database.production().await;
    let store = &database.store;
    let locked = async || {
        let mut tx = store.begin().await.unwrap();
        let row = tx.lock_and_advance(environment, NOW).await.unwrap().unwrap();
        tx.commit().await.unwrap();
        row.has_channels
    };
    assert!(!locked().await);
    let row = channel(environment, "team", &["team"]);
    put(store, &row).await;
    assert!(locked().await && store.find_environment_by_id(environment).await.unwrap().unwrap().has_channels);
    let mut tx = store.begin().await.unwrap();
    tx.update_channel(&ChannelRow { url: "http://new".to_owned(), updated_at: NOW + 1, ..row.clone() }).await.unwrap();
    let changed = ChannelRow { url: "http://new".to_owned(), updated_at: NOW + 1, version: 2, ..row };
    assert_eq!(tx.list_channels(environment).await.unwrap(), std::slice::from_ref(&changed));
    tx.commit().await.unwrap();
    assert_eq!(store.find_channel(environment, "team").await.unwrap(), Some(changed.clone()));
    assert_eq!(changed.audiences(), ["team"]);
    assert!(!format!("{changed:?}").contains("whsec_"));
}

async fn the_freeze_that_holds_is_the_one_that_ends_last(database: Database) {
    let (_, environment) = database.production().await;
    let store = &database.store;
    let freeze = |id: &str, from_at, to_at| FreezeRow {
        id: id.to_owned(),
        environment,
        from_at,
        to_at,
        reason: "the holidays".to_owned(),
        created_at: NOW,
        created_by: "ada".to_owned(),
    };
    let mut tx = store.begin().await.unwrap();
    for row in [freeze("a", NOW, NOW + 10), freeze("b", NOW + 5, NOW + 20), freeze("c", NOW + 15, NOW + 18)] {
        tx.insert_freeze(&row).await.unwrap();
    }
    let mut held = Vec::new();
    for at in [NOW - 1, NOW, NOW + 4, NOW + 5, NOW + 9, NOW + 16, NOW + 19, NOW + 20] {
        held.push(tx.freeze_at(environment, at).await.unwrap().map_or(String::new(), |row| row.id));
    }
    assert_eq!(held, ["", "a", "a", "b", "b", "b", "b", ""]);
    tx.delete_freeze(environment, "a").await.unwrap();
    assert_eq!(tx.find_freeze(environment, "a").await.unwrap(), None);
    assert_eq!(tx.list_freezes(environment, 0).await.unwrap().len(), 2);
    tx.commit().await.unwrap();
    assert_eq!(store.list_freezes(environment, NOW + 18).await.unwrap(), [freeze("b", NOW + 5, NOW + 20)]);
}
