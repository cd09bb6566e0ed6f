//! A folder to back up, a vault, and what became of a job.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lifeboat_model::files::{FilesRestoreSpec, FilesSpec};
use lifeboat_model::job::JobCounters;
use lifeboat_model::plan::BackupSpec;
use lifeboat_testkit::repository::settings;
use lifeboat_testkit::restic::Restic;
use lifeboat_worker::{
    BackupOrder, Ctx, Done, ItemLog, JobError, Progress, RestoreOrder, VaultAccess, back_up, create_vault,
    error_file, make_reports, read_snapshots, report_files, restore,
};

pub(crate) struct Scene {
    folder: tempfile::TempDir,
    access: VaultAccess,
}

/// One job that is over.
pub(crate) struct Ran {
    pub(crate) done: Result<Done, JobError>,
    pub(crate) counters: JobCounters,
    /// The rows of the report: path, status, reason.
    pub(crate) rows: Vec<[String; 3]>,
    /// The paths in the list of what failed.
    pub(crate) failed: Vec<String>,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let access = VaultAccess {
            place: folder.path().join("vault"),
            password: "secret".to_owned(),
            hostname: "test".to_owned(),
            time: settings().time,
            spool_folder: folder.path().to_owned(),
            lock_wait: Duration::ZERO,
        };
        create_vault(&access, &Ctx::default()).unwrap();
        fs::create_dir(folder.path().join("source")).unwrap();
        Self { folder, access }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn access(&self) -> VaultAccess {
        self.access.clone()
    }

    pub(crate) fn source(&self) -> PathBuf {
        self.path("source")
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let file = self.source().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }

    pub(crate) fn restic(&self) -> Restic {
        Restic::new(self.path("vault"))
    }

    /// The files of the vault that hold content.
    pub(crate) fn packs(&self) -> Vec<PathBuf> {
        let folders = fs::read_dir(self.path("vault/data")).unwrap();
        let files = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
        files.map(|file| file.unwrap().path()).collect()
    }

    pub(crate) fn order(&self, paths: &[&Path], parent: Option<&Ran>) -> BackupOrder {
        let paths = paths.iter().map(|path| path.to_str().unwrap().to_owned()).collect();
        BackupOrder {
            about: serde_json::Value::Null,
            vault: self.access.clone(),
            spec: BackupSpec { files: FilesSpec { paths, ..FilesSpec::default() }, ..BackupSpec::default() },
            tags: Vec::new(),
            parent: parent.map(Ran::snapshot),
            allowed: vec![PathBuf::from("/")],
            speed_limit: None,
            workers: 2,
        }
    }

    pub(crate) fn back_up(&self, order: &BackupOrder) -> Ran {
        let ran = self.run(|progress, ctx| back_up(order, progress, ctx));
        if let Ok(done) = &ran.done {
            // Whoever finds the snapshot and no end of the job knows what came of it.
            let (found, _) = read_snapshots(&self.access, &[ran.snapshot()], &Ctx::default()).unwrap();
            assert_eq!((found[0].counters, found[0].is_partial), (Some(ran.counters), done.is_partial));
        }
        ran
    }

    pub(crate) fn restore(&self, snapshot: &Ran, spec: FilesRestoreSpec) -> Ran {
        let order = RestoreOrder {
            vault: self.access.clone(),
            snapshot: snapshot.snapshot(),
            spec,
            allowed: vec![PathBuf::from("/")],
            workers: 2,
        };
        self.run(|progress, ctx| restore(&order, progress, ctx))
    }

    fn run(&self, job: impl FnOnce(&Arc<Progress>, &Ctx) -> Result<Done, JobError>) -> Ran {
        let folder = tempfile::tempdir_in(&self.folder).unwrap();
        let log = ItemLog::create(folder.path(), "job-1").unwrap();
        let progress = Arc::new(Progress::new(Some(log)));
        let done = job(&progress, &Ctx::default());
        let has_errors = progress.log().unwrap().finish().unwrap();
        assert_eq!(has_errors, folder.path().join(error_file("job-1")).exists());
        make_reports(folder.path(), "job-1").unwrap();
        let [total, ..] = report_files("job-1");
        let table = csv::Reader::from_path(folder.path().join(total)).unwrap().into_records();
        let rows = table.map(|row| [0, 4, 5].map(|at| row.as_ref().unwrap()[at].to_owned())).collect();
        let errors =
            csv::ReaderBuilder::new().delimiter(b'\t').from_path(folder.path().join(error_file("job-1")));
        let errors = errors.into_iter().flat_map(csv::Reader::into_records);
        let failed = errors.map(|row| row.unwrap()[0].to_owned()).collect();
        Ran { done, counters: progress.read(), rows, failed }
    }
}

impl Ran {
    pub(crate) fn snapshot(&self) -> String {
        self.done.as_ref().unwrap().snapshot.clone().unwrap()
    }

    pub(crate) fn is_partial(&self) -> bool {
        self.done.as_ref().unwrap().is_partial
    }

    pub(crate) fn count(&self, status: &str) -> u64 {
        self.rows.iter().filter(|row| row[1] == status).count() as u64
    }
}
