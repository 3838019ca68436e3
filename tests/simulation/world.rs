//! A world: nodes, an application, people and faults around one store, in virtual time.

mod faults;
mod people;

use std::{collections::VecDeque, future::Future, pin::Pin, sync::Arc};

use storyflag_release::{evidence::Reading, run::Row};
use storyflag_server::scheduler::Follower;

use super::{
    agenda::{self, Happening},
    bugs::Bug,
    desk::{Desk, Met},
    dice::Dice,
    gate::{Op, Went, go_on},
    node::{Answer, Finished, Node, edit, work},
    online::Online,
    plan::Spec,
    shelf::{Created, Dump, New, Shelf},
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

    fn finish(&mut self, node: Option<usize>, finished: Finished<S>) {
        self.answers.extend(finished.answers);
        if let Some(node) = node {
            (self.nodes[node].follower, self.nodes[node].moved) = (finished.follower, finished.moved);
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
