//! Copies: all of a snapshot or nothing of it, once, and as restic would have it.

use std::collections::BTreeMap;
use std::sync::Arc;

use lifeboat_repository::blob::BlobKind;
use lifeboat_repository::config::Version;
use lifeboat_repository::copy::{CopyEnds, CopyReport, copy_snapshots};
use lifeboat_repository::id::SnapshotId;
use lifeboat_repository::lock::LockMode;
use lifeboat_repository::pack::Compression;
use lifeboat_repository::repository::Repository;
use lifeboat_repository::storage::{FileKind, LocalStorage, MemStorage, Storage};
use lifeboat_repository::{Ctx, ErrorKind, Result};
use lifeboat_testkit::repository as kit;
use lifeboat_testkit::restic::Restic;
use lifeboat_testkit::storage::{Fault, FaultStorage};

use crate::craft::{Craft, giant_tree};
use crate::prune::wasteful;
use crate::vault::{self, Files};

fn empty() -> MemStorage {
    let storage = MemStorage::new();
    kit::init(Arc::new(storage.clone()));
    storage
}

fn snapshots(storage: &dyn Storage) -> Vec<SnapshotId> {
    vault::files(storage, FileKind::Snapshot).into_iter().map(|file| SnapshotId::new(file.id)).collect()
}

/// Copies everything.
fn copy(from: impl Storage + 'static, to: impl Storage + 'static) -> CopyReport {
    let ids = snapshots(&from);
    copy_between(&vault::open_on(from), &vault::open_on(to), &ids).unwrap()
}

fn copy_between(from: &Repository, to: &Repository, ids: &[SnapshotId]) -> Result<CopyReport> {
    let (from_lock, to_lock) = (vault::lock(from, LockMode::Shared)?, vault::lock(to, LockMode::Shared)?);
    let ends = CopyEnds { from, from_lock: &from_lock, to, to_lock: &to_lock };
    copy_snapshots(ends, ids, 1, &Ctx::default())
}

/// What the snapshots hold, by the snapshot each is a copy of.
fn by_original(storage: &MemStorage) -> BTreeMap<SnapshotId, Files> {
    let repository = vault::open(storage);
    let everything = vault::everything_in(storage).into_iter();
    everything.map(|(id, files)| (repository.load_snapshot(id).unwrap().original.unwrap(), files)).collect()
}

#[test]
fn a_copy_holds_what_was_copied_and_nothing_else() {
    for version in [Version::V1, Version::V2] {
        let (from, to) = (wasteful(version), empty());
        let before = from.contents();
        let report = copy(from.clone(), to.clone());
        assert_eq!((report.copied.len(), report.skipped.len(), report.problem_count), (3, 0, 0));
        assert_eq!(from.contents(), before, "the first vault is as it was");
        assert_eq!(by_original(&to), vault::everything_in(&from));
        let sound = vault::assert_sound(&to);
        assert_eq!((sound.unused_blobs, sound.duplicate_blobs), (0, 0));
        assert_eq!(sound.blobs, report.data_blobs + report.tree_blobs);
        vault::assert_restic_agrees(&to);
        for (old, new) in &report.copied {
            let mut old_file = vault::open(&from).load_snapshot(*old).unwrap();
            (old_file.original, old_file.parent) = (Some(*old), None);
            assert_eq!(vault::open(&to).load_snapshot(*new).unwrap(), old_file);
        }
    }
}

#[test]
fn what_is_there_already_is_not_copied_again() {
    let (from, to, third) = (wasteful(Version::V2), empty(), empty());
    let first = copy(from.clone(), to.clone());
    let contents = to.contents();
    let again = copy(from.clone(), to.clone());
    let mut skipped = again.skipped.clone();
    skipped.sort_unstable();
    let mut copied = first.copied.clone();
    copied.sort_unstable();
    assert_eq!((skipped, again.copied.len()), (copied, 0));
    assert_eq!(to.contents(), contents);
    // Nor back to where it came from, nor on to where a copy of the first is.
    assert_eq!(copy(to.clone(), from.clone()).copied, []);
    copy(from, third.clone());
    assert_eq!(copy(to, third).copied, []);
}

#[test]
fn restic_and_we_take_each_others_copies_for_copies() {
    let work = tempfile::tempdir().unwrap();
    let (ours, theirs) = (work.path().join("from"), work.path().join("to"));
    std::fs::write(work.path().join("file"), "content").unwrap();
    let restic = Restic::init(&ours);
    restic.backup(work.path(), ["file"]);
    Restic::init(&theirs);
    let storages = || (LocalStorage::new(&ours), LocalStorage::new(&theirs));
    let copy_ours = || {
        let (from, to) = storages();
        copy(from, to)
    };
    let to = Restic::new(&theirs);
    let copy_theirs = || {
        let mut command = to.command(["copy", "--from-repo", ours.to_str().unwrap()]);
        let output = to.output(command.env("RESTIC_FROM_PASSWORD", kit::PASSWORD));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let count = || snapshots(&storages().1).len();
    assert_eq!(copy_ours().copied.len(), 1);
    copy_theirs();
    assert_eq!(count(), 1, "restic has seen that it is there");
    std::fs::write(work.path().join("file"), "other content").unwrap();
    restic.backup(work.path(), ["file"]);
    copy_theirs();
    assert_eq!((count(), copy_ours().copied.len()), (2, 0));
    to.check();
}

#[test]
fn nobody_else_stores_through_the_second_repository_once_a_copy_reads_its_index() {
    let storage = FaultStorage::new(empty());
    let (from, to) = (vault::open_on(wasteful(Version::V2)), Arc::new(vault::open_on(storage.clone())));
    let ids = snapshots(from.storage());
    let (from_lock, to_lock) =
        (vault::lock(&from, LockMode::Shared).unwrap(), vault::lock(&to, LockMode::Shared).unwrap());
    let (told, tried) = std::sync::mpsc::channel();
    let other = Arc::clone(&to);
    storage.before_call(0, move || {
        let folder = tempfile::tempdir().unwrap();
        let refused = kit::backup(&other, folder.path(), &["."], None).map_err(|error| error.kind);
        told.send(refused.map(|report| report.snapshot)).unwrap();
    });
    let ends = CopyEnds { from: &from, from_lock: &from_lock, to: &to, to_lock: &to_lock };
    assert_eq!(copy_snapshots(ends, &ids, 1, &Ctx::default()).unwrap().copied.len(), 3);
    assert_eq!(tried.recv().unwrap(), Err(ErrorKind::Locked));
}

/// Part 4 of the proof: either storage fails at every single call.
#[test]
fn a_copy_that_fails_at_any_call_leaves_no_snapshot_with_a_hole() {
    let from = wasteful(Version::V2);
    let (whole, ids, empty) = (vault::everything_in(&from), snapshots(&from), empty());
    for (fault, goes_on) in [(Fault::Error, true), (Fault::Error, false), (Fault::ErrorButDone, false)] {
        for is_source in [true, false] {
            let mut number = 0;
            loop {
                let to = empty.fork();
                let (faulty_from, faulty_to) =
                    (FaultStorage::new(from.fork()), FaultStorage::new(to.clone()));
                let faulty = if is_source { &faulty_from } else { &faulty_to };
                let open = (vault::open_on(faulty_from.clone()), vault::open_on(faulty_to.clone()));
                if goes_on {
                    faulty.fail_from(number, fault)
                } else {
                    faulty.fail_call(number, fault)
                }
                let result = copy_between(&open.0, &open.1, &ids);
                let has_failed = faulty.faults() > 0;
                vault::remove_locks(&to);
                vault::assert_sound(&to);
                for (original, files) in by_original(&to) {
                    assert_eq!(files, whole[&original], "{fault:?} at call {number}");
                }
                let report = copy(from.fork(), to.clone());
                assert_eq!(report.problem_count, 0, "{:#?}", report.problems);
                assert_eq!(by_original(&to), whole, "{fault:?} at call {number}");
                if !has_failed {
                    assert_eq!(result.unwrap().copied.len(), 3);
                    break;
                }
                number += 1;
            }
            assert!(number > 10, "{number} calls are not a whole copy");
        }
    }
}

#[test]
fn damage_holds_back_the_snapshots_that_need_it_and_no_others() {
    let craft = Craft::new(Version::V2);
    let (pack, packed) = craft.pack(&[
        (BlobKind::Data, b"whole", Compression::Off),
        (BlobKind::Data, b"damaged", Compression::Off),
    ]);
    craft.index(&[(pack, &packed)]);
    let good = craft.snapshot(&[b"whole"]);
    let bad = [craft.snapshot(&[b"whole", b"damaged"]), craft.snapshot(&[b"not there at all"])];
    craft.flip(pack, packed[1].offset + 20);
    let rubbish = craft.snapshot(&[]);
    craft.storage.tamper(rubbish.into(), Some(b"rubbish".to_vec()));
    let to = empty();
    let report = copy(craft.storage.clone(), to.clone());
    assert_eq!(report.copied.iter().map(|(old, _)| *old).collect::<Vec<_>>(), [good]);
    let mut held_back = report.held_back.clone();
    held_back.sort_unstable();
    let mut expected = vec![bad[0], bad[1], rubbish];
    expected.sort_unstable();
    assert_eq!(held_back, expected);
    assert_eq!(report.problem_count, 3, "{:#?}", report.problems);
    vault::assert_sound(&to);
    // What another vault has of it, it can lend.
    let lender = Craft::over(to.clone());
    lender.indexed(&[(BlobKind::Data, b"damaged", Compression::Off)]);
    let again = copy(craft.storage.clone(), to.clone());
    assert_eq!(again.copied.iter().map(|(old, _)| *old).collect::<Vec<_>>(), [bad[0]]);
    vault::assert_sound(&to);
}

#[test]
fn a_giant_tree_is_copied() {
    let craft = Craft::new(Version::V1);
    let tree = giant_tree();
    let id = craft.snapshot_of_tree(tree.as_bytes());
    let to = empty();
    assert_eq!(copy(craft.storage.clone(), to.clone()).copied.len(), 1);
    let sound = vault::assert_sound(&to);
    assert!(sound.pack_bytes < tree.len() as u64 / 4, "it is compressed now");
    let tree = vault::open(&craft.storage).load_snapshot(id).unwrap().tree;
    assert!(vault::open(&to).read_tree(tree).unwrap().all(|node| node.is_ok()));
}

#[test]
fn a_lost_lock_stops_a_copy_before_it_commits() {
    let (from, to) = (wasteful(Version::V2), empty());
    let ids = snapshots(&from);
    let (from, to_open) = (vault::open_on(from), vault::open_on(to.clone()));
    let from_lock = vault::lock(&from, LockMode::Shared).unwrap();
    let to_lock = vault::lock(&to_open, LockMode::Shared).unwrap();
    vault::remove_locks(&to);
    let ends = CopyEnds { from: &from, from_lock: &from_lock, to: &to_open, to_lock: &to_lock };
    let error = copy_snapshots(ends, &ids, 2, &Ctx::default()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::LockLost);
    assert_eq!((vault::files(&to, FileKind::Index), snapshots(&to)), (vec![], vec![]));
}
