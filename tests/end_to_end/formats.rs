//! An SDK of an older format than its service: it goes on with everything that it understands.

use serde::Deserialize;
use serde_json::value::RawValue;
use storyflag::{Client, Context, EvaluationError, Reason, SdkKey, State};
use storyflag_tests::eventually;
use storyflag_tests::eventually::when;
use storyflag_tests::scripted::{Answer, Scripted};

/// What a service of a later format sent. Item texts are part of the digests: the file is never reformatted.
const FIXTURE: &str = include_str!("../fixtures/later_format.json");

#[derive(Deserialize)]
struct Fixture<'a> {
    #[serde(borrow)]
    first: Vec<Event<'a>>,
    #[serde(borrow)]
    later: Vec<Event<'a>>,
}

#[derive(Deserialize)]
struct Event<'a> {
    event: &'a str,
    id: Option<&'a str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

fn text_of(events: &[Event<'_>]) -> String {
    let mut text = "retry: 3000\n\n: a comment of the future\n\n".to_owned();
    for Event { event, id, data } in events {
        let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
        text += &format!("event: {event}\n{id}priority: high\ndata: {}\n\n", data.get());
    }
    text
}

/// A service that sends the fixture's first events, and the later ones too if `later` says so; and an application on it.
async fn application(later: bool) -> (Scripted, Client) {
    let fixture: Fixture<'_> = serde_json::from_str(FIXTURE).expect("the fixture is JSON");
    let mut events = text_of(&fixture.first);
    if later {
        events += &text_of(&fixture.later);
    }
    let revision = if later { 41 } else { 40 };
    let service = Scripted::start(move |head| {
        let streams = head.starts_with("GET /sdk/v1/stream");
        if streams { Answer::events(&events).held_open() } else { Answer::json(404, "{}") }
    })
    .await;
    let key = SdkKey::new([7; 8], [9; 32]);
    let application = Client::builder(service.url(), key.as_str()).connect().await.unwrap();
    eventually("the application serves what the service sent", || async {
        let status = application.status();
        let runs = status.identity.map(|identity| identity.revision);
        when(status.state == State::Streaming && runs == Some(revision), &status)
    })
    .await;
    (service, application)
}

fn unsupported(application: &Client) -> Vec<String> {
    let mut keys: Vec<String> = application.status().unsupported.into_iter().map(|(key, _)| key).collect();
    keys.sort_unstable();
    keys
}

/// The caller's default, with the reason that the flag is not understood.
#[track_caller]
fn not_understood(application: &Client, flag: &str) {
    let anybody = Context::new("user-1");
    let detail = application.detail(flag, &anybody);
    assert_eq!((detail.value, detail.reason, detail.error), (None, Reason::Error, Some(EvaluationError::ParseError)), "{flag}");
    assert!(application.is_on_or(flag, &anybody, true) && !application.is_on_or(flag, &anybody, false), "{flag}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_understood_is_evaluated_and_the_rest_is_the_callers_default() {
    let (service, application) = application(false).await;
    // Fields from the future on every level: the flag is evaluated by those of today.
    let known = |context: &Context| application.detail("US-1-known", context);
    assert_eq!(known(&Context::new("u").with("country", "DE")).rule.as_deref(), Some("german"));
    assert!(application.is_on("US-1-known", &Context::new("u").with("email", "u@example.com")), "a cohort with a field from the future");
    assert_eq!(known(&Context::new("u")).variant.as_deref(), Some("off"));

    // An operator, a way to serve, a cohort's operator, a prerequisite on what is not understood: these alone are not.
    for flag in ["US-2-near", "US-5-nearby-cohort", "US-6-needs-near"] {
        not_understood(&application, flag);
    }
    assert_eq!(application.string("US-3-bandit", &Context::new("u"), "default"), "default");
    // Killed: what its envelope says is enough.
    let killed = application.detail("US-4-near-and-killed", &Context::new("u"));
    assert_eq!((killed.variant.as_deref(), killed.reason), (Some("off"), Reason::Disabled));
    assert!(!application.is_on_or("US-4-near-and-killed", &Context::new("u"), true));

    let status = application.status();
    let expected = ["US-2-near", "US-3-bandit", "US-4-near-and-killed", "US-5-nearby-cohort", "US-6-needs-near", "cohort nearby"];
    assert_eq!(unsupported(&application), expected, "{status:?}");
    let counted = status.errors.iter().find(|(error, _)| *error == EvaluationError::ParseError).map(|(_, count)| *count);
    assert_eq!(counted, Some(3 * 3 + 1), "each of them is counted");
    assert_eq!(status.last_error, None, "nothing of it is a fault");
    assert_eq!(service.asked().iter().filter(|head| head.starts_with("GET /sdk/v1/stream")).count(), 1, "nothing made it connect again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_reach_what_is_not_understood() {
    let (service, application) = application(true).await;
    eventually("the kill of a service that is cut off has arrived", || async {
        let killed = application.detail("US-3-bandit", &Context::new("u"));
        when(killed.reason == Reason::Disabled, &killed)
    })
    .await;
    assert_eq!(application.string("US-3-bandit", &Context::new("u"), "default"), "red");
    let killed = application.detail("US-2-near", &Context::new("u"));
    assert_eq!((killed.variant.as_deref(), killed.reason), (Some("off"), Reason::Disabled));
    // What the change says of the flag that is understood holds as well.
    assert!(application.is_on("US-1-known", &Context::new("u")));
    not_understood(&application, "US-5-nearby-cohort");
    let status = application.status();
    assert_eq!((status.state, status.last_error), (State::Streaming, None));
    assert_eq!(service.asked().iter().filter(|head| head.starts_with("GET /sdk/v1/stream")).count(), 1);
}
