//! A world that a test drives by hand.

use storyflag_release::machine::CommandKind;

use super::{
    agenda::{Ask, Fault, Happening},
    checks::check,
    histories::{at_once, print_log},
    model::Model,
    node::Said,
    plan::{Kind, Spec, percent},
    shelf::{Dump, Edit, New, Shelf},
    telemetry::Traffic,
    world::{BEGINS_MS, Options, World},
};

pub(crate) struct Stage(pub(crate) World<Model>);

/// Five steps of 4 s, and `error_rate > 5%`.
pub(crate) fn plan() -> Spec {
    let kind = Kind { plain: false, relative: false, reading: false, unless_control_fails: false, cohort: false, check_box: false };
    Spec { bakes_ms: [4_000; 5], approvals: [false; 5], kind }
}

impl Stage {
    /// A flag at `percentage`, and so many nodes.
    pub(crate) fn new(spec: Spec, percentage: f64, nodes: usize) -> Self {
        let options = Options { seed: 7, bug: None, talks: true, begins: BEGINS_MS, releases: 1, serial: false, incarnation: None };
        let mut world = World::new(Model::new(false), options);
        let percentage = percent(percentage);
        let new = New { flag: "US-1".to_owned(), spec, start_at: None, from: None, percentage, now: BEGINS_MS };
        let traffic = Traffic { per_s: 100.0, errors: 0.0, control_errors: 0.0, broken_from: None, skewed: false };
        at_once(world.add_release(new, traffic));
        for _ in 0..nodes {
            world.add_node(0);
        }
        let mut stage = Self(world);
        stage.seconds(2);
        stage
    }

    /// The same, its first step taken.
    pub(crate) fn started(spec: Spec, percentage: f64, nodes: usize) -> Self {
        let mut stage = Self::new(spec, percentage, nodes);
        assert_eq!(stage.ask(CommandKind::Start { from: None }), Said::Done(None));
        stage
    }

    pub(crate) fn seconds(&mut self, count: usize) {
        for _ in 0..count {
            at_once(self.0.second(false));
        }
    }

    /// Until it is in a phase.
    pub(crate) fn until(&mut self, phase: &str) {
        for _ in 0..900 {
            if self.phase() == phase {
                return;
            }
            self.seconds(1);
        }
        panic!("never {phase}, but {}", self.phase());
    }

    pub(crate) fn ask(&mut self, kind: CommandKind) -> Said {
        self.0.happen(Happening::Ask { release: 0, ask: Ask::of(kind) });
        self.seconds(1);
        self.0.answers.last().unwrap().said.clone()
    }

    pub(crate) fn edit(&mut self, edit: Edit) -> Said {
        self.0.happen(Happening::Edit { release: 0, edit });
        self.seconds(1);
        self.0.answers.last().unwrap().said.clone()
    }

    pub(crate) fn fault(&mut self, fault: Fault) {
        self.0.happen(Happening::Fault(fault));
    }

    /// So many of the treatment's requests fail from now on.
    pub(crate) fn errors(&mut self, share: f64) {
        self.0.base[0].errors = share;
        let traffic = self.0.base[0].clone();
        self.0.crowd.traffic.insert("US-1".to_owned(), traffic);
    }

    pub(crate) fn dump(&self) -> Dump {
        at_once(self.0.shelf.dump(&self.0.created[0]))
    }

    pub(crate) fn phase(&self) -> &'static str {
        self.dump().run.state.phase.name()
    }

    /// What the release wrote.
    pub(crate) fn percentages(&self) -> Vec<f64> {
        let changes = self.dump().changes;
        changes.iter().filter(|change| change.by.starts_with("release:")).map(|change| change.owned.percentage.percent()).collect()
    }

    /// Everything that is checked of any history.
    pub(crate) fn close(self) {
        let history = at_once(self.0.close());
        let broken = check(&history);
        if !broken.is_empty() {
            print_log(&history);
            panic!("{broken:#?}");
        }
    }
}
