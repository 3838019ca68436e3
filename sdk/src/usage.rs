//! How often each variant was served, counted where it is served: no lock, no allocation, and no cache line that two
//! threads share.
//!
//! Every thread that evaluates has a [`Block`] of counters a client, which it alone writes, with a plain load and store.
//! The client keeps the blocks too and sums them when it reports. A block that only the client still holds has no writer
//! any more (its thread ended, or took a larger one): it is added to what is retired.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use storyflag_evaluation::{EvaluationError, Ruleset};

/// Served variants by flag: what one report carries.
pub(crate) type Served = BTreeMap<String, BTreeMap<String, u64>>;

const COUNTERS_PER_LINE: usize = 16;

/// Two cache lines, since processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Line([AtomicU64; COUNTERS_PER_LINE]);

/// The first line counts errors; the counters of [`storyflag_evaluation::Evaluation::slot`] follow.
type Block = Arc<[Line]>;

const ERRORS: [EvaluationError; 5] = [
    EvaluationError::FlagNotFound,
    EvaluationError::TargetingKeyMissing,
    EvaluationError::TypeMismatch,
    EvaluationError::ParseError,
    EvaluationError::NotReady,
];

thread_local! {
    /// The blocks of this thread; the first is of the client that it used last.
    static MINE: RefCell<Vec<Mine>> = const { RefCell::new(Vec::new()) };
}

struct Mine {
    /// The client's number; not its address, which a later client may have again.
    owner: u64,
    block: Block,
}

/// The counters of one client.
#[derive(Debug)]
pub(crate) struct Usage {
    number: u64,
    all: Mutex<All>,
}

#[derive(Debug, Default)]
struct All {
    blocks: Vec<Block>,
    /// Counts of blocks that nobody writes any more.
    retired: Vec<u64>,
    /// What reports have carried so far.
    reported: Vec<u64>,
    /// Names of the counters, by the first of each flag. A flag that is gone may still have something to report.
    names: BTreeMap<u32, Names>,
    /// Counters from here on have no names yet.
    named: u32,
}

#[derive(Debug)]
struct Names {
    flag: String,
    variants: Vec<String>,
}

/// What one report would carry; kept apart until it is known that it was sent.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) served: Served,
    sums: Vec<u64>,
}

impl Usage {
    /// Counters of a new client.
    pub(crate) fn new() -> Self {
        static CLIENTS: AtomicU64 = AtomicU64::new(0);
        Self { number: CLIENTS.fetch_add(1, Relaxed), all: Mutex::default() }
    }

    /// Counts one answer of this counter.
    #[inline]
    pub(crate) fn count(&self, slot: u32) {
        let place = usize::try_from(slot).unwrap_or(usize::MAX).saturating_add(COUNTERS_PER_LINE);
        self.count_place(place);
    }

    /// Counts one answer with the caller's default.
    #[cold]
    pub(crate) fn count_error(&self, error: EvaluationError) {
        let place = ERRORS.iter().position(|known| *known == error);
        self.count_place(place.unwrap_or(0));
    }

    #[inline]
    fn count_place(&self, place: usize) {
        let counted = MINE.try_with(|mine| {
            let Ok(mine) = mine.try_borrow() else { return false };
            match mine.first() {
                Some(first) if first.owner == self.number => add_one(&first.block, place),
                _ => false,
            }
        });
        if counted != Ok(true) {
            self.count_rarely(place);
        }
    }

    /// The thread counts for this client for the first time, or for another one than before, or needs more counters.
    #[cold]
    #[inline(never)]
    fn count_rarely(&self, place: usize) {
        // A thread that is being torn down has no blocks any more: its last few answers are not counted.
        let _ = MINE.try_with(|mine| {
            let Ok(mut mine) = mine.try_borrow_mut() else { return };
            match mine.iter().position(|mine| mine.owner == self.number) {
                Some(index) => mine.swap(0, index),
                None => {
                    // A block that only this thread holds is of a client that is gone.
                    mine.retain(|mine| Arc::strong_count(&mine.block) > 1);
                    mine.push(Mine { owner: self.number, block: self.new_block(place) });
                    let last = mine.len().saturating_sub(1);
                    mine.swap(0, last);
                }
            }
            if let Some(first) = mine.first_mut()
                && !add_one(&first.block, place)
            {
                first.block = self.new_block(place);
                add_one(&first.block, place);
            }
        });
    }

    fn new_block(&self, place: usize) -> Block {
        let mut all = self.lock();
        let named = usize::try_from(all.named).unwrap_or(0).saturating_add(COUNTERS_PER_LINE);
        // Some room, so that a flag added later does not cost every thread another block.
        let counters = named.max(place.saturating_add(1)).saturating_mul(5) / 4;
        let block: Block = (0..counters.div_ceil(COUNTERS_PER_LINE)).map(|_| Line::default()).collect();
        all.blocks.push(Arc::clone(&block));
        block
    }

    /// Learns the names of the counters of a ruleset that is going to be served.
    pub(crate) fn learn(&self, ruleset: &Ruleset) {
        let mut all = self.lock();
        if ruleset.slots() <= all.named {
            return;
        }
        for flag in ruleset.flags().filter(|flag| flag.slot() >= all.named).collect::<Vec<_>>() {
            let variants = flag.variants().map(|(name, _)| name.to_owned()).collect();
            all.names.insert(flag.slot(), Names { flag: flag.key().to_owned(), variants });
        }
        all.named = ruleset.slots();
    }

    /// What has been served since the last report that was sent.
    pub(crate) fn report(&self) -> Report {
        let mut all = self.lock();
        let sums = all.sums();
        let since = |slot: usize| {
            let sum = sums.get(slot.saturating_add(COUNTERS_PER_LINE)).copied().unwrap_or(0);
            sum.wrapping_sub(all.reported.get(slot.saturating_add(COUNTERS_PER_LINE)).copied().unwrap_or(0))
        };
        let mut served = Served::new();
        for (slot, names) in &all.names {
            let first = usize::try_from(*slot).unwrap_or(usize::MAX);
            let counts = names.variants.iter().enumerate().map(|(index, name)| (name, since(first.saturating_add(index))));
            for (variant, count) in counts.filter(|(_, count)| *count > 0) {
                let variants = served.entry(names.flag.clone()).or_default();
                let total = variants.entry(variant.clone()).or_default();
                *total = total.saturating_add(count);
            }
        }
        Report { served, sums }
    }

    /// The report was sent, or its fate is unknown: nothing in it is reported again.
    pub(crate) fn sent(&self, report: Report) {
        self.lock().reported = report.sums;
    }

    /// How many answers were the caller's default, by error, since the start.
    pub(crate) fn errors(&self) -> Vec<(EvaluationError, u64)> {
        let sums = self.lock().sums();
        ERRORS.into_iter().zip(sums).filter(|(_, count)| *count > 0).collect()
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        // Nothing here can panic half-way; a poisoned lock says nothing about the counts.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl All {
    fn sums(&mut self) -> Vec<u64> {
        let retired = &mut self.retired;
        self.blocks.retain_mut(|block| {
            let has_writer = Arc::get_mut(block).is_none();
            if !has_writer {
                add(retired, block);
            }
            has_writer
        });
        let mut sums = self.retired.clone();
        self.blocks.iter().for_each(|block| add(&mut sums, block));
        sums
    }
}

fn add(sums: &mut Vec<u64>, block: &[Line]) {
    let counters = block.iter().flat_map(|line| &line.0);
    sums.resize(sums.len().max(block.len().saturating_mul(COUNTERS_PER_LINE)), 0);
    for (sum, counter) in sums.iter_mut().zip(counters) {
        *sum = sum.wrapping_add(counter.load(Relaxed));
    }
}

#[inline]
fn add_one(block: &[Line], place: usize) -> bool {
    let counter = block.get(place / COUNTERS_PER_LINE).and_then(|line| line.0.get(place % COUNTERS_PER_LINE));
    if let Some(counter) = counter {
        // This thread is the only one that writes here.
        counter.store(counter.load(Relaxed).wrapping_add(1), Relaxed);
    }
    counter.is_some()
}

#[cfg(test)]
mod tests;
