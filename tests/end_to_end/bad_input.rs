//! What bad input gets: a status, every fault with its pointer, what would be right, and nothing changed.

use reqwest::Method;
use serde_json::{Value, json};
use storyflag_tests::actors::{Actor, flag_path};
use storyflag_tests::answer::Answer;
use storyflag_tests::{Backend, House, on_both_databases};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const FLAG: &str = "US-123-checkout";
const ROLLOUT: &str = "flags/US-123-checkout/rollout";
const TARGETING: &str = "flags/US-123-checkout";

on_both_databases!(
    a_bad_percentage,
    what_is_no_json,
    a_body_that_is_too_large,
    unknown_fields_and_wrong_types,
    a_query_that_nobody_understands,
    what_does_not_exist,
    a_key_that_is_none,
    a_bad_list_of_members,
    a_kill_that_is_badly_wrapped,
);

/// A house with one flag at 0.1 % in staging, and the editor who works there.
pub(crate) async fn a_flag_at_a_tenth(backend: Backend) -> (House, Actor) {
    let house = House::new(backend).await;
    let editor = house.editor();
    editor.create_flag(FLAG).await;
    editor.raise(FLAG, 0.1).await.expect(200);
    (house, editor)
}

async fn a_bad_percentage(backend: Backend) {
    let (_house, editor) = a_flag_at_a_tenth(backend).await;
    let before = editor.everything().await;
    for (percentage, told) in [
        (json!(-1), "is -1; a percentage is 0 to 100"),
        (json!(100.5), "is 100.5; a percentage is 0 to 100"),
        (json!(1e300), "a percentage is 0 to 100"),
        (json!(0.00001), "at most four decimals, so 0.0001 is the finest"),
        (json!("ten"), "is \"ten\", not a number from 0 to 100"),
        (json!(null), "is null, not a number from 0 to 100"),
        (json!([1]), "is a list, not a number from 0 to 100"),
    ] {
        let bump = json!({"percentage": percentage, "from": 0.1});
        editor.patch(ROLLOUT, &bump).await.refused(422, &["/percentage"], told);
        let rollout = json!({"percentage": percentage, "serve": "on"});
        editor.put(ROLLOUT, &rollout).await.refused(422, &["/percentage"], told);
        editor.put(TARGETING, &json!({"rollout": rollout})).await.refused(422, &["/rollout/percentage"], told);
    }
    editor.patch(ROLLOUT, &json!({})).await.refused(422, &["/percentage"], "is missing");
    editor.patch(ROLLOUT, &json!({"percentage": 1, "from": -1})).await.refused(422, &["/from"], "a percentage is 0 to 100");
    assert_eq!(editor.everything().await, before);
}

async fn what_is_no_json(backend: Backend) {
    let (_house, editor) = a_flag_at_a_tenth(backend).await;
    let before = editor.everything().await;
    let send = |text: String| editor.request(Method::PATCH, ROLLOUT).body("application/json", text).send();
    for (text, told) in [
        ("{\n  \"percentage\": NaN}".to_owned(), "line 2 column 17"),
        ("{\"percentage\": 1} x".to_owned(), "line 1 column 19"),
        ("{\"percentage\": 1".to_owned(), "line 1 column 16"),
        ("{\"percentage\": 1,}".to_owned(), "line 1 column 18"),
        ("{\"percentage\": 1e999}".to_owned(), "line 1 column"),
        ("{\"percentage\": 1, \"percentage\": 100}".to_owned(), "the key \"percentage\" stands twice in one object at line 1 column"),
        (format!("{{\"percentage\":\n{}1{}}}", "[".repeat(32), "]".repeat(32)), "nests deeper than 32 at line 2 column 32"),
    ] {
        send(text).await.refused(400, &[], told);
    }
    let not_utf8 = editor.request(Method::PATCH, ROLLOUT).body("application/json", b"{\"percentage\": \"\xff\"}".to_vec()).send();
    not_utf8.await.refused(400, &[], "the body is no JSON");
    // As deep as it may be, it is read, and only then found to be no percentage.
    let deep = format!("{{\"percentage\": {}1{}}}", "[".repeat(31), "]".repeat(31));
    send(deep).await.refused(422, &["/percentage"], "is a list");
    let text = editor.request(Method::PATCH, ROLLOUT).body("text/plain", "{\"percentage\": 1}").send();
    text.await.refused(415, &[], "it must be application/json");
    assert_eq!(editor.everything().await, before);
}

async fn a_body_that_is_too_large(backend: Backend) {
    let (_house, editor) = a_flag_at_a_tenth(backend).await;
    let before = editor.everything().await;
    let large = format!("{{\"percentage\": 1, \"reason\": \"{}\"}}", "x".repeat(5 * 1024 * 1024));
    let whole = editor.request(Method::PATCH, ROLLOUT).body("application/json", large.clone()).send();
    whole.await.refused(413, &[], "too large");
    // Without a length that is told beforehand.
    let parts = large.into_bytes().chunks(64 * 1024).map(|part| Ok::<_, std::io::Error>(part.to_vec())).collect::<Vec<_>>();
    let streamed = reqwest::Body::wrap_stream(futures_util::stream::iter(parts));
    let chunked = editor.request(Method::PATCH, ROLLOUT).body("application/json", streamed).send();
    chunked.await.refused(413, &[], "too large");
    assert_eq!(editor.everything().await, before);
}

async fn unknown_fields_and_wrong_types(backend: Backend) {
    let (house, editor) = a_flag_at_a_tenth(backend).await;
    let admin = house.admin();
    editor.create_cohort("internal-users", &["user-1"]).await;
    let before = editor.everything().await;
    let known = "is not known here; known are percentage, from, reason, force, take_over";
    editor.patch(ROLLOUT, &json!({"percentage": 1, "precentage": 2})).await.refused(422, &["/precentage"], known);
    editor.patch(ROLLOUT, &json!([1])).await.refused(422, &[""], "is a list, not an object");
    editor.patch(ROLLOUT, &json!({"percentage": 1, "force": "yes"})).await.refused(422, &["/force"], "not true or false");
    editor.patch(ROLLOUT, &json!({"percentage": 1, "reason": 7})).await.refused(422, &["/reason"], "is 7, not text");
    editor.patch(ROLLOUT, &json!({"percentage": 1, "reason": "a\u{0}b"})).await.refused(422, &["/reason"], "NUL");
    let long = "x".repeat(1025);
    editor.patch(ROLLOUT, &json!({"percentage": 1, "reason": long})).await.refused(422, &["/reason"], "at most 1024");
    editor.put(&flag_path("US-9"), &json!({"storry": "US-9"})).await.refused(422, &["/storry"], "known are story, description");
    editor.put(&flag_path("US-9"), &json!({"tags": ["a", 1]})).await.refused(422, &["/tags/1"], "is 1, not text");
    editor.patch(&flag_path(FLAG), &json!({"client": "yes"})).await.refused(422, &["/client"], "not true or false");
    editor.patch(&flag_path(FLAG), &json!({"seed": "other"})).await.refused(422, &["/seed"], "never changes");
    let body = json!({"enabled": 1, "rules": {}, "overrides": {"user-1": 5}, "rollout": {"percentage": 1, "serve": 5, "cohort": []}});
    let pointers = ["/enabled", "/overrides/user-1", "/rules", "/rollout/serve", "/rollout/cohort"];
    editor.put(TARGETING, &body).await.refused(422, &pointers, "5 faults");
    let rules = json!({"rules": [{"id": "r", "if": [], "serve": "on", "unless": []}]});
    editor.put(TARGETING, &rules).await.refused(422, &["/rules/0/unless"], "known are id, if, serve");
    editor.put("cohorts/internal-users", &json!({"units": []})).await.refused(422, &["/units"], "known are description, unit, if");
    editor.patch("cohorts/internal-users/members", &json!({"add": "user-2"})).await.refused(422, &["/add"], "not a list");
    let release_manager = house.release_manager();
    release_manager.post("flags/US-123-checkout/revive", &json!({"percentage": 0})).await.refused(
        422,
        &["/percentage"],
        "known are reason",
    );
    editor.post("flags/US-123-checkout/revert", &json!({"revision": "1"})).await.refused(422, &["/revision"], "not a whole number");
    editor.post("explain", &json!({})).await.refused(422, &["/context"], "is missing");
    let nested = json!({"context": {"targetingKey": "u", "cart": {"items": 3}}, "at": "yesterday"});
    editor.post("explain", &nested).await.refused(422, &["/at"], "not a time such as");
    admin.put("/api/v1/projects/default", &json!({"title": "x"})).await.refused(422, &["/title"], "known are name");
    let settings = json!({"settings": {"max_factor": 0.5, "max_first_percentage": 101, "freeze": true}});
    let pointers = ["/settings/max_factor", "/settings/max_first_percentage", "/settings/freeze"];
    admin.put("/api/v1/projects/default/environments/staging", &settings).await.refused(422, &pointers, "at least 1");
    admin.post("keys", &json!({"title": "shop"})).await.refused(422, &["/name", "/title"], "is missing");
    assert_eq!(editor.everything().await, before);
}

/// A mistyped `dry_run` must not write.
async fn a_query_that_nobody_understands(backend: Backend) {
    let (_house, editor) = a_flag_at_a_tenth(backend).await;
    let before = editor.everything().await;
    let bump = json!({"percentage": 1});
    for (query, told) in [("dryrun=true", "unknown field `dryrun`"), ("dry_run=yes", "`true` or `false`"), ("force=1", "`true` or `false`")]
    {
        editor.patch(&format!("{ROLLOUT}?{query}"), &bump).await.refused(400, &[], told);
    }
    editor.get("flags?limit=many").await.refused(400, &[], "the query: ");
    editor.get("changes?after=yesterday").await.refused(422, &["/after"], "is not the \"next\" of a page");
    editor.get(&format!("{TARGETING}/explain?unit=u&at=noon")).await.refused(422, &["/at"], "not a time such as");
    let reasons = editor.patch(&format!("{ROLLOUT}?reason=one"), &json!({"percentage": 1, "reason": "another"})).await;
    reasons.refused(422, &["/reason"], "the parameter says \"one\"");
    assert_eq!(editor.everything().await, before);
}

async fn what_does_not_exist(backend: Backend) {
    let (house, editor) = a_flag_at_a_tenth(backend).await;
    editor.create_flag("US-100-cart").await;
    let before = editor.everything().await;
    let no_flag = "there is no flag \"US-404\"";
    for path in ["flags/US-404", "flags/US-404/history", "flags/US-404/explain?unit=u", &flag_path("US-404")] {
        editor.get(path).await.refused(404, &[], no_flag);
    }
    editor.raise("US-404", 1.0).await.refused(404, &[], no_flag);
    editor.kill("US-404").await.refused(404, &[], no_flag);
    editor.put("flags/US-404", &json!({})).await.refused(404, &[], no_flag);
    editor.patch(&flag_path("US-404"), &json!({"story": "x"})).await.refused(404, &[], no_flag);
    editor.delete(&flag_path("US-404")).await.refused(404, &[], no_flag);
    for path in ["cohorts/nobody", "cohorts/nobody/members"] {
        editor.get(path).await.refused(404, &[], "there is no cohort \"nobody\"");
    }
    editor.put_members("nobody", "user-1").await.refused(404, &[], "there is no cohort \"nobody\"");
    editor.patch("cohorts/nobody/members", &json!({"add": ["u"]})).await.refused(404, &[], "there is no cohort");
    editor.delete("cohorts/nobody").await.refused(404, &[], "there is no cohort");
    editor.in_environment("moon").get("flags").await.refused(404, &[], "there is no environment \"moon\"");
    editor.get("/api/v1/projects/moon/flags").await.refused(404, &[], "there is no project \"moon\"");
    editor.get("/api/v1/project").await.refused(404, &[], "/openapi.json lists what there is");
    editor.post(TARGETING, &json!({})).await.refused(405, &[], "does not know this method");
    house.admin().delete("keys/0123456789abcdef").await.refused(404, &[], "there is no key \"0123456789abcdef\"");
    editor.post("flags/US-123-checkout/revert", &json!({"revision": 0})).await.refused(422, &["/revision"], "there was no flag");
    // What a targeting names and is not there, all at once.
    let targeting = json!({
        "off": "none",
        "overrides": {"user/1": "blue"},
        "prerequisites": [{"flag": "US-404", "variants": ["on"]}, {"flag": "US-100-cart", "variants": ["on", "red"]}],
        "rules": [{"id": "r", "if": [{"in_cohort": "nobody"}], "serve": [{"variant": "on", "weight": 50}, {"variant": "green", "weight": 50}]}],
        "rollout": {"cohorts": ["nobody"], "percentage": 1, "serve": "yellow", "otherwise": "grey"},
    });
    let pointers = [
        "/off",
        "/overrides/user~11",
        "/rules/0/serve/1/variant",
        "/rollout/serve",
        "/rollout/otherwise",
        "/rollout/cohorts/0",
        "/rules/0/if/0/in_cohort",
        "/prerequisites/0/flag",
        "/prerequisites/1/variants/1",
    ];
    let refused = editor.put(TARGETING, &targeting).await.refused(422, &pointers, "9 faults");
    for told in [
        "\"none\" is not a variant of this flag; it has off, on",
        "there is no cohort \"nobody\"",
        "\"red\" is not a variant of US-100-cart",
    ] {
        assert!(refused.json["errors"].as_array().unwrap().iter().any(|fault| fault["detail"].as_str().unwrap().contains(told)), "{told}");
    }
    assert_eq!(editor.everything().await, before);
}

/// A client that sends a path as it is: others tidy `..` away before it leaves.
async fn put_raw(house: &House, token: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(house.url().trim_start_matches("http://")).await.unwrap();
    let head = format!(
        "PUT {path} HTTP/1.1\r\nhost: storyflag\r\nauthorization: Bearer {token}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    (answer[9..12].parse().unwrap(), answer)
}

async fn a_key_that_is_none(backend: Backend) {
    let (house, _) = a_flag_at_a_tenth(backend).await;
    let admin = house.admin();
    let before = admin.everything().await;
    let long = "x".repeat(300);
    let wanted = "1 to 100 of letters, digits, dot, dash and underscore, beginning with a letter or digit";
    for key in ["a%2Fb", "..", "%2e%2e", ".", "-a", "a%20b", "%00", "%C3%A9", &long] {
        for (folder, pointer) in [
            ("/api/v1/projects/default/flags", "\"/flag\""),
            ("/api/v1/projects/default/environments/staging/cohorts", "\"/cohort\""),
            ("/api/v1/projects/default/environments", "\"/environment\""),
            ("/api/v1/projects", "\"/project\""),
        ] {
            let (status, answer) = put_raw(&house, admin.token(), &format!("{folder}/{key}")).await;
            assert_eq!(status, 422, "{folder}/{key}: {answer}");
            assert!(answer.contains(wanted) && answer.contains(pointer), "{folder}/{key}: {answer}");
        }
    }
    for nothing in [
        "/flags/%00",
        "/environments/%00",
        "/environments/staging/flags/%00",
        "/environments/staging/flags/%00/history",
        "/environments/staging/cohorts/%00",
    ] {
        admin.get(&format!("/api/v1/projects/default{nothing}")).await.refused(404, &[], "");
    }
    for list in ["flags?query=%00", "flags?after=%00", "environments/staging/flags?after=%00"] {
        admin.get(&format!("/api/v1/projects/default/{list}")).await.refused(400, &[], "NUL");
    }
    let killed = admin.post("/api/v1/projects/default/environments/staging/flags/US-1/kill?reason=a%00b", &json!({})).await;
    killed.refused(404, &[], "no flag");
    let (status, answer) = put_raw(&house, admin.token(), "/api/v1/projects/default/flags/%FF").await;
    assert!(status == 400 && answer.contains("not UTF-8"), "{answer}");
    let variants = json!({"variants": {"a/b": 1, "ok": 2}, "off": "ok", "serve": "a/b"});
    admin.put(&flag_path("US-9"), &variants).await.refused(422, &["/variants/a~1b"], wanted);
    assert_eq!(admin.everything().await, before);
}

async fn a_bad_list_of_members(backend: Backend) {
    let (_house, editor) = a_flag_at_a_tenth(backend).await;
    editor.create_cohort("internal-users", &["user-1", "user-2"]).await;
    let before = editor.everything().await;
    let long = "x".repeat(257);
    editor.put_members("internal-users", &format!("user-7\n{long}\n")).await.refused(422, &[""], "line 2 has 257 bytes; at most 256");
    editor.put_members("internal-users", &"x".repeat(100_000)).await.refused(422, &[""], "line 1 has more than 256 bytes");
    editor.put_members("internal-users", "user-7\na\u{0}b").await.refused(422, &[""], "line 2 has a NUL character");
    editor.put_members("internal-users", "user-7\nb\na\tb").await.refused(422, &[""], "line 3 has the control character U+0009");
    editor.patch("cohorts/internal-users/members", &json!({"add": ["a\tb"]})).await.refused(422, &["/add"], "control character");
    let put = |kind: &str, body: Vec<u8>| editor.request(Method::PUT, "cohorts/internal-users/members").body(kind, body).send();
    put("text/plain", b"user-7\n\xff\n".to_vec()).await.refused(422, &[""], "line 2 is not UTF-8 text");
    put("application/json", b"[\"user-7\"]".to_vec()).await.refused(415, &[], "must be text/plain, one unit a line");
    let many = (0..100_001).fold(String::new(), |lines, number| lines + "u" + &number.to_string() + "\n");
    editor.put_members("internal-users", &many).await.refused(413, &[], "more than 100000 units");
    let patch = |body: Value| {
        let editor = editor.clone();
        async move { editor.patch("cohorts/internal-users/members", &body).await }
    };
    patch(json!({"add": ["", long]})).await.refused(422, &["/add", "/add"], "entry 1 has 257 bytes");
    patch(json!({"add": ["a", "b"], "remove": ["b"]})).await.refused(422, &["/remove"], "has \"b\", which \"add\" has, too");
    let units: Vec<String> = (0..10_001).map(|number| format!("u{number}")).collect();
    patch(json!({"add": units})).await.refused(422, &["/add"], "more than 10000 units together");
    assert_eq!(editor.everything().await, before);
    assert_eq!(editor.get("cohorts/internal-users/members").await.expect(200).json["members"], json!(["user-1", "user-2"]));
}

async fn a_kill_that_is_badly_wrapped(backend: Backend) {
    let (_house, editor) = a_flag_at_a_tenth(backend).await;
    let path = "flags/US-123-checkout/kill";
    let killed = |answer: Answer| assert_eq!((answer.status, &answer.json["killed"]), (200, &json!(true)), "{}", answer.text);
    killed(editor.request(Method::POST, path).header("if-match", "3").send().await);
    killed(editor.request(Method::POST, path).body("application/x-www-form-urlencoded", "").send().await);
    killed(editor.request(Method::POST, &format!("{path}?reason=one")).json(&json!({"reason": "x".repeat(5_000)})).send().await);
    let told = editor.request(Method::POST, path).body("application/json", "{\"reason\": ").send().await;
    assert!(told.json["warnings"].to_string().contains("the body was not understood"), "{}", told.text);
    killed(told);
}
