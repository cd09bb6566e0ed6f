//! Sources made of values, which fail in every way a source can, and what a vault says of them afterwards.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use lifeboat_repository::backup::{BackupOptions, BackupReport};
use lifeboat_repository::blob::{BlobKind, BlobRef};
use lifeboat_repository::id::{BlobId, SnapshotId};
use lifeboat_repository::key::Password;
use lifeboat_repository::lock::LockGuard;
use lifeboat_repository::repository::{Repository, Settings};
use lifeboat_repository::source::{Access, Content, Entry, EntryError, Event, Source};
use lifeboat_repository::storage::Storage;
use lifeboat_repository::tree::{Node, NodeKind, NodeTime, mode};
use lifeboat_repository::{Ctx, Result};
use lifeboat_testkit::random::Random;
use lifeboat_testkit::repository::{PASSWORD, settings};

/// Content by path: a folder, a slash and a name.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// What goes wrong with one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The walk cannot look at it.
    Walk,
    /// Its attributes cannot be had.
    Complete,
    Open,
    /// It opens, but cannot be looked at then.
    Stat,
    /// It breaks off while it is read.
    Read,
    /// It changed while it was read.
    Changed,
    /// Whether it changed cannot be told.
    ChangedUnknown,
    /// The adapter has a bug.
    PanicInWalk,
    PanicInOpen,
}

pub(crate) struct MadeSource {
    events: std::vec::IntoIter<Result<Event, EntryError>>,
    panics: bool,
}

impl MadeSource {
    pub(crate) fn new(files: &Files) -> Self {
        Self::with_trouble(files, "", Trouble::Open)
    }

    /// Has trouble with the file of this path.
    pub(crate) fn with_trouble(files: &Files, path: &str, trouble: Trouble) -> Self {
        let mut events = Vec::new();
        let mut folder = None;
        for (number, (file, content)) in (1..).zip(files) {
            let (parent, name) = file.split_once('/').unwrap();
            if folder != Some(parent) {
                events.extend(folder.map(|_| Ok(Event::Leave)));
                folder = Some(parent);
                events.push(Ok(Event::Enter(entry(dir(parent), parent, Vec::new(), None))));
            }
            let trouble = (file == path).then_some(trouble);
            match trouble {
                Some(Trouble::Walk) => events.push(Err(lost(file, "inspect"))),
                _ => {
                    let node = file_node(name, content, number);
                    events.push(Ok(Event::Item(entry(node, file, content.clone(), trouble))));
                }
            }
        }
        events.extend(folder.map(|_| Ok(Event::Leave)));
        let panics = trouble == Trouble::PanicInWalk;
        Self { events: events.into_iter(), panics }
    }
}

impl Source for MadeSource {
    fn next_event(&mut self, _ctx: &Ctx) -> Option<Result<Event, EntryError>> {
        assert!(!self.panics || self.events.len() > 3, "a bug for a test");
        self.events.next()
    }
}

fn lost(path: &str, op: &'static str) -> EntryError {
    EntryError { path: path.into(), op, cause: "trouble for a test".into() }
}

fn dir(name: &str) -> Node {
    Node { name: name.into(), kind: NodeKind::Dir, mode: mode::DIR | 0o755, ..file_node(name, &[], 0) }
}

fn file_node(name: &str, content: &[u8], inode: u64) -> Node {
    let mtime = NodeTime { seconds: 1_000_000 + content.len() as i64, nanoseconds: 7 };
    Node {
        name: name.into(),
        mode: 0o644,
        mtime,
        atime: mtime,
        ctime: mtime,
        inode,
        size: content.len() as u64,
        links: 1,
        ..Node::default()
    }
}

fn entry(node: Node, path: &str, content: Vec<u8>, trouble: Option<Trouble>) -> Entry {
    let made = MadeAccess { node: node.clone(), path: path.to_owned(), content: Arc::new(content), trouble };
    Entry { path: path.into(), node, access: Box::new(made) }
}

struct MadeAccess {
    node: Node,
    path: String,
    content: Arc<Vec<u8>>,
    trouble: Option<Trouble>,
}

impl Access for MadeAccess {
    fn complete(&self, _node: &mut Node) -> Result<(), EntryError> {
        if self.trouble == Some(Trouble::Complete) {
            return Err(lost(&self.path, "list the attributes of"));
        }
        Ok(())
    }

    fn open(&self) -> Result<Box<dyn Content>, EntryError> {
        match self.trouble {
            Some(Trouble::Open) => Err(lost(&self.path, "open")),
            Some(Trouble::PanicInOpen) => panic!("a bug for a test"),
            _ => {
                let (node, path, content) = (self.node.clone(), self.path.clone(), Arc::clone(&self.content));
                Ok(Box::new(MadeContent { node, path, content, at: 0, trouble: self.trouble }))
            }
        }
    }
}

struct MadeContent {
    node: Node,
    path: String,
    content: Arc<Vec<u8>>,
    at: usize,
    trouble: Option<Trouble>,
}

impl Read for MadeContent {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.trouble == Some(Trouble::Read) && self.at > 0 {
            return Err(io::Error::other("trouble for a test"));
        }
        let read = (&self.content[self.at..]).read(buffer)?;
        self.at += read;
        Ok(read)
    }
}

impl Content for MadeContent {
    fn node(&mut self) -> Result<Node, EntryError> {
        if self.trouble == Some(Trouble::Stat) {
            return Err(lost(&self.path, "inspect"));
        }
        Ok(self.node.clone())
    }

    fn changed(&mut self) -> Result<Option<String>, EntryError> {
        match self.trouble {
            Some(Trouble::Changed) => Ok(Some("it grew for a test".to_owned())),
            Some(Trouble::ChangedUnknown) => Err(lost(&self.path, "inspect")),
            _ => Ok(None),
        }
    }
}

/// So many files of random content in folders of ten.
pub(crate) fn files(seed: u64, count: usize, bytes: usize) -> Files {
    let mut random = Random::new(seed);
    let name = |number: usize| format!("{}/{number:03}", number / 10);
    (0..count).map(|number| (name(number), random.bytes(bytes + number))).collect()
}

/// Settings under which a few files make several packs.
pub(crate) fn small_packs() -> Settings {
    Settings { pack_bytes: 2 << 10, ..settings() }
}

/// Opens a vault without loading its index.
pub(crate) fn open(storage: Arc<dyn Storage>, settings: Settings) -> Repository {
    Repository::open(storage, &Password::new(PASSWORD), settings).expect("it opens")
}

pub(crate) fn options(parent: Option<SnapshotId>) -> BackupOptions {
    lifeboat_testkit::repository::options(&[PathBuf::from("made")], parent)
}

/// Backs up `files` under a lock of its own.
pub(crate) fn backup(
    repository: &Repository,
    files: &Files,
    parent: Option<SnapshotId>,
) -> Result<BackupReport> {
    let lock = crate::vault::lock(repository, lifeboat_repository::lock::LockMode::Shared)?;
    backup_under(repository, files, parent, &lock, &Ctx::default())
}

pub(crate) fn backup_under(
    repository: &Repository,
    files: &Files,
    parent: Option<SnapshotId>,
    lock: &LockGuard,
    ctx: &Ctx,
) -> Result<BackupReport> {
    repository.backup(&mut MadeSource::new(files), options(parent), lock, ctx)
}

/// Every file of a tree with all its content; the index must be loaded.
pub(crate) fn contents(repository: &Repository, tree: BlobId) -> Files {
    let mut files = Files::new();
    for folder in repository.read_tree(tree).unwrap() {
        let folder = folder.unwrap();
        for node in repository.read_tree(folder.subtree.unwrap()).unwrap() {
            let node = node.unwrap();
            let path = format!("{}/{}", text(&folder.name), text(&node.name));
            let read = |id: &BlobId| repository.read_blob(BlobRef { kind: BlobKind::Data, id: *id }).unwrap();
            files.insert(path, node.content.unwrap().iter().flat_map(read).collect());
        }
    }
    files
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}
