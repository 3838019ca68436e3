//! From the document to what the machine carries out.

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};

use crate::{
    evidence::{Direction, Event, Share, Test, Trigger},
    machine::{self, Course},
    plan::{self, Bound, Condition, Failing, Freeze, Measure, Plan},
};

/// How long thin evidence is waited for at least, after the bake.
const THIN_EVIDENCE_MS: i64 = 15 * 60_000;
/// The report of `next day` comes so long after the end.
const NEXT_DAY_MS: i64 = 24 * 3_600_000;
/// Where no day of the calendar allows a step, it is looked for again after so long.
const LOOK_AGAIN_MS: i64 = 24 * 3_600_000;

impl Course {
    /// What a release of this plan does, under its id.
    pub fn of(plan: &Plan, release: &str) -> Self {
        let trigger = |condition: &Condition| {
            let unless_control_fails = plan.unless_control_fails && !condition.is_relative();
            Some(Trigger { name: condition.text.clone(), test: test(condition)?, unless_control_fails })
        };
        let alert = |alert: &plan::Alert| {
            let (condition, to) = (alert.condition.text.clone(), audience(alert.action).to_owned());
            Some(machine::Alert { name: alert.name.clone(), condition, test: test(&alert.condition)?, to })
        };
        let items = plan.checklists.iter().flat_map(|list| list.items.iter().map(|item| (list.gate, item)));
        Self {
            release: release.to_owned(),
            steps: plan.steps.iter().map(|step| machine_step(plan, step)).collect(),
            triggers: plan.triggers.iter().filter_map(trigger).collect(),
            alerts: plan.alerts.iter().filter_map(alert).collect(),
            targets: plan.targets.iter().filter_map(target).collect(),
            checklist: items.map(|(gate, item)| machine::CheckItem { text: item.text.clone(), gate: machine_gate(gate) }).collect(),
            messages: plan.communication.iter().map(message).collect(),
            rollback_time_ms: signed(plan.rollback_time),
            thin_evidence_ms: THIN_EVIDENCE_MS,
            ignores_calendar: false,
        }
    }
}

/// A plan's calendar, with the freezes of an environment. Lent where a release asks it every second.
#[derive(Debug, Clone)]
pub struct PlanCalendar<'a> {
    /// The plan's part.
    pub calendar: Cow<'a, plan::Calendar>,
    /// The environment's part.
    pub freezes: Cow<'a, [Freeze]>,
}

impl machine::Calendar for PlanCalendar<'_> {
    fn next_allowed_ms(&self, at_ms: i64) -> i64 {
        let Ok(at) = Timestamp::from_millisecond(at_ms) else { return at_ms };
        let allowed = self.calendar.next_allowed(at, None, &self.freezes);
        allowed.map_or_else(|| at_ms.saturating_add(LOOK_AGAIN_MS), up_ms)
    }

    fn night_ends_ms(&self, at_ms: i64) -> i64 {
        let Ok(at) = Timestamp::from_millisecond(at_ms) else { return at_ms };
        // The machine has added the least night already.
        let step_at = at.checked_sub(SignedDuration::from_hours(8)).unwrap_or(at);
        self.calendar.night_ends(step_at).map_or(at_ms, up_ms)
    }

    fn morning_ms(&self, at_ms: i64) -> i64 {
        let Ok(at) = Timestamp::from_millisecond(at_ms) else { return at_ms };
        self.calendar.morning_of(at).map_or(at_ms, up_ms)
    }
}

/// In whole milliseconds, never before the moment itself.
fn up_ms(moment: Timestamp) -> i64 {
    let whole = moment.as_millisecond();
    if Timestamp::from_millisecond(whole).is_ok_and(|floor| floor < moment) { whole.saturating_add(1) } else { whole }
}

fn machine_step(plan: &Plan, step: &plan::Step) -> machine::Step {
    let (bake_ms, overnight) = match step.bake {
        plan::Bake::For(span) => (signed(span), false),
        plan::Bake::Overnight => (0, true),
    };
    let not_before = step.not_before.and_then(|local| plan.calendar.moment(local));
    machine::Step {
        percentage: step.percentage,
        cohorts: step.cohorts.clone(),
        bake_ms,
        overnight,
        approval: step.approval,
        not_before_ms: not_before.map(up_ms),
    }
}

/// What tests a condition; none where it tests nothing, which readers refuse.
fn test(condition: &Condition) -> Option<Test> {
    let bad = if condition.comparison.is_upwards() { Direction::Above } else { Direction::Below };
    match (&condition.measure, condition.bound) {
        (Measure::Event(name), Bound::TimesControl(ratio)) => {
            Some(Test::Relative { event: Event::Named { name: name.clone() }, bad, ratio })
        }
        (_, Bound::TimesControl(ratio)) => Some(Test::Relative { event: share(&condition.failing()?)?.event(), bad, ratio }),
        (Measure::Prometheus(_), Bound::Number(limit)) => Some(Test::Reading { bad, limit, for_ms: condition.lasting.map_or(0, signed) }),
        _ => Some(Test::Absolute { share: share(&condition.failing()?)?, limit: condition.failing_limit()? }),
    }
}

fn target(condition: &Condition) -> Option<machine::Target> {
    let share = share(&condition.failing()?)?;
    Some(machine::Target { name: condition.text.clone(), share, limit: condition.failing_limit()? })
}

fn share(failing: &Failing) -> Option<Share> {
    Some(match failing {
        Failing::Error => Share::Error,
        Failing::NotSuccess => Share::NotSuccess,
        Failing::Slow { limit_ms } => Share::Slow { limit_ms: u32::try_from(*limit_ms).ok()? },
    })
}

fn audience(action: plan::Action) -> &'static str {
    match action {
        plan::Action::PageOnCall => plan::Audience::OnCall.name(),
        plan::Action::NotifyTeam => plan::Audience::Team.name(),
        plan::Action::NotifyStakeholders => plan::Audience::Stakeholders.name(),
    }
}

fn machine_gate(gate: plan::Gate) -> machine::Gate {
    match gate {
        plan::Gate::Start => machine::Gate::Start,
        plan::Gate::Complete => machine::Gate::Complete,
    }
}

fn message(message: &plan::Message) -> machine::Message {
    let kind = match message.kind {
        plan::Kind::Announcement => machine::MessageKind::Announcement,
        plan::Kind::Status => machine::MessageKind::Status,
        plan::Kind::Escalation => machine::MessageKind::Escalation,
        plan::Kind::Success => machine::MessageKind::Completion,
        plan::Kind::Report => machine::MessageKind::Report,
    };
    let when = match message.when {
        plan::When::Before(span) => machine::When::Before(signed(span)),
        plan::When::Every(span) => machine::When::Every(signed(span)),
        plan::When::Immediately => machine::When::Immediately,
        plan::When::UponCompletion => machine::When::UponCompletion,
        plan::When::MorningOfDeployment => machine::When::MorningOfDeployment,
        plan::When::NextDay => machine::When::After(NEXT_DAY_MS),
    };
    machine::Message { kind, to: message.to.name().to_owned(), when }
}

fn signed(span: plan::Span) -> i64 {
    i64::try_from(span.millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use storyflag_evaluation::Percentage;

    use super::*;
    use crate::{
        machine::Calendar,
        plan::{Media, read},
    };

    const PLAN: &str = r#"
plan: DP-123-checkout
flag: US-123-checkout
approach: feature_flag
steps:
  - { cohorts: [internal-users], percentage: 0.1, bake: 15m }
  - { percentage: 50, bake: overnight, not_before: "2026-12-01 16:00" }
  - { percentage: 100, bake: 1h }
calendar: { timezone: Europe/Berlin, steps_only: mon-thu 09:00-17:00, overnight_ends: "08:00" }
targets: [ "success_rate > 99.9%" ]
triggers: [ "error_rate > 5%", "p95_latency > 1000ms", "success_rate < 95%" ]
alerts: [ { name: slow_response, condition: "p95_latency > 500ms", action: notify_team } ]
communication: [ { kind: report, to: stakeholders, when: next day } ]
"#;

    #[test]
    fn a_plan_becomes_what_the_machine_carries_out() {
        let reading = read(Media::Yaml, PLAN);
        assert_eq!(reading.faults, []);
        let course = Course::of(&reading.plan.unwrap(), "DP-123-checkout-1");
        assert_eq!(course.faults(), Vec::<String>::new());
        assert_eq!(course.steps.iter().map(|step| step.bake()).collect::<Vec<_>>(), [900_000, 8 * 3_600_000, 3_600_000]);
        assert_eq!(course.steps[1].not_before_ms, Some(1_796_137_200_000), "16:00 in Berlin");
        let five = Percentage::from_millionths(50_000).unwrap();
        let tests: Vec<&Test> = course.triggers.iter().map(|trigger| &trigger.test).collect();
        assert_eq!(*tests[0], Test::Absolute { share: Share::Error, limit: five });
        assert_eq!(*tests[1], Test::Absolute { share: Share::Slow { limit_ms: 1_000 }, limit: five });
        assert_eq!(*tests[2], Test::Absolute { share: Share::NotSuccess, limit: five });
        assert_eq!(*tests[3], Test::Relative { event: Event::Error, bad: Direction::Above, ratio: 1.25 }, "assumed");
        assert_eq!(tests.len(), 5);
        assert_eq!(course.targets[0].limit, Percentage::from_millionths(1_000).unwrap());
        assert_eq!((course.alerts[0].to.as_str(), course.messages[0].to.as_str()), ("team", "stakeholders"));
    }

    #[test]
    fn its_queries_are_known_by_what_readings_are_told_by() {
        let told =
            PLAN.replace(r#""success_rate < 95%" ]"#, r#""success_rate < 95%", "prometheus(\"sum(rate(errors[1m]))\") > 3 for 5m" ]"#);
        let told = told.replace(r#""p95_latency > 500ms""#, r#"'prometheus("up{job=\"shop\"}") < 1'"#);
        let reading = read(Media::Yaml, &told);
        assert_eq!(reading.faults, []);
        let plan = reading.plan.unwrap();
        let course = Course::of(&plan, "DP-123-checkout-1");
        let queries: Vec<(&str, &str)> = plan.queries().into_iter().collect();
        let alert = course.alerts[0].condition.as_str();
        let trigger = course.triggers.iter().find(|trigger| matches!(trigger.test, Test::Reading { .. })).unwrap();
        assert_eq!(queries, [(trigger.name.as_str(), "sum(rate(errors[1m]))"), (alert, r#"up{job="shop"}"#)]);
    }

    #[test]
    fn its_calendar_gates_in_local_time_and_around_freezes() {
        let plan = read(Media::Yaml, PLAN).plan.unwrap();
        // Monday, 2026-11-23, 20:00 in Berlin; frozen until Wednesday noon.
        let (monday, noon) = ("2026-11-23T19:00:00Z".parse::<Timestamp>().unwrap(), "2026-11-25T11:00:00Z".parse().unwrap());
        let mut calendar = PlanCalendar { calendar: Cow::Owned(plan.calendar), freezes: Cow::default() };
        let tuesday = "2026-11-24T08:00:00Z".parse::<Timestamp>().unwrap();
        assert_eq!(calendar.next_allowed_ms(monday.as_millisecond()), tuesday.as_millisecond());
        calendar.freezes = vec![Freeze { from: monday, to: noon }].into();
        assert_eq!(calendar.next_allowed_ms(monday.as_millisecond()), noon.as_millisecond());
        assert_eq!(calendar.night_ends_ms(monday.as_millisecond()), "2026-11-24T07:00:00Z".parse::<Timestamp>().unwrap().as_millisecond());
    }
}
