//! What a node has in memory of one environment's releases. Time is the books'.

use std::collections::{BTreeMap, BTreeSet};

use storyflag_release::{
    evidence::{Reading, Second},
    machine::{Command, Effect, NoticeKind},
    plan::Freeze,
    run::{Rows, Run},
};

use super::{
    books::{Books, NodeHead, Seen, Stored},
    hearing::Hearing,
    targetings::Targetings,
    transition::{Asked, News, Transacted, follow_before_start, input, refused, transact},
};
use crate::{error::Error, store::ReleaseHead};

/// What is quiet is written down so often, in milliseconds: what a node that starts has to fold again.
const SNAPSHOT_EVERY_MS: i64 = 60_000;
/// A flag is watched for so long after a release's end, in milliseconds: an hour longer than the report waits.
const WATCHED_AFTER_MS: i64 = 25 * 3_600_000;
/// Without a second of telemetry, readings are told so often, in milliseconds: each makes a window of the tests.
const READINGS_EVERY_MS: i64 = 2_000;
/// Seconds that wait for a database, one by one.
const MOST_SECONDS: usize = 600;
/// How often a command that meets another node's transition is tried again.
const TRIES: usize = 5;

/// The releases of one environment, as this node follows them.
pub struct Follower<B> {
    books: B,
    held: BTreeMap<i64, Held>,
    hearing: Hearing,
    targetings: Targetings,
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
    /// When readings were told last.
    readings_ms: i64,
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
            hearing: Hearing::default(),
            targetings: Targetings::default(),
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
    pub async fn tick(&mut self, heads: &[ReleaseHead], moved: bool, readings: Readings<'_>) -> Result<(), Error> {
        let now = self.books.moment().now_ms;
        self.unsure = self.unsure || moved;
        self.take_in(heads, now).await?;
        self.hear(readings).await?;
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
    ) -> Result<Stored, Error> {
        let mut head = head;
        for _ in 0..TRIES {
            self.look(head, readings).await?;
            let now = self.books.moment().now_ms;
            if self.held.get(&head.id).is_some_and(|held| held.stored.run.state.has_ended()) {
                // Its report, if it is due, is not the command's affair.
                self.evaluate(head.id, now).await?;
            }
            let Some(held) = self.held.get_mut(&head.id) else { return Err(Error::NotFound("the release is gone".to_owned())) };
            matches(held.stored.run.state.number)?;
            let asked = Asked { command: Some(command.clone()), ..Asked::default() };
            let transacted = transact(&self.books, &held.stored, &held.news, asked, now).await?;
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
    pub fn would(&self, id: i64, command: &Command) -> Result<Stored, Error> {
        let now = self.books.moment().now_ms;
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
    pub async fn look(&mut self, head: ReleaseHead, readings: Readings<'_>) -> Result<(), Error> {
        self.unsure = true;
        self.take_in_one(head, self.books.moment().now_ms).await?;
        self.hear(readings).await
    }

    /// Loads what is new or was written by another node, and lets go of what is not watched any more.
    async fn take_in(&mut self, heads: &[ReleaseHead], now: i64) -> Result<(), Error> {
        let watched: BTreeSet<i64> = heads.iter().map(|head| head.id).collect();
        self.held.retain(|id, _| watched.contains(id));
        for head in heads {
            match self.take_in_one(*head, now).await {
                Ok(()) => {}
                Err(error @ Error::Unavailable { .. }) => return Err(error),
                // One that cannot be read, such as a later version's, does not hold the others back.
                Err(error) => tracing::error!(%error, release = head.id, "a release cannot be read"),
            }
        }
        Ok(())
    }

    async fn take_in_one(&mut self, head: ReleaseHead, now: i64) -> Result<(), Error> {
        // Any other head counts, an older one too: a database may have gone back.
        if self.held.get(&head.id).is_some_and(|held| held.stored.head == head) {
            return Ok(());
        }
        match self.books.load(head.id).await? {
            Some(stored) if self.held.get(&head.id).is_some_and(|held| held.stored.head == stored.head) => {}
            Some(stored) => {
                self.unsure = true;
                self.held.insert(head.id, Held { stored, news: News::default(), written_ms: now, readings_ms: 0 });
            }
            None => drop(self.held.remove(&head.id)),
        }
        Ok(())
    }

    /// Reads what telemetry has written, and what the targetings are.
    async fn hear(&mut self, readings: Readings<'_>) -> Result<(), Error> {
        let moment = self.books.moment();
        let now = moment.now_ms;
        if self.unsure {
            let flags = self.held.values().map(|held| held.stored.carried.flag.clone()).collect();
            self.targetings.read(&self.books, flags).await?;
            self.freezes = self.books.freezes(now).await?;
            self.unsure = false;
        }
        let (nodes, rows) = self.rows().await?;
        self.hearing.hear(&nodes, &rows, moment);
        for held in self.held.values_mut().filter(|held| !held.stored.run.state.has_ended()) {
            let (run, carried) = (&mut held.stored.run, &held.stored.carried);
            if let Some(seen) = self.targetings.get(&carried.flag) {
                follow_before_start(run, seen);
            }
            held.news.seconds.extend(run.fold(&carried.flag, &rows));
            if now.saturating_sub(held.readings_ms).abs() >= READINGS_EVERY_MS || !held.news.seconds.is_empty() {
                tell_readings(&mut held.news.seconds, &carried.queries, readings);
                held.readings_ms = now;
            }
            crowd_together(&mut held.news.seconds);
            held.news.health = self.hearing.health(run, moment);
            held.news.heard = Some(moment.steady);
        }
        Ok(())
    }

    /// How far nodes have come, and the rows that some release has not folded or whose instances were not heard yet.
    async fn rows(&self) -> Result<(Vec<NodeHead>, Rows), Error> {
        let mut rows = Vec::new();
        let runs = || self.list().map(|stored| &stored.run).filter(|run| !run.state.has_ended());
        if runs().next().is_none() {
            return Ok((Vec::new(), Rows::default()));
        }
        let nodes = self.books.nodes().await?;
        for node in &nodes {
            // A release that does not know the node yet takes all of it.
            let folded = runs().map(|run| run.cursors.get(&node.node).copied().unwrap_or(i64::MIN)).min().unwrap_or(i64::MIN);
            let after = self.hearing.wants_after(node, folded);
            if node.second > after {
                rows.extend(self.books.rows(&node.node, after).await?);
            }
        }
        Ok((nodes, Rows::new(rows)))
    }

    /// Evaluates a release in memory; what changes something is evaluated again in a transaction.
    async fn evaluate(&mut self, id: i64, now: i64) -> Result<(), Error> {
        let Some(held) = self.held.get_mut(&id) else { return Ok(()) };
        let carried = &held.stored.carried;
        // What has ended looks at no targeting: its flag may be archived before its report is out.
        let ended = held.stored.run.state.has_ended().then(Seen::default);
        let Some(seen) = self.targetings.get(&carried.flag).or(ended.as_ref()) else { return Ok(()) };
        let heard = held.news.heard;
        let input = input(&held.stored.run, seen, std::mem::take(&mut held.news), None);
        let (state, effects) =
            self.books.step(&carried.course, held.stored.run.state.clone(), &input, &carried.calendar(&self.freezes), now);
        if effects.is_empty() {
            held.stored.run.state = state;
            return Ok(());
        }
        held.news = News { seconds: input.seconds, health: input.health.unwrap_or_default(), heard };
        // Read before the lock is taken: a report is long, and nobody waits for it.
        let reports = |effect: &Effect| matches!(effect, Effect::Notify(notice) if notice.kind == NoticeKind::Report);
        let report = if effects.iter().any(reports) { self.books.report(carried).await? } else { None };
        // Where it fails, all of this is found again by the next evaluation.
        match transact(&self.books, &held.stored, &held.news, Asked { report, ..Asked::default() }, now).await? {
            Transacted::Done(stored) => {
                held.take(*stored, now);
                self.unsure = true;
            }
            // Somebody was faster: what stands is read again.
            Transacted::Stale | Transacted::Refused(..) => drop(self.held.remove(&id)),
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

/// Seconds that could not be committed are added up: they wait, and do not become more and more.
fn crowd_together(seconds: &mut Vec<Second>) {
    while seconds.len() > MOST_SECONDS {
        let second = seconds.remove(1);
        if let Some(first) = seconds.first_mut() {
            first.add(&second);
        }
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
