//! The commands against a scripted service: what is asked of it, and what people are told.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use clap::FromArgMatches;
use serde_json::{Value, json};

use super::{
    shape::{Entry, Release},
    watch::{Face, Scene, follow_release},
};
use crate::cli::{Command, Said, client::Client, command_line, failure::Failure, run};

const RELEASES: &str = "/api/v1/projects/default/environments/staging/releases";

/// A service that answers what it was told to, and remembers what it was asked.
struct Script {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

#[derive(Debug, Clone)]
struct Asked {
    /// `GET /path?query`.
    line: String,
    /// In small letters.
    head: String,
    body: Value,
}

impl Script {
    /// Answers, each once, in the order in which they match the beginning of what is asked; the last of a kind for ever.
    fn of(answers: &[(&str, u16, String)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (asked, mut answers) = (Arc::<Mutex<Vec<Asked>>>::default(), own(answers));
        let heard = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let question = read(&mut stream);
                let place = answers.iter().position(|(line, ..)| question.line.starts_with(&format!("{line} ")));
                let (status, body) = match place {
                    Some(place) if answers.iter().filter(|(line, ..)| *line == answers[place].0).count() > 1 => {
                        let (_, status, body) = answers.remove(place);
                        (status, body)
                    }
                    Some(place) => (answers[place].1, answers[place].2.clone()),
                    None => (404, problem(404, "there is no release")),
                };
                heard.lock().unwrap().push(question);
                let answer = format!("HTTP/1.1 {status} said\r\nconnection: close\r\n\r\n{body}");
                // Who asked may be gone.
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Self { address, asked }
    }

    /// Runs a line as it is typed.
    fn run(&self, line: &str) -> Result<Said, Failure> {
        let line = format!("storyflag {line} -e staging --project default --token t --url {}", self.address);
        let matches = command_line().try_get_matches_from(line.split(' ').map(|word| word.replace('_', " "))).unwrap();
        run(Command::from_arg_matches(&matches).unwrap().verb)
    }

    fn asked(&self, beginning: &str) -> Vec<Asked> {
        self.asked.lock().unwrap().iter().filter(|asked| asked.line.starts_with(beginning)).cloned().collect()
    }
}

fn own(answers: &[(&str, u16, String)]) -> Vec<(String, u16, String)> {
    answers.iter().map(|(line, status, body)| (line.replace("/R", RELEASES), *status, body.clone())).collect()
}

fn read(stream: &mut TcpStream) -> Asked {
    let mut lines = BufReader::new(stream);
    let (mut line, mut head) = (String::new(), String::new());
    lines.read_line(&mut line).unwrap();
    while !head.ends_with("\r\n\r\n") && !head.starts_with("\r\n") {
        assert!(lines.read_line(&mut head).unwrap() > 0, "{line}{head}");
    }
    let head = head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    lines.read_exact(&mut body).unwrap();
    let line = line.rsplit_once(' ').unwrap().0.replace('?', " ?") + " ";
    Asked { line, head, body: serde_json::from_slice(&body).unwrap_or_default() }
}

fn problem(status: u16, detail: &str) -> String {
    json!({"type": "urn:storyflag:problem:x", "title": "T", "status": status, "detail": detail}).to_string()
}

fn release(id: &str, phase: &str, number: u64) -> Value {
    let is_started = phase != "scheduled";
    let step = is_started.then(|| json!({"number": 1, "of": 2, "percentage": 1, "bake_ms": 60_000, "baked_ms": 0}));
    json!({"release": id, "plan": "DP-1", "flag": "US-1", "phase": phase, "state": phase, "number": number, "step": step,
        "ended": matches!(phase, "completed" | "rolled_back" | "cancelled" | "superseded"), "next": {"percentage": 10},
        "checklist": [{"item": "a1", "text": "Rollback plan tested", "gate": "start", "done": is_started}]})
}

fn list(releases: &[Value]) -> String {
    json!({"releases": releases, "next": null}).to_string()
}

#[test]
fn a_start_creates_and_starts() {
    let mut started = release("DP-1-1", "running", 1);
    (started["assumed"], started["warnings"]) = (json!(["error_rate > 1.25x control"]), json!(["0.1 % is too small to tell"]));
    let script = Script::of(&[
        ("GET /R", 200, list(&[])),
        ("POST /R", 201, release("DP-1-1", "scheduled", 0).to_string()),
        ("POST /R/DP-1-1/start", 200, started.to_string()),
    ]);
    let said = script.run("release start DP-1 --time-scale 600 --from 0.1 --reason go").unwrap();
    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!(
        lines,
        [
            "DP-1-1 in staging is created and started: 1 %, step 1 of 2, watched for 1m",
            "assumed: error_rate > 1.25x control",
            "warning: 0.1 % is too small to tell"
        ]
    );
    assert_eq!(said.note, "next: storyflag release watch DP-1-1 -e staging");
    let created = script.asked(&format!("POST {RELEASES} "));
    assert_eq!(created[0].body, json!({"plan": "DP-1", "from": 0.1, "time_scale": 600}));
    assert!(created[0].line.contains("?reason=go"), "{}", created[0].line);
    assert_eq!(script.asked(&format!("POST {RELEASES}/DP-1-1/start "))[0].body, json!({"from": 0.1}));
}

#[test]
fn a_start_that_is_refused_leaves_a_release_to_start() {
    let scheduled = release("DP-1-1", "scheduled", 0);
    let script = Script::of(&[
        ("GET /R", 200, list(&[])),
        ("GET /R", 200, list(std::slice::from_ref(&scheduled))),
        ("POST /R", 201, scheduled.to_string()),
        ("POST /R/DP-1-1/start", 409, problem(409, "not ticked: Rollback plan tested")),
        ("POST /R/DP-1-1/start", 200, release("DP-1-1", "running", 1).to_string()),
    ]);
    let told = script.run("release start DP-1").unwrap_err().text();
    assert_eq!(
        told,
        "DP-1-1 is created, but not started: not ticked: Rollback plan tested\n\
         next: storyflag release tick DP-1-1 -e staging, which lists what to tick; then storyflag release start DP-1-1 -e staging"
    );
    // The plan has one that waits: it is the one that is meant.
    let said = script.run("release start DP-1").unwrap();
    assert!(said.out.starts_with("DP-1-1 in staging is started: 1 %"), "{}", said.out);
    assert_eq!(script.asked(&format!("POST {RELEASES} ")).len(), 1);
}

#[test]
fn a_plan_stands_for_its_newest_live_release() {
    let releases = [release("DP-1-2", "running", 4), release("DP-1-10", "completed", 9), release("DP-1-1", "paused", 9)];
    let script = Script::of(&[
        ("GET /R", 200, list(&releases)),
        ("GET /R/DP-1-2", 200, releases[0].to_string()),
        ("POST /R/DP-1-2/rollback", 200, release("DP-1-2", "rolling_back", 5).to_string()),
    ]);
    let said = script.run("release rollback DP-1 --reason odd").unwrap();
    assert!(said.out.starts_with("DP-1-2 in staging turns back; "), "{}", said.out);
    let asked = script.asked(&format!("POST {RELEASES}/DP-1-2/rollback"));
    assert!(asked[0].line.contains("?reason=odd") && !asked[0].head.contains("if-match"), "{asked:?}");

    let script = Script::of(&[("GET /R", 200, list(&[]))]);
    let told = script.run("release pause DP-2").unwrap_err().text();
    assert!(told.contains("no release \"DP-2\" in staging") && told.contains("next: storyflag release list -e staging"), "{told}");
}

#[test]
fn a_decision_is_of_what_was_shown() {
    let waiting = release("DP-1-1", "running", 7);
    let script = Script::of(&[
        ("GET /R/DP-1-1", 200, waiting.to_string()),
        ("POST /R/DP-1-1/approve", 412, problem(412, "it stands at 8")),
        ("POST /R/DP-1-1/approve", 200, release("DP-1-1", "running", 8).to_string()),
    ]);
    let told = script.run("release approve DP-1-1 --yes").unwrap_err().text();
    assert_eq!(told, "it stands at 8\nnext: storyflag release get DP-1-1 -e staging, which shows how it stands");
    assert!(script.run("release approve DP-1-1 --yes --reason fine").unwrap().out.contains("is approved"));
    assert!(script.asked("POST").iter().all(|asked| asked.head.contains("if-match: \"7\"\r\n")));
    assert!(matches!(script.run("release advance DP-1-1 --yes"), Err(Failure::Usage(_))), "a step by force needs a reason");
}

#[test]
fn items_are_ticked_by_a_part_of_their_text() {
    let script = Script::of(&[
        ("GET /R/DP-1-1", 200, release("DP-1-1", "scheduled", 0).to_string()),
        ("PUT /R/DP-1-1/checklist/a1", 200, release("DP-1-1", "scheduled", 0).to_string()),
    ]);
    let said = script.run("release tick DP-1-1 rollback_plan").unwrap();
    assert_eq!((said.out.as_str(), said.note.as_str()), ("done: Rollback plan tested\n", "1 item left to tick before the start"));
    assert!(script.run("release tick DP-1-1 a1 --undo").unwrap().out.starts_with("not done: "));
    let bodies: Vec<Value> = script.asked("PUT").into_iter().map(|asked| asked.body).collect();
    assert_eq!(bodies, [json!({"done": true}), json!({"done": false})]);
    assert!(script.run("release tick DP-1-1").unwrap().out.contains("Rollback plan tested"));
}

#[test]
fn documents_come_word_for_word() {
    let script = Script::of(&[
        ("GET /R/DP-1-1", 200, release("DP-1-1", "completed", 9).to_string()),
        ("GET /R/DP-1-1/report", 200, "# Report\n".to_owned()),
    ]);
    assert_eq!(script.run("release report DP-1-1").unwrap().out, "# Report\n");
    assert!(script.asked(&format!("GET {RELEASES}/DP-1-1/report"))[0].head.contains("accept: text/markdown"));
    assert!(script.run("release get DP-1-1").unwrap().out.contains("COMPLETED"));
}

/// Remembers what it is shown.
#[derive(Default)]
struct Memory {
    entries: Vec<u64>,
    phases: Vec<String>,
}

impl Face for Memory {
    fn show(&mut self, scene: &Scene) -> io::Result<()> {
        self.phases.push(scene.release.phase.clone());
        Ok(())
    }

    fn entry(&mut self, _scene: &Scene, entry: &Entry) -> io::Result<()> {
        self.entries.extend(entry.number);
        Ok(())
    }
}

fn transition(number: u64) -> Value {
    json!({"kind": "transition", "number": number, "at": "2026-12-01T09:00:00Z", "to": "baking"})
}

/// A stream that tells these and breaks off.
fn stream(entries: &[u64], release: &Value) -> String {
    let entries = entries.iter().map(|number| format!("event: timeline\nid: {number}\ndata: {}\n\n", transition(*number)));
    format!("event: release\ndata: {release}\n\n{}: and", entries.collect::<String>())
}

#[test]
fn whatever_the_network_does_every_transition_is_seen_once() {
    let running = release("DP-1-1", "running", 1);
    let script = Script::of(&[
        ("GET /R/DP-1-1/timeline", 200, json!({"timeline": [transition(1)]}).to_string()),
        ("GET /R/DP-1-1/timeline", 200, json!({"timeline": [transition(1), transition(2), transition(3), transition(4)]}).to_string()),
        ("GET /R/DP-1-1/events", 200, stream(&[2], &release("DP-1-1", "running", 2))),
        ("GET /R/DP-1-1/events", 503, problem(503, "starting")),
        ("GET /R/DP-1-1/events", 404, "<html>of something in between".to_owned()),
        ("GET /R/DP-1-1/events", 200, stream(&[2, 3], &release("DP-1-1", "completed", 4))),
    ]);
    let (client, mut face) = (Client::new(&script.address, "t").unwrap(), Memory::default());
    let (path, release) = (format!("{RELEASES}/DP-1-1"), Release::read(&running.to_string()).unwrap());
    let ended = follow_release(&client, &path, "staging", release, &mut face).unwrap().unwrap();
    assert_eq!((ended.phase.as_str(), face.entries.as_slice()), ("completed", [2, 3, 4].as_slice()));
    assert_eq!((face.phases.first().unwrap().as_str(), face.phases.last().unwrap().as_str()), ("running", "completed"));
    let after = |asked: Asked| asked.head.lines().find_map(|line| Some(line.strip_prefix("last-event-id: ")?.to_owned())).unwrap();
    let asked: Vec<String> = script.asked(&format!("GET {RELEASES}/DP-1-1/events")).into_iter().map(after).collect();
    assert_eq!(asked, ["1", "2", "2", "2"]);
}

#[test]
fn the_shell_is_told_how_a_release_ended() {
    for (phase, code) in [("completed", 0), ("rolled_back", 2), ("superseded", 2), ("cancelled", 2)] {
        let script = Script::of(&[("GET /R/DP-1-1", 200, release("DP-1-1", phase, 9).to_string())]);
        assert_eq!(script.run("release watch DP-1-1 --json").unwrap().code, code, "{phase}");
    }
}

#[test]
fn a_service_that_refuses_is_not_asked_again() {
    let script = Script::of(&[
        ("GET /R/DP-1-1", 200, release("DP-1-1", "running", 1).to_string()),
        ("GET /R/DP-1-1/events", 401, problem(401, "the token is over")),
    ]);
    let told = script.run("release watch DP-1-1 --json").unwrap_err().text();
    assert!(told.starts_with("the token is over\nnext: export STORYFLAG_TOKEN"), "{told}");
    assert_eq!(script.asked(&format!("GET {RELEASES}/DP-1-1/events")).len(), 1);
}
