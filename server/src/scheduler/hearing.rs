//! Who reports to any node, and how long ago: what a node has in memory of one environment's instances.

use std::{
    collections::BTreeMap,
    sync::LazyLock,
    time::{Duration, Instant},
};

use storyflag_release::{
    evidence::{Health, Instances},
    run::{Rows, Run},
};

use super::books::NodeHead;
use crate::app::now_ms;

/// What an instance said counts for so many seconds.
const HEARD_S: i64 = 60;
/// Who looks more rarely has stood still, or its database was away.
const LISTENS_EVERY: Duration = Duration::from_secs(3);

/// Now, by two clocks of this node.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Epoch milliseconds: what people say, and what is written down. May jump.
    pub now_ms: i64,
    /// Since some moment of this process; never jumps. How long ago something was heard is told by it.
    pub steady: Duration,
}

/// Who was heard.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    instances: Instances,
    /// Per node, the last second whose instances were heard; of a node that was just met, where it stood then.
    nodes: BTreeMap<String, Known>,
    /// When it listened last.
    listened: Duration,
}

/// What is known of a node's rows.
#[derive(Debug, Clone, Copy)]
enum Known {
    /// It stood here when it was first seen. Whether it lives is not known until it goes on.
    Met(i64),
    /// Everybody up to here was heard.
    Heard(i64),
}

impl Moment {
    /// This one.
    pub fn now() -> Self {
        static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
        Self { now_ms: now_ms(), steady: BEGAN.elapsed() }
    }

    fn steady_ms(self) -> i64 {
        i64::try_from(self.steady.as_millis()).unwrap_or(i64::MAX)
    }
}

impl Hearing {
    /// After which second the rows of a node are wanted, where releases have folded it up to `folded`.
    pub(super) fn wants_after(&self, node: &NodeHead, folded: i64) -> i64 {
        match self.nodes.get(&node.node) {
            Some(Known::Met(met)) if node.second > *met => folded.min(met.saturating_sub(HEARD_S)),
            Some(Known::Met(_) | Known::Heard(_)) | None => folded,
        }
    }

    /// Hears who reported, each as long ago as its node's rows say. Of a node that goes on, the minute before it was met counts
    /// too: who fell silent in it is missed, not forgotten. One that does not go on may be long gone, and its instances are
    /// with other nodes.
    ///
    /// Who could not listen for a while cannot know when what it finds was written: it meets every node anew.
    pub(super) fn hear(&mut self, nodes: &[NodeHead], rows: &Rows, moment: Moment) {
        let since = moment.steady.saturating_sub(std::mem::replace(&mut self.listened, moment.steady));
        if since > LISTENS_EVERY {
            self.nodes.clear();
        }
        self.nodes.retain(|node, _| nodes.iter().any(|head| head.node == *node));
        for head in nodes {
            let after = match self.nodes.get(&head.node) {
                None => {
                    self.nodes.insert(head.node.clone(), Known::Met(head.second));
                    continue;
                }
                Some(Known::Met(met)) if head.second <= *met => continue,
                Some(Known::Met(met)) => met.saturating_sub(HEARD_S),
                Some(Known::Heard(heard)) => *heard,
            };
            let mut last = after;
            for row in rows.iter().filter(|row| row.node == head.node && row.second > after) {
                let ago_ms = head.second.saturating_sub(row.second).saturating_mul(1_000);
                for heard in &row.heard.instances {
                    self.instances.hear(&heard.instance, heard.applied, heard.goodbye, moment.steady_ms().saturating_sub(ago_ms));
                }
                last = last.max(row.second);
            }
            self.nodes.insert(head.node.clone(), Known::Heard(last));
        }
    }

    /// How telemetry stands for a release.
    pub(super) fn health(&self, run: &Run, moment: Moment) -> Health {
        let written_ago_ms = moment.now_ms.saturating_sub(run.written_ms);
        self.instances.health(run.written, moment.steady_ms().saturating_sub(written_ago_ms), moment.steady_ms())
    }
}

#[cfg(test)]
mod tests {
    use storyflag_evaluation::Identity;
    use storyflag_release::{
        machine::State,
        run::{Heard, NodeSecond, Row},
    };

    use super::*;

    const APPLIED: Identity = Identity { incarnation: 1, revision: 7, digest: 0 };

    /// What was written of node `a` up to `second`, heard at `steady_s` while the wall clock says `wall_s`: how many are current.
    fn current(hearing: &mut Hearing, second: i64, steady_s: u64, wall_s: i64) -> u64 {
        let moment = Moment { now_ms: wall_s * 1_000, steady: Duration::from_secs(steady_s) };
        let heard =
            NodeSecond { instances: vec![Heard { instance: "shop".into(), applied: APPLIED, goodbye: false }], ..NodeSecond::default() };
        let rows = Rows::new(vec![Row { node: "a".into(), second, heard }]);
        hearing.hear(&[NodeHead { node: "a".into(), second }], &rows, moment);
        let run = Run::scheduled(State::scheduled(None), APPLIED, moment.now_ms);
        hearing.health(&run, moment).current
    }

    #[test]
    fn a_node_is_believed_when_it_goes_on() {
        let mut hearing = Hearing::default();
        let seen = [(100, 1), (100, 2), (101, 3), (102, 4)].map(|(second, steady)| current(&mut hearing, second, steady, 500));
        assert_eq!(seen, [0, 0, 1, 1]);
    }

    #[test]
    fn what_lay_there_after_an_outage_is_no_news() {
        let mut hearing = Hearing::default();
        for second in 1..4 {
            current(&mut hearing, second, second.unsigned_abs(), second);
        }
        // It wrote until 6, nobody could look until 20.
        assert_eq!(current(&mut hearing, 6, 20, 20), 0, "perhaps it has ended");
        assert_eq!(current(&mut hearing, 7, 21, 21), 1, "it goes on");
    }

    #[test]
    fn a_clock_that_jumps_makes_nobody_younger() {
        let mut hearing = Hearing::default();
        for second in 1..4 {
            current(&mut hearing, second, second.unsigned_abs(), second);
        }
        let seen = [(4, 3_600), (5, -3_600), (6, 6), (7, 0)].map(|(steady, wall)| current(&mut hearing, 3, steady, wall));
        assert_eq!(seen, [1, 1, 1, 0], "heard at 3, whatever the wall says");
    }
}
