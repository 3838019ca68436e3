//! The file survives whatever happens to it, or is refused whole.

use std::path::Path;

use storyflag_evaluation::{Context, Identity};

use super::*;
use crate::environment::{Environment, cohort, flag_for_cohort, flag_of_the_future};
use crate::wire::{Kill, RulesetBody, Texts};

/// A directory of its own, removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("storyflag-sdk-{name}-{:016x}", fastrand::u64(..)));
        Self(path)
    }

    fn cache(&self) -> DiskCache {
        DiskCache::new(self.0.clone(), "00112233")
    }

    fn files(&self) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn snapshot(environment: &Environment) -> Snapshot {
    let body = environment.body();
    let body: RulesetBody<'_> = serde_json::from_str(&body).unwrap();
    Snapshot { identity: environment.identity(), texts: Texts::of_ruleset(&body), kills: Vec::new(), absorbed: BTreeSet::new() }
}

fn environment() -> Environment {
    let mut environment = Environment::with("US-1", 100.0);
    environment.put("US-9", &flag_of_the_future("US-9", false));
    environment
}

fn identity(cache: &DiskCache) -> Option<Identity> {
    cache.load().stored.map(|stored| stored.ruleset.identity())
}

#[test]
fn what_is_saved_is_loaded_with_its_kills() {
    let directory = Directory::new("saved");
    let cache = directory.cache();
    assert!(cache.load().stored.is_none() && cache.load().faults.is_empty(), "nothing there is no fault");
    let mut snapshot = snapshot(&environment());
    snapshot.kills = vec![Kill { flag: "US-1".into(), id: "5e".into() }];
    snapshot.absorbed = ["5d".to_owned()].into();
    cache.save(&snapshot).unwrap();
    let stored = directory.cache().load().stored.unwrap();
    assert_eq!(stored.ruleset.identity(), environment().identity());
    assert_eq!((stored.texts, stored.kills, stored.absorbed), (snapshot.texts, snapshot.kills, snapshot.absorbed));
    assert!(!stored.ruleset.evaluate("US-1", &Context::new("a")).is_on(), "still killed");
    assert_eq!(directory.files(), ["00112233.ruleset"], "no temporary file is left");
}

#[test]
fn the_older_generation_serves_where_the_present_one_is_torn_and_is_not_pushed_out_by_it() {
    let directory = Directory::new("generations");
    let cache = directory.cache();
    let mut environment = environment();
    let first = environment.identity();
    cache.save(&snapshot(&environment)).unwrap();
    environment.raise("US-1", 1.0);
    let second = environment.identity();
    cache.save(&snapshot(&environment)).unwrap();
    assert_eq!(identity(&directory.cache()), Some(second));

    let present = fs::read(cache.present()).unwrap();
    fs::write(cache.present(), &present[..present.len() - 7]).unwrap();
    let cache = directory.cache();
    let found = cache.load();
    assert_eq!(found.stored.map(|stored| stored.ruleset.identity()), Some(first));
    assert!(found.faults[0].contains("its checksum is wrong"), "{:?}", found.faults);

    environment.raise("US-1", 2.0);
    cache.save(&snapshot(&environment)).unwrap();
    assert_eq!(identity(&directory.cache()), Some(environment.identity()));
    fs::remove_file(cache.present()).unwrap();
    assert_eq!(identity(&directory.cache()), Some(first), "the torn file has not become the older generation");
}

#[test]
fn a_crash_between_the_two_renames_loses_nothing() {
    let directory = Directory::new("crash");
    let cache = directory.cache();
    cache.save(&snapshot(&environment())).unwrap();
    fs::rename(cache.present(), cache.older()).unwrap();
    fs::write(directory.0.join("00112233.ruleset.1.tmp"), "half").unwrap();
    assert_eq!(identity(&directory.cache()), Some(environment().identity()));
}

#[test]
fn keys_do_not_share_files() {
    let directory = Directory::new("keys");
    directory.cache().save(&snapshot(&environment())).unwrap();
    assert!(DiskCache::new(directory.0.clone(), "44556677").load().stored.is_none());
}

#[test]
fn lists_are_kept_while_one_of_the_two_generations_names_them() {
    let directory = Directory::new("lists");
    let cache = directory.cache();
    let mut environment = environment();
    let mut digests = Vec::new();
    for units in [["a"], ["b"], ["c"]] {
        let (text, list) = cohort("staff", &units);
        environment.put_cohort("staff", &text);
        cache.save_list(&list.digest(), &list.to_bytes()).unwrap();
        cache.save(&snapshot(&environment)).unwrap();
        digests.push(list.digest());
    }
    let files = directory.files();
    let there: Vec<bool> = digests.iter().map(|digest| files.iter().any(|file| file.contains(digest.as_str()))).collect();
    assert_eq!(there, [false, true, true]);

    environment.put("US-3", &flag_for_cohort("US-3", "staff"));
    cache.save(&snapshot(&environment)).unwrap();
    let is_on = |unit: &str| directory.cache().load().stored.unwrap().ruleset.evaluate("US-3", &Context::new(unit)).is_on();
    assert!(is_on("c") && !is_on("b"));
    fs::write(cache.list(&digests[2]), [0; 8]).unwrap();
    assert!(!is_on("c"), "a list that is not what its name says is not there");
}

#[test]
fn a_digest_cannot_lead_out_of_the_directory() {
    let cache = DiskCache::new("/cache".into(), "00");
    assert_eq!(cache.list("../../etc/passwd"), Path::new("/cache/00.ecad.list"));
}

/// 20,000 files with something wrong: each is refused, or is exactly what was written.
#[test]
fn no_corruption_is_ever_served() {
    let mut random = fastrand::Rng::with_seed(0x570_72f1);
    let mut snapshot = snapshot(&environment());
    snapshot.kills = vec![Kill { flag: "US-1".into(), id: "5e".into() }];
    let good = snapshot.encode();
    let intact = |stored: &Stored| stored.ruleset.identity() == snapshot.identity && stored.texts == snapshot.texts;
    assert!(intact(&Stored::decode(&good).unwrap()));
    let mut refused = 0;
    for round in 0..20_000 {
        let mut bytes = good.clone();
        for _ in 0..random.usize(1..4) {
            let place = random.usize(0..bytes.len());
            match random.u8(0..5) {
                0 => bytes[place] ^= 1 << random.u8(0..8),
                1 => bytes[place] = random.u8(..),
                2 => bytes.truncate(place.max(1)),
                3 => bytes.insert(place, random.u8(..)),
                _ => {
                    let end = (place + random.usize(1..50)).min(bytes.len());
                    bytes.drain(place..end);
                    bytes.push(b'\n');
                }
            }
        }
        match Stored::decode(&bytes) {
            Err(_) => refused += 1,
            Ok(stored) => assert!(bytes == good && intact(&stored), "round {round} (seed fixed): {:?}", String::from_utf8_lossy(&bytes)),
        }
    }
    assert!(refused > 19_000, "{refused}");
}

/// A file that the first version wrote: every later one reads it.
#[test]
fn the_first_format_is_read_for_ever() {
    let bytes = include_bytes!("../../tests/fixtures/format-1.ruleset");
    let stored = Stored::decode(bytes).unwrap();
    assert_eq!(stored.ruleset.len(), 2);
    assert!(stored.ruleset.evaluate("US-1", &Context::new("a")).is_on());
    assert!(!stored.ruleset.evaluate("US-2", &Context::new("a")).is_on());
    assert_eq!(stored.kills, [Kill { flag: "US-2".into(), id: "5e".into() }]);
    assert_eq!(stored.ruleset.missing_lists().collect::<Vec<_>>(), [("staff", "0123456789abcdef0123456789abcdef")]);
}

#[test]
fn a_ruleset_made_by_hand_needs_no_first_line() {
    let stored = Stored::decode(format!("\n  {}", environment().body()).as_bytes()).unwrap();
    assert_eq!(stored.ruleset.identity(), Identity { incarnation: 0, revision: 0, digest: environment().identity().digest });
    for text in ["", "{", "[]", "{}", "storyflag-ruleset 1 ", "storyflag-ruleset 2 1-1-0000000000000000 x\n{}", "flags: []"] {
        assert!(Stored::decode(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn a_whole_file_with_another_identity_is_refused() {
    let mut snapshot = snapshot(&environment());
    snapshot.identity.digest ^= 1;
    assert!(Stored::decode(&snapshot.encode()).unwrap_err().contains("not those that its first line names"));
}

#[test]
fn a_directory_that_cannot_be_written_is_told() {
    let directory = Directory::new("unwritable");
    fs::write(&directory.0, "a file stands there").unwrap();
    assert!(directory.cache().save(&snapshot(&environment())).is_err());
    assert_eq!(directory.cache().load().faults.len(), 2);
    fs::remove_file(&directory.0).unwrap();
}
