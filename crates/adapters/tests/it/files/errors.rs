//! What cannot be read costs one error each, and the walk goes on.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

use lifeboat_repository::Ctx;
use lifeboat_repository::source::{Event, Source};

use super::{FilesOptions, obey_permissions, open, selecting, walk, walk_roots, write};

#[test]
fn an_unreadable_folder_is_kept_empty_and_named() {
    let ground = tempfile::tempdir().unwrap();
    write(ground.path(), &["a/before", "a/closed/hidden", "a/later"]);
    let closed = ground.path().join("a/closed");
    fs::set_permissions(&closed, Permissions::from_mode(0o100)).unwrap();
    obey_permissions();
    let walked = walk_roots(&["a"], ground.path());
    assert_eq!(walked.lines, ["/a/", "/a/before", "/a/closed/", "/a/later"]);
    assert_eq!(walked.error_lines(), ["cannot list a/closed: Permission denied (os error 13)"]);
    let walked = walk_roots(&["a", "a/closed/hidden"], ground.path());
    assert_eq!(walked.lines, ["/a/", "/a/before", "/a/closed/", "/a/closed/hidden", "/a/later"]);
    let walked = walk_roots(&["a/closed/hidden"], ground.path());
    assert_eq!(walked.lines, ["/a/", "/a/closed/", "/a/closed/hidden"]);
    assert_eq!(walked.error_lines(), [""; 0], "a folder on the way need not be listed");
    fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_folder_that_can_be_listed_but_not_searched_names_each_entry() {
    let ground = tempfile::tempdir().unwrap();
    write(ground.path(), &["a/one", "a/two"]);
    let folder = ground.path().join("a");
    fs::set_permissions(&folder, Permissions::from_mode(0o400)).unwrap();
    obey_permissions();
    let walked = walk_roots(&["a"], ground.path());
    let denied = |name| format!("cannot stat a/{name}: Permission denied (os error 13)");
    assert_eq!(walked.lines, ["/a/"]);
    assert_eq!(walked.error_lines(), [denied("one"), denied("two")]);
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn an_unreadable_file_is_seen_but_does_not_open() {
    let ground = tempfile::tempdir().unwrap();
    write(ground.path(), &["a/file"]);
    fs::set_permissions(ground.path().join("a/file"), Permissions::from_mode(0o000)).unwrap();
    obey_permissions();
    let walked = walk_roots(&["a"], ground.path());
    let error = walked.entry("a/file").access.open().err().unwrap();
    assert_eq!(error.to_string(), "cannot open a/file");
    assert_eq!(error.cause.to_string(), "Permission denied (os error 13)");
}

#[test]
fn an_entry_that_vanishes_between_listing_and_looking_is_named() {
    let ground = tempfile::tempdir().unwrap();
    write(ground.path(), &["a/1", "a/2", "a/3", "a/folder/x", "a/z"]);
    let options = selecting(|path, is_dir| {
        if path.ends_with("2") {
            fs::remove_file(path).unwrap();
        } else if is_dir {
            fs::remove_dir_all(path).unwrap();
        }
        true
    });
    let walked = walk(open(&["a"], ground.path(), options));
    assert_eq!(walked.lines, ["/a/", "/a/1", "/a/3", "/a/z"]);
    let gone = |name| format!("cannot stat a/{name}: No such file or directory (os error 2)");
    assert_eq!(walked.error_lines(), [gone("2"), gone("folder")]);
}

#[test]
fn a_file_that_vanishes_before_it_is_opened_is_named() {
    let ground = tempfile::tempdir().unwrap();
    write(ground.path(), &["a/deep/file"]);
    let walked = walk_roots(&["a"], ground.path());
    fs::remove_dir_all(ground.path().join("a")).unwrap();
    let entry = walked.entry("a/deep/file");
    assert_eq!(entry.access.open().err().unwrap().to_string(), "cannot open a/deep/file");
    let error = entry.access.complete(&mut entry.node.clone()).unwrap_err();
    assert_eq!(error.to_string(), "cannot read the attributes of a/deep/file");
}

#[test]
fn a_file_replaced_by_something_else_is_refused() {
    let ground = tempfile::tempdir().unwrap();
    let at = |name: &str| ground.path().join(name);
    write(ground.path(), &["secret", "a/to-link", "a/to-folder", "a/to-pipe"]);
    let walked = walk_roots(&["a"], ground.path());
    for name in ["a/to-link", "a/to-folder", "a/to-pipe"] {
        fs::remove_file(at(name)).unwrap();
    }
    symlink(at("secret"), at("a/to-link")).unwrap();
    fs::create_dir(at("a/to-folder")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, at("a/to-pipe"), rustix::fs::Mode::RUSR).unwrap();
    for name in ["a/to-link", "a/to-folder", "a/to-pipe"] {
        let error = walked.entry(name).access.open().err().unwrap();
        assert_eq!(error.to_string(), format!("cannot open {name}"));
    }
}

#[test]
fn a_folder_replaced_by_a_symlink_is_not_followed() {
    let ground = tempfile::tempdir().unwrap();
    write(ground.path(), &["secret/file", "a/folder/file", "a/z"]);
    let secret = ground.path().join("secret");
    let options = selecting(move |path, is_dir| {
        if is_dir {
            fs::remove_dir_all(path).unwrap();
            symlink(&secret, path).unwrap();
        }
        true
    });
    let walked = walk(open(&["a"], ground.path(), options));
    assert_eq!(walked.lines, ["/a/", "/a/folder", "/a/z"]);
    assert_eq!(walked.error_lines(), [""; 0]);
}

#[test]
fn a_cancelled_walk_ends_with_an_error() {
    let ground = tempfile::tempdir().unwrap();
    write(ground.path(), &["a/1", "a/2", "a/3"]);
    let mut source = open(&["a"], ground.path(), FilesOptions::default());
    let ctx = Ctx::default();
    assert!(matches!(source.next_event(&ctx), Some(Ok(Event::Enter(_)))));
    ctx.cancel.cancel();
    assert!(matches!(source.next_event(&ctx), Some(Err(_))));
    assert!(source.next_event(&ctx).is_none());
}
