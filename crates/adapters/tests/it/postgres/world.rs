//! What the tests of PostgreSQL share: a vault, a backup into it, a restore out of it.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lifeboat_adapters::endpoint::Endpoint;
use lifeboat_adapters::files::FilesTarget;
use lifeboat_adapters::sql::SqlError;
use lifeboat_adapters::sql::postgres::{BaseBackup, BaseSummary, Instance};
use lifeboat_repository::backup::BackupReport;
use lifeboat_repository::intake::{Intake, IntakeOptions};
use lifeboat_repository::lock::LockMode;
use lifeboat_repository::repository::Repository;
use lifeboat_repository::restore::RestoreOptions;
use lifeboat_repository::storage::{FileKind, MemStorage, list_ids};
use lifeboat_repository::{Ctx, Error};
use lifeboat_testkit::postgres::{Postgres, run};
use lifeboat_testkit::repository::{init, lock, open, snapshot_of};

/// Far longer than anything takes.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

pub(super) fn endpoint(server: &Postgres, database: &str) -> Endpoint {
    server.url(database).parse().unwrap()
}

/// An empty vault in memory.
pub(super) fn vault() -> Repository {
    let storage = MemStorage::new();
    init(Arc::new(storage.clone()));
    open(Arc::new(storage))
}

/// Takes in what `fill` gives, reads it back and makes a backup of it.
pub(super) fn receive<T>(
    repository: &Repository,
    fill: impl FnOnce(&Intake<'_>) -> Result<T, SqlError>,
) -> Result<(BackupReport, T), SqlError> {
    let ctx = Ctx::default();
    let lock = lock(repository, LockMode::Shared);
    let options = IntakeOptions { folder: "rm-1".into(), workers: 2 };
    let stored = repository.receive(&options, fill, &lock, &ctx).and_then(|(stored, filled)| {
        stored.read_back(repository, &ctx)?;
        Ok((stored.commit(repository, snapshot_of(&[]), &lock, &ctx)?, filled))
    });
    lock.release()?;
    stored
}

/// A physical backup.
pub(super) fn back_up(
    server: &Postgres,
    repository: &Repository,
) -> Result<(BackupReport, BaseSummary), SqlError> {
    back_up_at(&endpoint(server, "postgres"), repository)
}

pub(super) fn back_up_at(
    endpoint: &Endpoint,
    repository: &Repository,
) -> Result<(BackupReport, BaseSummary), SqlError> {
    let ctx = Ctx::default();
    let base = BaseBackup::begin(endpoint, "test", &ctx)?;
    receive(repository, |intake| base.stream_into(intake, &ctx))
}

/// A server made of a backup, stopped at the end of the test however that comes.
pub(super) struct Running(pub(super) Instance);

impl Running {
    pub(super) fn start(instance: Instance) -> Self {
        let running = Self(instance);
        running.0.start(&Ctx::default()).unwrap();
        running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.stop(&Ctx::default()).unwrap();
    }
}

/// How many backups the vault has.
pub(super) fn backups(repository: &Repository) -> usize {
    list_ids(repository.storage(), FileKind::Snapshot).unwrap().len()
}

/// Runs statements whose answers do not matter.
pub(super) fn execute(server: &Postgres, database: &str, statements: &[&str]) {
    for sql in statements {
        let _printed = server.query(database, sql);
    }
}

/// The whole of a database as SQL, from the server in `socket`.
pub(super) fn content(server: &Postgres, socket: &Path, database: &str) -> Vec<String> {
    let mut dump = server.program("pg_dump");
    let text = run(dump.env("PGHOST", socket).env("PGDATABASE", database));
    // A word that is another one each time.
    text.lines().filter(|line| !line.contains("restrict ")).map(str::to_owned).collect()
}

/// Restores the folder of the instance.
pub(super) fn restore(repository: &Repository, report: &BackupReport, to: &Path) -> Result<(), Error> {
    let ctx = Ctx::default();
    let top = repository.read_tree(report.tree.unwrap())?.next().unwrap()?;
    let target = FilesTarget::open(to, Path::new("/"), Path::new("/tmp")).unwrap();
    let done = repository.restore(top.subtree.unwrap(), &target, &RestoreOptions::default(), &ctx)?;
    assert_eq!(done.lost_count, 0, "{:?}", done.lost);
    Ok(())
}

/// Waits until something is so.
pub(super) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what} is not so");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Nothing of ours is left in the server: no session of replication, no slot, no backup mode.
pub(super) fn is_left_alone(server: &Postgres) -> bool {
    let sql = "SELECT (SELECT count(*) FROM pg_replication_slots) + \
               (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender')";
    let label = fs::exists(server.folder().join("data/backup_label")).unwrap();
    server.query("postgres", sql).trim() == "0" && !label
}
