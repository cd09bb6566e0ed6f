//! Damaged repositories, storages that fail, and cancels: a file is right, or it is named and has not its name.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lifeboat_adapters::files::FilesTarget;
use lifeboat_repository::id::BlobId;
use lifeboat_repository::restore::RestoreOptions;
use lifeboat_repository::storage::{
    Body, FileId, FileKind, MemStorage, Storage, StorageError, Stored, list_ids,
};
use lifeboat_repository::{Ctx, ErrorKind};
use lifeboat_testkit::repository::{backup, init, open};
use lifeboat_testkit::storage::{Fault, FaultStorage};
use tempfile::TempDir;

use super::handmade::{HandMade, file};
use super::{restore, restore_all};

/// Bytes that do not compress.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    lifeboat_testkit::random::Random::new(seed).bytes(len)
}

#[test]
fn a_file_that_lost_a_blob_never_has_its_name() {
    let mut made = HandMade::new();
    let parts: Vec<Vec<u8>> = (0..3).map(|seed| noise(100_000, seed)).collect();
    let ids: Vec<BlobId> = parts.iter().map(|part| made.data(part)).collect();
    let tree = made.tree(&[
        file("hit", 300_000, &ids),
        file("only lost", 100_000, &ids[1..2]),
        file("sound", 200_000, &[ids[0], ids[2]]),
    ]);
    let (storage, repository) = made.open();
    let pack = list_ids(&storage, FileKind::Pack).unwrap()[0];
    let pack = FileId::new(FileKind::Pack, pack);
    let mut body = storage.read(pack, 0..storage.size(pack).unwrap()).unwrap();
    body[150_000] ^= 1;
    storage.tamper(pack, Some(body));
    let target = TempDir::new().unwrap();
    fs::write(target.path().join("hit"), "what was there").unwrap();
    let report = restore(&repository, tree, target.path(), &RestoreOptions::default());
    let mut lost: Vec<_> = report.lost.iter().map(|lost| lost.path.to_str().unwrap()).collect();
    lost.sort_unstable();
    assert_eq!(lost, ["/hit", "/only lost"]);
    assert_eq!(fs::read(target.path().join("hit")).unwrap(), b"what was there");
    assert!(!target.path().join("only lost").exists());
    assert_eq!(fs::read(target.path().join("sound")).unwrap(), [&parts[0][..], &parts[2]].concat());
    let part = fs::read(target.path().join("hit.partial")).unwrap();
    assert_eq!(part, [&parts[0][..], &[0; 100_000], &parts[2]].concat());
    assert_eq!(fs::read_dir(target.path()).unwrap().count(), 3);
    // What was kept is not what does not belong.
    let options = RestoreOptions { delete: true, ..RestoreOptions::default() };
    restore(&repository, tree, target.path(), &options);
    assert!(target.path().join("hit.partial").exists());
}

#[test]
fn a_blob_damaged_in_one_pack_is_taken_from_another() {
    let work = TempDir::new().unwrap();
    let content = noise(3 << 20, 9);
    fs::create_dir(work.path().join("tree")).unwrap();
    fs::write(work.path().join("tree/file"), &content).unwrap();
    let storage = MemStorage::new();
    let first = backup(&init(Arc::new(storage.clone())), work.path(), &["tree"], None).unwrap();
    let packs = list_ids(&storage, FileKind::Pack).unwrap();
    // Stored once more, by somebody who did not know of the first index.
    let indexes = list_ids(&storage, FileKind::Index).unwrap();
    let kept: Vec<_> = indexes
        .iter()
        .map(|id| {
            let index = FileId::new(FileKind::Index, *id);
            let body = storage.read(index, 0..storage.size(index).unwrap()).unwrap();
            storage.tamper(index, None);
            (index, body)
        })
        .collect();
    backup(&open(Arc::new(storage.clone())), work.path(), &["tree"], None).unwrap();
    kept.into_iter().for_each(|(index, body)| storage.tamper(index, Some(body)));
    for pack in packs {
        storage.tamper(FileId::new(FileKind::Pack, pack), None);
    }
    let target = TempDir::new().unwrap();
    restore_all(&open(Arc::new(storage)), first.tree.unwrap(), target.path());
    assert_eq!(fs::read(target.path().join("tree/file")).unwrap(), content);
}

/// A tree of files of several sizes, in a vault whose every call is counted.
fn vault() -> (TempDir, FaultStorage, BlobId) {
    let work = TempDir::new().unwrap();
    let tree = work.path().join("tree");
    fs::create_dir_all(tree.join("deep/deeper")).unwrap();
    for (name, len) in [("a", 3 << 20), ("deep/b", 70_000), ("deep/deeper/c", 10), ("deep/d", 1 << 20)] {
        fs::write(tree.join(name), noise(len, len as u64)).unwrap();
    }
    let storage = FaultStorage::new(MemStorage::new());
    let report = backup(&init(Arc::new(storage.clone())), work.path(), &["tree"], None).unwrap();
    (work, storage, report.tree.unwrap())
}

/// Every file below `restored` under its own name is as it was.
#[track_caller]
fn assert_nothing_wrong(original: &Path, restored: &Path) {
    for name in ["a", "deep/b", "deep/deeper/c", "deep/d"] {
        if let Ok(content) = fs::read(restored.join(name)) {
            assert!(content == fs::read(original.join(name)).unwrap(), "{name} is wrong");
        }
    }
}

#[test]
fn whichever_call_of_the_storage_fails_no_file_is_wrong_and_none_is_missing_silently() {
    let (work, storage, tree) = vault();
    let repository = open(Arc::new(storage.clone()));
    storage.forget_calls();
    restore_all(&repository, tree, &work.path().join("good"));
    let calls = storage.calls().len();
    assert!(calls > 3);
    for fault in [Fault::Error, Fault::Short] {
        for call in 0..calls {
            let target = TempDir::new().unwrap();
            let files = FilesTarget::open(target.path(), Path::new("/"), Path::new("/tmp")).unwrap();
            storage.fail_from(call, fault);
            let outcome = repository.restore(tree, &files, &RestoreOptions::default(), &Ctx::default());
            storage.release();
            assert_nothing_wrong(&work.path().join("tree"), &target.path().join("tree"));
            if let Ok(report) = outcome
                && report.files < 4
            {
                assert!(report.lost_count > 0, "{fault:?} at call {call}");
            }
        }
    }
}

/// Does something when a pack is read for the so-many-th time.
struct ActAt<S> {
    inner: S,
    left: AtomicUsize,
    act: Box<dyn Fn() + Send + Sync>,
}

impl<S: Storage> Storage for ActAt<S> {
    fn create(&self) -> Result<(), StorageError> {
        self.inner.create()
    }

    fn put(&self, file: FileId, body: &Body) -> Result<(), StorageError> {
        self.inner.put(file, body)
    }

    fn read(&self, file: FileId, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        if file.kind == FileKind::Pack && self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            (self.act)();
        }
        self.inner.read(file, range)
    }

    fn size(&self, file: FileId) -> Result<u64, StorageError> {
        self.inner.size(file)
    }

    fn list(&self, kind: FileKind, visit: &mut dyn FnMut(Stored) -> bool) -> Result<(), StorageError> {
        self.inner.list(kind, visit)
    }

    fn delete(&self, file: FileId) -> Result<(), StorageError> {
        self.inner.delete(file)
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

#[test]
fn a_cancel_leaves_no_unfinished_file() {
    let (work, storage, tree) = vault();
    storage.forget_calls();
    restore_all(&open(Arc::new(storage.clone())), tree, &work.path().join("good"));
    let reads = storage.calls().len();
    for at in 1..reads {
        let target = TempDir::new().unwrap();
        fs::create_dir_all(target.path().join("tree/deep")).unwrap();
        fs::write(target.path().join("tree/a"), "what was there").unwrap();
        let ctx = Ctx::default();
        let left = AtomicUsize::new(at);
        let cancel = ctx.cancel.clone();
        let act = Box::new(move || cancel.cancel());
        let repository = open(Arc::new(ActAt { inner: storage.clone(), left, act }));
        let files = FilesTarget::open(target.path(), Path::new("/"), Path::new("/tmp")).unwrap();
        let outcome = repository.restore(tree, &files, &RestoreOptions::default(), &ctx);
        if ctx.cancel.is_cancelled() {
            assert_eq!(outcome.unwrap_err().kind, ErrorKind::Cancelled);
        }
        let restored = target.path().join("tree");
        if fs::read(restored.join("a")).unwrap() == b"what was there" {
            fs::remove_file(restored.join("a")).unwrap();
        }
        assert_nothing_wrong(&work.path().join("tree"), &restored);
        for entry in fs::read_dir(&restored).unwrap() {
            let name = entry.unwrap().file_name();
            assert!(["a", "deep"].iter().any(|known| name == *known), "{name:?} was left behind");
        }
    }
}

#[test]
fn a_file_that_changes_behind_our_back_does_not_pass_verification() {
    for (spoilt, cause) in [("changed", "are not those"), ("content and more", "bytes long"), ("con", "")] {
        let mut made = HandMade::new();
        let (one, two) = (made.file("one", "content"), made.file("two", "content"));
        let tree = made.tree(&[one, two]);
        let (storage, _) = made.open();
        let target = TempDir::new().unwrap();
        let path = target.path().join("two");
        // The tree, the data, and then the tree again.
        let act = Box::new(move || fs::write(&path, spoilt).unwrap());
        let repository = open(Arc::new(ActAt { inner: storage, left: AtomicUsize::new(3), act }));
        let options = RestoreOptions { verify: true, ..RestoreOptions::default() };
        let report = restore(&repository, tree, target.path(), &options);
        assert_eq!((report.verified, report.lost_count), (1, 1), "{:?}", report.lost);
        let lost = &report.lost[0];
        assert_eq!((lost.path.to_str(), lost.op), (Some("/two"), "verify"));
        assert!(lost.cause.to_string().contains(cause), "{}", lost.cause);
    }
}
