//! What a backup did, for people and for the summary in the snapshot.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use crate::error::Error;
use crate::id::{BlobId, SnapshotId};
use crate::save::SaveCounts;
use crate::snapshot::{ITEMS_LOST, SnapshotSummary, SnapshotTime};
use crate::source::EntryError;

/// More lost entries than this are counted, not named: a list must not outgrow memory.
const MOST_NAMED: usize = 50_000;
/// Nor must deep paths.
const MOST_NAMED_BYTES: usize = 8 << 20;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ItemCounts {
    pub new: u64,
    pub changed: u64,
    pub unmodified: u64,
}

impl ItemCounts {
    pub fn total(&self) -> u64 {
        self.new + self.changed + self.unmodified
    }
}

/// How a file or a folder compares with the parent's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    New,
    Changed,
    Unmodified,
}

impl ItemCounts {
    pub(crate) fn add(&mut self, change: Change) {
        match change {
            Change::New => self.new += 1,
            Change::Changed => self.changed += 1,
            Change::Unmodified => self.unmodified += 1,
        }
    }
}

/// A file or a folder that is saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedItem {
    pub change: Change,
    pub is_dir: bool,
    /// As in the snapshot.
    pub path: PathBuf,
    /// Plaintext bytes that were new to the repository: of the content of a file, of the tree of a folder.
    pub bytes_added: u64,
    /// How long saving it took; a folder with all that is in it.
    pub took: Duration,
}

/// The outcome of a backup.
#[derive(Debug, Default)]
pub struct BackupReport {
    /// None for a dry run, or when there was nothing to make a snapshot of.
    pub snapshot: Option<SnapshotId>,
    pub tree: Option<BlobId>,
    /// When the snapshot was made.
    pub ended: Option<Timestamp>,
    pub files: ItemCounts,
    pub dirs: ItemCounts,
    /// Size of all files, read or not.
    pub bytes_processed: u64,
    /// Bytes really read from files.
    pub bytes_read: u64,
    pub data_blobs: u64,
    pub tree_blobs: u64,
    /// Plaintext bytes of new blobs.
    pub bytes_added: u64,
    /// Bytes that new blobs take in storage.
    pub bytes_stored: u64,
    /// Entries that could not be read, or not as they were a moment before.
    pub lost: Vec<EntryError>,
    /// All of them, also those beyond what `lost` holds.
    pub lost_count: u64,
    /// What could not be read of the parent. Its files were read from the source again.
    pub parent_errors: Vec<Error>,
    pub(super) saw_a_root: bool,
    /// Of the paths in `lost`.
    named_bytes: usize,
}

impl BackupReport {
    pub(super) fn lose(&mut self, error: EntryError) {
        self.lost_count += 1;
        if self.lost.len() < MOST_NAMED && self.named_bytes < MOST_NAMED_BYTES {
            self.named_bytes += error.path.as_os_str().len();
            self.lost.push(error);
        }
    }

    /// The walk's half and the assembler's half of one report.
    pub(crate) fn merge(mut self, other: Self) -> Self {
        let add = |a: ItemCounts, b: ItemCounts| ItemCounts {
            new: a.new + b.new,
            changed: a.changed + b.changed,
            unmodified: a.unmodified + b.unmodified,
        };
        self.files = add(self.files, other.files);
        self.dirs = add(self.dirs, other.dirs);
        self.bytes_processed += other.bytes_processed;
        self.bytes_read += other.bytes_read;
        self.lost_count += other.lost_count;
        let room = MOST_NAMED.saturating_sub(self.lost.len());
        self.lost.extend(other.lost.into_iter().take(room));
        self
    }

    pub(crate) fn add_saved(&mut self, saved: &SaveCounts) {
        self.data_blobs = saved.data_blobs;
        self.tree_blobs = saved.tree_blobs;
        self.bytes_added = saved.plain_bytes;
        self.bytes_stored = saved.sealed_bytes;
    }

    pub(crate) fn to_summary(&self, backup_start: SnapshotTime, backup_end: SnapshotTime) -> SnapshotSummary {
        let mut unknown = serde_json::Map::new();
        if self.lost_count > 0 {
            unknown.insert(ITEMS_LOST.to_owned(), self.lost_count.into());
        }
        SnapshotSummary {
            unknown,
            backup_start,
            backup_end,
            files_new: self.files.new,
            files_changed: self.files.changed,
            files_unmodified: self.files.unmodified,
            dirs_new: self.dirs.new,
            dirs_changed: self.dirs.changed,
            dirs_unmodified: self.dirs.unmodified,
            data_blobs: self.data_blobs,
            tree_blobs: self.tree_blobs,
            data_added: self.bytes_added,
            data_added_packed: self.bytes_stored,
            total_files_processed: self.files.total(),
            total_bytes_processed: self.bytes_processed,
        }
    }
}
