use super::*;
use crate::plan::{Approach, Bake, Gate, Span};

const PLAN: &str = include_str!("../../../testdata/checkout.yaml");

fn faults(text: &str) -> Vec<(usize, usize, String)> {
    read(Media::Yaml, text).faults.into_iter().map(|fault| (fault.line, fault.column, fault.detail)).collect()
}

/// The one fault of the plan with `from` replaced, found at the column of `at` in the changed line.
fn fault_at(from: &str, to: &str, at: &str) -> String {
    assert!(PLAN.contains(from), "{from}");
    let text = PLAN.replacen(from, to, 1);
    let found = faults(&text);
    assert_eq!(found.len(), 1, "{to}: {found:?}");
    let (line, column, detail) = found[0].clone();
    let wanted = text.lines().nth(line - 1).unwrap().find(at).map(|index| index + 1);
    assert_eq!(Some(column), wanted, "{to}: {detail} in line {line}");
    detail
}

#[test]
fn the_plan_of_the_documentation() {
    let reading = read(Media::Yaml, PLAN);
    assert_eq!(reading.faults, []);
    let plan = reading.plan.unwrap();
    assert_eq!((plan.plan.as_str(), plan.approach, plan.steps.len()), ("DP-123-checkout", Approach::FeatureFlag, 5));
    assert_eq!(plan.steps[0].cohorts, ["internal-users"]);
    assert_eq!(plan.steps[0].bake, Bake::For(Span::from_minutes(15)));
    assert_eq!(plan.steps[3].bake, Bake::Overnight);
    assert_eq!(plan.limits_ms(), [200, 500, 1000]);
    assert_eq!(plan.open_items(Gate::Start).len(), 2);
    assert_eq!(reading.assumed, ["calendar.morning: 08:00", "next day: 24 h after the end"]);
}

#[test]
fn faults_stand_where_they_are() {
    for (from, to, at, part) in [
        ("steps:", "stesp:", "stesp", "did you mean steps"),
        ("percentage: 1, ", "percentag: 1, ", "percentag", "did you mean percentage"),
        ("\"success_rate < 95%\"", "\"sucess_rate < 95%\"", "sucess_rate", "did you mean success_rate"),
        ("\"success_rate < 95%\"", "\"success_rate > 95%\"", "\"success_rate > 95", "did you mean \"success_rate < 95%\""),
        ("error_rate > 1%\"", "error_rate > 1\"", "\", action", "percent"),
        ("Europe/Berlin", "Europe/Berlim", "Europe", "no time zone"),
        ("percentage: 50,", "percentage: 5,", "5, ", "only rise"),
        ("percentage: 50,", "percentage: 10,", "10, ", "twice"),
        ("percentage: 50,", "percentage: 50.00001,", "50.0", "four decimals"),
        ("percentage: 50,", "percentage: \"50%\",", "\"50%", "a number"),
        ("bake: overnight", "bake: overnite", "overnite", "overnight"),
        ("mon-thu 09:00-17:00", "mon-thu 9-17", "mon-thu", "mon-thu 09:00-17:00"),
        ("2026-12-01 16:00", "2026-12-05 16:00", "\"2026", "cannot be met"),
        ("\"error_rate < 0.1%\"", "\"error_rate < 6%\"", "\"error_rate < 6", "turns back"),
        ("name: slow_response", "name: high_error_rate", "high_error", "two alerts"),
        ("page_on_call", "page_oncall", "page_oncall", "did you mean page_on_call"),
        ("every 30m", "evry 30m", "evry", "did you mean every 30m"),
        ("story: US-123-checkout", "story: US-XXX-checkout", "XXX", "placeholder"),
        ("gate: start", "gate: begin", "begin", "start, complete"),
        ("risk: medium", "risk: medum", "medum", "did you mean medium"),
        ("rollback_time: 1m", "rollback_time: \"[soon]\"", "\"[soon", "fill it in"),
        ("unless_control_fails: true", "unless_control_fails: yes", "yes", "true or false"),
    ] {
        // A typo in the key of what is required is a second fault: what is missing.
        if from == "steps:" || from.starts_with("percentage: 1,") {
            let text = PLAN.replacen(from, to, 1);
            let found = faults(&text);
            assert!(found.iter().any(|(_, _, detail)| detail.contains(part)), "{to}: {found:?}");
            continue;
        }
        let detail = fault_at(from, to, at);
        assert!(detail.contains(part), "{to}: {detail}");
    }
}

#[test]
fn all_faults_are_told_at_once() {
    let text = PLAN
        .replacen("Europe/Berlin", "Mars/Olympus", 1)
        .replacen("percentage: 50,", "percentage: 5,", 1)
        .replacen("risk: medium", "rsik: medium", 1)
        .replacen("error_rate > 5%", "eror_rate > 5%", 1);
    assert_eq!(faults(&text).len(), 4, "{:?}", faults(&text));
}

#[test]
fn dates_that_bakes_cannot_meet() {
    let steps = "plan: A\nflag: f\ntriggers: none\ncalendar: { timezone: Europe/Berlin, steps_only: mon-thu 09:00-17:00 }\nsteps:\n";
    let dated = |first: &str, bake: &str, second: &str| {
        faults(&format!(
            "{steps}  - {{ percentage: 1, bake: {bake}, not_before: \"{first}\" }}\n  - {{ percentage: 10, not_before: \"{second}\" }}\n"
        ))
    };
    assert_eq!(dated("2026-12-01 09:00", "4h", "2026-12-01 13:00"), []);
    let found = dated("2026-12-01 09:00", "4h", "2026-12-01 12:59");
    assert_eq!((found[0].0, found[0].1), (7, 35));
    assert!(found[0].2.contains("2026-12-01 13:00"), "{found:?}");
    // 16:00 and 4 h leave the allowed hours: the next morning's 09:00 is the first moment.
    assert!(dated("2026-12-01 16:00", "4h", "2026-12-01 20:00")[0].2.contains("2026-12-02 09:00"));
    assert_eq!(dated("2026-12-01 16:00", "overnight", "2026-12-02 09:00"), []);
    assert!(dated("2026-12-03 16:00", "overnight", "2026-12-04 09:00")[0].2.contains("2026-12-07 09:00"));
}

#[test]
fn another_approach_is_kept_and_not_executed() {
    let text = "plan: DP-1-a\nstory: US-1-a\napproach: Blue-Green\n";
    let reading = read(Media::Yaml, text);
    assert_eq!(reading.faults, []);
    assert_eq!(reading.plan.map(|plan| plan.approach), Some(Approach::BlueGreen));
    let why = reading.not_executable.unwrap();
    assert_eq!((why.line, why.column), (3, 11));
    assert!(why.detail.contains("cannot be executed here"), "{why:?}");
}

#[test]
fn what_is_left_out_is_assumed_and_told() {
    let reading = read(Media::Yaml, "plan: A\nflag: f\nsteps: [{ percentage: 1 }, { percentage: 2 }]\n");
    assert_eq!(reading.faults, []);
    let plan = reading.plan.unwrap();
    assert_eq!(plan.triggers.len(), 2);
    assert_eq!(
        reading.assumed,
        [
            "approach: feature_flag",
            "bake of step 1: 15m",
            "bake of step 2: 1h",
            "calendar.timezone: UTC",
            "calendar.overnight_ends: 08:00",
            "calendar.morning: 08:00",
            "rollback_time: 1m",
            "triggers: error_rate > 1.25x control",
            "triggers: slow(1000ms) > 1.25x control",
        ]
    );
    let none = read(Media::Yaml, "plan: A\nflag: f\nsteps: [{ percentage: 1 }]\ntriggers: [error_rate > 5%]\nrelative_triggers: none\n");
    assert_eq!(none.plan.map(|plan| plan.triggers.len()), Some(1));
}

#[test]
fn contradictions_about_triggers() {
    let base = "plan: A\nflag: f\nsteps: [{ percentage: 1 }]\n";
    for (text, part) in [
        ("triggers: []\n", "triggers: none"),
        ("relative_triggers: none\n", "triggers: none"),
        ("triggers: [error_rate > 2x control]\nrelative_triggers: none\n", "contradicts"),
        ("triggers: [error_rate > 5%, error_rate > 5.0%]\n", "twice"),
        (
            "triggers: [p50_latency > 1ms, p50_latency > 2ms, p50_latency > 3ms, p50_latency > 4ms, p50_latency > 5ms, p50_latency > 6ms, p50_latency > 7ms, p50_latency > 8ms]\n",
            "more than 8",
        ),
    ] {
        let found = faults(&format!("{base}{text}"));
        assert!(found.iter().any(|(_, _, detail)| detail.contains(part)), "{text}: {found:?}");
    }
}

#[test]
fn what_is_no_document_is_one_fault() {
    for (media, text) in [(Media::Yaml, "a: [1"), (Media::Json, "{"), (Media::Yaml, ""), (Media::Json, "[]")] {
        let reading = read(media, text);
        assert!(reading.plan.is_none());
        assert_eq!(reading.faults.len(), 1, "{text:?}: {:?}", reading.faults);
    }
    assert!(read(Media::Yaml, &"a".repeat(LONGEST_DOCUMENT + 1)).faults[0].detail.contains("256 KiB"));
}
