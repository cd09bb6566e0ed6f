//! Prune: delete what no snapshot needs. Needs the exclusive lock, and a repository without damage.
//!
//! Order: packs that no index names are deleted; what is used of wasteful packs is stored in new packs and
//! indexed; index files are written that name exactly the packs that stay; the old index files are deleted; then
//! the packs. A crash at any point leaves a repository in which everything used can be found, and the next prune
//! finishes the work. The lock is asked before every single write and deletion.

mod copies;
mod index_files;
mod plan;
mod report;

use std::collections::BTreeSet;

use self::index_files::IndexRewrite;
use self::plan::{Fate, Plan};
pub use self::report::{Amount, PruneReport};
use crate::check::{Findings, PackSizes};
use crate::ctx::{Counters, Ctx};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{Id, IndexId, PackId, SnapshotId};
use crate::index::{BlobSet, Index};
use crate::live::{LiveSet, LiveWalk};
use crate::lock::{LockGuard, LockMode};
use crate::repository::{Repository, Saving};
use crate::save::{SaveMode, Saver};
use crate::storage::{FileId, FileKind, StorageErrorKind, list_ids};
use crate::transfer::Transfer;

/// How much that is unused may stay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MaxUnused {
    /// Of all that remains.
    Percent(f64),
    Bytes(u64),
    Unlimited,
}

/// What to repack, besides deleting what is not used at all.
#[derive(Clone, Debug)]
pub struct PruneOptions {
    pub max_unused: MaxUnused,
    /// Repack less than this many bytes.
    pub max_repack_bytes: Option<u64>,
    /// Only repack packs that hold trees.
    pub repack_cacheable_only: bool,
    /// Repack packs below four fifths of the intended size, not only tiny ones.
    pub repack_small: bool,
    /// Repack packs with data that is not compressed.
    pub repack_uncompressed: bool,
    /// Find out what would be done, but do nothing.
    pub dry_run: bool,
    /// Snapshots to take for deleted, in a dry run only.
    pub ignored_snapshots: Vec<SnapshotId>,
    /// How many threads read and compress.
    pub workers: usize,
}

impl Default for PruneOptions {
    fn default() -> Self {
        Self {
            max_unused: MaxUnused::Percent(5.0),
            max_repack_bytes: None,
            repack_cacheable_only: false,
            repack_small: false,
            repack_uncompressed: false,
            dry_run: false,
            ignored_snapshots: Vec::new(),
            workers: 2,
        }
    }
}

/// Temporary files are left alone for this long: they may be somebody's who does not ask for locks.
const SWEEP_AFTER: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

impl Repository {
    /// Deletes what no snapshot needs. Loads the index anew, before and after.
    ///
    /// A repository in which anything needed is damaged or missing is not touched. `lock` must be exclusive, unless
    /// it is a dry run.
    pub fn prune(&self, options: &PruneOptions, lock: &LockGuard, ctx: &Ctx) -> Result<PruneReport> {
        if !options.dry_run {
            require_exclusive(lock)?;
            if !options.ignored_snapshots.is_empty() {
                let what = "only a dry run of prune can ignore snapshots";
                return Err(Error::new(ErrorKind::InvalidInput, what));
            }
        }
        lock.assert_held()?;
        let saving = if options.dry_run { None } else { Some(self.begin_saving()?) };
        let pruning = Pruning { repository: self, options, lock, saving, ctx };
        let findings = Findings::default();
        let (mut report, plan) = pruning.plan(&findings)?;
        let findings =
            if options.dry_run { findings } else { pruning.execute(plan, findings, &mut report)? };
        let kept = findings.into_kept();
        (report.problems, report.problem_count) = (kept.problems, kept.problem_count);
        Ok(report)
    }

    /// Forgets snapshots; what they alone needed stays until the next prune. `lock` must be exclusive.
    ///
    /// Snapshots that could not be deleted are returned with the reason. One that is not there counts as deleted.
    pub fn delete_snapshots(
        &self,
        snapshots: &[SnapshotId],
        lock: &LockGuard,
        ctx: &Ctx,
    ) -> Result<Vec<(SnapshotId, Error)>> {
        require_exclusive(lock)?;
        ctx.counters.begin_phase("delete snapshots", snapshots.len() as u64, 0);
        let mut failed = Vec::new();
        for id in snapshots {
            ctx.cancel.check()?;
            lock.assert_held()?;
            match self.storage().delete((*id).into()) {
                Err(error) if error.kind != StorageErrorKind::NotFound => failed.push((*id, error.into())),
                _ => Counters::add(&ctx.counters.items_done, 1),
            }
        }
        Ok(failed)
    }
}

fn require_exclusive(lock: &LockGuard) -> Result<()> {
    if lock.mode() == LockMode::Exclusive {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InvalidInput, "deleting from a repository takes an exclusive lock"))
}

/// One prune under way.
struct Pruning<'p> {
    repository: &'p Repository,
    options: &'p PruneOptions,
    lock: &'p LockGuard,
    /// None in a dry run.
    saving: Option<Saving<'p>>,
    ctx: &'p Ctx,
}

struct Planned {
    plan: Plan,
    /// The snapshots that the plan was made for, sorted.
    snapshots: Vec<Id>,
    index_files: Vec<IndexId>,
    /// Packs that no index names.
    unreferenced: Vec<PackId>,
}

impl Pruning<'_> {
    fn plan(&self, findings: &Findings) -> Result<(PruneReport, Planned)> {
        let repository = self.repository;
        let index_files = self.load_index()?;
        let snapshots = list_ids(repository.storage(), FileKind::Snapshot)?;
        let live = self.find_live(&snapshots)?;
        self.ctx.counters.begin_phase("search packs", repository.index().pack_count().into(), 0);
        let mut report = PruneReport { is_dry_run: self.options.dry_run, ..PruneReport::default() };
        let mut unreferenced = Vec::new();
        let mut visit_unknown = |pack, bytes| {
            unreferenced.push(pack);
            report.unreferenced_bytes += bytes;
        };
        let sizes = PackSizes::list(repository, &mut visit_unknown, self.ctx)?;
        report.unreferenced_packs = unreferenced.len() as u64;
        let mut plan = Plan::survey(repository, &live, &sizes, self.ctx)?;
        if let Some(lost) = plan.lost {
            return Err(refusal(format!(
                "pack {}, which holds the {}, is missing or not as long as the index says",
                lost.location.pack, lost.blob
            )));
        }
        plan.decide(repository, &sizes, self.options, self.ctx)?;
        self.confirm_absent(&plan)?;
        if !self.options.dry_run {
            self.verify_copies(&mut plan, &live, findings)?;
        }
        report.describe(&plan, &repository.index());
        Ok((report, Planned { plan, snapshots, index_files, unreferenced }))
    }

    /// Loads all index files, none of which may be damaged.
    fn load_index(&self) -> Result<Vec<IndexId>> {
        let ids = list_ids(self.repository.storage(), FileKind::Index)?;
        let ids: Vec<_> = ids.into_iter().map(IndexId::new).collect();
        self.ctx.counters.begin_phase("load index", ids.len() as u64, 0);
        let mut index = Index::new();
        for id in &ids {
            self.ctx.cancel.check()?;
            self.repository.read_index(*id, &mut index)?;
            Counters::add(&self.ctx.counters.items_done, 1);
        }
        self.repository.replace_index(index, ids.iter().map(|id| id.id()));
        Ok(ids)
    }

    fn find_live(&self, snapshots: &[Id]) -> Result<LiveSet> {
        let repository = self.repository;
        let findings = Findings::default();
        let live = LiveSet::new(&repository.index());
        let walk = LiveWalk::new(repository, &live, &findings, self.ctx);
        let snapshots = snapshots.iter().copied().map(SnapshotId::new);
        let ignored: BTreeSet<_> = self.options.ignored_snapshots.iter().copied().collect();
        let snapshots: Vec<_> = snapshots.filter(|id| !ignored.contains(id)).collect();
        repository.add_snapshots(&walk, snapshots.into_iter(), &findings, self.ctx)?;
        self.ctx.counters.begin_phase("find used blobs", 0, 0);
        walk.run(self.options.workers)?;
        let kept = findings.into_kept();
        match kept.problems.first() {
            None => Ok(live),
            Some(first) if kept.problem_count == 1 => Err(refusal(first.to_string())),
            Some(first) => Err(refusal(format!("{first} (and {} more problems)", kept.problem_count - 1))),
        }
    }

    /// Makes sure that packs missing from the listing are really not there: a listing may be out of date.
    fn confirm_absent(&self, plan: &Plan) -> Result<()> {
        for number in plan.packs_to(Fate::Absent) {
            let Some(pack) = self.repository.index().pack(number) else { continue };
            match self.repository.storage().size(pack.into()) {
                Err(error) if error.kind == StorageErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
                Ok(_) => {
                    let what = format!(
                        "the storage has pack {pack} but did not list it; its listing is out of date"
                    );
                    return Err(Error::new(ErrorKind::Storage, what));
                }
            }
        }
        Ok(())
    }

    fn execute(&self, planned: Planned, findings: Findings, report: &mut PruneReport) -> Result<Findings> {
        let Planned { mut plan, snapshots, mut index_files, unreferenced } = planned;
        self.refuse_new(FileKind::Snapshot, &snapshots)?;
        let known: Vec<Id> = index_files.iter().map(IndexId::id).collect();
        self.refuse_new(FileKind::Index, &known)?;
        self.delete_packs("delete unreferenced packs", &unreferenced, report)?;
        let damaged = self.repack(&plan, &findings)?;
        report.packs_kept_damaged = damaged.len() as u64;
        for number in damaged {
            plan.set_fate(number, Fate::Keep);
        }
        let mut gone = BlobSet::new();
        let mut to_delete = Vec::new();
        for numbered in self.ctx.cancel.checked((0..).zip(&plan.packs)) {
            let (number, pack) = numbered?;
            if pack.fate == Fate::Keep {
                continue;
            }
            gone.insert(number);
            if pack.fate != Fate::Absent {
                to_delete.extend(self.repository.index().pack(number));
            }
        }
        // The ones that repacking has written, too.
        let written = list_ids(self.repository.storage(), FileKind::Index)?;
        index_files.extend(written.into_iter().map(IndexId::new));
        index_files.sort_unstable();
        index_files.dedup();
        let rewrite =
            IndexRewrite { repository: self.repository, lock: self.lock, gone: &gone, ctx: self.ctx };
        self.refuse_new(FileKind::Snapshot, &snapshots)?;
        (report.index_files_written, report.index_files_deleted) = rewrite.run(&index_files)?;
        self.delete_packs("delete packs", &to_delete, report)?;
        let now = self.repository.settings().time.clock.now();
        if let Ok(before) = now.checked_sub(SWEEP_AFTER) {
            report.temporary_files_deleted = self.repository.storage().sweep(before)?;
        }
        // What the index in memory says is no longer true; the next operation reads it anew.
        self.repository.replace_index(Index::new(), []);
        Ok(findings)
    }

    /// Fails when there are files that the plan does not know of: somebody stores without minding our lock, or
    /// the listing had been out of date.
    fn refuse_new(&self, kind: FileKind, known: &[Id]) -> Result<()> {
        let mut listed = list_ids(self.repository.storage(), kind)?.into_iter();
        match listed.find(|id| known.binary_search(id).is_err()) {
            None => Ok(()),
            Some(id) => {
                let what = format!("the {kind} {id} has appeared while the prune was being planned");
                Err(Error::new(ErrorKind::Storage, what))
            }
        }
    }

    /// Stores anew what is used of wasteful packs, and returns the packs of which something could not be read.
    fn repack(&self, plan: &Plan, findings: &Findings) -> Result<Vec<u32>> {
        let packs = plan.packs_to(Fate::Repack);
        let Some(saving) = self.saving.as_ref().filter(|_| !packs.is_empty()) else { return Ok(Vec::new()) };
        let used = |number: &u32| plan.packs.get(*number as usize).map_or(0, |pack| pack.used_bytes);
        let bytes = packs.iter().map(used).sum();
        self.ctx.counters.begin_phase("repack packs", packs.len() as u64, bytes);
        let saver = Saver::new(saving, self.lock, SaveMode::Again, self.ctx);
        let transfer = Transfer {
            from: self.repository,
            wanted: &plan.chosen,
            findings,
            workers: self.options.workers,
            ctx: self.ctx,
        };
        transfer.run(&packs, saver).map(|done| done.unreadable)
    }

    /// Deletes packs that no index names any more. One that cannot be deleted is left for the next prune.
    fn delete_packs(&self, phase: &'static str, packs: &[PackId], report: &mut PruneReport) -> Result<()> {
        self.ctx.counters.begin_phase(phase, packs.len() as u64, 0);
        for pack in packs {
            self.ctx.cancel.check()?;
            self.lock.assert_held()?;
            match self.repository.storage().delete(FileId::from(*pack)) {
                Err(error) if error.kind == StorageErrorKind::Cancelled => return Err(error.into()),
                Err(error) if error.kind != StorageErrorKind::NotFound => {
                    Counters::add(&self.ctx.counters.errors, 1);
                    report.add_undeleted(*pack, error.into());
                }
                _ => Counters::add(&self.ctx.counters.items_done, 1),
            }
        }
        Ok(())
    }
}

fn refusal(why: String) -> Error {
    let what = "the repository is damaged and was not pruned, which could make it worse; `check` tells all";
    Error::damaged(what).because(why)
}
