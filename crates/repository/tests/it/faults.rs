//! A storage that fails at call N, for every N: of a first backup, of one with a parent, of a restore.
//!
//! Whatever fails and however, it is reported, loses nothing that was there, leaves no snapshot with a hole and
//! no index that names an absent pack, and the same again without the fault succeeds.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use lifeboat_adapters::files::FilesTarget;
use lifeboat_repository::backup::BackupReport;
use lifeboat_repository::check::CheckOptions;
use lifeboat_repository::id::{BlobId, SnapshotId};
use lifeboat_repository::lock::LockMode;
use lifeboat_repository::repository::Repository;
use lifeboat_repository::restore::RestoreOptions;
use lifeboat_repository::storage::{FileId, FileKind, Interruptible, MemStorage};
use lifeboat_repository::{Ctx, Error, ErrorKind, Result};
use lifeboat_testkit::repository::{init, settings};
use lifeboat_testkit::storage::{Call, Fault, FaultStorage, Op};

use crate::made::{self, Files, backup, backup_under, contents, small_packs};
use crate::restore::digest;
use crate::vault;

/// Calls that a backup cannot do without; some N must have hit each.
const OF_A_BACKUP: [(Op, FileKind); 5] = [
    (Op::List, FileKind::Index),
    (Op::Put, FileKind::Pack),
    (Op::Size, FileKind::Lock),
    (Op::Put, FileKind::Index),
    (Op::Put, FileKind::Snapshot),
];
/// And these with a parent.
const WITH_A_PARENT: [(Op, FileKind); 3] =
    [(Op::Read, FileKind::Snapshot), (Op::Read, FileKind::Index), (Op::Read, FileKind::Pack)];

/// A vault, what to back up into it, and the snapshot to compare with.
struct Ground {
    vault: MemStorage,
    files: Files,
    parent: Option<SnapshotId>,
}

fn first_backup() -> Ground {
    let vault = MemStorage::new();
    init(Arc::new(vault.clone()));
    Ground { vault, files: made::files(10, 36, 1000), parent: None }
}

fn backup_with_parent() -> Ground {
    let Ground { vault, mut files, .. } = first_backup();
    let first = backup(&open(&vault), &files, None).unwrap();
    files.retain(|path, _| !path.ends_with('3'));
    files.extend(made::files(11, 15, 900));
    Ground { vault, files, parent: first.snapshot }
}

fn open(storage: &MemStorage) -> Repository {
    made::open(Arc::new(storage.clone()), small_packs())
}

fn hit(calls: &[Call], number: usize) -> Option<(Op, FileKind)> {
    calls.get(number).map(|call| (call.op, call.kind.expect("nothing but files is asked for")))
}

/// Everything but locks, which come and go.
fn lasting(vault: &MemStorage) -> BTreeMap<FileId, Arc<Vec<u8>>> {
    vault.contents().into_iter().filter(|(file, _)| file.kind != FileKind::Lock).collect()
}

#[track_caller]
fn assert_nothing_lost(before: &BTreeMap<FileId, Arc<Vec<u8>>>, vault: &MemStorage, what: &str) {
    let after = vault.contents();
    for (file, content) in before {
        assert_eq!(after.get(file), Some(content), "{what}: {file}");
    }
}

/// A fault is reported: as an error, or as trouble with the parent, whose place the source has then taken.
fn assert_reported(ran: &Result<BackupReport>, what: &str) {
    match ran {
        Err(error) => {
            assert!(matches!(error.kind, ErrorKind::Storage | ErrorKind::Cancelled), "{what}: {error:?}")
        }
        Ok(report) => assert!(!report.parent_errors.is_empty(), "{what}: passed over in silence"),
    }
}

impl Ground {
    /// Nothing is lost or half done, and the next backup is complete: through the same open repository as well
    /// as through a new one.
    fn assert_unharmed(&self, repository: &Repository, vault: &MemStorage, what: &str) {
        assert_nothing_lost(&lasting(&self.vault), vault, what);
        vault::assert_sound(vault);
        let fork = vault.fork();
        self.assert_backs_up(&open(&fork), &fork, what);
        self.assert_backs_up(repository, vault, what);
    }

    fn assert_backs_up(&self, repository: &Repository, vault: &MemStorage, what: &str) {
        let report = backup(repository, &self.files, self.parent).unwrap();
        assert_eq!(contents(&vault::open(vault), report.tree.unwrap()), self.files, "{what}");
        vault::assert_sound(vault);
    }

    /// Backs up with the fault at each call in turn; says which calls were hit.
    fn fail_at_each_call(&self, fault: Fault, goes_on: bool) -> BTreeSet<(Op, FileKind)> {
        let mut hits = BTreeSet::new();
        for number in 0.. {
            let vault = self.vault.fork();
            let faulty = FaultStorage::new(vault.clone());
            let repository = made::open(Arc::new(faulty.clone()), small_packs());
            let lock = vault::lock(&repository, LockMode::Shared).unwrap();
            faulty.forget_calls();
            match goes_on {
                true => faulty.fail_from(number, fault),
                false => faulty.fail_call(number, fault),
            }
            let ran = backup_under(&repository, &self.files, self.parent, &lock, &Ctx::default());
            let calls = faulty.calls();
            let has_failed = faulty.faults() > 0;
            faulty.release();
            let Some(call) = hit(&calls, number) else {
                ran.unwrap();
                return hits;
            };
            let what = format!("{fault:?} at call {number}, {call:?}, for good: {goes_on}");
            if has_failed {
                hits.insert(call);
                assert_reported(&ran, &what);
            }
            drop(lock);
            self.assert_unharmed(&repository, &vault, &what);
        }
        unreachable!("a backup has an end")
    }
}

fn assert_hit(hits: &BTreeSet<(Op, FileKind)>, wanted: &[(Op, FileKind)], fault: Fault) {
    let is_possible = |call: &&(Op, FileKind)| fault != Fault::Full || call.0 == Op::Put;
    let missed: Vec<_> = wanted.iter().filter(is_possible).filter(|call| !hits.contains(call)).collect();
    assert!(missed.is_empty(), "{fault:?} has not hit {missed:?}");
}

#[test]
fn a_first_backup_survives_each_fault_at_each_call() {
    for fault in [Fault::Error, Fault::ErrorButDone, Fault::Short, Fault::Full] {
        assert_hit(&first_backup().fail_at_each_call(fault, false), &OF_A_BACKUP, fault);
    }
}

#[test]
fn a_backup_with_a_parent_survives_each_fault_at_each_call() {
    for fault in [Fault::Error, Fault::ErrorButDone, Fault::Short, Fault::Full] {
        let hits = backup_with_parent().fail_at_each_call(fault, false);
        assert_hit(&hits, &OF_A_BACKUP, fault);
        assert_hit(&hits, &WITH_A_PARENT, fault);
    }
}

#[test]
fn a_storage_that_fails_for_good_from_any_call_on_is_reported() {
    for fault in [Fault::Error, Fault::ErrorButDone, Fault::Full] {
        assert_hit(&first_backup().fail_at_each_call(fault, true), &OF_A_BACKUP, fault);
        assert_hit(&backup_with_parent().fail_at_each_call(fault, true), &OF_A_BACKUP, fault);
    }
}

/// Hazard row 14, too: cancelled while anything is under way.
#[test]
fn a_storage_that_hangs_at_any_call_is_given_up_by_a_cancel() {
    let Ground { vault, files, parent } = backup_with_parent();
    // Few calls, because each costs the moment that a cancelled call is given.
    let ground = Ground { files: files.into_iter().take(12).collect(), vault, parent };
    let hits = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..24)
            .map(|number| {
                scope.spawn({
                    let ground = &ground;
                    move || ground.hang_at(number)
                })
            })
            .collect();
        runs.into_iter().filter_map(|run| run.join().unwrap()).collect()
    });
    assert_hit(&hits, &OF_A_BACKUP, Fault::Hang);
    assert_hit(&hits, &WITH_A_PARENT, Fault::Hang);
}

impl Ground {
    fn hang_at(&self, number: usize) -> Option<(Op, FileKind)> {
        let vault = self.vault.fork();
        let faulty = FaultStorage::new(vault.clone());
        let ctx = Ctx::default();
        let interruptible = Interruptible::new(Arc::new(faulty.clone()), ctx.cancel.clone());
        let repository = made::open(Arc::new(interruptible), settings());
        let lock = vault::lock(&repository, LockMode::Shared).unwrap();
        faulty.forget_calls();
        faulty.fail_call(number, Fault::Hang);
        let ran = std::thread::scope(|scope| {
            let ran = scope.spawn(|| {
                let ran = backup_under(&repository, &self.files, self.parent, &lock, &ctx);
                let calls = faulty.calls();
                // Whoever waits for a call to hang need not wait any more.
                faulty.release();
                (ran, calls)
            });
            if faulty.wait_for_hang() {
                ctx.cancel.cancel();
            }
            ran.join().unwrap()
        });
        drop(lock);
        let (ran, calls) = ran;
        let what = format!("hanging at call {number}");
        let Some(call) = hit(&calls, number) else {
            ran.unwrap();
            return None;
        };
        assert_eq!(ran.unwrap_err().kind, ErrorKind::Cancelled, "{what}");
        self.assert_unharmed(&open(&vault), &vault, &what);
        Some(call)
    }

    /// Cancels right before the call; what was under way goes on.
    fn cancel_before(&self, number: usize) -> Option<(Op, FileKind)> {
        let vault = self.vault.fork();
        let faulty = FaultStorage::new(vault.clone());
        let repository = made::open(Arc::new(faulty.clone()), small_packs());
        let lock = vault::lock(&repository, LockMode::Shared).unwrap();
        let ctx = Ctx::default();
        faulty.forget_calls();
        let cancel = ctx.cancel.clone();
        faulty.before_call(number, move || cancel.cancel());
        let before = vault::files(&vault, FileKind::Snapshot).len();
        let ran = backup_under(&repository, &self.files, self.parent, &lock, &ctx);
        let call = hit(&faulty.calls(), number);
        drop(lock);
        let what = format!("cancelled before call {number}, {call:?}");
        let made = vault::files(&vault, FileKind::Snapshot).len() - before;
        match ran {
            Ok(report) => assert_eq!((made, report.snapshot.is_some()), (1, true), "{what}"),
            Err(error) => assert_eq!((made, error.kind), (0, ErrorKind::Cancelled), "{what}"),
        }
        self.assert_unharmed(&repository, &vault, &what);
        call
    }
}

#[test]
fn a_backup_cancelled_at_any_call_is_either_cancelled_or_complete() {
    for ground in [first_backup(), backup_with_parent()] {
        let hits: BTreeSet<_> = (0..).map_while(|number| ground.cancel_before(number)).collect();
        assert_hit(&hits, &OF_A_BACKUP, Fault::Error);
    }
}

/// Restores all into a folder in which somebody else's file lies.
fn restore(repository: &Repository, tree: BlobId, target: &Path) -> Result<u64, Error> {
    let target = FilesTarget::open(target, Path::new("/"), Path::new("/tmp")).unwrap();
    let options = RestoreOptions { verify: true, ..RestoreOptions::default() };
    Ok(repository.restore(tree, &target, &options, &Ctx::default())?.lost_count)
}

#[test]
fn a_restore_reports_each_fault_at_each_call_and_can_be_repeated() {
    let work = tempfile::tempdir().unwrap();
    let tree = work.path().join("tree");
    for (path, content) in made::files(12, 24, 700) {
        let path = tree.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let vault = MemStorage::new();
    init(Arc::new(vault.clone()));
    let saved = lifeboat_testkit::repository::backup(&open(&vault), work.path(), &["tree"], None).unwrap();
    let before = vault.contents();
    let expected = digest(&tree);
    for fault in [Fault::Error, Fault::Short] {
        for goes_on in [false, true] {
            let (mut hits, mut reported) = (BTreeSet::new(), 0);
            for number in 0.. {
                let faulty = FaultStorage::new(vault.clone());
                let repository = made::open(Arc::new(faulty.clone()), small_packs());
                repository.load_index(&Ctx::default()).unwrap();
                faulty.forget_calls();
                match goes_on {
                    true => faulty.fail_from(number, fault),
                    false => faulty.fail_call(number, fault),
                }
                let target = tempfile::tempdir().unwrap();
                std::fs::write(target.path().join("theirs"), "kept").unwrap();
                let ran = restore(&repository, saved.tree.unwrap(), target.path());
                let what = format!("{fault:?} at call {number}, for good: {goes_on}");
                let Some(call) = hit(&faulty.calls(), number) else {
                    assert_eq!(ran.unwrap(), 0, "{what}");
                    break;
                };
                hits.insert(call);
                if ran.is_ok_and(|lost| lost == 0) {
                    // A range read in vain is read again blob by blob.
                    assert!(!goes_on, "{what}: passed over in silence");
                    expected.assert_same(&digest(&target.path().join("tree")), &what);
                } else {
                    reported += 1;
                }
                faulty.release();
                assert_eq!(restore(&repository, saved.tree.unwrap(), target.path()).unwrap(), 0, "{what}");
                expected.assert_same(&digest(&target.path().join("tree")), &what);
                assert_eq!(std::fs::read(target.path().join("theirs")).unwrap(), b"kept", "{what}");
            }
            assert_hit(&hits, &[(Op::Read, FileKind::Pack)], fault);
            assert!(reported > 0, "{fault:?}, for good: {goes_on}");
        }
    }
    assert_eq!(vault.contents(), before, "a restore writes nothing");
}

/// Whatever thread it is that panics, nobody waits for it in vain.
#[test]
fn a_panic_at_any_call_is_passed_on() {
    let Ground { vault, files, parent } = backup_with_parent();
    let tree = open(&vault).load_snapshot(parent.unwrap()).unwrap().tree;
    let backup: &dyn Fn(&Repository) = &|repository| {
        let lock = vault::lock(repository, LockMode::Shared).unwrap();
        backup_under(repository, &files, parent, &lock, &Ctx::default()).unwrap();
    };
    let restore: &dyn Fn(&Repository) = &|repository| {
        repository.load_index(&Ctx::default()).unwrap();
        assert_eq!(restore(repository, tree, tempfile::tempdir().unwrap().path()).unwrap(), 0);
    };
    let check: &dyn Fn(&Repository) = &|repository| {
        let options = CheckOptions { workers: 2, ..vault::everything() };
        assert!(repository.check(&options, &Ctx::default()).unwrap().is_sound());
    };
    for (name, operation) in [("backup", backup), ("restore", restore), ("check", check)] {
        for number in 0.. {
            let vault = vault.fork();
            let faulty = FaultStorage::new(vault.clone());
            let repository = made::open(Arc::new(faulty.clone()), small_packs());
            faulty.forget_calls();
            faulty.before_call(number, || panic!("a bug for a test"));
            let ran = catch_unwind(AssertUnwindSafe(|| operation(&repository)));
            if faulty.calls().len() <= number {
                ran.unwrap();
                assert!(number > 20, "{name} makes {number} calls");
                break;
            }
            assert!(ran.is_err(), "{name}, call {number}");
            vault::assert_sound(&vault);
        }
    }
}
