//! The content of a file while it is open, and whether the file kept still.
//!
//! Holes are told from data by asking the file system and come out as zeros without being read.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use lifeboat_repository::source::{Content, EntryError};
use lifeboat_repository::tree::Node;
use rustix::fs::{Advice, FileType, SeekFrom, Stat, fadvise, fstat, seek};
use rustix::io::Errno;

use super::node::{NodeMaker, file_type, size};

/// Below this much missing space a file is read plainly: asking where its holes are costs more.
const SPARSE_BYTES: u64 = 64 * 1024;
/// From this size on the kernel is told to read ahead.
const READ_AHEAD_BYTES: u64 = 256 * 1024;

/// An open regular file.
pub(super) struct FileContent {
    file: File,
    path: PathBuf,
    name: Vec<u8>,
    opened: Stat,
    maker: Arc<NodeMaker>,
    position: u64,
    is_sparse: bool,
    /// Up to here the file is known to be of one kind.
    extent_end: u64,
    in_hole: bool,
}

impl FileContent {
    pub(super) fn new(
        file: File,
        path: PathBuf,
        name: &[u8],
        maker: Arc<NodeMaker>,
    ) -> Result<Self, EntryError> {
        let lost = |cause: io::Error| EntryError { path: path.clone(), op: "open", cause: cause.into() };
        let opened = fstat(&file).map_err(|error| lost(error.into()))?;
        if file_type(&opened) != FileType::RegularFile {
            return Err(lost(io::Error::other("it is no longer a regular file")));
        }
        if size(&opened) >= READ_AHEAD_BYTES {
            // Advice only: a file system that does not take it reads as before.
            fadvise(&file, 0, None, Advice::Sequential).ok();
        }
        let allocated = u64::try_from(opened.st_blocks).unwrap_or_default().saturating_mul(512);
        let is_sparse = size(&opened).saturating_sub(allocated) >= SPARSE_BYTES;
        let name = name.to_vec();
        Ok(Self { file, path, name, opened, maker, position: 0, is_sparse, extent_end: 0, in_hole: false })
    }

    /// Finds out what begins at the position and where it ends.
    fn find_extent(&mut self) -> io::Result<()> {
        match seek(&self.file, SeekFrom::Data(self.position)) {
            Ok(data) if data > self.position => (self.in_hole, self.extent_end) = (true, data),
            Ok(_) => {
                let hole = seek(&self.file, SeekFrom::Hole(self.position))?;
                (self.in_hole, self.extent_end) = (false, hole);
            }
            // No data behind the position: a hole up to the end, or the end itself.
            Err(Errno::NXIO) => {
                let end = size(&fstat(&self.file)?);
                (self.in_hole, self.extent_end) = (end > self.position, end);
            }
            Err(Errno::INVAL | Errno::OPNOTSUPP) => self.is_sparse = false,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn left_in_extent(&self, wanted: usize) -> usize {
        usize::try_from(self.extent_end.saturating_sub(self.position)).map_or(wanted, |left| left.min(wanted))
    }
}

impl Read for FileContent {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.is_sparse {
            return self.file.read(buffer);
        }
        if self.position >= self.extent_end {
            self.find_extent()?;
        }
        if !self.is_sparse {
            seek(&self.file, SeekFrom::Start(self.position))?;
            return self.file.read(buffer);
        }
        let len = self.left_in_extent(buffer.len());
        let part = buffer.get_mut(..len).unwrap_or_default();
        let read = if self.in_hole {
            part.fill(0);
            len
        } else {
            self.file.read_at(part, self.position)?
        };
        self.position += read as u64;
        Ok(read)
    }
}

impl Content for FileContent {
    fn node(&mut self) -> Result<Node, EntryError> {
        Ok(self.maker.node(&self.name, &self.opened))
    }

    fn changed(&mut self) -> Result<Option<String>, EntryError> {
        let now = fstat(&self.file).map_err(|error| EntryError {
            path: self.path.clone(),
            op: "stat",
            cause: Box::new(io::Error::from(error)),
        })?;
        Ok(difference(&self.opened, &now))
    }
}

fn difference(before: &Stat, now: &Stat) -> Option<String> {
    let (old, new) = (size(before), size(now));
    let times = |stat: &Stat| (stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec);
    if new > old {
        Some(format!("grew from {old} to {new} bytes while it was read"))
    } else if new < old {
        Some(format!("shrank from {old} to {new} bytes while it was read"))
    } else if times(before) != times(now) {
        Some("was modified while it was read".to_owned())
    } else {
        None
    }
}
