//! What is left out of a walk, and what never is.

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use lifeboat_adapters::files::Marker;
use lifeboat_repository::{Counters, Ctx};

use super::{FilesOptions, open, selecting, walk, write};

const CACHE_TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55 and more";

#[test]
fn patterns_see_absolute_paths_and_whether_they_are_folders() {
    let ground = tempfile::tempdir().unwrap();
    write(ground.path(), &["work/a/file", "other/b"]);
    let seen: &'static Mutex<Vec<(String, bool)>> = Box::leak(Box::default());
    let options = selecting(move |path, is_dir| {
        seen.lock().unwrap().push((path.to_str().unwrap().to_owned(), is_dir));
        true
    });
    walk(open(&["a", "../other"], &ground.path().join("work"), options));
    let path = |name: &str| ground.path().join(name).to_str().unwrap().to_owned();
    assert_eq!(*seen.lock().unwrap(), [(path("work/a/file"), false), (path("other/b"), false)]);
}

#[test]
fn an_excluded_folder_is_not_looked_into() {
    let ground = tempfile::tempdir().unwrap();
    write(ground.path(), &["a/keep/file", "a/skip/file", "a/z"]);
    let options = selecting(|path, _| {
        assert!(!path.ends_with("skip/file"), "the walk went into an excluded folder");
        !path.ends_with("skip")
    });
    let walked = walk(open(&["a"], ground.path(), options));
    assert_eq!(walked.lines, ["/a/", "/a/keep/", "/a/keep/file", "/a/z"]);
    assert_eq!(walked.warnings, [""; 0]);
}

#[test]
fn roots_are_never_excluded_and_an_empty_one_is_told() {
    let ground = tempfile::tempdir().unwrap();
    write(ground.path(), &["a/1", "a/b/2", "c/3", "file"]);
    fs::create_dir(ground.path().join("empty")).unwrap();
    let walked = walk(open(&["a", "empty", "file"], ground.path(), selecting(|_, _| false)));
    assert_eq!(walked.lines, ["/a/", "/empty/", "/file"]);
    assert_eq!(walked.warnings, ["nothing of a was backed up: all that is in it is excluded"]);
    let walked = walk(open(&["a", "a/b"], ground.path(), selecting(|_, _| false)));
    assert_eq!(walked.lines, ["/a/", "/a/b/"]);
    let walked = walk(open(&["."], ground.path(), selecting(|_, _| false)));
    assert_eq!(walked.lines, [""; 0]);
    assert_eq!(walked.warnings, ["nothing of . was backed up: all that is in it is excluded"]);
}

#[test]
fn a_root_below_an_excluded_folder_is_kept() {
    let ground = tempfile::tempdir().unwrap();
    write(ground.path(), &["a/b/c/1", "a/b/2", "a/3"]);
    let inside_b = |path: &Path| path.components().any(|part| part.as_os_str() == "b");
    let options = selecting(move |path, _| !inside_b(path) || path.ends_with("1"));
    let walked = walk(open(&["a", "a/b/c"], ground.path(), options));
    assert_eq!(walked.lines, ["/a/", "/a/3", "/a/b/", "/a/b/c/", "/a/b/c/1"]);
}

#[test]
fn a_cache_keeps_only_its_tag() {
    let ground = tempfile::tempdir().unwrap();
    write(ground.path(), &["a/cache/x/y", "a/cache/file", "a/fake/file", "a/file"]);
    fs::write(ground.path().join("a/cache/CACHEDIR.TAG"), CACHE_TAG).unwrap();
    fs::write(ground.path().join("a/fake/CACHEDIR.TAG"), "Signature: none").unwrap();
    let options = FilesOptions { exclude_caches: true, ..FilesOptions::default() };
    let walked = walk(open(&["a"], ground.path(), options.clone()));
    let expected = [
        "/a/",
        "/a/cache/",
        "/a/cache/CACHEDIR.TAG",
        "/a/fake/",
        "/a/fake/CACHEDIR.TAG",
        "/a/fake/file",
        "/a/file",
    ];
    assert_eq!(walked.lines, expected);
    assert_eq!(walked.warnings, ["a/fake/CACHEDIR.TAG has not the expected beginning and is ignored"]);
    let walked = walk(open(&["a/cache", "a/cache/file"], ground.path(), options));
    assert_eq!(walked.lines, ["/a/", "/a/cache/", "/a/cache/CACHEDIR.TAG", "/a/cache/file"]);
    assert_eq!(walked.warnings, ["nothing in a/cache was backed up: CACHEDIR.TAG in it says not to"]);
}

#[test]
fn folders_with_a_named_file_are_left_out() {
    let ground = tempfile::tempdir().unwrap();
    write(ground.path(), &["a/1/.nobackup", "a/1/x", "a/2/.skip", "a/2/x", "a/3/.skip", "a/3/x"]);
    fs::write(ground.path().join("a/2/.skip"), "yes: please").unwrap();
    let exclude_if_present = vec![".nobackup".parse().unwrap(), ".skip:yes".parse().unwrap()];
    let options = FilesOptions { exclude_if_present, ..FilesOptions::default() };
    let walked = walk(open(&["a"], ground.path(), options));
    let expected = ["/a/", "/a/1/", "/a/1/.nobackup", "/a/2/", "/a/2/.skip", "/a/3/", "/a/3/.skip", "/a/3/x"];
    assert_eq!(walked.lines, expected);
    assert!(":x".parse::<Marker>().is_err());
}

#[test]
fn files_beyond_a_size_are_left_out_unless_named() {
    let ground = tempfile::tempdir().unwrap();
    write(ground.path(), &["a/12", "a/123", "a/1234567"]);
    let options = FilesOptions { exclude_larger_than: Some(5), ..FilesOptions::default() };
    let walked = walk(open(&["a"], ground.path(), options.clone()));
    assert_eq!(walked.lines, ["/a/", "/a/12", "/a/123"]);
    let walked = walk(open(&["a", "a/1234567"], ground.path(), options));
    assert_eq!(walked.lines, ["/a/", "/a/12", "/a/123", "/a/1234567"]);
}

#[test]
fn other_file_systems_are_not_entered_on_request() {
    let inside = tempfile::NamedTempFile::new_in("/dev/shm").expect("/dev/shm can be written to");
    let name = inside.path().to_owned();
    let device = |path: &str| rustix::fs::stat(path).unwrap().st_dev;
    assert_ne!(device("/dev"), device("/dev/shm"), "/dev/shm must be a file system of its own for this test");
    for (one_file_system, is_found) in [(false, true), (true, false)] {
        let only = name.clone();
        let select = selecting(move |path, _| only.starts_with(path));
        let options = FilesOptions { one_file_system, ..select };
        let walked = walk(open(&["/dev"], Path::new("/"), options.clone()));
        assert!(walked.lines.contains(&"/dev/shm/".to_owned()), "the mount point itself is kept");
        assert_eq!(walked.lines.contains(&name.to_str().unwrap().to_owned()), is_found);
        let walked = walk(open(&["/dev", "/dev/shm"], Path::new("/"), options));
        assert!(walked.lines.contains(&name.to_str().unwrap().to_owned()), "a root of its own counts");
    }
}

#[test]
fn a_scan_counts_what_the_walk_finds() {
    let ground = tempfile::tempdir().unwrap();
    let tree = ground.path().join("tree");
    fs::create_dir(&tree).unwrap();
    lifeboat_testkit::tree::build(&tree, 11, &lifeboat_testkit::tree::TreeOptions::default());
    let source =
        open(&["tree"], ground.path(), selecting(|path, _| !path.to_string_lossy().contains("entry")));
    let ctx = Ctx::default();
    source.scanner().run(&ctx);
    let walked = walk(source);
    let items = walked.lines.iter().filter(|line| !line.ends_with('/')).count();
    let bytes: u64 = walked.entries.iter().map(|entry| entry.node.size).sum();
    assert!(items > 5 && bytes > 0);
    assert_eq!(Counters::get(&ctx.counters.total_items), items as u64);
    assert_eq!(Counters::get(&ctx.counters.total_bytes), bytes);
    assert!(ctx.counters.totals_known.load(std::sync::atomic::Ordering::Relaxed));
}
