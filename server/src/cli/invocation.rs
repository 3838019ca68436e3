//! How this program is called, so that what it tells people to type works when it is pasted.

use std::path::{Path, PathBuf};

/// `storyflag` where the shell finds this very program under that name, else its path.
pub(super) fn shown() -> String {
    match directory_off_path() {
        Some(directory) => quoted(&directory.join("storyflag").to_string_lossy()),
        None => "storyflag".to_owned(),
    }
}

/// The directory of this program, if a shell does not find it there by itself, as after `cargo build`.
pub(super) fn directory_off_path() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|directory| directory.join("storyflag")).find(|file| file.is_file());
    match found {
        Some(found) if is_same(&found, &own) => None,
        _ => own.parent().map(Path::to_owned),
    }
}

fn is_same(left: &Path, right: &Path) -> bool {
    matches!((left.canonicalize(), right.canonicalize()), (Ok(left), Ok(right)) if left == right)
}

/// As a word of a shell.
pub(super) fn quoted(text: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "/._-:=@%+,".contains(char);
    if !text.is_empty() && text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_spaces_is_one_word() {
        assert_eq!(quoted("/opt/storyflag"), "/opt/storyflag");
        assert_eq!(quoted("/my files/it's"), "'/my files/it'\\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn the_tests_own_program_is_not_what_a_shell_would_find() {
        let directory = directory_off_path().unwrap();
        assert_eq!(Some(directory.as_path()), std::env::current_exe().unwrap().parent());
    }
}
