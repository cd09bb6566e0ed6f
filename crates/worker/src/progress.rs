//! How far a job is, counted where it happens and read from anywhere.
//!
//! Whatever becomes of an entry comes through [`Progress::end`] once: there it is counted, and there its line of the
//! report is written, so the two cannot differ.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lifeboat_model::database::Phase;
use lifeboat_model::job::JobCounters;
use lifeboat_repository::restore::ItemFacts;
use lifeboat_repository::tree::NodeKind;
use lifeboat_repository::{Counters, Ctx};

use crate::report::ItemLog;

/// Counters that only grow. Totals are published together, once the walk that counts them has ended.
#[derive(Debug, Default)]
pub struct Progress {
    bytes_total: AtomicU64,
    items_total: AtomicU64,
    files_total: AtomicU64,
    has_totals: AtomicBool,
    bytes_done: AtomicU64,
    items_done: AtomicU64,
    files_done: AtomicU64,
    items_actual: AtomicU64,
    files_actual: AtomicU64,
    items_failed: AtomicU64,
    bytes_handled: AtomicU64,
    engines: Mutex<Vec<Engine>>,
    log: Option<ItemLog>,
    phases: Option<Listener>,
}

/// Is told of each phase that is entered.
struct Listener(Box<dyn Fn(Phase) + Send + Sync>);

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Listener")
    }
}

/// The counters of one operation of the engine.
#[derive(Clone, Debug)]
enum Engine {
    Backup(Arc<Counters>),
    Intake(Arc<Counters>),
    Restore(Arc<Counters>),
}

/// What a walk selects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) items: u64,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

/// An entry that is over.
pub(crate) struct Item<'a> {
    pub(crate) path: &'a Path,
    pub(crate) facts: ItemFacts,
    pub(crate) fate: Fate,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// New or changed, and stored; in a restore: written.
    Done,
    /// Unchanged; in a restore: left as it is.
    Skipped,
    /// Missing in the result, or not as it should be there.
    Failed { why: String, is_stored: bool },
}

pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

impl Totals {
    pub(crate) fn add(&mut self, facts: &ItemFacts) {
        self.items += 1;
        if facts.kind == NodeKind::File {
            self.files += 1;
            self.bytes += facts.size;
        }
    }
}

impl Progress {
    /// Progress that writes a line about each entry.
    pub fn new(log: Option<ItemLog>) -> Self {
        Self { log, ..Self::default() }
    }

    /// Progress that tells of each phase that is entered.
    pub fn with_phases(listener: impl Fn(Phase) + Send + Sync + 'static) -> Self {
        Self { phases: Some(Listener(Box::new(listener))), ..Self::default() }
    }

    /// Says what is done from now on.
    pub(crate) fn enter(&self, phase: Phase) {
        if let Some(Listener(tell)) = &self.phases {
            tell(phase);
        }
    }

    /// What was counted until now, here and by the engine.
    pub fn read(&self) -> JobCounters {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let has_totals = self.has_totals.load(Ordering::Acquire);
        let total = |counter: &AtomicU64| has_totals.then(|| get(counter));
        let mut counters = JobCounters {
            bytes_total: total(&self.bytes_total),
            items_total: total(&self.items_total),
            files_total: total(&self.files_total),
            bytes_done: get(&self.bytes_done),
            bytes_actual: 0,
            items_done: get(&self.items_done),
            files_done: get(&self.files_done),
            items_actual: get(&self.items_actual),
            files_actual: get(&self.files_actual),
            bytes_handled: get(&self.bytes_handled),
        };
        for engine in self.engines.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            match engine {
                Engine::Backup(engine) => counters.bytes_actual += get(&engine.data_added),
                Engine::Intake(engine) => {
                    counters.bytes_actual += get(&engine.data_added);
                    counters.bytes_done += get(&engine.bytes_read);
                    counters.bytes_handled += get(&engine.bytes_done);
                    counters.items_done += get(&engine.items_done);
                    counters.items_actual += get(&engine.items_done);
                    counters.files_done += get(&engine.items_done);
                    counters.files_actual += get(&engine.items_done);
                }
                Engine::Restore(engine) => {
                    counters.bytes_actual += get(&engine.bytes_read);
                    counters.bytes_done += get(&engine.bytes_written);
                    counters.bytes_handled += get(&engine.bytes_done);
                }
            }
        }
        counters
    }

    /// How many entries are missing in the result, or not as they should be there.
    pub fn items_failed(&self) -> u64 {
        self.items_failed.load(Ordering::Relaxed)
    }

    /// The lines about the entries, where they are wanted.
    pub fn log(&self) -> Option<&ItemLog> {
        self.log.as_ref()
    }

    /// A server begins to send so many bytes, more or less.
    pub(crate) fn begin_intake(&self, estimated_bytes: u64, ctx: &Ctx) {
        self.watch(Engine::Intake(Arc::clone(&ctx.counters)));
        self.bytes_total.store(estimated_bytes, Ordering::Relaxed);
        self.has_totals.store(true, Ordering::Release);
    }

    /// It has sent everything: the estimate becomes what it was.
    pub(crate) fn end_intake(&self) {
        let counters = self.read();
        self.items_total.store(counters.items_done, Ordering::Relaxed);
        self.files_total.store(counters.files_done, Ordering::Relaxed);
        self.bytes_total.store(counters.bytes_done, Ordering::Relaxed);
    }

    pub(crate) fn watch_backup(&self, ctx: &Ctx) {
        self.watch(Engine::Backup(Arc::clone(&ctx.counters)));
    }

    /// Gives a context of its own to one of the restores of a job: each sets its counters to zero.
    pub(crate) fn watch_restore(&self, ctx: &Ctx) -> Ctx {
        let own = Ctx { cancel: ctx.cancel.clone(), counters: Arc::default() };
        self.watch(Engine::Restore(Arc::clone(&own.counters)));
        own
    }

    fn watch(&self, engine: Engine) {
        self.engines.lock().unwrap_or_else(PoisonError::into_inner).push(engine);
    }

    pub(crate) fn read_bytes(&self, bytes: u64) {
        add(&self.bytes_done, bytes);
        self.handle_bytes(bytes);
    }

    pub(crate) fn handle_bytes(&self, bytes: u64) {
        add(&self.bytes_handled, bytes);
    }

    /// Counts an entry that is over, and writes its line.
    pub(crate) fn end(&self, item: &Item<'_>) {
        let is_file = item.facts.kind == NodeKind::File;
        let is_actual = match &item.fate {
            Fate::Done => true,
            Fate::Skipped => false,
            Fate::Failed { is_stored, .. } => *is_stored,
        };
        if let Some(log) = &self.log {
            log.write(item);
        }
        if matches!(item.fate, Fate::Failed { .. }) {
            add(&self.items_failed, 1);
        }
        add(&self.items_done, 1);
        add(&self.files_done, is_file.into());
        add(&self.items_actual, is_actual.into());
        add(&self.files_actual, (is_actual && is_file).into());
    }

    /// Publishes the totals; those that come first stay.
    pub(crate) fn publish(&self, totals: Totals) {
        if self.has_totals.load(Ordering::Acquire) {
            return;
        }
        self.items_total.store(totals.items, Ordering::Relaxed);
        self.files_total.store(totals.files, Ordering::Relaxed);
        self.bytes_total.store(totals.bytes, Ordering::Relaxed);
        self.has_totals.store(true, Ordering::Release);
    }

    /// At the end of a job whose source changed under it: no total is less than what was done of it.
    pub(crate) fn settle(&self) {
        let counters = self.read();
        self.items_total.fetch_max(counters.items_done, Ordering::Relaxed);
        self.files_total.fetch_max(counters.files_done, Ordering::Relaxed);
        self.bytes_total.fetch_max(counters.bytes_done, Ordering::Relaxed);
    }
}
