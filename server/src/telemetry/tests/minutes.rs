use storyflag_release::evidence;

use super::*;
use crate::telemetry::seconds::Details;

const MINUTE: i64 = 29_400_000;
const NOW: i64 = MINUTE * 60_000;

fn closed(second: i64, revision: u64, requests: u64) -> Closed {
    let mut counts = evidence::ArmCounts { requests, success: requests, ..evidence::ArmCounts::default() };
    counts.slow.insert(200, evidence::EventCounts { count: 1, ..Default::default() });
    counts.named.insert("purchase".into(), evidence::EventCounts { count: 2, ..Default::default() });
    let mut details = Details { overflow: 1, exposed: Registers::read(&"B".repeat(4_096)), ..Details::default() };
    details.latency_us.add(1_007, requests);
    details.sums.insert("purchase".into(), 1.5);
    let arm = ArmSums { rollout_revision: revision, arm: Arm::Treatment, counts, details };
    Closed { environment: 1, second: MINUTE * 60 + second, flags: HashMap::from([("checkout".to_owned(), vec![arm])]) }
}

fn sums(unwritten: &UnwrittenMinutes) -> Vec<(i64, u64, u64)> {
    let mut sums: Vec<_> = unwritten.minutes.iter().map(|row| (row.minute - MINUTE, row.rollout_revision, row.counts.requests)).collect();
    sums.sort_unstable();
    sums
}

#[test]
fn seconds_become_minutes_that_are_written_while_they_grow() {
    let mut minutes = Minutes::default();
    [closed(0, 7, 1), closed(1, 7, 2), closed(2, 6, 5)].into_iter().for_each(|closed| minutes.add(closed));
    assert!(minutes.is_due(NOW));
    let unwritten = minutes.take_unwritten(NOW);
    assert_eq!(sums(&unwritten), [(0, 6, 5), (0, 7, 3)]);
    let row = unwritten.minutes.iter().find(|row| row.rollout_revision == 7).unwrap();
    let named = row.counts.named["purchase"];
    assert_eq!((row.counts.slow[&200], named.count, named.sum, row.counts.overflow), (2, 4, 3.0, 2));
    assert_eq!(row.counts.latency_us.pairs().collect::<Vec<_>>(), [(1_007, 3)]);
    assert_eq!(unwritten.exposed.len(), 2);
    // Nothing new, then something: only that, and whole.
    assert!(!minutes.is_due(NOW + 9_999) && minutes.is_due(NOW + 10_000) && minutes.is_due(NOW - 10_000));
    let none = minutes.take_unwritten(NOW);
    assert!(none.minutes.is_empty() && none.exposed.is_empty());
    minutes.add(closed(59, 7, 4));
    assert_eq!(sums(&minutes.take_unwritten(NOW)), [(0, 7, 7)]);
    // The minute is over: it is written at once, and for the last time.
    minutes.add(closed(60, 7, 1));
    assert!(minutes.is_due(NOW));
    assert_eq!(sums(&minutes.take_unwritten(NOW)), [(1, 7, 1)]);
    assert!(!minutes.is_due(NOW));
}

#[test]
fn what_could_not_be_written_waits_for_some_minutes() {
    let mut minutes = Minutes::default();
    minutes.add(closed(0, 7, 1));
    minutes.add(closed(61, 7, 2));
    let unwritten = minutes.take_unwritten(NOW);
    assert_eq!(sums(&unwritten), [(0, 7, 1), (1, 7, 2)]);
    minutes.add(closed(62, 7, 4));
    minutes.put_back(unwritten);
    let unwritten = minutes.take_unwritten(NOW);
    assert_eq!(sums(&unwritten), [(0, 7, 1), (1, 7, 6)], "what stands holds what was taken");
    assert_eq!(unwritten.exposed.len(), 1);
    minutes.put_back(unwritten);
    (2..10).for_each(|minute| minutes.add(closed(minute * 60, 7, 1)));
    assert_eq!(minutes.take_dropped(), 5);
    assert_eq!(sums(&minutes.take_unwritten(NOW)).len(), MINUTES);
    assert_eq!(minutes.take_dropped(), 0);
}

#[test]
fn made_up_revisions_take_bounded_room() {
    let mut minutes = Minutes::default();
    (0..100).for_each(|revision| minutes.add(closed(0, revision, 1)));
    let unwritten = minutes.take_unwritten(NOW);
    assert_eq!((unwritten.minutes.len(), unwritten.exposed.len(), minutes.take_dropped()), (ARMS, ARMS, 36));
}
