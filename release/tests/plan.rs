//! Plans under any input: a reading for every text, and every plan back from every document that is written of it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use jiff::civil::{Time, date};
use proptest::{collection::vec, prelude::*, sample::select};
use storyflag_evaluation::Percentage;
use storyflag_release::plan::{
    Action, Alert, Approach, Audience, Bake, Calendar, Checklist, Condition, Entries, Gate, Item, Kind, Media, Message, Plan, Progress,
    Risk, Span, Step, Tick, When, calendar::time_zone, read, write, write_back,
};

const DOCUMENTS: [(Media, &str); 3] = [
    (Media::Yaml, include_str!("../testdata/checkout.yaml")),
    (Media::Markdown, include_str!("../testdata/checkout.md")),
    (Media::Markdown, include_str!("../testdata/template.md")),
];

const MEDIA: [Media; 3] = [Media::Yaml, Media::Json, Media::Markdown];

/// A text as a human may write it: letters, and what documents give a meaning.
const TEXT: &str = "[a-zA-Z0-9äß \"'#:%*_|`<>{}\\[\\],.()\\\\&!?~@/-]{1,30}";

/// What gives documents their structure.
const TOKENS: [&str; 43] = [
    "a",
    ":",
    " ",
    "\n",
    "\n  ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    ",",
    "\"",
    "'",
    "|",
    ">",
    "&x",
    "*x",
    "!t",
    "#",
    "---",
    "...",
    "%",
    "?",
    "\t",
    "\r\n",
    "# ",
    "## Deployment Steps\n",
    "1. ",
    "**",
    "```\n",
    "```yaml\n",
    "| a | b |\n",
    "|-|-|\n",
    "- [ ] ",
    "- [x] ",
    " *(",
    ")*",
    "é",
    "\u{0}",
    "## Release Settings\n",
    "1%",
    "steps",
    "percentage",
];

fn check(media: Media, text: &str) -> Result<(), TestCaseError> {
    let reading = read(media, text);
    prop_assert_eq!(reading.plan.is_none(), !reading.faults.is_empty());
    let lines: Vec<&str> = text.split('\n').collect();
    for fault in &reading.faults {
        // The end of a document may be the line after its last.
        prop_assert!((1..=lines.len() + 1).contains(&fault.line) && fault.column >= 1, "{:?}", fault);
        let line = lines.get(fault.line - 1).copied().unwrap_or_default();
        prop_assert!(fault.column <= line.chars().count() + 2, "{:?} in {:?}", fault, line);
    }
    if media == Media::Markdown {
        prop_assert_eq!(write_back(text, &Progress::default()), text);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read(text in "\\PC{0,200}", tokens in vec(select(TOKENS.to_vec()), 0..40)) {
        let tokens = tokens.concat();
        for media in MEDIA {
            check(media, &text)?;
            check(media, &tokens)?;
        }
    }

    #[test]
    fn any_change_of_a_plan_is_read(
        document in 0..3_usize,
        from in any::<prop::sample::Index>(),
        length in 0..40_usize,
        with in "\\PC{0,6}|\n|```|1%|- ",
    ) {
        let (media, text) = DOCUMENTS[document];
        let starts: Vec<usize> = text.char_indices().map(|(index, _)| index).collect();
        let first = from.index(starts.len());
        let end = starts.get(first + length).copied().unwrap_or(text.len());
        check(media, &format!("{}{with}{}", &text[..starts[first]], &text[end..]))?;
    }

    #[test]
    fn every_plan_comes_back(plan in any_plan()) {
        for media in MEDIA {
            let text = write(media, &plan);
            let reading = read(media, &text);
            prop_assert_eq!(&reading.faults, &[], "{}", text);
            let (mut first, mut again) = (plan.clone(), reading.plan.unwrap());
            if media == Media::Markdown {
                // The template has an order of its own for commands, messages and lists.
                sort(&mut first);
                sort(&mut again);
            }
            prop_assert_eq!(&again, &first, "{}", text);
        }
    }
}

fn sort(plan: &mut Plan) {
    plan.runbook.0.sort();
    plan.communication.sort_by_key(|message| (message.kind.name(), message.to.name(), message.when.to_string()));
    plan.checklists.sort_by_key(|list| (list.gate == Gate::Complete, list.group.clone()));
}

fn any_plan() -> impl Strategy<Value = Plan> {
    let risk = prop::option::of(select(vec![Risk::Low, Risk::Medium, Risk::High]));
    let head = (prop::option::of(TEXT.prop_map(trimmed)), any_entries(), risk, 1..5000_u64, any_triggers());
    let body = (any_checklists(), any_steps(), vec(TEXT.prop_map(trimmed), 0..3), any_entries(), any_messages(), any::<bool>());
    (head, body).prop_map(|((story, references, risk, minutes, triggers), (checklists, steps, watch, runbook, communication, guarded))| {
        Plan {
            plan: "DP-1_a.b".to_owned(),
            story,
            references,
            flag: "US-1-a".to_owned(),
            approach: Approach::FeatureFlag,
            risk,
            rollback_time: Span::from_minutes(minutes),
            checklists,
            steps,
            calendar: Calendar { timezone: time_zone("Asia/Kolkata").unwrap(), morning: Time::constant(7, 5, 0, 0), ..Calendar::default() },
            targets: conditions(&["error_rate < 0.1%", "slow(30ms) < 2.5%", "event(a) > 0.9x control"]),
            relative_triggers: triggers.is_empty() || triggers.iter().any(Condition::is_relative),
            triggers,
            unless_control_fails: guarded,
            alerts: vec![Alert {
                name: "slow: \"p95\"".to_owned(),
                condition: conditions(&["p95_latency > 500ms"]).remove(0),
                action: Action::NotifyTeam,
            }],
            watch,
            communication,
            runbook,
        }
    })
}

fn conditions(texts: &[&str]) -> Vec<Condition> {
    texts.iter().map(|text| Condition::parse(text).unwrap()).collect()
}

fn any_triggers() -> impl Strategy<Value = Vec<Condition>> {
    prop_oneof![
        Just(Vec::new()),
        Just(conditions(&["error_rate > 5%", "prometheus(\"a *(b) > \\\"c\\\"\") > 3 for 5m", "slow(1000ms) > 1.25x control"])),
        Just(conditions(&["p99_latency > 60000ms", "event(a/b) < 0.5"])),
        Just(conditions(&["success_rate <= 95%", "error_rate > 1.25x control"])),
    ]
}

fn trimmed(text: String) -> String {
    let text = text.trim().to_owned();
    if text.is_empty() || text.starts_with('[') { "x".to_owned() } else { text }
}

fn any_entries() -> impl Strategy<Value = Entries> {
    let name =
        select(vec!["rollback", "data_rollback", "smoke_tests", "deploy", "implementation_plan", "Odd: name", "step_1", "with space"]);
    prop::collection::btree_map(name, "(\\PC|\n){0,60}x", 0..4)
        .prop_map(|entries| Entries(entries.into_iter().map(|(name, text)| (name.to_owned(), text)).collect()))
}

fn any_checklists() -> impl Strategy<Value = Vec<Checklist>> {
    let groups = vec![
        ("code readiness", Gate::Start),
        ("Code & more", Gate::Start),
        ("validation checklist", Gate::Complete),
        ("success criteria", Gate::Complete),
    ];
    let items = prop::collection::btree_map("[a-z]{1,8}( [a-z]{1,8}|[!*_<>#`]{1,2}){0,3}x", any::<bool>(), 1..4);
    (prop::sample::subsequence(groups, 0..=4), vec(items, 4)).prop_map(|(groups, items)| {
        let lists = groups.into_iter().zip(items).enumerate().map(|(index, ((group, gate), items))| {
            // Different in every group, so that ids are the texts' own.
            let item = |(number, (text, done)): (usize, (String, bool))| {
                let text = format!("{text} {index}-{number}");
                let words = text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
                Item { id: words.collect::<Vec<_>>().join("-"), text, done }
            };
            Checklist { group: group.to_owned(), gate, items: items.into_iter().enumerate().map(item).collect() }
        });
        lists.collect()
    })
}

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let cohorts = prop::sample::subsequence(vec!["internal-users", "beta-testers", "Odd_Name", "hands-and-feet"], 0..=2);
    let bake = prop_oneof![Just(Bake::Overnight), (1..10_000_u64).prop_map(|minutes| Bake::For(Span::from_minutes(minutes)))];
    let step = (cohorts, bake, any::<bool>(), 1..1_000_000_u32);
    (vec(step, 1..5), any::<bool>()).prop_map(|(mut steps, is_dated)| {
        steps.sort_by_key(|step| step.3);
        steps.dedup_by_key(|step| step.3);
        let steps = steps.into_iter().enumerate().map(|(index, (cohorts, bake, approval, millionths))| Step {
            cohorts: cohorts.into_iter().map(str::to_owned).collect(),
            percentage: Percentage::from_millionths(millionths).unwrap(),
            bake,
            // A month apart leaves room for every bake.
            not_before: is_dated.then(|| date(2026, i8::try_from(index + 1).unwrap(), 1).at(9, 30, 0, 0)),
            approval,
        });
        steps.collect()
    })
}

fn any_messages() -> impl Strategy<Value = Vec<Message>> {
    let half_hour = Span::from_minutes(30);
    let all = vec![
        Message { kind: Kind::Announcement, to: Audience::Team, when: When::Before(half_hour) },
        Message { kind: Kind::Announcement, to: Audience::OnCall, when: When::MorningOfDeployment },
        Message { kind: Kind::Status, to: Audience::Team, when: When::Every(half_hour) },
        Message { kind: Kind::Escalation, to: Audience::OnCall, when: When::Immediately },
        Message { kind: Kind::Success, to: Audience::Stakeholders, when: When::UponCompletion },
        Message { kind: Kind::Report, to: Audience::Stakeholders, when: When::NextDay },
    ];
    prop::sample::subsequence(all, 0..=6)
}

#[test]
fn a_tick_changes_one_box() {
    let text = DOCUMENTS[1].1;
    let tick = Tick { item: "code-reviewed-and-approved".to_owned(), by: "an*n|a".to_owned(), at: jiff::Timestamp::UNIX_EPOCH };
    let ticked = write_back(text, &Progress { ticks: vec![tick], steps: Vec::new() });
    assert_eq!(read(Media::Markdown, &ticked).plan.unwrap().open_items(Gate::Start).len(), 9);
}
