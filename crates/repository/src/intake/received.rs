//! What an intake has stored, on its way to a snapshot.
//!
//! Reading back proves that what was stored can be had again: each pack of this intake is read and compared with its
//! name, which is the SHA-256 of what was verified before it was stored; the trees are read as a restore would, and
//! whatever older pack they lead to must be there in full length.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use jiff::Timestamp;

use crate::backup::BackupReport;
use crate::blob::{BlobKind, BlobRef};
use crate::check::{PackSizes, expected_sizes};
use crate::ctx::Ctx;
use crate::error::{Error, Result};
use crate::id::{BlobId, Id, PackId};
use crate::lock::LockGuard;
use crate::repository::Repository;
use crate::snapshot::{SnapshotFile, SnapshotTime};
use crate::storage::FileId;
use crate::tree::NodeKind;

const READ_BYTES: u64 = 4 << 20;

/// Stored, and not yet a backup.
#[must_use = "what was received becomes a backup only when it is committed"]
#[derive(Debug)]
pub struct Received {
    pub(super) root: BlobId,
    pub(super) report: BackupReport,
    pub(super) packs: Vec<PackId>,
    pub(super) started: Timestamp,
}

impl Received {
    /// The tree of everything.
    pub fn root(&self) -> BlobId {
        self.root
    }

    pub fn report(&self) -> &BackupReport {
        &self.report
    }

    /// Reads what was stored, and fails when it is not what it was meant to be.
    pub fn read_back(&self, repository: &Repository, ctx: &Ctx) -> Result<()> {
        // What was counted stays what has arrived.
        let ctx = &Ctx { cancel: ctx.cancel.clone(), counters: Arc::default() };
        for pack in &self.packs {
            read_pack(repository, *pack, ctx)?;
        }
        let needed = self.packs_needed(repository, ctx)?;
        let expected = expected_sizes(&repository.index(), ctx)?;
        let sizes = PackSizes::list(repository, &mut |_, _| {}, ctx)?;
        for (pack, number) in needed {
            let expected = expected.get(number as usize).copied();
            let size = sizes.get(number);
            if size.is_none() || size != expected {
                let what = format!("pack {pack}, which holds a part of this backup, is missing or cut short");
                return Err(Error::damaged(what));
            }
        }
        Ok(())
    }

    /// The packs that the trees lead to, and their numbers in the index.
    fn packs_needed(&self, repository: &Repository, ctx: &Ctx) -> Result<BTreeMap<PackId, u32>> {
        let mut needed = BTreeMap::new();
        let mut folders = vec![self.root];
        while let Some(folder) = folders.pop() {
            for node in repository.read_tree(folder)? {
                ctx.cancel.check()?;
                let node = node?;
                if node.kind == NodeKind::Dir {
                    folders.extend(node.subtree);
                }
                for id in node.content.unwrap_or_default() {
                    let pack = repository.index().get(BlobRef { kind: BlobKind::Data, id });
                    let pack = pack.map(|place| place.pack);
                    let pack = pack.ok_or_else(|| Error::damaged(format!("the blob {id} is in no index")))?;
                    if let Some(number) = repository.index().pack_number(pack) {
                        needed.insert(pack, number);
                    }
                }
            }
        }
        Ok(needed)
    }

    /// Makes a backup of it: writes the snapshot file. Tree and summary of `snapshot` are filled in.
    pub fn commit(
        self,
        repository: &Repository,
        snapshot: SnapshotFile,
        lock: &LockGuard,
        ctx: &Ctx,
    ) -> Result<BackupReport> {
        let time = &repository.settings().time;
        let ended = time.clock.now();
        let local = |at| SnapshotTime::new(at, &time.zone);
        let mut report = self.report;
        let summary = report.to_summary(local(self.started), local(ended));
        let snapshot = SnapshotFile { tree: self.root, summary: Some(summary), ..snapshot };
        ctx.cancel.check()?;
        lock.assert_held()?;
        report.snapshot = Some(repository.save_snapshot(&snapshot)?);
        report.tree = Some(self.root);
        report.ended = Some(ended);
        Ok(report)
    }
}

/// Reads a pack and compares it with its name.
fn read_pack(repository: &Repository, pack: PackId, ctx: &Ctx) -> Result<()> {
    let file = FileId::from(pack);
    let size = repository.storage().size(file)?;
    let mut digest = Context::new(&SHA256);
    for part in parts(size) {
        ctx.cancel.check()?;
        digest.update(&repository.storage().read(file, part)?);
    }
    if PackId::new(Id::from_digest(&digest.finish())) == pack {
        return Ok(());
    }
    Err(Error::damaged(format!("pack {pack} is not what was stored a moment ago")))
}

fn parts(size: u64) -> impl Iterator<Item = Range<u64>> {
    let step = usize::try_from(READ_BYTES).expect("some mebibytes are addressable");
    (0..size).step_by(step).map(move |start| start..size.min(start + READ_BYTES))
}
