//! The built `storyflag` binary against a running service: what a person types, and what they get to read.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on says where it stopped")]

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use storyflag_server::{
    Server,
    config::{Config, DatabaseConfig},
};
use tokio::{net::TcpListener, runtime::Runtime};
use tokio_util::sync::CancellationToken;

/// A directory of a test's own; gone when dropped.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("storyflag-command-{:016x}", fastrand::u64(..)));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A service on a port and a file of its own; gone when dropped.
struct Service {
    address: String,
    token: String,
    directory: Directory,
    stop: CancellationToken,
    runtime: Option<Runtime>,
}

/// What a run of the binary left behind.
struct Run {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Service {
    fn start() -> Self {
        let directory = Directory::new();
        let url = format!("sqlite:{}", directory.0.join("flags.db").display());
        let config = Config { database: DatabaseConfig { url, ..DatabaseConfig::default() }, ..Config::default() };
        let runtime = Runtime::new().unwrap();
        let (server, listener) =
            runtime.block_on(async { (Server::start(config).await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap()) });
        let address = format!("http://{}", listener.local_addr().unwrap());
        let token = server.first_start().unwrap().admin_token.clone();
        let stop = CancellationToken::new();
        runtime.spawn(server.run(listener, stop.clone()));
        Self { address, token, directory, stop, runtime: Some(runtime) }
    }

    /// Runs `storyflag` with a line as it is typed, in an environment of nothing but this service.
    fn run(&self, line: &str) -> Run {
        self.run_with(line, &self.token, b"")
    }

    fn run_with(&self, line: &str, token: &str, input: &[u8]) -> Run {
        let mut child = Command::new(env!("CARGO_BIN_EXE_storyflag"))
            .args(line.split(' ').map(|word| word.replace('_', " ")))
            .env_clear()
            .env("STORYFLAG_URL", &self.address)
            .env("STORYFLAG_TOKEN", token)
            .current_dir(&self.directory.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            // A child that reads nothing closes the pipe; that is its business.
            scope.spawn(move || drop(stdin.write_all(input)));
            let output = child.wait_with_output().unwrap();
            let text = |bytes| String::from_utf8(bytes).unwrap();
            Run { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
        })
    }

    /// The same, which must succeed; what it printed.
    fn ok(&self, line: &str) -> String {
        let run = self.run(line);
        assert_eq!(run.code, Some(0), "{line}: {}{}", run.out, run.err);
        run.out
    }

    /// The same, which must be refused with this exit code; what it told.
    fn refused(&self, code: i32, line: &str) -> String {
        let run = self.run(line);
        assert_eq!(run.code, Some(code), "{line}: {}{}", run.out, run.err);
        assert_eq!(run.out, "", "{line}");
        run.err
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.cancel();
        drop(self.runtime.take());
    }
}

#[test]
fn the_main_job_is_done_by_what_is_typed() {
    let service = Service::start();
    let created = service.run("flags create US-123-checkout --story US-123 --tag shop --owner ann");
    assert_eq!(created.out, "US-123-checkout is created: in every environment, at 0 %\n");
    assert_eq!(created.err, "next: storyflag rollout US-123-checkout 0.1 -e staging\n");
    assert!(service.ok("flags create US-123-checkout --story US-123 --tag shop --owner ann").contains("just so"));
    assert!(service.ok("flags --query checkout").contains("US-123-checkout  US-123  off, on"));

    let bump = service.ok("rollout US-123-checkout 0.1 -e staging");
    assert!(bump.starts_with("US-123-checkout in staging: 0 % -> 0.1 %  (revision ") && bump.ends_with(", 0 instances)\n"), "{bump}");
    assert!(service.ok("rollout US-123-checkout 1% -e staging --from 0.1").contains(": 0.1 % -> 1 %  ("));
    let dry = service.ok("rollout US-123-checkout 10 -e staging --dry-run");
    assert!(dry.contains("9 % of all units come in, 0 % go out"), "{dry}");
    let stands = service.ok("rollout US-123-checkout -e staging");
    assert!(stands.starts_with("US-123-checkout in staging: 1 % get on, everyone else off\n"), "{stands}");
    assert!(service.ok("flags list --tag shop -e staging").contains("US-123-checkout  on     1 %"));

    let killed = service.run("kill US-123-checkout -e staging");
    assert!(killed.out.starts_with("US-123-checkout in staging is killed: everybody gets off  (revision "), "{}", killed.out);
    assert!(service.ok("kill US-123-checkout -e staging").contains("was killed already: everybody gets off"));
    assert!(service.refused(1, "kill us-123-chekout -e staging").contains("did you mean \"US-123-checkout\"?"));
    assert!(service.refused(1, "flags show US-123-checkut").contains("did you mean \"US-123-checkout\"?"));
    assert!(killed.err.contains("storyflag revive US-123-checkout -e staging"), "{}", killed.err);
    assert!(service.ok("explain US-123-checkout user-42 -e staging").contains("because the flag is killed"));
    assert!(service.ok("rollout US-123-checkout 2 -e staging").contains("warning: killed here"));
    assert!(!service.ok("explain US-123-checkout user-42 -e staging").contains("not enabled"));
    assert!(service.ok("revive US-123-checkout -e staging --reason fixed").contains("is revived: 2 % get on"));

    let history = service.ok("history US-123-checkout -e staging");
    let first = history.lines().nth(1).unwrap();
    assert!(first.contains("killed true -> false") && first.ends_with("fixed"), "{history}");
    assert_eq!(history.lines().count(), 1 + 6, "{history}");
    assert!(service.ok("flags show US-123-checkout").contains("staging      on     2 %"));
    let would = service.ok("flags archive US-123-checkout --dry-run");
    assert!(would.contains("nothing was changed; this would archive it: gone from every environment"), "{would}");
    assert!(service.ok("flags archive US-123-checkout").contains("is archived"));
    assert!(service.refused(1, "rollout US-123-checkout 1 -e staging").contains("it was archived at 20"));
    assert!(service.ok("flags archive US-123-checkout --dry-run").contains("archived already"));
    assert_eq!(service.ok("flags"), "no flags\n");
}

#[test]
fn refusals_say_what_to_type_next() {
    let service = Service::start();
    service.ok("flags create US-1");
    let told = service.refused(1, "rollout US-1 0.1 -e production");
    assert!(told.contains("/reason is missing") && told.contains("next: the same with --reason"), "{told}");
    service.ok("rollout US-1 0.1 -e production --reason first");
    let told = service.refused(1, "rollout US-1 100 -e production --reason hurry");
    assert!(told.contains("/percentage goes from 0.1") && told.contains("next: the same with --force"), "{told}");
    assert!(service.ok("rollout US-1 100 -e production --reason hurry --force").contains("0.1 % -> 100 %"));
    let told = service.refused(1, "rollout US-1 50 -e staging --from 10");
    assert!(told.contains("/from is 0 here, not 10") && told.contains("next: storyflag rollout US-1 -e staging"), "{told}");
    let told = service.refused(1, "rollout US-1 -1 -e staging");
    assert!(told.contains("/percentage is -1; a percentage is 0 to 100"), "{told}");
    let told = service.refused(1, "flags create US-1 --story US-9");
    assert!(told.contains("next: storyflag flags show US-1, which") && told.contains("curl -sS -X PATCH http://"), "{told}");
    assert!(told.contains(r#"/api/v1/projects/default/flags/US-1 "#) && told.contains(r#"-d '{"story":"US-9"}'"#), "{told}");
    let told = service.refused(1, "kill US-2 -e staging");
    assert!(told.contains("no flag \"US-2\"") && told.contains("next: storyflag flags"), "{told}");

    let told = service.refused(2, "rollout US-1 ten -e staging");
    assert!(told.contains("no percentage"), "{told}");
    let told = service.refused(2, "kill US-1");
    assert!(told.contains("-e staging"), "{told}");
    let told = service.refused(2, "explain US-1 -e staging");
    assert!(told.contains("storyflag explain US-1 user-42 -e staging"), "{told}");

    let stranger = service.run_with("flags", "nonsense", b"");
    assert_eq!(stranger.code, Some(1), "{}", stranger.err);
    assert!(stranger.err.contains("next: export STORYFLAG_TOKEN=$("), "{}", stranger.err);
    let nobody = service.run_with("flags", "", b"");
    assert_eq!(nobody.code, Some(2), "{}", nobody.err);
    assert!(nobody.err.contains("a token is needed"), "{}", nobody.err);
}

#[test]
fn a_history_begins_anew_by_hand() {
    let service = Service::start();
    service.ok("flags create US-1");
    let would = service.ok("incarnation raise --environment staging --dry-run");
    assert!(would.contains("/identity"), "{would}");
    let raised = service.ok("incarnation raise --project default --environment staging --reason a_restore");
    assert!(raised.starts_with("staging begins a new history at revision 1: every application takes "), "{raised}");
    let told = service.refused(1, "incarnation raise -e production");
    assert!(told.contains("/reason is missing") && told.contains("next: the same with --reason"), "{told}");
}

/// Runs `serve` to its end, which a port that is taken brings at once.
#[test]
fn a_port_that_is_taken_says_what_to_type_and_a_log_has_no_colours() {
    let directory = Directory::new();
    let serve = |listen: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_storyflag"));
        command.args(["serve", "--listen", listen]).env_clear().current_dir(&directory.0).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let output = serve(&taken.local_addr().unwrap().to_string()).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("Address already in use") && told.contains("\nnext: ") && told.contains(" serve --listen 127.0.0.1:"), "{told}");

    let mut child = serve("127.0.0.1:0").spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("/docs")), "it ended before it began");
    let stopped = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(stopped.success());
    let log = String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
    assert!(log.contains("stopping") && !log.contains('\u{1b}'), "{log}");
}

#[test]
fn machines_get_json_even_when_refused() {
    let service = Service::start();
    let flag: Value = serde_json::from_str(&service.ok("flags create US-1 --json")).unwrap();
    assert_eq!(flag["key"], "US-1");
    let answer: Value = serde_json::from_str(&service.ok("rollout US-1 1 -e staging --json")).unwrap();
    assert_eq!((&answer["from"], &answer["to"]), (&Value::from(0.0), &Value::from(1.0)));
    let refused = service.run("rollout US-1 1 -e nowhere --json");
    let problem: Value = serde_json::from_str(&refused.out).unwrap();
    assert_eq!((refused.code, &problem["status"]), (Some(1), &Value::from(404)));
}

#[test]
fn a_list_goes_through_the_standard_streams_and_comes_back_the_same() {
    let service = Service::start();
    let put = service.run("cohorts put internal-users -e staging");
    assert!(
        put.out.contains("is created") && put.err.ends_with("cohorts members internal-users --replace FILE -e staging\n"),
        "{}",
        put.err
    );
    let refused = service.refused(1, "cohorts put internal-users -e staging --description Us");
    assert!(refused.ends_with("next: the same with --replace\n"), "{refused}");
    assert!(service.ok("cohorts put internal-users -e staging --description Us --replace").contains("is as you said"));
    let units: Vec<String> = (0..12_345).map(|number| format!("user-{number:05}")).collect();
    let text = format!("{}\n", units.join("\n"));
    let replaced = service.run_with("cohorts members internal-users -e staging --replace -", &service.token, text.as_bytes());
    assert_eq!(replaced.code, Some(0), "{}", replaced.err);
    assert!(replaced.out.starts_with("internal-users in staging lists 12,345 units now, in place of 0 units"), "{}", replaced.out);
    assert_eq!(service.ok("cohorts members internal-users -e staging"), text);

    std::fs::write(service.directory.0.join("few.txt"), "ann\nbob\n").unwrap();
    assert!(
        service.ok("cohorts members internal-users -e staging --replace few.txt").contains("lists 2 units now, in place of 12,345 units")
    );
    let changed = service.ok("cohorts members internal-users -e staging --add cid dee --remove ann");
    assert!(changed.contains("2 units in, 1 unit out; the list has 3 units now"), "{changed}");
    assert!(service.ok("cohorts -e staging").contains("internal-users  3"));
    assert!(service.refused(1, "cohorts members nobody -e staging --replace few.txt").contains("no cohort"));
    assert!(service.refused(1, "cohorts members internal-users -e staging --replace none.txt").contains("none.txt: "));
    assert!(service.ok("cohorts delete internal-users -e staging").contains("is deleted"));
}

#[test]
fn a_key_is_printed_once_and_can_be_revoked_by_itself() {
    let service = Service::start();
    let key = service.ok("keys create web_shop -e staging");
    assert!(key.starts_with("sfs_") && key.lines().count() == 1, "{key}");
    assert!(service.ok("keys -e staging").contains("web shop"));
    let told = service.run_with(&format!("keys revoke {} -e staging", key.trim().split('_').nth(1).unwrap()), &service.token, b"");
    assert!(told.out.contains("is revoked"), "{}{}", told.out, told.err);
    let list = service.ok("keys -e staging");
    assert!(
        list.lines().any(|line| line.contains("web shop") && line.split("  ").filter(|cell| cell.contains("T")).count() == 2),
        "{list}"
    );
}

#[test]
fn a_channel_shows_its_secret_once_and_a_freeze_refuses_what_is_typed() {
    let service = Service::start();
    assert!(service.ok("channels put team http://127.0.0.1:9/x --receives team -e staging --dry-run").contains("would change"));
    let secret = service.ok("channels put team http://127.0.0.1:9/x --receives team -e staging");
    assert!(secret.starts_with("whsec_") && secret.lines().count() == 1, "{secret}");
    assert!(service.ok("channels put team http://127.0.0.1:9/y --receives team,changes -e staging").contains("is as you said"));
    assert!(service.ok("channels -e staging").contains("team,changes"));
    assert!(service.ok("channels test team -e staging").contains("is sent msg_"));
    assert!(service.ok("channels delete team -e staging").contains("is deleted"));
    assert!(service.refused(1, "channels put team ftp://a --receives everybody -e staging").contains("/receives/0"));
    service.ok("flags create US-1");
    let frozen = service.ok("freezes add 2999-01-01T00:00:00Z --reason the_holidays -e staging");
    let id = frozen.trim().rsplit(' ').next().unwrap().to_owned();
    assert!(service.ok("freezes -e staging").contains("the holidays"));
    assert!(service.refused(1, "rollout US-1 1% -e staging").contains("the holidays"));
    assert!(service.ok(&format!("freezes delete {id} -e staging")).contains("does not hold any more"));
    service.ok("rollout US-1 1% -e staging");
}

#[test]
fn a_token_comes_from_the_services_own_database() {
    let service = Service::start();
    let token = service.ok("token --role viewer --database sqlite:flags.db");
    let viewer = service.run_with("flags create US-1", token.trim(), b"");
    assert_eq!(viewer.code, Some(1), "{}", viewer.err);
    assert!(viewer.err.contains("the role viewer may not"), "{}", viewer.err);
    let told = service.refused(1, "token --role viewer");
    assert!(told.contains("there is no storyflag.db in "), "{told}");
    assert!(!service.directory.0.join("storyflag.db").exists());
}

/// A demo with its temporary directory inside `directory`.
fn demo(directory: &Path, args: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_storyflag"));
    command.arg("demo").args(args).env_clear().env("TMPDIR", directory).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

#[test]
fn a_demo_ends_by_itself_and_leaves_nothing_behind() {
    let directory = Directory::new();
    let output = demo(&directory.0, &["rollout", "--users", "1000", "--hold-ms", "0"]).wait_with_output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{out}{}", String::from_utf8_lossy(&output.stderr));
    for row in ["0.1 % ", "1 % ", "10 % ", "50 % ", "100 % ", "kill ", "revive "] {
        assert!(out.lines().any(|line| line.starts_with(row)), "{row}: {out}");
    }
    assert!(out.contains("Nobody was dropped while it rose"), "{out}");
    assert!(!out.contains('\u{1b}'), "no terminal, no escapes: {out}");
    assert_eq!(std::fs::read_dir(&directory.0).unwrap().count(), 0);
}

#[test]
fn a_demo_that_is_interrupted_leaves_nothing_behind() {
    for (story, begins) in [(&["rollout", "--users", "1000000"][..], "ASKED"), (&[], "$ storyflag release start")] {
        let directory = Directory::new();
        let mut child = demo(&directory.0, story);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().starts_with(begins)), "it ended before it began");
        let told = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(told.success());
        assert!(lines.any(|line| line.unwrap() == "stopped"));
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert_eq!(std::fs::read_dir(&directory.0).unwrap().count(), 0);
    }
}

#[test]
fn a_demo_tells_of_a_release_that_turns_back_and_of_one_that_arrives() {
    let directory = Directory::new();
    let output = demo(&directory.0, &["--time-scale", "6000"]).wait_with_output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{out}{}", String::from_utf8_lossy(&output.stderr));
    for told in [" rolled back at ", "-1 turned back by itself", " completed at 100 %", "-2 went from 0.1 % to everybody by itself"] {
        assert!(out.contains(told), "{told}: {out}");
    }
    assert_eq!(std::fs::read_dir(&directory.0).unwrap().count(), 0);
}

#[test]
fn a_release_is_prepared_and_called_off_or_begun_and_turned_back() {
    let service = Service::start();
    service.ok("flags create US-123-checkout");
    service.ok("cohorts put internal-users -e staging");
    let plan = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/DP-123-checkout.yaml").canonicalize().unwrap();
    std::fs::copy(plan, service.directory.0.join("plan.yaml")).unwrap();
    service.ok("plan put plan.yaml");
    assert_eq!(service.ok("release -e staging"), "no releases\n");
    let told = service.refused(1, "release start DP-123-checkout --time-scale 600 -e staging");
    assert!(told.contains("DP-123-checkout-1 is created, but not started: ") && told.contains("next: storyflag release tick "), "{told}");
    let ticked = service.run("release tick DP-123-checkout tests_passing rollback-plan-tested -e staging");
    assert!(ticked.err.contains("next: storyflag release start DP-123-checkout-1 -e staging"), "{}{}", ticked.out, ticked.err);
    let started = service.ok("release start DP-123-checkout -e staging");
    assert!(started.starts_with("DP-123-checkout-1 in staging is started: 0.1 %, step 1 of 5"), "{started}");
    let told = service.refused(1, "rollout US-123-checkout 50 -e staging");
    assert!(told.contains("DP-123-checkout-1 drives this flag"), "{told}");
    let told = service.refused(2, "release advance DP-123-checkout -e staging --reason x");
    assert!(told.contains("RATES") || told.contains("EVIDENCE") && told.contains("the same with --yes"), "{told}");
    assert!(service.ok("release advance DP-123-checkout -e staging --reason x -y").contains("takes its next step by force"));
    assert!(service.ok("release pause DP-123-checkout -e staging").contains("(paused 1 %"));
    assert!(service.ok("release get DP-123-checkout -e staging").contains("storyflag release resume DP-123-checkout-1 -e staging"));
    assert!(service.ok("release timeline DP-123-checkout -e staging").contains("advanced by force: x"));
    assert!(service.ok("release get DP-123-checkout --markdown -e staging").contains("- [x] Rollback plan tested"));
    assert!(service.ok("release report DP-123-checkout -e staging").starts_with("# "));
    let back: Value = serde_json::from_str(&service.ok("release rollback DP-123-checkout -e staging --json")).unwrap();
    assert_eq!((&back["phase"], &back["cause"]["kind"]), (&Value::from("rolling_back"), &Value::from("command")));

    service.ok("cohorts put internal-users -e development");
    service.ok("release create DP-123-checkout -e development");
    assert!(service.ok("release cancel DP-123-checkout -e development").contains("is called off"));
    let watched = service.run("release watch DP-123-checkout -e development");
    assert_eq!(watched.code, Some(2), "it ended, and not by completing: {}{}", watched.out, watched.err);
    assert!(
        watched.out.contains("DP-123-checkout-1 cancelled") && watched.err.contains("next: storyflag release report"),
        "{}",
        watched.out
    );
}
