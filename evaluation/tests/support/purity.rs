//! What both kernels are held to: a short list of dependencies, and sources that do nothing but compute.

use std::{fs, path::Path, process::Command};

/// What no kernel's sources say.
const FORBIDDEN: [&str; 21] = [
    "SystemTime",
    "Instant",
    "std::time",
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::process",
    "std::thread",
    "std::sync::atomic",
    "Mutex",
    "RwLock",
    "OnceLock",
    "LazyLock",
    "thread_local",
    "static mut",
    "RandomState",
    "rand::",
    "println!",
    "eprintln!",
    "unsafe",
];

/// The crate `name` in `folder` depends on exactly these.
pub(crate) fn depends_on_nothing_but(name: &str, folder: &str, dependencies: &[&str]) {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--edges", "normal", "--depth", "1", "--prefix", "none", "--format", "{p}"])
        .args(["--package", name])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    let mut names: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names.remove(0), name);
    assert_eq!(names, dependencies);
}

/// The sources in `folder`, at least so many files, say nothing that is forbidden to all kernels, or `also` to this one.
pub(crate) fn sources_say_nothing_forbidden(folder: &str, at_least: usize, also: &[&str]) {
    let mut read = 0;
    look(&Path::new(folder).join("src"), also, &mut read);
    assert!(read >= at_least, "only {read} source files were found");
}

fn look(folder: &Path, also: &[&str], read: &mut usize) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            look(&path, also, read);
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        for (number, line) in source.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for word in FORBIDDEN.iter().chain(also) {
                assert!(!code.contains(word), "{}:{}: {word} has no place in the kernel", path.display(), number + 1);
            }
        }
        *read += 1;
    }
}
