//! A world: nodes, an application, people and faults around one store, in virtual time.

use std::{collections::VecDeque, future::Future, pin::Pin, sync::Arc};

use storyflag_release::{evidence::Reading, machine::CommandKind, run::Row};
use storyflag_server::scheduler::Follower;

use super::{
    agenda::{self, Ask, Fault, Happening},
    bugs::Bug,
    desk::{Desk, Met},
    dice::Dice,
    gate::{Op, Went, go_on},
    node::{Answer, Finished, Node, edit, work},
    online::Online,
    plan::Spec,
    shelf::{Created, Dump, Edit, New, Shelf},
    telemetry::{Arrived, Crowd, Traffic},
    watched::Watched,
};

/// When every world on the model begins.
pub(crate) const BEGINS_MS: i64 = 1_800_000_000_000;
/// After its bakes, a release that is not disturbed has so much time to end, in milliseconds.
const SLACK_MS: i64 = 200_000;

/// What a world is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) seed: u64,
    pub(crate) bug: Option<Bug>,
    pub(crate) talks: bool,
    pub(crate) begins: i64,
    /// The most releases.
    pub(crate) releases: usize,
    /// Whether the store has one writer.
    pub(crate) serial: bool,
    pub(crate) incarnation: Option<u64>,
}

/// A world's history.
pub(crate) struct History {
    pub(crate) desk: Arc<Desk>,
    pub(crate) created: Vec<Created>,
    pub(crate) dumps: Vec<Dump>,
    pub(crate) answers: Vec<Answer>,
    pub(crate) arrived: Vec<Arrived>,
    /// Moments from which time may be told wrongly: crashes, jumps, outages, stalls.
    pub(crate) disturbed: Vec<i64>,
    pub(crate) faults: usize,
    pub(crate) met: Vec<((&'static str, &'static str), Met)>,
}

struct Task<S: Shelf> {
    node: Option<usize>,
    future: Pin<Box<dyn Future<Output = Finished<S>>>>,
    at: Option<Op>,
    sleeps_until: i64,
}

/// A crash or a stall that waits for its moment.
struct Trap {
    op: Op,
    skip: usize,
    down_ms: i64,
    is_crash: bool,
}

pub(crate) struct World<S: Shelf> {
    pub(crate) shelf: S,
    pub(crate) desk: Arc<Desk>,
    pub(crate) dice: Dice,
    pub(crate) now: i64,
    pub(crate) nodes: Vec<Node<S>>,
    pub(crate) crowd: Crowd,
    pub(crate) created: Vec<Created>,
    pub(crate) answers: Vec<Answer>,
    pub(crate) arrived: Vec<Arrived>,
    pub(crate) disturbed: Vec<i64>,
    tasks: Vec<Task<S>>,
    traps: Vec<Trap>,
    agenda: VecDeque<(i64, Happening)>,
    processes: u64,
    pub(crate) reading: Source,
    faults: usize,
    away_until: i64,
    doubled_until: i64,
    pub(crate) twisted_until: i64,
    pub(crate) base: Vec<Traffic>,
    /// Until when a fault is under way.
    pub(crate) calm_from: i64,
    pub(crate) online: Online,
    known_commits: usize,
    healed: bool,
}

/// What another source says, and until when it says something else.
#[derive(Default)]
pub(crate) struct Source {
    until: i64,
    is_error: bool,
}

/// Runs a history to its end.
pub(crate) async fn run<S: Shelf>(shelf: S, options: Options) -> History {
    let mut world = World::build(shelf, options).await;
    let longest = world.created.iter().map(|release| release.spec.bakes_ms.iter().sum::<i64>()).max().unwrap_or(0);
    let horizon_s = world.dice.between(10, longest * 12 / 10 / 1_000 + 12);
    let people = (world.nodes.len(), world.crowd.instances.len());
    world.agenda = agenda::draw(&mut world.dice, world.created.len(), people, options.begins, horizon_s).into();
    let horizon = options.begins + horizon_s * 1_000;
    while world.now <= horizon && !world.is_over() {
        world.second(false).await;
    }
    world.heal().await;
    let deadline = world.now + SLACK_MS + 3 * (longest + 5 * 9_000);
    while !world.is_over() && world.now < deadline {
        world.second(true).await;
    }
    for (index, created) in world.created.iter().enumerate() {
        if !world.online.has_ended(index) {
            world.desk.break_rule(format!("{} has come to no end: {}", created.carried.key, world.online.phase(index)));
        }
    }
    world.tail().await;
    world.close().await
}

impl<S: Shelf> World<S> {
    async fn build(shelf: S, options: Options) -> Self {
        let mut world = Self::new(shelf, options);
        let nodes = 1 + world.dice.below(3);
        let releases = if options.releases > 1 { options.releases } else { 1 + usize::from(world.dice.chance(10)) };
        for index in 0..releases {
            let dice = &mut world.dice;
            let mut spec = Spec::draw(dice);
            if options.serial {
                // Where all wait for the longest, none is long.
                spec.bakes_ms = spec.bakes_ms.map(|bake_ms| 3_000 + bake_ms % 6_000);
            }
            let new = New {
                flag: format!("US-{}", index + 1),
                spec,
                start_at: dice.chance(12).then(|| options.begins + dice.between(1, 10) * 1_000),
                from: dice.chance(8).then(|| dice.below(4)),
                percentage: agenda::draw_baseline(dice),
                now: options.begins,
            };
            let traffic = Traffic::draw(dice);
            world.add_release(new, traffic).await;
        }
        for _ in 0..nodes {
            let offset = if world.dice.chance(25) { *world.dice.pick(&[-3_600_000, 3_600_000, 700, -900, 40_000]) } else { 0 };
            world.add_node(offset);
        }
        world
    }

    /// With nobody in it yet but the application.
    pub(crate) fn new(shelf: S, options: Options) -> Self {
        let mut dice = Dice::new(options.seed);
        let desk = Arc::new(Desk::new(options.serial, options.bug, options.talks, options.begins));
        desk.state().time = options.begins;
        let crowd = Crowd::new(&mut dice, options.incarnation);
        Self {
            shelf,
            desk,
            dice,
            now: options.begins,
            nodes: Vec::new(),
            crowd,
            created: Vec::new(),
            answers: Vec::new(),
            arrived: Vec::new(),
            disturbed: Vec::new(),
            tasks: Vec::new(),
            traps: Vec::new(),
            agenda: VecDeque::new(),
            processes: 0,
            reading: Source::default(),
            faults: 0,
            away_until: 0,
            doubled_until: 0,
            twisted_until: 0,
            base: Vec::new(),
            calm_from: options.begins,
            online: Online::default(),
            known_commits: 0,
            healed: false,
        }
    }

    pub(crate) async fn add_release(&mut self, new: New, traffic: Traffic) {
        self.desk.log(|| format!("release {}: {new:?}, {traffic:?}", self.created.len()));
        let created = self.shelf.create(&new).await;
        self.online.add(&created);
        self.created.push(created);
        self.crowd.traffic.insert(new.flag, traffic.clone());
        self.base.push(traffic);
    }

    pub(crate) fn add_node(&mut self, offset: i64) {
        let node = self.born(offset);
        self.nodes.push(node);
    }

    /// A process, with nothing in memory.
    fn born(&mut self, offset: i64) -> Node<S> {
        self.processes += 1;
        self.desk.state().offsets.insert(self.processes, offset);
        let books = Watched::new(self.shelf.books(), Arc::clone(&self.desk), self.processes);
        Node {
            process: self.processes,
            follower: Some(Box::new(Follower::new(books))),
            offset,
            moved: None,
            up_at: 0,
            last_second: 0,
            rows: VecDeque::new(),
            late_until: 0,
            lost_until: 0,
            asked: Vec::new(),
        }
    }

    /// A second goes by.
    pub(crate) async fn second(&mut self, healed: bool) {
        self.now += 1_000;
        self.skip_outage();
        self.desk.state().time = self.now;
        self.revive();
        while self.agenda.front().is_some_and(|(at, _)| *at <= self.now) {
            let Some((_, happening)) = self.agenda.pop_front() else { break };
            self.happen(happening);
        }
        if healed {
            self.help().await;
        }
        self.report().await;
        self.wake();
        self.settle().await;
        self.follow_up();
        let mut online = std::mem::take(&mut self.online);
        online.look(self);
        self.online = online;
    }

    /// Nothing is done in the middle of an outage of hours: its beginning and its end are lived through.
    fn skip_outage(&mut self) {
        let everybody_down = self.nodes.iter().map(|node| node.up_at).min().unwrap_or(0);
        let until = self.away_until.max(everybody_down).min(self.agenda.front().map_or(i64::MAX, |(at, _)| *at));
        let until = if self.away_until > self.now + 15_000 || everybody_down > self.now + 15_000 { until } else { 0 };
        if until > self.now + 30_000 && self.disturbed.last().is_some_and(|at| self.now > at + 15_000) {
            self.now = until - 5_000;
            self.now -= self.now.rem_euclid(1_000);
        }
    }

    fn revive(&mut self) {
        let (now, mut state) = (self.now, self.desk.state());
        state.away = now < self.away_until;
        state.doubled_rows = now < self.doubled_until;
        drop(state);
        if self.twisted_until != 0 && now >= self.twisted_until {
            self.twisted_until = 0;
            for (index, base) in self.base.iter().enumerate() {
                self.crowd.traffic.insert(format!("US-{}", index + 1), base.clone());
            }
        }
    }

    /// What cannot be told for sure begins here, and is over then.
    fn disturb(&mut self, until: i64) {
        self.disturbed.push(self.now);
        self.calm_from = self.calm_from.max(until);
    }

    pub(crate) fn happen(&mut self, happening: Happening) {
        self.desk.log(|| format!("-- {happening:?}"));
        match happening {
            Happening::Ask { release, ask } => {
                let node = self.dice.below(self.nodes.len());
                let id = self.created[release].id;
                self.nodes[node].asked.push((release, id, ask));
            }
            Happening::Edit { release, edit: how } => {
                let flag = self.created[release].carried.flag.clone();
                let future = Box::pin(edit(self.shelf.clone(), Arc::clone(&self.desk), release, flag, how));
                self.tasks.push(Task { node: None, future, at: None, sleeps_until: 0 });
            }
            Happening::Fault(fault) => self.fault(fault),
        }
    }

    fn fault(&mut self, fault: Fault) {
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

    fn twist(&mut self, until: i64, how: impl Fn(&mut Traffic)) {
        self.crowd.traffic.values_mut().for_each(how);
        self.twisted_until = until;
        self.disturb(until);
    }

    /// A process ends wherever it is.
    fn crash(&mut self, index: usize, down_ms: i64) {
        self.desk.log(|| format!("process {} ends", self.nodes[index].process));
        self.tasks.retain(|task| task.node != Some(index));
        let up_at = self.now + down_ms;
        let offset = self.nodes[index].offset;
        self.nodes[index] = Node { up_at, ..self.born(offset) };
        self.disturb(up_at + 5_000);
    }

    /// The application reports, and each node writes what it heard in the second before.
    async fn report(&mut self) {
        let up: Vec<usize> = (0..self.nodes.len()).filter(|node| self.nodes[*node].up_at <= self.now).collect();
        if self.now >= self.away_until {
            let (revision, _) = self.shelf.stands().await.unwrap();
            if self.crowd.is_behind(revision) {
                let serves = self.shelf.serves().await;
                self.crowd.serve(self.now, revision, serves);
            }
        }
        if up.is_empty() {
            return;
        }
        let mut ripe = Vec::new();
        let heard = self.crowd.report(self.now, up.len());
        for (node, heard) in up.iter().zip(heard) {
            let (now, is_away) = (self.now, self.now < self.away_until);
            // SQLite's one writer may be stalled.
            let is_held = self.desk.serial && self.desk.state().writer.is_some();
            let node = &mut self.nodes[*node];
            let second = ((now + node.offset) / 1_000).max(node.last_second + 1);
            node.last_second = second;
            if now < node.lost_until {
                continue;
            }
            node.rows.push_back(Row { node: format!("node-{}", node.process), second, heard });
            if is_away || is_held || now < node.late_until {
                // What cannot be written for 10 s is dropped.
                if node.rows.len() > 10 && is_away {
                    node.rows.pop_front();
                }
                continue;
            }
            ripe.extend(node.rows.drain(..));
        }
        if !ripe.is_empty() {
            let arrived = self.crowd.arrived(self.now, &ripe);
            self.arrived.push(arrived);
            self.shelf.put_rows(&ripe).await;
        }
    }

    /// Every node looks.
    fn wake(&mut self) {
        let in_trouble = self.now < self.reading.until;
        let reading = match (in_trouble, self.reading.is_error) {
            (false, _) => Some(Reading::Value(1.0)),
            (true, false) => None,
            (true, true) => Some(Reading::SourceError("no answer".to_owned())),
        };
        for index in 0..self.nodes.len() {
            let node = &mut self.nodes[index];
            if node.up_at > self.now {
                continue;
            }
            let Some(follower) = node.follower.take() else { continue };
            let asked = std::mem::take(&mut node.asked);
            let task = work(self.shelf.clone(), Arc::clone(&self.desk), follower, asked, node.moved, reading.clone());
            self.tasks.push(Task { node: Some(index), future: Box::pin(task), at: None, sleeps_until: 0 });
        }
    }

    /// Lets tasks go on, one operation at a time and in any order, until all are over, stalled or wait for a stalled one.
    async fn settle(&mut self) {
        loop {
            let ready: Vec<usize> = {
                let state = self.desk.state();
                let (held, row_held, serial) = (state.writer.is_some(), state.row_held, self.desk.serial);
                let waits = |at: Option<Op>| match at {
                    Some(Op::Edit | Op::Unwatch) => held,
                    Some(Op::Lock) => held && !serial,
                    Some(Op::Begin) => held && serial,
                    Some(Op::Snapshot) => row_held || held && serial,
                    _ => false,
                };
                let is_ready = |task: &Task<S>| task.sleeps_until <= self.now && !waits(task.at);
                self.tasks.iter().enumerate().filter(|(_, task)| is_ready(task)).map(|(index, _)| index).collect()
            };
            if ready.is_empty() {
                return;
            }
            let chosen = ready[if ready.len() == 1 { 0 } else { self.dice.below(ready.len()) }];
            match go_on(&self.desk.gate, &mut self.tasks[chosen].future).await {
                Went::Stopped(op) => {
                    self.tasks[chosen].at = Some(op);
                    self.spring(chosen, op);
                }
                Went::Done(finished) => {
                    let task = self.tasks.swap_remove(chosen);
                    self.finish(task.node, finished);
                }
            }
        }
    }

    /// Crashes and stalls that wait for this operation.
    fn spring(&mut self, chosen: usize, op: Op) {
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

    fn finish(&mut self, node: Option<usize>, finished: Finished<S>) {
        self.answers.extend(finished.answers);
        if let Some(node) = node {
            (self.nodes[node].follower, self.nodes[node].moved) = (finished.follower, finished.moved);
        }
    }

    /// People who see a transition do something about it.
    fn follow_up(&mut self) {
        let fresh: Vec<String> = {
            let state = self.desk.state();
            state.commits[self.known_commits..].iter().filter(|commit| !commit.records.is_empty()).map(|c| c.release.clone()).collect()
        };
        self.known_commits = self.desk.state().commits.len();
        for key in fresh {
            if self.dice.chance(6)
                && let Some(release) = self.created.iter().position(|created| created.carried.key == key)
                && !self.healed
            {
                let happening = match self.dice.chance(80) {
                    true => Happening::Ask { release, ask: Ask::draw(&mut self.dice) },
                    false => Happening::Edit { release, edit: agenda::draw_edit(&mut self.dice, self.now) },
                };
                self.agenda.push_front((self.now, happening));
            }
        }
    }

    /// All faults end, and the application is well.
    async fn heal(&mut self) {
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

    /// Somebody who does what a release waits for.
    async fn help(&mut self) {
        if (self.now / 1_000) % 4 != 0 {
            return;
        }
        for release in 0..self.created.len() {
            let kind = match self.online.phase(release) {
                "scheduled" => CommandKind::Start { from: None },
                "paused" => CommandKind::Resume,
                "awaiting approval" | "awaiting approval: thin evidence" | "holding: sample ratio" => CommandKind::Approve,
                _ => continue,
            };
            if self.online.is_killed(release) && self.online.phase(release) == "scheduled" {
                self.happen(Happening::Edit { release, edit: Edit::Revive });
            }
            let mut ask = Ask::of(kind);
            if let CommandKind::Start { from } = &mut ask.kind
                && self.online.refused_starts(release, &self.answers) > 0
            {
                *from = Some(4);
            }
            self.happen(Happening::Ask { release, ask });
        }
    }

    /// After the end: people ask on, nodes look on, and at last the watch ends.
    async fn tail(&mut self) {
        for _ in 0..4 {
            for release in 0..self.created.len() {
                let ask = Ask::draw(&mut self.dice);
                self.happen(Happening::Ask { release, ask });
            }
            self.second(false).await;
        }
        if self.dice.chance(5) {
            self.now += 26 * 3_600_000;
            self.second(false).await;
            self.second(false).await;
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        (0..self.created.len()).all(|release| self.online.has_ended(release))
    }

    pub(crate) async fn close(self) -> History {
        let mut dumps = Vec::new();
        for created in &self.created {
            dumps.push(self.shelf.dump(created).await);
        }
        let met = std::mem::take(&mut self.desk.state().met).into_iter().collect();
        History {
            desk: self.desk,
            created: self.created,
            dumps,
            answers: self.answers,
            arrived: self.arrived,
            disturbed: self.disturbed,
            faults: self.faults,
            met,
        }
    }
}
