//! The application: instances that run what is served after a while, and what its nodes write of their reports.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use storyflag_evaluation::{Arm, Percentage};
use storyflag_release::{
    evidence::{ArmCounts, EventCounts},
    run::{Heard, NodeSecond, Row, Watched},
};

use super::{dice::Dice, model::identity, shelf::Serves};

/// What happens to a flag's requests.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Traffic {
    /// Requests a second, instance and arm.
    pub(crate) per_s: f64,
    /// Of the treatment's requests.
    pub(crate) errors: f64,
    pub(crate) control_errors: f64,
    /// From this percentage on the treatment fails.
    pub(crate) broken_from: Option<(Percentage, f64)>,
    /// Too many units are in.
    pub(crate) skewed: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Instance {
    pub(crate) id: String,
    /// What it runs comes so many seconds late.
    pub(crate) lag_s: i64,
    pub(crate) silent_until: i64,
    pub(crate) gone: bool,
    says_goodbye: bool,
    applied: u64,
}

/// What is served from a moment on.
type Served = (i64, u64, Arc<Vec<(String, Serves)>>);

/// All instances.
pub(crate) struct Crowd {
    pub(crate) instances: Vec<Instance>,
    served: VecDeque<Served>,
    pub(crate) traffic: BTreeMap<String, Traffic>,
    dice: Dice,
    incarnation: Option<u64>,
}

/// Rows that came into the store.
#[derive(Debug, Clone)]
pub(crate) struct Arrived {
    pub(crate) time: i64,
    /// (the instance, what it ran)
    pub(crate) heard: Vec<(usize, u64)>,
    /// Of treatment and cohort.
    pub(crate) counted: Vec<Counted>,
}

/// What a row says of one rollout.
#[derive(Debug, Clone)]
pub(crate) struct Counted {
    pub(crate) flag: String,
    pub(crate) rollout_revision: u64,
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    /// On which instances there were errors.
    pub(crate) failing: Vec<String>,
}

impl Crowd {
    pub(crate) fn new(dice: &mut Dice, incarnation: Option<u64>) -> Self {
        let count = dice.between(1, 4);
        let lag = |dice: &mut Dice| if dice.chance(70) { 0 } else { dice.between(1, 3) };
        let instance = |number, dice: &mut Dice| Instance {
            id: format!("host-{number}"),
            lag_s: lag(dice),
            silent_until: 0,
            gone: false,
            says_goodbye: false,
            applied: 0,
        };
        let instances = (0..count).map(|number| instance(number, dice)).collect();
        Self { instances, served: VecDeque::new(), traffic: BTreeMap::new(), dice: dice.fork(), incarnation }
    }

    /// What is served now.
    pub(crate) fn serve(&mut self, now: i64, revision: u64, serves: Vec<(String, Serves)>) {
        if self.served.back().is_some_and(|(_, known, _)| *known == revision) {
            return;
        }
        self.served.push_back((now, revision, Arc::new(serves)));
        if self.served.len() > 40 {
            self.served.pop_front();
        }
    }

    pub(crate) fn is_behind(&self, revision: u64) -> bool {
        self.served.back().is_none_or(|(_, known, _)| *known != revision)
    }

    pub(crate) fn goodbye(&mut self, index: usize) {
        let instance = &mut self.instances[index];
        (instance.gone, instance.says_goodbye) = (true, true);
    }

    /// What each of `nodes` hears in the second at `now`.
    pub(crate) fn report(&mut self, now: i64, nodes: usize) -> Vec<NodeSecond> {
        let mut heard = vec![NodeSecond::default(); nodes];
        for index in 0..self.instances.len() {
            let instance = &mut self.instances[index];
            let goodbye = std::mem::take(&mut instance.says_goodbye);
            if now < instance.silent_until || instance.gone && !goodbye {
                continue;
            }
            let ripe = self.served.iter().rev().find(|(at, ..)| at + instance.lag_s * 1_000 <= now).or(self.served.front());
            let Some((_, revision, serves)) = ripe.map(|(at, revision, serves)| (at, *revision, Arc::clone(serves))) else { continue };
            instance.applied = revision.max(instance.applied);
            let mut applied = identity(revision);
            applied.incarnation = self.incarnation.unwrap_or(applied.incarnation);
            let at = if self.dice.chance(95) { index % nodes } else { self.dice.below(nodes) };
            let id = instance.id.clone();
            heard[at].instances.push(Heard { instance: id.clone(), applied, goodbye });
            for (flag, serves) in serves.iter() {
                if let Some(rollout_revision) = serves.rollout_revision {
                    self.count(&mut heard[at], flag, serves, rollout_revision, &id);
                }
            }
        }
        heard
    }

    fn count(&mut self, heard: &mut NodeSecond, flag: &str, serves: &Serves, rollout_revision: u64, instance: &str) {
        let traffic = self.traffic[flag].clone();
        let dice = &mut self.dice;
        let percentage = serves.owned.percentage;
        let is_on = serves.owned.enabled && !serves.killed;
        let broken = traffic.broken_from.filter(|(from, _)| percentage >= *from).map(|(_, rate)| rate);
        let units: Vec<bool> = (0..3).map(|_| dice.below(1_000_000) < percentage.millionths() as usize).collect();
        let new_in = units.iter().filter(|is_in| is_on && (**is_in || traffic.skewed)).count() as u64;
        let arms = [
            (Arm::Treatment, is_on && percentage > Percentage::ZERO, broken.unwrap_or(traffic.errors), new_in),
            (Arm::Control, !is_on || percentage < Percentage::ALL, traffic.control_errors, 3 - new_in),
            (Arm::Cohort, is_on && !serves.owned.cohorts.is_empty(), broken.unwrap_or(traffic.errors), 0),
        ];
        for (arm, has_traffic, error_rate, new_units) in arms {
            let requests = if has_traffic { dice.round(traffic.per_s * if arm == Arm::Cohort { 0.1 } else { 1.0 }) } else { 0 };
            let error = dice.round(requests as f64 * error_rate).min(requests);
            let instances = if error > 0 { vec![instance.to_owned()] } else { Vec::new() };
            let units = (0..error.min(4)).map(|_| dice.draw()).collect();
            let errors = EventCounts { count: error, at_risk: requests, first: error, units, instances };
            let counts = ArmCounts { requests, success: requests - error, error, errors, new_units, ..ArmCounts::default() };
            let same = |known: &&mut Watched| known.flag == flag && known.rollout_revision == rollout_revision && known.arm == arm;
            match heard.watched.iter_mut().find(same) {
                Some(known) => known.counts.add(&counts),
                None => heard.watched.push(Watched { flag: flag.to_owned(), rollout_revision, arm, counts }),
            }
        }
    }

    /// What is noted of rows that come in at `time`.
    pub(crate) fn arrived(&self, time: i64, rows: &[Row]) -> Arrived {
        let index = |id: &str| id.trim_start_matches("host-").parse::<usize>().unwrap();
        let mut arrived = Arrived { time, heard: Vec::new(), counted: Vec::new() };
        for row in rows {
            let heard = row.heard.instances.iter().filter(|heard| !heard.goodbye);
            arrived.heard.extend(heard.map(|heard| (index(&heard.instance), heard.applied.revision)));
            for watched in row.heard.watched.iter().filter(|watched| watched.arm != Arm::Control && watched.counts.requests > 0) {
                let counts = &watched.counts;
                arrived.counted.push(Counted {
                    flag: watched.flag.clone(),
                    rollout_revision: watched.rollout_revision,
                    requests: counts.requests,
                    errors: counts.error,
                    failing: counts.errors.instances.clone(),
                });
            }
        }
        arrived
    }
}
