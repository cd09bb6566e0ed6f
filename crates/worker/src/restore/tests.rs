//! Restore jobs out of vaults whose storage the tests hold in hand.

use std::fs;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use lifeboat_model::job::FULL_PROGRESS;
use lifeboat_repository::key::Password;
use lifeboat_repository::repository::Settings;
use lifeboat_repository::storage::{Body, FileId, FileKind, MemStorage, Storage, StorageError, Stored};
use lifeboat_testkit::random::Random;
use lifeboat_testkit::repository;

use super::*;

/// Each is one blob in a pack of its own.
const FILE_BYTES: u64 = 400_000;
const FILES: u64 = 6;
/// How many of them the storage gives before it stops.
const GIVEN_FILES: u64 = 2;

/// A storage that gives so many files, and then nothing until it is told to go on.
struct Gated {
    inner: MemStorage,
    given: AtomicU64,
    at_gate: Sender<()>,
    go: Receiver<()>,
}

impl Storage for Gated {
    fn read(&self, file: FileId, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        // Listings of folders are small.
        if file.kind == FileKind::Pack
            && range.end - range.start >= FILE_BYTES
            && self.given.fetch_add(1, Ordering::Relaxed) >= GIVEN_FILES
        {
            self.at_gate.try_send(()).unwrap_or_default();
            self.go.recv().unwrap_err();
        }
        self.inner.read(file, range)
    }

    fn create(&self) -> Result<(), StorageError> {
        self.inner.create()
    }

    fn put(&self, file: FileId, body: &Body) -> Result<(), StorageError> {
        self.inner.put(file, body)
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

    fn sweep(&self, before: jiff::Timestamp) -> Result<u64, StorageError> {
        self.inner.sweep(before)
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

/// A vault with [`FILES`] files, and the id of their snapshot.
fn saved(folder: &Path) -> (MemStorage, String) {
    fs::create_dir(folder.join("source")).unwrap();
    for number in 0..FILES {
        let bytes = usize::try_from(FILE_BYTES).unwrap();
        fs::write(folder.join(format!("source/{number}")), Random::new(number).bytes(bytes)).unwrap();
    }
    let storage = MemStorage::new();
    drop(repository::init(Arc::new(storage.clone())));
    let settings = Settings { pack_bytes: 1, ..repository::settings() };
    let vault =
        Repository::open(Arc::new(storage.clone()), &Password::new(repository::PASSWORD), settings).unwrap();
    vault.load_index(&Ctx::default()).unwrap();
    let source = folder.join("source");
    let report = repository::backup(&vault, folder, &[source.to_str().unwrap()], None).unwrap();
    (storage, report.snapshot.unwrap().to_string())
}

#[test]
fn a_storage_that_stops_after_some_files_stops_bytes_done_and_progress_there() {
    let folder = tempfile::tempdir().unwrap();
    let (inner, snapshot) = saved(folder.path());
    let (at_gate, stopped) = bounded(1);
    let (release, go) = bounded::<()>(0);
    let vault = repository::open(Arc::new(Gated { inner, given: AtomicU64::default(), at_gate, go }));
    let target = folder.path().join("target");
    fs::create_dir(&target).unwrap();
    let settings = repository::settings();
    let order = RestoreOrder {
        vault: VaultAccess {
            place: PathBuf::new(),
            password: String::new(),
            hostname: "test".to_owned(),
            time: settings.time,
            spool_folder: settings.spool_folder,
            lock_wait: Duration::ZERO,
        },
        snapshot,
        spec: FilesRestoreSpec::default(),
        allowed: Vec::new(),
        workers: 1,
    };
    let (progress, ctx) = (Arc::<Progress>::default(), Ctx::default());
    let parts = parts(&order, (&vault, &Rules::new(&[], &[]).unwrap()), Some(&target)).unwrap();
    let implied = GIVEN_FILES * FILE_BYTES;
    std::thread::scope(|scope| {
        let restoring = scope.spawn(|| run(&order, (&vault, &parts), (&progress, &ctx)).unwrap());
        stopped.recv().unwrap();
        // What was given is on its way to the disk.
        let is_written = || progress.read().bytes_done >= implied;
        for _ in (0..60_000).take_while(|_| !is_written()) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let counters = progress.read();
        assert_eq!((counters.bytes_done, counters.bytes_total), (implied, Some(FILES * FILE_BYTES)));
        assert_eq!(counters.bytes_actual, implied);
        assert_eq!(counters.progress(), 3333);
        drop(release);
        assert!(!restoring.join().unwrap().is_partial);
    });
    let counters = progress.read();
    assert_eq!((counters.bytes_done, counters.bytes_actual), (FILES * FILE_BYTES, FILES * FILE_BYTES));
    assert_eq!((counters.items_done, counters.items_actual), (FILES + 1, FILES + 1));
    assert_eq!(counters.progress(), FULL_PROGRESS - 1, "what makes it whole is the end of the job");
}
