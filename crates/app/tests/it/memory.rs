//! Bounded memory: a folder of a million entries passes through every command within 256 MB.
//!
//! Its tree is one blob of some 350 MB of JSON, so whoever held it in memory would be killed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use lifeboat_testkit::cgroup::MemoryLimit;
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, openat, symlinkat};
use tempfile::TempDir;

const ENTRIES: usize = 1_000_000;
const LIMIT_BYTES: u64 = 256 << 20;

fn name(entry: usize) -> String {
    format!("one-of-a-million-{entry:012}")
}

/// Empty files and symlinks in turn, with names of some thirty bytes.
fn fill(folder: &Path) {
    fs::create_dir(folder).unwrap();
    let folder = openat(CWD, folder, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    for entry in 0..ENTRIES {
        match entry % 2 {
            0 => mknodat(&folder, name(entry), FileType::RegularFile, Mode::from(0o640), 0).unwrap(),
            _ => symlinkat("somewhere/else", &folder, name(entry)).unwrap(),
        }
    }
}

fn count(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

fn described(path: &Path) -> (u32, u64, i64, i64, Option<PathBuf>) {
    let stat = fs::symlink_metadata(path).unwrap();
    (stat.mode(), stat.len(), stat.mtime(), stat.mtime_nsec(), fs::read_link(path).ok())
}

fn run(limit: &MemoryLimit, vault: &Path, arguments: &[&str]) -> String {
    let mut command: Command = limit.command(Path::new(env!("CARGO_BIN_EXE_lifeboat")));
    command.args(arguments).env("LIFEBOAT_VAULT", vault).env("LIFEBOAT_PASSWORD", "secret");
    let began = Instant::now();
    let output = command.output().unwrap();
    eprintln!("{} took {:.1} s", arguments[0], began.elapsed().as_secs_f64());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {}\n{said}{complaint}", output.status);
    said
}

#[test]
fn a_folder_of_a_million_entries_fits_into_256_megabytes() {
    let work = TempDir::new().unwrap();
    let (tree, vault) = (work.path().join("tree"), work.path().join("vault"));
    let limit = MemoryLimit::new("million", LIMIT_BYTES);
    fill(&tree);
    let tree_path = tree.to_str().unwrap();
    let back = work.path().join("back");
    run(&limit, &vault, &["init"]);
    run(&limit, &vault, &["backup", "--quiet", tree_path]);
    // A second one reads the parent's tree beside the walk; the change gives it a tree of its own.
    fs::write(tree.join("one-more"), "one more").unwrap();
    let second = run(&limit, &vault, &["backup", "--json", tree_path]);
    let summary = second.lines().find(|line| line.contains(r#""message_type":"summary""#)).unwrap();
    assert!(summary.contains(r#""files_new":1,"#), "{summary}");
    run(&limit, &vault, &["check", "--read-data"]);
    run(&limit, &vault, &["forget", "--keep-last", "1", "--prune"]);
    run(&limit, &vault, &["check"]);
    run(&limit, &vault, &["restore", "latest", "--quiet", "--target", back.to_str().unwrap()]);
    let back = back.join(tree.strip_prefix("/").unwrap());
    assert_eq!(count(&back), ENTRIES + 1);
    for entry in (0..ENTRIES).step_by(997) {
        assert_eq!(described(&tree.join(name(entry))), described(&back.join(name(entry))), "entry {entry}");
    }
}
