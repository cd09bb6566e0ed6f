//! `diff`: what differs between two snapshots. Both are read side by side, in the order of their names.

use lifeboat_repository::blob::{BlobKind, BlobRef};
use lifeboat_repository::id::BlobId;
use lifeboat_repository::index::BlobSet;
use lifeboat_repository::repository::{Repository, TreePath};
use lifeboat_repository::tree::{Node, NodeKind};
use lifeboat_repository::{Error, ErrorKind};
use serde::Serialize;

use crate::app::App;
use crate::choose::Filter;
use crate::cli::inspect::DiffArgs;
use crate::exit::Status;
use crate::output::text;
use crate::read::{self, Walk};
use crate::vault::Vault;

pub(super) fn run(app: &App, args: &DiffArgs) -> anyhow::Result<Status> {
    let repository = Vault::of(app)?.open(app)?;
    app.reading(&repository, || {
        read::load_index(app, &repository)?;
        let from = read::open(app, &repository, &args.from, &Filter::default())?;
        let to = read::open(app, &repository, &args.to, &Filter::default())?;
        app.output.note(format_args!("comparing snapshot {} with {}:", from.id.short(), to.id.short()));
        let mut diff = Diff {
            app,
            args,
            repository: &repository,
            path: Vec::new(),
            path_bytes: Vec::new(),
            old: Side::new(&repository),
            new: Side::new(&repository),
            before: BlobSet::new(),
            after: BlobSet::new(),
            statistics: Statistics {
                message_type: "statistics",
                source_snapshot: from.id.to_string(),
                target_snapshot: to.id.to_string(),
                ..Statistics::default()
            },
            status: Status::Success,
        };
        diff.trees(Some(from.tree), Some(to.tree))?;
        diff.finish()
    })
}

#[derive(Debug, Default, Serialize)]
struct Statistics {
    message_type: &'static str,
    source_snapshot: String,
    target_snapshot: String,
    changed_files: u64,
    added: Part,
    removed: Part,
}

#[derive(Debug, Default, Serialize)]
struct Part {
    files: u64,
    dirs: u64,
    others: u64,
    data_blobs: u64,
    tree_blobs: u64,
    bytes: u64,
}

impl Part {
    fn add(&mut self, node: &Node) {
        match node.kind {
            NodeKind::File => self.files += 1,
            NodeKind::Dir => self.dirs += 1,
            _ => self.others += 1,
        }
    }
}

#[derive(Serialize)]
struct Change<'a> {
    message_type: &'static str,
    path: std::borrow::Cow<'a, str>,
    modifier: &'a str,
}

struct Diff<'a> {
    app: &'a App,
    args: &'a DiffArgs,
    repository: &'a Repository,
    path: Vec<u8>,
    /// Lengths of the paths of the folders entered.
    path_bytes: Vec<usize>,
    old: Side<'a>,
    new: Side<'a>,
    /// Blobs that the two snapshots need, as far as they were looked at.
    before: BlobSet,
    after: BlobSet,
    statistics: Statistics,
    status: Status,
}

/// The entries of one name in both snapshots; one may be missing.
type Two = (Option<Node>, Option<Node>);

/// The folders that one of the snapshots has along the path of the comparison, with a look at their next entries.
struct Side<'r> {
    trees: TreePath<'r>,
    ahead: Vec<Option<Node>>,
}

impl<'r> Side<'r> {
    fn new(repository: &'r Repository) -> Self {
        Self { trees: TreePath::new(repository), ahead: Vec::new() }
    }

    fn enter(&mut self, tree: Option<BlobId>) {
        self.trees.enter(tree);
        self.ahead.push(None);
    }

    fn leave(&mut self) {
        self.trees.leave();
        self.ahead.pop();
    }

    fn peek(&mut self) -> Result<Option<&Node>, Error> {
        let Some(ahead) = self.ahead.last_mut() else { return Ok(None) };
        if ahead.is_none() {
            let mut node = Node::default();
            if self.trees.read_into(&mut node)? {
                *ahead = Some(node);
            }
        }
        Ok(ahead.as_ref())
    }

    fn take(&mut self) -> Option<Node> {
        self.ahead.last_mut()?.take()
    }
}

impl Diff<'_> {
    /// Compares two trees and all that is below them.
    fn trees(&mut self, from: Option<BlobId>, to: Option<BlobId>) -> anyhow::Result<()> {
        self.enter(from, to)?;
        while let Some(path_bytes) = self.path_bytes.last() {
            self.app.ctx.cancel.check()?;
            self.path.truncate(*path_bytes);
            let (from, to) = match self.next_two() {
                Ok(Some(two)) => two,
                Ok(None) => {
                    self.leave();
                    continue;
                }
                Err(error) => {
                    // The rest of a tree that cannot be read cannot be compared.
                    self.damaged(&error)?;
                    self.leave();
                    continue;
                }
            };
            let name = from.as_ref().or(to.as_ref()).map(|node| node.name.clone()).unwrap_or_default();
            self.path.push(b'/');
            self.path.extend_from_slice(&name);
            self.entries(from.as_ref(), to.as_ref())?;
            let (from, to) = (from.as_ref().and_then(read::subtree), to.as_ref().and_then(read::subtree));
            self.enter(from, to)?;
        }
        Ok(())
    }

    /// Goes into two folders, unless they are the same or neither is one.
    fn enter(&mut self, from: Option<BlobId>, to: Option<BlobId>) -> anyhow::Result<()> {
        if from == to {
            if let Some(tree) = from {
                self.same(tree)?;
            }
            return Ok(());
        }
        self.path_bytes.push(self.path.len());
        for (tree, is_before) in [(from, true), (to, false)] {
            if let Some(tree) = tree {
                self.note_blob(read::tree_blob(tree), is_before);
            }
            let side = if is_before { &mut self.old } else { &mut self.new };
            side.enter(tree);
            // What cannot be opened is said and then taken for empty.
            if let Err(error) = side.peek() {
                self.damaged(&error)?;
            }
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.path_bytes.pop();
        self.old.leave();
        self.new.leave();
    }

    /// The next entries of two folders: of one name, or one of them alone.
    fn next_two(&mut self) -> Result<Option<Two>, Error> {
        let order = match (self.old.peek()?, self.new.peek()?) {
            (None, None) => return Ok(None),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(from), Some(to)) => from.name.cmp(&to.name),
        };
        let from = if order.is_le() { self.old.take() } else { None };
        let to = if order.is_ge() { self.new.take() } else { None };
        Ok(Some((from, to)))
    }

    /// Notes what both snapshots need, so that it counts neither as added nor as removed.
    fn same(&mut self, tree: BlobId) -> anyhow::Result<()> {
        self.note_blob(read::tree_blob(tree), true);
        self.note_blob(read::tree_blob(tree), false);
        let mut walk = Walk::new(self.repository, tree);
        while let Some(entry) = walk.next(self.app) {
            let node = match entry {
                Ok(node) => node,
                Err(error) => {
                    self.damaged(&error)?;
                    continue;
                }
            };
            let blobs = read::subtree(&node).map(read::tree_blob).into_iter();
            for blob in blobs.chain(node.content.iter().flatten().map(|id| read::data_blob(*id))) {
                self.note_blob(blob, true);
                self.note_blob(blob, false);
            }
        }
        Ok(())
    }

    fn note_blob(&mut self, blob: BlobRef, is_before: bool) {
        let found = self.repository.index().find(blob);
        if let Some(entry) = found {
            let set = if is_before { &mut self.before } else { &mut self.after };
            set.insert(entry.ordinal);
        }
    }

    fn damaged(&mut self, error: &Error) -> anyhow::Result<()> {
        if error.kind == ErrorKind::Cancelled {
            self.app.ctx.cancel.check()?;
        }
        self.app.output.warn(text::chain(error));
        self.status = Status::Failure;
        Ok(())
    }

    /// Compares two entries of one name, of which one may be missing.
    fn entries(&mut self, from: Option<&Node>, to: Option<&Node>) -> anyhow::Result<()> {
        for (node, is_before) in [(from, true), (to, false)] {
            for id in node.iter().flat_map(|node| node.content.iter().flatten()) {
                self.note_blob(read::data_blob(*id), is_before);
            }
        }
        match (from, to) {
            (Some(from), Some(to)) => self.both(from, to),
            (Some(gone), None) => {
                self.statistics.removed.add(gone);
                self.print("-", gone)
            }
            (None, Some(new)) => {
                self.statistics.added.add(new);
                self.print("+", new)
            }
            (None, None) => Ok(()),
        }
    }

    fn both(&mut self, from: &Node, to: &Node) -> anyhow::Result<()> {
        let mut modifier = String::new();
        if from.kind != to.kind {
            modifier.push('T');
        }
        if to.kind == NodeKind::File && from.kind == NodeKind::File && from.content != to.content {
            modifier.push('M');
            self.statistics.changed_files += 1;
            // The same content by date and size, yet other bytes: the disk has rotted.
            if from.mtime == to.mtime && from.ctime == to.ctime && from.size == to.size {
                modifier.push('?');
            }
        } else if self.args.metadata && from != to {
            modifier.push('U');
        }
        if modifier.is_empty() { Ok(()) } else { self.print(&modifier, to) }
    }

    fn print(&self, modifier: &str, node: &Node) -> anyhow::Result<()> {
        let mut path = self.path.clone();
        if node.kind == NodeKind::Dir {
            path.push(b'/');
        }
        if self.app.output.is_json() {
            let path = String::from_utf8_lossy(&path);
            self.app.output.json(&Change { message_type: "change", path, modifier })?;
        } else {
            let mut line = format!("{modifier:<5}").into_bytes();
            line.extend_from_slice(&text::path(&path));
            self.app.output.bytes_line(&line)?;
        }
        Ok(())
    }

    fn finish(mut self) -> anyhow::Result<Status> {
        let index = self.repository.index();
        for entry in self.app.ctx.cancel.checked(index.entries()) {
            let entry = entry?;
            let part = match (self.before.contains(entry.ordinal), self.after.contains(entry.ordinal)) {
                (true, false) => &mut self.statistics.removed,
                (false, true) => &mut self.statistics.added,
                _ => continue,
            };
            part.bytes += entry.location.plain_length();
            match entry.blob.kind {
                BlobKind::Data => part.data_blobs += 1,
                BlobKind::Tree => part.tree_blobs += 1,
            }
        }
        drop(index);
        let (output, statistics) = (&self.app.output, &self.statistics);
        if output.is_json() {
            output.json(statistics)?;
            return Ok(self.status);
        }
        let (added, removed) = (&statistics.added, &statistics.removed);
        output.note("");
        output.note(format_args!(
            "files:   {} new, {} removed, {} changed",
            added.files, removed.files, statistics.changed_files
        ));
        output.note(format_args!("folders: {} new, {} removed", added.dirs, removed.dirs));
        output.note(format_args!("others:  {} new, {} removed", added.others, removed.others));
        for (word, part) in [("added", added), ("removed", removed)] {
            output.note(format_args!(
                "{word}: {} in {} and {}",
                text::bytes(part.bytes),
                text::count(part.data_blobs, "data blob"),
                text::count(part.tree_blobs, "tree blob")
            ));
        }
        Ok(self.status)
    }
}
