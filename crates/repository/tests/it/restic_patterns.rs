//! Patterns against restic itself: random lists over a tree, and which paths of it restic backs up.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use lifeboat_repository::pattern::{Case, PatternList};

use crate::rng::Rng;

const NAMES: [&str; 8] = ["a", "b", "ab", "B", "a.o", "x[1]", "ä", "keep"];
const PIECES: [&str; 16] = [
    "a", "b", "ab", "*", "?", "**", "[ab]", "[^a]*", "a*", "*.o", "x\\[1\\]", "ä", "B", "keep", "?b",
    "*[1-3]?",
];

fn make_tree(folder: &Path, depth: usize, rng: &mut Rng, paths: &mut Vec<PathBuf>) {
    for name in NAMES {
        let path = folder.join(name);
        match rng.below(3) {
            0 => continue,
            1 if depth > 0 => {
                std::fs::create_dir(&path).unwrap();
                make_tree(&path, depth - 1, rng, paths);
            }
            _ => std::fs::write(&path, name).unwrap(),
        }
        paths.push(path);
    }
}

fn random_pattern(root: &str, rng: &mut Rng) -> String {
    let pieces: Vec<&str> = (0..=rng.below(4)).map(|_| PIECES[rng.below(PIECES.len())]).collect();
    let path = pieces.join("/");
    let prefix = match rng.below(4) {
        0 => format!("{root}/"),
        1 => format!("{}/**/", root.rsplit_once('/').unwrap().0),
        _ => String::new(),
    };
    let suffix = if rng.below(8) == 0 { "/" } else { "" };
    let negation = if rng.below(4) == 0 { "!" } else { "" };
    format!("{negation}{prefix}{path}{suffix}")
}

/// What a dry run of restic would save, without the folders above `root`.
fn chosen_by_restic(vault: &Path, root: &Path, option: &str, patterns: &[String]) -> BTreeSet<PathBuf> {
    let mut command = Command::new("restic");
    command.env("RESTIC_PASSWORD", "x").args(["--no-cache", "--json", "-vv", "-r"]).arg(vault);
    command.args(["backup", "--dry-run"]).arg(root);
    for pattern in patterns {
        command.arg(option).arg(pattern);
    }
    let output = command.output().expect("restic must be installed for this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|message| message["message_type"] == "verbose_status")
        .filter_map(|message| message["item"].as_str().map(|item| PathBuf::from(item.trim_end_matches('/'))))
        .filter(|item| item.starts_with(root) && item != root)
        .collect()
}

/// The same by our own rules: a folder that matches is not entered.
fn chosen_by_us(root: &Path, paths: &[PathBuf], list: &PatternList) -> BTreeSet<PathBuf> {
    let is_excluded = |path: &Path| {
        path.ancestors()
            .take_while(|above| above.starts_with(root))
            .any(|above| list.matches(above.as_os_str().as_bytes()))
    };
    paths.iter().filter(|path| !is_excluded(path)).cloned().collect()
}

#[test]
fn patterns_exclude_what_they_exclude_in_restic() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let vault = folder.join("vault");
    let init = Command::new("restic")
        .env("RESTIC_PASSWORD", "x")
        .args(["--no-cache", "-q", "init", "-r"])
        .arg(&vault)
        .status()
        .expect("restic must be installed for this test");
    assert!(init.success());
    let root = folder.join("source");
    std::fs::create_dir(&root).unwrap();
    let mut rng = Rng::new(20261123);
    let mut paths = Vec::new();
    make_tree(&root, 4, &mut rng, &mut paths);
    assert!(paths.len() > 100, "{} paths", paths.len());
    let mut excluded_some = 0;
    for round in 0..30 {
        let patterns: Vec<String> =
            (0..=rng.below(6)).map(|_| random_pattern(root.to_str().unwrap(), &mut rng)).collect();
        let (option, case) = match round % 3 {
            0 => ("--iexclude", Case::Insensitive),
            _ => ("--exclude", Case::Sensitive),
        };
        let list = PatternList::parse(&patterns, case).unwrap();
        if list.matches(root.as_os_str().as_bytes()) {
            continue; // a root is never excluded here; restic 0.14 excludes it
        }
        let theirs = chosen_by_restic(&vault, &root, option, &patterns);
        let ours = chosen_by_us(&root, &paths, &list);
        excluded_some += usize::from(!ours.is_empty() && ours.len() < paths.len());
        let differing: Vec<_> = ours.symmetric_difference(&theirs).collect();
        assert!(differing.is_empty(), "{option} {patterns:?} differs for {differing:?}");
    }
    assert!(excluded_some >= 10, "only {excluded_some} lists excluded some paths and not others");
}
