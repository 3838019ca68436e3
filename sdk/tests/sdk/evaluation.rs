//! What the getters answer, without any network.

use serde_json::json;
use storyflag::{Arm, Client, Context, EvaluationError, Reason, State, Value};

use crate::{
    Directory,
    environment::{Environment, flag_serving},
    user,
};

fn typed() -> Client {
    Client::fixed([
        ("boolean", json!(true)),
        ("text", json!("dark")),
        ("whole", json!(42)),
        ("written", json!(42.0)),
        ("half", json!(0.5)),
        ("huge", json!(1e300)),
        ("object", json!({"a": [1, null]})),
        ("nothing", json!(null)),
        ("list", json!([1])),
    ])
}

#[test]
fn every_type_has_its_getter_and_takes_no_other() {
    let client = typed();
    let view = client.for_context(user("a"));
    assert!(view.is_on("boolean") && !view.is_on("text") && view.is_on_or("text", true));
    assert_eq!((view.string("text", "light"), view.string("boolean", "light")), ("dark", "light"));
    let integers = ["whole", "written", "half", "huge", "text", "object"].map(|key| view.integer(key, -1));
    assert_eq!(integers, [42, 42, -1, -1, -1, -1]);
    assert_eq!(["whole", "half", "huge", "text"].map(|key| view.number(key, -1.0)), [42.0, 0.5, 1e300, -1.0]);
    assert_eq!(view.json("object", json!(7)), json!({"a": [1, null]}));
    assert_eq!(view.json("text", json!(7)), json!("dark"), "JSON takes any type");
    for missing in ["nothing", "list", "not there"] {
        assert_eq!(view.json(missing, json!(7)), json!(7), "{missing}");
    }
    let context = user("a");
    assert!(client.is_on("boolean", &context) && client.is_on_or("text", &context, true));
    assert_eq!(client.string("text", &context, "light"), "dark");
    assert_eq!((client.integer("whole", &context, 0), client.number("half", &context, 0.0)), (42, 0.5));
    assert_eq!(client.json("whole", &context, json!(0)), json!(42));
}

#[test]
fn details_say_what_went_wrong() {
    let client = typed();
    let view = client.for_context(user("a"));
    let fine = view.detail("text");
    assert_eq!(
        (fine.value, fine.variant.as_deref(), fine.reason, fine.error),
        (Some(Value::Text("dark".into())), Some("fixed"), Reason::Static, None)
    );
    let missing = client.detail("not there", &user("a"));
    assert_eq!((missing.value, missing.reason, missing.error), (None, Reason::Error, Some(EvaluationError::FlagNotFound)));
    let unsupported = view.detail("list");
    assert_eq!((unsupported.value, unsupported.error), (None, Some(EvaluationError::ParseError)));
    let mismatch = view.detail_or("text", true);
    assert_eq!(
        (mismatch.value, mismatch.variant, mismatch.reason, mismatch.error),
        (true, None, Reason::Error, Some(EvaluationError::TypeMismatch))
    );
    assert_eq!(client.detail_or("text", &user("a"), "light".to_owned()).value, "dark");
    assert_eq!(view.detail_or("not there", 7_i64).value, 7);
    assert_eq!(view.detail_or("half", 7_i64).error, Some(EvaluationError::TypeMismatch));
    assert_eq!(view.detail_or("half", 7.0).value, 0.5);
    assert_eq!(view.detail_or("object", json!({})).value, json!({"a": [1, null]}));
    let counted: Vec<_> = client.status().errors.iter().map(|(error, count)| (error.name(), *count)).collect();
    assert_eq!(counted, [("FLAG_NOT_FOUND", 2), ("TYPE_MISMATCH", 2), ("PARSE_ERROR", 1)]);
}

#[test]
fn a_percentage_needs_a_unit_and_tells_its_bucket() {
    let directory = Directory::new();
    let environment = Environment::with("US-1", 50.0);
    std::fs::create_dir_all(&directory.0).unwrap();
    let path = directory.0.join("flags.json");
    std::fs::write(&path, environment.body()).unwrap();
    let client = Client::from_file(&path).unwrap();
    let detail = client.detail("US-1", &Context::without_key());
    assert_eq!(detail.error, Some(EvaluationError::TargetingKeyMissing));
    let on = (0..1_000).filter(|number| client.is_on("US-1", &user(&format!("user-{number}")))).count();
    assert!((400..600).contains(&on), "{on}");
    let detail = client.detail_or("US-1", &user("user-1"), false);
    assert_eq!((detail.value, detail.arm), if detail.bucket.unwrap() < 500_000 { (true, Arm::Treatment) } else { (false, Arm::Control) });
}

#[tokio::test]
async fn a_client_of_a_file_is_fixed() {
    let directory = Directory::new();
    std::fs::create_dir_all(&directory.0).unwrap();
    let path = directory.0.join("flags.json");
    let mut environment = Environment::new();
    environment.put("theme", &flag_serving("theme", "\"dark\""));
    std::fs::write(&path, environment.body()).unwrap();
    let client = Client::from_file(&path).unwrap();
    assert_eq!((client.status().state, client.ready(), client.status().endpoint), (State::Fixed, true, None));
    assert_eq!(client.for_context(user("a")).string("theme", "light"), "dark");
    let mut changes = client.changes();
    client.close().await;
    assert_eq!((changes.next().await, client.status().state), (None, State::Closed));

    std::fs::write(&path, "nothing of the kind").unwrap();
    let error = Client::from_file(&path).unwrap_err().to_string();
    assert!(error.contains("flags.json") && error.ends_with("it is no ruleset file"), "{error}");
    let error = Client::from_file(directory.0.join("missing")).unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
}

#[test]
fn the_first_format_is_read_for_ever() {
    let client = Client::from_file(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/format-1.ruleset")).unwrap();
    assert_eq!(client.status().identity.unwrap().revision, 813);
    assert!(client.is_on("US-1", &user("a")) && !client.is_on("US-2", &user("a")), "US-2 is killed beside its item");
    assert!(client.is_on("US-1", &user("a").with("country", "DE")));
}

#[test]
fn fixed_flags_may_be_of_any_context_and_the_later_wins() {
    let client = Client::fixed([("US-1", true), ("US-2", false), ("US-2", true)]);
    assert!(client.is_on("US-1", &Context::without_key()) && client.is_on("US-2", &user("a")));
    assert_eq!(client.detail("US-1", &user("a")).variant.as_deref(), Some("on"));
    assert!(!Client::fixed([("US-1", false)]).is_on_or("US-1", &user("a"), true), "off is an answer, not a doubt");
    assert!(Client::fixed::<&str, bool>([]).is_on_or("US-1", &user("a"), true));
}
