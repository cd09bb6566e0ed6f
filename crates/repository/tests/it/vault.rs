//! Vaults in memory for the tests of check, prune and copy.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lifeboat_repository::Ctx;
use lifeboat_repository::check::{CheckOptions, CheckReport, ReadData};
use lifeboat_repository::clock::Pace;
use lifeboat_repository::ctx::Cancel;
use lifeboat_repository::id::SnapshotId;
use lifeboat_repository::lock::{Holder, LockGuard, LockMode, LockOptions};
use lifeboat_repository::repository::Repository;
use lifeboat_repository::storage::{FileId, FileKind, MemStorage, Storage, list_ids};
use lifeboat_testkit::repository as kit;

/// Time that stands still: locks are taken without a wait and never grow old.
pub(crate) struct NoWait;

impl Pace for NoWait {
    fn uptime(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn wait(&self, _: Duration, cancels: &[&Cancel]) -> bool {
        !cancels.iter().any(|cancel| cancel.is_cancelled())
    }
}

pub(crate) fn lock(repository: &Repository, mode: LockMode) -> lifeboat_repository::Result<LockGuard> {
    let options = LockOptions {
        mode,
        holder: Holder::of_this_process("test", "test"),
        retry_for: Duration::ZERO,
        time: kit::settings().time,
        pace: Arc::new(NoWait),
    };
    repository.lock(options, &Ctx::default())
}

pub(crate) fn open(storage: &MemStorage) -> Repository {
    kit::open(Arc::new(storage.clone()))
}

/// Backs up all of `folder`.
pub(crate) fn backup(storage: &MemStorage, folder: &Path) -> SnapshotId {
    let report = kit::backup(&open(storage), folder, &["."], None).unwrap();
    assert_eq!(report.lost_count, 0, "{:?}", report.lost);
    report.snapshot.unwrap()
}

/// A vault with one backup of one small file.
pub(crate) fn small() -> MemStorage {
    let storage = MemStorage::new();
    kit::init(Arc::new(storage.clone()));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "content of the file").unwrap();
    backup(&storage, folder.path());
    storage
}

pub(crate) fn everything() -> CheckOptions {
    CheckOptions { read_data: ReadData::All, seed: 0, workers: 1 }
}

pub(crate) fn check(repository: &Repository) -> CheckReport {
    repository.check(&everything(), &Ctx::default()).unwrap()
}

/// Fails with all that is wrong, if anything is.
pub(crate) fn assert_sound(storage: &MemStorage) -> CheckReport {
    let report = check(&open(storage));
    assert!(report.is_sound(), "{:#?}", report.problems);
    report
}

pub(crate) fn files(storage: &dyn Storage, kind: FileKind) -> Vec<FileId> {
    list_ids(storage, kind).unwrap().into_iter().map(|id| FileId::new(kind, id)).collect()
}
