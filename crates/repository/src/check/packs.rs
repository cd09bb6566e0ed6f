//! Checking packs from outside: each is there, as long as its blobs and header, with no blob across another.

use super::{CheckReport, Findings, HintKind, Problem, ProblemKind};
use crate::blob::PackedBlob;
use crate::ctx::{Counters, Ctx};
use crate::error::Result;
use crate::id::PackId;
use crate::index::{Entry, Index};
use crate::pack::header_bytes;
use crate::repository::Repository;
use crate::storage::{FileId, FileKind};

/// The stored sizes of packs by their numbers in the index.
#[derive(Debug)]
pub(crate) struct PackSizes(Vec<u64>);

/// Stands for a pack that is not stored.
const ABSENT: u64 = u64::MAX;

impl PackSizes {
    /// Lists the packs; those that the index does not know are shown to `visit_unknown`.
    pub(crate) fn list(
        repository: &Repository,
        visit_unknown: &mut dyn FnMut(PackId, u64),
        ctx: &Ctx,
    ) -> Result<Self> {
        let mut sizes = vec![ABSENT; repository.index().pack_count() as usize];
        repository.storage().list(FileKind::Pack, &mut |stored| {
            let id = PackId::new(stored.id);
            let number = repository.index().pack_number(id);
            match number.and_then(|number| sizes.get_mut(number as usize)) {
                Some(size) => *size = stored.size,
                None => visit_unknown(id, stored.size),
            }
            Counters::add(&ctx.counters.items_done, 1);
            !ctx.cancel.is_cancelled()
        })?;
        ctx.cancel.check()?;
        Ok(Self(sizes))
    }

    /// None for a pack that is not stored.
    pub(crate) fn get(&self, number: u32) -> Option<u64> {
        self.0.get(number as usize).copied().filter(|size| *size != ABSENT)
    }
}

/// The blob as the pack's own header describes it.
pub(crate) fn packed(entry: &Entry) -> PackedBlob {
    let place = entry.location;
    PackedBlob {
        blob: entry.blob,
        offset: place.offset,
        length: place.length,
        uncompressed_length: place.uncompressed_length,
    }
}

/// The length of each pack, as the index has it: its blobs and the header they need.
pub(crate) fn expected_sizes(index: &Index, ctx: &Ctx) -> Result<Vec<u64>> {
    let empty_bytes = header_bytes([]);
    let mut sizes = vec![empty_bytes; index.pack_count() as usize];
    for entry in ctx.cancel.checked(index.entries()) {
        let entry = entry?;
        if let Some(size) = sizes.get_mut(entry.pack_number as usize) {
            *size += u64::from(entry.location.length) + header_bytes([packed(&entry)]) - empty_bytes;
        }
    }
    Ok(sizes)
}

impl Repository {
    pub(super) fn check_packs(
        &self,
        findings: &Findings,
        report: &mut CheckReport,
        ctx: &Ctx,
    ) -> Result<PackSizes> {
        ctx.counters.begin_phase("check packs", self.index().pack_count().into(), 0);
        let mut visit_unknown = |pack: PackId, size| {
            report.packs += 1;
            report.pack_bytes += size;
            let sentence =
                format!("pack {pack} is in no index; `prune` removes what interrupted backups left");
            findings.hint(FileId::from(pack), HintKind::UnreferencedPack, sentence);
        };
        let sizes = PackSizes::list(self, &mut visit_unknown, ctx)?;
        let index = self.index();
        let expected = expected_sizes(&index, ctx)?;
        let mut blobs = Vec::new();
        for (number, (pack, expected)) in (0..).zip(index.packs().zip(expected)) {
            ctx.cancel.check()?;
            match sizes.get(number) {
                None => {
                    let sentence = format!("pack {pack} is missing, though an index names it");
                    findings.problem(Problem::new(FileId::from(pack), ProblemKind::Missing, sentence));
                }
                Some(size) => {
                    report.packs += 1;
                    report.pack_bytes += size;
                    if size != expected {
                        let sentence = format!(
                            "pack {pack} is {size} bytes long; by what the index says it should be {expected}"
                        );
                        findings.problem(Problem::new(FileId::from(pack), ProblemKind::WrongSize, sentence));
                    }
                }
            }
            blobs.clear();
            blobs.extend(index.entries_of_pack(number).map(|entry| entry.location.range()));
            blobs.sort_unstable_by_key(|range| range.start);
            if blobs.is_sorted_by(|before, after| before.end <= after.start) {
                continue;
            }
            let sentence = format!("the index has blobs of pack {pack} that lie across each other");
            findings.problem(Problem::new(FileId::from(pack), ProblemKind::Contradicted, sentence));
        }
        Ok(sizes)
    }
}
