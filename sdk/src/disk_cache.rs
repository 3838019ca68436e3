//! The last known good ruleset on disk: it serves at once after a start, and never expires.
//!
//! Written so that at every moment there is one good file: a temporary one is filled and synchronised, the present one
//! becomes the older generation, the new one takes its name, and the directory is synchronised.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::Mutex,
};

use storyflag_evaluation::Ruleset;

use crate::{
    lists::{LIST_LIMIT, checked},
    sse::EVENT_LIMIT,
    stored::{Snapshot, Stored},
};

/// A directory and the part of it that belongs to one SDK key.
#[derive(Debug)]
pub(crate) struct DiskCache {
    directory: PathBuf,
    /// The key's id: a directory that is used with the key of another environment must not serve this one's flags.
    name: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether the present file may become the older generation; a corrupt one must not push a good one out.
    is_good: bool,
    /// Lists that the older generation names.
    older_lists: BTreeSet<String>,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) stored: Option<Stored>,
    /// What was there and could not be used.
    pub(crate) faults: Vec<String>,
}

impl DiskCache {
    /// The cache of the key with this id.
    pub(crate) fn new(directory: PathBuf, key_id: &str) -> Self {
        Self { directory, name: key_id.to_owned(), state: Mutex::default() }
    }

    /// Reads the present file, or the older generation if the present one is missing or corrupt.
    pub(crate) fn load(&self) -> Found {
        let mut found = Found::default();
        for path in [self.present(), self.older()] {
            match read_ruleset(&path) {
                Ok(stored) => {
                    *self.state() = State { is_good: path == self.present(), older_lists: stored.texts.lists() };
                    found.stored = Some(Stored { ruleset: self.with_lists(stored.ruleset), ..stored });
                    return found;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => found.faults.push(format!("{}: {error}", path.display())),
            }
        }
        found
    }

    fn with_lists(&self, ruleset: Ruleset) -> Ruleset {
        with_lists(ruleset, |digest| self.list(digest))
    }

    /// Writes a ruleset, and removes the lists that neither it nor the older generation names.
    ///
    /// # Errors
    /// What the file system says; the files that were there are still there.
    pub(crate) fn save(&self, snapshot: &Snapshot) -> io::Result<()> {
        let mut state = self.state();
        fs::create_dir_all(&self.directory)?;
        let temporary = self.write_temporary("ruleset", &snapshot.encode())?;
        if state.is_good {
            match fs::rename(self.present(), self.older()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(temporary, self.present())?;
        state.is_good = true;
        self.synchronise_directory()?;
        let lists = snapshot.texts.lists();
        self.remove_lists_except(&lists, &state.older_lists);
        state.older_lists = lists;
        Ok(())
    }

    /// Writes a list under its digest.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn save_list(&self, digest: &str, bytes: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        let temporary = self.write_temporary("list", bytes)?;
        fs::rename(temporary, self.list(digest))?;
        self.synchronise_directory()
    }

    fn write_temporary(&self, what: &str, bytes: &[u8]) -> io::Result<PathBuf> {
        let path = self.directory.join(format!("{}.{what}.{}.tmp", self.name, std::process::id()));
        let mut file = File::create(&path)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(path)
    }

    fn remove_lists_except(&self, present: &BTreeSet<String>, older: &BTreeSet<String>) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let digest = name.to_str().and_then(|name| name.strip_prefix(&*self.name)?.strip_prefix('.')?.strip_suffix(".list"));
            if digest.is_some_and(|digest| !present.contains(digest) && !older.contains(digest)) {
                // A list too many does no harm.
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn synchronise_directory(&self) -> io::Result<()> {
        // Elsewhere a directory cannot be opened, and a rename is durable by other means.
        if cfg!(unix) { File::open(&self.directory)?.sync_all() } else { Ok(()) }
    }

    fn present(&self) -> PathBuf {
        self.directory.join(format!("{}.ruleset", self.name))
    }

    fn older(&self) -> PathBuf {
        self.directory.join(format!("{}.ruleset.older", self.name))
    }

    fn list(&self, digest: &str) -> PathBuf {
        self.directory.join(format!("{}.{}", self.name, list_file(digest)))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Reads a ruleset file; what cannot be one is an error of kind `InvalidData`.
pub(crate) fn read_ruleset(path: &Path) -> io::Result<Stored> {
    let bytes = read_bounded(path, EVENT_LIMIT)?;
    Stored::decode(&bytes).map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))
}

/// The ruleset with those of its lists that are in files.
pub(crate) fn with_lists(mut ruleset: Ruleset, path: impl Fn(&str) -> PathBuf) -> Ruleset {
    let missing: Vec<(String, String)> = ruleset.missing_lists().map(|(cohort, digest)| (cohort.into(), digest.into())).collect();
    for (cohort, digest) in missing {
        let list = read_bounded(&path(&digest), LIST_LIMIT).ok().and_then(|bytes| checked(&bytes, &digest).ok());
        if let Some(list) = list {
            ruleset = ruleset.with_list(&cohort, &digest, list.into());
        }
    }
    ruleset
}

fn read_bounded(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    let read = File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(read).is_ok_and(|read| read <= limit) {
        Ok(bytes)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "it is longer than any ruleset"))
    }
}

/// The end of a list's file name.
pub(crate) fn list_file(digest: &str) -> String {
    // A digest is what the ruleset says it is: only hex digits become part of a path.
    let digest: String = digest.chars().filter(char::is_ascii_hexdigit).take(32).collect();
    format!("{digest}.list")
}

#[cfg(test)]
mod tests;
