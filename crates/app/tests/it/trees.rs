//! Random trees of every kind of file, through both programs in turns: what one has saved the other brings back
//! without a difference, knows again blob by blob, and may forget and prune.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use lifeboat_testkit::digest::Digest;
use lifeboat_testkit::random::Random;
use lifeboat_testkit::restic::Restic;
use lifeboat_testkit::soak;
use lifeboat_testkit::tree::{TreeOptions, build, mutate};
use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use serde_json::Value;

use crate::sandbox::Ran;
use crate::shared_vault::{SharedVault, digest, give_away};

const GENERATIONS: u64 = 3;
/// Relative: the folders above it change whenever some other test makes a file, and would be saved, too.
const ROOT: &str = "source";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    Lifeboat,
    Restic,
}

impl Program {
    fn other(self) -> Self {
        match self {
            Self::Lifeboat => Self::Restic,
            Self::Restic => Self::Lifeboat,
        }
    }
}

/// A snapshot, who made it, and what it must bring back.
struct Saved {
    id: String,
    by: Program,
    /// Where in a restore the source is found.
    below: String,
    tree: Digest,
}

/// A tree that changes, and what both programs made of it.
struct History {
    vault: SharedVault,
    judge: Restic,
    random: Random,
    saved: Vec<Saved>,
    name: String,
    restores: usize,
}

impl History {
    /// The judges take turns.
    fn new(seed: u64) -> Self {
        let vault = SharedVault::new();
        let mut judges = vault.restic().judges();
        let judge = judges.swap_remove(usize::try_from(seed).unwrap() % judges.len());
        let name = format!("tree {seed}, restic {:?}", judge.version());
        Self { vault, judge, random: Random::new(seed), saved: Vec::new(), name, restores: 0 }
    }

    fn random_program(&mut self) -> Program {
        *self.random.pick(&[Program::Lifeboat, Program::Restic])
    }

    /// Backs the source up, whose path is absolute or not. Returns how many blobs of data and of trees were new.
    fn back_up(&mut self, by: Program, root: &str, options: &[&str]) -> (u64, u64) {
        let arguments = [&["backup", "--json", root], options].concat();
        let summary = match by {
            Program::Lifeboat => self.vault.lifeboat(&arguments).ok().json(),
            Program::Restic => self.vault.summary_of(&self.judge, &arguments),
        };
        let id = summary["snapshot_id"].as_str().unwrap().to_owned();
        let below = root.trim_start_matches('/').to_owned();
        self.saved.push(Saved { id, by, below, tree: digest(&self.vault.source()) });
        new_blobs(&summary)
    }

    /// Both programs, one after the other: to the second one nothing is new.
    fn back_up_with_both(&mut self) {
        let first = self.random_program();
        let options: &[&str] = if self.random.one_in(2) { &["--force"] } else { &[] };
        self.back_up(first, ROOT, &[]);
        let new = self.back_up(first.other(), ROOT, options);
        assert_eq!(new, (0, 0), "{}: {first:?} saved the same tree before, then {options:?}", self.name);
    }

    fn restore(&mut self, index: usize, by: Program) {
        self.restores += 1;
        let target = self.vault.sandbox.path(&format!("restored{}", self.restores));
        let saved = &self.saved[index];
        match by {
            Program::Lifeboat => {
                let arguments = ["restore", &saved.id, "--target", target.to_str().unwrap(), "--quiet"];
                self.vault.lifeboat(&arguments).ok();
            }
            Program::Restic => self.judge.restore(&saved.id, &target),
        }
        let what = format!("{}: saved by {:?}, restored by {by:?}", self.name, saved.by);
        saved.tree.assert_same(&digest(&target.join(&saved.below)), &what);
        fs::remove_dir_all(target).unwrap();
    }

    /// Forgets some snapshots, never all.
    fn forget_some(&mut self) {
        let by = self.random_program();
        let count = 1 + self.random.below(self.saved.len() as u64 - 1);
        for _ in 0..count {
            let at = usize::try_from(self.random.below(self.saved.len() as u64)).unwrap();
            let gone = self.saved.swap_remove(at);
            self.run(by, &["forget", &gone.id]);
        }
    }

    fn run(&self, by: Program, arguments: &[&str]) {
        match by {
            Program::Lifeboat => drop(self.vault.lifeboat(arguments).ok()),
            Program::Restic => drop(self.judge.run(arguments)),
        }
    }
}

fn new_blobs(summary: &Value) -> (u64, u64) {
    (summary["data_blobs"].as_u64().unwrap(), summary["tree_blobs"].as_u64().unwrap())
}

fn live(seed: u64) {
    let mut history = History::new(seed);
    let options = TreeOptions {
        raw_link_targets: history.judge.keeps_raw_link_targets(),
        largest_file_bytes: 2 << 20,
        ..TreeOptions::default()
    };
    let source = history.vault.source();
    build(&source, seed, &options);
    history.back_up_with_both();
    for generation in 1..GENERATIONS {
        mutate(&source, seed + generation * 1_000_003, &options);
        let by = history.random_program();
        let root = history.vault.sandbox.arg(ROOT);
        history.back_up(by, &root, &[]);
    }
    for index in 0..history.saved.len() {
        let by = history.saved[index].by.other();
        history.restore(index, by);
    }
    for _ in 0..2 {
        history.forget_some();
        let by = history.random_program();
        history.run(by, &["prune", "--quiet"]);
        history.judge.check();
        if history.saved.len() == 1 {
            break;
        }
    }
    for index in 0..history.saved.len() {
        let by = history.random_program();
        history.restore(index, by);
    }
}

#[test]
fn random_trees_pass_between_us_and_restic_without_a_difference() {
    let (count, next) = (soak::count(20, "trees") as u64, AtomicU64::new(0));
    let work = || {
        while let Some(seed) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < count) {
            live(seed);
        }
    };
    // Most of the time is spent waiting for the disk.
    std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(work))));
}

/// Trees hold times with the offset of the zone, so the zone is part of what must agree.
#[test]
fn our_trees_are_restics_trees_in_any_zone() {
    for zone in ["Europe/Berlin", "America/St_Johns"] {
        let vault = SharedVault::new().in_zone(zone);
        build(&vault.source(), 4711, &TreeOptions::default());
        for judge in vault.restic().judges() {
            let what = format!("restic {:?} in {zone}", judge.version());
            vault.summary_of(&judge, &["backup", "--json", "--force", ROOT]);
            let ours = vault.lifeboat(&["backup", "--json", "--force", ROOT]).ok().json();
            assert_eq!(new_blobs(&ours), (0, 0), "{what}, then we");
            let trees: Vec<_> = vault.snapshots().iter().map(|snapshot| snapshot["tree"].clone()).collect();
            assert!(trees.iter().all(|tree| *tree == trees[0]), "{what}: {trees:?}");
        }
    }
}

#[test]
fn our_backup_leaves_nothing_new_to_restic() {
    let vault = SharedVault::new().in_zone("Europe/Berlin");
    build(&vault.source(), 4712, &TreeOptions::default());
    let ours = vault.lifeboat(&["backup", "--json", ROOT]).ok().json();
    assert!(new_blobs(&ours).1 > 0);
    for judge in vault.restic().judges() {
        for options in [&["--force"][..], &[]] {
            let summary = vault.summary_of(&judge, &[&["backup", "--json", ROOT], options].concat());
            assert_eq!(new_blobs(&summary), (0, 0), "restic {:?} {options:?}", judge.version());
        }
    }
}

fn restore_latest(vault: &SharedVault) -> PathBuf {
    let target = vault.sandbox.path("restored");
    vault.lifeboat(&["restore", "latest", "--target", target.to_str().unwrap()]).ok();
    target.join("source")
}

/// Adds a folder whose path is longer than the kernel takes in one piece, with a file at its end.
fn add_deep_folder(root: &Path) {
    let open = |folder: OwnedFd, name: &str| -> OwnedFd {
        mkdirat(&folder, name, Mode::from(0o755)).unwrap();
        openat(&folder, name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap()
    };
    let root = openat(CWD, root, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    let deepest = (0..30).fold(root, |folder, _| open(folder, &"deep".repeat(60)));
    let file = openat(&deepest, "file", OFlags::CREATE | OFlags::WRONLY, Mode::from(0o640)).unwrap();
    File::from(file).write_all(b"far from the root").unwrap();
}

#[test]
fn our_restore_brings_back_what_restic_does_not() {
    let vault = SharedVault::new();
    let source = vault.source();
    build(&source, 99, &TreeOptions { raw_link_targets: true, entries: 150, ..TreeOptions::default() });
    let sparse = File::create(source.join("sparse")).unwrap();
    sparse.set_len(64 << 20).unwrap();
    sparse.write_all_at(b"an island", 40 << 20).unwrap();
    add_deep_folder(&source);
    vault.lifeboat(&["backup", ROOT]).ok();
    let back = restore_latest(&vault);
    digest(&source).assert_same(&digest(&back), "backed up and restored by us");
    assert!(fs::metadata(back.join("sparse")).unwrap().blocks() * 512 < 1 << 20, "the holes are filled");
    vault.restic().check();
}

/// The mode of a folder is set when all in it has been written: before, its owner could not write there.
#[test]
fn folders_that_may_not_be_written_to_come_back_to_their_owner() {
    let vault = SharedVault::new();
    vault.sandbox.write("source/closed/sub/file", "content");
    fs::set_permissions(vault.sandbox.path("source/closed/sub/file"), Permissions::from_mode(0o400)).unwrap();
    give_away(&vault.source());
    for folder in ["source/closed/sub", "source/closed"] {
        fs::set_permissions(vault.sandbox.path(folder), Permissions::from_mode(0o500)).unwrap();
    }
    let run = |arguments: &[&str]| Ran::new(vault.command_of_nobody(arguments).output().unwrap()).ok();
    run(&["backup", ROOT]);
    let target = vault.sandbox.path("home/restored");
    run(&["restore", "latest", "--target", target.to_str().unwrap()]);
    digest(&vault.source()).assert_same(&digest(&target.join(ROOT)), "restored by its owner");
}
