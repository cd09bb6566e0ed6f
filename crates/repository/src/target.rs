//! Where entries go: the seam between a restore and the outside world.
//!
//! A target hands out folders, folders hand out files; nothing is reached by a path, so nothing can lead out of the
//! target. Calls may come from many threads. A file that is dropped before it was placed leaves nothing behind.

use std::any::Any;
use std::io;
use std::sync::Arc;

use crate::ctx::Cancel;
use crate::tree::{Node, NodeTime};

/// What stands at a name already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Existing {
    pub kind: ExistingKind,
    pub size: u64,
    pub mtime: NodeTime,
    pub links: u64,
    /// As in a node, without the kind.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Which file it is, whatever its name: device and inode.
    pub identity: (u64, u64),
    /// A file that a restore was killed in the middle of.
    pub is_unfinished: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExistingKind {
    File,
    Folder,
    /// Symlinks, devices and the like.
    Other,
}

/// Whether something is expected at the name where an entry goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nothing may be there.
    New,
    /// What is there (no folder) stays untouched until the new entry is complete, and is then replaced at once.
    Over,
}

/// What a folder is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To be filled and then finished: what its mode forbids its owner is allowed until then.
    Fill,
    /// To look at; nothing about it changes.
    Look,
}

/// A step of restoring an entry that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {op}")]
pub struct TargetError {
    /// What was tried: "set the owner of", "set the attribute user.x of".
    pub op: String,
    #[source]
    pub cause: io::Error,
}

/// The outside world of a restore.
pub trait Target: Send + Sync {
    /// The folder that everything goes below; made when it is missing, if it may be.
    fn root(&self, may_create: bool) -> io::Result<Option<Arc<dyn TargetFolder>>>;

    /// Makes durable what was written.
    fn sync(&self) -> io::Result<()>;

    /// What people should know besides errors, each thing once.
    fn warnings(&self) -> Vec<String>;
}

/// A folder of the target. Names are single names; a folder refuses any that could lead elsewhere.
pub trait TargetFolder: Any + Send + Sync {
    /// What is at `name`, itself and not what it may point to.
    fn look(&self, name: &[u8]) -> io::Result<Option<Existing>>;

    /// Makes a folder that does not exist. Until it is finished only its owner may use it.
    fn make_folder(&self, name: &[u8]) -> io::Result<Arc<dyn TargetFolder>>;

    /// Opens a folder that exists, never through a symlink.
    fn open_folder(&self, name: &[u8], access: Access) -> io::Result<Arc<dyn TargetFolder>>;

    /// Begins a file. Until it is finished only its owner may use it, and [`TargetFolder::look`] knows it for
    /// unfinished.
    fn create_file(&self, name: &[u8], place: Place) -> io::Result<Box<dyn TargetFile>>;

    /// Opens a regular file that exists, to read it or to change what is known of it.
    fn open_file(&self, name: &[u8]) -> io::Result<Box<dyn TargetFile>>;

    /// Makes a symlink, fifo or device, complete with what is known of it.
    fn create_special(&self, node: &Node, place: Place) -> Result<(), TargetError>;

    /// Gives the file `first_name` of the folder `first` another name here.
    fn link(&self, name: &[u8], place: Place, first: &dyn TargetFolder, first_name: &[u8]) -> io::Result<()>;

    /// Gives the folder the mode, owner, times and attributes of `node`; nothing in it changes any more.
    fn finish(&self, node: &Node) -> Result<(), TargetError>;

    /// All names in the folder, in byte order.
    fn names(&self, cancel: &Cancel) -> io::Result<Box<dyn Iterator<Item = io::Result<Vec<u8>>>>>;

    /// Removes what is at `name`; a folder that is not empty only if `with_content`.
    fn remove(&self, name: &[u8], with_content: bool, cancel: &Cancel) -> io::Result<()>;
}

/// An open file of the target.
pub trait TargetFile: Send + Sync {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Fills `buffer` from `offset`, as far as possible from what really is on the disk.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    fn len(&self) -> io::Result<u64>;

    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Makes the file this long; what was not written reads as zeros and takes no room.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Gives the file the mode, owner, times and attributes of `node`. As much as possible is done even on failure.
    fn finish(&self, node: &Node) -> Result<(), TargetError>;

    /// Puts a complete file at its name.
    fn place(&self) -> io::Result<()>;

    /// Puts an incomplete file beside its name, and says under which.
    fn keep_part(&self) -> io::Result<Vec<u8>>;
}
