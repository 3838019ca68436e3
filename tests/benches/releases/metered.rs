//! The scheduler's books, with the processor time that each of their parts takes.

use std::{
    collections::{HashMap, HashSet},
    sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use cpu_time::{ProcessTime, ThreadTime};
use storyflag_evaluation::Identity;
use storyflag_release::{
    machine::{Calendar, Command, Course, Input, Notice, Outcome, Owned, Record, State},
    plan::Freeze,
    run::{Row, Run},
};
use storyflag_server::{
    app::AppBooks,
    error::Error,
    scheduler::{Books, Carried, Entry, Moment, NodeHead, Seen, Stored, Written},
    store::ReleaseHead,
};

/// Processor time, and how often.
#[derive(Debug, Default)]
pub struct Meter {
    ns: AtomicU64,
    times: AtomicU64,
}

/// The parts of a look at all releases.
#[derive(Debug, Default)]
pub struct Meters {
    /// Rows of telemetry: read, and parsed.
    pub rows: Meter,
    /// Targetings and freezes, after something was written.
    pub targetings: Meter,
    /// The machine.
    pub evaluations: Meter,
    /// Transactions that change something; the machine once more is in them.
    pub commits: Meter,
    /// Where quiet releases stand is written down.
    pub snapshots: Meter,
    /// Releases that are read.
    pub loads: Meter,
}

/// Books that measure.
pub struct Metered {
    books: AppBooks,
    pub meters: Meters,
    /// What time it is, in epoch seconds.
    pub second: AtomicI64,
}

/// A transaction that is measured from its begin to its commit.
pub struct MeteredEntry<'b> {
    entry: <AppBooks as Books>::Entry<'b>,
    meter: &'b Meter,
    began: ProcessTime,
}

impl Meter {
    pub fn add(&self, took: Duration) {
        self.ns.fetch_add(took.as_nanos() as u64, Relaxed);
        self.times.fetch_add(1, Relaxed);
    }

    /// Milliseconds, and how often; from here on it counts anew.
    pub fn take(&self) -> (f64, u64) {
        (self.ns.swap(0, Relaxed) as f64 / 1e6, self.times.swap(0, Relaxed))
    }
}

impl Metered {
    pub fn new(books: AppBooks) -> Self {
        Self { books, meters: Meters::default(), second: AtomicI64::default() }
    }

    async fn time<T>(&self, meter: &Meter, work: impl Future<Output = T>) -> T {
        let began = ProcessTime::now();
        let done = work.await;
        meter.add(began.elapsed());
        done
    }
}

impl Books for Metered {
    type Entry<'b> = MeteredEntry<'b>;

    async fn begin(&self, carried: &Carried) -> Result<MeteredEntry<'_>, Error> {
        let began = ProcessTime::now();
        Ok(MeteredEntry { entry: self.books.begin(carried).await?, meter: &self.meters.commits, began })
    }

    async fn load(&self, id: i64) -> Result<Option<Stored>, Error> {
        self.time(&self.meters.loads, self.books.load(id)).await
    }

    async fn nodes(&self) -> Result<Vec<NodeHead>, Error> {
        self.time(&self.meters.rows, self.books.nodes()).await
    }

    async fn rows(&self, node: &str, after: i64) -> Result<Vec<Row>, Error> {
        self.time(&self.meters.rows, self.books.rows(node, after)).await
    }

    async fn stands(&self) -> Result<Identity, Error> {
        self.time(&self.meters.targetings, self.books.stands()).await
    }

    async fn written_since(&self, flags: &HashSet<String>, since: Identity) -> Result<Option<Written>, Error> {
        self.time(&self.meters.targetings, self.books.written_since(flags, since)).await
    }

    async fn targetings(&self, flags: &HashSet<String>) -> Result<HashMap<String, Seen>, Error> {
        self.time(&self.meters.targetings, self.books.targetings(flags)).await
    }

    async fn freezes(&self, now: i64) -> Result<Vec<Freeze>, Error> {
        self.time(&self.meters.targetings, self.books.freezes(now)).await
    }

    async fn snapshot(&self, stored: &[&Stored]) -> Result<Vec<bool>, Error> {
        self.time(&self.meters.snapshots, self.books.snapshot(stored)).await
    }

    async fn unwatch(&self, stored: &Stored) -> Result<(), Error> {
        self.books.unwatch(stored).await
    }

    fn moment(&self) -> Moment {
        let second = self.second.load(Relaxed);
        Moment { now_ms: second * 1_000, steady: Duration::from_secs(second.unsigned_abs()) }
    }

    fn step(&self, course: &Course, state: State, input: &Input, calendar: &dyn Calendar, now: i64) -> Outcome {
        let began = ThreadTime::now();
        let outcome = self.books.step(course, state, input, calendar, now);
        self.meters.evaluations.add(began.elapsed());
        outcome
    }
}

impl Entry for MeteredEntry<'_> {
    async fn lock(&mut self) -> Result<(), Error> {
        self.entry.lock().await
    }

    async fn head(&mut self, id: i64) -> Result<Option<ReleaseHead>, Error> {
        self.entry.head(id).await
    }

    async fn targeting(&mut self, flag: &str) -> Result<Option<Seen>, Error> {
        self.entry.targeting(flag).await
    }

    async fn write_rollout(&mut self, carried: &Carried, owned: &Owned, why: &str) -> Result<Identity, Error> {
        self.entry.write_rollout(carried, owned, why).await
    }

    async fn record(&mut self, id: i64, record: &Record, revision: Option<u64>) -> Result<(), Error> {
        self.entry.record(id, record, revision).await
    }

    async fn tell(&mut self, carried: &Carried, notice: &Notice, state: &State, report: Option<&serde_json::Value>) -> Result<(), Error> {
        self.entry.tell(carried, notice, state, report).await
    }

    fn audit(&mut self, carried: &Carried, command: &Command) {
        self.entry.audit(carried, command);
    }

    async fn replace(&mut self, head: ReleaseHead, run: &Run) -> Result<bool, Error> {
        self.entry.replace(head, run).await
    }

    async fn commit(self) -> Result<(), Error> {
        let done = self.entry.commit().await;
        self.meter.add(self.began.elapsed());
        done
    }
}
