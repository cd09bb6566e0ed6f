//! Vaults in memory for the tests of check, prune and copy.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lifeboat_adapters::files::{FilesOptions, FilesSource};
use lifeboat_repository::Ctx;
use lifeboat_repository::blob::{BlobKind, BlobRef};
use lifeboat_repository::check::{CheckOptions, CheckReport, ReadData};
use lifeboat_repository::clock::Pace;
use lifeboat_repository::ctx::Cancel;
use lifeboat_repository::id::SnapshotId;
use lifeboat_repository::key::Password;
use lifeboat_repository::lock::{Holder, LockGuard, LockMode, LockOptions};
use lifeboat_repository::repository::{Repository, Settings};
use lifeboat_repository::storage::{Body, FileId, FileKind, LocalStorage, MemStorage, Storage, list_ids};
use lifeboat_testkit::repository as kit;
use lifeboat_testkit::restic::Restic;

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

/// Opens the vault for packs of some twenty kilobytes.
pub(crate) fn open_on(storage: impl Storage + 'static) -> Repository {
    let settings = Settings { pack_bytes: 20_000, ..kit::settings() };
    let repository = Repository::open(Arc::new(storage), &Password::new(kit::PASSWORD), settings).unwrap();
    repository.load_index(&Ctx::default()).unwrap();
    repository
}

/// Backs up all of `folder`.
pub(crate) fn backup(storage: &MemStorage, folder: &Path) -> SnapshotId {
    let repository = open_on(storage.clone());
    let roots = [PathBuf::from(".")];
    let mut source = FilesSource::open(&roots, folder, FilesOptions::default()).unwrap();
    let lock = lock(&repository, LockMode::Shared).unwrap();
    let report = repository.backup(&mut source, kit::options(&roots, None), &lock, &Ctx::default()).unwrap();
    assert_eq!(report.lost_count, 0, "{:?}", report.lost);
    report.snapshot.unwrap()
}

/// The content of a snapshot: each file by its path.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

pub(crate) fn files_of(repository: &Repository, snapshot: SnapshotId) -> Files {
    let mut files = Files::new();
    let mut folders = vec![(String::new(), repository.load_snapshot(snapshot).unwrap().tree)];
    while let Some((path, tree)) = folders.pop() {
        for node in repository.read_tree(tree).unwrap() {
            let node = node.unwrap();
            let path = format!("{path}/{}", String::from_utf8(node.name).unwrap());
            folders.extend(node.subtree.map(|subtree| (path.clone(), subtree)));
            if let Some(content) = node.content {
                let blobs = content.iter().map(|id| BlobRef { kind: BlobKind::Data, id: *id });
                let content = blobs.flat_map(|blob| repository.read_blob(blob).unwrap()).collect();
                files.insert(path, content);
            }
        }
    }
    files
}

/// The same of a folder on disk.
pub(crate) fn files_in(folder: &Path) -> Files {
    let mut files = Files::new();
    let mut folders = vec![(String::new(), folder.to_owned())];
    while let Some((path, folder)) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{path}/{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                folders.push((path, entry.path()));
            } else {
                files.insert(path, std::fs::read(entry.path()).unwrap());
            }
        }
    }
    files
}

/// All snapshots and what they hold.
pub(crate) fn everything_in(storage: &MemStorage) -> BTreeMap<SnapshotId, Files> {
    let repository = open(storage);
    let ids = files(storage, FileKind::Snapshot).into_iter().map(|file| SnapshotId::new(file.id));
    ids.map(|id| (id, files_of(&repository, id))).collect()
}

/// What a process that died has left.
pub(crate) fn remove_locks(storage: &MemStorage) {
    for lock in files(storage, FileKind::Lock) {
        storage.tamper(lock, None);
    }
}

/// Lets restic check the vault, content included.
pub(crate) fn assert_restic_agrees(storage: &MemStorage) {
    let folder = tempfile::tempdir().unwrap();
    let local = LocalStorage::new(folder.path());
    local.create().unwrap();
    for (file, content) in storage.contents() {
        local.put(file, &Body::from_bytes(content.to_vec())).unwrap();
    }
    Restic::new(folder.path()).check();
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
