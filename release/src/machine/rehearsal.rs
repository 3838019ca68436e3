//! A release played through against stated traffic: the same machine, no clock, no waiting.

use serde::{Deserialize, Serialize};

use super::crowd::{Crowd, Rates, poisson, whole};
use super::turn::milliseconds;
use super::{Calendar, Command, CommandKind, Course, Doing, Effect, Hold, Input, Notice, Owned, Phase, Record, State, Targeting, step};
use crate::evidence::{Event, Health, Second, Share, Test, float};

/// One evaluation: the longest that a bake grows by.
const WINDOW_MS: i64 = 2_000;
/// A rehearsal ends after so many evaluations, wherever it stands: about ten days.
const EVALUATIONS: u64 = 432_000;

/// Stated traffic of a flag.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Profile {
    /// Requests a second of everyone.
    pub requests_per_s: f64,
    /// How far a daily wave takes that up and down, 0 to 1; it lifts errors by half as much.
    pub wave: f64,
    /// The wave's length: a day.
    pub wave_ms: i64,
    /// How many units there are.
    pub units: u64,
    /// Errors over requests, 0 to 1, whoever asks.
    pub error_rate: f64,
    /// The share of units whose every request fails.
    pub failing_units: f64,
    /// Requests slower than each limit that the course names, 0 to 1.
    pub slow_rate: f64,
    /// What goes wrong with the treatment.
    pub trouble: Option<Trouble>,
}

/// What goes wrong with the treatment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Trouble {
    /// Since so long after the start.
    pub from_ms: i64,
    /// Further errors over requests, 0 to 1.
    pub error_rate: f64,
    /// The share of further units whose every request fails.
    pub failing_units: f64,
    /// Further slow requests, 0 to 1.
    pub slow_rate: f64,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            requests_per_s: 200.0,
            wave: 0.5,
            wave_ms: 86_400_000,
            units: 1_000_000,
            error_rate: 0.005,
            failing_units: 0.0,
            slow_rate: 0.02,
            trouble: None,
        }
    }
}

/// How a rehearsal went.
#[derive(Debug, Clone, PartialEq)]
pub struct Rehearsal {
    /// The state in the end.
    pub state: State,
    /// From the start to the end.
    pub took_ms: i64,
    /// The timeline.
    pub records: Vec<Record>,
    /// What people would have been told.
    pub notices: Vec<Notice>,
    /// How often the machine was asked.
    pub evaluations: u64,
    /// Treatment requests of the last step, until it was decided upon.
    pub treatment_requests: u64,
}

/// Plays a course through. What waits for approval is approved at once, by `rehearsal`; check boxes count as ticked.
/// `random` gives uniform 64-bit numbers: the same ones give the same rehearsal.
pub fn rehearse(course: &Course, profile: &Profile, calendar: &dyn Calendar, start_ms: i64, random: &mut dyn FnMut() -> u64) -> Rehearsal {
    let mut stage = Stage::new(course, profile);
    let mut played = Rehearsal {
        state: State::scheduled(None),
        took_ms: 0,
        records: Vec::new(),
        notices: Vec::new(),
        evaluations: 0,
        treatment_requests: 0,
    };
    let mut now = start_ms;
    let mut command = Some(CommandKind::Start { from: None });
    while played.evaluations < EVALUATIONS && !played.state.has_ended() {
        let second = stage.second(now.saturating_sub(start_ms), random);
        if matches!(played.state.phase, Phase::Running(_)) {
            played.treatment_requests = played.state.evidence.treatment.requests.saturating_add(second.treatment.requests);
        }
        let health = Health { heard: 4, current: 4, ..Health::default() };
        let mut input = Input::tick(stage.targeting.clone()).with_seconds(vec![second], health);
        input.command = command.take().map(|kind| Command { kind, actor: "rehearsal".to_owned(), reason: None, force: true });
        let (state, effects) = step(course, played.state, &input, calendar, now);
        played.state = state;
        played.evaluations += 1;
        for effect in effects {
            match effect {
                Effect::SetRollout(owned) | Effect::WriteBaseline(owned) => stage.write(owned, random),
                Effect::Record(record) => played.records.push(record),
                Effect::Notify(notice) => played.notices.push(notice),
                Effect::Refuse { .. } => played.evaluations = EVALUATIONS,
            }
        }
        let waits = matches!(played.state.phase, Phase::Running(Doing::AwaitingApproval(_) | Doing::Holding(Hold::SampleRatio)));
        command = waits.then_some(CommandKind::Approve);
        now = match played.state.phase {
            Phase::Running(Doing::AwaitingCalendar { until_ms }) => until_ms.max(now.saturating_add(1)),
            _ => now.saturating_add(WINDOW_MS),
        };
    }
    played.took_ms = now.saturating_sub(start_ms);
    played
}

/// Where the machine is played to: a targeting, and a crowd for each arm.
struct Stage<'a> {
    profile: &'a Profile,
    treatment: Crowd,
    control: Crowd,
    targeting: Targeting,
    limits_ms: Vec<u32>,
    in_trouble: bool,
}

impl<'a> Stage<'a> {
    fn new(course: &Course, profile: &'a Profile) -> Self {
        let tests = course.triggers.iter().map(|trigger| &trigger.test).chain(course.alerts.iter().map(|alert| &alert.test));
        let mut limits_ms: Vec<u32> = tests.filter_map(limit_ms).collect();
        limits_ms.extend(course.targets.iter().filter_map(|target| match target.share {
            Share::Slow { limit_ms } => Some(limit_ms),
            _ => None,
        }));
        limits_ms.sort_unstable();
        limits_ms.dedup();
        let (treatment, control) = (Crowd::default(), Crowd::new(profile.units, false));
        Self { profile, treatment, control, targeting: Targeting::default(), limits_ms, in_trouble: false }
    }

    /// Another percentage: another rollout revision, so every unit is new again.
    fn write(&mut self, owned: Owned, random: &mut dyn FnMut() -> u64) {
        let share = owned.percentage.percent() / 100.0;
        let treated = whole(float(self.profile.units) * share).min(self.profile.units);
        self.treatment = Crowd::new(treated, true);
        self.control = Crowd::new(self.profile.units - treated, false);
        self.treatment.sicken(self.profile.failing_units, random);
        self.control.sicken(self.profile.failing_units, random);
        self.in_trouble = false;
        self.targeting.owned = owned;
    }

    /// What is counted in one window, so long after the start.
    fn second(&mut self, since_ms: i64, random: &mut dyn FnMut() -> u64) -> Second {
        let profile = self.profile;
        let phase = std::f64::consts::TAU * milliseconds(since_ms) / milliseconds(profile.wave_ms.max(1));
        let wave = profile.wave.clamp(0.0, 1.0) * phase.sin();
        let requests = profile.requests_per_s * (1.0 + wave) * milliseconds(WINDOW_MS) / 1_000.0;
        let share = if self.targeting.owned.enabled { self.targeting.owned.percentage.percent() / 100.0 } else { 0.0 };
        let healthy = Rates { error: profile.error_rate * (1.0 + wave / 2.0), slow: profile.slow_rate };
        let mut treated = healthy;
        if let Some(trouble) = profile.trouble.as_ref().filter(|trouble| since_ms >= trouble.from_ms) {
            treated.error += trouble.error_rate;
            treated.slow += trouble.slow_rate;
            if !self.in_trouble {
                self.in_trouble = true;
                self.treatment.sicken(trouble.failing_units, random);
            }
        }
        let (treatment, control) = (poisson(requests * share, random), poisson(requests * (1.0 - share), random));
        Second {
            treatment: self.treatment.counts(treatment, treated, &self.limits_ms, random),
            control: self.control.counts(control, healthy, &self.limits_ms, random),
            ..Second::default()
        }
    }
}

fn limit_ms(test: &Test) -> Option<u32> {
    match test {
        Test::Absolute { share: Share::Slow { limit_ms }, .. } | Test::Relative { event: Event::Slow { limit_ms }, .. } => Some(*limit_ms),
        _ => None,
    }
}
