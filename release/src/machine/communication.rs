//! Who is told what: once per event and slot, whatever number of nodes evaluate.

use super::turn::Turn;
use super::{Alert, Effect, MessageKind, Notice, NoticeKind, Phase, When};
use crate::evidence::{Alarm, Detector, Direction, Reading, Second, Test, absolute, is_bad, relative};

/// An alert closes on the good side of this much of its limit.
const CLOSES_AT: f64 = 0.8;

impl Turn<'_> {
    /// Tells the audiences of a kind.
    pub(super) fn tell(&mut self, kind: NoticeKind, slot: &str, text: &str) {
        let escalates = |kind: MessageKind| kind == MessageKind::Escalation;
        let mut audiences: Vec<String> = match kind {
            NoticeKind::Escalation => {
                let named = self.course.messages.iter().filter(|message| escalates(message.kind));
                let named: Vec<_> = named.map(|message| message.to.clone()).collect();
                if named.is_empty() { vec!["on_call".to_owned()] } else { named }
            }
            _ => Vec::new(),
        };
        // The team hears of everything.
        audiences.push("team".to_owned());
        audiences.sort();
        audiences.dedup();
        for to in audiences {
            self.notify(kind, to, slot.to_owned(), text);
        }
    }

    /// Tells of the transition that was just recorded, its evidence first.
    pub(super) fn tell_transition(&mut self, kind: NoticeKind) {
        let last =
            self.effects.iter().rev().find_map(|effect| if let Effect::Record(record) = effect { Some(record.clone()) } else { None });
        let Some(record) = last else { return };
        let by = record.actor.map(|actor| format!(", by {actor}")).unwrap_or_default();
        let evidence = if record.evidence.is_empty() { String::new() } else { format!("{}: ", record.evidence) };
        let text = format!("{evidence}{} at {}{by}", record.to, self.course.name_step(self.state.step));
        self.tell(kind, &format!("transition-{}", record.number), &text);
    }

    fn notify(&mut self, kind: NoticeKind, to: String, slot: String, text: &str) {
        let text = format!("{}: {text}", self.course.release);
        self.effects.push(Effect::Notify(Notice { kind, to, slot, text }));
    }

    /// Writes every message of the communication plan that is due, each slot once. Slots that nobody lived through are
    /// left out, not caught up.
    pub(super) fn send_messages(&mut self) {
        let course = self.course;
        for (index, message) in course.messages.iter().enumerate() {
            let Some(slot) = self.due(message.when) else { continue };
            if self.state.sent.get(&index).is_some_and(|sent| *sent >= slot) {
                continue;
            }
            self.state.sent.insert(index, slot);
            let kind = match message.kind {
                MessageKind::Announcement => NoticeKind::Announcement,
                MessageKind::Status => NoticeKind::Status,
                MessageKind::Escalation => NoticeKind::Escalation,
                MessageKind::Completion => NoticeKind::Completion,
                MessageKind::Report => NoticeKind::Report,
            };
            let text = self.status_line();
            self.notify(kind, message.to.clone(), format!("message-{index}-{slot}"), &text);
        }
    }

    /// The slot of a message that is due now.
    fn due(&self, when: When) -> Option<i64> {
        let start_ms = match self.state.phase {
            Phase::Scheduled { start_ms } => start_ms,
            _ => self.state.started_ms,
        };
        let ended_ms = self.state.ended_ms.filter(|_| self.state.started_ms.is_some());
        let is_due = match when {
            When::Every(every_ms) => {
                let started_ms = self.state.started_ms.filter(|_| !self.state.has_ended())?;
                let slot = self.now.saturating_sub(started_ms).checked_div(every_ms.max(1))?;
                return (slot >= 1).then_some(slot);
            }
            When::Before(before_ms) => self.now >= start_ms?.saturating_sub(before_ms),
            When::MorningOfDeployment => self.now >= self.calendar.morning_ms(start_ms?).min(start_ms?),
            When::UponCompletion => matches!(self.state.phase, Phase::Completed { .. }),
            When::After(after_ms) => self.now >= ended_ms?.saturating_add(after_ms),
            When::Immediately => false,
        };
        is_due.then_some(0)
    }

    fn status_line(&self) -> String {
        let state = &self.state;
        let bake_ms = self.course.steps.get(state.step).map_or(0, super::Step::bake);
        let open: Vec<_> = self.open_alerts().map(|alert| alert.name.as_str()).collect();
        let alerts = if open.is_empty() { String::new() } else { format!("; alerts: {}", open.join(", ")) };
        let place = match state.phase {
            Phase::Scheduled { .. } => "starts soon".to_owned(),
            _ => format!("at {}, {} of {} min", self.course.name_step(state.step), state.bake_ms / 60_000, bake_ms / 60_000),
        };
        format!("{}: {} {place}{alerts}", self.counts_line(), state.phase.name())
    }

    fn open_alerts(&self) -> impl Iterator<Item = &Alert> {
        self.course.alerts.iter().zip(&self.state.alerts).filter(|(_, detector)| detector.is_open()).map(|(alert, _)| alert)
    }

    /// Takes what was counted into every alert, and tells of those that open or close.
    pub(super) fn judge_alerts(&mut self) {
        let course = self.course;
        self.state.alerts.resize(course.alerts.len(), Detector::default());
        let mut said = Vec::new();
        for (index, (alert, detector)) in course.alerts.iter().zip(&mut self.state.alerts).enumerate() {
            let alarm = match alert.test {
                Test::Reading { bad, limit, for_ms } => {
                    let told =
                        self.input.seconds.iter().flat_map(|second| &second.readings).rev().find(|(name, _)| *name == alert.condition);
                    let told = told.and_then(|(_, reading)| match reading {
                        Reading::Value(value) if value.is_finite() => Some(is_bad(*value, bad, limit)),
                        _ => None,
                    });
                    detector.take_reading(told, self.elapsed_ms, for_ms)
                }
                _ => self.input.seconds.iter().fold(None, |said, second| take(detector, &alert.test, second).or(said)),
            };
            said.extend(alarm.map(|alarm| (index, alert, alarm)));
        }
        for (index, alert, alarm) in said {
            let word = if alarm == Alarm::Opened { "opened" } else { "closed" };
            let text = format!("{}: alert {} {word} ({})", self.counts_line(), alert.name, alert.condition);
            self.notify(NoticeKind::Alert, alert.to.clone(), format!("alert-{index}-{word}-{}", self.now), &text);
        }
    }
}

/// Takes one second into a detector of our own counts.
fn take(detector: &mut Detector, test: &Test, second: &Second) -> Option<Alarm> {
    let other = |bad| if bad == Direction::Above { Direction::Below } else { Direction::Above };
    let open = detector.is_open();
    match test {
        Test::Absolute { share, limit } => {
            let (scale, side) = if open { (CLOSES_AT, Direction::Below) } else { (1.0, Direction::Above) };
            let window = absolute(*share, limit.percent() / 100.0 * scale, side, &second.treatment, &second.cohort);
            if window.empty { None } else { detector.take(&window.factors) }
        }
        Test::Relative { event, bad, ratio } => {
            let closes_at = if *bad == Direction::Above { CLOSES_AT } else { 1.0 / CLOSES_AT };
            let (scale, side) = if open { (closes_at, other(*bad)) } else { (1.0, *bad) };
            let window = relative(event, ratio * scale, side, &second.treatment, &second.control);
            if window.empty { None } else { detector.take(&window.factors) }
        }
        Test::Reading { .. } => None,
    }
}
