//! Files and folders of this machine as a target.
//!
//! Every name is checked to be one name and looked up below an open folder, never through a symlink; folders closed to
//! keep within the limit are opened again name by name. So nothing outside the root is ever touched, whatever the
//! snapshot says and whatever stands in the target. What is replaced stays until its successor is complete, under a
//! hidden name beside it, which a crash leaves behind.

mod file;
mod folder;
mod metadata;
mod remove;

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lifeboat_repository::target::{Target, TargetFolder};
use rustix::fs::syncfs;
use rustix::io::Errno;
use rustix::process::{geteuid, getpid};

use super::dir::{Dir, Pool, Reach, c_string};
use folder::FilesFolder;

/// A folder of this machine to restore to.
pub struct FilesTarget {
    root: PathBuf,
    pool: Arc<Pool>,
    grounds: Arc<Grounds>,
}

/// What all folders of one target share.
pub(super) struct Grounds {
    is_root: bool,
    /// Where the names of very large folders are sorted.
    spool_folder: PathBuf,
    next_name: AtomicU64,
    warnings: Mutex<BTreeSet<String>>,
}

impl FilesTarget {
    /// A target below `root`, which is relative to `current` and made when it is needed. Its own path may lead through
    /// symlinks: it is what the user typed.
    pub fn open(root: &Path, current: &Path, spool_folder: &Path) -> io::Result<Self> {
        let grounds = Grounds {
            is_root: geteuid().is_root(),
            spool_folder: spool_folder.to_owned(),
            next_name: AtomicU64::new(0),
            warnings: Mutex::default(),
        };
        Ok(Self { root: current.join(root), pool: Pool::open(current)?, grounds: Arc::new(grounds) })
    }

    fn open_root(&self) -> io::Result<Arc<Dir>> {
        let base = self.root.as_os_str().as_bytes().to_vec();
        Ok(Dir::open_base(&self.pool, &base, Reach::WalkThrough)?.0)
    }
}

impl Target for FilesTarget {
    fn root(&self, may_create: bool) -> io::Result<Option<Arc<dyn TargetFolder>>> {
        if may_create {
            DirBuilder::new().recursive(true).mode(0o700).create(&self.root)?;
        }
        match self.open_root() {
            Ok(dir) => Ok(Some(Arc::new(FilesFolder::existing(dir, Arc::clone(&self.grounds))))),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !may_create => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn sync(&self) -> io::Result<()> {
        Ok(syncfs(&*self.open_root()?.fd()?)?)
    }

    fn warnings(&self) -> Vec<String> {
        self.grounds.warnings.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

impl Grounds {
    fn warn(&self, text: &str) {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if !warnings.contains(text) {
            warnings.insert(text.to_owned());
        }
    }

    /// Makes something under a hidden name that is free. `make` says `EEXIST` when it is not.
    fn under_hidden_name<T>(&self, make: impl Fn(&CString) -> io::Result<T>) -> io::Result<(CString, T)> {
        for _ in 0..1000 {
            let number = self.next_name.fetch_add(1, Ordering::Relaxed);
            let name = format!(".lifeboat-restore-{}-{number}", getpid().as_raw_nonzero());
            let name = c_string(name.as_bytes())?;
            match make(&name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return Ok((name, made?)),
            }
        }
        Err(Errno::EXIST.into())
    }
}

/// A name as the kernel takes it; none that is a path, or leads elsewhere.
fn checked_name(name: &[u8]) -> io::Result<CString> {
    if matches!(name, b"" | b"." | b"..") || name.contains(&b'/') {
        let shown = name.escape_ascii();
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("\"{shown}\" is not a name")));
    }
    c_string(name)
}
