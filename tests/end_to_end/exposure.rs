//! Nobody lets a flag out of its off variant by a side door: what everybody gets who is out counts, too.

use serde_json::{Value, json};
use storyflag_server::auth::{Role, TOKEN_LIFE};
use storyflag_tests::actors::{Actor, PRODUCTION, flag_path};
use storyflag_tests::{Backend, House, on_both_databases};

const FLAG: &str = "US-123-checkout";
const TARGETING: &str = "flags/US-123-checkout";
const ROLLOUT: &str = "flags/US-123-checkout/rollout";

on_both_databases!(
    the_value_of_off_is_what_production_serves,
    a_token_for_one_environment_stays_there,
    the_variant_of_who_is_out_counts,
    a_context_has_a_bound,
);

/// A flag at 0 %, the editor, and a release manager in production.
async fn a_flag(backend: Backend) -> (House, Actor, Actor) {
    let house = House::new(backend).await;
    let (editor, release_manager) = (house.editor(), house.release_manager().in_environment(PRODUCTION));
    editor.create_flag(FLAG).await;
    (house, editor, release_manager)
}

async fn served(actor: &Actor) -> Value {
    actor.get(&format!("{TARGETING}/explain?unit=user-1")).await.expect(200).json["value"].clone()
}

async fn the_value_of_off_is_what_production_serves(backend: Backend) {
    let (_house, editor, release_manager) = a_flag(backend).await;
    let turned = json!({"variants": {"on": true, "off": true}});
    editor.patch(&flag_path(FLAG), &turned).await.refused(403, &[], "release_manager");
    release_manager.patch(&flag_path(FLAG), &turned).await.refused(422, &["/reason"], "protected");
    let with_reason = json!({"variants": {"on": true, "off": true}, "reason": "because"});
    release_manager.patch(&flag_path(FLAG), &with_reason).await.refused(422, &["/variants"], "force=true");
    assert_eq!(served(&release_manager).await, false);

    release_manager.kill(FLAG).await.expect(200);
    let forced = json!({"variants": {"on": true, "off": true}, "reason": "because", "force": true});
    release_manager.patch(&flag_path(FLAG), &forced).await.refused(409, &["/variants"], "revive it first");
    let other_off = format!("{TARGETING}?reason=because&force=true");
    release_manager.put(&other_off, &json!({"off": "on"})).await.refused(409, &["/off"], "revive it first");
    assert_eq!(served(&release_manager).await, false);
}

async fn a_token_for_one_environment_stays_there(backend: Backend) {
    let (house, editor, release_manager) = a_flag(backend).await;
    let token = house.tokens().issue("ada", Role::Admin, Some(vec!["staging".to_owned()]), TOKEN_LIFE).unwrap();
    let limited = editor.with_token("limited", Some(&token));
    limited.raise(FLAG, 1.0).await.expect(200);
    let turned = json!({"variants": {"on": true, "off": true}, "reason": "because", "force": true});
    limited.patch(&flag_path(FLAG), &turned).await.refused(403, &[], "only");
    limited.delete(&flag_path(FLAG)).await.refused(403, &[], "only");
    assert_eq!(served(&release_manager).await, false);
}

async fn the_variant_of_who_is_out_counts(backend: Backend) {
    let (_house, editor, release_manager) = a_flag(backend).await;
    let production = editor.in_environment(PRODUCTION);
    // 0 % of users get `on`, and everybody else gets `on`: that is everybody.
    let out = format!("{ROLLOUT}?reason=because");
    release_manager.put(&out, &json!({"percentage": 0, "serve": "on", "otherwise": "on"})).await.refused(422, &["/percentage"], "100 %");
    release_manager.put(&format!("{TARGETING}?reason=because"), &json!({"off": "on"})).await.refused(
        422,
        &["/rollout/percentage"],
        "100 %",
    );

    let turned = json!({"percentage": 100, "serve": "off", "otherwise": "on"});
    release_manager.put(&format!("{out}&force=true"), &turned).await.expect(200);
    assert_eq!(served(&release_manager).await, false);
    // Lower is higher here, and no editor's to do.
    production.patch(ROLLOUT, &json!({"percentage": 0})).await.refused(403, &[], "release_manager");
    editor.delete(&flag_path(FLAG)).await.refused(403, &[], "release_manager");
    // The safe direction stays open.
    production.kill(FLAG).await.expect(200);
    assert_eq!(served(&release_manager).await, false);
}

async fn a_context_has_a_bound(backend: Backend) {
    let (house, _, _) = a_flag(backend).await;
    let attributes = |count: usize| -> Value { (0..count).map(|number| (format!("a{number}"), json!(0))).collect() };
    let viewer = house.viewer();
    viewer.post("explain", &json!({"context": attributes(200)})).await.expect(200);
    viewer.post("explain", &json!({"context": attributes(201)})).await.refused(422, &["/context"], "at most 200");
}
