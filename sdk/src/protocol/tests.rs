//! Events in, actions out: no socket, no clock.

use proptest::prelude::*;
use storyflag_evaluation::{Context, Reason};

use super::*;
use crate::environment::{self, Environment, Sent, cohort, flag, flag_for_cohort, flag_of_the_future};

const KEY: &str = "US-1";

/// A protocol with the ruleset that it serves, as the driver keeps them.
struct Sdk {
    protocol: Protocol,
    served: Option<Ruleset>,
}

impl Sdk {
    fn new() -> Self {
        let mut protocol = Protocol::new(true);
        protocol.begin(Duration::ZERO);
        Self { protocol, served: None }
    }

    fn with(environment: &Environment) -> Self {
        let mut sdk = Self::new();
        assert_eq!(sdk.hear(&environment.ruleset()), "serve");
        sdk
    }

    fn hear_at(&mut self, now: u64, sent: &Sent) -> String {
        self.raw(Duration::from_millis(now), sent.name, sent.id.as_deref(), sent.data.as_bytes())
    }

    fn hear(&mut self, sent: &Sent) -> String {
        self.hear_at(0, sent)
    }

    /// The action as a word, and what went wrong.
    fn raw(&mut self, now: Duration, name: &str, id: Option<&str>, data: &[u8]) -> String {
        self.protocol.heard(now);
        let action = self.protocol.receive(self.served.as_ref(), name, id, data, now);
        self.act(action)
    }

    fn act(&mut self, action: Action) -> String {
        match action {
            Action::Nothing => "nothing".into(),
            Action::Serve(ruleset) => {
                self.served = Some(*ruleset);
                "serve".into()
            }
            Action::Kept(problem) => format!("kept: {problem}"),
            Action::Reconnect(problem) => format!("reconnect: {problem}"),
            Action::AskWhole(problem) => format!("ask whole: {problem}"),
            Action::Goodbye(least, most) => format!("goodbye: {} to {} ms", least.as_millis(), most.as_millis()),
        }
    }

    fn identity(&self) -> Identity {
        self.served.as_ref().unwrap().identity()
    }

    fn is_on(&self, key: &str) -> bool {
        self.served.as_ref().unwrap().evaluate(key, &Context::new("user-1")).is_on()
    }
}

fn kills(kills: &[(&str, &str)]) -> Sent {
    let kills: Vec<_> = kills.iter().map(|(flag, id)| serde_json::json!({"flag": flag, "id": id})).collect();
    Sent { name: "kills", id: None, data: serde_json::json!({ "kills": kills }).to_string() }
}

#[test]
fn a_change_applies_to_what_it_starts_from() {
    let mut environment = Environment::with(KEY, 0.0);
    let mut sdk = Sdk::with(&environment);
    assert!(!sdk.is_on(KEY));
    assert_eq!(sdk.hear(&environment.raise(KEY, 100.0)), "serve");
    assert!(sdk.is_on(KEY));
    assert_eq!(sdk.hear(&environment.raise("US-2", 100.0)), "serve", "a new flag");
    assert!(sdk.is_on("US-2") && sdk.is_on(KEY), "one flag's change disturbs no other");
    assert_eq!(sdk.hear(&environment.remove(KEY)), "serve");
    assert!(sdk.served.as_ref().unwrap().flag(KEY).is_none());
    assert_eq!(sdk.identity(), environment.identity());
}

#[test]
fn the_same_or_an_older_change_is_ignored() {
    let mut environment = Environment::with(KEY, 0.0);
    let mut sdk = Sdk::with(&environment);
    let raised = environment.raise(KEY, 100.0);
    let removed = environment.remove(KEY);
    let back = environment.raise(KEY, 100.0);
    assert_eq!([&raised, &removed, &back].map(|sent| sdk.hear(sent)), ["serve", "serve", "serve"]);
    for old in [&raised, &removed, &back] {
        assert_eq!(sdk.hear(old), "nothing");
    }
    assert!(sdk.is_on(KEY), "the old removal does not come back either");
}

#[test]
fn a_change_with_a_gap_another_incarnation_or_nothing_below_it_asks_for_the_whole() {
    let mut environment = Environment::with(KEY, 0.0);
    let mut sdk = Sdk::with(&environment);
    environment.raise(KEY, 1.0);
    let later = environment.raise(KEY, 2.0);
    assert!(sdk.hear(&later).starts_with("ask whole: the change to"));

    let mut elsewhere = Environment { incarnation: environment::INCARNATION + 1, ..Environment::with(KEY, 0.0) };
    assert!(sdk.hear(&elsewhere.raise(KEY, 100.0)).starts_with("ask whole"));
    assert!(!sdk.is_on(KEY), "what it had is kept");

    assert!(Sdk::new().hear(&later).starts_with("ask whole"));
    assert_eq!(sdk.hear(&environment.ruleset()), "serve");
    assert_eq!(sdk.identity(), environment.identity());
}

#[test]
fn a_wrong_digest_is_never_served() {
    let mut environment = Environment::with(KEY, 0.0);
    let mut sdk = Sdk::with(&environment);
    let kept = sdk.identity();
    let mut forged = environment.raise(KEY, 100.0);
    forged.data = forged.data.replace("1000000", "1000");
    assert!(sdk.hear(&forged).starts_with("ask whole: the items sent are not those of"));
    let mut forged = environment.ruleset();
    forged.data = forged.data.replace("1000000", "1000");
    assert!(sdk.hear(&forged).starts_with("ask whole: the items sent are not those of"));
    assert_eq!(sdk.identity(), kept);
    assert_eq!(sdk.hear(&environment.ruleset()), "serve");
}

#[test]
fn nobody_goes_to_a_lower_pair_and_everybody_to_a_higher_one() {
    let mut environment = Environment::with(KEY, 100.0);
    let old = environment.clone();
    environment.raise(KEY, 100.0);
    let mut sdk = Sdk::with(&environment);
    assert!(sdk.hear(&old.ruleset()).starts_with("kept: the service offers"));
    assert_eq!(sdk.identity(), environment.identity());

    // The database was put back, and the next write has raised the incarnation: a lower revision is higher now.
    let restored = Environment { incarnation: old.incarnation + 1, ..Environment::with(KEY, 0.0) };
    assert_eq!(sdk.hear(&restored.ruleset()), "serve");
    assert_eq!(sdk.identity(), restored.identity());
    assert!(sdk.hear(&environment.ruleset()).starts_with("kept"));
}

#[test]
fn an_equal_pair_with_other_items_is_noticed_and_the_whole_taken() {
    let environment = Environment::with(KEY, 0.0);
    let mut sdk = Sdk::with(&environment);
    let other = Environment::with(KEY, 100.0);
    assert_eq!(other.identity().pair(), environment.identity().pair());
    assert_eq!(sdk.hear_at(1_000, &other.heartbeat()), "nothing");
    let action = sdk.protocol.time_passed(Some(sdk.identity()), Duration::from_millis(3_000));
    assert!(sdk.act(action).starts_with("ask whole: the service is at"));
    assert_eq!(sdk.hear(&other.ruleset()), "serve");
    assert!(sdk.is_on(KEY));
}

#[test]
fn garbage_reconnects_and_keeps_what_is_there() {
    let mut environment = Environment::with(KEY, 100.0);
    let mut sdk = Sdk::with(&environment);
    let (now, next) = (environment.identity().to_string(), environment.raise(KEY, 1.0).id);
    let id = next.as_deref();
    for (name, id, data) in [
        ("ruleset", id, "{"),
        ("ruleset", id, "[]"),
        ("ruleset", id, r#"{"format":1}"#),
        ("ruleset", id, r#"{"flags":{}}"#),
        ("ruleset", None, r#"{"flags":[]}"#),
        ("ruleset", Some("813"), r#"{"flags":[]}"#),
        ("change", id, ""),
        ("change", id, r#"{"from":"1"}"#),
        ("change", id, r#"{"from":1,"put":{"flags":[{]}}"#),
        ("change", Some("x"), r#"{"from":1}"#),
        ("heartbeat", None, r#"{"head":813}"#),
        ("heartbeat", None, "\u{0}"),
        ("kills", None, r#"{"kills":7}"#),
    ] {
        let said = sdk.raw(Duration::ZERO, name, id, data.as_bytes());
        assert!(said.starts_with("reconnect: ") && said.contains("cannot be read"), "{name} {data}: {said}");
        assert_eq!(sdk.identity().to_string(), now);
    }
    assert!(sdk.raw(Duration::ZERO, "ruleset", id, b"{\"flags\":[\"\xff\"]}").starts_with("reconnect"));
    assert!(sdk.is_on(KEY));
}

#[test]
fn unknown_events_are_not_even_parsed() {
    let mut sdk = Sdk::with(&Environment::with(KEY, 100.0));
    for (name, data) in [("", "{"), ("snapshot", "no json"), ("rulesets", "\u{0}"), ("message", "{}")] {
        assert_eq!(sdk.raw(Duration::ZERO, name, Some("9-9-0000000000000000"), data.as_bytes()), "nothing");
    }
}

#[test]
fn a_flag_of_the_future_is_unsupported_alone_and_a_kill_reaches_it() {
    let mut environment = Environment::with(KEY, 100.0);
    environment.flags.insert("US-9".into(), flag_of_the_future("US-9", false));
    let mut sdk = Sdk::with(&environment);
    let served = sdk.served.as_ref().unwrap();
    assert!(sdk.is_on(KEY));
    assert!(served.flag("US-9").unwrap().unsupported().is_some());
    assert_eq!(served.evaluate("US-9", &Context::new("a")).error().map(|error| error.name()), Some("PARSE_ERROR"));
    assert_eq!(sdk.hear(&environment.put("US-9", &flag_of_the_future("US-9", true))), "serve");
    let answer = sdk.served.as_ref().unwrap().evaluate("US-9", &Context::new("a"));
    assert_eq!((answer.variant(), answer.reason()), (Some("off"), Reason::Disabled));
    // Its text counts in the digest as it was sent, and stands as it was sent in what the disk cache gets.
    assert!(sdk.protocol.texts().unwrap().flags().any(|text| text == environment.flags["US-9"]));
}

#[test]
fn a_format_of_the_future_is_read_as_far_as_it_is_understood() {
    let environment = Environment::with(KEY, 100.0);
    let mut sent = environment.ruleset();
    sent.data = sent.data.replace(r#"{"format":1,"#, r#"{"format":7,"weather":{"rain":[1,2,{}]},"#);
    let mut sdk = Sdk::new();
    assert_eq!(sdk.hear(&sent), "serve");
    assert!(sdk.is_on(KEY));
}

#[test]
fn silence_ends_a_stream_after_fifteen_seconds() {
    let environment = Environment::with(KEY, 100.0);
    let mut sdk = Sdk::with(&environment);
    let at = Duration::from_millis;
    sdk.hear_at(5_000, &environment.heartbeat());
    assert_eq!(sdk.protocol.deadline(), at(20_000));
    let (early, late) = (sdk.protocol.time_passed(None, at(19_999)), sdk.protocol.time_passed(None, at(20_000)));
    assert_eq!(sdk.act(early), "nothing");
    assert_eq!(sdk.act(late), "reconnect: nothing was heard for too long");
}

#[test]
fn a_head_that_is_not_sent_for_two_seconds_is_fetched() {
    let mut environment = Environment::with(KEY, 0.0);
    let mut sdk = Sdk::with(&environment);
    let at = Duration::from_millis;
    let change = environment.raise(KEY, 100.0);
    assert_eq!(sdk.hear_at(1_000, &environment.heartbeat()), "nothing");
    assert!(sdk.protocol.is_confirmed(), "a change under way makes nothing stale");
    assert_eq!(sdk.protocol.deadline(), at(3_000));
    sdk.hear_at(2_500, &environment.heartbeat());
    assert_eq!(sdk.protocol.deadline(), at(3_000), "another heartbeat does not put it off");
    let action = sdk.protocol.time_passed(Some(sdk.identity()), at(3_000));
    assert!(sdk.act(action).starts_with("reconnect: the service is at"));
    sdk.protocol.begin(at(4_000));
    sdk.hear_at(5_000, &environment.heartbeat());
    let action = sdk.protocol.time_passed(Some(sdk.identity()), at(7_000));
    assert!(sdk.act(action).starts_with("ask whole: the service is at"), "it did not come when it was asked for");
    assert_eq!(sdk.hear_at(7_001, &change), "serve");
    assert_eq!(sdk.protocol.deadline(), at(22_001), "caught up");
}

#[test]
fn a_reconnect_is_confirmed_by_a_heartbeat_alone() {
    let environment = Environment::with(KEY, 100.0);
    let mut sdk = Sdk::with(&environment);
    sdk.protocol.begin(Duration::from_secs(9));
    assert!(!sdk.protocol.is_confirmed());
    assert_eq!(sdk.hear_at(9_500, &environment.heartbeat()), "nothing");
    assert!(sdk.protocol.is_confirmed());
}

#[test]
fn a_service_that_went_back_does_not_confirm_what_is_served() {
    let mut environment = Environment::with(KEY, 0.0);
    let old = environment.clone();
    environment.raise(KEY, 100.0);
    let mut sdk = Sdk::with(&environment);
    assert!(sdk.hear(&old.heartbeat()).starts_with("kept: the service offers"));
    assert!(!sdk.protocol.is_confirmed());
    assert_eq!(sdk.protocol.deadline(), SILENT_AFTER, "there is nothing to wait for");
}

#[test]
fn goodbye_says_when_to_come_back() {
    let goodbye = |data: &str| Sdk::new().raw(Duration::ZERO, "goodbye", None, data.as_bytes());
    assert_eq!(goodbye(r#"{"reconnect_after_ms":[100,30000]}"#), "goodbye: 100 to 30000 ms");
    assert_eq!(goodbye(r#"{"reconnect_after_ms":[9,3]}"#), "goodbye: 9 to 9 ms");
    assert_eq!(goodbye(r#"{"reconnect_after_ms":[0,18446744073709551615]}"#), "goodbye: 0 to 300000 ms");
    assert_eq!(goodbye("what?"), "goodbye: 0 to 30000 ms");
}

#[test]
fn a_kill_goes_before_its_ruleset_and_stands_until_it_is_absorbed() {
    let mut environment = Environment::with(KEY, 100.0);
    let mut sdk = Sdk::with(&environment);
    assert_eq!(sdk.hear(&kills(&[(KEY, "5e"), ("US-other", "5f")])), "serve");
    assert!(!sdk.is_on(KEY));
    assert_eq!(sdk.hear(&kills(&[(KEY, "5e")])), "nothing", "a set only grows");
    assert_eq!(sdk.hear(&environment.raise("US-2", 100.0)), "serve");
    assert!(!sdk.is_on(KEY), "another change does not revive it");
    assert_eq!(sdk.hear(&environment.ruleset()), "serve");
    assert!(!sdk.is_on(KEY), "nor does a whole that has not absorbed it");

    environment.raise("US-2", 50.0);
    environment.absorbed = vec!["5e".into()];
    assert_eq!(sdk.hear(&environment.ruleset()), "serve");
    assert!(sdk.is_on(KEY), "absorbed: the item decides again");
    assert_eq!(sdk.hear(&kills(&[(KEY, "5e")])), "nothing", "a late repetition kills no more");
    assert!(sdk.is_on(KEY));
    assert_eq!(sdk.protocol.kills().map(|kill| kill.id).collect::<Vec<_>>(), ["5f"]);
    assert_eq!(sdk.hear(&kills(&[(KEY, "60")])), "serve", "a new kill of the same flag does");
    assert!(!sdk.is_on(KEY));
}

#[test]
fn an_absorption_is_heard_even_when_nothing_else_changed() {
    let mut environment = Environment::with(KEY, 100.0);
    let mut sdk = Sdk::with(&environment);
    sdk.hear(&kills(&[(KEY, "5e")]));
    environment.absorbed = vec!["5e".into()];
    assert_eq!(sdk.hear(&environment.ruleset()), "serve");
    assert!(sdk.is_on(KEY));
}

#[test]
fn a_kill_before_any_ruleset_is_remembered_and_one_of_the_future_is_skipped() {
    let mut sdk = Sdk::new();
    let mut sent = kills(&[(KEY, "5e")]);
    sent.data = sent.data.replace("[", r#"[{"segment":"DE"},7,"#);
    assert_eq!(sdk.hear(&sent), "nothing");
    assert_eq!(sdk.hear(&Environment::with(KEY, 100.0).ruleset()), "serve");
    assert!(!sdk.is_on(KEY));
}

#[test]
fn a_list_is_taken_only_while_it_is_named() {
    let mut environment = Environment::new();
    let (text, list) = cohort("staff", &["user-1"]);
    environment.put_cohort("staff", &text);
    environment.put(KEY, &flag_for_cohort(KEY, "staff"));
    let mut sdk = Sdk::with(&environment);
    assert!(!sdk.is_on(KEY), "nobody is listed yet");
    let digest = list.digest();
    let ruleset = Protocol::list(sdk.served.as_ref().unwrap(), "staff", &digest, list.clone()).unwrap();
    sdk.served = Some(ruleset);
    assert!(sdk.is_on(KEY));
    assert!(Protocol::list(sdk.served.as_ref().unwrap(), "staff", &digest, list.clone()).is_none(), "already there");

    let (text, _) = cohort("staff", &["user-1", "user-2"]);
    assert_eq!(sdk.hear(&environment.put_cohort("staff", &text)), "serve");
    assert!(sdk.is_on(KEY), "the list before it stands until the new one is there");
    assert!(Protocol::list(sdk.served.as_ref().unwrap(), "staff", &digest, list).is_none(), "not named any more");
}

#[test]
fn texts_follow_rulesets_and_changes_byte_for_byte() {
    let mut environment = Environment::with(KEY, 0.0);
    let spaced = flag("US-2", 5.0).replace(",\"off\"", ",  \"off\"");
    environment.flags.insert("US-2".into(), spaced.clone());
    let mut sdk = Sdk::with(&environment);
    sdk.hear(&environment.put_cohort("c", r#"{"key":"c", "list":null, "?":1}"#));
    sdk.hear(&environment.raise(KEY, 3.0));
    sdk.hear(&environment.put("US-4", r#"{ "key" : "US-4" }"#));
    sdk.hear(&environment.remove(KEY));
    let texts = sdk.protocol.texts().unwrap();
    assert_eq!(texts.flags().collect::<Vec<_>>(), [spaced.as_str(), r#"{ "key" : "US-4" }"#]);
    assert_eq!(texts.cohorts().collect::<Vec<_>>(), [r#"{"key":"c", "list":null, "?":1}"#]);
}

#[derive(Debug, Clone)]
enum Step {
    Raise(u8, u8),
    Remove(u8),
    Cohort(u8),
    RemoveCohort(u8),
    Whole,
    Lose,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..6_u8, 0..=100_u8).prop_map(|(key, percentage)| Step::Raise(key, percentage)),
        1 => (0..6_u8).prop_map(Step::Remove),
        1 => (0..3_u8).prop_map(Step::Cohort),
        1 => (0..3_u8).prop_map(Step::RemoveCohort),
        1 => Just(Step::Whole),
        1 => Just(Step::Lose),
    ]
}

proptest! {
    /// Whatever happens to an environment and whichever events are lost: pairs only rise, and the whole brings the head.
    #[test]
    fn pairs_only_rise_and_the_head_is_reached(steps in prop::collection::vec(step(), 1..40)) {
        let mut environment = Environment::with(KEY, 1.0);
        let mut sdk = Sdk::with(&environment);
        for step in steps {
            let sent = match step {
                Step::Raise(key, percentage) => environment.raise(&format!("US-{key}"), f64::from(percentage)),
                Step::Remove(key) => environment.remove(&format!("US-{key}")),
                Step::Cohort(key) => environment.put_cohort(&format!("c-{key}"), &cohort(&format!("c-{key}"), &["a"]).0),
                Step::RemoveCohort(key) => environment.remove_cohort(&format!("c-{key}")),
                Step::Whole => environment.ruleset(),
                Step::Lose => {
                    environment.raise("US-0", 7.0);
                    continue;
                }
            };
            let before = sdk.identity();
            let said = sdk.hear(&sent);
            prop_assert!(sdk.identity().pair() >= before.pair());
            if said.starts_with("ask whole") {
                prop_assert_eq!(sdk.identity(), before);
                prop_assert_eq!(sdk.hear(&environment.ruleset()), "serve");
            }
            prop_assert_eq!(sdk.identity(), environment.identity());
            prop_assert!(sdk.served.as_ref().unwrap().is_whole());
            let texts = sdk.protocol.texts().unwrap();
            prop_assert!(texts.flags().eq(environment.flags.values()) && texts.cohorts().eq(environment.cohorts.values()));
        }
    }

    /// Any bytes are refused or understood, and what is served is always whole.
    #[test]
    fn any_event_is_survived(
        events in prop::collection::vec((
            prop::sample::select(vec!["ruleset", "change", "heartbeat", "kills", "goodbye", "other", ""]),
            prop::option::of("[0-9]{1,3}-[0-9]{1,3}-[0-9a-f]{16}|.{0,20}"),
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..60),
                r#"\{"(from|flags|put|head|kills|remove|format|cohorts)":(1|\[\]|\{\}|"x"|\[\{"key":"k"\}\]|\{"flags":\[\{"key":"k"\}\]\})\}"#
                    .prop_map(String::into_bytes),
            ],
            0_u64..40_000,
        ), 0..12),
    ) {
        let mut sdk = Sdk::with(&Environment::with(KEY, 100.0));
        for (name, id, data, now) in events {
            let before = sdk.identity();
            sdk.raw(Duration::from_millis(now), name, id.as_deref(), &data);
            sdk.protocol.time_passed(Some(before), Duration::from_millis(now));
            prop_assert!(sdk.identity().pair() >= before.pair());
            prop_assert!(sdk.served.as_ref().unwrap().is_whole());
        }
    }
}
