//! Where entries come from: the seam between the engine and the outside world.
//!
//! A source walks depth first, names in byte order within each folder, and hands out what one `stat` tells.
//! What costs more (attributes, content) it hands out as an [`Access`], used only for what has changed.

use std::io::Read;
use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::ctx::Ctx;
use crate::error::Cause;
use crate::tree::Node;

/// One step of a walk.
pub enum Event {
    /// A folder begins; its entries follow, then the matching [`Event::Leave`].
    Enter(Entry),
    /// Anything that is not a folder.
    Item(Entry),
    Leave,
}

/// Something found by the walk.
pub struct Entry {
    /// The path for messages, as the user would write it.
    pub path: PathBuf,
    /// Filled with what a `stat` tells; no attributes, no content.
    pub node: Node,
    pub access: Box<dyn Access>,
}

/// The costlier half of an entry. Used from another thread than the walk.
pub trait Access: Send {
    /// Adds what a `stat` does not tell: extended attributes. What could be had is in `node` even on failure.
    fn complete(&self, node: &mut Node) -> Result<(), EntryError>;

    /// Opens the content of a file.
    fn open(&self) -> Result<Box<dyn Content>, EntryError>;
}

/// The content of an open file.
pub trait Content: Read + Send {
    /// The node of the file as it is now open (a fresh `stat` of the open file; no attributes, no content).
    fn node(&mut self) -> Result<Node, EntryError>;

    /// Says how the file changed since it was opened, if it did; called after the last read.
    fn changed(&mut self) -> Result<Option<String>, EntryError>;
}

/// One entry that could not be read (or written), wholly or in part. Costs one line in the report.
#[derive(Debug, thiserror::Error)]
#[error("cannot {op} {}", .path.display())]
pub struct EntryError {
    pub path: PathBuf,
    /// What was tried: "open", "read", "list".
    pub op: &'static str,
    #[source]
    pub cause: Cause,
}

/// A walk over entries.
pub trait Source {
    /// The next step; `None` at the end. After an error the walk goes on with the next entry.
    fn next_event(&mut self, ctx: &Ctx) -> Option<Result<Event, EntryError>>;

    /// Fields of its own for the snapshot file. Asked once, when everything is stored and that file comes next.
    fn last_words(&mut self) -> Map<String, Value> {
        Map::new()
    }
}
