//! What goes wrong in a world, and that it is over.

use super::{Source, Trap, World};
use crate::{agenda::Fault, gate::Op, node::Node, shelf::Shelf, telemetry::Traffic};

impl<S: Shelf> World<S> {
    /// What cannot be told for sure begins here, and is over then.
    pub(super) fn disturb(&mut self, until: i64) {
        self.disturbed.push(self.now);
        self.calm_from = self.calm_from.max(until);
    }

    pub(super) fn fault(&mut self, fault: Fault) {
        self.faults += 1;
        let now = self.now;
        let until = |for_s: i64| now + for_s * 1_000;
        match fault {
            Fault::Crash { op, skip, down_s } => self.traps.push(Trap { op, skip, down_ms: down_s * 1_000, is_crash: true }),
            Fault::Stall { op, skip, for_s } => self.traps.push(Trap { op, skip, down_ms: for_s * 1_000, is_crash: false }),
            Fault::AllDown { down_s } => {
                for node in 0..self.nodes.len() {
                    self.crash(node, down_s * 1_000);
                }
            }
            Fault::LostAnswers(count) => self.desk.state().lose_answers += count,
            Fault::FailedOperations(count) => {
                self.desk.state().fail += count;
                self.disturb(until(3));
            }
            Fault::Away { for_s } => {
                self.away_until = until(for_s);
                self.disturb(self.away_until);
            }
            Fault::ClockJumps { node, by_ms } => {
                self.nodes[node].offset += by_ms;
                self.desk.state().offsets.insert(self.nodes[node].process, self.nodes[node].offset);
                if self.dice.chance(30) {
                    self.crowd.instances.iter_mut().for_each(|instance| instance.silent_until = until(60));
                    self.disturb(until(60));
                }
                self.disturb(until(2));
            }
            Fault::Silent { share, for_s } => {
                let count = (self.crowd.instances.len() * share).div_ceil(100);
                self.crowd.instances.iter_mut().take(count).for_each(|instance| instance.silent_until = until(for_s));
                self.disturb(until(for_s));
            }
            Fault::LateRows { node, for_s } => {
                self.nodes[node].late_until = until(for_s);
                self.disturb(until(for_s));
            }
            Fault::LostRows { node, for_s } => {
                self.nodes[node].lost_until = until(for_s);
                self.disturb(until(for_s));
            }
            Fault::DoubledRows { for_s } => self.doubled_until = until(for_s),
            Fault::Goodbye { instance } => {
                if self.crowd.instances.iter().filter(|instance| !instance.gone).count() > 1 {
                    self.crowd.goodbye(instance);
                }
                self.disturb(until(5));
            }
            Fault::NoReadings { for_s, is_error } => {
                self.reading = Source { until: until(for_s), is_error };
                self.disturb(until(for_s));
            }
            Fault::Skewed { for_s } => self.twist(until(for_s), |traffic| traffic.skewed = true),
            Fault::ControlFails { for_s } => self.twist(until(for_s), |traffic| {
                (traffic.errors, traffic.control_errors) = (0.5, 0.5);
            }),
        }
    }

    pub(super) fn twist(&mut self, until: i64, how: impl Fn(&mut Traffic)) {
        self.crowd.traffic.values_mut().for_each(how);
        self.twisted_until = until;
        self.disturb(until);
    }

    /// A process ends wherever it is.
    pub(super) fn crash(&mut self, index: usize, down_ms: i64) {
        self.desk.log(|| format!("process {} ends", self.nodes[index].process));
        self.tasks.retain(|task| task.node != Some(index));
        let up_at = self.now + down_ms;
        let offset = self.nodes[index].offset;
        self.nodes[index] = Node { up_at, ..self.born(offset) };
        self.disturb(up_at + 5_000);
    }

    /// Crashes and stalls that wait for this operation.
    pub(super) fn spring(&mut self, chosen: usize, op: Op) {
        let Some(node) = self.tasks[chosen].node else { return };
        let Some(trap) = self.traps.iter_mut().position(|trap| trap.op == op) else { return };
        if self.traps[trap].skip > 0 {
            self.traps[trap].skip -= 1;
            return;
        }
        let Trap { down_ms, is_crash, .. } = self.traps.swap_remove(trap);
        self.desk.log(|| format!("before {op:?} process {} {}", self.nodes[node].process, if is_crash { "ends" } else { "stalls" }));
        if is_crash {
            self.crash(node, down_ms);
        } else {
            self.tasks[chosen].sleeps_until = self.now + down_ms;
            self.disturb(self.now + down_ms + 3_000);
        }
    }

    /// All faults end, and the application is well.
    pub(super) async fn heal(&mut self) {
        self.desk.log(|| "-- all is well from now on".to_owned());
        (self.away_until, self.doubled_until, self.twisted_until, self.reading) = (0, 0, 0, Source::default());
        self.healed = true;
        self.traps.clear();
        self.agenda.clear();
        {
            let mut state = self.desk.state();
            (state.lose_answers, state.fail, state.away) = (0, 0, false);
        }
        for node in &mut self.nodes {
            (node.up_at, node.late_until, node.lost_until) = (0, 0, 0);
        }
        for instance in &mut self.crowd.instances {
            (instance.silent_until, instance.gone) = (0, false);
        }
        let well = Traffic { per_s: 120.0, errors: 0.0, control_errors: 0.0, broken_from: None, skewed: false };
        self.base.fill(well.clone());
        self.crowd.traffic.values_mut().for_each(|traffic| *traffic = well.clone());
        for task in &mut self.tasks {
            task.sleeps_until = 0;
        }
        self.disturb(self.now + 5_000);
    }
}
