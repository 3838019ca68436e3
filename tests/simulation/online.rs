//! What is looked at every second: where each release stands, and whether what must happen soon does.

use std::collections::BTreeSet;

use storyflag_release::machine::CommandKind;

use super::{
    node::{Answer, Said, What},
    shelf::{Created, Edit, Shelf},
    world::World,
};

/// Undisturbed for so long, a node has seen everything and done what follows.
const SOON_MS: i64 = 9_000;

#[derive(Default)]
pub(crate) struct Online {
    releases: Vec<Followed>,
    seen_commits: usize,
    seen_answers: usize,
    control_failed: bool,
}

struct Followed {
    key: String,
    flag: String,
    number: u64,
    phase: &'static str,
    /// The revision whose outcomes count.
    step_revision: u64,
    requests: u64,
    errors: u64,
    failing: BTreeSet<String>,
    hopeless_since: Option<i64>,
    killed_since: Option<i64>,
    watches: bool,
    unless_control_fails: bool,
}

impl Online {
    pub(crate) fn add(&mut self, created: &Created) {
        self.releases.push(Followed {
            key: created.carried.key.clone(),
            flag: created.carried.flag.clone(),
            number: 0,
            phase: "scheduled",
            step_revision: u64::MAX,
            requests: 0,
            errors: 0,
            failing: BTreeSet::new(),
            hopeless_since: None,
            killed_since: None,
            watches: !created.spec.kind.plain,
            unless_control_fails: created.spec.kind.unless_control_fails,
        });
    }

    pub(crate) fn phase(&self, release: usize) -> &'static str {
        self.releases[release].phase
    }

    pub(crate) fn has_ended(&self, release: usize) -> bool {
        has_ended(self.phase(release))
    }

    pub(crate) fn is_killed(&self, release: usize) -> bool {
        self.releases[release].killed_since.is_some()
    }

    pub(crate) fn refused_starts(&self, release: usize, answers: &[Answer]) -> usize {
        let is_start = |answer: &&Answer| {
            answer.release == release
                && matches!(answer.what, What::Command(CommandKind::Start { .. }))
                && matches!(answer.said, Said::Refused(_))
        };
        answers.iter().filter(is_start).count()
    }

    pub(crate) fn look<S: Shelf>(&mut self, world: &World<S>) {
        self.take_commits(world);
        self.take_answers(world);
        self.take_memories(world);
        self.control_failed |= world.crowd.traffic.values().any(|traffic| traffic.control_errors > 0.1);
        if let Some(arrived) = world.arrived.last().filter(|arrived| arrived.time == world.now) {
            for followed in &mut self.releases {
                for counted in &arrived.counted {
                    if counted.flag == followed.flag && counted.rollout_revision == followed.step_revision {
                        followed.requests += counted.requests;
                        followed.errors += counted.errors;
                        followed.failing.extend(counted.failing.iter().cloned());
                    }
                }
            }
        }
        let instances = world.crowd.instances.len();
        let soon = world.now - SOON_MS;
        for followed in &mut self.releases {
            let is_broad = followed.failing.len() >= instances.min(2);
            let is_excused = !followed.watches || followed.unless_control_fails && self.control_failed;
            if followed.errors >= 100 && followed.errors * 2 >= followed.requests && is_broad && !is_excused {
                followed.hopeless_since.get_or_insert(world.now);
            }
            let is_under_way = !matches!(followed.phase, "rolling back") && !has_ended(followed.phase);
            if !is_under_way || world.calm_from > soon {
                continue;
            }
            if followed.hopeless_since.is_some_and(|since| since <= soon) && followed.phase != "scheduled" {
                world.desk.break_rule(format!("{} goes on though its step fails: {}", followed.key, followed.phase));
            }
            if followed.killed_since.is_some_and(|since| since <= soon) {
                world.desk.break_rule(format!("{} goes on though its flag is killed: {}", followed.key, followed.phase));
            }
        }
    }

    fn take_commits<S: Shelf>(&mut self, world: &World<S>) {
        let state = world.desk.state();
        for commit in &state.commits[self.seen_commits..] {
            let Some(followed) = self.releases.iter_mut().find(|followed| followed.key == commit.release) else { continue };
            for (record, revision) in &commit.records {
                followed.number = followed.number.max(record.number);
                followed.phase = named(&record.to);
                if let Some(revision) = revision.filter(|_| record.to != "rolling back") {
                    (followed.step_revision, followed.requests, followed.errors) = (revision, 0, 0);
                    (followed.hopeless_since, followed.failing) = (None, BTreeSet::new());
                }
            }
        }
        self.seen_commits = state.commits.len();
    }

    fn take_answers<S: Shelf>(&mut self, world: &World<S>) {
        for answer in &world.answers[self.seen_answers..] {
            let followed = &mut self.releases[answer.release];
            match (&answer.what, &answer.said) {
                (What::Edit(Edit::Kill), Said::Done(_)) => drop(followed.killed_since.get_or_insert(answer.time)),
                (What::Edit(Edit::Revive), Said::Done(_)) => followed.killed_since = None,
                _ => {}
            }
        }
        self.seen_answers = world.answers.len();
    }

    /// What people's own writes ended is known to nodes alone.
    fn take_memories<S: Shelf>(&mut self, world: &World<S>) {
        for stored in world.nodes.iter().filter_map(|node| node.follower.as_ref()).flat_map(|follower| follower.list()) {
            let Some(followed) = self.releases.iter_mut().find(|followed| followed.key == stored.carried.key) else { continue };
            if stored.run.state.number > followed.number {
                (followed.number, followed.phase) = (stored.run.state.number, stored.run.state.phase.name());
            }
        }
    }
}

pub(crate) const PHASES: [&str; 17] = [
    "scheduled",
    "baking",
    "holding: no data",
    "holding: source error",
    "holding: sample ratio",
    "holding: control fails alike",
    "holding: thin evidence",
    "awaiting approval",
    "awaiting approval: thin evidence",
    "awaiting the calendar",
    "paused",
    "rolling back",
    "rolled back",
    "rolled back, not verified",
    "completed",
    "superseded",
    "cancelled",
];

pub(crate) fn named(phase: &str) -> &'static str {
    PHASES.into_iter().find(|known| *known == phase).unwrap()
}

pub(crate) fn has_ended(phase: &str) -> bool {
    matches!(phase, "rolled back" | "rolled back, not verified" | "completed" | "superseded" | "cancelled")
}
