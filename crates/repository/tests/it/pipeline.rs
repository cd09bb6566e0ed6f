//! The pipeline of a backup when one of its threads panics, and what the index may promise to the next backup.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use lifeboat_repository::blob::{BlobKind, BlobRef};
use lifeboat_repository::lock::LockMode;
use lifeboat_repository::prune::PruneOptions;
use lifeboat_repository::repository::Repository;
use lifeboat_repository::storage::{Body, FileId, FileKind, MemStorage, Storage, StorageError, Stored};
use lifeboat_repository::{Ctx, Error, ErrorKind};
use lifeboat_testkit::repository::init;
use lifeboat_testkit::storage::{Fault, FaultStorage, Op};

use crate::made::{self, MadeSource, Trouble, backup, backup_under, contents, files, open, small_packs};
use crate::vault;

fn empty_vault() -> MemStorage {
    let storage = MemStorage::new();
    init(Arc::new(storage.clone()));
    storage
}

/// Runs a backup that panics, on one worker or two.
fn panics(storage: Arc<dyn Storage>, source: &mut MadeSource, workers: usize) -> bool {
    let repository = open(storage, small_packs());
    let lock = vault::lock(&repository, LockMode::Shared).unwrap();
    let options = lifeboat_repository::backup::BackupOptions { workers, ..made::options(None) };
    let ran = catch_unwind(AssertUnwindSafe(|| repository.backup(source, options, &lock, &Ctx::default())));
    ran.is_err()
}

#[test]
fn a_panic_in_the_walk_or_in_a_worker_is_passed_on_and_nobody_waits_for_ever() {
    let files = files(1, 300, 100);
    for trouble in [Trouble::PanicInWalk, Trouble::PanicInOpen] {
        for workers in [1, 2] {
            let storage = empty_vault();
            let mut source = MadeSource::with_trouble(&files, "0/005", trouble);
            assert!(panics(Arc::new(storage.clone()), &mut source, workers), "{trouble:?}");
            assert!(vault::files(&storage, FileKind::Snapshot).is_empty());
            vault::assert_sound(&storage);
        }
    }
}

/// A storage with a bug: it panics whenever it is to store a pack.
struct PanicsOnPacks(MemStorage);

impl Storage for PanicsOnPacks {
    fn create(&self) -> Result<(), StorageError> {
        self.0.create()
    }
    fn put(&self, file: FileId, body: &Body) -> Result<(), StorageError> {
        assert!(file.kind != FileKind::Pack, "a bug for a test");
        self.0.put(file, body)
    }
    fn read(&self, file: FileId, range: std::ops::Range<u64>) -> Result<Vec<u8>, StorageError> {
        self.0.read(file, range)
    }
    fn size(&self, file: FileId) -> Result<u64, StorageError> {
        self.0.size(file)
    }
    fn list(&self, kind: FileKind, visit: &mut dyn FnMut(Stored) -> bool) -> Result<(), StorageError> {
        self.0.list(kind, visit)
    }
    fn delete(&self, file: FileId) -> Result<(), StorageError> {
        self.0.delete(file)
    }
    fn describe(&self) -> String {
        self.0.describe()
    }
}

#[test]
fn a_panic_in_every_upload_is_passed_on_and_nobody_waits_for_ever() {
    let storage = empty_vault();
    let mut source = MadeSource::new(&files(2, 300, 100));
    assert!(panics(Arc::new(PanicsOnPacks(storage.clone())), &mut source, 2));
    assert!(vault::files(&storage, FileKind::Snapshot).is_empty());
}

/// Hazard rows 3 and 14.
#[test]
fn packs_whose_index_file_could_not_be_written_are_not_relied_on_by_the_next_backup() {
    let files = files(3, 20, 500);
    let storage = empty_vault();
    let faulty = FaultStorage::new(storage.clone());
    let repository = open(Arc::new(faulty.clone()), small_packs());
    let lock = vault::lock(&repository, LockMode::Shared).unwrap();
    let backup = || backup_under(&repository, &files, None, &lock, &Ctx::default());
    for number in 0.. {
        faulty.release();
        faulty.forget_calls();
        faulty.fail_from(number, Fault::Error);
        backup().unwrap_err();
        if faulty.count(Op::Put, FileKind::Index) > 0 {
            break;
        }
    }
    assert!(vault::files(&storage, FileKind::Index).is_empty());
    assert!(!vault::files(&storage, FileKind::Pack).is_empty());
    faulty.release();
    let report = backup().unwrap();
    assert_eq!(contents(&vault::open(&storage), report.tree.unwrap()), files);
    vault::assert_sound(&storage);
}

#[test]
fn an_index_read_before_a_prune_elsewhere_is_read_again_before_anything_relies_on_it() {
    let files = files(4, 20, 500);
    let whole = empty_vault();
    backup(&open(Arc::new(whole.clone()), small_packs()), &files, None).unwrap();
    let backs_up = |repository: &Repository| drop(backup(repository, &files, None).unwrap());
    let loads = |repository: &Repository| repository.load_index(&Ctx::default()).unwrap();
    let checks = |repository: &Repository| assert!(vault::check(repository).is_sound());
    let plans_a_prune = |repository: &Repository| {
        let lock = vault::lock(repository, LockMode::Shared).unwrap();
        let options = PruneOptions { dry_run: true, ..PruneOptions::default() };
        assert!(repository.prune(&options, &lock, &Ctx::default()).unwrap().is_complete());
    };
    let ways: [&dyn Fn(&Repository); 4] = [&backs_up, &loads, &checks, &plans_a_prune];
    for read_index in ways {
        let storage = whole.fork();
        let repository = open(Arc::new(storage.clone()), small_packs());
        read_index(&repository);
        // As a prune would after a forget: nothing is needed any more.
        for kind in [FileKind::Snapshot, FileKind::Index, FileKind::Pack] {
            for file in vault::files(&storage, kind) {
                storage.tamper(file, None);
            }
        }
        let report = backup(&repository, &files, None).unwrap();
        assert!(report.data_blobs > 0 && report.tree_blobs > 0);
        assert_eq!(contents(&vault::open(&storage), report.tree.unwrap()), files);
        vault::assert_sound(&storage);
    }
}

#[test]
fn what_another_backup_has_indexed_meanwhile_is_found_without_reading_everything_again() {
    let files = files(5, 20, 500);
    let storage = empty_vault();
    let faulty = FaultStorage::new(storage.clone());
    let first = open(Arc::new(faulty.clone()), small_packs());
    let second = open(Arc::new(storage.clone()), small_packs());
    backup(&first, &made::files(6, 5, 100), None).unwrap();
    backup(&second, &files, None).unwrap();
    faulty.forget_calls();
    let report = backup(&first, &files, None).unwrap();
    assert_eq!((report.data_blobs, report.tree_blobs), (0, 0));
    assert_eq!(faulty.count(Op::Read, FileKind::Index), 1, "its own index file it need not read");
}

#[test]
fn two_backups_through_one_open_repository_do_not_rely_on_what_the_other_has_not_indexed() {
    let storage = empty_vault();
    let faulty = FaultStorage::new(storage.clone());
    let repository = open(Arc::new(faulty.clone()), small_packs());
    let lock = vault::lock(&repository, LockMode::Shared).unwrap();
    faulty.fail_call(1, Fault::Hang);
    std::thread::scope(|scope| {
        let first =
            scope.spawn(|| backup_under(&repository, &files(7, 20, 500), None, &lock, &Ctx::default()));
        assert!(faulty.wait_for_hang());
        let second = backup_under(&repository, &files(7, 20, 500), None, &lock, &Ctx::default());
        assert_eq!(second.unwrap_err().kind, ErrorKind::Locked);
        faulty.release();
        assert_eq!(first.join().unwrap().unwrap_err().kind, ErrorKind::Storage);
    });
    backup_under(&repository, &files(7, 20, 500), None, &lock, &Ctx::default()).unwrap();
    vault::assert_sound(&storage);
}

#[test]
fn a_damaged_tree_of_the_parent_is_told_and_stored_again() {
    let files = files(8, 20, 500);
    let storage = empty_vault();
    let repository = open(Arc::new(storage.clone()), small_packs());
    let first = backup(&repository, &files, None).unwrap();
    let tree = BlobRef { kind: BlobKind::Tree, id: first.tree.unwrap() };
    let pack = FileId::from(repository.locate(tree).unwrap()[0].pack);
    for damage in [Some(vec![0; 100]), Some(vec![0; 100_000]), None] {
        let storage = storage.fork();
        storage.tamper(pack, damage);
        let second = backup(&open(Arc::new(storage.clone()), small_packs()), &files, first.snapshot).unwrap();
        assert!(second.parent_errors.iter().all(Error::is_of_content));
        assert!(!second.parent_errors.is_empty());
        assert_eq!(second.tree, first.tree);
        assert!(second.tree_blobs > 0 && second.data_blobs == 0, "{second:?}");
        assert_eq!(contents(&vault::open(&storage), first.tree.unwrap()), files);
        let third = backup(&open(Arc::new(storage), small_packs()), &files, first.snapshot).unwrap();
        assert!(third.parent_errors.is_empty(), "the copy is read: {:?}", third.parent_errors);
        assert_eq!((third.tree_blobs, third.bytes_read), (0, 0));
    }
}
