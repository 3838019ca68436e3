use super::*;
use crate::telemetry::heard::Heard;

const NOW: i64 = 1_764_000_000_000;
const SECOND: i64 = NOW / 1_000;

/// `checkout` is watched since revision 7, `basket` is not.
fn ruleset() -> Ruleset {
    let flag = |key: &str, more: &str| {
        format!(
            r#"{{"key":"{key}","killed":false,"off":"off","variants":{{"on":true,"off":false}},"enabled":true,"seed":"{key}",
            "unit":"targetingKey","rollout":{{"millionths":0,"serve":"on"}}{more}}}"#
        )
    };
    let (checkout, basket) = (flag("checkout", r#","watch":{"rollout_revision":7,"limits_ms":[200]}"#), flag("basket", ""));
    Ruleset::compile(Identity { incarnation: 1, revision: 9, digest: 5 }, &[&checkout, &basket], &[], None)
}

fn unwatched() -> Ruleset {
    Ruleset::compile(Identity { incarnation: 1, revision: 8, digest: 4 }, &[], &[], None)
}

fn message(instance: &str, sequence: u64, watched: &str) -> TelemetryMessage {
    let text = format!(
        r#"{{"instance":"{instance}","sequence":{sequence},"sdk":"rust/0.1.0","applied":"1-9-0000000000000005","watched":[{watched}]}}"#
    );
    serde_json::from_str(&text).unwrap()
}

fn row(flag: &str, revision: u64, requests: u64, events: &str) -> String {
    format!(
        r#"{{"flag":"{flag}","rollout_revision":{revision},"arm":"treatment","requests":{requests},"success":{requests},"events":{{{events}}},"latency_us":[[1007,{requests}]]}}"#
    )
}

fn seconds(heard: &mut Heard, now: i64) -> Vec<(i64, i64, NodeSecond)> {
    heard.close_second(now);
    let Some(unwritten) = heard.take_unwritten(0) else { return Vec::new() };
    unwritten.seconds.into_iter().map(|row| (row.environment, row.second, row.heard)).collect()
}

#[test]
fn messages_of_a_second_become_one_row() {
    let (mut heard, ruleset) = (Heard::default(), ruleset());
    let events = r#""error":{"count":2,"at_risk":9,"first":1,"units":["00000000000000ff","0000000000000001"]},"not_success":{"at_risk":9},
        "slow_200":{"count":1,"at_risk":9,"first":1,"units":["0000000000000001"]},"purchase":{"count":3,"sum":74.5}"#;
    let first = message("b", 1, &row("checkout", 7, 10, events));
    heard.take(1, &ruleset, &first, "n", NOW);
    heard.take(1, &ruleset, &first, "n", NOW);
    heard.take(1, &ruleset, &message("a", 1, &row("checkout", 7, 5, events)), "n", NOW + 400);
    heard.take(1, &ruleset, &message("a", 2, &row("checkout", 6, 1, "")), "n", NOW + 800);
    heard.take(2, &unwatched(), &message("z", 1, &row("checkout", 7, 5, "")), "n", NOW);
    let rows = seconds(&mut heard, NOW + 999);
    let [(1, SECOND, second)] = rows.as_slice() else { panic!("{rows:?}") };
    let who: Vec<_> = second.instances.iter().map(|heard| (heard.instance.as_str(), heard.applied.revision)).collect();
    assert_eq!(who, [("a", 9), ("b", 9)]);
    let [older, watched] = second.watched.as_slice() else { panic!("{:?}", second.watched) };
    assert_eq!((older.rollout_revision, older.counts.requests), (6, 1));
    let counts = &watched.counts;
    assert_eq!((watched.flag.as_str(), watched.rollout_revision, watched.arm), ("checkout", 7, Arm::Treatment));
    assert_eq!((counts.requests, counts.success, counts.errors.count, counts.errors.at_risk, counts.errors.first), (15, 15, 4, 18, 2));
    assert_eq!((counts.errors.units.as_slice(), counts.errors.instances.as_slice()), (&[255, 1][..], &["b".into(), "a".into()][..]));
    assert_eq!((counts.not_success.at_risk, counts.not_success.instances.len()), (18, 0));
    assert_eq!((counts.slow[&200].count, counts.named["purchase"].count), (2, 6));
}

#[test]
fn zero_counts_are_facts_and_silence_is_none() {
    let (mut heard, ruleset) = (Heard::default(), ruleset());
    assert_eq!(seconds(&mut heard, NOW), []);
    heard.take(1, &ruleset, &message("a", 1, &row("checkout", 7, 0, "")), "n", NOW);
    let rows = seconds(&mut heard, NOW);
    assert_eq!((rows.len(), rows[0].2.watched.len(), rows[0].2.watched[0].counts.requests), (1, 1, 0));
    assert_eq!(seconds(&mut heard, NOW + 1_000), []);
    // Who watches nothing yet is heard all the same: that is what "behind" rests on.
    heard.take(1, &ruleset, &message("b", 1, ""), "n", NOW + 2_000);
    let rows = seconds(&mut heard, NOW + 2_000);
    assert_eq!((rows[0].2.watched.len(), rows[0].2.instances.len(), rows[0].2.instances[0].instance.as_str()), (0, 1, "b"));
}

#[test]
fn numbers_only_go_up_whatever_the_clock_does() {
    let (mut heard, ruleset) = (Heard::default(), ruleset());
    let mut numbers = Vec::new();
    for (sequence, now) in [(1, NOW), (2, NOW + 10), (3, NOW - 3_600_000), (4, NOW + 9_000)] {
        heard.take(1, &ruleset, &message("a", sequence, ""), "n", now);
        heard.take(2, &ruleset, &message("a", sequence, ""), "n", now);
        let rows = seconds(&mut heard, now);
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].1, rows[1].1);
        numbers.push(rows[0].1 - SECOND);
    }
    assert_eq!(numbers, [0, 1, 2, 9]);
}

#[test]
fn a_second_that_nobody_writes_is_closed_all_the_same_and_comes_first() {
    let (mut heard, ruleset) = (Heard::default(), ruleset());
    for number in 0..5_u64 {
        let now = NOW + i64::try_from(number).unwrap() * 500;
        heard.take(1, &ruleset, &message("a", number + 1, &row("checkout", 7, 1, "")), "n", now);
    }
    heard.close_second(NOW + 2_000);
    let unwritten = heard.take_unwritten(0).unwrap();
    let numbers = |rows: &[crate::store::SecondRow]| {
        rows.iter().map(|row| (row.second - SECOND, row.heard.watched[0].counts.requests)).collect::<Vec<_>>()
    };
    assert_eq!(numbers(&unwritten.seconds), [(1, 2), (2, 2), (3, 1)]);
    heard.take(1, &ruleset, &message("a", 9, &row("checkout", 7, 7, "")), "n", NOW + 3_500);
    heard.close_second(NOW + 4_000);
    heard.put_back(unwritten);
    assert_eq!(numbers(&heard.take_unwritten(0).unwrap().seconds), [(1, 2), (2, 2), (3, 1), (4, 7)]);
}

#[test]
fn what_is_made_up_takes_no_room() {
    let (mut heard, ruleset) = (Heard::default(), ruleset());
    let made_up: Vec<String> = (0..200)
        .map(|number| row("checkout", 100 + number, 1, ""))
        .chain((0..200).map(|number| row(&format!("made-up-{number}"), 7, 1, "")))
        .chain([row("basket", 7, 1, ""), row("checkout", 7, 1, r#""slow_x":{}"#)])
        .collect();
    let took = heard.take(1, &ruleset, &message("a", 1, &made_up.join(",")), "n", NOW);
    assert_eq!(took.ignored, 192 + 200 + 1 + 1);
    for number in 0..40 {
        let events: Vec<String> =
            (0..20).map(|event| format!(r#""e{number}-{event}":{{"count":1,"sum":1e308}},"slow_{event}":{{}}"#)).collect();
        heard.take(1, &ruleset, &message("a", 2 + number, &row("checkout", 7, 1, &events.join(","))), "n", NOW);
    }
    let rows = seconds(&mut heard, NOW);
    assert_eq!(rows[0].2.watched.len(), 9, "eight, and the one that the ruleset names");
    let counts = &rows[0].2.watched[0].counts;
    assert_eq!((counts.requests, counts.named.len(), counts.slow.len()), (41, NAMES, 20));
}
