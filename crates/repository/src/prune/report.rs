//! What a prune found and did, in restic's words.

use super::plan::{Fate, PackInfo, Plan};
use crate::check::Problem;
use crate::error::Error;
use crate::id::PackId;
use crate::index::Index;

/// A number of blobs, and their sealed bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    pub blobs: u64,
    pub bytes: u64,
}

/// So many packs that could not be deleted are named, the rest is counted.
const MOST_NAMED: usize = 1000;

/// What a prune found and did; of a dry run, what it would do.
#[derive(Debug, Default)]
pub struct PruneReport {
    /// What the snapshots need, each blob once.
    pub used: Amount,
    /// Further copies of that.
    pub duplicate: Amount,
    /// What no snapshot needs.
    pub unused: Amount,
    /// Packs that no index names. They are deleted.
    pub unreferenced_packs: u64,
    pub unreferenced_bytes: u64,
    pub packs_used: u64,
    pub packs_partly_used: u64,
    pub packs_unused: u64,
    pub packs_to_keep: u64,
    pub packs_to_repack: u64,
    pub packs_to_delete: u64,
    /// Packs that an index names, that are not stored and that nobody needs. The index forgets them.
    pub packs_absent: u64,
    /// What is in the packs to repack…
    pub to_repack: Amount,
    /// …and how much of it goes.
    pub repack_frees: Amount,
    /// What is in the packs to delete.
    pub to_delete: Amount,
    pub remaining: Amount,
    /// Of what remains, the part that is not used.
    pub unused_after_bytes: u64,
    pub is_dry_run: bool,
    /// What could not be read when it was to be repacked. Its packs are kept as they are.
    pub problems: Vec<Problem>,
    pub problem_count: u64,
    /// Packs kept because of that.
    pub packs_kept_damaged: u64,
    /// Packs that the storage failed to delete. They are in no index, and the next prune tries again.
    pub packs_not_deleted: u64,
    /// Why, of the first thousand of them.
    pub undeleted: Vec<(PackId, Error)>,
    pub index_files_written: u64,
    pub index_files_deleted: u64,
    /// Temporary files of interrupted writes that were removed.
    pub temporary_files_deleted: u64,
}

impl PruneReport {
    /// True when all that was to be done was done.
    pub fn is_complete(&self) -> bool {
        self.problem_count == 0 && self.packs_not_deleted == 0
    }

    pub(super) fn add_undeleted(&mut self, pack: PackId, cause: Error) {
        self.packs_not_deleted += 1;
        if self.undeleted.len() < MOST_NAMED {
            self.undeleted.push((pack, cause));
        }
    }

    pub(super) fn describe(&mut self, plan: &Plan, index: &Index) {
        for pack in &plan.packs {
            self.count(pack);
        }
        let entries = u64::from(index.len());
        self.duplicate = Amount { blobs: plan.duplicate_blobs, bytes: plan.duplicate_bytes };
        let all_bytes: u64 = plan.packs.iter().map(PackInfo::bytes).sum();
        self.unused.blobs = entries - self.used.blobs - self.duplicate.blobs;
        self.unused.bytes = all_bytes - self.used.bytes - self.duplicate.bytes;
        self.remaining.blobs = entries - self.to_delete.blobs - self.repack_frees.blobs;
        self.remaining.bytes = all_bytes - self.to_delete.bytes - self.repack_frees.bytes;
        self.unused_after_bytes = self.remaining.bytes - self.used.bytes;
    }

    fn count(&mut self, pack: &PackInfo) {
        self.used.add(pack.used_blobs, pack.used_bytes);
        match (pack.used_blobs, pack.unused_blobs) {
            (0, _) => self.packs_unused += 1,
            (_, 0) => self.packs_used += 1,
            _ => self.packs_partly_used += 1,
        }
        match pack.fate {
            Fate::Keep => self.packs_to_keep += 1,
            Fate::Repack => {
                self.packs_to_repack += 1;
                self.to_repack.add(pack.used_blobs + pack.unused_blobs, pack.bytes());
                self.repack_frees.add(pack.unused_blobs, pack.unused_bytes);
            }
            Fate::Delete | Fate::Absent => {
                self.to_delete.add(pack.unused_blobs, pack.unused_bytes);
                match pack.fate {
                    Fate::Absent => self.packs_absent += 1,
                    _ => self.packs_to_delete += 1,
                }
            }
        }
    }
}

impl Amount {
    fn add(&mut self, blobs: u32, bytes: u64) {
        self.blobs += u64::from(blobs);
        self.bytes += bytes;
    }
}
