//! A folder of the target, and what is made in it.

use std::any::Any;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;

use lifeboat_repository::Cancel;
use lifeboat_repository::target::{
    Access, Existing, ExistingKind, Place, TargetError, TargetFile, TargetFolder,
};
use lifeboat_repository::tree::{Node, NodeKind, NodeTime};
use rustix::fs::{
    AtFlags, CWD, Dev, FileType, Mode, OFlags, Stat, chmodat, fchmod, fstat, linkat, mkdirat, mknodat,
    openat, renameat, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::super::dir::{Dir, Reach};
use super::super::listing::{Listing, Room};
use super::super::node::{file_type, mode_bits, size};
use super::file::{FilesFile, UNFINISHED};
use super::metadata::{Handle, set_metadata};
use super::remove::remove_tree;
use super::{Grounds, checked_name};

/// Memory for the names of one folder when it is compared with a tree.
const LISTING_BYTES: usize = 4 * 1024 * 1024;

pub(super) struct FilesFolder {
    pub(super) dir: Arc<Dir>,
    pub(super) grounds: Arc<Grounds>,
    /// Made by this restore, so that there is nothing in it yet.
    is_new: bool,
}

impl FilesFolder {
    pub(super) fn existing(dir: Arc<Dir>, grounds: Arc<Grounds>) -> Self {
        Self { dir, grounds, is_new: false }
    }

    /// Opens a folder in this one. What the user owns is made usable to the user for as long as the restore takes.
    fn open(&self, name: &CStr, is_new: bool) -> io::Result<Arc<dyn TargetFolder>> {
        let opened = match self.dir.open_child(name, Reach::Walk) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                self.unlock(name)?;
                self.dir.open_child(name, Reach::Walk)
            }
            opened => opened,
        };
        let (dir, stat) = opened?;
        if is_locked(&stat) {
            fchmod(&*dir.fd()?, Mode::from_raw_mode(stat.st_mode) | Mode::RWXU)?;
        }
        Ok(Arc::new(Self { dir, grounds: Arc::clone(&self.grounds), is_new }))
    }

    /// Gives the owner back the right to use a folder.
    fn unlock(&self, name: &CStr) -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(&*self.dir.fd()?, name, flags, Mode::empty())?;
        let stat = fstat(&fd)?;
        if !is_locked(&stat) {
            return Err(Errno::ACCESS.into());
        }
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        Ok(chmodat(CWD, path, Mode::from_raw_mode(stat.st_mode) | Mode::RWXU, AtFlags::empty())?)
    }

    /// Runs `make` with the name, or with a hidden one that is then renamed to it.
    fn make_at(
        &self,
        name: &CStr,
        place: Place,
        make: impl Fn(&OwnedFd, &CStr) -> Result<(), TargetError>,
    ) -> Result<(), TargetError> {
        let fd = self.dir.fd().map_err(failed("open the folder of"))?;
        if place == Place::New {
            return make(&fd, name);
        }
        let mut flaw = Ok(());
        let hidden = self.grounds.under_hidden_name(|hidden| match make(&fd, hidden) {
            Err(error) if error.cause.kind() == io::ErrorKind::AlreadyExists => Err(error.cause),
            made => Ok(made),
        });
        let (hidden, made) = hidden.map_err(failed("make"))?;
        if let Err(error) = made {
            // It is either not there, or there with a flaw and to be placed none the less.
            match statat(&fd, &hidden, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(_) => flaw = Err(error),
                Err(_) => return Err(error),
            }
        }
        if let Err(error) = renameat(&fd, &hidden, &fd, name) {
            unlinkat(&fd, &hidden, AtFlags::empty()).map_err(failed("remove the unfinished"))?;
            return Err(failed("replace")(error));
        }
        flaw
    }
}

impl TargetFolder for FilesFolder {
    fn look(&self, name: &[u8]) -> io::Result<Option<Existing>> {
        let name = checked_name(name)?;
        if self.is_new {
            return Ok(None);
        }
        match statat(&*self.dir.fd()?, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(existing(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn make_folder(&self, name: &[u8]) -> io::Result<Arc<dyn TargetFolder>> {
        let name = checked_name(name)?;
        mkdirat(&*self.dir.fd()?, &name, Mode::RWXU)?;
        self.open(&name, true)
    }

    fn open_folder(&self, name: &[u8], access: Access) -> io::Result<Arc<dyn TargetFolder>> {
        let name = checked_name(name)?;
        if access == Access::Fill {
            return self.open(&name, false);
        }
        let (dir, _) = self.dir.open_child(&name, Reach::Walk)?;
        Ok(Arc::new(Self::existing(dir, Arc::clone(&self.grounds))))
    }

    fn create_file(&self, name: &[u8], place: Place) -> io::Result<Box<dyn TargetFile>> {
        Ok(Box::new(FilesFile::create(&self.dir, &self.grounds, checked_name(name)?, place)?))
    }

    fn open_file(&self, name: &[u8]) -> io::Result<Box<dyn TargetFile>> {
        Ok(Box::new(FilesFile::open(&self.dir, &self.grounds, checked_name(name)?)?))
    }

    fn create_special(&self, node: &Node, place: Place) -> Result<(), TargetError> {
        let name = checked_name(&node.name).map_err(failed("make"))?;
        let is_device = matches!(node.kind, NodeKind::BlockDevice | NodeKind::CharDevice);
        if is_device && !self.grounds.is_root {
            return Err(failed("make the device")(io::Error::other("only root may make devices")));
        }
        self.make_at(&name, place, |fd, name| {
            let kind = make_special(fd, name, node).map_err(failed("make"))?;
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let made = openat(fd, name, flags, Mode::empty()).map_err(failed("open"))?;
            let stat = fstat(&made).map_err(failed("stat"))?;
            if file_type(&stat) != kind || stat.st_nlink != 1 {
                return Err(failed("find again")(io::Error::other("something else is in its place")));
            }
            set_metadata(&Handle::Path(made.as_fd()), node, &self.grounds)
        })
    }

    fn link(&self, name: &[u8], place: Place, first: &dyn TargetFolder, first_name: &[u8]) -> io::Result<()> {
        let (name, first_name) = (checked_name(name)?, checked_name(first_name)?);
        let first = (first as &dyn Any).downcast_ref::<Self>();
        let first = first.ok_or_else(|| io::Error::other("the first name is in another target"))?;
        let first = first.dir.fd()?;
        if place == Place::Over && self.is_same_file(&name, &first, &first_name)? {
            return Ok(());
        }
        let linked = self.make_at(&name, place, |fd, name| {
            linkat(&*first, &first_name, fd, name, AtFlags::empty()).map_err(failed("link"))
        });
        linked.map_err(|error| error.cause)
    }

    fn finish(&self, node: &Node) -> Result<(), TargetError> {
        let fd = self.dir.fd().map_err(failed("open"))?;
        set_metadata(&Handle::Open(fd.as_fd()), node, &self.grounds)
    }

    fn names(&self, cancel: &Cancel) -> io::Result<Box<dyn Iterator<Item = io::Result<Vec<u8>>>>> {
        // Opened once more: where it was read to is not shared.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let fd = self.dir.pool().open_at(self.dir.fd()?.as_fd(), c".", flags)?;
        let room = Room { budget_bytes: LISTING_BYTES, spool_folder: &self.grounds.spool_folder, cancel };
        let (mut listing, error) = Listing::read(&fd, room);
        if let Some(error) = error {
            return Err(error);
        }
        Ok(Box::new(std::iter::from_fn(move || {
            Some(listing.next_name()?.map(|found| found.name.into_bytes()))
        })))
    }

    fn remove(&self, name: &[u8], with_content: bool, cancel: &Cancel) -> io::Result<()> {
        let name = checked_name(name)?;
        let fd = self.dir.fd()?;
        match unlinkat(&*fd, &name, AtFlags::empty()) {
            Err(Errno::ISDIR | Errno::PERM) => {}
            removed => return Ok(removed?),
        }
        match unlinkat(&*fd, &name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST) if with_content => remove_tree(&self.dir, &name, cancel),
            Err(Errno::NOTDIR) => Err(Errno::PERM.into()),
            removed => Ok(removed?),
        }
    }
}

impl FilesFolder {
    fn is_same_file(&self, name: &CStr, first: &OwnedFd, first_name: &CStr) -> io::Result<bool> {
        let there = statat(&*self.dir.fd()?, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let first = statat(first, first_name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok((there.st_dev, there.st_ino) == (first.st_dev, first.st_ino))
    }
}

/// Makes what is neither a file nor a folder, and says what stat will call it.
fn make_special(fd: &OwnedFd, name: &CStr, node: &Node) -> Result<FileType, Errno> {
    let private = Mode::RUSR | Mode::WUSR;
    let make_node = |kind, device: u64| {
        // The kernel takes 32 bits and would silently make another device of more.
        let device = u32::try_from(device).map_err(|_| Errno::INVAL)?;
        mknodat(fd, name, kind, private, Dev::from(device)).map(|()| kind)
    };
    match node.kind {
        NodeKind::Symlink => symlinkat(node.link_target.as_slice(), fd, name).map(|()| FileType::Symlink),
        NodeKind::Fifo => make_node(FileType::Fifo, 0),
        NodeKind::BlockDevice => make_node(FileType::BlockDevice, node.device),
        NodeKind::CharDevice => make_node(FileType::CharacterDevice, node.device),
        NodeKind::File | NodeKind::Dir | NodeKind::Socket | NodeKind::Other(_) => Err(Errno::INVAL),
    }
}

pub(super) fn failed<E: Into<io::Error>>(op: &str) -> impl Fn(E) -> TargetError {
    move |cause| TargetError { op: op.to_owned(), cause: cause.into() }
}

/// Whether the user owns a folder but has not all rights in it.
fn is_locked(stat: &Stat) -> bool {
    let euid = geteuid();
    !euid.is_root() && stat.st_uid == euid.as_raw() && !Mode::from_raw_mode(stat.st_mode).contains(Mode::RWXU)
}

fn existing(stat: &Stat) -> Existing {
    let kind = match file_type(stat) {
        FileType::RegularFile => ExistingKind::File,
        FileType::Directory => ExistingKind::Folder,
        _ => ExistingKind::Other,
    };
    let nanoseconds = u32::try_from(stat.st_mtime_nsec).unwrap_or_default();
    let mtime = NodeTime { seconds: stat.st_mtime, nanoseconds };
    #[expect(clippy::useless_conversion, reason = "the width differs between architectures")]
    let links = u64::from(stat.st_nlink);
    let bits = Mode::from_raw_mode(stat.st_mode);
    Existing {
        kind,
        size: size(stat),
        mtime,
        links,
        mode: mode_bits(stat.st_mode),
        uid: stat.st_uid,
        gid: stat.st_gid,
        identity: (stat.st_dev, stat.st_ino),
        is_unfinished: kind == ExistingKind::File && bits == UNFINISHED,
    }
}
