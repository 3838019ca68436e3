//! The two servers, each in a process of its own.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
};

use storyflag_server::{Server, config::Config};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::floor;

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ours,
    Floor,
}

impl Kind {
    pub fn named(name: &str) -> Self {
        if name == "ours" { Self::Ours } else { Self::Floor }
    }

    fn name(self) -> &'static str {
        if self == Self::Ours { "ours" } else { "floor" }
    }
}

/// A server that listens.
pub struct Process {
    child: Child,
    folder: std::path::PathBuf,
    /// `host:port`.
    pub address: String,
    /// An SDK key of `staging`, for ours.
    pub key: String,
    /// A token of an admin, for ours.
    pub token: String,
}

impl Process {
    pub fn start(kind: Kind) -> Self {
        let folder = std::env::temp_dir().join(format!("storyflag-bench-{:016x}", fastrand::u64(..)));
        std::fs::create_dir_all(&folder).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["serve", kind.name()]).current_dir(&folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut told = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut told).unwrap();
        let mut words = told.split_whitespace().map(str::to_owned);
        let mut next = || words.next().unwrap_or_default();
        Self { address: next(), key: next(), token: next(), child, folder }
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where its files are.
    #[allow(dead_code, reason = "not every benchmark that has this file looks there")]
    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// Resident memory, in bytes.
    #[allow(dead_code, reason = "as above")]
    pub fn memory(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0
    }
}

/// The processor time that a process has used so far, in microseconds: of its threads that still live.
pub fn processor_time(process: u32) -> f64 {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let of_thread = |path: std::path::PathBuf| -> Option<f64> {
        std::fs::read_to_string(path.join("schedstat")).ok()?.split_whitespace().next()?.parse().ok()
    };
    threads.filter_map(|thread| of_thread(thread.ok()?.path())).sum::<f64>() / 1_000.0
}

impl Drop for Process {
    fn drop(&mut self) {
        // The child ends when its standard input does.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// In the child: serves until standard input ends.
pub fn serve(kind: Kind) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let serving = match kind {
            Kind::Floor => {
                tell(&format!("{address}"));
                tokio::spawn(floor::serve(listener))
            }
            Kind::Ours => {
                let mut config = Config::default();
                config.http.streams_per_second = Some(1_000_000);
                config.http.drain_seconds = 0;
                let server = Server::start(config).await.unwrap();
                let made = server.first_start().unwrap().clone();
                let key = made.keys.iter().find(|(environment, _)| environment == "staging").unwrap().1.clone();
                tell(&format!("{address} {key} {}", made.admin_token));
                tokio::spawn(server.run(listener, stop.clone()))
            }
        };
        let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
        let _ = ended.await;
        stop.cancel();
        serving.abort();
    });
    // Streams of the other process may still be open; nothing is lost by not waiting for them.
    std::process::exit(0);
}

fn tell(line: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}
