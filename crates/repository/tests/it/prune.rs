//! Prune: what is needed stays, whatever happens on the way; what is not needed goes.

use std::path::Path;

use lifeboat_repository::config::Version;
use lifeboat_repository::id::{Id, SnapshotId};
use lifeboat_repository::lock::LockMode;
use lifeboat_repository::prune::{MaxUnused, PruneOptions, PruneReport};
use lifeboat_repository::repository::Repository;
use lifeboat_repository::storage::{FileId, FileKind, MemStorage};
use lifeboat_repository::{Ctx, ErrorKind};
use lifeboat_testkit::random::Random;
use lifeboat_testkit::repository as kit;
use lifeboat_testkit::storage::{Fault, FaultStorage};

use crate::damage::{Damage, Part, each_damage};
use crate::vault;

/// Leave nothing that is not needed.
pub(crate) fn all() -> PruneOptions {
    PruneOptions { max_unused: MaxUnused::Bytes(0), ..PruneOptions::default() }
}

pub(crate) fn prune_with(
    repository: &Repository,
    options: &PruneOptions,
) -> lifeboat_repository::Result<PruneReport> {
    let lock = vault::lock(repository, LockMode::Exclusive)?;
    repository.prune(options, &lock, &Ctx::default())
}

pub(crate) fn prune(storage: &MemStorage) -> PruneReport {
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
fn only_a_dry_run_ignores_snapshots() {
    let storage = wasteful(Version::V2);
    let before = storage.contents();
    let ignored_snapshots = vec![SnapshotId::new(Id::of(b"any"))];
    let options = PruneOptions { ignored_snapshots, ..all() };
    let error = prune_with(&vault::open_on(storage.clone()), &options).unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput);
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
