//! Plans, and their releases in `staging`.

use futures_util::{StreamExt, stream};
use reqwest::Method;
use serde_json::{Value, json};
use storyflag_tests::House;

/// Requests that are under way at once.
const AT_ONCE: usize = 8;

/// The flag of a release.
pub fn flag(number: usize) -> String {
    format!("US-{number}-checkout")
}

/// Puts so many flags with a plan each, and creates their releases; `steps` is the plans' list, `more` what a creation says
/// beside the plan.
pub async fn create(house: &House, count: usize, steps: &str, more: impl Fn(usize) -> Value) {
    let creations = stream::iter((0..count).map(|number| create_one(house, number, steps, more(number))));
    creations.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

async fn create_one(house: &House, number: usize, steps: &str, more: Value) {
    let editor = house.editor();
    let (flag, plan) = (flag(number), format!("DP-{number}-checkout"));
    editor.create_flag(&flag).await;
    let document = format!(
        "plan: {plan}\nflag: {flag}\napproach: feature_flag\nsteps:\n{steps}\
         triggers: [ \"error_rate > 5%\", \"p95_latency > 1000ms\", \"success_rate < 95%\" ]\n"
    );
    let path = format!("/api/v1/projects/default/plans/{plan}");
    editor.request(Method::PUT, &path).body("application/yaml", document).send().await.expect(201);
    let mut body = json!({ "plan": plan });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    editor.in_environment("staging").post("releases", &body).await.expect(201);
}

/// Starts a release that was created.
pub async fn start(house: &House, number: usize) {
    let path = format!("releases/DP-{number}-checkout-1/start");
    house.editor().in_environment("staging").post(&path, &json!({})).await.expect(200);
}
