//! One entry of a directory: what a tree blob says of a file, folder, link or device.
//!
//! Fields and meanings are restic's (`Node` in its JSON trees); the wire form lives in `encode` and `parse`.

use crate::id::BlobId;

/// Go's `os.FileMode` bits, as trees store them.
pub mod mode {
    pub const DIR: u32 = 1 << 31;
    pub const SYMLINK: u32 = 1 << 27;
    pub const DEVICE: u32 = 1 << 26;
    pub const FIFO: u32 = 1 << 25;
    pub const SOCKET: u32 = 1 << 24;
    pub const SETUID: u32 = 1 << 23;
    pub const SETGID: u32 = 1 << 22;
    pub const CHAR_DEVICE: u32 = 1 << 21;
    pub const STICKY: u32 = 1 << 20;
    pub const PERMISSIONS: u32 = 0o777;
}

/// What an entry is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NodeKind {
    #[default]
    File,
    Dir,
    Symlink,
    BlockDevice,
    CharDevice,
    Fifo,
    Socket,
    /// A kind some other program wrote; kept as it is, never restored.
    Other(String),
}

impl NodeKind {
    /// What trees call it.
    pub fn name(&self) -> &str {
        match self {
            Self::File => "file",
            Self::Dir => "dir",
            Self::Symlink => "symlink",
            Self::BlockDevice => "dev",
            Self::CharDevice => "chardev",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
            Self::Other(name) => name,
        }
    }
}

/// A point in time as file systems know it: any second of an `i64`, to the nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeTime {
    pub seconds: i64,
    pub nanoseconds: u32,
}

impl NodeTime {
    /// Go's zero time, the first of January of year 1: how trees say "unknown".
    pub const UNKNOWN: Self = Self { seconds: -62_135_596_800, nanoseconds: 0 };
}

impl Default for NodeTime {
    fn default() -> Self {
        Self::UNKNOWN
    }
}

/// An extended attribute; ACLs are among them (`system.posix_acl_access`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtendedAttribute {
    pub name: String,
    pub value: Vec<u8>,
}

/// One entry of a tree. Names and link targets are bytes, as the kernel has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    pub name: Vec<u8>,
    pub kind: NodeKind,
    /// Go's file mode, see [`mode`].
    pub mode: u32,
    pub mtime: NodeTime,
    pub atime: NodeTime,
    pub ctime: NodeTime,
    pub uid: u32,
    pub gid: u32,
    /// Empty when the id has no name.
    pub user: String,
    pub group: String,
    pub inode: u64,
    /// The device the entry lives on (`st_dev`).
    pub device_id: u64,
    pub size: u64,
    pub links: u64,
    /// Where a symlink points; empty for all else.
    pub link_target: Vec<u8>,
    pub extended_attributes: Vec<ExtendedAttribute>,
    /// The device a device node stands for (`st_rdev`).
    pub device: u64,
    /// The blobs of a file's content in order. `None` for all but files (an empty file has `Some(vec![])`).
    pub content: Option<Vec<BlobId>>,
    /// The tree of a folder.
    pub subtree: Option<BlobId>,
    /// Attributes of other systems (restic's `generic_attributes`), as raw JSON; kept, not interpreted.
    pub generic_attributes: Option<String>,
    /// What the program that wrote the node noted as having failed; empty for none.
    pub error: String,
}

impl Node {
    /// The memory it takes, more or less.
    pub(crate) fn memory_bytes(&self) -> usize {
        let attributes = self.extended_attributes.iter();
        let attributes = attributes.map(|attribute| size_of_val(attribute) + attribute.value.len());
        let lists = attributes.sum::<usize>() + self.content.as_deref().map_or(0, size_of_val);
        size_of_val(self) + self.name.len() + self.link_target.len() + lists
    }
}
