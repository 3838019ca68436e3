//! A private copy of a system service, started and stopped by `scripts/test-services.sh`.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A running copy in a folder of its own. When this is dropped, or when this process ends in whatever way, the copy
/// is stopped and its folder removed.
pub(crate) struct Service {
    kind: &'static str,
    folder: PathBuf,
    /// Where the service listens; the same after a stop and a start.
    pub(crate) address: String,
    /// Waits for the end of its standard input, which we hold: `kill -9` of a test run leaves nothing behind.
    watchdog: Child,
}

impl Service {
    /// Starts a new copy of `kind`: `postgres`, `redis` or `prometheus`.
    pub(crate) fn start(kind: &'static str) -> Service {
        Self::start_with(kind, |_| {})
    }

    /// The same, with what `prepare` puts into its folder, which is not there yet.
    pub(crate) fn start_with(kind: &'static str, prepare: impl FnOnce(&Path)) -> Service {
        let name = format!("storyflag-test-{kind}-{:016x}", fastrand::u64(..));
        let folder = std::env::temp_dir().join(name);
        prepare(&folder);
        let watchdog = watchdog(kind, &folder);
        let address = script("start", kind, &folder);
        Service { kind, folder, address, watchdog }
    }

    /// Stops it at once, as a crash would.
    pub(crate) fn stop(&self) {
        script("stop", self.kind, &self.folder);
    }

    /// Starts it again after [`Service::stop`], at the same address.
    pub(crate) fn start_again(&self) {
        assert_eq!(script("start", self.kind, &self.folder), self.address);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}

fn script_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/test-services.sh")
}

fn script(verb: &str, kind: &str, folder: &Path) -> String {
    let output = Command::new(script_path()).args([verb, kind]).arg(folder).output().expect("scripts/test-services.sh runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "test-services.sh {verb} {kind}: {told}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn watchdog(kind: &str, folder: &Path) -> Child {
    Command::new("sh")
        .args(["-c", r#"cat >/dev/null; "$1" stop "$2" "$3"; rm -rf "$3""#, "watchdog"])
        .arg(script_path())
        .arg(kind)
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // A group of its own, or ctrl-c would end the watchdog before its work.
        .process_group(0)
        .spawn()
        .expect("sh runs")
}
