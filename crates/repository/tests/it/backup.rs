//! Backups, judged by restic: what we store it restores, and what it stored we find again.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lifeboat_adapters::files::{FilesOptions, FilesSource};
use lifeboat_repository::backup::BackupOptions;
use lifeboat_repository::lock::LockMode;
use lifeboat_repository::source::{EntryError, Event, Source};
use lifeboat_repository::storage::{FileId, FileKind, LocalStorage, MemStorage};
use lifeboat_repository::{Ctx, ErrorKind};
use lifeboat_testkit::digest::{Digest, DigestOptions};
use lifeboat_testkit::random::Random;
use lifeboat_testkit::repository::{backup, init, lock, open, options};
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

#[test]
fn an_unchanged_tree_is_not_read_again() {
    let work = work_folder(3);
    let repository = init(Arc::new(MemStorage::new()));
    let first = backup(&repository, work.path(), &["tree"], None).unwrap();
    let second = backup(&repository, work.path(), &["tree"], first.snapshot).unwrap();
    assert_eq!((second.bytes_read, second.data_blobs, second.tree_blobs), (0, 0, 0));
    assert_eq!((second.files.new, second.files.changed), (0, 0));
    assert_eq!(second.files.unmodified, first.files.new);
    assert_eq!(second.dirs.unmodified, first.dirs.new);
    assert_eq!(second.tree, first.tree);
}

#[test]
fn a_change_that_keeps_size_and_mtime_is_seen_by_its_ctime() {
    let work = TempDir::new().unwrap();
    let file = work.path().join("file");
    std::fs::write(&file, "one").unwrap();
    let mtime = std::fs::metadata(&file).unwrap().modified().unwrap();
    let repository = init(Arc::new(MemStorage::new()));
    let first = backup(&repository, work.path(), &["file"], None).unwrap();
    std::fs::write(&file, "two").unwrap();
    std::fs::File::options().append(true).open(&file).unwrap().set_modified(mtime).unwrap();
    let second = backup(&repository, work.path(), &["file"], first.snapshot).unwrap();
    assert_eq!((second.files.changed, second.data_blobs), (1, 1));
}

#[test]
fn an_attribute_that_cannot_be_read_is_named_by_every_backup() {
    let work = TempDir::new().unwrap();
    let file = work.path().join("file");
    std::fs::write(&file, "content").unwrap();
    rustix::fs::setxattr(&file, OsStr::from_bytes(b"user.\xff"), b"", rustix::fs::XattrFlags::empty())
        .unwrap();
    let repository = init(Arc::new(MemStorage::new()));
    let first = backup(&repository, work.path(), &["file"], None).unwrap();
    let second = backup(&repository, work.path(), &["file"], first.snapshot).unwrap();
    assert_eq!((first.lost_count, second.lost_count), (1, 1));
}

#[test]
fn a_dry_run_says_what_would_be_stored_and_stores_nothing() {
    let work = work_folder(4);
    let storage = MemStorage::new();
    let repository = init(Arc::new(storage.clone()));
    let before = storage.contents();
    let roots = [PathBuf::from("tree")];
    let mut source = FilesSource::open(&roots, work.path(), FilesOptions::default()).unwrap();
    let options = BackupOptions { dry_run: true, ..options(&roots, None) };
    let lock_guard = lock(&repository, LockMode::Shared);
    let dry = repository.backup(&mut source, options, &lock_guard, &Ctx::default()).unwrap();
    lock_guard.release().unwrap();
    assert_eq!(storage.contents(), before);
    let real = backup(&repository, work.path(), &["tree"], None).unwrap();
    assert_eq!(dry.snapshot, None);
    assert_eq!((dry.tree, dry.data_blobs, dry.tree_blobs), (real.tree, real.data_blobs, real.tree_blobs));
    assert_eq!((dry.bytes_added, dry.files, dry.dirs), (real.bytes_added, real.files, real.dirs));
}

#[test]
fn a_file_larger_than_any_buffer_keeps_its_content_and_its_holes() {
    let work = TempDir::new().unwrap();
    let tree = work.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    let mut random = Random::new(5);
    let file = std::fs::File::create(tree.join("large")).unwrap();
    for megabyte in 0..24u64 {
        let content = random.bytes(1 << 20);
        file.write_all_at(&content, megabyte * (3 << 20)).unwrap();
    }
    drop(file);
    let vault = work.path().join("vault");
    let repository = init(Arc::new(LocalStorage::new(&vault)));
    let report = backup(&repository, work.path(), &["tree"], None).unwrap();
    assert_eq!(report.bytes_processed, 70 << 20);
    let restic = Restic::new(&vault);
    restic.check();
    restic.restore("latest", &work.path().join("back"));
    digest(&tree).assert_same(&digest(&work.path().join("back/tree")), "restored by restic");
}

#[test]
fn a_cancelled_backup_keeps_what_was_stored_and_the_next_one_uses_it() {
    let work = TempDir::new().unwrap();
    let tree = work.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    let mut random = Random::new(6);
    // Each file is one blob: shorter than any that the chunker would cut.
    for name in 0..200 {
        std::fs::write(tree.join(format!("{name:03}")), random.bytes(500_000)).unwrap();
    }
    let storage = MemStorage::new();
    let repository = init(Arc::new(storage.clone()));
    let roots = [PathBuf::from("tree")];
    let mut files = FilesSource::open(&roots, work.path(), FilesOptions::default()).unwrap();
    let ctx = Ctx::default();
    // Cancels once the first pack is stored, while the walk is still under way.
    let mut source = CancelWhen { files: &mut files, stop: || !packs(&storage).is_empty() };
    let guard = lock(&repository, LockMode::Shared);
    let error = repository.backup(&mut source, options(&roots, None), &guard, &ctx).unwrap_err();
    guard.release().unwrap();
    assert_eq!(error.kind, ErrorKind::Cancelled);
    let kept = packs(&storage).len();
    assert!(kept > 0);
    let repository = open(Arc::new(storage.clone()));
    let report = backup(&repository, work.path(), &["tree"], None).unwrap();
    assert!(report.data_blobs < 200, "{} of 200 blobs were stored again", report.data_blobs);
    assert_eq!(report.bytes_processed, 200 * 500_000);
}

fn packs(storage: &MemStorage) -> Vec<FileId> {
    storage.contents().into_keys().filter(|file| file.kind == FileKind::Pack).collect()
}

/// A source that cancels its backup at a moment.
struct CancelWhen<'a, F> {
    files: &'a mut FilesSource,
    stop: F,
}

impl<F: Fn() -> bool> Source for CancelWhen<'_, F> {
    fn next_event(&mut self, ctx: &Ctx) -> Option<Result<Event, EntryError>> {
        if (self.stop)() {
            ctx.cancel.cancel();
        }
        self.files.next_event(ctx)
    }
}
