//! Prune: what is needed stays, whatever happens on the way; what is not needed goes.

use std::path::Path;

use lifeboat_repository::blob::{BlobKind, BlobRef, PackedBlob};
use lifeboat_repository::check::ProblemKind;
use lifeboat_repository::config::Version;
use lifeboat_repository::id::{BlobId, Id, PackId, SnapshotId};
use lifeboat_repository::index::IndexFileBuilder;
use lifeboat_repository::lock::LockMode;
use lifeboat_repository::pack::{BlobCodec, Compression, PackBuilder};
use lifeboat_repository::prune::{MaxUnused, PruneOptions, PruneReport};
use lifeboat_repository::repository::Repository;
use lifeboat_repository::storage::{Body, FileId, FileKind, MemStorage, Storage, StorageError, Stored};
use lifeboat_repository::{Ctx, ErrorKind};
use lifeboat_testkit::random::Random;
use lifeboat_testkit::repository as kit;
use lifeboat_testkit::storage::{Fault, FaultStorage};

use crate::damage::{Damage, Part, each_damage};
use crate::vault;

/// Leave nothing that is not needed.
fn all() -> PruneOptions {
    PruneOptions { max_unused: MaxUnused::Bytes(0), ..PruneOptions::default() }
}

fn prune_with(repository: &Repository, options: &PruneOptions) -> lifeboat_repository::Result<PruneReport> {
    let lock = vault::lock(repository, LockMode::Exclusive)?;
    repository.prune(options, &lock, &Ctx::default())
}

fn prune(storage: &MemStorage) -> PruneReport {
    prune_with(&vault::open_on(storage.clone()), &all()).unwrap()
}

fn forget(storage: &MemStorage, snapshot: SnapshotId) {
    let repository = vault::open(storage);
    let lock = vault::lock(&repository, LockMode::Exclusive).unwrap();
    assert!(repository.delete_snapshots(&[snapshot], &lock, &Ctx::default()).unwrap().is_empty());
}

/// Changes some files of `folder`, at random.
fn change(folder: &Path, random: &mut Random) {
    for _ in 0..=random.below(5) {
        let path = folder.join(format!("dir{}", random.below(3)));
        std::fs::create_dir_all(&path).unwrap();
        let path = path.join(format!("file{}", random.below(8)));
        if random.one_in(4) {
            std::fs::remove_file(path).ok();
        } else {
            let length = below(random, 9000);
            let content = if random.one_in(2) { random.bytes(length) } else { vec![7; length] };
            std::fs::write(path, content).unwrap();
        }
    }
}

fn below(random: &mut Random, end: u64) -> usize {
    usize::try_from(random.below(end)).unwrap()
}

/// A vault of some snapshots, of which a few were forgotten.
pub(crate) fn wasteful(version: Version) -> MemStorage {
    let storage = MemStorage::new();
    kit::init_version(std::sync::Arc::new(storage.clone()), version);
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random::new(3);
    let mut snapshots = Vec::new();
    for _ in 0..6 {
        (0..5).for_each(|_| change(folder.path(), &mut random));
        snapshots.push(vault::backup(&storage, folder.path()));
    }
    for snapshot in [0, 2, 3] {
        forget(&storage, snapshots[snapshot]);
    }
    storage
}

#[test]
fn what_is_not_needed_goes_and_all_else_stays() {
    for version in [Version::V1, Version::V2] {
        let storage = wasteful(version);
        let before = vault::everything_in(&storage);
        let unused = vault::assert_sound(&storage);
        assert!(unused.unused_blobs > 0);
        let plan =
            prune_with(&vault::open_on(storage.fork()), &PruneOptions { dry_run: true, ..all() }).unwrap();
        let report = prune(&storage);
        assert!(report.is_complete(), "{report:#?}");
        assert_eq!(
            report.unused.blobs + report.duplicate.blobs,
            unused.unused_blobs + unused.duplicate_blobs
        );
        assert_eq!(report.used.blobs + report.unused.blobs + report.duplicate.blobs, unused.blobs);
        assert!(report.packs_to_repack > 0 && report.to_delete.blobs > 0, "{report:#?}");
        assert_eq!(
            (plan.used, plan.to_repack, plan.remaining),
            (report.used, report.to_repack, report.remaining)
        );
        let sound = vault::assert_sound(&storage);
        assert_eq!((sound.unused_blobs, sound.duplicate_blobs, sound.hint_count), (0, 0, 0));
        assert_eq!(sound.blobs, report.remaining.blobs);
        assert_eq!(vault::everything_in(&storage), before);
        vault::assert_restic_agrees(&storage);
        let again = prune(&storage);
        assert_eq!((again.packs_to_repack, again.packs_to_delete), (0, 0), "{again:#?}");
    }
}

#[test]
fn a_dry_run_writes_nothing() {
    let storage = wasteful(Version::V2);
    let repository = vault::open_on(storage.clone());
    let lock = vault::lock(&repository, LockMode::Shared).unwrap();
    let before = storage.contents();
    let options = PruneOptions { dry_run: true, ..all() };
    let report = repository.prune(&options, &lock, &Ctx::default()).unwrap();
    assert!(report.is_dry_run && report.packs_to_repack > 0);
    assert_eq!(storage.contents(), before);
}

#[test]
fn unused_bytes_within_the_limit_may_stay() {
    let storage = wasteful(Version::V2);
    let repack = |max_unused| {
        let options = PruneOptions { max_unused, ..PruneOptions::default() };
        let storage = storage.fork();
        let report = prune_with(&vault::open_on(storage.clone()), &options).unwrap();
        vault::assert_sound(&storage);
        report
    };
    let unlimited = repack(MaxUnused::Unlimited);
    let some = repack(MaxUnused::Percent(20.0));
    let none = repack(MaxUnused::Bytes(0));
    assert_eq!(none.unused_after_bytes, 0);
    assert!(unlimited.packs_to_repack < none.packs_to_repack, "{unlimited:#?} {none:#?}");
    assert!(some.unused_after_bytes * 4 <= some.remaining.bytes, "{some:#?}");
    let options = PruneOptions { max_repack_bytes: Some(0), ..all() };
    let report = prune_with(&vault::open_on(storage.fork()), &options).unwrap();
    assert_eq!(report.packs_to_repack, 0);
}

#[test]
fn prune_asks_for_the_exclusive_lock() {
    let storage = wasteful(Version::V2);
    let repository = vault::open_on(storage.clone());
    let lock = vault::lock(&repository, LockMode::Shared).unwrap();
    let before = storage.contents();
    assert_eq!(repository.prune(&all(), &lock, &Ctx::default()).unwrap_err().kind, ErrorKind::InvalidInput);
    let error = repository.delete_snapshots(&[], &lock, &Ctx::default()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput);
    assert_eq!(storage.contents(), before);
}

/// Hazard rows 5 and 7: others took the lock away, and may be storing what we think unused.
#[test]
fn prune_stops_before_its_next_commit_when_the_lock_is_lost() {
    let storage = wasteful(Version::V2);
    let repository = vault::open_on(storage.clone());
    let lock = vault::lock(&repository, LockMode::Exclusive).unwrap();
    vault::remove_locks(&storage);
    let before = storage.contents();
    assert_eq!(repository.prune(&all(), &lock, &Ctx::default()).unwrap_err().kind, ErrorKind::LockLost);
    assert_eq!(storage.contents(), before);
}

/// Hazard row 6 and part 4 of the proof: a storage that fails, or a process that is killed, at every single call.
#[test]
fn a_prune_that_fails_at_any_call_loses_nothing_and_can_be_repeated() {
    let whole = wasteful(Version::V2);
    let before = vault::everything_in(&whole);
    let faults =
        [(Fault::Error, true), (Fault::Error, false), (Fault::ErrorButDone, false), (Fault::Short, false)];
    for (fault, goes_on) in faults {
        let mut number = 0;
        loop {
            let storage = whole.fork();
            let faulty = FaultStorage::new(storage.clone());
            let repository = vault::open_on(faulty.clone());
            let lock = vault::lock(&repository, LockMode::Exclusive).unwrap();
            if goes_on {
                faulty.fail_from(number, fault)
            } else {
                faulty.fail_call(number, fault)
            }
            let result = repository.prune(&PruneOptions { workers: 1, ..all() }, &lock, &Ctx::default());
            let has_failed = faulty.faults() > 0;
            drop(lock);
            vault::remove_locks(&storage);
            // A storage that leaves half a file where a whole one was to appear breaks its word; of a pack that
            // costs nothing, but half an index file has to be taken away by hand.
            for index in vault::files(&storage, FileKind::Index) {
                if Id::of(&storage.contents()[&index]) != index.id {
                    assert_eq!(fault, Fault::Short);
                    storage.tamper(index, None);
                }
            }
            let what = format!("{fault:?} at call {number}");
            vault::assert_sound(&storage);
            assert_eq!(vault::everything_in(&storage), before, "{what}");
            assert!(prune(&storage).is_complete(), "{what}");
            let report = vault::assert_sound(&storage);
            assert_eq!((report.unused_blobs, report.duplicate_blobs), (0, 0), "{what}");
            assert_eq!(vault::everything_in(&storage), before, "{what}");
            if !has_failed {
                assert!(result.unwrap().is_complete());
                break;
            }
            number += 1;
        }
        assert!(number > 30, "{number} calls are not a whole prune");
    }
}

#[test]
fn a_cancelled_prune_loses_nothing() {
    let whole = wasteful(Version::V2);
    let before = vault::everything_in(&whole);
    let start = |storage: &MemStorage| {
        let faulty = FaultStorage::new(storage.clone());
        let repository = vault::open_on(faulty.clone());
        let lock = vault::lock(&repository, LockMode::Exclusive).unwrap();
        faulty.forget_calls();
        (faulty, repository, lock)
    };
    let (counting, repository, lock) = start(&whole.fork());
    repository.prune(&all(), &lock, &Ctx::default()).unwrap();
    let calls = counting.calls().len();
    for number in (0..calls - 10).step_by(9) {
        let storage = whole.fork();
        let (faulty, repository, lock) = start(&storage);
        let ctx = Ctx::default();
        faulty.fail_from(number, Fault::Hang);
        let result = std::thread::scope(|scope| {
            let pruning = scope.spawn(|| repository.prune(&all(), &lock, &ctx));
            faulty.wait_for_hang();
            ctx.cancel.cancel();
            faulty.release();
            pruning.join().unwrap()
        });
        // Either it noticed the cancel or the call that had hung and failed.
        let kind = result.unwrap_err().kind;
        assert!(matches!(kind, ErrorKind::Cancelled | ErrorKind::Storage), "{kind:?}");
        drop(lock);
        vault::assert_sound(&storage);
        assert_eq!(vault::everything_in(&storage), before);
    }
}

/// Puts packs together by hand.
pub(crate) struct Craft {
    pub(crate) storage: MemStorage,
    repository: Repository,
}

impl Craft {
    pub(crate) fn new(version: Version) -> Self {
        let storage = MemStorage::new();
        let repository = kit::init_version(std::sync::Arc::new(storage.clone()), version);
        Self { storage, repository }
    }

    pub(crate) fn over(storage: MemStorage) -> Self {
        let repository = vault::open(&storage);
        Self { storage, repository }
    }

    /// Stores a pack of these blobs; each may be compressed or not. No index names it.
    pub(crate) fn pack(&self, blobs: &[(BlobKind, &[u8], Compression)]) -> (PackId, Vec<PackedBlob>) {
        let mut builder = PackBuilder::new(1 << 20);
        for (kind, content, compression) in blobs {
            let mut codec = BlobCodec::new(self.repository.master_key(), *compression);
            let mut sealed = Vec::new();
            let uncompressed_length = codec.seal(content, &mut sealed);
            builder.add(BlobRef { kind: *kind, id: BlobId::of(content) }, &sealed, uncompressed_length);
        }
        let pack = builder.finish(self.repository.master_key());
        self.storage.put(pack.id.into(), &Body::from_bytes(pack.body)).unwrap();
        (pack.id, pack.blobs)
    }

    pub(crate) fn index(&self, packs: &[(PackId, &[PackedBlob])]) {
        let mut builder = IndexFileBuilder::new();
        for (pack, blobs) in packs {
            builder.add_pack(*pack, blobs);
        }
        self.repository.save_unpacked(FileKind::Index, &builder.encode()).unwrap();
    }

    /// Stores an indexed pack.
    pub(crate) fn indexed(&self, blobs: &[(BlobKind, &[u8], Compression)]) -> PackId {
        let (pack, blobs) = self.pack(blobs);
        self.index(&[(pack, &blobs)]);
        pack
    }

    /// Stores a snapshot of one file with this content, tree and all, but not the content.
    pub(crate) fn snapshot(&self, content: &[&[u8]]) -> SnapshotId {
        let ids: Vec<_> = content.iter().map(|blob| BlobId::of(blob).to_string()).collect();
        let size: usize = content.iter().map(|blob| blob.len()).sum();
        let node = serde_json::json!({"name": "file", "type": "file", "size": size, "content": ids});
        self.snapshot_of_tree(serde_json::json!({"nodes": [node]}).to_string().as_bytes())
    }

    pub(crate) fn snapshot_of_tree(&self, tree: &[u8]) -> SnapshotId {
        self.indexed(&[(BlobKind::Tree, tree, Compression::Auto)]);
        let mut snapshot = kit::snapshot_of(&["/file".into()]);
        snapshot.tree = BlobId::of(tree);
        self.repository.save_snapshot(&snapshot).unwrap()
    }

    /// Prunes, and makes sure that all that was there is there.
    pub(crate) fn prune(&self) -> PruneReport {
        let before = vault::everything_in(&self.storage);
        let report = prune(&self.storage);
        assert_eq!(vault::everything_in(&self.storage), before);
        report
    }

    pub(crate) fn flip(&self, pack: PackId, at: u32) {
        let mut content = self.storage.contents()[&FileId::from(pack)].to_vec();
        content[at as usize] ^= 1;
        self.storage.tamper(pack.into(), Some(content));
    }
}

const DATA: BlobKind = BlobKind::Data;
const AUTO: Compression = Compression::Auto;
const OFF: Compression = Compression::Off;

/// Hazard row 1.
#[test]
fn a_blob_that_a_pack_holds_twice_survives() {
    for with_garbage in [true, false] {
        let craft = Craft::new(Version::V2);
        let (a, b, garbage) = (&b"needed"[..], &b"needed as well"[..], &b"not needed"[..]);
        let mut blobs = vec![(DATA, a, OFF), (DATA, a, OFF), (DATA, b, OFF)];
        if with_garbage {
            blobs.push((DATA, garbage, OFF));
        }
        craft.indexed(&blobs);
        // One more pack that holds nothing but a copy.
        craft.indexed(&[(DATA, a, OFF)]);
        craft.snapshot(&[a, b]);
        let report = craft.prune();
        assert!(report.is_complete());
        let sound = vault::assert_sound(&craft.storage);
        assert_eq!((sound.unused_blobs, sound.duplicate_blobs), (0, 0), "{report:#?}");
    }
}

/// Hazard row 2.
#[test]
fn compressed_and_plain_blobs_are_repacked_to_what_they_were() {
    for version in [Version::V1, Version::V2] {
        let craft = Craft::new(version);
        let (long, short) = (vec![b'x'; 5000], b"short".to_vec());
        let compression = if version == Version::V1 { OFF } else { AUTO };
        let blobs = [(DATA, &*long, compression), (DATA, &*short, OFF), (DATA, b"garbage", OFF)];
        let pack = craft.indexed(&blobs);
        craft.snapshot(&[&long, &short, &long]);
        let report = craft.prune();
        assert_eq!(report.packs_to_repack, 1);
        assert!(!craft.storage.contents().contains_key(&pack.into()), "the old pack is gone");
        vault::assert_sound(&craft.storage);
        vault::assert_restic_agrees(&craft.storage);
    }
}

#[test]
fn plain_data_is_compressed_when_asked_for() {
    let craft = Craft::new(Version::V2);
    let long = vec![b'x'; 5000];
    craft.indexed(&[(DATA, &long, OFF)]);
    craft.snapshot(&[&long]);
    assert_eq!(craft.prune().packs_to_repack, 0);
    let options = PruneOptions { repack_uncompressed: true, ..all() };
    let report = prune_with(&vault::open_on(craft.storage.clone()), &options).unwrap();
    assert_eq!(report.packs_to_repack, 1);
    let bytes = vault::assert_sound(&craft.storage).pack_bytes;
    assert!(bytes < 2000, "{bytes} bytes");
}

#[test]
fn a_pack_with_a_damaged_blob_is_kept_as_it_is() {
    let craft = Craft::new(Version::V2);
    let blobs: [&[u8]; 3] = [b"first", b"second", b"third"];
    let (pack, packed) = craft.pack(&[
        (DATA, blobs[0], OFF),
        (DATA, blobs[1], OFF),
        (DATA, blobs[2], OFF),
        (DATA, b"garbage", OFF),
    ]);
    craft.index(&[(pack, &packed)]);
    craft.snapshot(&blobs);
    craft.flip(pack, packed[1].offset + 20);
    let before = craft.storage.contents()[&FileId::from(pack)].to_vec();
    let report = prune(&craft.storage);
    assert_eq!((report.problem_count, report.packs_kept_damaged), (1, 1));
    assert_eq!(report.problems[0].kind, ProblemKind::Damaged);
    assert_eq!(*craft.storage.contents()[&FileId::from(pack)], before);
    let repository = vault::open(&craft.storage);
    for (blob, is_whole) in blobs.into_iter().zip([true, false, true]) {
        let blob = BlobRef { kind: DATA, id: BlobId::of(blob) };
        assert_eq!(repository.read_blob(blob).is_ok(), is_whole);
    }
}

/// Hazard row 11: nothing is given up for a copy that is no better.
#[test]
fn of_two_copies_the_one_that_can_be_read_stays() {
    let blob = &b"stored twice"[..];
    for damaged in [0, 1] {
        let craft = Craft::new(Version::V2);
        let kept = craft.pack(&[(DATA, blob, OFF), (DATA, b"needed", OFF)]);
        let wasteful = craft.pack(&[(DATA, blob, OFF), (DATA, b"garbage", OFF)]);
        craft.index(&[(kept.0, &kept.1), (wasteful.0, &wasteful.1)]);
        craft.snapshot(&[blob, b"needed"]);
        craft.flip([kept.0, wasteful.0][damaged], 20);
        let report = craft.prune();
        assert!(report.is_complete(), "{report:#?}");
    }
}

/// Hazard row 15.
#[test]
fn entries_of_a_pack_that_are_spread_over_index_files_all_stay() {
    let craft = Craft::new(Version::V2);
    let (first, second) = (&b"first"[..], &b"second"[..]);
    let (pack, packed) = craft.pack(&[(DATA, first, OFF), (DATA, second, OFF)]);
    craft.index(&[(pack, &packed[..1])]);
    let gone = craft.pack(&[(DATA, b"garbage", OFF)]);
    craft.index(&[(gone.0, &gone.1), (pack, &packed[1..]), (pack, &packed[..1])]);
    craft.snapshot(&[first, second]);
    let report = craft.prune();
    assert_eq!((report.packs_to_delete, report.index_files_written), (1, 1));
    let sound = vault::assert_sound(&craft.storage);
    assert_eq!((sound.index_files, sound.blobs, sound.hint_count), (1, 3, 0));
}

/// Hazard row 16.
#[test]
fn a_listing_that_lags_behind_loses_nothing() {
    let craft = Craft::new(Version::V2);
    let faulty = FaultStorage::new(craft.storage.clone());
    let needed = craft.indexed(&[(DATA, b"needed", OFF)]);
    craft.snapshot(&[b"needed"]);
    // Both a pack that is needed and one that is not are stored, but not listed.
    for pack in [needed, craft.indexed(&[(DATA, b"garbage", OFF)])] {
        let content = craft.storage.contents()[&FileId::from(pack)].to_vec();
        faulty.freeze_listings();
        faulty.put(pack.into(), &Body::from_bytes(content)).unwrap();
        let before = craft.storage.contents();
        let repository = vault::open_on(faulty.clone());
        prune_with(&repository, &all()).unwrap_err();
        assert_eq!(craft.storage.contents(), before);
        faulty.thaw_listings();
    }
    assert!(craft.prune().is_complete());
}

/// A storage in which a file appears when the packs are listed.
#[derive(Clone)]
struct Late {
    inner: MemStorage,
    file: FileId,
    content: Vec<u8>,
}

impl Storage for Late {
    fn create(&self) -> Result<(), StorageError> {
        self.inner.create()
    }

    fn put(&self, file: FileId, body: &Body) -> Result<(), StorageError> {
        self.inner.put(file, body)
    }

    fn read(&self, file: FileId, range: std::ops::Range<u64>) -> Result<Vec<u8>, StorageError> {
        self.inner.read(file, range)
    }

    fn size(&self, file: FileId) -> Result<u64, StorageError> {
        self.inner.size(file)
    }

    fn list(&self, kind: FileKind, visit: &mut dyn FnMut(Stored) -> bool) -> Result<(), StorageError> {
        if kind == FileKind::Pack {
            self.inner.tamper(self.file, Some(self.content.clone()));
        }
        self.inner.list(kind, visit)
    }

    fn delete(&self, file: FileId) -> Result<(), StorageError> {
        self.inner.delete(file)
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

/// Hazard rows 4 and 16: the end of a backup is seen only when the plan is made.
#[test]
fn a_snapshot_or_index_that_appears_while_planning_stops_the_prune() {
    let storage = wasteful(Version::V2);
    refuses_late(&storage, vault::files(&storage, FileKind::Snapshot)[0]);
    let known = vault::files(&storage, FileKind::Index);
    Craft::over(storage.clone()).indexed(&[(DATA, b"not needed yet", OFF)]);
    let new = vault::files(&storage, FileKind::Index).into_iter().find(|file| !known.contains(file));
    refuses_late(&storage, new.unwrap());
}

fn refuses_late(storage: &MemStorage, file: FileId) {
    let before = storage.contents();
    let content = before[&file].to_vec();
    storage.tamper(file, None);
    let repository = vault::open_on(Late { inner: storage.clone(), file, content });
    assert_eq!(prune_with(&repository, &all()).unwrap_err().kind, ErrorKind::Storage);
    assert_eq!(storage.contents(), before);
}

#[test]
fn a_missing_pack_is_forgotten_only_if_nobody_needs_it() {
    let craft = Craft::new(Version::V2);
    let needed = craft.indexed(&[(DATA, b"needed", OFF), (DATA, b"garbage", OFF)]);
    let garbage = craft.indexed(&[(DATA, b"more garbage", OFF)]);
    craft.snapshot(&[b"needed"]);
    craft.storage.tamper(garbage.into(), None);
    assert_eq!(prune(&craft.storage.fork()).packs_absent, 1);
    craft.storage.tamper(needed.into(), None);
    let before = craft.storage.contents();
    let error = prune_with(&vault::open_on(craft.storage.clone()), &all()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Damaged);
    assert_eq!(craft.storage.contents(), before);
}

/// A tree too large to be held in memory by the engine.
pub(crate) fn giant_tree() -> String {
    let name = "x".repeat(180);
    let nodes: Vec<_> =
        (0..90_000).map(|n| format!(r#"{{"name":"{n:08}{name}","type":"symlink"}}"#)).collect();
    format!(r#"{{"nodes":[{}]}}"#, nodes.join(","))
}

#[test]
fn a_giant_tree_is_checked_and_repacked() {
    let craft = Craft::new(Version::V2);
    let tree = giant_tree();
    assert!(tree.len() > 17 << 20);
    let blobs = [(BlobKind::Tree, tree.as_bytes(), AUTO), (BlobKind::Tree, &br#"{"nodes":[]}"#[..], OFF)];
    craft.indexed(&blobs);
    let mut snapshot = kit::snapshot_of(&["/".into()]);
    snapshot.tree = BlobId::of(tree.as_bytes());
    craft.repository.save_snapshot(&snapshot).unwrap();
    let report = prune(&craft.storage);
    assert_eq!((report.packs_to_repack, report.unused.blobs), (1, 1));
    let sound = vault::assert_sound(&craft.storage);
    assert_eq!((sound.blobs, sound.unused_blobs), (1, 0));
    let repository = vault::open(&craft.storage);
    let nodes_read: Result<Vec<_>, _> = repository.read_tree(snapshot.tree).unwrap().collect();
    assert_eq!(nodes_read.unwrap().len(), 90_000);
}

#[test]
fn prune_makes_no_damage_worse() {
    let whole = vault::small();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("other"), "to be forgotten").unwrap();
    let gone = vault::backup(&whole, folder.path());
    let kept = *vault::everything_in(&whole).keys().find(|id| **id != gone).unwrap();
    forget(&whole, gone);
    let files = vault::everything_in(&whole);
    each_damage(&whole, |damage, part, vault, file| {
        let what = format!("{damage:?} {part:?} {file}");
        // Opened before the damage, for what cannot be opened after it.
        let storage = whole.fork();
        let repository = vault::open_on(storage.clone());
        storage.tamper(file, vault.contents().get(&file).map(|content| content.to_vec()));
        let before = storage.contents();
        let result = prune_with(&repository, &all());
        if file == FileId::from(kept) && damage == Damage::Delete {
            // Forgotten without a trace: pruned as if on purpose.
            assert!(result.unwrap().is_complete());
            return;
        }
        match result {
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::Damaged, "{what}");
                assert_eq!(storage.contents(), before, "{what}");
            }
            Ok(report) => {
                // What was damaged is of no use to the snapshot, or was not read.
                let mended = storage.fork();
                if storage.contents().contains_key(&file) || part == Part::Config || part == Part::Key {
                    mended.tamper(file, whole.contents().get(&file).map(|content| content.to_vec()));
                }
                assert_eq!(vault::everything_in(&mended), files, "{what} {report:#?}");
            }
        }
    });
}

#[test]
fn random_histories_keep_every_snapshot_as_it_was_taken() {
    for seed in 0..6 {
        let mut random = Random::new(seed);
        let storage = MemStorage::new();
        kit::init(std::sync::Arc::new(storage.clone()));
        let folder = tempfile::tempdir().unwrap();
        let mut model = std::collections::BTreeMap::new();
        for _ in 0..25 {
            match random.below(10) {
                0..=4 => {
                    change(folder.path(), &mut random);
                    let id = vault::backup(&storage, folder.path());
                    model.insert(id, vault::files_in(folder.path()));
                }
                5..=6 => {
                    if let Some(id) = model.keys().nth(below(&mut random, 8)).copied() {
                        forget(&storage, id);
                        model.remove(&id);
                    }
                }
                7 => drop(prune(&storage)),
                8 => {
                    let options = PruneOptions { repack_small: random.one_in(2), ..PruneOptions::default() };
                    prune_with(&vault::open_on(storage.clone()), &options).unwrap();
                }
                _ => {
                    let faulty = FaultStorage::new(storage.clone());
                    let repository = vault::open_on(faulty.clone());
                    let lock = vault::lock(&repository, LockMode::Exclusive).unwrap();
                    faulty.fail_from(below(&mut random, 60), Fault::Error);
                    repository.prune(&all(), &lock, &Ctx::default()).ok();
                    drop(lock);
                    vault::remove_locks(&storage);
                }
            }
            vault::assert_sound(&storage);
            assert_eq!(vault::everything_in(&storage), model, "seed {seed}");
        }
        vault::assert_restic_agrees(&storage);
    }
}
