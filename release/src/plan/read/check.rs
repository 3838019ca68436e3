//! What is wrong with a plan whose every part can be read: parts that contradict one another.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{reader::Reader, steps::NumberedStep};
use crate::plan::{
    Bake, Calendar, Condition, Kind, Plan, Span, When,
    calendar::NIGHT,
    condition::{Bound, Failing},
};

/// How many latency limits a ruleset counts.
const MOST_LIMITS: usize = 8;

pub(super) fn plan(reader: &mut Reader, plan: &Plan, steps: &[NumberedStep]) {
    checklists(reader, plan);
    rising(reader, steps);
    bakes(reader, plan, steps);
    dates(reader, &plan.calendar, steps);
    conditions(reader, plan);
    communication(reader, plan);
}

fn checklists(reader: &mut Reader, plan: &Plan) {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for (list_index, list) in plan.checklists.iter().enumerate() {
        for (index, item) in list.items.iter().enumerate() {
            if !seen.insert(&item.id) {
                reader.fault_of(
                    &format!("/checklists/{list_index}/items/{index}"),
                    format!("{:?} stands twice in {:?}", item.text, list.group),
                );
            }
        }
    }
}

fn rising(reader: &mut Reader, steps: &[NumberedStep]) {
    for pair in steps.windows(2) {
        let [before, after] = pair else { continue };
        let at = format!("/steps/{}/percentage", after.index);
        let (from, to) = (before.step.percentage, after.step.percentage);
        if to < from {
            reader.fault_of(&at, format!("{to} comes after {from}: steps only rise"));
        } else if to == from && after.step.cohorts.iter().all(|cohort| before.step.cohorts.contains(cohort)) {
            reader.fault_of(&at, format!("{to} comes twice: a step adds a share or a cohort"));
        }
    }
    if let Some(first) = steps.first()
        && first.step.percentage.millionths() == 0
        && first.step.cohorts.is_empty()
    {
        reader.fault_of(&format!("/steps/{}/percentage", first.index), "the first step serves nobody: give it a percentage or a cohort");
    }
}

fn bakes(reader: &mut Reader, plan: &Plan, steps: &[NumberedStep]) {
    for NumberedStep { index, step } in steps {
        if step.bake == Bake::For(Span::default()) && !plan.triggers.is_empty() {
            reader.fault_of(&format!("/steps/{index}/bake"), "without a bake no trigger could be judged; write for example 15m");
        }
    }
}

/// From the first date on, every later date must leave room for the bakes in between, in the hours that the calendar allows.
fn dates(reader: &mut Reader, calendar: &Calendar, steps: &[NumberedStep]) {
    let mut free_from: Option<Timestamp> = None;
    for NumberedStep { index, step } in steps {
        let wanted = step.not_before.and_then(|local| calendar.moment(local));
        let Some(earliest) = wanted.map_or(free_from, |wanted| Some(free_from.map_or(wanted, |free| free.max(wanted)))) else { continue };
        let Some(taken) = calendar.next_allowed(earliest, None, &[]) else { return };
        let local = calendar.local(taken).strftime("%Y-%m-%d %H:%M").to_string();
        if let Some(wanted) = wanted.filter(|wanted| *wanted < taken) {
            let why = if earliest > wanted { "the bakes before it last longer" } else { "the calendar allows no step then" };
            reader.fault_of(&format!("/steps/{index}/not_before"), format!("this date cannot be met: {why}; the first moment is {local}"));
        }
        free_from = match step.bake {
            Bake::For(span) => taken.checked_add(span.signed()).ok(),
            Bake::Overnight => calendar.night_ends(taken).filter(|end| *end >= taken.saturating_add(NIGHT.signed()).unwrap_or(*end)),
        };
    }
}

fn conditions(reader: &mut Reader, plan: &Plan) {
    for (index, trigger) in plan.triggers.iter().enumerate() {
        let at = format!("/triggers/{index}");
        if trigger.holds_when_bad() == Some(false) {
            reader.fault_of(&at, format!("{:?} turns back when all is well; did you mean {}?", trigger.text, turned(trigger)));
        }
        if plan.triggers.iter().take(index).any(|earlier| earlier.text == trigger.text) {
            reader.fault_of(&at, format!("{:?} stands twice", trigger.text));
        }
    }
    for (index, target) in plan.targets.iter().enumerate() {
        let at = format!("/targets/{index}");
        if target.holds_when_bad() == Some(true) {
            reader.fault_of(&at, format!("{:?} is met when things go badly; did you mean {}?", target.text, turned(target)));
        } else if let Some(trigger) = plan.triggers.iter().find(|trigger| contradicts(target, trigger)) {
            reader.fault_of(&at, format!("{:?} would be met where the trigger {:?} turns back", target.text, trigger.text));
        }
        if plan.targets.iter().take(index).any(|earlier| earlier.text == target.text) {
            reader.fault_of(&at, format!("{:?} stands twice", target.text));
        }
    }
    for (index, alert) in plan.alerts.iter().enumerate() {
        if alert.condition.holds_when_bad() == Some(false) {
            let detail = format!("{:?} speaks when all is well; did you mean {}?", alert.condition.text, turned(&alert.condition));
            reader.fault_of(&format!("/alerts/{index}/condition"), detail);
        }
        if plan.alerts.iter().take(index).any(|earlier| earlier.name == alert.name) {
            reader.fault_of(&format!("/alerts/{index}/name"), format!("{:?} names two alerts", alert.name));
        }
    }
    let limits = plan.limits_ms();
    if limits.len() > MOST_LIMITS {
        let limits: Vec<String> = limits.iter().map(u64::to_string).collect();
        reader.fault_of("/triggers", format!("more than {MOST_LIMITS} different latencies are counted: {} ms", limits.join(", ")));
    }
}

/// The same condition with its comparison turned round.
fn turned(condition: &Condition) -> String {
    let sign = condition.comparison.sign();
    let other = if condition.comparison.is_upwards() { sign.replace('>', "<") } else { sign.replace('<', ">") };
    format!("{:?}", condition.text.replacen(sign, &other, 1))
}

/// Whether some share of failures meets the target and fires the trigger.
fn contradicts(target: &Condition, trigger: &Condition) -> bool {
    let (Some(met_under), Some(fires_over)) = (target.failing_limit(), trigger.failing_limit()) else { return false };
    match (target.failing(), trigger.failing()) {
        // Of two latencies at one quantile, the larger target is the looser.
        (Some(Failing::Slow { limit_ms: wanted }), Some(Failing::Slow { limit_ms: bad })) => {
            matches!(target.bound, Bound::Latency { .. })
                && matches!(trigger.bound, Bound::Latency { .. })
                && target.measure == trigger.measure
                && wanted > bad
        }
        (Some(wanted), Some(bad)) => wanted == bad && met_under > fires_over,
        _ => false,
    }
}

/// Lines of a communication plan: each may be told at every evaluation, in the transaction that turns back.
const MOST_MESSAGES: usize = 20;

fn communication(reader: &mut Reader, plan: &Plan) {
    if plan.communication.len() > MOST_MESSAGES {
        reader.fault_of("/communication", format!("has {} lines; at most {MOST_MESSAGES}", plan.communication.len()));
    }
    for (index, message) in plan.communication.iter().enumerate() {
        let at = format!("/communication/{index}/when");
        let is_repeated = matches!(message.when, When::Every(_));
        if is_repeated != (message.kind == Kind::Status) {
            let detail = if is_repeated {
                "only a status is told again and again"
            } else {
                "a status is told every so often; write for example every 30m"
            };
            reader.fault_of(&at, detail);
        }
        if plan.communication.iter().take(index).any(|earlier| earlier == message) {
            reader.fault_of(&format!("/communication/{index}"), "this is said twice");
        }
    }
}
