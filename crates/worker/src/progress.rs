//! How far a job is, counted where it happens and read from anywhere.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use lifeboat_model::job::JobCounters;
use lifeboat_repository::Ctx;

/// Counters that only grow. Totals are published together, once the walk that counts them has ended.
#[derive(Debug, Default)]
pub struct Progress {
    pub(crate) bytes_total: AtomicU64,
    pub(crate) items_total: AtomicU64,
    pub(crate) files_total: AtomicU64,
    pub(crate) has_totals: AtomicBool,
    pub(crate) bytes_done: AtomicU64,
    pub(crate) items_done: AtomicU64,
    pub(crate) files_done: AtomicU64,
    pub(crate) items_actual: AtomicU64,
    pub(crate) files_actual: AtomicU64,
    pub(crate) bytes_handled: AtomicU64,
}

pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

impl Progress {
    /// What was counted until now, here and by the engine.
    pub fn read(&self, ctx: &Ctx) -> JobCounters {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let has_totals = self.has_totals.load(Ordering::Acquire);
        let total = |counter: &AtomicU64| has_totals.then(|| get(counter));
        JobCounters {
            bytes_total: total(&self.bytes_total),
            items_total: total(&self.items_total),
            files_total: total(&self.files_total),
            bytes_done: get(&self.bytes_done),
            bytes_actual: get(&ctx.counters.data_added),
            items_done: get(&self.items_done),
            files_done: get(&self.files_done),
            items_actual: get(&self.items_actual),
            files_actual: get(&self.files_actual),
            bytes_handled: get(&self.bytes_handled),
        }
    }

    pub(crate) fn publish_totals(&self) {
        self.has_totals.store(true, Ordering::Release);
    }
}
