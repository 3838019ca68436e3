//! From rows to what the machine is told.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use storyflag_evaluation::{Arm, Identity};

use super::{Row, Watched};
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

/// Rows that many releases fold: put in order once, and what they tell of a flag is found without looking at the others.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// By (second, node), each once.
    rows: Vec<Row>,
    /// Per node, its last second.
    last: BTreeMap<String, i64>,
    /// Every entry of every row, as (row, entry): by flag, and of one flag in the order of rows.
    told: Vec<(usize, usize)>,
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

    /// Takes in rows: of each node those after its cursor, in order. The first new row of every node makes the first second,
    /// their second rows the next one, and so on: two nodes that hear for a second make one second, and their clocks are
    /// never compared. Rows that tell nothing of `flag` move the cursor alone.
    pub fn fold(&mut self, flag: &str, rows: &Rows) -> Vec<Second> {
        let mut seconds: Vec<Second> = Vec::new();
        // Per node: the number of its last row, and whose turn that was.
        let mut turns: BTreeMap<&str, (i64, usize)> = BTreeMap::new();
        for (row, watched) in rows.of(flag).filter(|(row, _)| self.is_new(row)) {
            let (number, turn) = turns.entry(&row.node).or_insert((row.second, 0));
            if *number != row.second {
                (*number, *turn) = (row.second, turn.saturating_add(1));
            }
            if seconds.len() <= *turn {
                seconds.resize(turn.saturating_add(1), Second::default());
            }
            if let Some(sum) = seconds.get_mut(*turn) {
                sum.add_watched(watched, self.credited_revision);
            }
        }
        for (node, second) in &rows.last {
            match self.cursors.get_mut(node) {
                Some(cursor) => *cursor = (*cursor).max(*second),
                None => drop(self.cursors.insert(node.clone(), *second)),
            }
        }
        seconds
    }

    fn is_new(&self, row: &Row) -> bool {
        self.cursors.get(&row.node).is_none_or(|cursor| row.second > *cursor)
    }
}

impl Rows {
    /// These, in whatever order; one that comes twice is one.
    pub fn new(mut rows: Vec<Row>) -> Self {
        rows.sort_by(|left, right| (left.second, &left.node).cmp(&(right.second, &right.node)));
        rows.dedup_by(|later, earlier| (later.second, &later.node) == (earlier.second, &earlier.node));
        let mut last: BTreeMap<String, i64> = BTreeMap::new();
        for row in &rows {
            match last.get_mut(&row.node) {
                Some(second) => *second = row.second,
                None => drop(last.insert(row.node.clone(), row.second)),
            }
        }
        let places = |(row, told): (usize, &Row)| (0..told.heard.watched.len()).map(move |entry| (row, entry));
        let mut told: Vec<(usize, usize)> = rows.iter().enumerate().flat_map(places).collect();
        // Stable: what is told of a flag stays in the order of rows.
        told.sort_by(|left, right| flag_at(&rows, *left).cmp(flag_at(&rows, *right)));
        Self { rows, last, told }
    }

    /// The rows.
    pub fn iter(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter()
    }

    /// What is told of a flag, with the row that tells it.
    fn of(&self, flag: &str) -> impl Iterator<Item = (&Row, &Watched)> {
        let first = self.told.partition_point(|place| flag_at(&self.rows, *place) < flag);
        let told = self.told.get(first..).unwrap_or_default().iter().map_while(|(row, entry)| {
            let row = self.rows.get(*row)?;
            Some((row, row.heard.watched.get(*entry)?))
        });
        told.take_while(move |(_, watched)| watched.flag == flag)
    }
}

fn flag_at(rows: &[Row], (row, entry): (usize, usize)) -> &str {
    rows.get(row).and_then(|row| row.heard.watched.get(entry)).map_or("", |watched| &watched.flag)
}

impl Second {
    /// Adds what a row says, as far as it is credited to the present step.
    fn add_watched(&mut self, watched: &Watched, credited_revision: u64) {
        let sum = match watched.arm {
            _ if watched.rollout_revision != credited_revision => return,
            Arm::Treatment => &mut self.treatment,
            Arm::Control => &mut self.control,
            Arm::Cohort => &mut self.cohort,
            Arm::Outside => return,
        };
        sum.add(&watched.counts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{evidence::ArmCounts, run::NodeSecond};

    fn fold(run: &mut Run, flag: &str, rows: &[Row]) -> Vec<Second> {
        run.fold(flag, &Rows::new(rows.to_vec()))
    }

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
        assert_eq!(requests(fold(&mut run, "US-1", &rows)), [3, 4, 0], "another revision's are not credited");
        assert_eq!(fold(&mut run, "US-1", &rows), []);
        // A node whose clock is an hour behind counts all the same.
        assert_eq!(requests(fold(&mut run, "US-1", &[row("c", 3, 7, 5)])), [5]);
        assert_eq!(requests(fold(&mut run, "US-1", &[row("c", 4, 7, 5), row("a", 13, 7, 1), row("a", 14, 7, 2)])), [6, 2], "one second");
        assert_eq!(fold(&mut run, "US-2", &[row("c", 5, 7, 5)]), [], "nothing is said of this flag");
    }

    #[test]
    fn it_goes_on_where_it_was_written_down() {
        let mut run = run();
        fold(&mut run, "US-1", &[row("a", 1, 7, 1)]);
        let text = serde_json::to_string(&run).unwrap();
        let mut read: Run = serde_json::from_str(&text).unwrap();
        assert_eq!(read, run);
        assert_eq!(fold(&mut read, "US-1", &[row("a", 1, 7, 1)]), []);
        read.wrote(Identity { incarnation: 1, revision: 9, digest: 3 }, 50, false);
        assert_eq!((read.rollout_revision, read.credited_revision, read.written_ms), (9, 7, 50));
    }
}
