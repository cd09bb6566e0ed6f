//! Check: is everything there that the snapshots need, and is it what it should be?
//!
//! Nothing is written. One damaged thing is named and the rest is checked all the same. Snapshots are listed
//! before the index is loaded and packs after it, so that a backup running at the same time, which stores in the
//! opposite order, is never mistaken for damage.

mod data;
mod files;
mod packs;
mod problem;
mod subset;

pub(crate) use self::packs::{PackSizes, expected_sizes, packed};
pub(crate) use self::problem::Findings;
pub use self::problem::{Hint, HintKind, Problem, ProblemKind, Subject};
pub use self::subset::{ParseReadDataError, ReadData};
use crate::ctx::{Counters, Ctx};
use crate::error::Result;
use crate::id::SnapshotId;
use crate::index::Index;
use crate::live::{LiveSet, LiveWalk};
use crate::repository::Repository;
use crate::storage::{FileKind, list_ids};

/// How thorough a check is.
#[derive(Clone, Debug)]
pub struct CheckOptions {
    /// Which packs are read in full.
    pub read_data: ReadData,
    /// Decides which packs a random share consists of; give another one each time.
    pub seed: u64,
    /// How many threads read.
    pub workers: usize,
}

impl Default for CheckOptions {
    fn default() -> Self {
        Self { read_data: ReadData::None, seed: 0, workers: 2 }
    }
}

/// What a check found.
#[derive(Clone, Debug, Default)]
pub struct CheckReport {
    /// The first thousand problems.
    pub problems: Vec<Problem>,
    /// All problems, also those not kept.
    pub problem_count: u64,
    /// The first thousand hints.
    pub hints: Vec<Hint>,
    pub hint_count: u64,
    pub keys: u64,
    pub snapshots: u64,
    pub index_files: u64,
    pub packs: u64,
    /// Bytes of all packs.
    pub pack_bytes: u64,
    /// Entries of the index.
    pub blobs: u64,
    /// Entries that no snapshot needs.
    pub unused_blobs: u64,
    /// Sealed bytes of those.
    pub unused_bytes: u64,
    /// Entries of blobs that are stored elsewhere, too.
    pub duplicate_blobs: u64,
    /// Packs that were read in full.
    pub packs_read: u64,
    pub bytes_read: u64,
}

impl CheckReport {
    pub fn is_sound(&self) -> bool {
        self.problem_count == 0
    }
}

impl Repository {
    /// Checks everything but the content of packs, and that of as many packs as asked for. Loads the index anew.
    ///
    /// What is wrong is in the report; an error means that the check itself could not go on.
    pub fn check(&self, options: &CheckOptions, ctx: &Ctx) -> Result<CheckReport> {
        let findings = Findings::default();
        let mut report = CheckReport::default();
        self.check_config(&findings);
        report.keys = self.check_keys(&findings, ctx)?;
        let snapshots = list_ids(self.storage(), FileKind::Snapshot)?;
        report.snapshots = snapshots.len() as u64;
        report.index_files = self.check_indexes(&findings, ctx)?;
        report.blobs = self.index().len().into();
        let sizes = self.check_packs(&findings, &mut report, ctx)?;
        let live =
            self.check_snapshots(snapshots.into_iter().map(SnapshotId::new), options, &findings, ctx)?;
        count_unused(&self.index(), &live, &mut report, ctx)?;
        drop(live);
        self.check_data(&sizes, options, (&findings, &mut report), ctx)?;
        let kept = findings.into_kept();
        (report.problems, report.problem_count) = (kept.problems, kept.problem_count);
        (report.hints, report.hint_count) = (kept.hints, kept.hint_count);
        Ok(report)
    }

    fn check_snapshots(
        &self,
        snapshots: impl ExactSizeIterator<Item = SnapshotId>,
        options: &CheckOptions,
        findings: &Findings,
        ctx: &Ctx,
    ) -> Result<LiveSet> {
        let live = LiveSet::new(&self.index());
        let walk = LiveWalk::new(self, &live, findings, ctx);
        self.add_snapshots(&walk, snapshots, findings, ctx)?;
        ctx.counters.begin_phase("check trees", 0, 0);
        walk.run(options.workers)?;
        Ok(live)
    }

    /// Loads snapshots and adds their trees to a walk; damaged ones are problems.
    pub(crate) fn add_snapshots(
        &self,
        walk: &LiveWalk<'_>,
        snapshots: impl ExactSizeIterator<Item = SnapshotId>,
        findings: &Findings,
        ctx: &Ctx,
    ) -> Result<()> {
        ctx.counters.begin_phase("load snapshots", snapshots.len() as u64, 0);
        for id in snapshots {
            ctx.cancel.check()?;
            match self.load_snapshot(id) {
                Ok(snapshot) => walk.add_root(id, snapshot.tree),
                Err(error) => findings.problem(Problem::of_error(crate::storage::FileId::from(id), &error)),
            }
            Counters::add(&ctx.counters.items_done, 1);
        }
        Ok(())
    }
}

fn count_unused(index: &Index, live: &LiveSet, report: &mut CheckReport, ctx: &Ctx) -> Result<()> {
    for entry in ctx.cancel.checked(index.entries()) {
        let entry = entry?;
        let first = index.find(entry.blob).map_or(entry.ordinal, |first| first.ordinal);
        report.duplicate_blobs += u64::from(first != entry.ordinal);
        if !live.contains(first) {
            report.unused_blobs += 1;
            report.unused_bytes += u64::from(entry.location.length);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::{BlobKind, BlobRef, PackedBlob};
    use crate::id::{BlobId, Id, PackId};

    #[test]
    fn a_cancel_ends_the_loops_over_the_index() {
        let blob = BlobRef { kind: BlobKind::Data, id: BlobId::of(b"blob") };
        let packed = PackedBlob { blob, offset: 0, length: 40, uncompressed_length: None };
        let mut index = Index::new();
        index.insert_pack(PackId::new(Id::of(b"pack")), &[packed]);
        let (live, ctx) = (LiveSet::new(&index), Ctx::default());
        let mut report = CheckReport::default();
        assert!(count_unused(&index, &live, &mut report, &ctx).is_ok());
        assert_eq!((report.unused_blobs, report.unused_bytes), (1, 40));
        assert!(expected_sizes(&index, &ctx).is_ok());
        ctx.cancel.cancel();
        assert!(count_unused(&index, &live, &mut report, &ctx).is_err());
        assert!(expected_sizes(&index, &ctx).is_err());
    }
}
