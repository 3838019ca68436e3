//! A node as a process of its own: one that can be killed without a word, and whose memory can be measured.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::actors::Actor;

/// How long a node may take to start: long, because only a failing test waits it out.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// The last line that a node says when it starts, the first time and later.
const LAST_LINES: [&str; 2] = ["The API and its page:", "An SDK key for an application:"];

/// A running `storyflag serve`. Killed when this is dropped, and when this test process ends in whatever way.
pub struct Process {
    /// `http://` and where it listens.
    pub url: String,
    /// What the first start on a database shows once; none later.
    pub first_start: Option<FirstStart>,
    /// Ends before the child does, or it would kill whoever has the child's number next.
    watchdog: Child,
    child: Child,
    /// Read no further, but open: a closed pipe would be a node's problem.
    _said: Lines<BufReader<ChildStdout>>,
}

/// What the first start shows once.
#[derive(Clone, Debug)]
pub struct FirstStart {
    /// Of role admin.
    pub token: String,
    /// Environment and SDK key.
    pub keys: Vec<(String, String)>,
}

/// Bytes of physical memory, as Linux tells them.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Now (`VmRSS`).
    pub resident: u64,
    /// At most, since the start or [`Process::forget_peak`] (`VmHWM`).
    pub peak: u64,
}

impl Process {
    /// Starts a node on this database. What it logs is written into `log`.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(database: &str, log: &Path) -> Process {
        let log_file = std::fs::OpenOptions::new().create(true).append(true).open(log).expect("a file for the log");
        let mut command = Command::new(program());
        command.args(["serve", "--listen", "127.0.0.1:0", "--drain-seconds", "0", "--database", database]);
        command.env("STORYFLAG_LOG", "warn").env_remove("REDIS_URL");
        command.envs([("STORYFLAG_WEBHOOK_SECONDS", "4"), ("STORYFLAG_WEBHOOK_WAIT_SECONDS", "1")]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log_file).kill_on_drop(true);
        let mut child = command.spawn().expect("cargo builds the node before it runs the tests");
        let watchdog = watchdog(child.id().expect("it was just started"));
        let mut said = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let greeting = tokio::time::timeout(START_PATIENCE, read_greeting(&mut said)).await.unwrap_or_default();
        let Some(url) = greeting.iter().find_map(|line| after(line, "Storyflag serves ")) else {
            panic!("the node did not start: {greeting:?}\n{}", std::fs::read_to_string(log).unwrap_or_default())
        };
        Process { url, first_start: first_start(&greeting), watchdog, child, _said: said }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.url.strip_prefix("http://").and_then(|address| address.parse().ok()).expect("http://ip:port")
    }

    /// Somebody with this token at this node, in staging.
    pub fn actor(&self, token: &str) -> Actor {
        Actor::new("admin", &self.url, token)
    }

    /// `kill -9`, and waits until it is gone.
    pub async fn kill(mut self) {
        self.watchdog.kill().await.expect("it is ours to kill");
        self.child.kill().await.expect("it is ours to kill");
    }

    /// How much memory it has.
    ///
    /// # Panics
    /// Where there is no `/proc`.
    pub fn memory(&self) -> Memory {
        let status = std::fs::read_to_string(self.proc("status")).expect("Linux tells the memory of a process");
        let field = |name: &str| -> u64 {
            let value = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in {status}"));
            let kib = value.trim().strip_suffix(" kB").and_then(|kib| kib.parse::<u64>().ok());
            kib.unwrap_or_else(|| panic!("{name} {value}")) * 1024
        };
        Memory { resident: field("VmRSS:"), peak: field("VmHWM:") }
    }

    /// From now on `peak` is measured anew.
    pub fn forget_peak(&self) {
        std::fs::write(self.proc("clear_refs"), "5").expect("Linux lets us reset the peak of our own process");
    }

    fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.child.id().expect("it runs")))
    }
}

/// The program: `main` of the `storyflag` command under another name. It lies beside the test, since cargo builds a
/// package's programs before it runs its tests.
pub fn program() -> PathBuf {
    let test = std::env::current_exe().expect("this test is a file");
    let folder = test.parent().and_then(Path::parent).expect("target/PROFILE/deps/end_to_end-...");
    folder.join("storyflag-node")
}

async fn read_greeting(said: &mut Lines<BufReader<ChildStdout>>) -> Vec<String> {
    let mut greeting: Vec<String> = Vec::new();
    while let Ok(Some(line)) = said.next_line().await {
        let ended = LAST_LINES.iter().any(|last| line.starts_with(last));
        greeting.push(line);
        if ended {
            break;
        }
    }
    greeting
}

fn first_start(greeting: &[String]) -> Option<FirstStart> {
    // A later start prints how to make a token instead.
    let token = greeting.iter().find_map(|line| after(line.trim(), "export STORYFLAG_TOKEN=")).filter(|token| !token.starts_with('$'))?;
    let words = greeting.iter().filter_map(|line| line.trim().split_once(char::is_whitespace));
    let keys = words.filter(|(_, key)| key.trim().starts_with("sfs_")).map(|(of, key)| (of.to_owned(), key.trim().to_owned()));
    Some(FirstStart { token, keys: keys.collect() })
}

/// The first word after `prefix`.
fn after(line: &str, prefix: &str) -> Option<String> {
    line.strip_prefix(prefix)?.split_whitespace().next().map(str::to_owned)
}

/// Kills `pid` when its standard input is closed, as it is when we end: `kill -9` of a test run leaves nothing behind.
fn watchdog(pid: u32) -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", r#"cat >/dev/null; kill -9 "$1" 2>/dev/null"#, "watchdog"]).arg(pid.to_string());
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    // A group of its own, or ctrl-c would end the watchdog before its work.
    command.process_group(0).spawn().expect("sh runs")
}
