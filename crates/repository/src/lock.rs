//! Locks, as restic takes them: a file of its own for each holder, so that both programs may share a repository.
//!
//! Taking one is: look, write ours, wait, look again; of two that look at the same moment at least one sees the
//! other and steps back. A crash leaves the lock file; the next command on the same host finds the process dead
//! and removes it, other hosts leave it to `unlock`.
//!
//! Restic asks whether a process lives by sending it a hangup, so a program that takes locks must survive SIGHUP.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Pace, Time};
use crate::ctx::Ctx;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{Id, LockId};
use crate::storage::{FileKind, Stored};

mod file;
mod guard;
mod holder;

pub use file::{LockFile, LockMode, STALE_AFTER};
pub use guard::LockGuard;
pub use holder::{Holder, ProcessMark};

/// What locks need of a repository: small sealed files, read and written whole.
pub trait UnpackedFiles: Send + Sync {
    /// Seals and stores `content`, and returns the name it got.
    fn save(&self, kind: FileKind, content: &[u8]) -> Result<Id>;

    /// The content of a file; `None` when there is no such file.
    fn load(&self, kind: FileKind, id: Id) -> Result<Option<Vec<u8>>>;

    fn exists(&self, kind: FileKind, id: Id) -> Result<bool>;

    fn list(&self, kind: FileKind) -> Result<Vec<Stored>>;

    /// Removes a file and says whether there was one.
    fn delete(&self, kind: FileKind, id: Id) -> Result<bool>;
}

/// How to take a lock.
#[derive(Clone)]
pub struct LockOptions {
    pub mode: LockMode,
    pub holder: Holder,
    /// For how long to try again while others hold conflicting locks.
    pub retry_for: Duration,
    pub time: Time,
    pub pace: Arc<dyn Pace>,
}

/// Others get this long to see our lock, or we theirs.
const SETTLE: Duration = Duration::from_millis(200);
const FIRST_RETRY: Duration = Duration::from_secs(5);
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// A lock that cannot be read may be one that is still being written.
const UNREADABLE_RETRIES: [Duration; 3] =
    [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

impl LockGuard {
    /// Takes a lock; fails with [`ErrorKind::Locked`], naming the holder, when a conflicting one stays.
    pub fn acquire(files: Arc<dyn UnpackedFiles>, options: LockOptions, ctx: &Ctx) -> Result<Self> {
        let give_up = options.pace.uptime().saturating_add(options.retry_for);
        let mut acquisition = Acquisition { files, options, removed: Vec::new() };
        let mut delay = FIRST_RETRY;
        loop {
            ctx.cancel.check()?;
            let attempt = acquisition.attempt(ctx);
            let left = give_up.saturating_sub(acquisition.options.pace.uptime());
            match attempt {
                Err(error) if error.kind == ErrorKind::Locked && !left.is_zero() => {
                    ctx.counters.begin_phase("waiting for the lock", 0, 0);
                    acquisition.wait(delay.min(left), ctx)?;
                    delay = delay.saturating_mul(2).min(LONGEST_RETRY);
                }
                attempt => return attempt,
            }
        }
    }
}

struct Acquisition {
    files: Arc<dyn UnpackedFiles>,
    options: LockOptions,
    removed: Vec<LockFile>,
}

impl Acquisition {
    fn attempt(&mut self, ctx: &Ctx) -> Result<LockGuard> {
        self.check_others(None, ctx)?;
        let guard = LockGuard::create(Arc::clone(&self.files), &self.options)?;
        // From here on, dropping the guard takes our lock away again.
        self.wait(SETTLE, ctx)?;
        self.check_others(Some(guard.id()), ctx)?;
        Ok(guard.with_removed(std::mem::take(&mut self.removed)))
    }

    /// Fails when somebody else holds a conflicting lock; removes locks of dead processes on the way.
    fn check_others(&mut self, ours: Option<LockId>, ctx: &Ctx) -> Result<()> {
        let now = self.options.time.clock.now();
        for stored in self.files.list(FileKind::Lock)? {
            let id = LockId::new(stored.id);
            // An empty file is an upload that broke off; restic passes over it, too.
            if Some(id) == ours || stored.size == 0 {
                continue;
            }
            let Some(lock) = self.load_patiently(id, ctx)? else { continue };
            if lock.is_dead(&self.options.holder, now) {
                self.files.delete(FileKind::Lock, stored.id)?;
                self.removed.push(lock);
            } else if lock.conflicts_with(self.options.mode) {
                let what = format!("the repository is already locked {}", lock.describe(now));
                return Err(Error::new(ErrorKind::Locked, what));
            }
        }
        Ok(())
    }

    fn load_patiently(&self, id: LockId, ctx: &Ctx) -> Result<Option<LockFile>> {
        for delay in UNREADABLE_RETRIES {
            match load(self.files.as_ref(), id) {
                Err(error) if error.kind == ErrorKind::Damaged => self.wait(delay, ctx)?,
                loaded => return loaded,
            }
        }
        load(self.files.as_ref(), id).map_err(|cause| match cause.kind {
            ErrorKind::Damaged => Error::damaged(format!(
                "lock {id} cannot be read; `unlock --remove-all` removes it, once nobody uses the repository"
            ))
            .because(cause),
            _ => cause,
        })
    }

    fn wait(&self, duration: Duration, ctx: &Ctx) -> Result<()> {
        self.options.pace.wait(duration, &[&ctx.cancel]);
        ctx.cancel.check()
    }
}

fn load(files: &dyn UnpackedFiles, id: LockId) -> Result<Option<LockFile>> {
    let content = files.load(FileKind::Lock, id.id())?;
    content.map(|content| LockFile::decode(id, &content)).transpose()
}

/// What `unlock` did.
#[derive(Debug, Default)]
pub struct UnlockSummary {
    pub removed: u64,
    /// Locks of others, left alone because they may be in use.
    pub kept: Vec<LockFile>,
    /// Locks that could not be read and are still there.
    pub unreadable: Vec<LockId>,
}

/// Removes locks not refreshed for [`STALE_AFTER`] and those of dead processes of this host.
pub fn remove_stale(files: &dyn UnpackedFiles, us: &Holder, time: &Time, ctx: &Ctx) -> Result<UnlockSummary> {
    let mut summary = UnlockSummary::default();
    let now = time.clock.now();
    for stored in files.list(FileKind::Lock)? {
        ctx.cancel.check()?;
        let id = LockId::new(stored.id);
        match load(files, id) {
            Ok(Some(lock)) if lock.is_stale(us, now) => {
                summary.removed += u64::from(files.delete(FileKind::Lock, stored.id)?);
            }
            Ok(Some(lock)) => summary.kept.push(lock),
            Ok(None) => {}
            Err(error) if error.kind == ErrorKind::Damaged => summary.unreadable.push(id),
            Err(error) => return Err(error),
        }
    }
    Ok(summary)
}

/// Removes every lock, readable or not, in use or not.
pub fn remove_all(files: &dyn UnpackedFiles, ctx: &Ctx) -> Result<UnlockSummary> {
    let mut summary = UnlockSummary::default();
    for stored in files.list(FileKind::Lock)? {
        ctx.cancel.check()?;
        summary.removed += u64::from(files.delete(FileKind::Lock, stored.id)?);
    }
    Ok(summary)
}

#[cfg(test)]
mod tests;
