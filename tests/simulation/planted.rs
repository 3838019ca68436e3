//! Bugs that are planted on purpose: each is found.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use super::{
    bugs::{BUGS, Bug},
    checks::check,
    histories::on_the_model,
};

/// How many histories a bug may hide in.
const MOST: u64 = 10_000;

fn seeds_until_found(bug: Bug) -> Option<(u64, String)> {
    (0..MOST).find_map(|seed| {
        let broken = check(&on_the_model(seed, Some(bug), false));
        broken.into_iter().next().map(|what| (seed + 1, what))
    })
}

#[test]
fn planted_bugs_are_found() {
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(bug) = BUGS.get(next.fetch_add(1, Ordering::Relaxed)) {
                    found.lock().unwrap().push((*bug, seeds_until_found(*bug)));
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap();
    found.sort_by_key(|(bug, _)| *bug);
    for (bug, after) in &found {
        match after {
            Some((seeds, what)) => println!("{bug:?}: found after {seeds} histories: {what}"),
            None => println!("{bug:?}: hidden from {MOST} histories"),
        }
    }
    let hidden: Vec<Bug> = found.iter().filter(|(_, after)| after.is_none()).map(|(bug, _)| *bug).collect();
    assert_eq!(hidden, []);
}
