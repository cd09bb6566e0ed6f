//! What the options of a restore do: selection, overwriting, deleting, dry runs, verification, holes.

use std::fs::{self, FileTimes};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, SystemTime};

use lifeboat_repository::id::BlobId;
use lifeboat_repository::pattern::{Case, PatternList};
use lifeboat_repository::repository::Repository;
use lifeboat_repository::restore::{
    ActionKind, Overwrite, RestoreOptions, RestoreReport, Selected, Selection,
};
use tempfile::TempDir;

use super::handmade::{HandMade, dir, file};
use super::{digest, restore};

/// `a/one`, `a/two`, `b/three`, `top`.
fn sample() -> (Repository, BlobId) {
    let mut made = HandMade::new();
    let (one, two) = (made.file("one", "1"), made.file("two", "22"));
    let three = made.file("three", "333");
    let (a, b) = (made.tree(&[one, two]), made.tree(&[three]));
    let top = made.file("top", "4444");
    let tree = made.tree(&[dir("a", a), dir("b", b), top]);
    (made.open().1, tree)
}

fn names(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            found.push(path.strip_prefix(folder).unwrap().display().to_string());
            // Links are not followed: one of them points out of the tree.
            if path.symlink_metadata().unwrap().is_dir() {
                folders.push(path);
            }
        }
    }
    found.sort();
    found
}

struct Only(PatternList);

impl Selection for Only {
    fn judge(&self, path: &[u8], is_dir: bool) -> Selected {
        let verdict = self.0.judge(path);
        Selected { itself: verdict.matches, below: verdict.may_match_below && is_dir }
    }
}

fn only(pattern: &str) -> RestoreOptions {
    let select = Arc::new(Only(PatternList::parse([pattern], Case::Sensitive).unwrap()));
    RestoreOptions { select, ..RestoreOptions::default() }
}

#[test]
fn only_what_is_selected_is_made_and_the_folders_on_the_way() {
    let (repository, tree) = sample();
    let target = TempDir::new().unwrap();
    let report = restore(&repository, tree, target.path(), &only("two"));
    assert_eq!(names(target.path()), ["a", "a/two"]);
    assert_eq!((report.files, report.folders), (1, 1));
    assert_eq!(fs::metadata(target.path().join("a")).unwrap().mode() & 0o7777, 0o755);
}

/// Restores and gives the report with what it said of single entries, in the order of their paths.
fn acted(
    repository: &Repository,
    tree: BlobId,
    target: &Path,
    options: &RestoreOptions,
) -> (RestoreReport, Vec<(ActionKind, String)>) {
    let (actions, acted) = sync_channel(100);
    let report =
        restore(repository, tree, target, &RestoreOptions { actions: Some(actions), ..options.clone() });
    let mut acted: Vec<_> =
        acted.into_iter().map(|action| (action.kind, action.path.to_str().unwrap().to_owned())).collect();
    acted.sort_by(|one, other| one.1.cmp(&other.1));
    (report, acted)
}

#[test]
fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let (repository, tree) = sample();
    let target = TempDir::new().unwrap();
    fs::create_dir(target.path().join("a")).unwrap();
    fs::write(target.path().join("a/one"), "other").unwrap();
    fs::write(target.path().join("a/extra"), "extra").unwrap();
    let before = digest(target.path());
    let options = RestoreOptions { dry_run: true, delete: true, ..RestoreOptions::default() };
    let (report, would) = acted(&repository, tree, target.path(), &options);
    before.assert_same(&digest(target.path()), "after a dry run");
    assert_eq!((report.files, report.bytes, report.deleted), (4, 10, 1));
    let expected = [
        (ActionKind::Delete, "/a/extra"),
        (ActionKind::Replace, "/a/one"),
        (ActionKind::Create, "/a/two"),
        (ActionKind::Create, "/b"),
        (ActionKind::Create, "/b/three"),
        (ActionKind::Create, "/top"),
    ];
    assert_eq!(would, expected.map(|(kind, path)| (kind, path.to_owned())));
    // Nor is the target itself made.
    let nowhere = target.path().join("not/there");
    let report = restore(&repository, tree, &nowhere, &options);
    assert_eq!((report.files, report.lost_count), (4, 0));
    assert!(!target.path().join("not").exists());
    let (_, did) = acted(&repository, tree, target.path(), &RestoreOptions { dry_run: false, ..options });
    assert_eq!(did, would);
}

#[test]
fn what_is_there_already_is_told_as_such() {
    let (repository, tree) = sample();
    let target = TempDir::new().unwrap();
    restore(&repository, tree, target.path(), &RestoreOptions::default());
    fs::remove_file(target.path().join("top")).unwrap();
    for (overwrite, told) in
        [(Overwrite::IfChanged, ActionKind::Update), (Overwrite::Never, ActionKind::Skip)]
    {
        let options = RestoreOptions { overwrite, ..RestoreOptions::default() };
        let (report, did) = acted(&repository, tree, target.path(), &options);
        let told = ["/a/one", "/a/two", "/b/three"].map(|path| (told, path.to_owned()));
        let (last, first) = did.split_last().unwrap();
        assert_eq!((first, report.skipped), (&told[..], 3));
        assert_eq!(last, &(ActionKind::Create, "/top".to_owned()));
        fs::remove_file(target.path().join("top")).unwrap();
    }
}

#[test]
fn who_stops_listening_does_not_stop_a_restore() {
    let (repository, tree) = sample();
    let target = TempDir::new().unwrap();
    let (actions, deaf) = sync_channel(0);
    drop(deaf);
    let options = RestoreOptions { actions: Some(actions), ..RestoreOptions::default() };
    assert_eq!(restore(&repository, tree, target.path(), &options).files, 4);
}

#[test]
fn deleting_keeps_to_restored_folders_and_to_the_selection() {
    let (repository, tree) = sample();
    let target = TempDir::new().unwrap();
    let fill = || {
        for name in ["a", "c/deep", "b"] {
            fs::create_dir_all(target.path().join(name)).unwrap();
        }
        for name in ["a/extra", "b/extra", "c/deep/extra", "extra"] {
            fs::write(target.path().join(name), "extra").unwrap();
        }
        std::os::unix::fs::symlink("/", target.path().join("b/link")).unwrap();
    };
    fill();
    let options = RestoreOptions { delete: true, ..only("/a") };
    let report = restore(&repository, tree, target.path(), &options);
    assert_eq!((report.deleted, report.lost_count), (1, 0), "{:?}", report.lost);
    let left = ["a", "a/one", "a/two", "b", "b/extra", "b/link", "c", "c/deep", "c/deep/extra", "extra"];
    assert_eq!(names(target.path()), left);
    let options = RestoreOptions { delete: true, ..RestoreOptions::default() };
    let report = restore(&repository, tree, target.path(), &options);
    assert_eq!((report.deleted, report.lost_count), (4, 0), "{:?}", report.lost);
    assert_eq!(names(target.path()), ["a", "a/one", "a/two", "b", "b/three", "top"]);
}

#[test]
fn a_folder_with_content_gives_way_to_a_file_only_when_deleting() {
    let (repository, tree) = sample();
    let target = TempDir::new().unwrap();
    fs::create_dir_all(target.path().join("top/inner")).unwrap();
    let report = restore(&repository, tree, target.path(), &RestoreOptions::default());
    assert_eq!(report.lost_count, 1);
    assert!(target.path().join("top/inner").is_dir());
    let options = RestoreOptions { delete: true, ..RestoreOptions::default() };
    assert_eq!(restore(&repository, tree, target.path(), &options).lost_count, 0);
    assert_eq!(fs::read_to_string(target.path().join("top")).unwrap(), "4444");
}

#[test]
fn what_exists_is_overwritten_as_was_asked() {
    let (repository, tree) = sample();
    let snapshot_time = SystemTime::UNIX_EPOCH + Duration::new(1_612_325_106, 7);
    let hour = Duration::from_secs(3600);
    // Of the same size, and as old, older, or younger than in the snapshot.
    for (overwrite, expected) in [
        (Overwrite::Always, ["1", "22", "333"]),
        (Overwrite::IfChanged, ["x", "22", "333"]),
        (Overwrite::IfNewer, ["x", "22", "xxx"]),
        (Overwrite::Never, ["x", "xx", "xxx"]),
    ] {
        let target = TempDir::new().unwrap();
        let before = [
            ("a/one", "x", snapshot_time),
            ("a/two", "xx", snapshot_time - hour),
            ("b/three", "xxx", snapshot_time + hour),
        ];
        for (name, content, mtime) in before {
            let path = target.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_times(FileTimes::new().set_modified(mtime)).unwrap();
        }
        let options = RestoreOptions { overwrite, verify: true, ..RestoreOptions::default() };
        let report = restore(&repository, tree, target.path(), &options);
        let after = before.map(|(name, ..)| fs::read_to_string(target.path().join(name)).unwrap());
        assert_eq!(after, expected, "{overwrite:?}");
        assert_eq!(report.lost_count, 0, "{overwrite:?}: what was skipped is not verified");
        assert_eq!(report.skipped, after.iter().filter(|content| content.starts_with('x')).count() as u64);
        assert_eq!(fs::read_to_string(target.path().join("top")).unwrap(), "4444");
    }
}

#[test]
fn runs_of_zeros_become_holes() {
    let mut made = HandMade::new();
    let zeros = made.data(&vec![0; 1 << 20]);
    let mixed = [vec![7; 5000], vec![0; 1 << 20], vec![8; 5000], vec![0; 300_000]].concat();
    let mixed_blob = made.data(&mixed);
    let size = 64 << 20;
    let tree = made.tree(&[
        file("empty", 0, &[]),
        file("mixed", mixed.len(), &[mixed_blob]),
        file("zeros", size, &vec![zeros; 64]),
    ]);
    let (_, repository) = made.open();
    for sparse in [true, false] {
        let target = TempDir::new().unwrap();
        let options = RestoreOptions { sparse, verify: true, ..RestoreOptions::default() };
        let report = restore(&repository, tree, target.path(), &options);
        assert_eq!((report.verified, report.lost_count), (3, 0), "{:?}", report.lost);
        assert_eq!(fs::read(target.path().join("mixed")).unwrap(), mixed);
        let status = |name: &str| fs::metadata(target.path().join(name)).unwrap();
        assert_eq!(status("zeros").len(), size as u64);
        if sparse {
            assert_eq!(status("zeros").blocks(), 0);
            assert!(status("mixed").blocks() * 512 < 100_000);
        } else {
            assert!(status("zeros").blocks() * 512 >= size as u64);
        }
    }
}
