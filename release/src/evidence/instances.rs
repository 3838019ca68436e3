//! Which processes are heard of, and what they run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use storyflag_evaluation::Identity;

/// An instance not heard of for so long no longer counts as running.
const HEARD_MS: i64 = 60_000;
/// An instance that reported this recently is current.
const CURRENT_MS: i64 = 3_000;
/// How many instances are remembered: beyond, the one not heard of for longest is forgotten.
const REMEMBERED: usize = 10_000;
/// How many instances a health names.
const NAMED: usize = 20;

/// How telemetry stands for one release, over all nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Instances heard of in the last minute, goodbyes excluded.
    pub heard: u64,
    /// Of these, how many have reported in the last 3 s and run the release's last write or something later.
    pub current: u64,
    /// How many instances have not been seen to run the release's last write: heard of in the last minute or in the minute
    /// before it, and neither gone with a goodbye nor seen at it or later since.
    pub behind: u64,
    /// The first 20 of these by name.
    pub behind_names: Vec<String>,
}

impl Health {
    /// Whether 90 % of what is heard of is current. Nobody at all is not healthy.
    pub fn is_healthy(&self) -> bool {
        self.heard > 0 && self.current.saturating_mul(10) >= self.heard.saturating_mul(9)
    }
}

/// Every instance of one environment, folded from the seconds of all nodes. Lives in the memory of a node, not in a
/// release's state: a node that starts knows everyone again after a second or two.
#[derive(Debug, Clone, Default)]
pub struct Instances {
    heard: BTreeMap<String, Heard>,
}

#[derive(Debug, Clone, Copy)]
struct Heard {
    at_ms: i64,
    applied: (u64, u64),
    goodbye: bool,
}

impl Instances {
    /// Takes in that an instance reported at `at_ms` (by a clock of the reader's that never jumps) that it runs `applied`.
    pub fn hear(&mut self, instance: &str, applied: Identity, goodbye: bool, at_ms: i64) {
        let heard = Heard { at_ms, applied: applied.pair(), goodbye };
        if let Some(known) = self.heard.get_mut(instance) {
            // Nodes are read one after another, not in the order in which they heard: what is known is not unlearned. An id is of
            // one process, so a goodbye is for ever.
            known.at_ms = known.at_ms.max(heard.at_ms);
            known.applied = known.applied.max(heard.applied);
            known.goodbye |= goodbye;
            return;
        }
        if self.heard.len() >= REMEMBERED {
            let oldest = self.heard.iter().min_by_key(|(_, heard)| heard.at_ms).map(|(instance, _)| instance.clone());
            oldest.and_then(|instance| self.heard.remove(&instance));
        }
        self.heard.insert(instance.to_owned(), heard);
    }

    /// How telemetry stands at `now` for a release whose last write was `written`, at `written_ms`: by the same clock.
    pub fn health(&self, written: Identity, written_ms: i64, now: i64) -> Health {
        let mut health = Health::default();
        for (instance, heard) in self.heard.iter().filter(|(_, heard)| !heard.goodbye) {
            let age = now.saturating_sub(heard.at_ms);
            let (running, reached) = (age <= HEARD_MS, heard.applied >= written.pair());
            if running {
                health.heard += 1;
                health.current += u64::from(reached && age <= CURRENT_MS);
            }
            let was_running = heard.at_ms >= written_ms.saturating_sub(HEARD_MS);
            if !reached && (running || was_running) {
                health.behind += 1;
                if health.behind_names.len() < NAMED {
                    health.behind_names.push(instance.clone());
                }
            }
        }
        health
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(revision: u64) -> Identity {
        Identity { incarnation: 1, revision, ..Identity::default() }
    }

    #[test]
    fn who_falls_silent_before_the_last_write_reaches_it_stays_behind() {
        let mut instances = Instances::default();
        for second in 0..10 {
            for instance in ["a", "b", "c"] {
                instances.hear(instance, at(7), false, second * 1_000);
            }
        }
        assert_eq!(instances.health(at(7), 0, 9_000), Health { heard: 3, current: 3, ..Health::default() });
        // Revision 8 is written at 10 s: a reaches it, b says goodbye, c is never heard of again.
        instances.hear("a", at(8), false, 11_000);
        instances.hear("b", at(7), true, 11_000);
        let health = instances.health(at(8), 10_000, 11_500);
        assert_eq!((health.heard, health.current, health.behind_names.as_slice()), (2, 1, ["c".to_owned()].as_slice()));
        assert!(!health.is_healthy());
        instances.hear("a", at(9), false, 200_000);
        let late = instances.health(at(8), 10_000, 200_000);
        assert_eq!((late.heard, late.current, late.behind), (1, 1, 1));
        assert!(late.is_healthy());
    }

    #[test]
    fn what_another_node_heard_before_takes_nothing_back() {
        let mut instances = Instances::default();
        instances.hear("a", at(8), true, 2_000);
        instances.hear("a", at(7), false, 1_000);
        assert_eq!(instances.health(at(8), 0, 2_000).heard, 0, "it said goodbye");
        instances.hear("b", at(8), false, 2_000);
        instances.hear("b", at(7), false, 1_500);
        assert_eq!(instances.health(at(8), 0, 2_000).current, 1);
    }

    #[test]
    fn nobody_is_not_healthy_and_memory_is_bounded() {
        assert!(!Instances::default().health(at(1), 0, 0).is_healthy());
        let mut instances = Instances::default();
        for instance in 0..10_050 {
            instances.hear(&instance.to_string(), at(1), false, i64::from(instance));
        }
        assert_eq!(instances.health(at(1), 0, 10_050).heard, 10_000);
    }
}
