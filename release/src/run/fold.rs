//! From rows to what the machine is told.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use storyflag_evaluation::{Arm, Identity};

use super::Row;
use crate::{evidence::Second, machine::State};

/// A release as it is stored: the machine's state, and how far telemetry was folded into it. Both are written together, so
/// that whoever reads them goes on with the same evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Where the machine stands.
    pub state: State,
    /// The ruleset with which the release's last write came: who runs it, or a later one, runs the present step.
    pub written: Identity,
    /// When it was written, in epoch milliseconds.
    pub written_ms: i64,
    /// The revision that set the rollout as the release knows it. Another one in the targeting is somebody else's.
    pub rollout_revision: u64,
    /// The revision whose outcomes count: the present step's; while it is rolled back, the last step's.
    pub credited_revision: u64,
    /// Per node, the last second that was folded.
    pub cursors: BTreeMap<String, i64>,
}

impl Run {
    /// A release that was just created, and stands at `state`; its flag's watch came with `written`.
    pub fn scheduled(state: State, written: Identity, now: i64) -> Self {
        Self {
            state,
            written,
            written_ms: now,
            rollout_revision: written.revision,
            credited_revision: written.revision,
            cursors: BTreeMap::new(),
        }
    }

    /// Notes a write of the release. A step's outcomes count from here on; a rollback's last step goes on to count.
    pub fn wrote(&mut self, written: Identity, now: i64, is_step: bool) {
        (self.written, self.written_ms, self.rollout_revision) = (written, now, written.revision);
        if is_step {
            self.credited_revision = written.revision;
        }
    }

    /// Takes in rows: of each node those after its cursor, in the order of (second, node). What several nodes heard in
    /// seconds of the same number is added up. Rows that tell nothing of `flag` move the cursor alone.
    pub fn fold<'r>(&mut self, flag: &str, rows: impl IntoIterator<Item = &'r Row>) -> Vec<Second> {
        let mut fresh: Vec<&Row> = rows.into_iter().filter(|row| self.is_new(row)).collect();
        fresh.sort_unstable_by(|left, right| (left.second, &left.node).cmp(&(right.second, &right.node)));
        let mut seconds: Vec<(i64, Second)> = Vec::new();
        for row in fresh {
            if !self.is_new(row) {
                continue;
            }
            match self.cursors.get_mut(&row.node) {
                Some(cursor) => *cursor = row.second,
                None => drop(self.cursors.insert(row.node.clone(), row.second)),
            }
            let Some(second) = self.second(flag, row) else { continue };
            match seconds.last_mut() {
                Some((number, sum)) if *number == row.second => sum.add(&second),
                _ => seconds.push((row.second, second)),
            }
        }
        seconds.into_iter().map(|(_, second)| second).collect()
    }

    fn is_new(&self, row: &Row) -> bool {
        self.cursors.get(&row.node).is_none_or(|cursor| row.second > *cursor)
    }

    /// What a row says of the flag, as far as it is credited to the present step.
    fn second(&self, flag: &str, row: &Row) -> Option<Second> {
        let mut second = None::<Second>;
        for watched in row.heard.watched.iter().filter(|watched| watched.flag == flag) {
            let second = second.get_or_insert_with(Second::default);
            if watched.rollout_revision != self.credited_revision {
                continue;
            }
            match watched.arm {
                Arm::Treatment => second.treatment.add(&watched.counts),
                Arm::Control => second.control.add(&watched.counts),
                Arm::Cohort => second.cohort.add(&watched.counts),
                Arm::Outside => {}
            }
        }
        second
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        evidence::ArmCounts,
        run::{NodeSecond, Watched},
    };

    fn row(node: &str, second: i64, revision: u64, requests: u64) -> Row {
        let counts = ArmCounts { requests, success: requests, ..ArmCounts::default() };
        let watched = Watched { flag: "US-1".into(), rollout_revision: revision, arm: Arm::Treatment, counts };
        Row { node: node.into(), second, heard: NodeSecond { watched: vec![watched], instances: Vec::new() } }
    }

    fn run() -> Run {
        Run::scheduled(State::scheduled(None), Identity { incarnation: 1, revision: 7, digest: 0 }, 0)
    }

    #[test]
    fn every_row_counts_once_and_nodes_of_a_second_are_added_up() {
        let mut run = run();
        let rows = [row("b", 10, 7, 2), row("a", 10, 7, 1), row("a", 11, 7, 4), row("a", 11, 7, 4), row("a", 12, 6, 100)];
        let requests = |seconds: Vec<Second>| seconds.iter().map(|second| second.treatment.requests).collect::<Vec<_>>();
        assert_eq!(requests(run.fold("US-1", &rows)), [3, 4, 0], "another revision's are not credited");
        assert_eq!(run.fold("US-1", &rows), []);
        // A node whose clock is an hour behind counts all the same.
        assert_eq!(requests(run.fold("US-1", &[row("c", 3, 7, 5)])), [5]);
        assert_eq!(run.fold("US-2", &[row("c", 4, 7, 5)]), [], "nothing is said of this flag");
    }

    #[test]
    fn it_goes_on_where_it_was_written_down() {
        let mut run = run();
        run.fold("US-1", &[row("a", 1, 7, 1)]);
        let text = serde_json::to_string(&run).unwrap();
        let mut read: Run = serde_json::from_str(&text).unwrap();
        assert_eq!(read, run);
        assert_eq!(read.fold("US-1", &[row("a", 1, 7, 1)]), []);
        read.wrote(Identity { incarnation: 1, revision: 9, digest: 3 }, 50, false);
        assert_eq!((read.rollout_revision, read.credited_revision, read.written_ms), (9, 7, 50));
    }
}
