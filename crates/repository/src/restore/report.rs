//! What a restore did, and the counting while it does it.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::RestoreOptions;
use crate::error::Cause;
use crate::source::EntryError;
use crate::target::Place;
use crate::tree::{Node, NodeKind, NodeTime};
use crate::{Counters, Ctx};

/// More lost entries are counted, not named: a list must not outgrow memory.
const MOST_NAMED: usize = 50_000;
/// Nor must deep paths.
const MOST_NAMED_BYTES: usize = 8 << 20;

/// The outcome of a restore.
#[derive(Debug, Default)]
pub struct RestoreReport {
    /// Files with content of their own.
    pub files: u64,
    pub folders: u64,
    /// Links, fifos, devices, further names of a file.
    pub others: u64,
    /// Bytes of the content of those files.
    pub bytes: u64,
    /// Entries that were left as they are, or whose content was.
    pub skipped: u64,
    pub skipped_bytes: u64,
    /// Entries removed from the target; a folder counts as one, whatever was in it.
    pub deleted: u64,
    /// Files read again under each of their names, and found right.
    pub verified: u64,
    /// Entries that could not be restored, or not exactly; paths as in the snapshot.
    pub lost: Vec<EntryError>,
    /// All of them, also those beyond what `lost` holds.
    pub lost_count: u64,
    /// What people should know besides errors.
    pub warnings: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionKind {
    Create,
    Replace,
    /// Content stays, the rest is set anew.
    Update,
    Skip,
    Delete,
}

impl From<Place> for ActionKind {
    fn from(place: Place) -> Self {
        match place {
            Place::New => Self::Create,
            Place::Over => Self::Replace,
        }
    }
}

/// One thing that was done, or that a dry run would do. Paths as in the snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    pub kind: ActionKind,
    pub path: PathBuf,
    pub size: u64,
}

/// A selected entry of the snapshot and what came of it. Each comes once, when it is over; what a cancel left open
/// does not come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoredItem {
    /// As in the snapshot.
    pub path: PathBuf,
    pub facts: ItemFacts,
    pub outcome: ItemOutcome,
    /// Its content went through [`Counters::bytes_done`].
    pub is_streamed: bool,
}

/// What the snapshot says of an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ItemFacts {
    pub kind: NodeKind,
    pub size: u64,
    pub mtime: NodeTime,
}

impl ItemFacts {
    pub(super) fn of(node: &Node) -> Self {
        let size = if node.kind == NodeKind::File { node.size } else { 0 };
        Self { kind: node.kind.clone(), size, mtime: node.mtime }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemOutcome {
    Written,
    /// Left as it is in the target, or its content was.
    Skipped,
    /// In its place, but not wholly as it was; with the reason.
    Flawed(String),
    /// Missing, or a folder that is not whole; with the reason.
    Lost(String),
}

/// Why a file is incomplete, and where what there is of it was kept.
#[derive(Debug, thiserror::Error)]
#[error("what could be read of it is in {:?}", String::from_utf8_lossy(.name))]
pub struct KeptPart {
    pub name: Vec<u8>,
    #[source]
    pub cause: Cause,
}

/// A report while it grows, from many threads.
pub(super) struct Tally<'a> {
    report: Mutex<RestoreReport>,
    actions: Option<SyncSender<Action>>,
    items: Option<SyncSender<RestoredItem>>,
    /// Hashes of the paths of folders that came as lost already.
    flawed: Mutex<HashSet<u64>>,
    /// For `verify`: hashes of the paths of files that were not restored.
    passed_over: Option<Mutex<HashSet<u64>>>,
    hasher: RandomState,
    /// Of the paths of lost entries.
    named_bytes: AtomicUsize,
    ctx: &'a Ctx,
}

impl<'a> Tally<'a> {
    pub(super) fn new(options: &RestoreOptions, ctx: &'a Ctx) -> Self {
        let passed_over = options.verify.then(Mutex::default);
        let (actions, items, flawed) = (options.actions.clone(), options.items.clone(), Mutex::default());
        let (report, hasher, named_bytes) = (Mutex::default(), RandomState::new(), AtomicUsize::new(0));
        Self { report, actions, items, flawed, passed_over, hasher, named_bytes, ctx }
    }

    pub(super) fn finish(self) -> RestoreReport {
        self.report.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn report(&self) -> MutexGuard<'_, RestoreReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names an entry that could not be restored as it should.
    pub(super) fn lose(&self, path: &[u8], op: &'static str, cause: impl Into<Cause>) {
        Counters::add(&self.ctx.counters.errors, 1);
        let mut report = self.report();
        report.lost_count += 1;
        let named_bytes = self.named_bytes.fetch_add(path.len(), Ordering::Relaxed);
        if report.lost.len() < MOST_NAMED && named_bytes < MOST_NAMED_BYTES {
            report.lost.push(EntryError { path: shown(path), op, cause: cause.into() });
        }
    }

    /// Tells whoever listens that an entry is over. Must not be called while the report is held.
    pub(super) fn end(&self, path: &[u8], facts: ItemFacts, outcome: ItemOutcome, is_streamed: bool) {
        if let Some(items) = &self.items {
            let item = RestoredItem { path: shown(path), facts, outcome, is_streamed };
            items.send(item).unwrap_or_default();
        }
    }

    /// Names an entry that is over and lost.
    pub(super) fn fail(&self, path: &[u8], facts: ItemFacts, op: &'static str, cause: Cause) {
        self.end(path, facts, ItemOutcome::Lost(reason(op, &*cause)), false);
        self.lose(path, op, cause);
    }

    /// Names a folder that is not whole; it may be under way, and more than one part of it may be missing.
    pub(super) fn fail_folder(&self, path: &[u8], op: &'static str, cause: Cause) {
        let is_first = self.flawed().insert(self.hasher.hash_one(path));
        if is_first {
            let facts = ItemFacts { kind: NodeKind::Dir, ..ItemFacts::default() };
            self.end(path, facts, ItemOutcome::Lost(reason(op, &*cause)), false);
        }
        self.lose(path, op, cause);
    }

    /// Tells that a folder is over, unless it came as lost before.
    pub(super) fn end_folder(&self, path: &[u8], node: &Node, outcome: ItemOutcome) {
        if !self.flawed().contains(&self.hasher.hash_one(path)) {
            self.end(path, ItemFacts::of(node), outcome, false);
        }
    }

    fn flawed(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.flawed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody listens to what becomes of each entry.
    pub(super) fn wants_items(&self) -> bool {
        self.items.is_some()
    }

    /// Whether somebody listens.
    pub(super) fn is_heard(&self) -> bool {
        self.actions.is_some()
    }

    /// Tells whoever listens what was done, or would be. Must not be called while the report is held.
    pub(super) fn act(&self, kind: ActionKind, path: &[u8], size: u64) {
        if let Some(actions) = &self.actions {
            // Who has stopped listening misses it.
            actions.send(Action { kind, path: shown(path), size }).unwrap_or_default();
        }
    }

    pub(super) fn item_done(&self) {
        Counters::add(&self.ctx.counters.items_done, 1);
    }

    /// Notes that the content of a file is not what the snapshot says, or need not be.
    pub(super) fn pass_over(&self, path: &[u8]) {
        if let Some(passed_over) = &self.passed_over {
            let hash = self.hasher.hash_one(path);
            passed_over.lock().unwrap_or_else(PoisonError::into_inner).insert(hash);
        }
    }

    pub(super) fn is_passed_over(&self, path: &[u8]) -> bool {
        self.passed_over.as_ref().is_some_and(|passed_over| {
            let hash = self.hasher.hash_one(path);
            passed_over.lock().unwrap_or_else(PoisonError::into_inner).contains(&hash)
        })
    }
}

/// What was tried and why it failed, in one line.
pub(super) fn reason(op: &str, cause: &(dyn std::error::Error + 'static)) -> String {
    let mut text = format!("{op}: {cause}");
    let mut next = cause.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}

pub(super) fn shown(path: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    let path = if path.is_empty() { b"/" } else { path };
    PathBuf::from(std::ffi::OsStr::from_bytes(path))
}
