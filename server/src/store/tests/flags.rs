//! Flags, targetings and cohorts.

use super::{Database, NOW, both, flag, targeting};
use crate::store::FlagFilter;

both!(flags_are_found, a_stale_flag_is_not_written, targetings_keep_their_text, cohorts_keep_their_row, lists_are_kept_while_named);

async fn flags_are_found(database: Database) {
    let (project, _) = database.production().await;
    let mut tx = database.store.begin().await.unwrap();
    for key in ["b", "a_c", "aXc", "B"] {
        tx.insert_flag(&flag(project, key)).await.unwrap();
    }
    let mut other = flag(project, "other");
    other.story = "US-9".to_owned();
    other.tags = r#"["100xx-safe"]"#.to_owned();
    other.description = String::new();
    tx.insert_flag(&other).await.unwrap();
    let archived = tx.find_flag(project, "b").await.unwrap().unwrap();
    assert!(tx.archive_flag(&archived, NOW + 1).await.unwrap());
    assert_eq!(tx.list_live_flags(project).await.unwrap().len(), 4);
    tx.commit().await.unwrap();

    let keys = async |filter: FlagFilter| {
        let rows = database.store.list_flags(project, &filter).await.unwrap();
        rows.into_iter().map(|row| row.key).collect::<Vec<_>>()
    };
    let all = FlagFilter { limit: 100, ..FlagFilter::default() };
    assert_eq!(keys(all.clone()).await, ["B", "aXc", "a_c", "other"]);
    assert_eq!(keys(FlagFilter { after: "aXc".to_owned(), limit: 1, ..all.clone() }).await, ["a_c"]);
    assert_eq!(keys(FlagFilter { archived: true, ..all.clone() }).await, ["b"]);
    // What means something to `like` is taken literally.
    assert_eq!(keys(FlagFilter { query: "A_C".to_owned(), ..all.clone() }).await, ["a_c"]);
    assert_eq!(keys(FlagFilter { query: "CHECK".to_owned(), ..all.clone() }).await, ["B", "aXc", "a_c"]);
    assert_eq!(keys(FlagFilter { tag: "100%_safe".to_owned(), ..all.clone() }).await, ["B", "aXc", "a_c"]);
    assert_eq!(keys(FlagFilter { tag: "100%".to_owned(), ..all.clone() }).await, Vec::<String>::new());
    assert_eq!(keys(FlagFilter { story: "US-9".to_owned(), ..all }).await, ["other"]);
    let tombstone = database.store.find_flag(project, "b").await.unwrap().unwrap();
    assert_eq!((tombstone.archived_at, tombstone.version), (Some(NOW + 1), 2));
}

async fn a_stale_flag_is_not_written(database: Database) {
    let (project, _) = database.production().await;
    let mut tx = database.store.begin().await.unwrap();
    tx.insert_flag(&flag(project, "a")).await.unwrap();
    let mut row = tx.find_flag(project, "a").await.unwrap().unwrap();
    row.client = true;
    row.owner = "team-web".to_owned();
    assert!(tx.update_flag(&row).await.unwrap());
    assert!(!tx.update_flag(&row).await.unwrap());
    assert!(!tx.archive_flag(&row, NOW).await.unwrap());
    let row = tx.find_flag(project, "a").await.unwrap().unwrap();
    assert_eq!((row.client, row.owner.as_str(), row.version, row.archived_at), (true, "team-web", 2, None));
}

async fn targetings_keep_their_text(database: Database) {
    let (project, environment) = database.production().await;
    // Byte for byte: order of members, spaces, and a number that JSON readers would round.
    let item = "{ \"b\":1.000000000000000000001,\"a\": \"\u{1F600}\\u0000\" }";
    let mut tx = database.store.begin().await.unwrap();
    let mut rows = Vec::new();
    for number in 0..700 {
        let key = format!("flag-{number:03}");
        let id = tx.insert_flag(&flag(project, &key)).await.unwrap();
        rows.push(targeting(environment, id, &key, item));
    }
    tx.insert_targetings(&rows).await.unwrap();
    assert_eq!(tx.update_targeting(environment, "flag-001", "{}", NOW + 9, "grace").await.unwrap(), 2);
    tx.delete_targeting(environment, "flag-002").await.unwrap();
    let keys: Vec<String> = ["flag-000", "flag-001", "flag-002", "nothing"].map(str::to_owned).to_vec();
    let mut found = tx.find_targetings(environment, &keys).await.unwrap();
    found.sort_by(|one, other| one.key.cmp(&other.key));
    assert_eq!(found.iter().map(|row| (row.item.as_str(), row.version)).collect::<Vec<_>>(), [(item, 1), ("{}", 2)]);
    assert!(tx.find_targetings(environment, &[]).await.unwrap().is_empty());
    assert_eq!(tx.list_flag_items(environment).await.unwrap().len(), 699);
    tx.commit().await.unwrap();

    let row = database.store.find_targeting(environment, "flag-001").await.unwrap().unwrap();
    assert_eq!((row.updated_by.as_str(), row.updated_at), ("grace", NOW + 9));
    let page = database.store.list_targetings(environment, "flag-001", 2).await.unwrap();
    assert_eq!(page.iter().map(|row| row.key.as_str()).collect::<Vec<_>>(), ["flag-003", "flag-004"]);
    assert_eq!(database.store.load_environment(environment).await.unwrap().unwrap().flags.len(), 699);
}

async fn cohorts_keep_their_row(database: Database) {
    let (_, environment) = database.production().await;
    let mut tx = database.store.begin().await.unwrap();
    tx.insert_cohort(environment, "staff", "Us", "{1}", NOW).await.unwrap();
    let mut row = tx.find_cohort(environment, "staff").await.unwrap().unwrap();
    (row.item, row.members, row.generation, row.deleted_at) = ("{2}".to_owned(), 7, 3, Some(NOW + 1));
    assert_eq!(tx.update_cohort(&row).await.unwrap(), 2);
    tx.insert_cohort(environment, "beta", "", "{3}", NOW).await.unwrap();
    tx.commit().await.unwrap();

    let store = &database.store;
    let row = store.find_cohort(environment, "staff").await.unwrap().unwrap();
    assert_eq!((row.item.as_str(), row.members, row.generation, row.deleted_at), ("{2}", 7, 3, Some(NOW + 1)));
    let live: Vec<String> = store.list_cohorts(environment, "", 10).await.unwrap().into_iter().map(|row| row.key).collect();
    assert_eq!(live, ["beta"]);
    assert_eq!(store.load_environment(environment).await.unwrap().unwrap().cohorts, ["{3}"]);
}

async fn lists_are_kept_while_named(database: Database) {
    let (_, environment) = database.production().await;
    let bytes: Vec<u8> = (0..=255).collect();
    let mut tx = database.store.begin().await.unwrap();
    tx.insert_cohort(environment, "staff", "", r#"{"list":{"digest":"d2"}}"#, NOW).await.unwrap();
    for digest in ["d1", "d2", "d2"] {
        tx.put_list(environment, "staff", digest, &bytes, NOW).await.unwrap();
    }
    tx.put_list(environment, "staff", "d3", &[], NOW + 100).await.unwrap();
    assert_eq!(tx.find_list(environment, "d1").await.unwrap(), Some(bytes.clone()));
    tx.prune_lists(environment, NOW + 50).await.unwrap();
    tx.commit().await.unwrap();
    let store = &database.store;
    assert_eq!(store.find_list(environment, "d1").await.unwrap(), None);
    assert_eq!(store.find_list(environment, "d2").await.unwrap(), Some(bytes));
    assert_eq!(store.find_list(environment, "d3").await.unwrap(), Some(Vec::new()));
    assert_eq!(store.find_list(environment + 1, "d2").await.unwrap(), None);
}
