//! A file of the target while it is open.
//!
//! A new file has its name from the start, one that replaces another gets it when it is complete. Dropped before it was
//! placed, it is removed. A crash leaves it with the mode of an unfinished file, by which the next restore knows that
//! it is not what a snapshot or the user put there.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lifeboat_repository::target::{Place, TargetError, TargetFile};
use lifeboat_repository::tree::Node;
use rustix::fs::{
    Advice, AtFlags, FileType, Mode, OFlags, RenameFlags, fadvise, fchmod, fstat, openat, renameat,
    renameat_with, statat, unlinkat,
};
use rustix::io::Errno;

use super::super::dir::{Dir, c_string};
use super::super::node::file_type;
use super::Grounds;
use super::metadata::{Handle, set_metadata};

/// The mode of a file until it is finished, which nobody gives to any other: its owner may not even read it.
pub(super) const UNFINISHED: Mode = Mode::SVTX.union(Mode::WUSR);
/// What an incomplete file is called beside its name.
const PART: &[u8] = b".partial";
/// The longest name file systems take.
const NAME_BYTES: usize = 255;

pub(super) struct FilesFile {
    file: File,
    dir: Arc<Dir>,
    grounds: Arc<Grounds>,
    /// Under which it is found now.
    name: CString,
    /// Under which it shall be found.
    final_name: CString,
    is_placed: AtomicBool,
}

impl FilesFile {
    pub(super) fn create(
        dir: &Arc<Dir>,
        grounds: &Arc<Grounds>,
        final_name: CString,
        place: Place,
    ) -> io::Result<Self> {
        let fd = dir.fd()?;
        let create = |name: &CStr| {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match openat(&*fd, name, flags, UNFINISHED) {
                Err(Errno::MFILE | Errno::NFILE) => {
                    dir.pool().close_all();
                    openat(&*fd, name, flags, UNFINISHED)
                }
                created => created,
            }
        };
        let (name, file) = match place {
            Place::New => (final_name.clone(), create(&final_name)?),
            Place::Over => grounds.under_hidden_name(|name| Ok(create(name)?))?,
        };
        let (dir, grounds) = (Arc::clone(dir), Arc::clone(grounds));
        let is_placed = AtomicBool::new(false);
        Ok(Self { file: file.into(), dir, grounds, name, final_name, is_placed })
    }

    /// Opens what is there, if it is a regular file.
    pub(super) fn open(dir: &Arc<Dir>, grounds: &Arc<Grounds>, name: CString) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = dir.pool().open_at(dir.fd()?.as_fd(), &name, flags)?;
        if file_type(&fstat(&file)?) != FileType::RegularFile {
            return Err(io::Error::other("it is not a regular file"));
        }
        // Advice only: what the cache keeps is read from there.
        fadvise(&file, 0, None, Advice::DontNeed).ok();
        let (dir, grounds) = (Arc::clone(dir), Arc::clone(grounds));
        let final_name = name.clone();
        Ok(Self { file: file.into(), dir, grounds, name, final_name, is_placed: AtomicBool::new(true) })
    }

    /// Removes an unfinished file, if its name still stands for it.
    fn remove(&self) -> io::Result<()> {
        let fd = self.dir.fd()?;
        let there = statat(&*fd, &self.name, AtFlags::SYMLINK_NOFOLLOW)?;
        let own = fstat(&self.file)?;
        if (there.st_dev, there.st_ino) == (own.st_dev, own.st_ino) {
            unlinkat(&*fd, &self.name, AtFlags::empty())?;
        }
        Ok(())
    }
}

impl TargetFile for FilesFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn finish(&self, node: &Node) -> Result<(), TargetError> {
        set_metadata(&Handle::Open(self.file.as_fd()), node, &self.grounds)
    }

    fn place(&self) -> io::Result<()> {
        if self.name != self.final_name {
            let fd = self.dir.fd()?;
            renameat(&*fd, &self.name, &*fd, &self.final_name)?;
        }
        self.is_placed.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn keep_part(&self) -> io::Result<Vec<u8>> {
        let fd = self.dir.fd()?;
        fchmod(&self.file, Mode::RUSR | Mode::WUSR)?;
        for number in 0..100 {
            let part = part_name(&self.final_name, number);
            let renamed = renameat_with(&*fd, &self.name, &*fd, c_string(&part)?, RenameFlags::NOREPLACE);
            match renamed {
                Err(Errno::EXIST) => {}
                renamed => {
                    renamed?;
                    self.is_placed.store(true, Ordering::Relaxed);
                    return Ok(part);
                }
            }
        }
        Err(Errno::EXIST.into())
    }
}

impl Drop for FilesFile {
    fn drop(&mut self) {
        if !self.is_placed.load(Ordering::Relaxed)
            && let Err(error) = self.remove()
        {
            self.grounds.warn(&format!("cannot remove unfinished files: {error}"));
        }
    }
}

/// `NAME.partial`, `NAME.partial1` and so on, cut where they grow too long.
fn part_name(name: &CStr, number: u32) -> Vec<u8> {
    let mut end = PART.to_vec();
    if number > 0 {
        end.extend_from_slice(number.to_string().as_bytes());
    }
    let mut part = name.to_bytes().to_vec();
    part.truncate(NAME_BYTES - end.len());
    part.extend_from_slice(&end);
    part
}
