//! Repositories for tests: cheap keys, a fixed clock, backups of real folders by one call.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use lifeboat_adapters::files::{FilesOptions, FilesSource};
use lifeboat_repository::Ctx;
use lifeboat_repository::backup::{BackupOptions, BackupReport, ChangeDetection};
use lifeboat_repository::clock::{Clock, RealPace, Time};
use lifeboat_repository::config::Version;
use lifeboat_repository::id::{BlobId, SnapshotId};
use lifeboat_repository::intake::{Intake, IntakeOptions};
use lifeboat_repository::key::{KdfCost, KeyOrigin, Password};
use lifeboat_repository::lock::{Holder, LockGuard, LockMode, LockOptions};
use lifeboat_repository::pack::Compression;
use lifeboat_repository::repository::{NewRepository, Repository, Settings};
use lifeboat_repository::snapshot::{SnapshotFile, SnapshotTime};
use lifeboat_repository::storage::Storage;

/// The password of every test repository, restic's included.
pub const PASSWORD: &str = "secret";

/// The clock of the machine; tests that bend time bring their own.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "restic's locks are judged by real time")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// Settings in UTC, with spools in the system's temporary folder.
pub fn settings() -> Settings {
    Settings {
        time: Time { clock: Arc::new(SystemClock), zone: TimeZone::UTC },
        spool_folder: std::env::temp_dir(),
        compression: Compression::Auto,
        pack_bytes: Settings::PACK_BYTES,
    }
}

/// A new repository of format version 2 with the password [`PASSWORD`].
pub fn init(storage: Arc<dyn Storage>) -> Repository {
    init_version(storage, Version::V2)
}

pub fn init_version(storage: Arc<dyn Storage>, version: Version) -> Repository {
    let origin =
        KeyOrigin { created: Timestamp::UNIX_EPOCH, hostname: "test".into(), username: "test".into() };
    let password = Password::new(PASSWORD);
    let new = NewRepository { version, polynomial: None, password, cost: KdfCost::CHEAPEST, origin };
    Repository::init(storage, new, settings()).expect("an empty storage takes a repository")
}

/// Opens a repository with [`PASSWORD`] and loads its index.
pub fn open(storage: Arc<dyn Storage>) -> Repository {
    let repository = Repository::open(storage, &Password::new(PASSWORD), settings()).expect("it opens");
    repository.load_index(&Ctx::default()).expect("its index loads");
    repository
}

/// Takes a lock as this process.
pub fn lock(repository: &Repository, mode: LockMode) -> LockGuard {
    let options = LockOptions {
        mode,
        holder: Holder::of_this_process("test", "test"),
        retry_for: Duration::ZERO,
        time: settings().time,
        pace: Arc::new(RealPace),
    };
    repository.lock(options, &Ctx::default()).expect("nobody else holds a lock")
}

/// A snapshot of `paths` by the host `test` at the real time, yet without a tree.
pub fn snapshot_of(paths: &[PathBuf]) -> SnapshotFile {
    let now = SnapshotTime::new(SystemClock.now(), &TimeZone::UTC);
    SnapshotFile {
        paths: paths.iter().map(|path| path.to_string_lossy().into_owned()).collect(),
        hostname: "test".into(),
        username: "test".into(),
        ..SnapshotFile::new(now, BlobId::of(&[]))
    }
}

/// Options as the command line has them by default.
pub fn options(paths: &[PathBuf], parent: Option<SnapshotId>) -> BackupOptions {
    BackupOptions {
        snapshot: snapshot_of(paths),
        parent,
        detection: ChangeDetection::default(),
        dry_run: false,
        skip_if_unchanged: false,
        workers: 2,
        items: None,
    }
}

/// Backs up `roots` from the folder `current` under a shared lock; the index must be loaded.
pub fn backup(
    repository: &Repository,
    current: &Path,
    roots: &[&str],
    parent: Option<SnapshotId>,
) -> Result<BackupReport, lifeboat_repository::Error> {
    let roots: Vec<PathBuf> = roots.iter().map(PathBuf::from).collect();
    let files = FilesSource::open(&roots, current, FilesOptions::default());
    let mut source = files.expect("the roots exist");
    let lock = lock(repository, LockMode::Shared);
    let report = repository.backup(&mut source, options(&roots, parent), &lock, &Ctx::default());
    lock.release()?;
    report
}

/// Takes in what `fill` hands over, below no folder, reads it back, and makes a snapshot of it.
pub fn take_in<T, E: From<lifeboat_repository::Error>>(
    repository: &Repository,
    fill: impl FnOnce(&Intake<'_>) -> Result<T, E>,
    ctx: &Ctx,
) -> Result<(BackupReport, T), E> {
    let lock = lock(repository, LockMode::Shared);
    let options = IntakeOptions { folder: PathBuf::new(), workers: 2 };
    let (received, filled) = repository.receive(&options, fill, &lock, ctx)?;
    received.read_back(repository, ctx)?;
    let report = received.commit(repository, snapshot_of(&[]), &lock, ctx)?;
    lock.release()?;
    Ok((report, filled))
}
