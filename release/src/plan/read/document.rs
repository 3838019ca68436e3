//! From a tree in the plan's own keys to a plan.

use jiff::civil::Time;

use super::{
    check,
    node::{Node, Value},
    reader::{Reader, escaped},
    steps::{self, NumberedStep},
};
use crate::plan::{
    Action, Alert, Approach, Audience, Calendar, Checklist, Condition, Entries, Gate, Item, Kind, Message, Plan, Risk, Span, When,
    calendar::{read_time, time_zone},
    checklist,
};

const KEYS: [&str; 18] = [
    "plan",
    "story",
    "references",
    "flag",
    "approach",
    "risk",
    "rollback_time",
    "checklists",
    "steps",
    "calendar",
    "targets",
    "triggers",
    "relative_triggers",
    "unless_control_fails",
    "alerts",
    "watch",
    "communication",
    "runbook",
];

/// What a plan without a relative trigger is given: ten times an error rate of 0.5 % never crosses 5 %.
const ASSUMED_TRIGGERS: [&str; 2] = ["error_rate > 1.25x control", "slow(1000ms) > 1.25x control"];

const APPROACHES: [(&str, Approach); 4] = [
    ("feature_flag", Approach::FeatureFlag),
    ("canary", Approach::Canary),
    ("blue_green", Approach::BlueGreen),
    ("rolling", Approach::Rolling),
];

/// The plan that the tree says. Worth something only if the reader then knows no fault.
pub(super) fn plan(reader: &mut Reader, root: &Node) -> Option<Plan> {
    if !reader.keys(root, "", &KEYS) {
        return None;
    }
    let approach = match root.get("approach") {
        Some(node) => reader.word(node, "/approach", &APPROACHES),
        None => {
            reader.assume("approach: feature_flag");
            Some(Approach::FeatureFlag)
        }
    };
    let is_executed = approach == Some(Approach::FeatureFlag);
    let key = required_key(reader, root, "plan", true);
    let flag = required_key(reader, root, "flag", is_executed);
    let mut checklists = each(reader, root, "checklists", read_checklist);
    checklist::identify(&mut checklists);
    let steps = steps::read(reader, root, is_executed);
    let communication = each(reader, root, "communication", read_message);
    let calendar = read_calendar(reader, root.get("calendar"));
    let relative_triggers = read_relative_triggers(reader, root);
    let mut plan = Plan {
        plan: key.unwrap_or_default(),
        story: root.get("story").and_then(|node| reader.text(node, "/story")),
        references: read_entries(reader, root, "references"),
        flag: flag.unwrap_or_default(),
        approach: approach.unwrap_or(Approach::FeatureFlag),
        risk: root
            .get("risk")
            .and_then(|node| reader.word(node, "/risk", &[("low", Risk::Low), ("medium", Risk::Medium), ("high", Risk::High)])),
        rollback_time: read_rollback_time(reader, root),
        checklists,
        steps: Vec::new(),
        calendar,
        targets: each(reader, root, "targets", |reader, node, pointer| reader.condition(node, pointer)),
        triggers: Vec::new(),
        relative_triggers,
        unless_control_fails: root
            .get("unless_control_fails")
            .and_then(|node| reader.boolean(node, "/unless_control_fails"))
            .unwrap_or(false),
        alerts: each(reader, root, "alerts", read_alert),
        watch: each(reader, root, "watch", |reader, node, pointer| reader.text(node, pointer)),
        communication,
        runbook: read_entries(reader, root, "runbook"),
    };
    plan.triggers = read_triggers(reader, root, &plan);
    if plan.communication.iter().any(|message| message.when == When::NextDay) {
        reader.assume("next day: 24 h after the end");
    }
    check::plan(reader, &plan, &steps);
    plan.steps = steps.into_iter().map(|NumberedStep { step, .. }| step).collect();
    Some(plan)
}

/// Every item of the list under `key` that `read` understands.
fn each<T>(reader: &mut Reader, root: &Node, key: &str, read: impl Fn(&mut Reader, &Node, &str) -> Option<T>) -> Vec<T> {
    let Some(node) = root.get(key) else { return Vec::new() };
    let items = reader.list(node, &format!("/{key}"));
    items.iter().enumerate().filter_map(|(index, item)| read(reader, item, &format!("/{key}/{index}"))).collect()
}

/// A key as it stands in addresses.
fn required_key(reader: &mut Reader, root: &Node, name: &str, is_required: bool) -> Option<String> {
    let pointer = format!("/{name}");
    let Some(node) = root.get(name) else {
        if is_required {
            reader.fault(root.at, &pointer, format!("{name} is missing"));
        }
        return None;
    };
    let text = reader.text(node, &pointer)?;
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    let is_key = text.len() <= 100 && text.chars().all(fits) && text.starts_with(|letter: char| letter.is_ascii_alphanumeric());
    let wrong = || format!("{text:?} is no key: up to 100 letters, digits, - _ and ., a letter or digit first");
    reader.result(if is_key { Ok(text.clone()) } else { Err(wrong()) }, &text, node, &pointer)
}

fn read_rollback_time(reader: &mut Reader, root: &Node) -> Span {
    match root.get("rollback_time") {
        Some(node) => reader.parsed(node, "/rollback_time").unwrap_or_default(),
        None => {
            reader.assume("rollback_time: 1m");
            Span::from_minutes(1)
        }
    }
}

fn read_entries(reader: &mut Reader, root: &Node, key: &str) -> Entries {
    let Some(node) = root.get(key) else { return Entries::default() };
    let at = format!("/{key}");
    reader.see(node, &at);
    let Value::Map(entries) = &node.value else {
        reader.fault(node.at, &at, format!("names and texts were expected, not {}", node.kind()));
        return Entries::default();
    };
    let mut read: Vec<(String, String)> = Vec::new();
    for entry in entries {
        let pointer = format!("{at}/{}", escaped(&entry.key));
        if read.iter().any(|(name, _)| *name == entry.key) {
            reader.fault(entry.at, &pointer, format!("{:?} is said twice", entry.key));
        } else if let Some(text) = reader.text(&entry.value, &pointer) {
            read.push((entry.key.clone(), text));
        }
    }
    Entries(read)
}

fn read_checklist(reader: &mut Reader, node: &Node, pointer: &str) -> Option<Checklist> {
    let [group, gate, items] = needed(reader, node, pointer, ["group", "gate", "items"])?;
    let group = reader.text(group, &format!("{pointer}/group"));
    let gate = reader.word(gate, &format!("{pointer}/gate"), &[("start", Gate::Start), ("complete", Gate::Complete)]);
    let at = format!("{pointer}/items");
    let nodes = reader.list(items, &at);
    let items = nodes.iter().enumerate().filter_map(|(index, item)| read_item(reader, item, &format!("{at}/{index}"))).collect();
    Some(Checklist { group: group?, gate: gate?, items })
}

fn read_item(reader: &mut Reader, node: &Node, pointer: &str) -> Option<Item> {
    let (text, done) = if matches!(node.value, Value::Map(_)) {
        if !reader.keys(node, pointer, &["text", "done"]) {
            return None;
        }
        let Some(text) = node.get("text") else {
            reader.fault(node.at, &format!("{pointer}/text"), "text is missing");
            return None;
        };
        let done = node.get("done").and_then(|done| reader.boolean(done, &format!("{pointer}/done")));
        (reader.text(text, &format!("{pointer}/text"))?, done.unwrap_or(false))
    } else {
        (reader.text(node, pointer)?, false)
    };
    if checklist::slug(&text).is_empty() {
        reader.fault(node.at, pointer, "a check box says what is to be done, with a letter or digit at least");
        return None;
    }
    Some(Item { id: String::new(), text, done })
}

fn read_calendar(reader: &mut Reader, node: Option<&Node>) -> Calendar {
    let mut calendar = Calendar::default();
    let has_keys = node.is_some_and(|node| reader.keys(node, "/calendar", &["timezone", "steps_only", "overnight_ends", "morning"]));
    let get = |key: &str| node.filter(|_| has_keys).and_then(|node| node.get(key));
    match get("timezone") {
        Some(zone) => {
            let name = reader.text(zone, "/calendar/timezone").unwrap_or_default();
            let found = time_zone(&name).ok_or_else(|| format!("{name:?} is no time zone; write for example Europe/Berlin"));
            if !name.is_empty()
                && let Some(found) = reader.result(found, &name, zone, "/calendar/timezone")
            {
                calendar.timezone = found;
            }
        }
        None => reader.assume("calendar.timezone: UTC"),
    }
    calendar.steps_only = get("steps_only").and_then(|hours| reader.parsed(hours, "/calendar/steps_only"));
    if let Some(time) = read_clock(reader, get("overnight_ends"), "overnight_ends") {
        calendar.overnight_ends = time;
    }
    if let Some(time) = read_clock(reader, get("morning"), "morning") {
        calendar.morning = time;
    }
    calendar
}

fn read_clock(reader: &mut Reader, node: Option<&Node>, key: &str) -> Option<Time> {
    let Some(node) = node else {
        reader.assume(format!("calendar.{key}: 08:00"));
        return None;
    };
    let pointer = format!("/calendar/{key}");
    let text = reader.text(node, &pointer)?;
    let time = read_time(&text).ok_or_else(|| format!("{text:?} is no time of day; write for example \"08:00\""));
    reader.result(time, &text, node, &pointer)
}

fn read_relative_triggers(reader: &mut Reader, root: &Node) -> bool {
    let Some(node) = root.get("relative_triggers") else { return true };
    reader.word(node, "/relative_triggers", &[("none", ())]);
    false
}

fn read_triggers(reader: &mut Reader, root: &Node, plan: &Plan) -> Vec<Condition> {
    let node = root.get("triggers");
    if let Some(node) = node
        && node.as_text() == Some("none")
    {
        reader.see(node, "/triggers");
        return Vec::new();
    }
    let mut triggers = each(reader, root, "triggers", |reader, node, pointer| reader.condition(node, pointer));
    if node.is_some_and(|node| matches!(&node.value, Value::List(items) if items.is_empty())) {
        reader.fault_of("/triggers", "no trigger at all; write `triggers: none` if a plain schedule is meant");
    }
    let is_relative = triggers.iter().any(Condition::is_relative);
    if is_relative && !plan.relative_triggers {
        reader.fault_of("/relative_triggers", "`relative_triggers: none` contradicts a trigger that compares with control");
    } else if !is_relative && plan.relative_triggers && plan.approach == Approach::FeatureFlag {
        for text in ASSUMED_TRIGGERS {
            triggers.extend(Condition::parse(text));
            reader.assume(format!("triggers: {text}"));
        }
    } else if triggers.is_empty() && node.is_none() && plan.approach == Approach::FeatureFlag {
        reader.fault_of("/triggers", "without any trigger, say `triggers: none`");
    }
    triggers
}

fn read_alert(reader: &mut Reader, node: &Node, pointer: &str) -> Option<Alert> {
    const ACTIONS: [(&str, Action); 3] =
        [("page_on_call", Action::PageOnCall), ("notify_team", Action::NotifyTeam), ("notify_stakeholders", Action::NotifyStakeholders)];
    let [name, condition, action] = needed(reader, node, pointer, ["name", "condition", "action"])?;
    let name = reader.text(name, &format!("{pointer}/name"));
    let condition = reader.condition(condition, &format!("{pointer}/condition"));
    let action = reader.word(action, &format!("{pointer}/action"), &ACTIONS);
    Some(Alert { name: name?, condition: condition?, action: action? })
}

fn read_message(reader: &mut Reader, node: &Node, pointer: &str) -> Option<Message> {
    let [kind, to, when] = needed(reader, node, pointer, ["kind", "to", "when"])?;
    let kind = reader.word(kind, &format!("{pointer}/kind"), &Kind::NAMES);
    let to = reader.word(to, &format!("{pointer}/to"), &Audience::NAMES);
    let when = reader.parsed(when, &format!("{pointer}/when"));
    Some(Message { kind: kind?, to: to?, when: when? })
}

/// The values of keys that must all be there.
fn needed<'n, const N: usize>(reader: &mut Reader, node: &'n Node, pointer: &str, keys: [&str; N]) -> Option<[&'n Node; N]> {
    if !reader.keys(node, pointer, &keys) {
        return None;
    }
    for key in keys.iter().filter(|key| node.get(key).is_none()) {
        reader.fault(node.at, &format!("{pointer}/{key}"), format!("{key} is missing"));
    }
    let found: Vec<&Node> = keys.iter().filter_map(|key| node.get(key)).collect();
    found.try_into().ok()
}
