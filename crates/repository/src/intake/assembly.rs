//! What has arrived, put in the order of trees.
//!
//! Names come from a stream that somebody else writes: a path that leads elsewhere, or two things of one name, end the
//! intake.

use std::ffi::OsStr;
use std::iter::Peekable;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex};

use crossbeam_channel::Sender;
use jiff::Timestamp;

use super::file::Blobs;
use crate::backup::pipeline::{Batch, Step};
use crate::backup::{BackupReport, Change};
use crate::error::{Error, ErrorKind, Result};
use crate::save::locked;
use crate::tree::{Node, NodeKind, NodeTime, mode};

/// A batch is sent when it has this many steps, or nodes that take so much.
const BATCH_STEPS: usize = 512;
const BATCH_NODE_BYTES: usize = 256 << 10;

/// Something that has arrived.
pub(super) struct Arrived {
    path: PathBuf,
    node: Node,
    /// Of a file.
    blobs: Option<Arc<Mutex<Blobs>>>,
}

impl Arrived {
    pub(super) fn file(path: PathBuf, node: Node, blobs: Arc<Mutex<Blobs>>) -> Self {
        Self { path, node: Node { kind: NodeKind::File, ..node }, blobs: Some(blobs) }
    }

    pub(super) fn entry(path: PathBuf, node: Node) -> Self {
        Self { path, node, blobs: None }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn is_file_at(&self, path: &Path) -> bool {
        self.blobs.is_some() && self.path == path
    }

    pub(super) fn at(self, path: PathBuf) -> Self {
        Self { path, ..self }
    }
}

/// The path, if it can be one within a snapshot.
pub(super) fn checked(path: &Path) -> Result<PathBuf> {
    let is_name = |part: Component<'_>| matches!(part, Component::Normal(name) if is_name(name));
    if path.as_os_str().is_empty() || !path.components().all(is_name) {
        let what = format!("{:?} is not a path within a snapshot", path.to_string_lossy());
        return Err(Error::new(ErrorKind::InvalidInput, what));
    }
    // Without slashes that mean nothing: the same file has one path.
    Ok(path.components().collect())
}

fn is_name(name: &OsStr) -> bool {
    !name.as_bytes().contains(&0)
}

/// Sends everything in the order of trees; counts the files.
pub(super) fn assemble(
    mut arrived: Vec<Arrived>,
    now: Timestamp,
    batches: Sender<Batch>,
) -> Result<BackupReport> {
    // Paths compare name by name, and names byte by byte.
    arrived.sort_by(|a, b| a.path.cmp(&b.path));
    let time = NodeTime { seconds: now.as_second(), nanoseconds: 0 };
    let mut trees = Trees {
        time,
        open: Vec::new(),
        steps: Vec::new(),
        node_bytes: 0,
        batches,
        report: BackupReport::default(),
    };
    let mut arrived = arrived.into_iter().peekable();
    while let Some(next) = arrived.next() {
        refuse_twice(&next, &mut arrived)?;
        trees.add(next)?;
        if trees.steps.len() >= BATCH_STEPS || trees.node_bytes >= BATCH_NODE_BYTES {
            trees.flush()?;
        }
    }
    trees.leave_to(Path::new(""));
    trees.flush()?;
    Ok(trees.report)
}

/// Files and folders of one name are next to each other once they are sorted.
fn refuse_twice(this: &Arrived, rest: &mut Peekable<impl Iterator<Item = Arrived>>) -> Result<()> {
    let Some(next) = rest.peek() else { return Ok(()) };
    let is_within = next.path.starts_with(&this.path) && this.node.kind != NodeKind::Dir;
    if next.path == this.path || is_within {
        let what = format!("{} has arrived twice", this.path.display());
        return Err(Error::new(ErrorKind::InvalidInput, what));
    }
    Ok(())
}

struct Trees {
    /// Of folders that are made up.
    time: NodeTime,
    /// The names of the folders that are entered and not left.
    open: Vec<Vec<u8>>,
    steps: Vec<Step>,
    node_bytes: usize,
    batches: Sender<Batch>,
    report: BackupReport,
}

impl Trees {
    fn add(&mut self, Arrived { path, mut node, blobs }: Arrived) -> Result<()> {
        let parent = path.parent().unwrap_or(Path::new(""));
        self.leave_to(parent);
        for name in parent.iter().skip(self.open.len()) {
            let mode = mode::DIR | 0o755;
            let times = (self.time, self.time, self.time);
            let (mtime, atime, ctime) = times;
            self.enter(name, Node { kind: NodeKind::Dir, mode, mtime, atime, ctime, ..Node::default() });
        }
        let name = path.file_name().unwrap_or_default();
        if node.kind == NodeKind::Dir {
            self.enter(name, node);
            return Ok(());
        }
        if let Some(blobs) = blobs {
            let blobs = std::mem::take(&mut *locked(&blobs));
            self.count(&node, &blobs);
            node.content = Some(blobs.ids);
        }
        node.name = name.as_bytes().to_vec();
        self.node_bytes += node.memory_bytes();
        self.steps.push(Step::Node(Box::new(node)));
        Ok(())
    }

    fn count(&mut self, node: &Node, blobs: &Blobs) {
        let is_known = blobs.bytes_added == 0 && node.size > 0;
        self.report.files.add(if is_known { Change::Unmodified } else { Change::New });
        self.report.bytes_processed += node.size;
        self.report.bytes_read += node.size;
    }

    fn enter(&mut self, name: &OsStr, node: Node) {
        let name = name.as_bytes().to_vec();
        self.open.push(name.clone());
        self.node_bytes += node.memory_bytes();
        self.steps.push(Step::Enter { node: Box::new(Node { name, ..node }), old_subtree: None });
    }

    /// Leaves the folders that `parent` is not in.
    fn leave_to(&mut self, parent: &Path) {
        let shared = self.open.iter().zip(parent.iter());
        let shared = shared.take_while(|(open, name)| open.as_slice() == name.as_bytes()).count();
        while self.open.len() > shared {
            self.open.pop();
            self.steps.push(Step::Leave);
        }
    }

    fn flush(&mut self) -> Result<()> {
        self.node_bytes = 0;
        let steps = std::mem::take(&mut self.steps);
        let stopped = |_| Error::new(ErrorKind::Cancelled, "the assembly of trees has ended");
        self.batches.send(Batch::of(steps)).map_err(stopped)
    }
}
