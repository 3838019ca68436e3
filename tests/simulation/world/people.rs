//! What people do in a world by themselves: follow up, help it to its end, and ask on after it.

use storyflag_release::machine::CommandKind;

use super::World;
use crate::{
    agenda::{self, Ask, Happening},
    shelf::{Edit, Shelf},
};

impl<S: Shelf> World<S> {
    /// People who see a transition do something about it.
    pub(super) fn follow_up(&mut self) {
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

    /// Somebody who does what a release waits for.
    pub(super) async fn help(&mut self) {
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
    pub(super) async fn tail(&mut self) {
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
}
