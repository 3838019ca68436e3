//! The main job: a release manager raises the percentage, and a running application serves it a moment later, having
//! kept every user that it already served.

use std::collections::BTreeSet;

use storyflag_tests::actors::STAGING;
use storyflag_tests::{Backend, House, Users, applied, on_both_databases, reference};

const FLAG: &str = "US-123-checkout";
const CROWD: usize = 100_000;
const NOBODY: [u32; 0] = [];

on_both_databases!(a_percentage_raised_over_http_reaches_the_application);

async fn a_percentage_raised_over_http_reaches_the_application(backend: Backend) {
    let house = House::new(backend).await;
    let release_manager = house.release_manager();
    release_manager.create_flag(FLAG).await;
    let application = house.application(STAGING).await;
    let users = Users::new(CROWD);
    assert_eq!(users.served(&application, FLAG), NOBODY, "a flag is born at 0 %");

    let mut before: BTreeSet<u32> = BTreeSet::new();
    let mut rising: Vec<BTreeSet<u32>> = Vec::new();
    for (percentage, text) in [(0.1, "0.1"), (1.0, "1"), (10.0, "10"), (50.0, "50"), (100.0, "100"), (10.0, "10")] {
        let answer = release_manager.raise(FLAG, percentage).await.expect(200);
        applied(&application, answer.number("revision")).await;
        let served = users.served(&application, FLAG);
        assert_eq!(served, reference::served(FLAG, text, CROWD).await, "{text} %");
        let served: BTreeSet<u32> = served.into_iter().collect();
        if served.len() >= before.len() {
            assert!(before.is_subset(&served), "{text} %: a user who was served is not any more");
            rising.push(served.clone());
        } else {
            // Who came last goes first: exactly those are left who were in when the percentage was this one before.
            assert_eq!(served, rising[2], "falling back to {text} %");
        }
        before = served;
    }

    let killed = release_manager.kill(FLAG).await.expect(200);
    applied(&application, killed.number("revision")).await;
    assert_eq!(users.served(&application, FLAG), NOBODY, "killed");
    let revived = release_manager.revive(FLAG).await.expect(200);
    applied(&application, revived.number("revision")).await;
    assert_eq!(users.served(&application, FLAG).into_iter().collect::<BTreeSet<u32>>(), before, "revived: the same users as before");
}
