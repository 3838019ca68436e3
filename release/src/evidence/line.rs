//! The evidence of a trigger in one line, as timelines and messages carry it.

use storyflag_evaluation::Percentage;

use super::math::float;
use super::text::{count, e_value, percent};
use super::trigger::times;
use super::{ArmCounts, Direction, Event, EventCounts, Evidence, Mixture, Share};

impl Evidence {
    /// Distinct units of treatment and cohort that it befell, as far as they are remembered.
    pub(super) fn failing_units(&self, event: &Event) -> usize {
        let units = |counts: &'_ ArmCounts| counts.event(event).map(|event| event.units.clone()).unwrap_or_default();
        let mut all = units(&self.treatment);
        all.extend(units(&self.cohort));
        all.sort_unstable();
        all.dedup();
        all.len()
    }

    pub(super) fn absolute_line(&self, share: Share, limit: Percentage, mixture: &Mixture, control_fails: bool) -> String {
        let ((hits, trials), (others, compared)) = (self.share(share), share.of(&self.control));
        let rate = percent(float(hits) / float(trials).max(1.0));
        let units = self.failing_units(&share.event());
        let control = match compared {
            0 => "no control".to_owned(),
            _ => format!("control {}{}", percent(float(others) / float(compared)), if control_fails { " fails alike" } else { "" }),
        };
        let (hits, trials, e) = (count(hits), count(trials), e_value(mixture.e()));
        format!("{share} {rate} ({hits} of {trials} requests, {units} units) > {limit}, {control}; {e}")
    }

    pub(super) fn relative_line(&self, event: &Event, bad: Direction, ratio: f64, mixture: &Mixture) -> String {
        let none = EventCounts::default();
        let (treatment, control) = (self.treatment.event(event).unwrap_or(&none), self.control.event(event).unwrap_or(&none));
        let what = match event {
            Event::Error => "error".to_owned(),
            Event::NotSuccess => "not_success".to_owned(),
            Event::Slow { limit_ms } => format!("slow({limit_ms}ms)"),
            Event::Named { name } => format!("event({name})"),
        };
        let rate = times(treatment, control).map_or("none in control".to_owned(), |times| format!("{times:.1}x control"));
        let side = if bad == Direction::Above { '>' } else { '<' };
        let (units, others, e) = (count(treatment.first), count(control.first), e_value(mixture.e()));
        format!("{what} first in {units} units (control {others}): {rate} {side} {ratio}x control; {e}")
    }
}
