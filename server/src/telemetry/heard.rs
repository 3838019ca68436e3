//! What this node heard and has not written yet, and who was there lately. Time is a parameter.

use std::collections::HashMap;

use storyflag::TelemetryMessage;
use storyflag_evaluation::{Identity, Ruleset};
use storyflag_release::run;

use super::{minutes::Minutes, seconds::Seconds};
use crate::store::{InstanceRow, SecondRow, UsageRow};

/// Instances of one environment that a node remembers; more are ignored and counted.
const INSTANCES: usize = 50_000;
/// How far a client's sequence may jump: ten messages a second for a day.
const SEQUENCE_JUMP: u64 = 864_000;
/// Flags of one message that are counted.
const FLAGS: usize = 1_000;

#[derive(Default)]
pub(super) struct Heard {
    instances: HashMap<i64, HashMap<String, Instance>>,
    usage: HashMap<(i64, String, String), u64>,
    seconds: Seconds,
    pub(super) minutes: Minutes,
    /// Seconds that are over, ascending.
    closed: Vec<SecondRow>,
    /// Counts the seconds that were closed.
    period: u64,
    /// Since when something has been waiting to be written.
    unwritten_since: Option<i64>,
}

struct Instance {
    row: InstanceRow,
    applied: Identity,
    sequence: u64,
    written: bool,
    /// The period in which it was last heard of.
    period: u64,
}

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Took {
    /// Parts that tell nothing new, or of nothing that is known here.
    pub(super) ignored: u64,
}

/// What is to be written.
#[derive(Debug)]
pub(super) struct Unwritten {
    pub(super) instances: Vec<InstanceRow>,
    pub(super) usage: Vec<UsageRow>,
    pub(super) seconds: Vec<SecondRow>,
    pub(super) since: i64,
}

impl Heard {
    pub(super) fn take(&mut self, environment: i64, ruleset: &Ruleset, message: &TelemetryMessage, node: &str, now: i64) -> Took {
        // Nobody came to write it: the database is slow, perhaps.
        if self.seconds.is_over(now) {
            self.close_second(now);
        }
        let instances = self.instances.entry(environment).or_default();
        let (sequence, applied, period) = (message.sequence, message.applied.unwrap_or_default(), self.period);
        let is_full = instances.len() >= INSTANCES;
        match instances.get_mut(&message.instance) {
            // A proxy sent it twice, or it was overtaken.
            Some(known) if sequence <= known.sequence => return Took { ignored: 1 },
            // Nobody sends so many while it is remembered: whoever says so wants it to be heard no more.
            Some(known) if sequence.saturating_sub(known.sequence) > SEQUENCE_JUMP => return Took { ignored: 1 },
            Some(known) => {
                if known.applied != applied {
                    known.row.applied = applied.to_string();
                }
                known.row.sdk.clone_from(&message.sdk);
                (known.row.last_seen_at, known.row.goodbye) = (now, message.goodbye);
                (known.applied, known.sequence, known.written, known.period) = (applied, sequence, false, period);
            }
            None if is_full => return Took { ignored: 1 },
            None => {
                let row = InstanceRow {
                    environment,
                    instance: message.instance.clone(),
                    node: node.to_owned(),
                    sdk: message.sdk.clone(),
                    applied: applied.to_string(),
                    last_seen_at: now,
                    goodbye: message.goodbye,
                };
                instances.insert(message.instance.clone(), Instance { row, applied, sequence, written: false, period });
            }
        }
        self.unwritten_since.get_or_insert(now);
        let ignored = self.seconds.take(environment, ruleset, message, now);
        Took { ignored: ignored.saturating_add(self.count(environment, ruleset, message)) }
    }

    /// Ends the second that is being added up.
    pub(super) fn close_second(&mut self, now: i64) {
        for closed in self.seconds.close(now) {
            let heard = closed.row(self.heard_now(closed.environment));
            self.closed.push(SecondRow { environment: closed.environment, second: closed.second, heard });
            self.minutes.add(closed);
        }
        self.period = self.period.wrapping_add(1);
    }

    fn heard_now(&self, environment: i64) -> Vec<run::Heard> {
        let instances = self.instances.get(&environment).into_iter().flatten();
        let heard = instances.filter(|(_, instance)| instance.period == self.period);
        heard
            .map(|(name, instance)| run::Heard { instance: name.clone(), applied: instance.applied, goodbye: instance.row.goodbye })
            .collect()
    }

    /// Counts only what the environment serves: names that a client makes up take no room.
    fn count(&mut self, environment: i64, ruleset: &Ruleset, message: &TelemetryMessage) -> u64 {
        let mut ignored = u64::try_from(message.usage.len().saturating_sub(FLAGS)).unwrap_or(u64::MAX);
        for (key, variants) in message.usage.iter().take(FLAGS) {
            let flag = ruleset.flag(key);
            for (variant, count) in variants.iter().filter(|(_, count)| **count > 0) {
                if flag.is_some_and(|flag| flag.variants().any(|(name, _)| name == variant)) {
                    let sum = self.usage.entry((environment, key.clone(), variant.clone())).or_default();
                    *sum = sum.saturating_add(*count);
                } else {
                    ignored = ignored.saturating_add(1);
                }
            }
        }
        ignored
    }

    /// Everybody of an environment who was not forgotten.
    pub(super) fn present(&self, environment: i64) -> impl Iterator<Item = InstanceRow> {
        self.instances.get(&environment).into_iter().flatten().map(|(_, instance)| instance.row.clone())
    }

    /// What waits to be written, if anything does; and forgets who was last heard of before `forget`.
    pub(super) fn take_unwritten(&mut self, forget: i64) -> Option<Unwritten> {
        let mut rows = Vec::new();
        for instances in self.instances.values_mut() {
            for instance in instances.values_mut().filter(|instance| !instance.written) {
                instance.written = true;
                rows.push(instance.row.clone());
            }
            instances.retain(|_, instance| instance.row.last_seen_at >= forget);
        }
        self.instances.retain(|_, instances| !instances.is_empty());
        let usage = std::mem::take(&mut self.usage).into_iter();
        let usage = usage.map(|((environment, flag, variant), count)| {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            UsageRow { environment, flag, variant, count }
        });
        let seconds = std::mem::take(&mut self.closed);
        Some(Unwritten { instances: rows, usage: usage.collect(), seconds, since: self.unwritten_since.take()? })
    }

    /// It could not be written: it waits again, with what came meanwhile.
    pub(super) fn put_back(&mut self, unwritten: Unwritten) {
        for row in unwritten.instances {
            let instance = self.instances.get_mut(&row.environment).and_then(|instances| instances.get_mut(&row.instance));
            if let Some(instance) = instance {
                instance.written = false;
            }
        }
        for row in unwritten.usage {
            let sum = self.usage.entry((row.environment, row.flag, row.variant)).or_default();
            *sum = sum.saturating_add(u64::try_from(row.count).unwrap_or_default());
        }
        let later = std::mem::replace(&mut self.closed, unwritten.seconds);
        self.closed.extend(later);
        self.unwritten_since = Some(unwritten.since);
    }
}

#[cfg(test)]
mod tests {
    use storyflag_evaluation::Identity;

    use super::*;

    const NOW: i64 = 1_764_000_000_000;

    fn ruleset() -> Ruleset {
        let flag = r#"{"key":"checkout","killed":false,"off":"off","variants":{"on":true,"off":false},"enabled":true,"seed":"checkout",
            "unit":"targetingKey","rollout":{"millionths":0,"serve":"on"}}"#;
        Ruleset::compile(Identity::default(), &[flag], &[], None)
    }

    fn message(instance: &str, sequence: u64, usage: &[(&str, &str, u64)]) -> TelemetryMessage {
        let mut message: TelemetryMessage =
            serde_json::from_value(serde_json::json!({"instance": instance, "sequence": sequence, "sdk": "rust/0.1.0"})).unwrap();
        for (flag, variant, count) in usage {
            message.usage.entry((*flag).to_owned()).or_default().insert((*variant).to_owned(), *count);
        }
        message
    }

    fn sums(unwritten: &Unwritten) -> Vec<(&str, &str, i64)> {
        let mut sums: Vec<_> = unwritten.usage.iter().map(|row| (row.flag.as_str(), row.variant.as_str(), row.count)).collect();
        sums.sort_unstable();
        sums
    }

    #[test]
    fn adds_up_what_is_served_and_nothing_else() {
        let (mut heard, ruleset) = (Heard::default(), ruleset());
        assert!(heard.take_unwritten(NOW).is_none());
        let first = message("a", 1, &[("checkout", "on", 3), ("checkout", "off", 7), ("checkout", "purple", 1), ("made-up", "on", 1)]);
        assert_eq!(heard.take(1, &ruleset, &first, "n", NOW), Took { ignored: 2 });
        assert_eq!(heard.take(1, &ruleset, &message("b", 1, &[("checkout", "on", 2)]), "n", NOW), Took { ignored: 0 });
        // Sent twice.
        assert_eq!(heard.take(1, &ruleset, &first, "n", NOW), Took { ignored: 1 });
        let unwritten = heard.take_unwritten(NOW).unwrap();
        assert_eq!(sums(&unwritten), [("checkout", "off", 7), ("checkout", "on", 5)]);
        assert_eq!(unwritten.instances.len(), 2);
        assert!(heard.take_unwritten(NOW).is_none());
        assert_eq!(heard.present(1).count(), 2);
    }

    #[test]
    fn what_could_not_be_written_waits_with_what_came_meanwhile() {
        let (mut heard, ruleset) = (Heard::default(), ruleset());
        heard.take(1, &ruleset, &message("a", 1, &[("checkout", "on", 3)]), "n", NOW);
        let unwritten = heard.take_unwritten(NOW).unwrap();
        heard.take(1, &ruleset, &message("b", 1, &[("checkout", "on", 4)]), "n", NOW + 500);
        heard.put_back(unwritten);
        let unwritten = heard.take_unwritten(NOW).unwrap();
        assert_eq!((unwritten.since, unwritten.instances.len()), (NOW, 2));
        assert_eq!(sums(&unwritten), [("checkout", "on", 7)]);
    }

    #[test]
    fn who_is_silent_is_forgotten() {
        let (mut heard, ruleset) = (Heard::default(), ruleset());
        heard.take(1, &ruleset, &message("a", 1, &[]), "n", NOW);
        heard.take(1, &ruleset, &message("b", 1, &[]), "n", NOW + 60_000);
        assert_eq!(heard.take_unwritten(NOW + 1).unwrap().instances.len(), 2);
        assert_eq!(heard.present(1).map(|row| row.instance).collect::<Vec<_>>(), ["b"]);
        heard.take_unwritten(NOW + 60_001);
        assert!(heard.instances.is_empty());
    }

    #[test]
    fn a_message_counts_for_at_most_a_thousand_flags() {
        let (mut heard, ruleset) = (Heard::default(), ruleset());
        let mut message = message("a", 1, &[]);
        message.usage = (0..1_500).map(|n| (format!("f{n}"), Default::default())).collect();
        assert_eq!(heard.take(1, &ruleset, &message, "n", NOW), Took { ignored: 500 });
    }
}
