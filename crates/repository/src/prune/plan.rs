//! What to do with each pack: keep it, repack what is used of it, or delete it.
//!
//! Of a used blob that is stored several times exactly one copy is chosen to stay, in a pack that is stored as long
//! as the index says and, if possible, stays anyway. All other copies count as unused.

use super::{MaxUnused, PruneOptions};
use crate::blob::BlobKind;
use crate::check::{PackSizes, expected_sizes};
use crate::config::Version;
use crate::ctx::Ctx;
use crate::error::Result;
use crate::index::{BlobSet, Entry, Index};
use crate::live::LiveSet;
use crate::pack::Compression;
use crate::repository::Repository;

/// Smaller trees may have been left uncompressed because compression made them no smaller.
const COMPRESSIBLE_TREE_BYTES: u32 = 1024;
/// Fewer small packs than this are not worth the trouble; so the last one is not repacked for ever.
const FEWEST_SMALL: usize = 10;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fate {
    #[default]
    Keep,
    /// Its used blobs go into new packs, then it is deleted.
    Repack,
    /// Nothing in it is used.
    Delete,
    /// It is not stored, and nothing in it is needed.
    Absent,
}

/// What a pack holds. Copies not chosen count as unused.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PackInfo {
    pub(super) used_blobs: u32,
    pub(super) unused_blobs: u32,
    pub(super) used_bytes: u64,
    pub(super) unused_bytes: u64,
    /// Blobs that nobody needs, other than further copies of what is needed.
    garbage_blobs: u32,
    has_data: bool,
    has_trees: bool,
    must_compress: bool,
    /// It is stored, as long as the index says.
    pub(super) is_whole: bool,
    pub(super) fate: Fate,
}

impl PackInfo {
    pub(super) fn bytes(&self) -> u64 {
        self.used_bytes + self.unused_bytes
    }

    fn add_used(&mut self, entry: &Entry) {
        self.used_blobs += 1;
        self.used_bytes += u64::from(entry.location.length);
    }

    fn add_unused(&mut self, entry: &Entry) {
        self.unused_blobs += 1;
        self.unused_bytes += u64::from(entry.location.length);
    }

    fn is_mixed(&self) -> bool {
        self.has_data && self.has_trees
    }
}

pub(super) struct Plan {
    /// By pack number.
    pub(super) packs: Vec<PackInfo>,
    /// The one entry of each used blob that stays.
    pub(super) chosen: BlobSet,
    pub(super) duplicate_blobs: u64,
    pub(super) duplicate_bytes: u64,
    /// A used blob of which no whole pack has a copy, with a pack that should have one.
    pub(super) lost: Option<Entry>,
}

impl Plan {
    /// Sorts all entries into used and unused. No pack has a fate yet.
    pub(super) fn survey(
        repository: &Repository,
        live: &LiveSet,
        sizes: &PackSizes,
        ctx: &Ctx,
    ) -> Result<Self> {
        let index = repository.index();
        let is_whole = |(number, expected)| sizes.get(number) == Some(expected);
        let packs = (0..)
            .zip(expected_sizes(&index, ctx)?)
            .map(|pack| PackInfo { is_whole: is_whole(pack), ..PackInfo::default() })
            .collect();
        let (chosen, lost) = (BlobSet::new(), None);
        let mut plan = Self { packs, chosen, duplicate_blobs: 0, duplicate_bytes: 0, lost };
        for entry in ctx.cancel.checked(index.entries()) {
            plan.survey_entry(&index, live, &entry?);
        }
        if plan.duplicate_blobs > 0 {
            for entry in ctx.cancel.checked(index.entries()) {
                let entry = entry?;
                if copies_used(&index, live, &entry) == Some(Copies::Several) {
                    plan.choose_copy(&index, &entry);
                }
            }
        }
        Ok(plan)
    }

    fn survey_entry(&mut self, index: &Index, live: &LiveSet, entry: &Entry) {
        let used = copies_used(index, live, entry);
        let Some(pack) = self.packs.get_mut(entry.pack_number as usize) else { return };
        match entry.blob.kind {
            BlobKind::Data => pack.has_data = true,
            BlobKind::Tree => pack.has_trees = true,
        }
        let is_uncompressed = entry.location.uncompressed_length.is_none();
        let is_tree = entry.blob.kind == BlobKind::Tree;
        // Of data any blob counts; it is for who asks to have it compressed.
        pack.must_compress |=
            is_uncompressed && (!is_tree || entry.location.length >= COMPRESSIBLE_TREE_BYTES);
        match used {
            None => {
                pack.add_unused(entry);
                pack.garbage_blobs += 1;
            }
            Some(Copies::One) => {
                pack.add_used(entry);
                self.chosen.insert(entry.ordinal);
                if !pack.is_whole {
                    self.lost = Some(*entry);
                }
            }
            Some(Copies::Several) => {
                pack.add_unused(entry);
                self.duplicate_blobs += 1;
                self.duplicate_bytes += u64::from(entry.location.length);
            }
        }
    }

    /// Chooses among the copies of a blob, when it meets the first of them.
    fn choose_copy(&mut self, index: &Index, entry: &Entry) {
        if index.find(entry.blob).is_none_or(|first| first.ordinal != entry.ordinal) {
            return;
        }
        let whole = index.find_all(entry.blob).filter(|copy| self.pack(copy).is_whole);
        // Packs of an interrupted prune hold nothing but copies of what is used; so they are preferred, not redone.
        let best = whole.max_by_key(|copy| {
            let pack = self.pack(copy);
            (pack.garbage_blobs == 0, pack.used_blobs > 0, copy.pack_number)
        });
        match best {
            Some(copy) => self.choose(&copy),
            None => self.lost = Some(*entry),
        }
    }

    /// Makes this copy the one that stays.
    fn choose(&mut self, copy: &Entry) {
        self.chosen.insert(copy.ordinal);
        let bytes = u64::from(copy.location.length);
        self.duplicate_blobs -= 1;
        self.duplicate_bytes -= bytes;
        if let Some(pack) = self.packs.get_mut(copy.pack_number as usize) {
            pack.unused_blobs -= 1;
            pack.unused_bytes -= bytes;
            pack.add_used(copy);
        }
    }

    /// Makes `copy` the one that stays in the place of `old`.
    pub(super) fn choose_instead(&mut self, old: &Entry, copy: &Entry) {
        self.chosen.remove(old.ordinal);
        let bytes = u64::from(old.location.length);
        self.duplicate_blobs += 1;
        self.duplicate_bytes += bytes;
        if let Some(pack) = self.packs.get_mut(old.pack_number as usize) {
            pack.used_blobs -= 1;
            pack.used_bytes -= bytes;
            pack.add_unused(old);
        }
        self.choose(copy);
        if self.fate(copy.pack_number) == Fate::Delete {
            self.set_fate(copy.pack_number, Fate::Repack);
        }
    }

    fn pack(&self, entry: &Entry) -> PackInfo {
        self.packs.get(entry.pack_number as usize).copied().unwrap_or_default()
    }

    pub(super) fn fate(&self, pack_number: u32) -> Fate {
        self.packs.get(pack_number as usize).map_or(Fate::Keep, |pack| pack.fate)
    }

    pub(super) fn set_fate(&mut self, pack_number: u32, fate: Fate) {
        if let Some(pack) = self.packs.get_mut(pack_number as usize) {
            pack.fate = fate;
        }
    }

    /// Keeps a pack as it is, if there is one.
    pub(super) fn keep_stored(&mut self, pack_number: u32) {
        if self.fate(pack_number) != Fate::Absent {
            self.set_fate(pack_number, Fate::Keep);
        }
    }

    /// The packs of one fate, by number.
    pub(super) fn packs_to(&self, fate: Fate) -> Vec<u32> {
        (0..).zip(&self.packs).filter(|(_, pack)| pack.fate == fate).map(|(number, _)| number).collect()
    }

    /// Gives every pack its fate.
    pub(super) fn decide(
        &mut self,
        repository: &Repository,
        sizes: &PackSizes,
        options: &PruneOptions,
        ctx: &Ctx,
    ) -> Result<()> {
        let pack_bytes = repository.settings().pack_bytes as u64;
        let small_bytes = if options.repack_small { pack_bytes / 5 * 4 } else { pack_bytes / 25 };
        let compresses = repository.version() == Version::V2 && repository.compression() != Compression::Off;
        let mut candidates = Vec::new();
        let mut small = Vec::new();
        for numbered in ctx.cancel.checked((0..).zip(&mut self.packs)) {
            let (number, pack) = numbered?;
            pack.must_compress &= compresses && (options.repack_uncompressed || !pack.has_data);
            if pack.used_blobs == 0 {
                pack.fate = if sizes.get(number).is_some() { Fate::Delete } else { Fate::Absent };
            } else if options.repack_cacheable_only && !pack.has_trees {
                pack.fate = Fate::Keep;
            } else if pack.unused_blobs > 0 || pack.is_mixed() || pack.must_compress {
                candidates.push(number);
            } else if pack.bytes() < small_bytes {
                small.push(number);
            }
        }
        if small.len() >= FEWEST_SMALL {
            candidates.append(&mut small);
        }
        self.repack_worst(candidates, small_bytes, options);
        ctx.cancel.check()
    }

    /// Repacks candidates until little enough is unused. Packs with trees come first: they are always worth it.
    fn repack_worst(&mut self, mut candidates: Vec<u32>, small_bytes: u64, options: &PruneOptions) {
        let info = |number: u32| self.packs.get(number as usize).copied().unwrap_or_default();
        candidates.sort_by(|a, b| {
            let (a, b) = (info(*a), info(*b));
            let is_first = |pack: &PackInfo| (pack.has_trees, pack.bytes() < small_bytes);
            // unused_a / used_a compared with unused_b / used_b
            let garbage =
                |of: &PackInfo, other: &PackInfo| u128::from(of.unused_bytes) * u128::from(other.used_bytes);
            is_first(&b).cmp(&is_first(&a)).then_with(|| garbage(&b, &a).cmp(&garbage(&a, &b)))
        });
        let used_bytes = self.packs.iter().map(|pack| pack.used_bytes).sum();
        let may_stay = options.max_unused.bytes(used_bytes);
        let stays = self.packs.iter().filter(|pack| pack.used_blobs > 0);
        let mut unused_bytes: u64 = stays.map(|pack| pack.unused_bytes).sum();
        let mut repacked_bytes = 0;
        for number in candidates {
            let Some(pack) = self.packs.get_mut(number as usize) else { continue };
            let is_wanted = pack.has_trees || pack.must_compress || pack.bytes() < small_bytes;
            let is_too_much =
                options.max_repack_bytes.is_some_and(|most| repacked_bytes + pack.bytes() >= most);
            if is_too_much || (unused_bytes < may_stay && !is_wanted) {
                continue;
            }
            pack.fate = Fate::Repack;
            unused_bytes -= pack.unused_bytes;
            repacked_bytes += pack.bytes();
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Copies {
    One,
    Several,
}

/// None for what no snapshot needs.
fn copies_used(index: &Index, live: &LiveSet, entry: &Entry) -> Option<Copies> {
    let mut copies = index.find_all(entry.blob);
    let first = copies.next()?;
    let copies = if copies.next().is_some() { Copies::Several } else { Copies::One };
    live.contains(first.ordinal).then_some(copies)
}

impl MaxUnused {
    fn bytes(self, used_bytes: u64) -> u64 {
        match self {
            Self::Unlimited => u64::MAX,
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => share_of_all(used_bytes, percent),
        }
    }
}

/// The unused bytes that make up this percentage of all bytes, used and unused.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a limit for people, who give it in percent; casts to integers saturate"
)]
fn share_of_all(used_bytes: u64, percent: f64) -> u64 {
    let percent = percent.clamp(0.0, 100.0);
    (percent / (100.0 - percent) * used_bytes as f64) as u64
}
