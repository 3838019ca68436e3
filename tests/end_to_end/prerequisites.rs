//! Prerequisites make no circle and no endless chain, whoever writes at the same moment.

use serde_json::{Value, json};
use storyflag_tests::actors::{Actor, STAGING};
use storyflag_tests::{Backend, House, applied, on_both_databases};

/// As many prerequisites behind one another as SDKs follow.
const LONGEST_CHAIN: usize = 16;

on_both_databases!(
    a_circle_is_refused,
    of_two_writers_who_would_make_a_circle_one_is_refused,
    of_three_nodes_who_would_make_a_circle_one_is_refused,
    a_chain_is_as_long_as_sdks_follow,
);

fn needs(flag: &str) -> Value {
    json!({"prerequisites": [{"flag": flag, "variants": ["on"]}]})
}

async fn put(actor: &Actor, flag: &str, targeting: &Value) -> storyflag_tests::answer::Answer {
    actor.put(&format!("flags/{flag}"), targeting).await
}

async fn a_circle_is_refused(backend: Backend) {
    let house = House::new(backend).await;
    let editor = house.editor();
    for flag in ["a", "b", "c"] {
        editor.create_flag(flag).await;
    }
    put(&editor, "a", &needs("b")).await.expect(200);
    put(&editor, "b", &needs("c")).await.expect(200);
    let before = editor.everything().await;
    let told = "leads back to \"c\" itself: prerequisites make no circle";
    put(&editor, "c", &needs("a")).await.refused(422, &["/prerequisites"], told);
    put(&editor, "c", &needs("b")).await.refused(422, &["/prerequisites"], told);
    put(&editor, "c", &needs("c")).await.refused(422, &["/prerequisites/0/flag", "/prerequisites"], "cannot be its own prerequisite");
    let nothing = json!({"prerequisites": [{"flag": "a", "variants": []}]});
    put(&editor, "c", &nothing).await.refused(422, &["/prerequisites/0/variants", "/prerequisites"], "could never be met");
    assert_eq!(editor.everything().await, before);
    // Elsewhere there is no circle: a targeting is of its environment alone.
    put(&editor.in_environment("development"), "c", &needs("a")).await.expect(200);
}

/// Writes at the same moment that each would be right alone: whoever comes second is refused, in whatever order.
async fn race(house: &House, flags: &[&str], rounds: usize) {
    let editor = house.editor();
    for flag in flags {
        editor.create_flag(flag).await;
    }
    for round in 0..rounds {
        let writes = (0..flags.len()).map(|index| {
            // In one order and the other, and each at a node of its own where there are several.
            let index = if round % 2 == 0 { index } else { flags.len() - 1 - index };
            let node = editor.at(&house.nodes[index % house.nodes.len()].url);
            let (flag, other) = (flags[index].to_owned(), flags[(index + 1) % flags.len()].to_owned());
            tokio::spawn(async move { put(&node, &flag, &needs(&other)).await })
        });
        let mut refused = 0;
        for write in writes.collect::<Vec<_>>() {
            let answer = write.await.unwrap();
            if answer.status != 200 {
                answer.refused(422, &["/prerequisites"], "prerequisites make no circle");
                refused += 1;
            }
        }
        assert_eq!(refused, 1, "round {round}");
        for flag in flags {
            put(&editor, flag, &json!({})).await.expect(200);
        }
    }
}

async fn of_two_writers_who_would_make_a_circle_one_is_refused(backend: Backend) {
    race(&House::new(backend).await, &["a", "b"], 40).await;
}

async fn of_three_nodes_who_would_make_a_circle_one_is_refused(backend: Backend) {
    let mut house = House::new(backend).await;
    house.add_node().await;
    house.add_node().await;
    race(&house, &["a", "b", "c"], 10).await;
}

async fn a_chain_is_as_long_as_sdks_follow(backend: Backend) {
    let house = House::new(backend).await;
    let editor = house.editor();
    let name = |at: usize| format!("flag-{at:02}");
    for at in 0..=LONGEST_CHAIN + 1 {
        editor.create_flag(&name(at)).await;
        editor.raise(&name(at), 100.0).await.expect(200);
    }
    // Two halves, joined in the middle: neither end sees the whole chain.
    for at in (0..LONGEST_CHAIN).filter(|at| *at != LONGEST_CHAIN / 2) {
        put(&editor, &name(at), &needs(&name(at + 1))).await.expect(200);
    }
    let joined = put(&editor, &name(LONGEST_CHAIN / 2), &needs(&name(LONGEST_CHAIN / 2 + 1))).await.expect(200);
    let application = house.application(STAGING).await;
    applied(&application, joined.number("revision")).await;
    let user = storyflag::Context::new("user-1");
    assert!(application.is_on(&name(0), &user), "{:?}", application.detail(&name(0), &user));

    let before = editor.everything().await;
    let told = "a chain of more than 16 prerequisites: SDKs follow no longer one";
    put(&editor, &name(LONGEST_CHAIN), &needs(&name(LONGEST_CHAIN + 1))).await.refused(422, &["/prerequisites"], told);
    put(&editor, &name(LONGEST_CHAIN + 1), &needs(&name(0))).await.refused(422, &["/prerequisites"], told);
    assert_eq!(editor.everything().await, before);
    // The last flag of the chain decides for the first.
    let off = editor.raise(&name(LONGEST_CHAIN), 0.0).await.expect(200);
    applied(&application, off.number("revision")).await;
    assert!(!application.is_on(&name(0), &user));
}
