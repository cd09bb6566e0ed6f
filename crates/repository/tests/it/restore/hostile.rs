//! Trees and targets that want a restore to write where it must not. Nothing outside the target may change.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use lifeboat_repository::restore::{Overwrite, RestoreOptions, RestoreReport};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use tempfile::TempDir;

use super::handmade::{HandMade, dir, node, symlink as symlink_node};
use super::{digest, restore};

/// A target, and beside it a folder that must not change.
struct Ground {
    work: TempDir,
}

impl Ground {
    fn new() -> Self {
        let work = TempDir::new().unwrap();
        fs::create_dir(work.path().join("target")).unwrap();
        fs::create_dir(work.path().join("outside")).unwrap();
        fs::write(work.path().join("outside/file"), "outside").unwrap();
        Self { work }
    }

    fn target(&self) -> PathBuf {
        self.work.path().join("target")
    }

    fn outside(&self) -> PathBuf {
        self.work.path().join("outside")
    }

    /// Runs `attack` and sees to it that nothing outside has changed.
    #[track_caller]
    fn hold<T>(&self, attack: impl FnOnce() -> T) -> T {
        let before = digest(&self.outside());
        let done = attack();
        before.assert_same(&digest(&self.outside()), "outside the target");
        done
    }
}

fn lost(report: &RestoreReport) -> Vec<String> {
    report.lost.iter().map(|lost| lost.path.display().to_string()).collect()
}

fn hidden_names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).filter(|name| name.starts_with(".lifeboat")).collect()
}

/// Runs `work` as a user without rights, who owns `folder` and all in it.
fn as_nobody<T: Send>(folder: &Path, work: impl FnOnce() -> T + Send) -> T {
    let (uid, gid) = (Uid::from_raw(65534), Gid::from_raw(65534));
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if geteuid().is_root() {
                chown(folder, Some(uid.as_raw()), Some(gid.as_raw())).unwrap();
                set_thread_groups(&[]).unwrap();
                set_thread_res_gid(gid, gid, gid).unwrap();
                set_thread_res_uid(uid, uid, uid).unwrap();
            }
            work()
        });
        thread.join().unwrap()
    })
}

#[test]
fn a_name_that_leads_elsewhere_is_refused_and_named() {
    let ground = Ground::new();
    let mut made = HandMade::new();
    let names = ["", ".", "..", "../outside/file", "/etc/lifeboat", "a/b", "nul\\u0000byte"];
    let mut nodes: Vec<String> = names.iter().map(|name| made.file(name, "evil")).collect();
    nodes.extend(["..", "../outside"].map(|name| symlink_node(name, "/etc")));
    let inner = made.file("file", "evil");
    let inner = made.tree(&[inner]);
    nodes.extend(["..", "../outside"].map(|name| dir(name, inner)));
    nodes.push(made.file("good", "good"));
    let bad = nodes.len() as u64 - 1;
    let tree = made.tree(&nodes);
    let (_, repository) = made.open();
    fs::write(ground.target().join("own"), "stays").unwrap();
    let options = RestoreOptions { delete: true, ..RestoreOptions::default() };
    let report = ground.hold(|| restore(&repository, tree, &ground.target(), &options));
    assert_eq!(report.lost_count, bad, "{:?}", report.lost);
    assert_eq!(fs::read_to_string(ground.target().join("good")).unwrap(), "good");
    // A tree that is not sound says nothing about what does not belong.
    let mut names: Vec<_> =
        fs::read_dir(ground.target()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["good", "own"]);
}

#[test]
fn symlinks_in_the_way_are_replaced_and_never_followed() {
    let ground = Ground::new();
    let mut made = HandMade::new();
    let inner = made.file("file", "from the snapshot");
    let inner = made.tree(&[inner]);
    let file = made.file("file", "from the snapshot");
    let tree = made.tree(&[dir("dir", inner), file, symlink_node("link", "elsewhere")]);
    let (_, repository) = made.open();
    let target = ground.target();
    let plant = || {
        symlink(ground.outside(), target.join("dir")).unwrap();
        symlink(ground.outside().join("file"), target.join("file")).unwrap();
        symlink(ground.outside().join("file"), target.join("link")).unwrap();
    };
    plant();
    let never = RestoreOptions { overwrite: Overwrite::Never, ..RestoreOptions::default() };
    let report = ground.hold(|| restore(&repository, tree, &target, &never));
    assert_eq!((lost(&report), report.skipped), (vec!["/dir".to_owned()], 2));
    let report = ground.hold(|| restore(&repository, tree, &target, &RestoreOptions::default()));
    assert_eq!(report.lost_count, 0, "{:?}", report.lost);
    assert_eq!(fs::read_to_string(target.join("dir/file")).unwrap(), "from the snapshot");
    assert!(fs::symlink_metadata(target.join("file")).unwrap().is_file());
    assert_eq!(fs::read_link(target.join("link")).unwrap(), Path::new("elsewhere"));
    assert!(hidden_names(&target).is_empty());
}

#[test]
fn a_hard_link_to_outside_is_not_written_through() {
    let ground = Ground::new();
    let mut made = HandMade::new();
    let file = made.file("file", "evil");
    let tree = made.tree(&[file]);
    let (_, repository) = made.open();
    fs::hard_link(ground.outside().join("file"), ground.target().join("file")).unwrap();
    for overwrite in [Overwrite::IfChanged, Overwrite::Always] {
        let options = RestoreOptions { overwrite, ..RestoreOptions::default() };
        restore(&repository, tree, &ground.target(), &options);
        assert_eq!(fs::read_to_string(ground.outside().join("file")).unwrap(), "outside");
        assert_eq!(fs::metadata(ground.outside().join("file")).unwrap().nlink(), 1);
    }
    assert_eq!(fs::read_to_string(ground.target().join("file")).unwrap(), "evil");
}

#[test]
fn a_second_entry_of_a_name_is_refused() {
    let ground = Ground::new();
    let mut made = HandMade::new();
    let inner = made.file("file", "evil");
    let inner = made.tree(&[inner]);
    let outside = ground.outside().display().to_string();
    // Once beside each other, once with another name between.
    let tree = made.tree(&[
        symlink_node("dir", &outside),
        dir("dir", inner),
        symlink_node("other", &outside),
        dir("dir", inner),
    ]);
    let (_, repository) = made.open();
    let report = ground.hold(|| restore(&repository, tree, &ground.target(), &RestoreOptions::default()));
    assert_eq!(fs::read(ground.outside().join("file")).unwrap(), b"outside");
    assert_eq!(lost(&report)[0], "/dir");
}

#[test]
fn a_folder_swapped_for_a_symlink_while_it_is_filled_leads_nowhere() {
    let ground = Ground::new();
    let mut made = HandMade::new();
    let nodes: Vec<String> = (0..200).map(|i| made.file(&format!("file{i:03}"), "evil")).collect();
    let inner = made.tree(&nodes);
    let middle = made.tree(&[dir("inner", inner)]);
    let tree = made.tree(&[dir("dir", middle)]);
    let (_, repository) = made.open();
    let target = ground.target();
    fs::create_dir_all(target.join("dir/inner")).unwrap();
    fs::create_dir_all(target.join("other/inner")).unwrap();
    symlink(ground.work.path().join("outside"), target.join("link")).unwrap();
    symlink(ground.work.path().join("outside"), target.join("other/link")).unwrap();
    let is_over = AtomicBool::new(false);
    ground.hold(|| {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let swap = |a: PathBuf, b: PathBuf| {
                    // Either may be gone, or have become the other, at any moment.
                    renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE).ok();
                };
                while !is_over.load(Ordering::Relaxed) {
                    swap(target.join("dir"), target.join("link"));
                    swap(target.join("dir/inner"), target.join("other/link"));
                }
            });
            for _ in 0..30 {
                restore(&repository, tree, &target, &RestoreOptions::default());
            }
            is_over.store(true, Ordering::Relaxed);
        });
    });
    let names: Vec<_> = fs::read_dir(ground.outside()).unwrap().collect();
    assert_eq!(names.len(), 1, "{names:?}");
}

#[test]
fn only_root_makes_devices() {
    let ground = Ground::new();
    let mut made = HandMade::new();
    let good = made.file("good", "good");
    let device = node("null", "chardev", ",\"device\":259,\"content\":null");
    let tree = made.tree(&[good, device]);
    let (_, repository) = made.open();
    fs::set_permissions(ground.work.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let target = ground.target();
    let report = as_nobody(&target, || restore(&repository, tree, &target, &RestoreOptions::default()));
    assert_eq!(lost(&report), ["/null"]);
    assert_eq!(fs::read_to_string(target.join("good")).unwrap(), "good");
    assert!(!target.join("null").exists());
}

#[test]
fn who_is_not_root_fills_folders_that_may_not_be_written_to() {
    let ground = Ground::new();
    let mut made = HandMade::new();
    let file = made.file("file", "content");
    let inner = made.tree(&[file]);
    let locked = |mode: u32| dir("dir", inner).replace(&(0o755 | 1u32 << 31).to_string(), &mode.to_string());
    let read_only = locked(0o500 | 1 << 31);
    let closed =
        locked(1 << 31).replace("\"dir\"", "\"closed\"").replace("\"closed\",\"mode", "\"dir\",\"mode");
    let tree = made.tree(&[closed, read_only]);
    let (_, repository) = made.open();
    fs::set_permissions(ground.work.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let target = ground.target();
    // The second time they are there already.
    for _ in 0..2 {
        let report = as_nobody(&target, || restore(&repository, tree, &target, &RestoreOptions::default()));
        assert_eq!(report.lost_count, 0, "{:?}", report.lost);
        for (name, mode) in [("dir", 0o500), ("closed", 0)] {
            let status = fs::metadata(target.join(name)).unwrap();
            assert_eq!((status.mode() & 0o7777, status.uid()), (mode, owner(&target)));
        }
    }
}

#[test]
fn a_dry_run_unlocks_no_folder() {
    let ground = Ground::new();
    let mut made = HandMade::new();
    let file = made.file("file", "content");
    let inner = made.tree(&[file]);
    let tree = made.tree(&[dir("dir", inner)]);
    let (_, repository) = made.open();
    fs::set_permissions(ground.work.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let target = ground.target();
    fs::create_dir(target.join("dir")).unwrap();
    chown(target.join("dir"), Some(65534), Some(65534)).unwrap();
    fs::set_permissions(target.join("dir"), fs::Permissions::from_mode(0o500)).unwrap();
    let dry = RestoreOptions { dry_run: true, ..RestoreOptions::default() };
    as_nobody(&target, || restore(&repository, tree, &target, &dry));
    assert_eq!(fs::metadata(target.join("dir")).unwrap().mode() & 0o7777, 0o500);
}

fn owner(path: &Path) -> u32 {
    fs::metadata(path).unwrap().uid()
}

#[test]
fn what_cannot_be_made_is_named_and_the_rest_is_restored() {
    let ground = Ground::new();
    let mut made = HandMade::new();
    let good = made.file("zz good", "good");
    let missing = lifeboat_repository::id::BlobId::of(b"in no index");
    let tree = made.tree(&[
        super::handmade::file("data in no index", 11, &[missing]),
        node("device of no device", "dev", ",\"device\":18446744073709551615,\"content\":null"),
        node("kind unknown", "wormhole", ""),
        dir("subtree in no index", missing),
        node("subtree without name", "dir", ""),
        symlink_node("target empty", ""),
        node(
            "xattr",
            "symlink",
            ",\"linktarget\":\"x\",\"extended_attributes\":[{\"name\":\"\",\"value\":\"\"}]",
        ),
        good,
    ]);
    let (_, repository) = made.open();
    let report = ground.hold(|| restore(&repository, tree, &ground.target(), &RestoreOptions::default()));
    let mut named = lost(&report);
    named.sort();
    let expected = [
        "/data in no index",
        "/device of no device",
        "/kind unknown",
        "/subtree in no index",
        "/subtree without name",
        "/target empty",
        "/xattr",
    ];
    assert_eq!(named, expected, "{:?}", report.lost);
    assert_eq!(fs::read_to_string(ground.target().join("zz good")).unwrap(), "good");
    assert!(!ground.target().join("data in no index").exists());
}

#[test]
fn one_tree_may_be_in_many_places() {
    let ground = Ground::new();
    let mut made = HandMade::new();
    let file = made.file("file", "same");
    let mut tree = made.tree(&[file]);
    for _ in 0..4 {
        tree = made.tree(&[dir("a", tree), dir("b", tree)]);
    }
    let (_, repository) = made.open();
    let report = restore(&repository, tree, &ground.target(), &RestoreOptions::default());
    assert_eq!((report.files, report.folders, report.lost_count), (16, 30, 0));
    assert_eq!(fs::read_to_string(ground.target().join("b/a/b/b/file")).unwrap(), "same");
}

#[test]
fn trees_nested_deeper_than_any_path_are_restored() {
    let ground = Ground::new();
    let mut made = HandMade::new();
    let file = made.file("file", "at the bottom");
    let mut tree = made.tree(&[file]);
    let name = "n".repeat(200);
    for _ in 0..300 {
        let after = made.file("z", "after");
        tree = made.tree(&[dir(&name, tree), after]);
    }
    let (_, repository) = made.open();
    let options = RestoreOptions { verify: true, ..RestoreOptions::default() };
    let report = restore(&repository, tree, &ground.target(), &options);
    assert_eq!((report.files, report.folders, report.verified), (301, 300, 301), "{:?}", report.lost);
    // Removing it all again goes as deep.
    let mut made = HandMade::new();
    let file = made.file("only", "left");
    let tree = made.tree(&[file]);
    let (_, repository) = made.open();
    let options = RestoreOptions { delete: true, ..RestoreOptions::default() };
    let report = restore(&repository, tree, &ground.target(), &options);
    assert_eq!((report.deleted, report.lost_count), (2, 0), "{:?}", report.lost);
    assert_eq!(fs::read_dir(ground.target()).unwrap().count(), 1);
}

#[test]
fn names_of_one_inode_with_different_content_are_not_linked() {
    let ground = Ground::new();
    let mut made = HandMade::new();
    let linked = |node: String| node.replace(",\"uid\"", ",\"inode\":7,\"device_id\":3,\"links\":3,\"uid\"");
    let nodes = [made.file("a", "one"), made.file("b", "two"), made.file("c", "one")].map(linked);
    let tree = made.tree(&nodes);
    let (_, repository) = made.open();
    restore(&repository, tree, &ground.target(), &RestoreOptions::default());
    let read = |name: &str| fs::read_to_string(ground.target().join(name)).unwrap();
    assert_eq!([read("a"), read("b"), read("c")], ["one", "two", "one"]);
    let inode = |name: &str| fs::metadata(ground.target().join(name)).unwrap().ino();
    assert_eq!(inode("a"), inode("c"));
    assert_ne!(inode("a"), inode("b"));
}

#[test]
fn a_name_that_is_missing_is_linked_to_one_that_need_not_be_restored() {
    let ground = Ground::new();
    let mut made = HandMade::new();
    let linked = |node: String| node.replace(",\"uid\"", ",\"inode\":7,\"device_id\":3,\"links\":2,\"uid\"");
    let nodes = [made.file("a", "one"), made.file("b", "one")].map(linked);
    let tree = made.tree(&nodes);
    let (_, repository) = made.open();
    restore(&repository, tree, &ground.target(), &RestoreOptions::default());
    fs::remove_file(ground.target().join("b")).unwrap();
    let options = RestoreOptions { overwrite: Overwrite::IfChanged, ..RestoreOptions::default() };
    let report = restore(&repository, tree, &ground.target(), &options);
    assert_eq!((report.skipped, report.files, report.others, report.lost_count), (1, 0, 1, 0));
    let inode = |name: &str| fs::metadata(ground.target().join(name)).unwrap().ino();
    assert_eq!(inode("a"), inode("b"));
}
