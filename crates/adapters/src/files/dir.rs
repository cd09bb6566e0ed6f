//! Folders held open while they are walked, with a limit on how many really are.
//!
//! Every name is looked up below an open folder and never through a symlink, so no path is ever too long and none
//! can be redirected. A folder closed to keep within the limit is opened again, name by name, when it is needed.

use std::collections::VecDeque;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use rustix::fs::{CWD, Mode, OFlags, Stat, fstat, openat};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use super::plan::{Base, as_path};

/// The largest number of folders to keep open, however generous the system is.
const MOST_OPEN: u64 = 256;

/// All folders of one source: the current folder they hang from and the queue that decides which to close.
pub(super) struct Pool {
    current: OwnedFd,
    limit: usize,
    opened: Mutex<VecDeque<Weak<Dir>>>,
}

/// How a folder may be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// To list it; a symlink in its place is an error.
    Walk,
    /// To list it; on the way to a root, where symlinks are what the user meant.
    WalkThrough,
    /// To look up one name in it; needs no permission to list.
    Pass,
}

/// A folder, open or closed.
pub(super) struct Dir {
    parent: Option<Arc<Dir>>,
    name: CString,
    reach: Reach,
    /// Device and inode, as first opened.
    identity: OnceLock<(u64, u64)>,
    slot: Mutex<Option<Arc<OwnedFd>>>,
    pool: Arc<Pool>,
}

impl Pool {
    /// Opens the current folder of the user.
    pub(super) fn open(current: &std::path::Path) -> io::Result<Arc<Self>> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let current = openat(CWD, current, flags, Mode::empty())?;
        let allowed = getrlimit(Resource::Nofile).current.unwrap_or(MOST_OPEN * 4);
        let limit = usize::try_from((allowed / 4).clamp(4, MOST_OPEN)).unwrap_or(4);
        Ok(Arc::new(Self { current, limit, opened: Mutex::default() }))
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Weak<Dir>>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that `dir` is open, and closes the one that has been open longest when there are too many.
    fn note(&self, dir: &Arc<Dir>) {
        let mut queue = self.queue();
        queue.push_back(Arc::downgrade(dir));
        let oldest = if queue.len() > self.limit { queue.pop_front() } else { None };
        drop(queue);
        if let Some(oldest) = oldest.and_then(|oldest| oldest.upgrade()) {
            oldest.close();
        }
    }

    /// Closes all folders not in use this very moment.
    pub(super) fn close_all(&self) {
        let all = std::mem::take(&mut *self.queue());
        for dir in all.iter().filter_map(Weak::upgrade) {
            dir.close();
        }
    }

    /// Opens below a folder, without touching its access time where that is allowed.
    pub(super) fn open_at(&self, at: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC;
        let quiet = if flags.contains(OFlags::PATH) { flags } else { flags | OFlags::NOATIME };
        let opened = match openat(at, name, quiet, Mode::empty()) {
            Err(Errno::PERM) if quiet != flags => openat(at, name, flags, Mode::empty()),
            Err(Errno::MFILE | Errno::NFILE) => {
                self.close_all();
                openat(at, name, flags, Mode::empty())
            }
            opened => opened,
        };
        Ok(opened?)
    }
}

impl Dir {
    /// Opens the folder that a base stands for.
    pub(super) fn open_base(pool: &Arc<Pool>, base: &Base, reach: Reach) -> io::Result<(Arc<Self>, Stat)> {
        Self::open(pool, None, c_string(base)?, reach)
    }

    /// Opens a folder below this one.
    pub(super) fn open_child(self: &Arc<Self>, name: &CStr, reach: Reach) -> io::Result<(Arc<Self>, Stat)> {
        Self::open(&self.pool, Some(Arc::clone(self)), name.to_owned(), reach)
    }

    fn open(
        pool: &Arc<Pool>,
        parent: Option<Arc<Self>>,
        name: CString,
        reach: Reach,
    ) -> io::Result<(Arc<Self>, Stat)> {
        let (identity, slot, pool) = (OnceLock::new(), Mutex::default(), Arc::clone(pool));
        let dir = Arc::new(Self { parent, name, reach, identity, slot, pool });
        let stat = fstat(dir.fd()?)?;
        dir.identity.get_or_init(|| (stat.st_dev, stat.st_ino));
        Ok((dir, stat))
    }

    /// The open folder; opened again if it had to be closed.
    pub(super) fn fd(self: &Arc<Self>) -> io::Result<Arc<OwnedFd>> {
        let mut closed = Vec::new();
        let mut next = Some(self);
        let mut at = None;
        while let Some(dir) = next {
            at = dir.slot().clone();
            if at.is_some() {
                break;
            }
            closed.push(dir);
            next = dir.parent.as_ref();
        }
        for dir in closed.into_iter().rev() {
            at = Some(dir.open_below(at.as_deref())?);
        }
        at.ok_or_else(|| io::Error::from(Errno::BADF))
    }

    fn open_below(self: &Arc<Self>, parent: Option<&OwnedFd>) -> io::Result<Arc<OwnedFd>> {
        let flags = OFlags::DIRECTORY
            | match self.reach {
                Reach::Walk => OFlags::RDONLY | OFlags::NOFOLLOW,
                Reach::WalkThrough => OFlags::RDONLY,
                Reach::Pass => OFlags::PATH,
            };
        let at = parent.unwrap_or(&self.pool.current).as_fd();
        let fd = Arc::new(self.pool.open_at(at, &self.name, flags)?);
        *self.slot() = Some(Arc::clone(&fd));
        self.pool.note(self);
        Ok(fd)
    }

    /// Opens the parent by way of `..` if it had to be closed, provided that it is still the same folder: the way back
    /// up from a depth then costs one step for each level. The parent can no longer be listed.
    pub(super) fn reopen_parent(&self) {
        let Some(parent) = &self.parent else { return };
        let Some(own) = self.slot().clone() else { return };
        if parent.slot().is_some() {
            return;
        }
        let Ok(fd) = self.pool.open_at(own.as_fd(), c"..", OFlags::PATH | OFlags::DIRECTORY) else { return };
        let identity = fstat(&fd).map(|stat| (stat.st_dev, stat.st_ino)).ok();
        if identity.is_some() && identity == parent.identity.get().copied() {
            *parent.slot() = Some(Arc::new(fd));
            self.pool.note(parent);
        }
    }

    fn slot(&self) -> MutexGuard<'_, Option<Arc<OwnedFd>>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        drop(self.slot().take());
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// The path of `name` in this folder as the user would write it.
    pub(super) fn path_of(&self, name: &CStr) -> PathBuf {
        let mut names = Vec::new();
        if name.to_bytes() != b"." {
            names.push(name.to_bytes());
        }
        let mut next = Some(self);
        while let Some(dir) = next {
            names.push(dir.name.to_bytes());
            next = dir.parent.as_deref();
        }
        let mut names = names.into_iter().rev();
        let base = names.next().unwrap_or(b".").to_vec();
        let mut path = base;
        for name in names {
            if path == b"." {
                path.clear();
            } else if !path.ends_with(b"/") {
                path.push(b'/');
            }
            path.extend_from_slice(name);
        }
        as_path(&path).to_owned()
    }
}

/// Folders hang from their parents in chains that may be thousands long: they are let go one by one.
impl Drop for Dir {
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some(mut dir) = next.and_then(Arc::into_inner) {
            next = dir.parent.take();
        }
    }
}

pub(super) fn c_string(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::Error::from(Errno::INVAL))
}

/// The `stat` of a path below a base, however long, and not of what a symlink at its end points to.
pub(super) fn stat_path(pool: &Arc<Pool>, base: &Base, names: &[&[u8]]) -> io::Result<Stat> {
    let (mut dir, mut stat) = Dir::open_base(pool, base, Reach::Pass)?;
    if let Some((last, above)) = names.split_last() {
        for name in above {
            (dir, _) = dir.open_child(&c_string(name)?, Reach::Pass)?;
        }
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        stat = rustix::fs::statat(dir.fd()?, c_string(last)?, flags)?;
    }
    Ok(stat)
}
