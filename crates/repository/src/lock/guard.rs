//! A lock we hold: kept fresh while it is needed, asked before every commit, taken away at the end.
//!
//! A refresh writes a new lock file and deletes the old one, and only counts if the old one was still there: an
//! `unlock` elsewhere, which may have let somebody else in, is never papered over. Once lost, always lost.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::file::{self, LockFile, LockMode, STALE_AFTER};
use super::{LockOptions, SETTLE, UnpackedFiles};
use crate::ctx::{Cancel, Ctx};
use crate::error::{Error, ErrorKind, Result};
use crate::id::LockId;
use crate::storage::FileKind;

/// How often a held lock is written anew (restic's interval).
const REFRESH_EVERY: Duration = Duration::from_secs(5 * 60);
/// An older lock must be proven to be ours still before anything is committed; the rest up to
/// [`STALE_AFTER`] is left for clocks that differ.
const TRUSTED_FOR: Duration = STALE_AFTER.saturating_sub(Duration::from_secs(450));
/// The machine may have slept in between, so the refresher looks at the clock this often.
const GLANCE_EVERY: Duration = Duration::from_secs(5);

/// Removes its lock file when dropped.
pub struct LockGuard {
    files: Arc<dyn UnpackedFiles>,
    options: LockOptions,
    held: Mutex<Held>,
    /// One refresh at a time.
    refreshing: Mutex<()>,
    stopped: Cancel,
    removed: Vec<LockFile>,
}

struct Held {
    id: LockId,
    /// By the clock on the wall, as others see it.
    refreshed: Timestamp,
    /// By the clock nobody can set.
    refreshed_uptime: Duration,
    is_lost: bool,
    /// Replaced lock files that could not be deleted yet.
    leftovers: Vec<LockId>,
}

impl LockGuard {
    pub(super) fn create(files: Arc<dyn UnpackedFiles>, options: &LockOptions) -> Result<Self> {
        let refreshed = options.time.clock.now();
        let refreshed_uptime = options.pace.uptime();
        let id = save(files.as_ref(), options, refreshed)?;
        let held = Held { id, refreshed, refreshed_uptime, is_lost: false, leftovers: Vec::new() };
        Ok(Self {
            files,
            options: options.clone(),
            held: Mutex::new(held),
            refreshing: Mutex::new(()),
            stopped: Cancel::default(),
            removed: Vec::new(),
        })
    }

    pub(super) fn with_removed(mut self, removed: Vec<LockFile>) -> Self {
        self.removed = removed;
        self
    }

    /// The lock file of this moment; each refresh changes it.
    pub fn id(&self) -> LockId {
        self.held().id
    }

    pub fn mode(&self) -> LockMode {
        self.options.mode
    }

    /// Locks of dead processes that had to be removed to get this one.
    pub fn removed(&self) -> &[LockFile] {
        &self.removed
    }

    /// Runs `work` while another thread keeps the lock fresh.
    pub fn keep_while<T>(&self, ctx: &Ctx, work: impl FnOnce() -> T) -> T {
        struct StopAtEnd<'a>(&'a Cancel);
        impl Drop for StopAtEnd<'_> {
            fn drop(&mut self) {
                self.0.cancel();
            }
        }
        let end = Cancel::default();
        std::thread::scope(|scope| {
            scope.spawn(|| self.refresh_until(&[&ctx.cancel, &self.stopped, &end]));
            let _stop = StopAtEnd(&end);
            work()
        })
    }

    /// Refreshes the lock in time until cancelled, stopped or lost. Runs on a thread of its own.
    pub fn keep_fresh(&self, ctx: &Ctx) {
        self.refresh_until(&[&ctx.cancel, &self.stopped]);
    }

    /// Ends [`Self::keep_fresh`].
    pub fn stop(&self) {
        self.stopped.cancel();
    }

    fn refresh_until(&self, ends: &[&Cancel]) {
        let mut due = REFRESH_EVERY;
        while self.options.pace.wait(GLANCE_EVERY, ends) && !self.held().is_lost {
            if self.age() < due {
                continue;
            }
            // A failure is not the end: the lock stays good for a while, and `assert_held` has the last word.
            due = match self.refresh() {
                Ok(()) => REFRESH_EVERY,
                Err(_) => self.age().saturating_add(GLANCE_EVERY),
            };
        }
    }

    /// Fails with [`ErrorKind::LockLost`] unless the lock is certainly still ours. To be called before each
    /// commit: an index file, a snapshot, a deletion.
    ///
    /// After a pause (a suspended laptop, a stopped process) the lock is first written anew, which works only
    /// if nobody took it for stale in the meantime.
    pub fn assert_held(&self) -> Result<()> {
        if self.age() > TRUSTED_FOR {
            return self.refresh();
        }
        loop {
            let id = self.held().id;
            if self.held().is_lost {
                return Err(self.lost());
            }
            if self.files.exists(FileKind::Lock, id.id())? {
                return Ok(());
            }
            // Perhaps a refresh is just replacing it.
            let _not_while_refreshing = self.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
            if self.held().id == id {
                self.held().is_lost = true;
            }
        }
    }

    /// Writes the lock anew, provided the old file is there before and after.
    pub fn refresh(&self) -> Result<()> {
        let _one_at_a_time = self.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.held().id;
        if self.held().is_lost || !self.files.exists(FileKind::Lock, old.id())? {
            self.held().is_lost = true;
            return Err(self.lost());
        }
        let is_suspect = self.age() > TRUSTED_FOR;
        let refreshed = self.options.time.clock.now();
        let refreshed_uptime = self.options.pace.uptime();
        let new = save(self.files.as_ref(), &self.options, refreshed)?;
        if is_suspect {
            // Whoever removes stale locks now either takes the old one before we look, or sees the new one.
            self.options.pace.wait(SETTLE, &[]);
        }
        match self.files.delete(FileKind::Lock, old.id()) {
            Ok(true) => self.take_over(new, refreshed, refreshed_uptime, None),
            Ok(false) => {
                self.held().is_lost = true;
                self.held().leftovers.push(new);
                return Err(self.lost());
            }
            // It may be gone or not. If it can be seen it was not taken from us.
            Err(error) => match self.files.exists(FileKind::Lock, old.id()) {
                Ok(true) => self.take_over(new, refreshed, refreshed_uptime, Some(old)),
                Ok(false) | Err(_) => {
                    self.held().leftovers.push(new);
                    return Err(error);
                }
            },
        }
        Ok(())
    }

    fn take_over(&self, new: LockId, refreshed: Timestamp, refreshed_uptime: Duration, old: Option<LockId>) {
        let mut held = self.held();
        held.id = new;
        held.refreshed = refreshed;
        held.refreshed_uptime = refreshed_uptime;
        held.leftovers.extend(old);
    }

    /// Gives the lock up.
    pub fn release(self) -> Result<()> {
        self.remove_files()
    }

    fn remove_files(&self) -> Result<()> {
        self.stop();
        let _not_while_refreshing = self.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
        let ours = {
            let mut held = self.held();
            let mut ours = std::mem::take(&mut held.leftovers);
            if !held.is_lost {
                ours.push(held.id);
            }
            held.is_lost = true;
            ours
        };
        let mut result = Ok(());
        for id in ours {
            result = result.and(self.files.delete(FileKind::Lock, id.id()).map(|_was_there| ()));
        }
        result
    }

    /// The time since the last refresh, by whichever clock says more.
    fn age(&self) -> Duration {
        let held = self.held();
        let by_uptime = self.options.pace.uptime().saturating_sub(held.refreshed_uptime);
        let by_clock = self.options.time.clock.now().duration_since(held.refreshed);
        by_uptime.max(Duration::try_from(by_clock).unwrap_or_default())
    }

    fn lost(&self) -> Error {
        let what = format!("our lock {} of the repository is gone; somebody removed it", self.id().short());
        Error::new(ErrorKind::LockLost, what)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        // Whatever cannot be removed now is found dead by the next command.
        self.remove_files().ok();
    }
}

/// Stores a lock file. If that fails it may be there all the same, and would lock ourselves out.
fn save(files: &dyn UnpackedFiles, options: &LockOptions, now: Timestamp) -> Result<LockId> {
    let content = file::encode(options.mode, &options.holder, now, &options.time)?;
    let saved = files.save(FileKind::Lock, &content);
    if saved.is_err() {
        remove_unacknowledged(files, &content).ok();
    }
    saved.map(LockId::new)
}

fn remove_unacknowledged(files: &dyn UnpackedFiles, content: &[u8]) -> Result<()> {
    for stored in files.list(FileKind::Lock)? {
        let is_ours =
            files.load(FileKind::Lock, stored.id).is_ok_and(|found| found.as_deref() == Some(content));
        if is_ours {
            files.delete(FileKind::Lock, stored.id)?;
        }
    }
    Ok(())
}
