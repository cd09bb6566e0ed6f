//! Backups, judged by restic: what we store it restores, and what it stored we find again.

use std::path::Path;
use std::sync::Arc;

use lifeboat_repository::storage::LocalStorage;
use lifeboat_testkit::digest::{Digest, DigestOptions};
use lifeboat_testkit::repository::{backup, init, open};
use lifeboat_testkit::restic::Restic;
use lifeboat_testkit::tree::{TreeOptions, build};
use tempfile::TempDir;

fn digest(folder: &Path) -> Digest {
    Digest::of(folder, &DigestOptions::default()).unwrap()
}

/// A random tree at `work/tree`.
fn work_folder(seed: u64) -> TempDir {
    let work = TempDir::new().unwrap();
    let tree = work.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    build(&tree, seed, &TreeOptions::default());
    work
}

#[test]
fn restic_restores_what_we_back_up() {
    let work = work_folder(1);
    let vault = work.path().join("vault");
    let repository = init(Arc::new(LocalStorage::new(&vault)));
    let report = backup(&repository, work.path(), &["tree"], None).unwrap();
    assert_eq!(report.lost_count, 0, "{:?}", report.lost);
    let restic = Restic::new(&vault);
    restic.check();
    restic.restore("latest", &work.path().join("back"));
    digest(&work.path().join("tree"))
        .assert_same(&digest(&work.path().join("back/tree")), "restored by restic");
}

#[test]
fn what_restic_has_stored_is_not_stored_again() {
    let work = work_folder(2);
    let vault = work.path().join("vault");
    let restic = Restic::init(&vault);
    restic.backup(work.path(), ["tree"]);
    let repository = open(Arc::new(LocalStorage::new(&vault)));
    let report = backup(&repository, work.path(), &["tree"], None).unwrap();
    assert_eq!((report.data_blobs, report.tree_blobs), (0, 0));
    restic.check();
}
