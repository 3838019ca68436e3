//! What a node has in memory of one environment's releases. Time is a parameter.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use storyflag_release::{
    evidence::{Instances, Reading, Second},
    machine::Command,
    plan::Freeze,
    run::{Rows, Run},
};

use super::{
    books::{Books, Seen, Stored},
    transition::{News, Transacted, follow_before_start, input, refused, transact},
};
use crate::{error::Error, store::ReleaseHead};

/// What is quiet is written down so often, in milliseconds: what a node that starts has to fold again.
const SNAPSHOT_EVERY_MS: i64 = 60_000;
/// A flag is watched for so long after a release's end, in milliseconds: an hour longer than the report waits.
const WATCHED_AFTER_MS: i64 = 25 * 3_600_000;
/// How often a command that meets another node's transition is tried again.
const TRIES: usize = 5;

/// The releases of one environment, as this node follows them.
pub struct Follower<B> {
    books: B,
    held: BTreeMap<i64, Held>,
    instances: Instances,
    /// Per node, the last second whose instances were heard.
    heard: BTreeMap<String, i64>,
    targetings: HashMap<String, Seen>,
    freezes: Vec<Freeze>,
    /// Whether targetings and freezes are to be read again.
    unsure: bool,
}

#[derive(Debug)]
struct Held {
    stored: Stored,
    news: News,
    /// When any node wrote the release last, as far as this one knows.
    written_ms: i64,
}

/// What other sources say: from a query, its latest answer.
pub type Readings<'r> = &'r (dyn Fn(&str) -> Option<Reading> + Sync);

impl Held {
    /// Another writing of the release.
    fn take(&mut self, stored: Stored, now: i64) {
        (self.stored, self.news, self.written_ms) = (stored, News::default(), now);
    }
}

impl<B: Books> Follower<B> {
    /// Over these books, with nothing in memory.
    pub fn new(books: B) -> Self {
        Self {
            books,
            held: BTreeMap::new(),
            instances: Instances::default(),
            heard: BTreeMap::new(),
            targetings: HashMap::new(),
            freezes: Vec::new(),
            unsure: true,
        }
    }

    /// The books.
    pub fn books(&self) -> &B {
        &self.books
    }

    /// A release as this node has it.
    pub fn find(&self, key: &str) -> Option<&Stored> {
        self.held.values().map(|held| &held.stored).find(|stored| stored.carried.key == key)
    }

    /// Every release that this node has.
    pub fn list(&self) -> impl Iterator<Item = &Stored> {
        self.held.values().map(|held| &held.stored)
    }

    /// Time has come: takes in what is new, and carries out what is due. `heads` are the releases that are watched now,
    /// `moved` says whether anything was written in the environment since the last call.
    ///
    /// # Errors
    /// The database away: what was not done is done later.
    pub async fn tick(&mut self, heads: &[ReleaseHead], moved: bool, readings: Readings<'_>, now: i64) -> Result<(), Error> {
        self.unsure = self.unsure || moved;
        self.take_in(heads, now).await?;
        self.hear(readings, now).await?;
        let ids: Vec<i64> = self.held.keys().copied().collect();
        for id in ids {
            match self.evaluate(id, now).await {
                Ok(()) => {}
                Err(error @ Error::Unavailable { .. }) => return Err(error),
                // One that cannot be carried on does not hold the others back.
                Err(error) => {
                    let release = self.held.get(&id).map(|held| held.stored.carried.key.clone()).unwrap_or_default();
                    tracing::error!(%error, release, "a release cannot be carried on");
                }
            }
        }
        self.write_down(now).await
    }

    /// Carries out a command. What it rests on is as fresh as what telemetry has written.
    ///
    /// # Errors
    /// 404, 409 with every reason, 412; the database away.
    pub async fn command(
        &mut self,
        head: ReleaseHead,
        command: &Command,
        matches: &(dyn Fn(u64) -> Result<(), Error> + Sync),
        readings: Readings<'_>,
        now: i64,
    ) -> Result<Stored, Error> {
        let mut head = head;
        for _ in 0..TRIES {
            self.look(head, readings, now).await?;
            let Some(held) = self.held.get_mut(&head.id) else { return Err(Error::NotFound("the release is gone".to_owned())) };
            matches(held.stored.run.state.number)?;
            let transacted = transact(&self.books, &held.stored, &held.news, Some(command.clone()), &self.freezes, now).await?;
            match transacted {
                Transacted::Done(stored) => {
                    held.take(*stored.clone(), now);
                    self.unsure = true;
                    return Ok(*stored);
                }
                Transacted::Refused(why, stored) => {
                    if let Some(stored) = stored {
                        held.take(*stored, now);
                        self.unsure = true;
                    }
                    return Err(Error::Conflict(why.join("; "), None));
                }
                Transacted::Stale => {
                    let Some(stored) = self.books.load(head.id).await? else { continue };
                    head = stored.head;
                    held.take(stored, now);
                }
            }
        }
        Err(Error::conflict("", "others are changing this release at this moment: try again"))
    }

    /// What a command would come to, of a release that this node has: nothing is written.
    ///
    /// # Errors
    /// 404, 409 with every reason.
    pub fn would(&self, id: i64, command: &Command, now: i64) -> Result<Stored, Error> {
        let gone = || Error::NotFound("the release is gone".to_owned());
        let held = self.held.get(&id).ok_or_else(gone)?;
        let carried = &held.stored.carried;
        let seen = self.targetings.get(&carried.flag).ok_or_else(gone)?;
        let input = input(&held.stored.run, seen, held.news.clone(), Some(command.clone()));
        let (state, effects) =
            self.books.step(&carried.course, held.stored.run.state.clone(), &input, &carried.calendar(&self.freezes), now);
        match refused(&effects) {
            why if why.is_empty() => Ok(Stored { run: Run { state, ..held.stored.run.clone() }, ..held.stored.clone() }),
            why => Err(Error::Conflict(why.join("; "), None)),
        }
    }

    /// Brings one release up to what stands and what telemetry has written.
    ///
    /// # Errors
    /// The database away.
    pub async fn look(&mut self, head: ReleaseHead, readings: Readings<'_>, now: i64) -> Result<(), Error> {
        self.unsure = true;
        self.take_in_one(head, now).await?;
        self.hear(readings, now).await
    }

    /// Loads what is new or was written by another node, and lets go of what is not watched any more.
    async fn take_in(&mut self, heads: &[ReleaseHead], now: i64) -> Result<(), Error> {
        let watched: BTreeSet<i64> = heads.iter().map(|head| head.id).collect();
        self.held.retain(|id, _| watched.contains(id));
        for head in heads {
            self.take_in_one(*head, now).await?;
        }
        Ok(())
    }

    async fn take_in_one(&mut self, head: ReleaseHead, now: i64) -> Result<(), Error> {
        let is_older = |held: &Held| (held.stored.head.number, held.stored.head.snapshot) < (head.number, head.snapshot);
        if self.held.get(&head.id).is_some_and(|held| !is_older(held)) {
            return Ok(());
        }
        match self.books.load(head.id).await? {
            Some(stored) => {
                self.unsure = true;
                self.held.insert(head.id, Held { stored, news: News::default(), written_ms: now });
            }
            None => drop(self.held.remove(&head.id)),
        }
        Ok(())
    }

    /// Reads what telemetry has written, and what the targetings are.
    async fn hear(&mut self, readings: Readings<'_>, now: i64) -> Result<(), Error> {
        if self.unsure {
            let mut flags: Vec<String> = self.list().map(|stored| stored.carried.flag.clone()).collect();
            flags.dedup();
            self.targetings = self.books.targetings(&flags).await?;
            self.freezes = self.books.freezes(now).await?;
            self.unsure = false;
        }
        let rows = self.rows().await?;
        for row in rows.iter() {
            if self.heard.get(&row.node).is_some_and(|heard| row.second <= *heard) {
                continue;
            }
            self.heard.insert(row.node.clone(), row.second);
            for heard in &row.heard.instances {
                self.instances.hear(&heard.instance, heard.applied, heard.goodbye, now);
            }
        }
        for held in self.held.values_mut().filter(|held| !held.stored.run.state.has_ended()) {
            let (run, carried) = (&mut held.stored.run, &held.stored.carried);
            if let Some(seen) = self.targetings.get(&carried.flag) {
                follow_before_start(run, seen);
            }
            held.news.seconds.extend(run.fold(&carried.flag, &rows));
            tell_readings(&mut held.news.seconds, &carried.queries, readings);
            held.news.health = self.instances.health(run.written, run.written_ms, now);
        }
        Ok(())
    }

    /// The rows that some release has not folded yet.
    async fn rows(&self) -> Result<Rows, Error> {
        let mut rows = Vec::new();
        let runs = || self.list().map(|stored| &stored.run).filter(|run| !run.state.has_ended());
        if runs().next().is_none() {
            return Ok(Rows::default());
        }
        for node in self.books.nodes().await? {
            // A release that does not know the node yet takes all of it.
            let after = runs().map(|run| run.cursors.get(&node.node).copied().unwrap_or(i64::MIN)).min().unwrap_or(i64::MIN);
            if node.second > after {
                rows.extend(self.books.rows(&node.node, after).await?);
            }
        }
        Ok(Rows::new(rows))
    }

    /// Evaluates a release in memory; what changes something is evaluated again in a transaction.
    async fn evaluate(&mut self, id: i64, now: i64) -> Result<(), Error> {
        let Some(held) = self.held.get_mut(&id) else { return Ok(()) };
        let Some(seen) = self.targetings.get(&held.stored.carried.flag) else { return Ok(()) };
        let carried = &held.stored.carried;
        let input = input(&held.stored.run, seen, std::mem::take(&mut held.news), None);
        let (state, effects) =
            self.books.step(&carried.course, held.stored.run.state.clone(), &input, &carried.calendar(&self.freezes), now);
        if effects.is_empty() {
            held.stored.run.state = state;
            return Ok(());
        }
        held.news = News { seconds: input.seconds, health: input.health.unwrap_or_default() };
        // Where it fails, or somebody was faster, all of this is found again by the next evaluation.
        if let Transacted::Done(stored) = transact(&self.books, &held.stored, &held.news, None, &self.freezes, now).await? {
            held.take(*stored, now);
            self.unsure = true;
        }
        Ok(())
    }

    /// Writes down where quiet releases stand, and ends watches.
    async fn write_down(&mut self, now: i64) -> Result<(), Error> {
        let over = |run: &Run| run.state.ended_ms.is_some_and(|ended_ms| now.saturating_sub(ended_ms) >= WATCHED_AFTER_MS);
        let finished: Vec<i64> = self.held.iter().filter(|(_, held)| over(&held.stored.run)).map(|(id, _)| *id).collect();
        for id in finished {
            if let Some(held) = self.held.remove(&id) {
                self.books.unwatch(&held.stored).await?;
            }
        }
        let is_due = |held: &Held| !held.stored.run.state.has_ended() && now.saturating_sub(held.written_ms).abs() >= SNAPSHOT_EVERY_MS;
        if !self.held.values().any(is_due) {
            return Ok(());
        }
        let nodes = self.books.nodes().await?;
        let mut due: Vec<&mut Held> = self.held.values_mut().filter(|held| is_due(held)).collect();
        for held in &mut due {
            held.stored.run.cursors.retain(|node, _| nodes.iter().any(|known| known.node == *node));
        }
        let stored: Vec<&Stored> = due.iter().map(|held| &held.stored).collect();
        let written = self.books.snapshot(&stored).await?;
        for (held, written) in due.iter_mut().zip(written) {
            // Who was not first takes the other's in the next round.
            held.written_ms = now;
            if written {
                held.stored.head.snapshot = held.stored.head.snapshot.saturating_add(1);
            }
        }
        Ok(())
    }
}

/// Puts what other sources say into the last second, so that it makes no second of its own where there is one.
fn tell_readings(seconds: &mut Vec<Second>, queries: &[(String, String)], readings: Readings<'_>) {
    for (text, query) in queries {
        let Some(reading) = readings(query) else { continue };
        if seconds.is_empty() {
            seconds.push(Second::default());
        }
        if let Some(last) = seconds.last_mut() {
            last.readings.push((text.clone(), reading));
        }
    }
}
