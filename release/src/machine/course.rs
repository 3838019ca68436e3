//! The executable part of a plan, as a release copies it when it is created.

use serde::{Deserialize, Serialize};
use storyflag_evaluation::Percentage;

use crate::evidence::{Share, Test, Trigger};

/// How long `overnight` bakes at least.
pub(crate) const OVERNIGHT_MS: i64 = 8 * 3_600_000;

/// The least time between two status messages, under any time scale.
const LEAST_EVERY_MS: i64 = 1_000;

/// What a release does and on what grounds. Times are milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Course {
    /// The release's id, for messages: `DP-123-checkout-1`.
    pub release: String,
    /// In order; never folded, never skipped.
    pub steps: Vec<Step>,
    /// What turns back. None at all is a plain schedule: nothing is watched, and telemetry is not asked.
    pub triggers: Vec<Trigger>,
    /// What tells people.
    pub alerts: Vec<Alert>,
    /// Judged at the end.
    pub targets: Vec<Target>,
    /// The check boxes.
    pub checklist: Vec<CheckItem>,
    /// Who is told what, and when.
    pub messages: Vec<Message>,
    /// How long a rollback may take.
    pub rollback_time_ms: i64,
    /// How long thin evidence is waited for at least, after the bake: 15 min in the plan's time.
    pub thin_evidence_ms: i64,
    /// Whether steps go whenever they are ready: under a time scale.
    pub ignores_calendar: bool,
}

/// One percentage to go to, and how long to watch it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Step {
    /// Of everyone outside the cohorts.
    pub percentage: Percentage,
    /// Cohorts that are in from this step on.
    pub cohorts: Vec<String>,
    /// Healthy time to be watched.
    pub bake_ms: i64,
    /// Bake until the first end of a night that is at least 8 h away, with 8 h of bake.
    pub overnight: bool,
    /// A human must approve before this step is taken.
    pub approval: bool,
    /// Not taken before, in epoch milliseconds.
    pub not_before_ms: Option<i64>,
}

impl Step {
    /// The healthy time that this step must be watched.
    pub fn bake(&self) -> i64 {
        if self.overnight { self.bake_ms.max(OVERNIGHT_MS) } else { self.bake_ms.max(0) }
    }
}

/// A condition that tells people and turns nothing back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// `high_error_rate`.
    pub name: String,
    /// As the plan writes it: `error_rate > 1%`.
    pub condition: String,
    /// What it tests.
    pub test: Test,
    /// Who is told: `on_call`, `team`.
    pub to: String,
}

/// What the release should reach: a share of requests below a limit in the last step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// As the plan writes it: `success_rate > 99.9%`.
    pub name: String,
    /// Which requests are bad.
    pub share: Share,
    /// How many of all may be.
    pub limit: Percentage,
}

/// One check box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckItem {
    /// Its text.
    pub text: String,
    /// When it should be ticked.
    pub gate: Gate,
}

/// When a check box should be ticked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// Before the start, which is refused otherwise.
    Start,
    /// By the end. Holds nothing: the report names what is open.
    Complete,
}

/// One line of the communication plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// What is said.
    pub kind: MessageKind,
    /// To whom: `team`, `on_call`, `stakeholders`.
    pub to: String,
    /// When.
    pub when: When,
}

/// What a message of the communication plan says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageKind {
    /// The release is about to start.
    Announcement,
    /// How it stands.
    Status,
    /// Something is wrong.
    Escalation,
    /// It is done.
    Completion,
    /// What happened.
    Report,
}

/// When a message is due. Times are milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// So long before the start.
    Before(i64),
    /// Once in every such time since the start, until the end.
    Every(i64),
    /// When it happens.
    Immediately,
    /// When the release ends.
    UponCompletion,
    /// On the morning of the day of the start.
    MorningOfDeployment,
    /// So long after the end.
    After(i64),
}

impl Course {
    /// Whether steps go by time alone: `triggers: none`.
    pub fn is_plain_schedule(&self) -> bool {
        self.triggers.is_empty()
    }

    /// The same course with its bakes, announcements and status slots divided by `time_scale`, `overnight` counting as 8 h
    /// and the calendar ignored. Evidence, windows and limits on missing data stay in real time.
    #[must_use]
    pub fn scaled(mut self, time_scale: u32) -> Self {
        let divide = |time_ms: i64| time_ms / i64::from(time_scale.max(1));
        for step in &mut self.steps {
            step.bake_ms = divide(step.bake());
            step.overnight = false;
            step.not_before_ms = None;
        }
        for message in &mut self.messages {
            message.when = match message.when {
                When::Before(before_ms) => When::Before(divide(before_ms)),
                // People read no faster, however fast a release goes.
                When::Every(every_ms) => When::Every(divide(every_ms).max(LEAST_EVERY_MS)),
                other => other,
            };
        }
        self.thin_evidence_ms = divide(self.thin_evidence_ms);
        self.ignores_calendar = true;
        self
    }

    /// What makes this course unfit to be carried out, in words. Said when a release is created, never while it runs.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.steps.is_empty() {
            faults.push("there is no step".to_owned());
        }
        for (before, after) in self.steps.iter().zip(self.steps.iter().skip(1)) {
            if after.percentage < before.percentage {
                faults.push(format!("{} comes after {}: steps never go down", after.percentage, before.percentage));
            }
        }
        if !self.is_plain_schedule() {
            let unwatched = self.steps.iter().filter(|step| step.bake() <= 0);
            faults.extend(unwatched.map(|step| format!("{} has no bake: its triggers would see nothing", step.percentage)));
        }
        let relative = self.triggers.iter().map(|trigger| &trigger.test).chain(self.alerts.iter().map(|alert| &alert.test));
        for test in relative {
            match test {
                Test::Relative { ratio, .. } if !(ratio.is_finite() && *ratio > 0.0) => {
                    faults.push(format!("{ratio}x control is no ratio"));
                }
                Test::Reading { limit, .. } if !limit.is_finite() => faults.push(format!("{limit} is no threshold")),
                _ => {}
            }
        }
        faults
    }

    /// The step's place for people: `1 % (step 2 of 5)`.
    pub fn name_step(&self, step: usize) -> String {
        let percentage = self.steps.get(step).map_or(Percentage::ZERO, |step| step.percentage);
        format!("{percentage} (step {} of {})", step.saturating_add(1), self.steps.len())
    }
}
