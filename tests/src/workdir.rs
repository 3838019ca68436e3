//! A folder of its own for a test.

use std::path::{Path, PathBuf};

/// An empty folder, removed with everything in it when this is dropped.
pub struct Workdir {
    path: PathBuf,
}

impl Workdir {
    /// Makes the folder in memory where the system has such a place, else under its temporary folder; `name` says to a
    /// human whose it is. These tests crash programs, not machines: nothing has to reach a disk.
    pub fn new(name: &str) -> Workdir {
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let path = base.join(format!("storyflag-test-{name}-{:016x}", fastrand::u64(..)));
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Workdir { path }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in the folder, there or not.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Workdir {
    fn drop(&mut self) {
        // A folder that stays behind is no failure of the test.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
