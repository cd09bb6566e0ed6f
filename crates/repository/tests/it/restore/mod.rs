//! Restores of whole trees: what was backed up comes back, whoever of the two programs did either.

mod faults;
mod handmade;
mod hostile;
mod links;
mod options;

use std::path::Path;
use std::sync::Arc;

use lifeboat_adapters::files::FilesTarget;
use lifeboat_repository::Ctx;
use lifeboat_repository::id::{BlobId, SnapshotId};
use lifeboat_repository::repository::Repository;
use lifeboat_repository::restore::{RestoreOptions, RestoreReport};
use lifeboat_repository::storage::{LocalStorage, MemStorage};
use lifeboat_testkit::digest::{Digest, DigestOptions};
use lifeboat_testkit::repository::{backup, init, open};
use lifeboat_testkit::restic::Restic;
use lifeboat_testkit::tree::{TreeOptions, build};
use tempfile::TempDir;

pub(crate) fn restore(
    repository: &Repository,
    tree: BlobId,
    target: &Path,
    options: &RestoreOptions,
) -> RestoreReport {
    let target = FilesTarget::open(target, Path::new("/"), Path::new("/tmp")).unwrap();
    repository.restore(tree, &target, options, &Ctx::default()).unwrap()
}

/// Restores all of a tree and verifies it; nothing may be lost.
#[track_caller]
pub(crate) fn restore_all(repository: &Repository, tree: BlobId, target: &Path) -> RestoreReport {
    let options = RestoreOptions { verify: true, ..RestoreOptions::default() };
    let report = restore(repository, tree, target, &options);
    assert!(report.lost.is_empty(), "{:?}", report.lost);
    assert!(report.verified >= report.files, "further names of a file are verified as well");
    report
}

pub(crate) fn digest(folder: &Path) -> Digest {
    Digest::of(folder, &DigestOptions::default()).unwrap()
}

fn work_folder(seed: u64, options: &TreeOptions) -> TempDir {
    let work = TempDir::new().unwrap();
    let tree = work.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    build(&tree, seed, options);
    work
}

#[test]
fn what_was_backed_up_comes_back_exactly() {
    for seed in 0..6 {
        let options = TreeOptions { raw_link_targets: true, ..TreeOptions::default() };
        let work = work_folder(seed, &options);
        let repository = init(Arc::new(MemStorage::new()));
        let report = backup(&repository, work.path(), &["tree"], None).unwrap();
        restore_all(&repository, report.tree.unwrap(), &work.path().join("back"));
        let before = digest(&work.path().join("tree"));
        before.assert_same(&digest(&work.path().join("back/tree")), &format!("restored, seed {seed}"));
    }
}

#[test]
fn what_restic_backed_up_we_restore() {
    let options = TreeOptions { raw_link_targets: false, ..TreeOptions::default() };
    let work = work_folder(70, &options);
    let vault = work.path().join("vault");
    let restic = Restic::init(&vault);
    restic.backup(work.path(), ["tree"]);
    let repository = open(Arc::new(LocalStorage::new(&vault)));
    let snapshot = newest(&repository);
    restore_all(&repository, repository.load_snapshot(snapshot).unwrap().tree, &work.path().join("back"));
    digest(&work.path().join("tree")).assert_same(&digest(&work.path().join("back/tree")), "restored by us");
}

fn newest(repository: &Repository) -> SnapshotId {
    let ids = lifeboat_repository::storage::list_ids(
        repository.storage(),
        lifeboat_repository::storage::FileKind::Snapshot,
    );
    SnapshotId::new(*ids.unwrap().last().unwrap())
}
