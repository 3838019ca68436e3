use crate::plan::{Audience, Bake, Fault, Gate, Kind, Media, Plan, Reading, Span, When, calendar::read_local, read};

const FILLED: &str = include_str!("../../../../testdata/checkout.md");
const TEMPLATE: &str = include_str!("../../../../testdata/template.md");

fn plan() -> Plan {
    let reading = read(Media::Markdown, FILLED);
    assert_eq!(reading.faults, []);
    reading.plan.unwrap()
}

/// What is wrong with the filled-in plan when `from` is replaced.
fn broken(from: &str, to: &str) -> Reading {
    assert!(FILLED.contains(from), "{from}");
    read(Media::Markdown, &FILLED.replacen(from, to, 1))
}

#[test]
fn head_and_checklists() {
    let plan = plan();
    assert_eq!((plan.plan.as_str(), plan.flag.as_str()), ("DP-123-checkout", "US-123-checkout"));
    assert_eq!(plan.story.as_deref(), Some("US-123-checkout"));
    assert_eq!(plan.references.get("implementation_plan"), Some("IP-123-checkout"));
    assert_eq!(plan.references.get("test_results"), Some("All tests passing in build phase"));
    assert_eq!(plan.rollback_time, Span::from_minutes(2));
    let groups: Vec<(&str, Gate, usize)> = plan.checklists.iter().map(|list| (list.group.as_str(), list.gate, list.items.len())).collect();
    assert_eq!(
        groups,
        [
            ("code readiness", Gate::Start, 5),
            ("infrastructure readiness", Gate::Start, 5),
            ("validation checklist", Gate::Complete, 5),
            ("success criteria", Gate::Complete, 6)
        ]
    );
    assert_eq!(plan.open_items(Gate::Start).len(), 10);
    assert_eq!(plan.items(Gate::Start).next().unwrap().id, "all-tests-passing-in-ci-cd");
}

#[test]
fn steps_with_their_bakes_dates_and_settings() {
    let plan = plan();
    let steps: Vec<(f64, Bake)> = plan.steps.iter().map(|step| (step.percentage.percent(), step.bake)).collect();
    let minutes = |minutes| Bake::For(Span::from_minutes(minutes));
    assert_eq!(steps, [(0.1, minutes(15)), (1.0, minutes(60)), (10.0, minutes(240)), (50.0, Bake::Overnight), (100.0, minutes(120))]);
    assert_eq!(plan.steps[0].cohorts, ["internal-users"]);
    assert!(plan.steps[3].approval && !plan.steps[4].approval);
    assert_eq!(plan.steps[1].not_before, read_local("2026-12-01 14:00"));
    assert_eq!(plan.steps[2].not_before, read_local("2026-12-01 16:00"));
    assert_eq!(plan.steps[4].not_before, read_local("2026-12-02 10:00"));
}

#[test]
fn what_is_watched_and_who_is_told() {
    let plan = plan();
    let texts = |conditions: &[crate::plan::Condition]| conditions.iter().map(|condition| condition.text.clone()).collect::<Vec<_>>();
    assert_eq!(texts(&plan.targets), ["error_rate < 0.1%", "p95_latency < 200ms", "success_rate > 99.9%"]);
    assert_eq!(texts(&plan.triggers), ["error_rate > 5%", "p95_latency > 1000ms", "success_rate < 95%", "slow(1000ms) > 1.25x control"]);
    assert_eq!(plan.watch, ["User engagement", "Feature adoption rate", "Conversion metrics"]);
    assert_eq!(plan.alerts.len(), 2);
    assert!(plan.unless_control_fails);
    let told: Vec<(Kind, Audience, When)> = plan.communication.iter().map(|message| (message.kind, message.to, message.when)).collect();
    assert_eq!(
        told,
        [
            (Kind::Announcement, Audience::Team, When::Before(Span::from_minutes(60))),
            (Kind::Announcement, Audience::Stakeholders, When::MorningOfDeployment),
            (Kind::Status, Audience::Team, When::Every(Span::from_minutes(30))),
            (Kind::Escalation, Audience::OnCall, When::Immediately),
            (Kind::Success, Audience::Team, When::UponCompletion),
            (Kind::Report, Audience::Stakeholders, When::NextDay),
        ]
    );
    let names: Vec<&str> = plan.runbook.0.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["pre_deployment", "deploy_to_staging", "rollback", "data_rollback", "smoke_tests"]);
    assert!(plan.runbook.get("data_rollback").unwrap().ends_with("WHERE state = 'held';"));
}

#[test]
fn another_option_is_kept_not_executed() {
    let reading = read(Media::Markdown, FILLED);
    let kept: Vec<(usize, &str)> = reading.kept.iter().map(|kept| (kept.line, kept.text.lines().nth(1).unwrap_or(&kept.text))).collect();
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert!(kept[0].1.contains("Deploy to canary instance"));
    assert!(kept[1].1.contains("Staging"), "{kept:?}");
}

#[test]
fn the_bare_template_tells_every_placeholder() {
    let reading = read(Media::Markdown, TEMPLATE);
    assert!(reading.plan.is_none());
    let found: Vec<(usize, &str)> = reading.faults.iter().map(|fault| (fault.line, fault.detail.as_str())).collect();
    for (line, part) in
        [(1, "XXX"), (1, "[story-name]"), (13, "[Canary/"), (14, "[Low/"), (15, "[X minutes]"), (47, "[version]"), (58, "XXX")]
    {
        assert!(found.iter().any(|(known, detail)| *known == line && detail.starts_with(part)), "{line} {part}: {found:?}");
    }
    for (line, text) in TEMPLATE.lines().enumerate().map(|(index, text)| (index + 1, text)) {
        if text.contains("[Date") {
            assert_eq!(found.iter().filter(|(known, _)| *known == line).count(), 1, "{line}: {found:?}");
        }
    }
    assert!(!found.iter().any(|(_, detail)| !detail.contains("placeholder")), "{found:?}");
}

#[test]
fn faults_stand_in_the_document() {
    for (from, to, line_with, column_of, part) in [
        ("Error rate > 5%", "Eror rate > 5%", "Eror", "Eror", "did you mean error_rate"),
        ("Success rate < 95%", "Success rate > 95%", "> 95%", "Success", "success_rate < 95%"),
        ("Increase to 50%", "Increase to 5%", "Increase to 5%", "5%", "only rise"),
        ("Increase to 50%", "Increase to fifty%", "fifty", "Increase", "percentage"),
        ("Monitor for 4 hours", "Monitor for four hours", "four", "Monitor", "Monitor for 1 hour"),
        ("Europe/Berlin", "Europe/Bärlin", "Bärlin", "Europe", "no time zone"),
        ("2026-12-01 16:00", "2026-12-01 14:30", "14:30", "2026", "cannot be met"),
        ("Every 30 minutes", "Every half hour", "half hour", "Every", "no time to tell"),
        ("error_rate > 1%", "error_rate > 1ms", "condition: error_rate", "ms", "percent"),
        ("Deploy to 1% |", "Deploy to 2% |", "Deploy to 2%", "| Canary", "no step"),
        ("percentage: 50, approval: true", "percentage: 51, approval: true", "51", "{ perc", "no step"),
        ("percentage: 50, approval: true", "percentage: 50, bake: 1h", "50, bake", "bake", "one place"),
        ("unless_control_fails", "unless_controll_fails", "controll", "unless", "did you mean unless_control_fails"),
        ("**Rollback Time**: 2 minutes", "**Rollback Time**: two minutes", "two", "two", "length of time"),
        ("Feature Flag\n", "Featur Flag\n", "Featur", "Featur", "did you mean feature_flag"),
        ("- [ ] Code reviewed", "- [ ] All tests passing in CI/CD\n- [ ] Code reviewed", "All tests passing in CI", "All", "twice"),
    ] {
        let reading = broken(from, to);
        let text = FILLED.replacen(from, to, 1);
        let fault = reading.faults.iter().find(|fault| fault.detail.contains(part)).unwrap_or_else(|| panic!("{to}: {:?}", reading.faults));
        let line = text.lines().nth(fault.line - 1).unwrap();
        assert!(line.contains(line_with), "{to}: {line:?} {fault:?}");
        let column = line.find(column_of).map(|index| line[..index].chars().count() + 1);
        assert_eq!(Some(fault.column), column, "{to}: {fault:?}");
        // The settings name the step of 50 %: without it, they are at fault too.
        let expected = if from == "Increase to 50%" { 2 } else { 1 };
        assert_eq!(reading.faults.len(), expected, "{to}: {:?}", reading.faults);
    }
}

#[test]
fn a_canary_plan_is_kept_and_cannot_be_executed() {
    let text = FILLED.replacen("**Approach**: Feature Flag", "**Approach**: Canary", 1).replace("VERSION=[version]", "VERSION=1");
    let reading = read(Media::Markdown, &text);
    assert_eq!(reading.faults, []);
    let Fault { line, column, detail, .. } = reading.not_executable.unwrap();
    assert_eq!((line, column), (13, 15), "{detail}");
    assert!(detail.contains("Canary cannot be executed here"), "{detail}");
}

#[test]
fn ticked_boxes_are_no_longer_open() {
    let reading = broken("- [ ] Security scan completed", "- [x] Security scan completed *(anna, 2026-11-30 14:03)*");
    assert_eq!(reading.faults, []);
    let plan = reading.plan.unwrap();
    assert_eq!(plan.open_items(Gate::Start).len(), 9);
    assert_eq!(plan.checklists[0].items[2].text, "Security scan completed");
}

#[test]
fn unknown_text_is_kept() {
    let reading = broken("## Success Criteria", "Call Bob first.\n\n## Risks\n\nBob is away.\n\n- All of December\n\n## Success Criteria");
    assert_eq!(reading.faults, []);
    let kept: Vec<&str> = reading.kept.iter().map(|kept| kept.text.as_str()).collect();
    assert!(kept.contains(&"Call Bob first.") && kept.contains(&"Bob is away.\n\n- All of December"), "{kept:?}");
}
