//! A release that is carried out second by second, and everything that a report is told of it.

use std::{borrow::Cow, collections::BTreeMap};

use storyflag_evaluation::Arm;
use storyflag_release::{
    PlanCalendar,
    evidence::{ArmCounts, EventCounts, Health, Second},
    machine::{Calendar, Command, CommandKind, Course, Doing, Effect, Input, NoticeKind, Owned, Phase, State, Targeting, step},
    plan::{Media, Plan, read},
    report::{ArmSums, Note, NoteKind, Report, Told, Transition},
};

/// Monday, 2026-11-23, 10:00 in Berlin.
pub(crate) const START_MS: i64 = 1_795_424_400_000;
/// One evaluation.
const WINDOW_MS: i64 = 2_000;
/// Units that ever come.
const UNITS: u64 = 200_000;

pub(crate) fn plan(media: Media, text: &str) -> Plan {
    let reading = read(media, text);
    assert_eq!(reading.faults, []);
    reading.plan.unwrap()
}

/// What befalls an arm's requests, each 0 to 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rates {
    pub(crate) error: f64,
    pub(crate) slow: f64,
}

pub(crate) struct Stage {
    pub(crate) told: Told,
    pub(crate) requests: u64,
    pub(crate) treatment: Rates,
    pub(crate) control: Rates,
    pub(crate) health: Health,
    calendar: PlanCalendar<'static>,
    targeting: Targeting,
    revision: u64,
    unit: u64,
    /// What is still owed of each event, so that counts follow their rates without chance.
    owed: BTreeMap<(&'static str, &'static str), f64>,
}

impl Stage {
    pub(crate) fn new(plan: Plan) -> Self {
        let course = Course::of(&plan, &format!("{}-1", plan.plan));
        let calendar = PlanCalendar { calendar: Cow::Owned(plan.calendar.clone()), freezes: Cow::default() };
        let told = Told {
            release: course.release.clone(),
            environment: "production".into(),
            plan,
            course,
            time_scale: 1,
            state: State::scheduled(None),
            transitions: Vec::new(),
            notes: Vec::new(),
            sums: Vec::new(),
            units: Default::default(),
            now_ms: START_MS,
        };
        Self {
            told,
            requests: 4_000,
            treatment: Rates { error: 0.0004, slow: 0.01 },
            control: Rates { error: 0.0005, slow: 0.01 },
            health: Health { heard: 2, current: 2, ..Health::default() },
            calendar,
            targeting: Targeting { by: "mia".into(), ..Targeting::default() },
            revision: 811,
            unit: 0,
            owed: BTreeMap::new(),
        }
    }

    pub(crate) fn report(&self) -> Report {
        Report::of(&self.told)
    }

    pub(crate) fn phase(&self) -> &'static str {
        self.told.state.phase.name()
    }

    pub(crate) fn note(&mut self, kind: NoteKind, actor: &str, text: &str) {
        self.told.notes.push(Note { kind, at_ms: self.told.now_ms, actor: Some(actor.into()), text: text.into() });
    }

    /// Somebody kills the flag.
    pub(crate) fn kill(&mut self, by: &str) {
        (self.targeting.killed, self.targeting.by) = (true, by.into());
    }

    /// Somebody changes what the release owns.
    pub(crate) fn take_over(&mut self, by: &str) {
        (self.targeting.owned, self.targeting.by) = (Owned::default(), by.into());
    }

    pub(crate) fn tick(&mut self, item: usize) {
        self.ask("mia", CommandKind::Tick { item, done: true }, "");
    }

    pub(crate) fn ask(&mut self, actor: &str, kind: CommandKind, reason: &str) {
        let reason = (!reason.is_empty()).then(|| reason.to_owned());
        let command = Command { kind, actor: actor.into(), reason, force: false };
        let refused = self.evaluate(Input::tick(self.targeting.clone()).with_command(command));
        assert_eq!(refused, Vec::<String>::new());
    }

    /// Lets windows go by until it is true, at most so many.
    pub(crate) fn until(&mut self, windows: u64, is_true: impl Fn(&Self) -> bool) {
        for _ in 0..windows {
            if is_true(self) {
                return;
            }
            self.told.now_ms = match self.told.state.phase {
                Phase::Running(Doing::AwaitingCalendar { until_ms }) => until_ms.max(self.told.now_ms + 1),
                _ => self.told.now_ms + WINDOW_MS,
            };
            let second = self.second();
            let input = Input::tick(self.targeting.clone()).with_seconds(vec![second], self.health.clone());
            self.evaluate(input);
        }
        assert!(is_true(self), "{}", self.report().markdown());
    }

    /// Lets so many windows go by.
    pub(crate) fn windows(&mut self, windows: i64) {
        let end_ms = self.told.now_ms + windows * WINDOW_MS;
        self.until(u64::MAX, |stage| stage.told.now_ms >= end_ms);
    }

    fn evaluate(&mut self, input: Input) -> Vec<String> {
        let (state, effects) = step(&self.told.course, self.told.state.clone(), &input, &self.calendar as &dyn Calendar, self.told.now_ms);
        self.told.state = state;
        let (mut refused, mut revision) = (Vec::new(), None);
        for effect in effects {
            match effect {
                Effect::SetRollout(owned) | Effect::WriteBaseline(owned) => revision = Some(self.write(owned)),
                Effect::Record(record) => self.told.transitions.push(Transition { record, revision: revision.take() }),
                Effect::Notify(notice) => {
                    let kind = match notice.kind {
                        NoticeKind::Alert => NoteKind::Alert,
                        NoticeKind::Escalation => NoteKind::Escalation,
                        _ => NoteKind::Notice,
                    };
                    self.told.notes.push(Note { kind, at_ms: self.told.now_ms, actor: None, text: notice.text });
                }
                Effect::Refuse { why } => refused.extend(why),
            }
        }
        refused
    }

    fn write(&mut self, owned: Owned) -> u64 {
        self.targeting.owned = owned;
        self.revision += 1;
        self.revision
    }

    /// What is counted in one window, also added to the sums of the rollout's revision.
    fn second(&mut self) -> Second {
        let owned = self.targeting.owned.clone();
        let share = if owned.enabled { owned.percentage.percent() / 100.0 } else { 0.0 };
        let treated = self.hits(Arm::Treatment, "requests", self.requests, share);
        let internal = if owned.cohorts.is_empty() { 0 } else { self.hits(Arm::Cohort, "requests", self.requests, 0.001) };
        let (treatment, control) = (self.treatment, self.control);
        let second = Second {
            treatment: self.counts(Arm::Treatment, treated, treatment),
            control: self.counts(Arm::Control, self.requests - treated, control),
            cohort: self.counts(Arm::Cohort, internal, treatment),
            readings: Vec::new(),
        };
        for (arm, counts, share) in
            [(Arm::Treatment, &second.treatment, share), (Arm::Control, &second.control, 1.0 - share), (Arm::Cohort, &second.cohort, 0.001)]
        {
            self.add(arm, counts, share);
        }
        second
    }

    fn add(&mut self, arm: Arm, counts: &ArmCounts, share: f64) {
        if counts.requests == 0 {
            return;
        }
        let mut sums = ArmSums::new(self.revision, arm);
        sums.counts = counts.clone();
        sums.seen_ms = Some((self.told.now_ms, self.told.now_ms));
        sums.values = counts.named.iter().map(|(name, event)| (name.clone(), event.count as f64 * 24.5)).collect();
        let slow = counts.slow.get(&200).map_or(0, |slow| slow.count);
        let half = (counts.requests - slow) / 2;
        sums.latency_us = vec![(12_031, half), (83_967, counts.requests - slow - half), (219_135, slow)];
        sums.units = Some((UNITS as f64 * share) as u64);
        match self.told.sums.iter_mut().find(|known| known.revision == sums.revision && known.arm == arm) {
            Some(known) => known.add(&sums),
            None => self.told.sums.push(sums),
        }
        if let Some(known) = self.told.sums.iter_mut().find(|known| known.revision == self.revision && known.arm == arm) {
            let latency: BTreeMap<u64, u64> = known.latency_us.iter().fold(BTreeMap::new(), |mut sum, (upper, count)| {
                *sum.entry(*upper).or_default() += count;
                sum
            });
            known.latency_us = latency.into_iter().collect();
        }
    }

    fn counts(&mut self, arm: Arm, requests: u64, rates: Rates) -> ArmCounts {
        let errors = self.hits(arm, "error", requests, rates.error);
        let slow = self.hits(arm, "slow", requests, rates.slow);
        let purchases = self.hits(arm, "purchase", requests, 0.02);
        self.unit += 8;
        let event = |count: u64| EventCounts {
            count,
            at_risk: requests,
            first: count,
            units: (0..count.min(8)).map(|unit| self.unit + unit).collect(),
            instances: if count > 0 { vec!["a".into(), "b".into()] } else { Vec::new() },
        };
        let slow = BTreeMap::from([(200, event(slow)), (500, event(slow / 10)), (1_000, event(0))]);
        ArmCounts {
            requests,
            success: requests - errors,
            error: errors,
            errors: event(errors),
            not_success: event(errors),
            slow,
            named: BTreeMap::from([("purchase".to_owned(), event(purchases))]),
            ..ArmCounts::default()
        }
    }

    fn hits(&mut self, arm: Arm, what: &'static str, of: u64, rate: f64) -> u64 {
        let owed = self.owed.entry((arm.name(), what)).or_default();
        *owed += of as f64 * rate;
        let hits = owed.floor().min(of as f64);
        *owed -= hits;
        hits as u64
    }
}
