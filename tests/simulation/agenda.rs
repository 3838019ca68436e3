//! What happens in a history, drawn before it begins.

use storyflag_evaluation::Percentage;
use storyflag_release::machine::CommandKind;

use super::{
    dice::Dice,
    gate::Op,
    model::{BY_HAND, by_hand},
    plan::{PERCENTAGES, percent},
    shelf::Edit,
    telemetry::Traffic,
};

/// What happens at a moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Happening {
    Ask { release: usize, ask: Ask },
    Edit { release: usize, edit: Edit },
    Fault(Fault),
}

/// A command, and on what its If-Match rests.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ask {
    pub(crate) kind: CommandKind,
    pub(crate) stale: bool,
    pub(crate) force: bool,
    pub(crate) by: &'static str,
}

/// What goes wrong. Spans are seconds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fault {
    /// A node ends before the next such operation, and comes back empty.
    Crash {
        op: Op,
        skip: usize,
        down_s: i64,
    },
    /// Every node ends.
    AllDown {
        down_s: i64,
    },
    /// A node does nothing for a while, before such an operation.
    Stall {
        op: Op,
        skip: usize,
        for_s: i64,
    },
    LostAnswers(usize),
    FailedOperations(usize),
    Away {
        for_s: i64,
    },
    ClockJumps {
        node: usize,
        by_ms: i64,
    },
    Silent {
        share: usize,
        for_s: i64,
    },
    LateRows {
        node: usize,
        for_s: i64,
    },
    LostRows {
        node: usize,
        for_s: i64,
    },
    DoubledRows {
        for_s: i64,
    },
    Goodbye {
        instance: usize,
    },
    NoReadings {
        for_s: i64,
        is_error: bool,
    },
    Skewed {
        for_s: i64,
    },
    ControlFails {
        for_s: i64,
    },
}

const PEOPLE: [&str; 3] = ["mia", "noor", "otto"];
/// Where a transition can be cut.
const CUTS: [Op; 12] = [
    Op::Begin,
    Op::Lock,
    Op::Head,
    Op::Targeting,
    Op::Write,
    Op::Record,
    Op::Tell,
    Op::Replace,
    Op::Commit,
    Op::Committed,
    Op::Rows,
    Op::Snapshot,
];

impl Ask {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let kind = match dice.below(15) {
            0 | 1 => CommandKind::Start { from: dice.chance(20).then(|| dice.below(6)) },
            2 => CommandKind::Schedule { start_ms: None },
            3 | 4 => CommandKind::Pause,
            5 | 6 => CommandKind::Resume,
            7 | 8 => CommandKind::Approve,
            9 | 10 => CommandKind::Advance,
            11 | 12 => CommandKind::Rollback,
            13 => CommandKind::Cancel,
            _ => CommandKind::Tick { item: dice.below(2), done: dice.chance(70) },
        };
        Self { kind, stale: dice.chance(5), force: dice.chance(30), by: PEOPLE[dice.below(3)] }
    }

    pub(crate) fn of(kind: CommandKind) -> Self {
        Self { kind, stale: false, force: true, by: "mia" }
    }
}

pub(crate) fn draw_edit(dice: &mut Dice, now: i64) -> Edit {
    match dice.below(10) {
        0..=2 => Edit::Kill,
        3 | 4 => Edit::Revive,
        5 => Edit::Raise { to: Percentage::from_millionths(dice.below(1_000_001) as u32).unwrap(), take_over: dice.chance(40) },
        6 => Edit::Lower { to: by_hand(dice.below(3)) },
        7 => Edit::Freeze { from: now, to: now + dice.between(5, 60) * 1_000 },
        _ => Edit::Rule,
    }
}

/// A few seconds, now and then hours.
fn span(dice: &mut Dice) -> i64 {
    match dice.below(12) {
        0 => dice.between(600, 7_200),
        1 | 2 => dice.between(60, 300),
        _ => dice.between(1, 15),
    }
}

impl Fault {
    pub(crate) fn draw(dice: &mut Dice, nodes: usize, instances: usize) -> Self {
        let node = dice.below(nodes);
        match dice.below(22) {
            0..=3 => Self::Crash { op: *dice.pick(&CUTS), skip: dice.below(4), down_s: dice.between(0, 12) },
            4 => Self::AllDown { down_s: span(dice) },
            5 | 6 => Self::Stall { op: *dice.pick(&CUTS), skip: dice.below(3), for_s: dice.between(1, 8) },
            7 | 8 => Self::LostAnswers(1 + dice.below(2)),
            9 => Self::FailedOperations(1 + dice.below(5)),
            10 | 11 => Self::Away { for_s: span(dice) },
            12 => Self::ClockJumps { node, by_ms: *dice.pick(&[3_600_000, -3_600_000, 60_000, -60_000, 5_000, -5_000]) },
            13 | 14 => Self::Silent { share: *dice.pick(&[1, 50, 100, 100]), for_s: span(dice).min(700) },
            15 => Self::LateRows { node, for_s: dice.between(2, 30) },
            16 => Self::LostRows { node, for_s: dice.between(1, 20) },
            17 => Self::DoubledRows { for_s: dice.between(1, 60) },
            18 => Self::Goodbye { instance: dice.below(instances) },
            19 => Self::NoReadings { for_s: dice.between(1, 30), is_error: dice.chance(60) },
            20 => Self::Skewed { for_s: dice.between(5, 20) },
            _ => Self::ControlFails { for_s: dice.between(5, 30) },
        }
    }
}

impl Traffic {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let per_s = if dice.chance(10) { dice.between(0, 3) as f64 } else { dice.between(40, 150) as f64 };
        let (errors, control_errors) = if dice.chance(20) { (0.003, 0.003) } else { (0.0, 0.0) };
        let from = percent(PERCENTAGES[dice.below(5)]);
        let broken_from = dice.chance(25).then(|| (from, if dice.chance(50) { 1.0 } else { 0.6 }));
        Self { per_s, errors, control_errors, broken_from, skewed: false }
    }
}

/// What a flag serves before its release.
pub(crate) fn draw_baseline(dice: &mut Dice) -> Percentage {
    if dice.chance(60) { Percentage::ZERO } else { by_hand(dice.below(BY_HAND.len())) }
}

/// Everything that happens between the first and the last second, in order: at least three faults, and two commands a release.
pub(crate) fn draw(
    dice: &mut Dice,
    releases: usize,
    (nodes, instances): (usize, usize),
    begins: i64,
    horizon_s: i64,
) -> Vec<(i64, Happening)> {
    let mut agenda = Vec::new();
    let moment = |dice: &mut Dice| begins + dice.between(0, horizon_s) * 1_000;
    for release in 0..releases {
        if dice.chance(88) {
            let kind = CommandKind::Start { from: None };
            let ask = Ask { kind, stale: false, force: dice.chance(70), by: "mia" };
            agenda.push((begins + dice.between(1, 4) * 1_000, Happening::Ask { release, ask }));
        }
        for _ in 0..=dice.between(1, 3) {
            let at = moment(dice);
            agenda.push((at, Happening::Ask { release, ask: Ask::draw(dice) }));
        }
        for _ in 0..dice.below(3) {
            let at = moment(dice);
            agenda.push((at, Happening::Edit { release, edit: draw_edit(dice, at) }));
        }
    }
    for _ in 0..3 + dice.below(5) {
        let at = moment(dice);
        agenda.push((at, Happening::Fault(Fault::draw(dice, nodes, instances))));
    }
    agenda.sort_by_key(|(at, _)| *at);
    agenda
}
