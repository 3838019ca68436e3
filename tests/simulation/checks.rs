//! What is checked of a history after its end, by what stands in the store and what people were answered. None of it asks
//! the machine.

use storyflag_evaluation::Percentage;
use storyflag_release::machine::{CommandKind, Owned};

use super::{
    desk::Commit,
    node::{Answer, Said, What},
    online::{has_ended, named},
    plan::PERCENTAGES,
    shelf::{Change, Created, Dump, Edit, Transition},
    world::History,
};

/// How long after data a step may still be taken: what nodes believe for 3 s, a look every second, and a row late.
const FRESH_MS: i64 = 7_000;

struct Checked<'h> {
    history: &'h History,
    created: &'h Created,
    dump: &'h Dump,
    by: String,
    commits: Vec<&'h Commit>,
    answers: Vec<&'h Answer>,
    broken: Vec<String>,
}

/// Everything that is wrong with a history.
pub(crate) fn check(history: &History) -> Vec<String> {
    let mut broken = history.desk.state().broken.clone();
    let commits = history.desk.state().commits.clone();
    for (index, (created, dump)) in history.created.iter().zip(&history.dumps).enumerate() {
        let mut checked = Checked {
            history,
            created,
            dump,
            by: format!("release:{}", created.carried.key),
            commits: commits.iter().filter(|commit| commit.release == created.carried.key).collect(),
            answers: history.answers.iter().filter(|answer| answer.release == index).collect(),
            broken: Vec::new(),
        };
        checked.all();
        broken.extend(checked.broken.into_iter().map(|what| format!("{}: {what}", created.carried.key)));
    }
    broken
}

impl Checked<'_> {
    fn all(&mut self) {
        self.timeline();
        self.steps();
        self.ends();
        self.kills();
        self.people();
        self.rollbacks();
        self.bakes();
        self.evidence();
        self.approvals();
        self.notices();
    }

    fn fail(&mut self, what: impl Into<String>) {
        self.broken.push(what.into());
    }

    /// Gapless, unique, each from where the one before went, each with what it rests on.
    fn timeline(&mut self) {
        let mut from = "scheduled".to_owned();
        for (index, row) in self.dump.transitions.iter().enumerate() {
            if row.number != index as i64 + 1 {
                self.fail(format!("transition {} has number {}", index + 1, row.number));
            }
            if row.from != from {
                self.fail(format!("transition {} comes from {}, but {from} stood", row.number, row.from));
            }
            if row.evidence.is_empty() {
                self.fail(format!("transition {} has no evidence", row.number));
            }
            from.clone_from(&row.to);
        }
        let run = &self.dump.run.state;
        if self.dump.number != self.dump.transitions.len() as i64 || run.number as i64 != self.dump.number {
            self.fail(format!("{} transitions, but the row says {}", self.dump.transitions.len(), self.dump.number));
        }
        if run.phase.name() != from || self.dump.live == has_ended(&from) {
            self.fail(format!("the timeline ends with {from}, the row with {}", run.phase.name()));
        }
        if self.dump.live && !self.dump.watching {
            self.fail("its flag is not watched, and it has not ended");
        }
    }

    /// What the release wrote of its flag, in order.
    fn written(&self) -> Vec<&Change> {
        let mut before: Option<&Change> = None;
        let mut written = Vec::new();
        for change in &self.dump.changes {
            // The end of the watch changes nothing of what it owns.
            let is_watch =
                self.dump.run.state.has_ended() && before.is_some_and(|before| before.owned == change.owned) && !self.is_told(change);
            if change.by == self.by && !is_watch {
                written.push(change);
            }
            before = Some(change);
        }
        written
    }

    fn is_told(&self, change: &Change) -> bool {
        self.commits.iter().any(|commit| commit.writes.iter().any(|(revision, _)| *revision == change.revision))
    }

    fn step_rows(&self) -> Vec<Transition> {
        self.dump.transitions.iter().filter(|row| row.revision.is_some() && row.to != "rolling back").cloned().collect()
    }

    fn baseline(&self) -> Option<Owned> {
        let first = self.written().first().map(|change| change.revision)?;
        self.dump.changes.iter().rev().find(|change| change.revision < first).map(|change| change.owned.clone())
    }

    /// Each step once, in order, by one transaction, with what the plan says; and no other write but the baseline's.
    fn steps(&mut self) {
        let written: Vec<Change> = self.written().into_iter().cloned().collect();
        let rows: Vec<Transition> = self.dump.transitions.iter().filter(|row| row.revision.is_some()).cloned().collect();
        let (made, told): (Vec<u64>, Vec<u64>) =
            (written.iter().map(|change| change.revision).collect(), rows.iter().filter_map(|row| row.revision).collect());
        if made != told {
            self.fail(format!("it wrote revisions {made:?}, its timeline tells of {told:?}"));
            return;
        }
        let mut next = None::<usize>;
        let baseline = self.baseline();
        for (change, row) in written.iter().zip(&rows) {
            let authors = self.commits.iter().filter(|commit| commit.writes.iter().any(|(revision, _)| *revision == change.revision));
            if authors.count() != 1 {
                self.fail(format!("revision {} has not one author", change.revision));
            }
            if row.to == "rolling back" {
                if Some(&change.owned) != baseline.as_ref() {
                    self.fail(format!("it went back to {:?}, but {baseline:?} stood before", change.owned));
                }
                next = Some(usize::MAX);
                continue;
            }
            if next.is_some_and(|next| next != row.step) {
                self.fail(format!("step {} is written, step {next:?} was next", row.step + 1));
            }
            next = Some(row.step + 1);
            let planned = PERCENTAGES.get(row.step).map(|percentage| Percentage::from_percent(*percentage).unwrap());
            let cohorts =
                baseline.as_ref().map(|baseline| baseline.cohorts.len()).unwrap_or_default() + usize::from(self.created.spec.kind.cohort);
            if Some(change.owned.percentage) != planned || !change.owned.enabled || change.owned.cohorts.len() != cohorts {
                self.fail(format!("step {} wrote {:?}", row.step + 1, change.owned));
            }
        }
        for commit in &self.commits.clone() {
            if commit.writes.len() > 1 || commit.records.iter().filter(|(_, revision)| revision.is_some()).count() > 1 {
                self.fail("two steps in one transaction");
            }
        }
    }

    /// The ends are ends, and whoever took over is not fought.
    fn ends(&mut self) {
        let ends: Vec<usize> =
            self.dump.transitions.iter().enumerate().filter(|(_, row)| has_ended(&row.to)).map(|(index, _)| index).collect();
        if ends.first().is_some_and(|first| first + 1 != self.dump.transitions.len()) {
            self.fail("something came after its end");
        }
        let driven_from = self.written().first().map_or(u64::MAX, |change| change.revision);
        let mut before: Option<Change> = None;
        let mut taken_over = false;
        for change in self.dump.changes.clone() {
            let owned_changed = before.as_ref().is_some_and(|before| before.owned != change.owned);
            if taken_over && change.by == self.by && owned_changed {
                self.fail(format!("revision {} is written over a human's", change.revision));
            }
            let ended_before = self.ended_before(change.revision);
            if change.by != self.by && owned_changed && change.revision > driven_from {
                if !ended_before && self.dump.run.state.phase.name() != "superseded" {
                    self.fail(format!(
                        "a human wrote revision {}, and the release is {}",
                        change.revision,
                        self.dump.run.state.phase.name()
                    ));
                }
                taken_over = true;
            }
            before = Some(change);
        }
    }

    /// Whether the release had ended when the flag's revision was made: by its own commits.
    fn ended_before(&self, revision: u64) -> bool {
        let end = self.commits.iter().find(|commit| commit.records.iter().any(|(record, _)| has_ended(&record.to)));
        let made = self.answers.iter().find(|answer| answer.said == Said::Done(Some(revision))).map(|answer| answer.commits);
        let all = self.history.desk.state().commits.len();
        end.is_some_and(|end| {
            let place = self
                .history
                .desk
                .state()
                .commits
                .iter()
                .position(|commit| commit.release == end.release && commit.time == end.time && commit.records == end.records);
            place.is_some_and(|place| place < made.unwrap_or(all))
        })
    }

    /// After a kill that was answered nobody is exposed to more, until somebody revives the flag.
    fn kills(&mut self) {
        let mut killed_at: Option<Owned> = None;
        for change in self.dump.changes.clone() {
            if let Some(at) = &killed_at
                && change.by == self.by
                && self.is_told(&change)
            {
                if !change.killed {
                    self.fail(format!("revision {} revives a killed flag", change.revision));
                }
                let is_baseline = self.dump.transitions.iter().any(|row| row.revision == Some(change.revision) && row.to == "rolling back");
                if change.owned.percentage > at.percentage && !is_baseline {
                    self.fail(format!("revision {} goes to {} under a kill", change.revision, change.owned.percentage));
                } else if change.owned != *at && !is_baseline {
                    self.fail(format!("revision {} writes a step under a kill", change.revision));
                }
            }
            killed_at = match change.killed {
                true => killed_at.or(Some(change.owned.clone())),
                false => None,
            };
        }
    }

    /// Who was answered that it is rolled back, cancelled or paused sees no step after it.
    fn people(&mut self) {
        let all = self.history.desk.state().commits.clone();
        let steps_after = |commits: usize| {
            let later = all[commits..].iter().filter(|commit| commit.release == self.created.carried.key);
            later.flat_map(|commit| &commit.records).filter(|(record, revision)| revision.is_some() && record.to != "rolling back").count()
        };
        let mut broken = Vec::new();
        for answer in self.answers.iter().filter(|answer| answer.said == Said::Done(None)) {
            let what = match &answer.what {
                What::Command(kind @ (CommandKind::Rollback | CommandKind::Cancel)) => format!("{kind:?}"),
                _ => continue,
            };
            if steps_after(answer.commits) > 0 {
                broken.push(format!("a step after {what} was answered"));
            }
        }
        self.broken.extend(broken);
        self.pauses(&all);
        self.freezes(&all);
    }

    /// Nothing moves between a pause that was answered and a resume.
    fn pauses(&mut self, all: &[Commit]) {
        let mut paused = false;
        for commit in all.iter().filter(|commit| commit.release == self.created.carried.key) {
            for (record, revision) in &commit.records {
                if paused && revision.is_some() && record.to != "rolling back" {
                    self.broken.push("a step while it is paused".to_owned());
                }
                paused = record.to == "paused";
            }
        }
    }

    /// No step that nobody forced goes into a freeze that was answered before.
    fn freezes(&mut self, all: &[Commit]) {
        for answer in &self.history.answers {
            let (What::Edit(Edit::Freeze { from, to }), Said::Done(_)) = (&answer.what, &answer.said) else { continue };
            for commit in all[answer.commits..].iter().filter(|commit| commit.release == self.created.carried.key) {
                let forced = commit.records.iter().any(|(record, _)| record.actor.is_some());
                let stepped = commit.records.iter().any(|(record, revision)| revision.is_some() && record.to != "rolling back");
                // By the clock of the node that took it.
                let at = commit.records.first().map_or(0, |(record, _)| record.at_ms);
                if stepped && !forced && at >= *from && at < *to {
                    self.broken.push(format!("a step at {} into a freeze", self.history.desk.seconds(commit.time)));
                }
            }
        }
    }

    /// A rollback is verified only where everybody who is heard of runs the baseline; silence turns nothing back.
    fn rollbacks(&mut self) {
        let mut broken = Vec::new();
        let mut step_revision = 0;
        for commit in &self.commits {
            for (record, revision) in &commit.records {
                if record.to == "rolling back" && record.actor.is_none() && !record.evidence.contains("prometheus") {
                    let errors: u64 = self.counted(step_revision, commit.time).1;
                    if errors < 3 {
                        broken.push(format!("turned back with {errors} errors: {}", record.evidence));
                    }
                }
                if record.to == "rolled back" {
                    let back = self.dump.transitions.iter().rev().find(|row| row.to == "rolling back").and_then(|row| row.revision);
                    let reached = |(_, applied): &(usize, u64)| Some(*applied) >= back;
                    let seen =
                        self.history.arrived.iter().filter(|arrived| arrived.time <= commit.time && arrived.time > commit.time - 60_000);
                    if !seen.flat_map(|arrived| &arrived.heard).any(reached) {
                        broken.push("verified, and nobody was seen to run the baseline".to_owned());
                    }
                }
                if let Some(revision) = revision {
                    step_revision = *revision;
                }
            }
        }
        self.broken.extend(broken);
    }

    /// (requests, errors) of a revision of the rollout that had arrived by then.
    fn counted(&self, revision: u64, until: i64) -> (u64, u64) {
        let arrived = self.history.arrived.iter().filter(|arrived| arrived.time <= until).flat_map(|arrived| &arrived.counted);
        let credited = arrived.filter(|counted| counted.flag == self.created.carried.flag && counted.rollout_revision == revision);
        credited.fold((0, 0), |(requests, errors), counted| (requests + counted.requests, errors + counted.errors))
    }

    /// A step that nobody forced has been watched for its bake of healthy time, counted here from what arrived.
    fn bakes(&mut self) {
        let mut broken = Vec::new();
        let mut began: Option<(i64, u64, usize)> = None;
        let mut paused: Vec<(i64, i64)> = Vec::new();
        let mut turns = 0;
        for commit in &self.commits {
            for (record, revision) in &commit.records {
                turns += 1;
                if record.from == "paused"
                    && let Some(last) = paused.last_mut()
                {
                    last.1 = commit.time;
                }
                if record.to == "paused" {
                    paused.push((commit.time, i64::MAX));
                }
                let goes_on = revision.is_some() && record.to != "rolling back" || record.to == "completed";
                if let Some((since, step_revision, step)) = began.filter(|_| goes_on && record.actor.is_none()) {
                    let healthy = self.healthy_ms(since, commit.time, step_revision, &paused);
                    let disturbed = self.history.disturbed.iter().filter(|at| **at >= since - 10_000 && **at <= commit.time).count() as i64;
                    let allowed = healthy + 2_000 * (2 * disturbed + turns + 2);
                    let bake = self.created.spec.bakes_ms[step];
                    if allowed < bake {
                        broken.push(format!("step {} went on after {healthy} ms of healthy time of {bake} ms", step + 1));
                    }
                    let is_fresh = self.history.arrived.iter().any(|arrived| {
                        arrived.time <= commit.began
                            && arrived.time > commit.began - FRESH_MS
                            && arrived.heard.iter().any(|(_, applied)| *applied >= step_revision)
                    });
                    if !is_fresh && !self.created.spec.kind.plain {
                        broken.push(format!("step {} went on without data, at {}", step + 1, self.history.desk.seconds(commit.time)));
                    }
                }
                if let Some(revision) = revision {
                    (began, paused, turns) = (Some((commit.time, *revision, record.step)), Vec::new(), 0);
                }
            }
        }
        self.broken.extend(broken);
    }

    /// Time between two moments in which somebody who runs the step had been heard within 4 s, and nobody had paused it.
    fn healthy_ms(&self, since: i64, until: i64, revision: u64, paused: &[(i64, i64)]) -> i64 {
        if self.created.spec.kind.plain {
            return until - since - paused.iter().map(|(from, to)| to.min(&until) - from).sum::<i64>();
        }
        let mut healthy = 0;
        let mut heard_until = i64::MIN;
        for arrived in self.history.arrived.iter().filter(|arrived| arrived.time >= since && arrived.time <= until) {
            if arrived.heard.iter().any(|(_, applied)| *applied >= revision)
                && !paused.iter().any(|(from, to)| arrived.time > *from && arrived.time <= *to)
            {
                let from = arrived.time.max(heard_until);
                heard_until = arrived.time + 4_000;
                healthy += (heard_until.min(until) - from).max(0);
            }
        }
        healthy
    }

    /// No second counts twice, and none counts for another step than its own.
    fn evidence(&mut self) {
        let Some(revision) = self.step_rows().last().and_then(|row| row.revision) else { return };
        let evidence = &self.dump.run.state.evidence;
        let (taken, failed) = (evidence.treatment.requests + evidence.cohort.requests, evidence.treatment.error + evidence.cohort.error);
        let (arrived, errors) = self.counted(revision, i64::MAX);
        if taken > arrived || failed > errors {
            self.fail(format!("its last step rests on {failed} errors of {taken} requests, but {errors} of {arrived} arrived"));
        }
    }

    /// A step that wants approval has it.
    fn approvals(&mut self) {
        let (mut approved, mut broken) = (false, Vec::new());
        for row in &self.dump.transitions {
            let is_step = row.revision.is_some() && row.to != "rolling back" && row.number > 1;
            if row.from == "awaiting approval" && row.to == "baking" && row.actor.is_some() {
                approved = true;
            }
            if row.from == "awaiting approval: thin evidence" && row.to == "baking" && row.actor.is_some() {
                approved = true;
            }
            if is_step {
                let wants = self.created.spec.approvals.get(row.step).copied().unwrap_or(false);
                let first = self.step_rows().first().is_some_and(|first| first.number == row.number);
                if wants && !approved && row.actor.is_none() && !first {
                    broken.push(format!("step {} went without approval", row.step + 1));
                }
                approved = false;
            }
        }
        self.broken.extend(broken);
    }

    /// Once per event and audience; and the team hears of every step and every end.
    fn notices(&mut self) {
        let committed: Vec<(String, String)> =
            self.commits.iter().flat_map(|commit| commit.notices.iter().map(|notice| (notice.to.clone(), notice.slot.clone()))).collect();
        let mut told = self.dump.notices.clone().unwrap_or(committed);
        told.sort();
        let all = told.len();
        told.dedup();
        if told.len() != all {
            self.fail(format!("{} messages were written twice", all - told.len()));
        }
        for row in &self.dump.transitions.clone() {
            let tells = row.revision.is_some() || has_ended(&row.to) || row.to == "paused";
            let elsewhere = row.to == "superseded" && self.dump.notices.is_none();
            let slot = ("team".to_owned(), format!("transition-{}", row.number));
            if tells && !elsewhere && !told.contains(&slot) {
                self.fail(format!("nobody was told of {} ({})", row.number, named(&row.to)));
            }
        }
    }
}
