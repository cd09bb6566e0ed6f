//! What is left out of a walk besides what patterns say: marked folders, large files, other file systems.
//!
//! A marked folder is kept, with nothing in it but the file that marks it, as in restic.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, OFlags, Stat, statat};
use rustix::io::Errno;

use super::dir::Dir;
use super::node::{file_type, size};

/// How a file named `CACHEDIR.TAG` must begin (<https://bford.info/cachedir/>).
const CACHE_SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// Decides by path. The engine of patterns is one implementation.
pub trait Select: Send + Sync {
    /// `path` is absolute. A folder that is not included is not looked into.
    fn includes(&self, path: &Path, is_dir: bool) -> bool;
}

/// Includes all there is.
#[derive(Clone, Copy, Debug, Default)]
pub struct SelectAll;

impl Select for SelectAll {
    fn includes(&self, _path: &Path, _is_dir: bool) -> bool {
        true
    }
}

/// A file whose presence keeps the content of its folder out of the backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    name: CString,
    /// The file counts only if it begins with this.
    header: Vec<u8>,
}

/// Text that names no file.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} names no file to look for")]
pub struct ParseMarkerError(String);

impl Marker {
    /// A folder is a cache: `CACHEDIR.TAG` with its signature.
    pub fn cache() -> Self {
        Self { name: c"CACHEDIR.TAG".to_owned(), header: CACHE_SIGNATURE.to_vec() }
    }

    pub(super) fn name(&self) -> &CString {
        &self.name
    }

    /// Whether the folder is marked; in words, when that cannot be said.
    fn marks(&self, dir: &Arc<Dir>) -> Result<bool, String> {
        let shown = || dir.path_of(&self.name).display().to_string();
        let unreadable = |error: io::Error| format!("cannot read {}, which is ignored: {error}", shown());
        let fd = dir.fd().map_err(unreadable)?;
        match statat(&fd, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(false),
            Err(error) => return Err(unreadable(error.into())),
            Ok(_) if self.header.is_empty() => return Ok(true),
            Ok(_) => {}
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let file =
            dir.pool().open_at(std::os::fd::AsFd::as_fd(&fd), &self.name, flags).map_err(unreadable)?;
        let mut head = Vec::new();
        File::from(file).take(self.header.len() as u64).read_to_end(&mut head).map_err(unreadable)?;
        if head == self.header {
            Ok(true)
        } else {
            Err(format!("{} has not the expected beginning and is ignored", shown()))
        }
    }
}

/// `NAME` or `NAME:HEADER`, as `--exclude-if-present` takes it.
impl std::str::FromStr for Marker {
    type Err = ParseMarkerError;

    fn from_str(text: &str) -> Result<Self, ParseMarkerError> {
        let (name, header) = text.split_once(':').unwrap_or((text, ""));
        let failed = || ParseMarkerError(text.to_owned());
        if name.is_empty() || name.contains('/') {
            return Err(failed());
        }
        let name = CString::new(name).map_err(|_| failed())?;
        Ok(Self { name, header: header.as_bytes().to_vec() })
    }
}

/// What marks were found in a folder.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// The names of the markers that apply.
    pub(super) found: Vec<CString>,
    /// Markers that are there but do not count.
    pub(super) warnings: Vec<String>,
}

impl Marks {
    pub(super) fn look(markers: &[Marker], dir: &Arc<Dir>) -> Self {
        let mut marks = Self::default();
        for marker in markers {
            match marker.marks(dir) {
                Ok(true) => marks.found.push(marker.name().clone()),
                Ok(false) => {}
                Err(warning) => marks.warnings.push(warning),
            }
        }
        marks
    }

    /// The one name left in the folder: each marker leaves out all but its own file.
    pub(super) fn kept(&self) -> Option<&CString> {
        let first = self.found.first()?;
        self.found.iter().all(|name| name == first).then_some(first)
    }
}

pub(super) fn is_too_large(stat: &Stat, limit_bytes: Option<u64>) -> bool {
    file_type(stat) != FileType::Directory && limit_bytes.is_some_and(|limit| size(stat) > limit)
}
