//! Owner, attributes, mode and times of what was restored.
//!
//! In this order: a change of owner takes setuid bits and capabilities away, an ACL changes the mode, and all of them
//! may be refused once the mode is set. Everything is tried; the first failure is reported.

use std::ffi::CString;
use std::os::fd::{AsRawFd, BorrowedFd};

use lifeboat_repository::target::TargetError;
use lifeboat_repository::tree::{Node, NodeKind, NodeTime, mode};
use rustix::buffer::spare_capacity;
use rustix::fs::{
    AtFlags, CWD, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, chmodat, chownat, fchmod,
    fchown, flistxattr, fremovexattr, fsetxattr, futimens, listxattr, removexattr, setxattr, utimensat,
};
use rustix::io::Errno;

use super::super::dir::c_string;
use super::Grounds;
use super::folder::failed;

/// An open entry.
pub(super) enum Handle<'a> {
    Open(BorrowedFd<'a>),
    /// Opened only as a place (`O_PATH`), because opening it would have effects or is impossible.
    Path(BorrowedFd<'a>),
}

/// Gives an entry what `node` says of it, as far as this user may.
pub(super) fn set_metadata(handle: &Handle<'_>, node: &Node, grounds: &Grounds) -> Result<(), TargetError> {
    let mut outcome = Ok(());
    let mut note = |result: Result<(), TargetError>| {
        if outcome.is_ok() {
            outcome = result;
        }
    };
    let owned = handle.set_owner(node);
    let is_owned = owned.is_ok();
    note(match owned {
        // It is as good as this user can make it.
        Err(Errno::PERM) if !grounds.is_root => Ok(()),
        owned => owned.map_err(failed("set the owner of")),
    });
    note(set_attributes(handle, node, grounds));
    if node.kind != NodeKind::Symlink {
        note(handle.set_mode(unix_mode(node, is_owned)).map_err(failed("set the mode of")));
    }
    note(handle.set_times(node).map_err(failed("set the times of")));
    outcome
}

fn set_attributes(handle: &Handle<'_>, node: &Node, grounds: &Grounds) -> Result<(), TargetError> {
    let mut outcome = Ok(());
    for attribute in &node.extended_attributes {
        let set = c_string(attribute.name.as_bytes())
            .and_then(|name| Ok(handle.set_attribute(&name, &attribute.value)?));
        let Err(cause) = set else { continue };
        let errno = cause.raw_os_error().map(Errno::from_raw_os_error);
        if errno == Some(Errno::OPNOTSUPP) {
            let kind = attribute.name.split('.').next().unwrap_or_default();
            grounds.warn(&format!("the file system does not take attributes of the kind {kind:?}"));
        } else if errno == Some(Errno::PERM) && !grounds.is_root && is_of_the_system(&attribute.name) {
            grounds.warn("attributes of the system (security., trusted.) are only restored by root");
        } else if outcome.is_ok() {
            outcome = Err(failed(&format!("set the attribute {} of", attribute.name))(cause));
        }
    }
    outcome.and(remove_inherited(handle, node))
}

/// Removes attributes that are there only because of where the entry is, such as the default ACL of its folder.
fn remove_inherited(handle: &Handle<'_>, node: &Node) -> Result<(), TargetError> {
    let names = match handle.attributes() {
        Err(Errno::OPNOTSUPP) => return Ok(()),
        names => names.map_err(failed("list the attributes of"))?,
    };
    for name in names.split(|byte| *byte == 0) {
        let is_ours = name.starts_with(b"user.") || name.starts_with(b"system.posix_acl_");
        let is_wanted = node.extended_attributes.iter().any(|wanted| wanted.name.as_bytes() == name);
        if is_ours && !is_wanted {
            let removed = c_string(name).and_then(|name| Ok(handle.remove_attribute(&name)?));
            removed.map_err(failed("remove an attribute of"))?;
        }
    }
    Ok(())
}

impl Handle<'_> {
    /// A path to the very entry, whatever becomes of its name.
    fn path(fd: &BorrowedFd<'_>) -> String {
        format!("/proc/self/fd/{}", fd.as_raw_fd())
    }

    fn set_owner(&self, node: &Node) -> Result<(), Errno> {
        // An id of all ones would mean "leave as it is".
        let (uid, gid) = (Some(Uid::from_raw(node.uid)), Some(Gid::from_raw(node.gid)));
        match self {
            Self::Open(fd) => fchown(fd, uid, gid),
            Self::Path(fd) => chownat(fd, c"", uid, gid, AtFlags::EMPTY_PATH),
        }
    }

    fn set_mode(&self, mode: Mode) -> Result<(), Errno> {
        match self {
            Self::Open(fd) => fchmod(fd, mode),
            Self::Path(fd) => chmodat(CWD, Self::path(fd), mode, AtFlags::empty()),
        }
    }

    fn set_times(&self, node: &Node) -> Result<(), Errno> {
        let times = Timestamps { last_access: timespec(node.atime), last_modification: timespec(node.mtime) };
        match self {
            Self::Open(fd) => futimens(fd, &times),
            Self::Path(fd) => utimensat(CWD, Self::path(fd), &times, AtFlags::empty()),
        }
    }

    fn set_attribute(&self, name: &CString, value: &[u8]) -> Result<(), Errno> {
        match self {
            Self::Open(fd) => fsetxattr(fd, name, value, XattrFlags::empty()),
            Self::Path(fd) => setxattr(Self::path(fd), name, value, XattrFlags::empty()),
        }
    }

    fn remove_attribute(&self, name: &CString) -> Result<(), Errno> {
        match self {
            Self::Open(fd) => fremovexattr(fd, name),
            Self::Path(fd) => removexattr(Self::path(fd), name),
        }
    }

    fn attributes(&self) -> Result<Vec<u8>, Errno> {
        let mut names = Vec::with_capacity(1024);
        loop {
            let listed = match self {
                Self::Open(fd) => flistxattr(fd, spare_capacity(&mut names)),
                Self::Path(fd) => listxattr(Self::path(fd), spare_capacity(&mut names)),
            };
            match listed {
                Err(Errno::RANGE) => names.reserve(names.capacity() * 2),
                listed => return listed.map(|_| names),
            }
        }
    }
}

fn is_of_the_system(name: &str) -> bool {
    name.starts_with("security.") || name.starts_with("trusted.")
}

/// The mode as the kernel has it. Who cannot give a file to its owner must not lend it own rights.
fn unix_mode(node: &Node, is_owned: bool) -> Mode {
    let mut unix = Mode::from_raw_mode(node.mode & mode::PERMISSIONS);
    unix.set(Mode::SUID, is_owned && node.mode & mode::SETUID != 0);
    unix.set(Mode::SGID, is_owned && node.mode & mode::SETGID != 0);
    unix.set(Mode::SVTX, node.mode & mode::STICKY != 0);
    unix
}

fn timespec(time: NodeTime) -> Timespec {
    if time == NodeTime::UNKNOWN {
        return Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    }
    Timespec { tv_sec: time.seconds, tv_nsec: time.nanoseconds.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_have_its_owner_lends_nobody_rights() {
        let bits = mode::SETUID | mode::SETGID | mode::STICKY | 0o751;
        let node = Node { mode: bits, ..Node::default() };
        assert_eq!(unix_mode(&node, true).bits(), 0o7751);
        assert_eq!(unix_mode(&node, false).bits(), 0o1751);
    }
}
