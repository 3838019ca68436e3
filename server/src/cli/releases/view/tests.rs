//! What is shown of a release in each of its states, word for word, on a narrow and on a wide terminal: in `golden/`.
//! `UPDATE_GOLDEN=1` writes these files anew.

use std::path::Path;

use serde_json::{Value, json};

use super::{super::shape::Entry, *};

/// A release at its third step; what differs is said by the case.
fn release(differs: Value) -> Release {
    let mut release = json!({
        "release": "DP-123-checkout-1", "plan": "DP-123-checkout", "flag": "US-123-checkout", "number": 7, "phase": "running",
        "state": "baking", "ended": false, "created_at": "2026-11-30T08:00:00Z", "created_by": "mia", "time_scale": 1,
        "started_at": "2026-12-01T08:00:00Z",
        "step": {"number": 3, "of": 5, "percentage": 10, "cohorts": [], "since": "2026-12-01T09:20:00Z", "bake_ms": 14_400_000,
            "baked_ms": 3_600_000, "approved": false},
        "steps": [
            {"number": 1, "percentage": 0.1, "cohorts": ["internal-users"], "bake_ms": 900_000, "taken_at": "2026-12-01T08:00:00Z", "over_at": "2026-12-01T08:15:01Z"},
            {"number": 2, "percentage": 1, "bake_ms": 3_600_000, "taken_at": "2026-12-01T08:15:01Z", "over_at": "2026-12-01T09:20:00Z"},
            {"number": 3, "percentage": 10, "bake_ms": 14_400_000, "taken_at": "2026-12-01T09:20:00Z"},
            {"number": 4, "percentage": 50, "bake_ms": 28_800_000, "overnight": true, "not_before": "2026-12-01T15:00:00Z"},
            {"number": 5, "percentage": 100, "bake_ms": 3_600_000, "approval": true}],
        "next": {"percentage": 50, "earliest_at": "2026-12-02T07:00:00Z", "left_ms": 10_800_000},
        "evidence": "error_rate 0.3 % (3 of 1,000 requests), control 0.4 %",
        "triggers": [
            {"name": "error_rate > 5%", "kind": "absolute", "e": 0.0, "turns_back_at": 1000, "bar": 0.0, "shown_to_hold": true},
            {"name": "p95_latency > 1000ms", "kind": "absolute", "e": 1.2, "turns_back_at": 1000, "bar": 0.03, "shown_to_hold": false},
            {"name": "error_rate > 1.25x control", "kind": "relative", "e": 12.3, "turns_back_at": 1000, "bar": 0.36},
            {"name": "prometheus(\"queue_depth\") > 300 for 5m", "kind": "reading", "turns_back_at": 1000, "bar": 0.0, "last": "240.5"}],
        "arms": {
            "treatment": {"requests": 1010, "success": 992, "failure": 5, "error": 3, "cancelled": 10, "slow": {"200": 0.04, "1000": 0.0005}, "new_units": 812, "per_s": 12.5},
            "control": {"requests": 9100, "success": 9000, "failure": 64, "error": 36, "slow": {"200": 0.041, "1000": 0.001}, "new_units": 7300, "per_s": 113},
            "cohort": {"requests": 0}},
        "health": {"instances": 2, "current": 2, "behind": 0, "behind_names": [], "healthy": true},
        "alerts": [{"name": "high_error_rate", "condition": "error_rate > 1%", "open": false}],
        "checklist": [{"item": "rollback-plan-tested", "text": "Rollback plan tested", "gate": "start", "done": true}]
    });
    for (name, value) in differs.as_object().cloned().unwrap_or_default() {
        release[name] = value;
    }
    Release::read(&release.to_string()).unwrap()
}

fn timeline() -> Vec<Entry> {
    let entries = [
        json!({"kind": "transition", "at": "2026-11-30T08:00:00Z", "number": 1, "to": "scheduled", "actor": "mia", "text": "created"}),
        json!({"kind": "transition", "at": "2026-12-01T08:00:00Z", "number": 2, "to": "baking", "step": 1, "percentage": 0.1, "actor": "mia", "text": "no traffic counted before the start"}),
        json!({"kind": "transition", "at": "2026-12-01T08:15:01Z", "number": 5, "to": "baking", "step": 2, "percentage": 1, "text": "error_rate 0.2 % (1 of 420 requests), control 0.3 %"}),
        json!({"kind": "change", "at": "2026-12-01T08:40:00Z", "actor": "ann", "text": "rules changed", "revision": 815}),
        json!({"kind": "notice", "at": "2026-12-01T09:00:00Z", "audience": "on_call", "text": "alert high_error_rate opened"}),
        json!({"kind": "transition", "at": "2026-12-01T09:20:00Z", "number": 7, "to": "baking", "step": 3, "percentage": 10, "text": "error_rate 0.3 % (3 of 1,000 requests), control 0.4 %"}),
    ];
    entries.iter().map(|entry| Entry::read(&entry.to_string()).unwrap()).collect()
}

fn shown(release: &Release, columns: usize) -> String {
    let now = "2026-12-01T10:20:00Z".parse().unwrap();
    let page = Page { release, environment: "production", timeline: &timeline(), now, columns };
    page.lines().iter().map(|line| line.render(false) + "\n").collect()
}

#[track_caller]
fn check(name: &str, differs: Value) {
    let release = release(differs);
    for columns in [50, 100] {
        let shown = shown(&release, columns);
        assert!(shown.lines().all(|line| line.chars().count() <= columns), "{shown}");
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/cli/releases/view/golden/{name}-{columns}.txt"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&file, &shown).unwrap();
        }
        let golden = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(shown, golden, "{}: UPDATE_GOLDEN=1 writes it anew", file.display());
    }
}

#[test]
fn scheduled() {
    let open = json!([{"item": "a", "text": "All tests passing", "gate": "start", "done": false}, {"item": "b", "text": "User feedback positive", "gate": "complete"}]);
    check(
        "scheduled",
        json!({"phase": "scheduled", "state": "scheduled", "step": null, "next": null, "started_at": null, "number": 0, "evidence": "",
        "start_at": "2026-12-02T09:00:00Z", "checklist": open, "triggers": [], "arms": {}, "time_scale": 600,
        "steps": [{"number": 1, "percentage": 0.1, "bake_ms": 1500, "cohorts": ["internal-users", "partners"]}, {"number": 2, "percentage": 100, "bake_ms": 6000}]}),
    );
}

#[test]
fn baking() {
    check("baking", json!({}));
}

#[test]
fn holding_without_data() {
    check(
        "no-data",
        json!({"state": "holding: no data", "health": {"instances": 2, "current": 1, "behind": 1, "behind_names": ["pod-7"], "healthy": false},
        "next": {"percentage": 50, "left_ms": 10_800_000}, "alerts": [{"name": "high_error_rate", "condition": "error_rate > 1%", "open": true}]}),
    );
}

#[test]
fn awaiting_approval_for_want_of_evidence() {
    let step = json!({"number": 1, "of": 5, "percentage": 0.1, "since": "2026-12-01T08:00:00Z", "bake_ms": 900_000, "baked_ms": 1_800_000});
    check(
        "thin-evidence",
        json!({"state": "awaiting approval: thin evidence", "step": step, "next": {"percentage": 1, "left_ms": 0},
        "evidence": "error_rate > 5%: 0 of 40 requests, 116 without any would show it",
        "arms": {"treatment": {"requests": 40, "success": 40, "new_units": 12}, "cohort": {"requests": 7, "success": 7}}}),
    );
}

#[test]
fn paused() {
    check("paused", json!({"phase": "paused", "state": "paused"}));
}

#[test]
fn rolling_back() {
    let cause = json!({"kind": "trigger", "name": "error_rate > 1.25x control", "evidence": "error first in 98 units (control 91): 9.7x control > 1.25x control; e = 1,203"});
    let triggers = json!([{"name": "error_rate > 1.25x control", "kind": "relative", "e": 1203.4, "turns_back_at": 1000, "bar": 1.0}]);
    check(
        "rolling-back",
        json!({"phase": "rolling_back", "state": "rolling back", "cause": cause, "triggers": triggers, "next": null,
        "rollback": {"verified": false, "silent": [], "planned_ms": 60_000}}),
    );
}

#[test]
fn rolled_back_and_not_verified() {
    let cause = json!({"kind": "command", "by": "mia", "evidence": "rolled back by mia: checkout looks odd"});
    check(
        "not-verified",
        json!({"phase": "rolled_back", "state": "rolled back, not verified", "ended": true, "ended_at": "2026-12-01T10:19:00Z", "next": null,
        "cause": cause, "rollback": {"verified": false, "silent": ["pod-7", "pod-9"], "took_ms": 61_400, "planned_ms": 60_000}}),
    );
}

#[test]
fn rolled_back_and_verified() {
    let cause = json!({"kind": "kill", "by": "mia"});
    check(
        "verified",
        json!({"phase": "rolled_back", "state": "rolled back", "ended": true, "ended_at": "2026-12-01T10:19:00Z", "next": null, "cause": cause,
        "rollback": {"verified": true, "took_ms": 1_400, "planned_ms": 60_000}}),
    );
}

#[test]
fn completed_and_not_proven() {
    let step =
        json!({"number": 5, "of": 5, "percentage": 100, "since": "2026-12-02T08:00:00Z", "bake_ms": 3_600_000, "baked_ms": 3_601_000});
    check(
        "not-proven",
        json!({"phase": "completed", "state": "completed", "ended": true, "ended_at": "2026-12-02T09:00:01Z", "step": step, "next": null, "targets": "not proven"}),
    );
}

#[test]
fn at_the_last_step() {
    let step = json!({"number": 5, "of": 5, "percentage": 100, "since": "2026-12-01T10:00:00Z", "bake_ms": 3_600_000, "baked_ms": 1_200_000, "approved": true});
    let arms = json!({"treatment": {"requests": 100, "success": 100, "slow": {"1000": 0.0}}});
    let next = json!({"percentage": null, "earliest_at": "2026-12-01T11:00:00Z", "left_ms": 2_400_000});
    check("last-step", json!({"step": step, "next": next, "arms": arms}));
}

#[test]
fn nothing_is_asked_of_what_a_service_does_not_tell() {
    let release = Release::read(r#"{"release": "DP-1-1"}"#).unwrap();
    assert!(shown(&release, 100).starts_with("DP-1-1 in production\n"), "{}", shown(&release, 100));
    shown(&release, 0);
}

#[test]
fn what_others_wrote_cannot_speak_to_the_terminal() {
    let text = shown(&release(json!({"evidence": "\u{1b}[2J", "flag": "a\nb"})), 100);
    assert!(!text.contains('\u{1b}') && text.contains("flag a\u{fffd}b"), "{text}");
}
