//! The plans that are carried out: five steps, and what is drawn of them.

use std::{collections::HashMap, fmt::Write as _, sync::Mutex};

use storyflag_evaluation::Percentage;
use storyflag_release::{
    machine::Course,
    plan::{Media, Plan, read},
};

use super::dice::Dice;

/// By what the plans' times are divided.
pub(crate) const TIME_SCALE: u32 = 100;
pub(crate) const PERCENTAGES: [f64; 5] = [0.1, 1.0, 10.0, 50.0, 100.0];
/// What another source is asked.
pub(crate) const READING: &str = "prometheus(\"queue\") > 3 for 4s";

/// What is drawn of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spec {
    pub(crate) bakes_ms: [i64; 5],
    pub(crate) approvals: [bool; 5],
    pub(crate) kind: Kind,
}

/// What else a plan says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Kind {
    /// Steps by time alone.
    pub(crate) plain: bool,
    pub(crate) relative: bool,
    pub(crate) reading: bool,
    pub(crate) unless_control_fails: bool,
    pub(crate) cohort: bool,
    pub(crate) check_box: bool,
}

impl Spec {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let short = dice.chance(50);
        let plain = dice.chance(6);
        let kind = Kind {
            plain,
            relative: !plain && dice.chance(40),
            reading: !plain && dice.chance(15),
            unless_control_fails: !plain && dice.chance(25),
            cohort: dice.chance(30),
            check_box: dice.chance(15),
        };
        let bakes_ms = [(); 5].map(|()| dice.between(3, if short { 6 } else { 30 }) * 1_000);
        let mut approvals = [(); 5].map(|()| dice.chance(6));
        // Nobody approves a start: that is a command.
        approvals[0] = false;
        Self { bakes_ms, approvals, kind }
    }

    /// As a person would write it, at the scale at which it is run.
    pub(crate) fn document(&self, plan: &str, flag: &str) -> String {
        let kind = self.kind;
        let mut text = format!("plan: {plan}\nflag: {flag}\napproach: feature_flag\nrollback_time: 1m\nsteps:\n");
        for ((percentage, bake_ms), approval) in PERCENTAGES.iter().zip(self.bakes_ms).zip(self.approvals) {
            let cohorts = if kind.cohort && *percentage < 1.0 { "cohorts: [internal], " } else { "" };
            let bake = bake_ms * i64::from(TIME_SCALE) / 1_000;
            writeln!(text, "  - {{ {cohorts}percentage: {percentage}, bake: {bake}s, approval: {approval} }}").unwrap();
        }
        if kind.plain {
            text += "triggers: none\n";
        } else {
            text += "triggers:\n  - error_rate > 5%\n";
            if kind.relative {
                text += "  - error_rate > 1.25x control\n";
            }
            if kind.reading {
                writeln!(text, "  - '{READING}'").unwrap();
            }
            if !kind.relative {
                text += "relative_triggers: none\n";
            }
            if kind.unless_control_fails {
                text += "unless_control_fails: true\n";
            }
        }
        if kind.check_box {
            text += "checklists:\n  - { group: readiness, gate: start, items: [Reviewed] }\n";
        }
        text += "targets: [ \"success_rate > 90%\" ]\n";
        text +=
            "communication:\n  - { kind: status, to: team, when: every 30m }\n  - { kind: escalation, to: on_call, when: immediately }\n";
        text += "  - { kind: report, to: stakeholders, when: upon completion }\n";
        text
    }

    /// What is carried out of it, as the service would copy it.
    pub(crate) fn course(&self, release: &str) -> (Course, Plan) {
        static READ: Mutex<Option<HashMap<Kind, Plan>>> = Mutex::new(None);
        let plan = {
            let mut known = READ.lock().unwrap();
            let plan = known.get_or_insert_default().entry(self.kind).or_insert_with(|| {
                let reading = read(Media::Yaml, &self.document("DP-1", "US-1"));
                assert_eq!(reading.faults, [], "{}", self.document("DP-1", "US-1"));
                reading.plan.unwrap()
            });
            plan.clone()
        };
        let mut course = Course::of(&plan, release).scaled(TIME_SCALE);
        course.ignores_calendar = false;
        for ((step, bake_ms), approval) in course.steps.iter_mut().zip(self.bakes_ms).zip(self.approvals) {
            (step.bake_ms, step.approval) = (bake_ms, approval);
        }
        (course, plan)
    }
}

pub(crate) fn percent(percent: f64) -> Percentage {
    Percentage::from_percent(percent).unwrap()
}
