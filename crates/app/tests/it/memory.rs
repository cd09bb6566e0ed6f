//! Bounded memory: whatever the shape of a tree, it passes through every command within a memory cgroup.
//!
//! Each shape has more of one thing than would fit: entries of one folder (their tree is one blob of some 350 MB),
//! listings within each other (150 MB of them open at a time), levels (whose paths would take 600 MB, one file
//! descriptor for each level aside), content. Whoever held it would be killed by the kernel.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use lifeboat_testkit::cgroup::MemoryLimit;
use lifeboat_testkit::random::Random;
use rustix::fs::{CWD, FileType, Mode, OFlags, mkdirat, mknodat, openat, symlinkat};
use tempfile::TempDir;

const LIMIT_BYTES: u64 = 256 << 20;

/// A source, a vault and a place to restore to, for commands with little memory and few open files.
struct Ground {
    folder: TempDir,
    limit: MemoryLimit,
}

impl Ground {
    fn new(name: &str, limit_bytes: u64) -> Self {
        let ground = Self { folder: TempDir::new().unwrap(), limit: MemoryLimit::new(name, limit_bytes) };
        fs::create_dir(ground.path("tree")).unwrap();
        ground.run(&["init"]);
        ground
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The tree's folder, open.
    fn tree(&self) -> OwnedFd {
        open(&CWD, &self.path("tree"))
    }

    fn run(&self, arguments: &[&str]) -> String {
        let mut command: Command = self.limit.command(Path::new("prlimit"));
        command.args(["--nofile=1024", env!("CARGO_BIN_EXE_lifeboat")]).args(arguments);
        command.env("LIFEBOAT_VAULT", self.path("vault")).env("LIFEBOAT_PASSWORD", "secret");
        let began = Instant::now();
        let output = command.current_dir(self.folder.path()).output().unwrap();
        eprintln!("{} took {:.1} s", arguments[0], began.elapsed().as_secs_f64());
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {}\n{said}{complaint}", output.status);
        said
    }

    /// Backs the tree up and returns the summary.
    fn back_up(&self) -> String {
        let said = self.run(&["backup", "--json", "tree"]);
        said.lines().find(|line| line.contains(r#""message_type":"summary""#)).unwrap().to_owned()
    }

    /// Removes what may lie too deep for the standard library.
    fn clear(self) {
        let removed = Command::new("rm").arg("-rf").arg(self.folder.path()).status().unwrap();
        assert!(removed.success());
    }
}

fn open(at: &impl std::os::fd::AsFd, name: &Path) -> OwnedFd {
    openat(at, name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap()
}

/// Makes a folder and goes into it.
fn enter(folder: &OwnedFd, name: &str) -> OwnedFd {
    mkdirat(folder, name, Mode::from(0o750)).unwrap();
    open(folder, Path::new(name))
}

fn described(path: &Path) -> (u32, u64, i64, i64, Option<PathBuf>) {
    let stat = fs::symlink_metadata(path).unwrap();
    (stat.mode(), stat.len(), stat.mtime(), stat.mtime_nsec(), fs::read_link(path).ok())
}

/// Symlinks, and a file now and then: those take far longer to make, read and remove.
#[test]
fn a_folder_of_a_million_entries_fits_into_256_megabytes() {
    const ENTRIES: usize = 1_000_000;
    let ground = Ground::new("million", LIMIT_BYTES);
    let tree = ground.tree();
    let name = |entry: usize| format!("one-of-a-million-{entry:012}");
    for entry in 0..ENTRIES {
        match entry % 10 {
            0 => mknodat(&tree, name(entry), FileType::RegularFile, Mode::from(0o640), 0).unwrap(),
            _ => symlinkat("somewhere/else", &tree, name(entry)).unwrap(),
        }
    }
    ground.back_up();
    // A second one reads the parent's tree beside the walk; the change gives it a tree of its own.
    fs::write(ground.path("tree/one-more"), "one more").unwrap();
    let summary = ground.back_up();
    assert!(summary.contains(r#""files_new":1,"#), "{summary}");
    ground.run(&["check", "--read-data"]);
    ground.run(&["forget", "--keep-last", "1", "--prune"]);
    // All entries are looked at, a tenth of them is wanted.
    ground.run(&[
        "restore",
        "latest",
        "--quiet",
        "--target",
        "back",
        "--include",
        "*[05]7",
        "--include",
        "*[05]0",
    ]);
    let wanted = |entry: usize| matches!(entry % 100, 0 | 7 | 50 | 57);
    assert_eq!(fs::read_dir(ground.path("back/tree")).unwrap().count(), ENTRIES / 25);
    for entry in (0..ENTRIES).filter(|entry| wanted(*entry)).step_by(97) {
        let (made, back) = (ground.path("tree"), ground.path("back/tree"));
        assert_eq!(described(&made.join(name(entry))), described(&back.join(name(entry))), "entry {entry}");
    }
}

/// Each listing is just below the size from which on a tree is not held in memory.
#[test]
fn long_listings_within_each_other_fit_into_128_megabytes() {
    const LEVELS: usize = 40;
    const ENTRIES: usize = 900;
    let ground = Ground::new("nested", LIMIT_BYTES / 2);
    let target = "far/away/".repeat(440);
    let mut folder = ground.tree();
    for level in 0..LEVELS {
        for entry in 0..ENTRIES {
            symlinkat(&*target, &folder, format!("link-{level}-{entry}")).unwrap();
        }
        folder = enter(&folder, "folder");
    }
    ground.back_up();
    fs::write(ground.path("tree").join("folder/".repeat(LEVELS)).join("one-more"), "one more").unwrap();
    let summary = ground.back_up();
    assert!(summary.contains(r#""files_new":1,"#), "{summary}");
    assert!(summary.contains(&format!(r#""dirs_changed":{}"#, LEVELS + 1)), "{summary}");
    ground.run(&["check"]);
    let listed = ground.run(&["ls", "--quiet", "latest"]).lines().count();
    assert_eq!(listed, LEVELS * (ENTRIES + 1) + 2);
    ground.run(&["diff", "latest", "latest"]);
    ground.run(&["forget", "--keep-last", "1", "--prune"]);
    ground.run(&["restore", "latest", "--quiet", "--target", "back"]);
    let compared = Command::new("diff")
        .args(["--recursive", "--no-dereference"])
        .args([ground.path("tree"), ground.path("back/tree")])
        .status()
        .unwrap();
    assert!(compared.success());
}

#[test]
fn five_thousand_levels_fit_into_128_megabytes_and_a_thousand_open_files() {
    const LEVELS: usize = 5000;
    let ground = Ground::new("deep", LIMIT_BYTES / 2);
    let name = |level: usize| format!("level-{level:044}");
    let mut folder = ground.tree();
    for level in 0..LEVELS {
        let file = openat(&folder, "file", OFlags::CREATE | OFlags::WRONLY, Mode::from(0o640)).unwrap();
        write!(File::from(file), "on level {level}").unwrap();
        folder = enter(&folder, &name(level));
    }
    ground.back_up();
    symlinkat("nowhere", &folder, "link").unwrap();
    let summary = ground.back_up();
    assert!(summary.contains(&format!(r#""files_unmodified":{LEVELS}"#)), "{summary}");
    ground.run(&["check"]);
    ground.run(&["restore", "latest", "--quiet", "--target", "back"]);
    let mut folder = open(&CWD, &ground.path("back/tree"));
    for level in 0..LEVELS {
        let file = openat(&folder, "file", OFlags::RDONLY, Mode::empty()).unwrap();
        assert_eq!(std::io::read_to_string(File::from(file)).unwrap(), format!("on level {level}"));
        folder = open(&folder, Path::new(&name(level)));
    }
    assert_eq!(rustix::fs::readlinkat(&folder, "link", Vec::new()).unwrap().as_bytes(), b"nowhere");
    ground.clear();
}

/// Noise: it neither compresses nor repeats, so every byte of it passes through every stage.
#[test]
fn files_of_four_times_256_megabytes_fit_into_256_megabytes() {
    const FILES: usize = 4;
    let ground = Ground::new("noise", LIMIT_BYTES);
    let mut random = Random::new(7);
    for file in 0..FILES {
        let mut file = File::create(ground.path(&format!("tree/noise-{file}"))).unwrap();
        for _ in 0..256 {
            file.write_all(&random.bytes(1 << 20)).unwrap();
        }
    }
    ground.back_up();
    fs::remove_file(ground.path("tree/noise-0")).unwrap();
    ground.back_up();
    ground.run(&["forget", "--keep-last", "1", "--prune", "--max-unused", "0"]);
    ground.run(&["check", "--read-data"]);
    ground.run(&["restore", "latest", "--quiet", "--target", "back"]);
    for file in 1..FILES {
        let name = format!("tree/noise-{file}");
        let compared =
            Command::new("cmp").arg(ground.path(&name)).arg(ground.path("back").join(&name)).status();
        assert!(compared.unwrap().success(), "{name}");
    }
}
