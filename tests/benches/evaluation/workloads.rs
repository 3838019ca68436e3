//! The five workloads: the same flags and users for us, as JSON and contexts, and for the floor, as what it likes best.

use std::sync::Arc;

use serde_json::{Value as Json, json};
use storyflag::ForContext;
use storyflag_evaluation::{CohortList, Context, unit_hash};

use crate::{
    floor::{self, Flag, Rule, User},
    ours::Ours,
    served::{Served, watched},
};

/// How many users there are. They take turns.
pub const USERS: usize = 10_000;
/// How many flags the mix has.
pub const MIXED: usize = 1_000;
const LIST_SEED: u64 = 0x9e37_79b9_7f4a_7c15;
const SUFFIX: &str = "@staff.example.com";
const COHORT: &str = "internal-users";

/// Everything that both sides are asked about.
pub struct World {
    pub contexts: Vec<Context>,
    pub users: Vec<User>,
    pub ours: Ours,
    /// One for each user, as if all of them asked at once.
    pub requests: Vec<ForContext>,
    /// The same flags with telemetry on: those of the first four workloads are watched, and one of 25 in the mix.
    pub served: Served,
    pub served_requests: Vec<ForContext>,
    pub floor: floor::Flags,
    pub mixed: Vec<String>,
}

/// One flag, in both forms.
struct Pair {
    key: String,
    item: Json,
    flag: Flag,
}

impl World {
    pub fn new() -> Self {
        let users: Vec<User> = (0..USERS).map(user).collect();
        let contexts: Vec<Context> = users.iter().map(context).collect();
        let shared = Arc::new(listed().collect());
        let mut pairs: Vec<Pair> = (0..MIXED).map(|index| mixed(index, &shared)).collect();
        let mixed = pairs.iter().map(|pair| pair.key.clone()).collect();
        pairs.extend([always("w1-on", 1), percentage("w2-ten", 100_000), cohort("w3-cohort", &shared), rules("w4-rules")]);
        let texts: Vec<String> = pairs.iter().map(|pair| pair.item.to_string()).collect();
        let list = CohortList::from_hashes(listed().collect());
        let cohort = json!({
            "key": COHORT, "unit": "targetingKey", "seed": format!("{LIST_SEED:016x}"),
            "list": {"digest": list.digest(), "count": list.len()}, "if": [{"attribute": "email", "ends_with": SUFFIX}],
        });
        let ours = Ours::new(&texts, &cohort.to_string(), &list);
        let requests = contexts.iter().map(|context| ours.request(context)).collect();
        let is_watched = |index: usize| index >= MIXED || index.is_multiple_of(25);
        let text = |(index, pair): (usize, &Pair)| if is_watched(index) { watched(&pair.item) } else { pair.item.to_string() };
        let served = Served::new(&pairs.iter().enumerate().map(text).collect::<Vec<_>>(), &cohort.to_string(), &list);
        let served_requests = contexts.iter().map(|context| served.ours.request(context)).collect();
        Self {
            contexts,
            users,
            requests,
            served,
            served_requests,
            ours,
            floor: floor::Flags::new(pairs.into_iter().map(|pair| (pair.key, pair.flag))),
            mixed,
        }
    }
}

/// A ruleset of `count` mixed flags, as the wire carries it.
pub fn document(count: usize) -> String {
    let flags: Vec<Json> = (0..count).map(|index| mixed(index, &Arc::default()).item).collect();
    json!({"format": 1, "flags": flags, "cohorts": [], "absorbed": []}).to_string()
}

fn user(index: usize) -> User {
    let domain = if index % 10 == 3 { SUFFIX } else { "@customer.example.org" };
    User {
        key: format!("user-{index}"),
        email: format!("user-{index}{domain}"),
        country: "AT".to_owned(),
        app: format!("9.{}.0", index % 20),
    }
}

fn context(user: &User) -> Context {
    Context::new(&user.key).with("email", &user.email).with("country", &user.country).with("app", &user.app)
}

/// A thousand ids, a tenth of all users.
fn listed() -> impl Iterator<Item = u64> {
    (0..USERS).step_by(10).map(|index| unit_hash(format!("user-{index}").as_bytes(), LIST_SEED))
}

fn item(key: &str, variants: Json, rules: Json, rollout: Json) -> Json {
    // The envelope's four fields come first on the wire.
    let text = format!(
        r#"{{"key":"{key}","killed":false,"off":"off","variants":{variants},"enabled":true,"seed":"{key}","unit":"targetingKey","prerequisites":[],"overrides":{{}},"rules":{rules},"rollout":{rollout}}}"#
    );
    serde_json::from_str(&text).unwrap_or_default()
}

fn on_off(key: &str, cohorts: &[&str], millionths: u32) -> Json {
    item(key, json!({"on": true, "off": false}), json!([]), json!({"cohorts": cohorts, "millionths": millionths, "serve": "on"}))
}

fn always(key: &str, variant: u8) -> Pair {
    Pair { key: key.to_owned(), item: on_off(key, &[], u32::from(variant) * 1_000_000), flag: Flag::Always(variant) }
}

fn percentage(key: &str, millionths: u32) -> Pair {
    let flag = Flag::Percentage(floor::Percentage::new(key, millionths));
    Pair { key: key.to_owned(), item: on_off(key, &[], millionths), flag }
}

/// The floor's flags share their list, as ours do.
fn cohort(key: &str, list: &Arc<floor::List>) -> Pair {
    let flag = Flag::cohort(key, LIST_SEED, Arc::clone(list), SUFFIX, 10_000);
    Pair { key: key.to_owned(), item: on_off(key, &[COHORT], 10_000), flag }
}

/// Ten rules of two conditions, of which only the last holds; it serves four variants alike.
fn rules(key: &str) -> Pair {
    let countries = |index: usize| match index {
        9 => vec!["DE".to_owned(), "CH".to_owned(), "AT".to_owned()],
        _ => ["D", "F", "I"].iter().map(|letter| format!("{letter}{index}")).collect(),
    };
    let split = json!([
        {"variant": "a", "millionths": 250_000}, {"variant": "b", "millionths": 250_000},
        {"variant": "c", "millionths": 250_000}, {"variant": "d", "millionths": 250_000},
    ]);
    let items: Vec<Json> = (0..10)
        .map(|index| {
            let version = format!("{index}.0.0");
            let conditions = json!([{"attribute": "country", "in": countries(index)}, {"attribute": "app", "semver_at_least": version}]);
            json!({"id": format!("rule-{index}"), "if": conditions, "serve": split})
        })
        .collect();
    let variants = json!({"a": "#00f", "b": "#0f0", "c": "#f00", "d": "#888", "off": ""});
    let rules = (0..10).map(|index| Rule { countries: countries(index), at_least: [index as u64, 0, 0] }).collect();
    Pair {
        key: key.to_owned(),
        item: item(key, variants, Json::Array(items), json!({"cohorts": [], "millionths": 0, "serve": "a"})),
        flag: Flag::rules(key, rules, vec![250_000, 500_000, 750_000]),
    }
}

/// As environments are: most flags done or not begun, many on their way, few with rules.
fn mixed(index: usize, list: &Arc<floor::List>) -> Pair {
    let key = format!("US-{index}-{}", ["checkout", "search", "profile", "basket", "recommendations"][index % 5]);
    match index % 20 {
        0..=4 => always(&key, 1),
        5..=7 => always(&key, 0),
        8..=15 => percentage(&key, [1_000, 10_000, 100_000, 500_000][index % 4]),
        16..=18 => cohort(&key, list),
        _ => rules(&key),
    }
}
