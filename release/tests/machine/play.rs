//! A release, its targeting and its clock.

use storyflag_evaluation::Percentage;
use storyflag_release::evidence::{ArmCounts, EventCounts, Health, Second, Share, Test, Trigger};
use storyflag_release::machine::{
    Always, Calendar, Command, CommandKind, Course, Effect, Input, Notice, Owned, Record, State, Step, Targeting, step,
};

/// When every play starts.
pub(crate) const START_MS: i64 = 1_800_000_000_000;

pub(crate) struct Play {
    pub(crate) course: Course,
    pub(crate) state: State,
    pub(crate) targeting: Targeting,
    pub(crate) now: i64,
    pub(crate) health: Health,
    pub(crate) calendar: Box<dyn Calendar>,
    pub(crate) records: Vec<Record>,
    pub(crate) notices: Vec<Notice>,
    pub(crate) writes: Vec<Owned>,
    unit: u64,
}

pub(crate) fn percent(percent: f64) -> Percentage {
    Percentage::from_percent(percent).unwrap()
}

pub(crate) fn error_rate(limit: f64) -> Trigger {
    let test = Test::Absolute { share: Share::Error, limit: percent(limit) };
    Trigger { name: format!("error_rate > {limit}%"), test, unless_control_fails: false }
}

/// 1 %, 10 % and 100 %, a minute each, with `error_rate > 5%`.
pub(crate) fn course() -> Course {
    let steps = [1.0, 10.0, 100.0].map(|percentage| Step { percentage: percent(percentage), bake_ms: 60_000, ..Step::default() });
    Course {
        release: "DP-1-1".into(),
        steps: steps.into(),
        triggers: vec![error_rate(5.0)],
        rollback_time_ms: 60_000,
        thin_evidence_ms: 120_000,
        ..Course::default()
    }
}

pub(crate) fn healthy() -> Health {
    Health { heard: 2, current: 2, ..Health::default() }
}

pub(crate) fn command(kind: CommandKind) -> Command {
    Command { kind, actor: "mia".into(), reason: Some("because".into()), force: false }
}

impl Play {
    pub(crate) fn new(course: Course) -> Self {
        Self {
            course,
            state: State::scheduled(None),
            targeting: Targeting { by: "mia".into(), ..Targeting::default() },
            now: START_MS,
            health: healthy(),
            calendar: Box::new(Always),
            records: Vec::new(),
            notices: Vec::new(),
            writes: Vec::new(),
            unit: 0,
        }
    }

    /// The same, its first step taken.
    pub(crate) fn started(course: Course) -> Self {
        let mut play = Self::new(course);
        assert_eq!(play.ask(CommandKind::Start { from: None }), Vec::<String>::new());
        play
    }

    /// Evaluates, writes what is said into the targeting, and answers why a command was refused.
    pub(crate) fn evaluate(&mut self, input: &Input) -> Vec<String> {
        let mut refused = Vec::new();
        let (state, effects) = step(&self.course, self.state.clone(), input, self.calendar.as_ref(), self.now);
        let steps = effects.iter().filter(|effect| matches!(effect, Effect::SetRollout(_) | Effect::WriteBaseline(_))).count();
        assert!(steps <= 1, "{effects:?}");
        // What is stored is what is read back.
        self.state = serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap();
        for effect in effects {
            match effect {
                Effect::SetRollout(owned) | Effect::WriteBaseline(owned) => {
                    self.targeting.owned = owned.clone();
                    self.writes.push(owned);
                }
                Effect::Record(record) => self.records.push(record),
                Effect::Notify(notice) => self.notices.push(notice),
                Effect::Refuse { why } => refused.extend(why),
            }
        }
        refused
    }

    pub(crate) fn ask(&mut self, kind: CommandKind) -> Vec<String> {
        self.evaluate(&Input::tick(self.targeting.clone()).with_command(command(kind)))
    }

    /// A second of so many treatment requests, so many of them in error, each of another unit.
    pub(crate) fn counted(&mut self, requests: u64, errors: u64) -> Second {
        self.unit += 8;
        let units = (0..errors.min(8)).map(|error| self.unit + error).collect();
        let instances = if errors > 0 { vec!["a".into(), "b".into()] } else { Vec::new() };
        let counts = EventCounts { count: errors, at_risk: requests, first: errors, units, instances };
        let treatment = ArmCounts { requests, success: requests - errors, error: errors, errors: counts, ..ArmCounts::default() };
        Second { treatment, ..Second::default() }
    }

    /// Lets seconds go by, each with so many treatment requests and errors.
    pub(crate) fn seconds(&mut self, seconds: u64, requests: u64, errors: u64) {
        for _ in 0..seconds {
            self.now += 1_000;
            let counted = self.counted(requests, errors);
            self.evaluate(&Input::tick(self.targeting.clone()).with_seconds(vec![counted], self.health.clone()));
        }
    }

    pub(crate) fn phase(&self) -> &'static str {
        self.state.phase.name()
    }

    /// Percentages written so far.
    pub(crate) fn percentages(&self) -> Vec<f64> {
        self.writes.iter().map(|owned| owned.percentage.percent()).collect()
    }

    pub(crate) fn told(&self, part: &str) -> usize {
        self.notices.iter().filter(|notice| notice.text.contains(part)).count()
    }
}
