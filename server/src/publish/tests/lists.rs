//! Cohorts' lists, beside the ruleset.

use storyflag_evaluation::{Arm, Context};

use super::{Client, Node, Sdk, eventually, told, writer};
use crate::store::tests::{Database, both};

both!(a_list_is_served_and_evaluated, no_change_waits_for_a_list, what_is_not_a_list_of_the_cohort_is_not_found);

fn path(cohort: &str, digest: &str) -> String {
    format!("/sdk/v1/cohorts/{cohort}/{digest}")
}

async fn a_list_is_served_and_evaluated(database: Database) {
    let writer = writer(&database).await;
    let (_, first, bytes) = writer.put_cohort("staff", &["ada", "grace"]).await;
    writer.put_list("staff", &first, &bytes).await;
    writer.put_flag("a", 0).await;
    let node = Node::start(database.store.clone(), told()).await;
    let mut answer = Client::get(node.address, &path("staff", &first), &[]).await;
    assert_eq!((answer.status, answer.headers["content-type"].as_str()), (200, "application/octet-stream"));
    assert_eq!(answer.headers["cache-control"], "public, max-age=31536000, immutable");
    assert_eq!(answer.body().await, bytes);
    // Whoever explains here has the list from the start.
    let environment = node.hub.environment(writer.environment).unwrap();
    let ruleset = environment.ruleset();
    assert_eq!(ruleset.evaluate("a", &Context::new("ada")).arm(), Arm::Cohort);
    assert!(!ruleset.evaluate("a", &Context::new("mallory")).is_on());

    // The next list, and for a while the one before it.
    let (committed, second, more) = writer.put_cohort("staff", &["ada", "grace", "mallory"]).await;
    writer.put_list("staff", &second, &more).await;
    node.hub.publish(&committed);
    eventually("the new list is there", async || environment.ruleset().missing_lists().next().is_none()).await;
    assert!(environment.ruleset().evaluate("a", &Context::new("mallory")).is_on());
    for (digest, bytes) in [(&first, &bytes), (&second, &more)] {
        assert_eq!(Client::get(node.address, &path("staff", digest), &[]).await.body().await, *bytes);
    }
}

async fn no_change_waits_for_a_list(database: Database) {
    let writer = writer(&database).await;
    let node = Node::start(database.store.clone(), told()).await;
    let mut sdk = Sdk::connect(node.address).await;
    let (committed, digest, bytes) = writer.put_cohort("staff", &["ada"]).await;
    node.hub.publish(&committed);
    let flag = writer.put_flag("a", 0).await;
    node.hub.publish(&flag);
    sdk.reach(flag.identity).await;
    assert_eq!(Client::get(node.address, &path("staff", &digest), &[]).await.status, 404);
    let environment = node.hub.environment(writer.environment).unwrap();
    assert_eq!(environment.ruleset().missing_lists().collect::<Vec<_>>(), [("staff", digest.as_str())]);
    // A list that is not what its digest says is worse than none.
    writer.put_list("staff", &digest, &bytes).await;
    node.hub.refreshed().await;
    eventually("the list is there", async || environment.ruleset().evaluate("a", &Context::new("ada")).is_on()).await;
}

async fn what_is_not_a_list_of_the_cohort_is_not_found(database: Database) {
    let writer = writer(&database).await;
    let (_, digest, bytes) = writer.put_cohort("staff", &["ada"]).await;
    writer.put_list("staff", &digest, &bytes).await;
    let node = Node::start(database.store.clone(), told()).await;
    for (cohort, digest) in [("staff", "0".repeat(32)), ("nobody", digest.clone()), ("staff", "..".to_owned())] {
        let mut answer = Client::get(node.address, &path(cohort, &digest), &[]).await;
        assert_eq!(answer.status, 404, "{cohort}");
        assert_eq!(answer.json().await["status"], 404);
    }
    // Written by another node a moment ago: here nobody knows the cohort yet.
    let (_, digest, bytes) = writer.put_cohort("guests", &["eve"]).await;
    writer.put_list("guests", &digest, &bytes).await;
    assert_eq!(Client::get(node.address, &path("guests", &digest), &[]).await.body().await, bytes);
}
