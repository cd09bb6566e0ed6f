//! A real MariaDB into a real vault and back.

mod facts;
mod failures;
mod logical;
mod physical;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lifeboat_adapters::endpoint::Endpoint;
use lifeboat_adapters::files::FilesTarget;
use lifeboat_adapters::sql::SqlError;
use lifeboat_adapters::sql::mariadb::{Facts, Physical, PhysicalSummary, instance};
use lifeboat_repository::Ctx;
use lifeboat_repository::backup::BackupReport;
use lifeboat_repository::id::BlobId;
use lifeboat_repository::repository::Repository;
use lifeboat_repository::restore::RestoreOptions;
use lifeboat_repository::storage::MemStorage;
use lifeboat_repository::tree::NodeTime;
use lifeboat_testkit::mariadb::{MariaDb, query_at};
use lifeboat_testkit::repository::{init, open, take_in};

const TIME: NodeTime = NodeTime { seconds: 1_800_000_000, nanoseconds: 0 };

fn vault() -> Repository {
    let storage = MemStorage::new();
    init(Arc::new(storage.clone()));
    open(Arc::new(storage))
}

fn endpoint(mariadb: &MariaDb) -> Endpoint {
    mariadb.url().parse().unwrap()
}

fn back_up(mariadb: &MariaDb, vault: &Repository) -> Result<(BackupReport, PhysicalSummary), SqlError> {
    let ctx = Ctx::default();
    let endpoint = endpoint(mariadb);
    let facts = Facts::read(&endpoint, &ctx)?;
    let physical = Physical::begin(&endpoint, &facts, &ctx)?;
    take_in(vault, |intake| physical.stream_into(intake, TIME, &ctx), &ctx)
}

/// Restores a tree into a new folder that others may go through.
fn restored(vault: &Repository, tree: BlobId) -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::Builder::new().prefix("lifeboat-my-").tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let target = FilesTarget::open(folder.path(), Path::new("/"), Path::new("/tmp")).unwrap();
    let report = vault.restore(tree, &target, &RestoreOptions::default(), &Ctx::default()).unwrap();
    assert!(report.lost.is_empty(), "{:?}", report.lost);
    folder
}

/// A server made of a backup; stopped with the test.
struct Clone {
    folder: tempfile::TempDir,
}

impl Clone {
    fn start(vault: &Repository, tree: BlobId) -> Self {
        let clone = Self { folder: restored(vault, tree) };
        clone.begin();
        clone
    }

    fn begin(&self) {
        let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        instance::prepare(self.path(), &Ctx::default()).unwrap();
        instance::start(self.path(), port, &Ctx::default()).unwrap();
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn socket(&self) -> PathBuf {
        instance::socket(self.path())
    }

    fn query(&self, sql: &str) -> String {
        query_at(&self.socket(), sql)
    }
}

impl Drop for Clone {
    fn drop(&mut self) {
        instance::stop(self.path(), &Ctx::default()).unwrap();
    }
}

/// Every table of the users, what it holds, and that it is sound.
fn content(query: &dyn Fn(&str) -> String) -> String {
    let tables = query(
        "SELECT HEX(table_schema), HEX(table_name) FROM information_schema.tables WHERE table_type = 'BASE TABLE' \
         AND table_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema') ORDER BY 1, 2",
    );
    let mut text = String::new();
    for line in tables.lines() {
        let (schema, table) = line.split_once('\t').unwrap();
        let name = |hex: &str| {
            let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
            format!("`{}`", String::from_utf8(bytes.collect()).unwrap().replace('`', "``"))
        };
        let table = format!("{}.{}", name(schema), name(table));
        let check = query(&format!("CHECK TABLE {table} EXTENDED"));
        assert!(check.trim_end().ends_with("OK"), "{check}");
        let sum = query(&format!("CHECKSUM TABLE {table} EXTENDED"));
        text.push_str(&format!("{table} {}", sum.rsplit('\t').next().unwrap()));
    }
    text
}
