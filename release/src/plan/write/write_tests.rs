use super::*;
use crate::plan::read;

const YAML: &str = include_str!("../../../testdata/checkout.yaml");
const FILLED: &str = include_str!("../../../testdata/checkout.md");

fn plan(media: Media, text: &str) -> Plan {
    let reading = read(media, text);
    assert_eq!(reading.faults, [], "{text}");
    reading.plan.unwrap()
}

#[test]
fn what_is_written_reads_as_the_same_plan() {
    for first in [plan(Media::Yaml, YAML), plan(Media::Markdown, FILLED)] {
        for media in [Media::Yaml, Media::Json, Media::Markdown] {
            let text = write(media, &first);
            let mut second = plan(media, &text);
            // In Markdown, the runbook follows the template's order.
            if media == Media::Markdown {
                let mut runbook = first.runbook.0.clone();
                runbook.sort();
                second.runbook.0.sort();
                assert_eq!(second.runbook.0, runbook);
                second.runbook = first.runbook.clone();
            }
            assert_eq!(second, first, "{text}");
            assert_eq!(write(media, &second), text);
        }
    }
}

#[test]
fn canonical_yaml_is_as_people_write_it() {
    let text = write(Media::Yaml, &plan(Media::Yaml, YAML));
    for line in [
        "plan: DP-123-checkout\n",
        "  - { group: code readiness, gate: start, items: [All tests passing in CI/CD, Code reviewed and approved] }\n",
        "  - { cohorts: [internal-users], percentage: 0.1, bake: 15m }\n",
        "  - { percentage: 10, bake: 4h, not_before: \"2026-12-01 16:00\" }\n",
        "  - { percentage: 50, bake: overnight }\n",
        "  - { name: high_error_rate, condition: \"error_rate > 1%\", action: page_on_call }\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn nothing_happened_nothing_changed() {
    assert_eq!(write_back(FILLED, &Progress::default()), FILLED);
    assert_eq!(write_back("# no plan", &Progress::default()), "# no plan");
}

#[test]
fn what_happened_is_noted_where_it_was_planned() {
    let at = |text: &str| text.parse().unwrap();
    let mut progress = Progress {
        ticks: vec![Tick { item: "security-scan-completed".to_owned(), by: "anna".to_owned(), at: at("2026-11-30T13:03:00Z") }],
        steps: vec![StepProgress {
            step: 1,
            from: at("2026-12-01T13:00:00Z"),
            to: None,
            figures: "120 requests, error rate 0.1 %".to_owned(),
        }],
    };
    let once = write_back(FILLED, &progress);
    let changed: Vec<&str> = once.lines().zip(FILLED.lines()).filter(|(new, old)| new != old).map(|(new, _)| new).collect();
    assert_eq!(
        changed,
        [
            "- [x] Security scan completed *(anna, 2026-11-30 14:03)*",
            "2. Increase to 1% of users *(since 2026-12-01 14:00: 120 requests, error rate 0.1 %)*",
            "| Canary | 2026-12-01 14:00 *(2026-12-01 14:00)* | Deploy to 1% | No errors |",
        ]
    );
    assert_eq!(once.lines().count(), FILLED.lines().count());
    assert_eq!(write_back(&once, &progress), once);
    progress.steps[0].to = Some(at("2026-12-01T14:02:00Z"));
    let twice = write_back(&once, &progress);
    assert!(
        twice.contains("2. Increase to 1% of users *(2026-12-01 14:00 to 2026-12-01 15:02: 120 requests, error rate 0.1 %)*\n"),
        "{twice}"
    );
    let mut read_again = plan(Media::Markdown, &twice);
    assert!(read_again.checklists[0].items[2].done);
    read_again.checklists[0].items[2].done = false;
    assert_eq!(read_again, plan(Media::Markdown, FILLED));
}
