//! Rulesets and contexts for the properties: valid ones, broken ones, and any JSON at all.

use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Map, Value as Json, json};

/// Few keys, so that flags and cohorts name one another, themselves, and what is not there.
pub(crate) const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", "gone"];
const COHORTS: [&str; 3] = ["staff", "beta", "nobody"];
const ATTRIBUTES: [&str; 4] = ["country", "age", "app", "targetingKey"];

pub(crate) fn key() -> impl Strategy<Value = String> {
    select(&KEYS[..5]).prop_map(str::to_owned)
}

/// Any JSON, of a few levels; names are those that items use, so that something is hit.
pub(crate) fn any_json() -> impl Strategy<Value = Json> {
    let names = ["key", "killed", "off", "variants", "rules", "if", "attribute", "in", "not", "serve", "rollout", "millionths", "x"];
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        select(&["on", "off", "a", "", "1.0.0", "DE", "2026-01-01T00:00:00Z", "(", "é"][..]).prop_map(Json::from),
        ".{0,12}".prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 48, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Json::from),
            vec((select(names.to_vec()), inner), 0..6)
                .prop_map(|fields| Json::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())),
        ]
    })
}

fn scalar() -> impl Strategy<Value = Json> {
    prop_oneof![
        select(&["DE", "FR", "", "1.4.0", "user-1", "2026-01-01T00:00:00Z"][..]).prop_map(Json::from),
        (-3_i64..50).prop_map(Json::from),
        any::<bool>().prop_map(Json::from),
    ]
}

/// A condition that compiles.
fn test() -> impl Strategy<Value = (&'static str, Json)> {
    let text = || select(&["DE", "", "user-", "1"][..]).prop_map(Json::from);
    prop_oneof![
        scalar().prop_map(|operand| ("equals", operand)),
        vec(scalar(), 1..20).prop_map(|operands| ("in", operands.into())),
        (select(&["contains", "starts_with", "ends_with"][..]), text()),
        (select(&["less", "at_most", "greater", "at_least"][..]), (-3_i64..50).prop_map(Json::from)),
        (select(&["before", "after"][..]), Just(json!("2026-01-01T00:00:00Z"))),
        (select(&["semver_equals", "semver_less", "semver_at_least"][..]), Just(json!("1.4.0"))),
        (Just("matches"), select(&["^D", "[0-9]+", ""][..]).prop_map(Json::from)),
        any::<bool>().prop_map(|expected| ("exists", expected.into())),
    ]
}

fn condition(cohorts: bool) -> impl Strategy<Value = Json> {
    let attribute = (select(&ATTRIBUTES[..]), test(), any::<bool>()).prop_map(|(attribute, (operator, operand), not)| {
        let fields = [("attribute", Json::from(attribute)), (operator, operand), ("not", not.into())];
        Json::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    });
    let member = (select(&COHORTS[..]), any::<bool>()).prop_map(|(cohort, not)| json!({"in_cohort": cohort, "not": not}));
    (any::<u8>(), attribute, member).prop_map(move |(which, attribute, member)| if cohorts && which < 64 { member } else { attribute })
}

fn serve() -> impl Strategy<Value = Json> {
    let split = (0..=1_000_000_u32)
        .prop_map(|first| json!([{"variant": "off", "millionths": first}, {"variant": "on", "millionths": 1_000_000 - first}]));
    prop_oneof![3 => Just(json!("on")), 1 => split]
}

pub(crate) fn millionths() -> impl Strategy<Value = u32> {
    prop_oneof![1 => Just(0_u32), 1 => Just(1_000_000_u32), 3 => 0..=1_000_000_u32]
}

/// A flag that every check accepts, except that prerequisites may be in a circle.
pub(crate) fn flag() -> impl Strategy<Value = Json> {
    let prerequisites = vec((select(&KEYS[..]), select(&["on", "off"][..])), 0..3)
        .prop_map(|needed| needed.into_iter().map(|(flag, variant)| json!({"flag": flag, "variants": [variant]})).collect::<Vec<_>>());
    let rules = vec((vec(condition(true), 0..3), serve()), 0..4).prop_map(|rules| {
        let rule = |(index, (conditions, serve))| json!({"id": format!("rule-{index}"), "if": conditions, "serve": serve});
        rules.into_iter().enumerate().map(rule).collect::<Vec<_>>()
    });
    let rollout = (vec(select(&COHORTS[..]), 0..3), millionths(), serve())
        .prop_map(|(cohorts, millionths, serve)| json!({"cohorts": cohorts, "millionths": millionths, "serve": serve}));
    let unit = select(&["targetingKey", "account"][..]);
    (key(), 0..10_u8, 0..10_u8, unit, prerequisites, rules, rollout, any::<bool>()).prop_map(
        |(key, killed, disabled, unit, prerequisites, rules, rollout, override_one)| {
            let overrides = if override_one { json!({"user-1": "on"}) } else { json!({}) };
            json!({
                "key": key, "killed": killed == 0, "off": "off", "variants": {"on": true, "off": false}, "enabled": disabled > 0,
                "seed": key, "unit": unit, "prerequisites": prerequisites, "overrides": overrides, "rules": rules, "rollout": rollout,
            })
        },
    )
}

/// A cohort that compiles; its list, if it has one, never comes.
pub(crate) fn cohort() -> impl Strategy<Value = Json> {
    (select(&COHORTS[..]), any::<bool>(), vec(condition(false), 0..3)).prop_map(|(key, listed, conditions)| {
        let list = if listed { json!({"digest": "0".repeat(32), "count": 1}) } else { Json::Null };
        json!({"key": key, "unit": "targetingKey", "seed": "2a", "list": list, "if": conditions})
    })
}

/// An item with one thing, anywhere in it, replaced or gone.
pub(crate) fn mutated(items: impl Strategy<Value = Json>) -> impl Strategy<Value = Json> {
    (items, any::<prop::sample::Index>(), prop::option::of(any_json())).prop_map(|(mut item, place, replacement)| {
        let mut left = place.index(nodes(&item));
        mutate(&mut item, &mut left, &replacement);
        item
    })
}

/// How many things there are below a value.
fn nodes(json: &Json) -> usize {
    let below = match json {
        Json::Array(values) => values.iter().map(nodes).sum(),
        Json::Object(fields) => fields.values().map(nodes).sum(),
        _ => 0,
    };
    below + 1
}

fn mutate(json: &mut Json, left: &mut usize, replacement: &Option<Json>) -> bool {
    if *left == 0 {
        *json = replacement.clone().unwrap_or(Json::Null);
        return true;
    }
    *left -= 1;
    match json {
        Json::Array(values) => values.iter_mut().any(|value| mutate(value, left, replacement)),
        Json::Object(fields) => {
            let names: Vec<String> = fields.keys().cloned().collect();
            names.iter().any(|name| {
                if *left == 0 && replacement.is_none() {
                    return fields.remove(name).is_some();
                }
                fields.get_mut(name).is_some_and(|value| mutate(value, left, replacement))
            })
        }
        _ => false,
    }
}

/// A context: mostly what conditions ask about, sometimes anything.
pub(crate) fn context() -> impl Strategy<Value = Json> {
    let known = (
        select(vec![json!("user-1"), json!("user-2"), json!(42), json!(42.5), json!(""), Json::Null]),
        scalar(),
        scalar(),
        vec(scalar(), 0..3),
    )
        .prop_map(|(key, country, age, app)| json!({"targetingKey": key, "country": country, "age": age, "app": app, "account": "acme"}));
    let anything = vec((select(&ATTRIBUTES[..]), any_json()), 0..5)
        .prop_map(|fields| Json::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>()));
    prop_oneof![3 => known, 1 => anything]
}
