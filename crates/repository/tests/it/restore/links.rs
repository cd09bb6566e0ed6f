//! Files with several names of which some are there already: what comes back is linked to them only where that is right.

use std::fs::{self, FileTimes, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::time::SystemTime;

use lifeboat_adapters::files::FilesTarget;
use lifeboat_repository::id::BlobId;
use lifeboat_repository::repository::Repository;
use lifeboat_repository::restore::{Overwrite, RestoreOptions, RestoreReport};
use lifeboat_repository::target::{Place, Target};
use tempfile::TempDir;

use super::handmade::HandMade;
use super::restore;

/// A tree with a file that has the names `a`, `b` and `c`, and a folder in which all of them were restored.
struct Names {
    repository: Repository,
    tree: BlobId,
    work: TempDir,
}

impl Names {
    fn new() -> Self {
        let work = TempDir::new().unwrap();
        let owner = fs::metadata(work.path()).unwrap();
        let linked = format!(
            ",\"inode\":7,\"device_id\":3,\"links\":3,\"uid\":{},\"gid\":{}",
            owner.uid(),
            owner.gid()
        );
        let mut made = HandMade::new();
        let nodes =
            ["a", "b", "c"].map(|name| made.file(name, "one").replace(",\"uid\":0,\"gid\":0", &linked));
        let tree = made.tree(&nodes);
        let names = Self { repository: made.open().1, tree, work };
        names.restore(Overwrite::Always);
        assert_eq!(names.apart(), [false, false]);
        names
    }

    fn path(&self, name: &str) -> PathBuf {
        self.work.path().join("target").join(name)
    }

    fn restore(&self, overwrite: Overwrite) -> RestoreReport {
        let options = RestoreOptions { overwrite, verify: true, ..RestoreOptions::default() };
        let report = restore(&self.repository, self.tree, &self.work.path().join("target"), &options);
        assert_eq!(report.lost_count, 0, "{:?}", report.lost);
        report
    }

    fn lose(&self, names: &[&str]) {
        names.iter().for_each(|name| fs::remove_file(self.path(name)).unwrap());
    }

    fn content(&self) -> [String; 3] {
        ["a", "b", "c"].map(|name| fs::read_to_string(self.path(name)).unwrap())
    }

    fn inode(&self, name: &str) -> u64 {
        fs::metadata(self.path(name)).unwrap().ino()
    }

    /// Whether `b` is another file than `a`, and `c` another one than `b`.
    fn apart(&self) -> [bool; 2] {
        [self.inode("a") != self.inode("b"), self.inode("b") != self.inode("c")]
    }

    fn mtime(&self) -> SystemTime {
        fs::metadata(self.path("a")).unwrap().modified().unwrap()
    }

    /// Puts a file of its own in the place of `a`, as old as in the snapshot.
    fn replace(&self, content: &str) {
        let mtime = self.mtime();
        self.lose(&["a"]);
        fs::write(self.path("a"), content).unwrap();
        fs::set_permissions(self.path("a"), Permissions::from_mode(0o644)).unwrap();
        let file = fs::File::options().write(true).open(self.path("a")).unwrap();
        file.set_times(FileTimes::new().set_modified(mtime)).unwrap();
    }
}

const KEEPING: [Overwrite; 3] = [Overwrite::IfChanged, Overwrite::IfNewer, Overwrite::Never];

#[test]
fn missing_names_are_linked_to_the_one_that_stays() {
    for overwrite in KEEPING {
        let names = Names::new();
        let before = names.inode("a");
        names.lose(&["b", "c"]);
        let report = names.restore(overwrite);
        assert_eq!(names.apart(), [false, false], "{overwrite:?}");
        assert_eq!((names.inode("a"), report.files, report.others, report.skipped), (before, 0, 2, 1));
        // Names that are all there are let be.
        let report = names.restore(overwrite);
        assert_eq!((names.inode("a"), report.files, report.others, report.skipped), (before, 0, 0, 3));
    }
}

#[test]
fn no_name_is_linked_to_a_file_with_other_content() {
    for overwrite in KEEPING {
        let names = Names::new();
        // Nothing but its content tells it from the file of the snapshot.
        names.replace("two");
        names.lose(&["b", "c"]);
        let kept = names.inode("a");
        names.restore(overwrite);
        assert_eq!(names.content(), ["two", "one", "one"], "{overwrite:?}");
        assert_eq!((names.inode("a"), names.apart()), (kept, [true, false]));
    }
}

#[test]
fn no_name_is_linked_to_a_file_that_others_may_change() {
    for overwrite in [Overwrite::IfNewer, Overwrite::Never] {
        // Of another mode: it is not touched, and who may write to it may not write to the other names.
        let names = Names::new();
        names.replace("one");
        fs::set_permissions(names.path("a"), Permissions::from_mode(0o666)).unwrap();
        names.lose(&["b", "c"]);
        names.restore(overwrite);
        assert_eq!(names.apart(), [true, false], "{overwrite:?}");
        assert_eq!(fs::metadata(names.path("a")).unwrap().mode() & 0o777, 0o666);
        // With more names than the snapshot knows.
        let names = Names::new();
        for name in ["x", "y", "z"] {
            fs::hard_link(names.path("a"), names.work.path().join(name)).unwrap();
        }
        names.lose(&["b", "c"]);
        names.restore(overwrite);
        assert_eq!(names.apart(), [true, false], "{overwrite:?}");
    }
}

#[test]
fn a_file_that_a_restore_was_killed_in_is_restored_whatever_may_be_overwritten() {
    for overwrite in KEEPING {
        let names = Names::new();
        names.lose(&["a", "b", "c"]);
        let root = names.work.path().join("target");
        let target = FilesTarget::open(&root, "/".as_ref(), "/tmp".as_ref()).unwrap();
        let file = target.root(false).unwrap().unwrap().create_file(b"a", Place::New).unwrap();
        file.write_at(b"o", 0).unwrap();
        // Never dropped, which would remove it.
        std::mem::forget(file);
        assert_eq!(fs::metadata(names.path("a")).unwrap().len(), 1);
        names.restore(overwrite);
        assert_eq!(names.content(), ["one", "one", "one"], "{overwrite:?}");
        assert_eq!(fs::metadata(names.path("a")).unwrap().mode() & 0o7777, 0o644);
    }
}
