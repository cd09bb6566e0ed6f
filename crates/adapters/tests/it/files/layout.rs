//! Where roots appear in the snapshot: compared with what restic makes of the same arguments.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::{walk, walk_roots};

/// A folder with a bit of everything, and an empty restic repository outside of it.
fn ground() -> (TempDir, TempDir) {
    let ground = tempfile::tempdir().unwrap();
    let at = |path: &str| ground.path().join(path);
    for folder in ["a/b/deep", "a/c", "other/a", "work/inner"] {
        fs::create_dir_all(at(folder)).unwrap();
    }
    for file in
        ["a/b/f", "a/b/deep/g", "a/c/h", "other/a/i", "other/j", "work/inner/k", "work/l", "a.txt", "a-1"]
    {
        fs::write(at(file), file).unwrap();
    }
    symlink("b", at("a/link")).unwrap();
    symlink("nowhere", at("a/dangling")).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(at("a/socket")).unwrap();
    drop(socket);
    let vault = tempfile::tempdir().unwrap();
    restic(vault.path(), ground.path(), &["init"]);
    (ground, vault)
}

pub(super) fn restic(vault: &Path, current: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("restic")
        .current_dir(current)
        .env("RESTIC_PASSWORD", "x")
        .args(["--quiet", "--no-cache", "--repo"])
        .arg(vault)
        .args(arguments)
        .output()
        .expect("restic must be installed to run this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Backs the roots up with restic and lists the paths in the snapshot.
fn paths_by_restic(vault: &Path, current: &Path, roots: &[&str]) -> Vec<String> {
    restic(vault, current, &[&["backup"], roots].concat());
    let listed = String::from_utf8(restic(vault, current, &["ls", "latest"])).unwrap();
    listed.lines().map(str::to_owned).collect()
}

fn assert_like_restic(current: &Path, vault: &Path, roots: &[&str]) {
    let walked = walk_roots(roots, current);
    assert_eq!(walked.error_lines(), [""; 0]);
    let ours: Vec<&str> = walked.lines.iter().map(|line| line.trim_end_matches('/')).collect();
    assert_eq!(ours, paths_by_restic(vault, current, roots), "the roots {roots:?}");
}

#[test]
fn relative_roots_are_laid_out_as_by_restic() {
    let (ground, vault) = ground();
    for roots in [
        &["a"] as &[_],
        &["a/b"],
        &["a/b", "a/c"],
        &["a/link"],
        &["a/dangling"],
        &["a/link/f"],
        &["a/link", "a/link/f"],
        &["a", "a/link/f"],
        &["a/socket", "a.txt"],
        &["./a/../a//b/"],
        &["a.txt", "a"],
        &["a-1", "a", "a.txt"],
    ] {
        assert_like_restic(ground.path(), vault.path(), roots);
    }
}

#[test]
fn roots_of_only_dots_are_replaced_by_their_content() {
    let (ground, vault) = ground();
    let work = ground.path().join("work");
    assert_like_restic(ground.path(), vault.path(), &["."]);
    assert_like_restic(&work, vault.path(), &[".."]);
    assert_like_restic(&work.join("inner"), vault.path(), &["../.."]);
    assert_like_restic(ground.path(), vault.path(), &[".", "a"]);
    assert_like_restic(&work, vault.path(), &[".", "../a"]);
}

#[test]
fn absolute_roots_keep_their_whole_path() {
    let (ground, vault) = ground();
    let absolute = ground.path().join("a/b");
    assert_like_restic(Path::new("/"), vault.path(), &[absolute.to_str().unwrap()]);
    assert_like_restic(ground.path(), vault.path(), &[absolute.to_str().unwrap(), "other"]);
}

#[test]
fn roots_inside_roots_and_duplicates_appear_once() {
    let (ground, vault) = ground();
    for roots in
        [&["a", "a/b"] as &[_], &["a/b", "a"], &["a/b/deep/g", "a"], &["a/b/f", "a/b"], &["a", "./a", "a/"]]
    {
        assert_like_restic(ground.path(), vault.path(), roots);
    }
}

#[test]
fn roots_that_want_the_same_name_are_numbered() {
    let (ground, vault) = ground();
    let other = ground.path().join("other");
    assert_like_restic(&other, vault.path(), &["a", "../a"]);
    assert_like_restic(&other, vault.path(), &["../a/b", "a"]);
    assert_like_restic(&other.join("a"), vault.path(), &["../a", "../../a", "../../a.txt"]);
    let walked = walk_roots(&["a", "../a"], &other);
    assert_eq!(walked.entry("../a/b/f").node.name, b"f");
    assert!(walked.lines.contains(&"/a-1/b/f".to_owned()), "{:?}", walked.lines);
}

#[test]
fn a_root_that_does_not_exist_is_named_and_the_others_are_walked() {
    let (ground, _vault) = ground();
    let source = super::open(&["a/c", "gone", "a.txt/below"], ground.path(), Default::default());
    assert_eq!(source.missing(), [Path::new("gone"), Path::new("a.txt/below")]);
    let walked = walk(source);
    assert_eq!(walked.lines, ["/a/", "/a/c/", "/a/c/h"]);
    let expected = [
        "cannot find gone: No such file or directory (os error 2)",
        "cannot find a.txt/below: Not a directory (os error 20)",
    ];
    assert_eq!(walked.error_lines(), expected);
}

#[test]
fn no_root_at_all_is_an_error() {
    use lifeboat_adapters::files::{FilesSource, OpenError};
    let (ground, _vault) = ground();
    let opened = FilesSource::open(&["gone".into(), "".into()], ground.path(), Default::default());
    let Err(OpenError::NoRoot { missing }) = opened else { panic!("a source without roots") };
    assert_eq!(missing.len(), 2);
}
