//! What every long operation is given: a way to be cancelled and counters to report through.
//!
//! The engine counts and never calls back; whoever shows progress reads the counters when it likes.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::error::{Error, ErrorKind};

/// Done in some hundredths of a second.
const ITEMS_BETWEEN_CHECKS: u32 = 1 << 16;

/// A handle to stop an operation; clones share one state.
#[derive(Clone, Debug)]
pub struct Cancel(Arc<CancelState>);

#[derive(Debug)]
struct CancelState {
    cancelled: AtomicBool,
    open: Mutex<Option<Sender<()>>>,
    closed: Receiver<()>,
}

impl Default for Cancel {
    fn default() -> Self {
        let (open, closed) = bounded(0);
        let state = CancelState { cancelled: AtomicBool::new(false), open: Mutex::new(Some(open)), closed };
        Self(Arc::new(state))
    }
}

impl Cancel {
    /// Asks the operation to stop; a second call changes nothing.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::SeqCst);
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Relaxed)
    }

    /// Fails with [`ErrorKind::Cancelled`] once cancelled.
    pub fn check(&self) -> Result<(), Error> {
        if self.is_cancelled() {
            Err(Error::new(ErrorKind::Cancelled, "the operation was cancelled"))
        } else {
            Ok(())
        }
    }

    /// Gives the items, and now and then looks whether to go on: for loops over millions that do little with each.
    pub fn checked<T>(&self, items: impl IntoIterator<Item = T>) -> impl Iterator<Item = Result<T, Error>> {
        let mut left = 0;
        items.into_iter().map(move |item| {
            if left == 0 {
                self.check()?;
                left = ITEMS_BETWEEN_CHECKS;
            }
            left -= 1;
            Ok(item)
        })
    }

    /// A channel that disconnects on cancellation, for use in `select!`. Nothing is ever sent on it.
    pub fn closed(&self) -> &Receiver<()> {
        &self.0.closed
    }
}

/// What an operation has done so far. All numbers only grow, except the totals, which estimates may revise.
#[derive(Debug, Default)]
pub struct Counters {
    /// Work known to exist: files (or packs, blobs, snapshots: the unit of the running phase).
    pub total_items: AtomicU64,
    pub total_bytes: AtomicU64,
    /// True once the totals will not change any more.
    pub totals_known: AtomicBool,
    pub items_done: AtomicU64,
    /// Bytes of source or target content processed, whether new or known.
    pub bytes_done: AtomicU64,
    /// Bytes really read from the source; in a restore, plaintext of blobs fetched from the repository.
    pub bytes_read: AtomicU64,
    /// Bytes of content written to a target, holes included.
    pub bytes_written: AtomicU64,
    /// Plaintext bytes of blobs that were new to the repository.
    pub bytes_added: AtomicU64,
    /// The same for blobs of file content alone.
    pub data_added: AtomicU64,
    /// Bytes of storage those blobs take, sealed.
    pub bytes_stored: AtomicU64,
    pub errors: AtomicU64,
    current: Mutex<Current>,
}

#[derive(Debug, Default, Clone)]
struct Current {
    phase: &'static str,
    item: PathBuf,
}

impl Counters {
    pub fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }

    pub fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }

    /// Names the step now running and starts its item and byte counts at zero of the given totals.
    pub fn begin_phase(&self, phase: &'static str, total_items: u64, total_bytes: u64) {
        self.total_items.store(total_items, Ordering::Relaxed);
        self.total_bytes.store(total_bytes, Ordering::Relaxed);
        self.totals_known.store(total_items + total_bytes > 0, Ordering::Relaxed);
        self.items_done.store(0, Ordering::Relaxed);
        self.bytes_done.store(0, Ordering::Relaxed);
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) =
            Current { phase, item: PathBuf::new() };
    }

    pub fn phase(&self) -> &'static str {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).phase
    }

    /// Notes the item being worked on. Skipped when another thread is noting one: this is for people's eyes.
    pub fn set_item(&self, item: &Path) {
        if let Ok(mut current) = self.current.try_lock() {
            current.item.clear();
            current.item.push(item);
        }
    }

    pub fn item(&self) -> PathBuf {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).item.clone()
    }
}

/// Carried through every long operation, always as the last argument.
#[derive(Clone, Debug, Default)]
pub struct Ctx {
    pub cancel: Cancel,
    pub counters: Arc<Counters>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_over_millions_ends_soon_after_a_cancel() {
        let cancel = Cancel::default();
        let mut last = 0;
        let outcome = cancel.checked(0..u32::MAX).try_for_each(|number| {
            last = number?;
            if last == 100 {
                cancel.cancel();
            }
            Ok::<_, Error>(())
        });
        assert_eq!(outcome.map_err(|error| error.kind), Err(ErrorKind::Cancelled));
        assert!((100..=ITEMS_BETWEEN_CHECKS).contains(&last), "{last}");
    }
}
