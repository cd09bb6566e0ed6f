//! Removing a folder with all it holds, without following a symlink and without a limit to its depth.

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::sync::Arc;

use lifeboat_repository::Cancel;
use rustix::fs::{AtFlags, OFlags, RawDir, unlinkat};
use rustix::io::Errno;

use super::super::dir::{Dir, Reach};

/// Removes the folder `name` of `above`. The first entry that cannot be removed ends it.
pub(super) fn remove_tree(above: &Arc<Dir>, name: &CStr, cancel: &Cancel) -> io::Result<()> {
    let mut stack = vec![open(above, name)?];
    while let Some((dir, name)) = stack.last() {
        cancel.check().map_err(io::Error::other)?;
        if let Some(full) = empty(dir, cancel)? {
            let below = open(dir, &full)?;
            stack.push(below);
            continue;
        }
        let above = stack.len().checked_sub(2).and_then(|at| stack.get(at)).map_or(above, |(dir, _)| dir);
        unlinkat(&*above.fd()?, name, AtFlags::REMOVEDIR)?;
        stack.pop();
    }
    Ok(())
}

fn open(above: &Arc<Dir>, name: &CStr) -> io::Result<(Arc<Dir>, CString)> {
    Ok((above.open_child(name, Reach::Walk)?.0, name.to_owned()))
}

/// Removes what is in a folder, up to the first folder that is not empty, which it names.
fn empty(dir: &Arc<Dir>, cancel: &Cancel) -> io::Result<Option<CString>> {
    let fd = dir.fd()?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
    let listed = dir.pool().open_at(fd.as_fd(), c".", flags)?;
    let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
    let mut entries = RawDir::new(&listed, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        cancel.check().map_err(io::Error::other)?;
        match unlinkat(&*fd, name, AtFlags::empty()) {
            Err(Errno::ISDIR | Errno::PERM) => {}
            removed => {
                removed?;
                continue;
            }
        }
        match unlinkat(&*fd, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => return Ok(Some(name.to_owned())),
            Err(Errno::NOTDIR) => return Err(Errno::PERM.into()),
            removed => removed?,
        }
    }
    Ok(None)
}
