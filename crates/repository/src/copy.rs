//! Copy: snapshots of one repository, with all they need, into another.
//!
//! Blobs keep their names and their content to the byte; only their seals are new. A snapshot is written after all
//! its blobs are stored and indexed, so a crash leaves blobs that the next copy finds. What cannot be read holds
//! back the snapshots that need it and no others.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;

use crate::check::{Findings, Problem};
use crate::ctx::{Counters, Ctx};
use crate::error::Result;
use crate::id::{Id, SnapshotId};
use crate::index::{BlobSet, Entry};
use crate::live::{LiveSet, LiveWalk};
use crate::lock::LockGuard;
use crate::repository::{Repository, Saving};
use crate::save::{SaveCounts, SaveMode, Saver};
use crate::snapshot::{SnapshotFile, SnapshotTime};
use crate::storage::{FileId, FileKind, list_ids};
use crate::transfer::Transfer;

/// So many snapshots are copied together; then they are written.
const SNAPSHOTS_TOGETHER: usize = 16;
/// So many entries of one index are compared with the other at a time.
const ENTRIES_TOGETHER: usize = 1 << 16;

/// From where to where.
#[derive(Clone, Copy)]
pub struct CopyEnds<'c> {
    pub from: &'c Repository,
    pub from_lock: &'c LockGuard,
    pub to: &'c Repository,
    pub to_lock: &'c LockGuard,
}

/// What a copy did.
#[derive(Clone, Debug, Default)]
pub struct CopyReport {
    /// The snapshots copied, each with its new name.
    pub copied: Vec<(SnapshotId, SnapshotId)>,
    /// The snapshots that were there already, each with its name there.
    pub skipped: Vec<(SnapshotId, SnapshotId)>,
    /// The snapshots that were not copied because something they need cannot be read.
    pub held_back: Vec<SnapshotId>,
    pub problems: Vec<Problem>,
    pub problem_count: u64,
    pub data_blobs: u64,
    pub tree_blobs: u64,
    /// Plaintext bytes of those.
    pub bytes_added: u64,
    /// Their bytes as stored.
    pub bytes_stored: u64,
}

/// Copies snapshots, except those that are there already. Loads both indexes anew.
pub fn copy_snapshots(
    ends: CopyEnds<'_>,
    snapshots: &[SnapshotId],
    workers: usize,
    ctx: &Ctx,
) -> Result<CopyReport> {
    ends.from.load_index(ctx)?;
    let saving = ends.to.begin_saving()?;
    // Only now that nobody else stores through the second repository can what it knows be relied on.
    ends.to.load_index(ctx)?;
    let live = LiveSet::new(&ends.from.index());
    let (findings, report) = (Findings::default(), CopyReport::default());
    let mut copying = Copying { ends, saving, workers, ctx, live, findings, report };
    let mut seen = BTreeSet::new();
    let mut wanted = Vec::new();
    for id in snapshots.iter().filter(|id| seen.insert(**id)) {
        ctx.cancel.check()?;
        match ends.from.load_snapshot(*id) {
            Err(error) => copying.hold_back(*id, Some(Problem::of_error(FileId::from(*id), &error))),
            Ok(snapshot) => {
                wanted.push((*id, (snapshot.original.unwrap_or(*id), fingerprint(&snapshot))));
            }
        }
    }
    let present = copying.present(&wanted.iter().map(|(_, key)| *key).collect())?;
    let mut waiting = Vec::new();
    for (id, key) in wanted {
        match present.get(&key) {
            Some(copy) => copying.report.skipped.push((id, *copy)),
            None => waiting.push(id),
        }
    }
    for together in waiting.chunks(SNAPSHOTS_TOGETHER) {
        copying.copy_together(together)?;
    }
    let Copying { findings, mut report, .. } = copying;
    let kept = findings.into_kept();
    (report.problems, report.problem_count) = (kept.problems, kept.problem_count);
    Ok(report)
}

/// The snapshot that one is a copy of, or itself, and what it says.
type Key = (SnapshotId, Id);

struct Copying<'c> {
    ends: CopyEnds<'c>,
    saving: Saving<'c>,
    workers: usize,
    ctx: &'c Ctx,
    /// All that the snapshots met so far need, by the index of the first repository.
    live: LiveSet,
    findings: Findings,
    report: CopyReport,
}

impl Copying<'_> {
    /// Those of the wanted snapshots that the second repository has.
    fn present(&self, wanted: &BTreeSet<Key>) -> Result<BTreeMap<Key, SnapshotId>> {
        let ids = list_ids(self.ends.to.storage(), FileKind::Snapshot)?;
        self.ctx.counters.begin_phase("load snapshots", ids.len() as u64, 0);
        let mut present = BTreeMap::new();
        for id in ids.into_iter().map(SnapshotId::new) {
            self.ctx.cancel.check()?;
            match self.ends.to.load_snapshot(id) {
                Err(error) => self.findings.problem(Problem::of_error(FileId::from(id), &error)),
                Ok(snapshot) => {
                    let says = fingerprint(&snapshot);
                    let keys = [Some(id), snapshot.original].into_iter().flatten().map(|id| (id, says));
                    present.extend(keys.filter(|key| wanted.contains(key)).map(|key| (key, id)));
                }
            }
            Counters::add(&self.ctx.counters.items_done, 1);
        }
        Ok(present)
    }

    fn copy_together(&mut self, together: &[SnapshotId]) -> Result<()> {
        let CopyEnds { from, from_lock, to, to_lock } = self.ends;
        from_lock.assert_held()?;
        let mut snapshots = Vec::new();
        let walk = LiveWalk::new(from, &self.live, &self.findings, self.ctx);
        for id in together {
            let snapshot = from.load_snapshot(*id)?;
            walk.add_root(*id, snapshot.tree);
            snapshots.push((*id, snapshot));
        }
        self.ctx.counters.begin_phase("find blobs to copy", 0, 0);
        walk.run(self.workers)?;
        let counts = self.transfer()?;
        self.report.data_blobs += counts.data_blobs;
        self.report.tree_blobs += counts.tree_blobs;
        self.report.bytes_added += counts.plain_bytes;
        self.report.bytes_stored += counts.sealed_bytes;
        self.ctx.counters.begin_phase("save snapshots", snapshots.len() as u64, 0);
        for (id, mut snapshot) in snapshots {
            self.ctx.cancel.check()?;
            // Once anything could not be read, snapshots must prove that they have all they need.
            if self.findings.any() && !self.is_complete(id, &snapshot)? {
                self.hold_back(id, None);
                continue;
            }
            snapshot.parent = None;
            snapshot.original = snapshot.original.or(Some(id));
            to_lock.assert_held()?;
            let copy = to.save_snapshot(&snapshot)?;
            self.report.copied.push((id, copy));
            Counters::add(&self.ctx.counters.items_done, 1);
        }
        Ok(())
    }

    /// Brings what is live and missing in the second repository.
    fn transfer(&self) -> Result<SaveCounts> {
        let CopyEnds { from, to, to_lock, .. } = self.ends;
        let mut wanted = BlobSet::new();
        let mut in_pack = BlobSet::new();
        let mut packs = Vec::new();
        let mut bytes = 0;
        let entries = from.index().len();
        for start in (0..entries).step_by(ENTRIES_TOGETHER) {
            self.ctx.cancel.check()?;
            // One index at a time.
            let live: Vec<Entry> = {
                let ordinals = (start..entries).take(ENTRIES_TOGETHER);
                let index = from.index();
                let live = ordinals.filter(|ordinal| self.live.contains(*ordinal));
                live.filter_map(|ordinal| index.entry(ordinal)).collect()
            };
            let index = to.index();
            for entry in live.iter().filter(|entry| !index.contains(entry.blob)) {
                wanted.insert(entry.ordinal);
                bytes += u64::from(entry.location.length);
                if in_pack.insert(entry.pack_number) {
                    packs.push(entry.pack_number);
                }
            }
        }
        self.ctx.counters.begin_phase("copy packs", packs.len() as u64, bytes);
        let (wanted, findings) = (&wanted, &self.findings);
        let transfer = Transfer { from, wanted, findings, workers: self.workers, ctx: self.ctx };
        let saver = Saver::new(&self.saving, to_lock, SaveMode::New, self.ctx);
        transfer.run(&packs, saver).map(|done| done.counts)
    }

    fn is_complete(&self, id: SnapshotId, snapshot: &SnapshotFile) -> Result<bool> {
        let to = self.ends.to;
        let (live, findings) = (LiveSet::new(&to.index()), Findings::default());
        let walk = LiveWalk::new(to, &live, &findings, self.ctx);
        walk.add_root(id, snapshot.tree);
        walk.run(self.workers)?;
        Ok(!findings.any())
    }

    fn hold_back(&mut self, id: SnapshotId, problem: Option<Problem>) {
        problem.into_iter().for_each(|problem| self.findings.problem(problem));
        self.report.held_back.push(id);
    }
}

/// What two snapshots must have in common to be the same: all but parent, original, summary and who wrote it.
fn fingerprint(snapshot: &SnapshotFile) -> Id {
    let sorted = |list: &[String]| {
        let mut list = list.to_vec();
        list.sort_unstable();
        list
    };
    let time = SnapshotTime::new(snapshot.time.instant(), &TimeZone::UTC);
    let same = SnapshotFile {
        paths: sorted(&snapshot.paths),
        hostname: snapshot.hostname.clone(),
        username: snapshot.username.clone(),
        uid: snapshot.uid,
        gid: snapshot.gid,
        excludes: snapshot.excludes.clone(),
        tags: sorted(&snapshot.tags),
        ..SnapshotFile::new(time, snapshot.tree)
    };
    Id::of(&same.to_json())
}
