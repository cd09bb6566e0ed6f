//! Trees too deep, too wide or too long for simple ways of walking.

use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use lifeboat_repository::Ctx;
use lifeboat_repository::source::{Event, Source};
use rustix::fs::{CWD, Mode, OFlags, XattrFlags, fsetxattr, mkdirat, openat};

use super::{FilesOptions, content, open, walk, walk_roots};

/// A folder that costs no disk.
fn memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").expect("/dev/shm can be written to")
}

/// Makes `depth` folders, one in the other, and returns the innermost.
fn nest(top: &Path, name: &str, depth: usize) -> OwnedFd {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut folder = openat(CWD, top, flags, Mode::empty()).unwrap();
    for _ in 0..depth {
        mkdirat(&folder, name, Mode::RWXU).unwrap();
        folder = openat(&folder, name, flags, Mode::empty()).unwrap();
    }
    folder
}

/// Takes nested folders away from above: nothing else gets rid of thousands of them.
fn unnest(top: &Path, name: &str) {
    let (outer, inner, aside) = (top.join(name), top.join(name).join(name), top.join("aside"));
    while fs::rename(&inner, &aside).is_ok() {
        fs::remove_dir_all(&outer).unwrap();
        fs::rename(&aside, &outer).unwrap();
    }
}

fn new_file(folder: &OwnedFd, name: &str) -> File {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    openat(folder, name, flags, Mode::RUSR | Mode::WUSR).unwrap().into()
}

#[test]
fn paths_longer_than_the_kernel_allows_are_walked_and_read() {
    let ground = tempfile::tempdir().unwrap();
    let name = "n".repeat(250);
    let innermost = nest(ground.path(), &name, 40);
    let mut file = new_file(&innermost, "file");
    std::io::Write::write_all(&mut file, b"from the depth").unwrap();
    fsetxattr(&file, "user.depth", b"deep", XattrFlags::empty()).unwrap();
    rustix::fs::symlinkat("target", &innermost, "link").unwrap();
    let walked = walk_roots(&[&name], ground.path());
    assert_eq!(walked.error_lines(), [""; 0]);
    assert_eq!(walked.entries.len(), 42);
    let path: PathBuf = std::iter::repeat_n(name.as_str(), 40).chain(["file"]).collect();
    assert!(path.as_os_str().len() > 10_000);
    let entry = walked.entry(&path);
    assert_eq!(content(entry), b"from the depth");
    let mut node = entry.node.clone();
    entry.access.complete(&mut node).unwrap();
    assert_eq!(
        (node.extended_attributes[0].name.as_str(), node.extended_attributes[0].value.as_slice()),
        ("user.depth", b"deep".as_slice())
    );
    assert_eq!(walked.entry(path.with_file_name("link")).node.link_target, b"target");
    let deep = walk_roots(&[path.to_str().unwrap()], ground.path());
    assert_eq!(content(deep.entry(&path)), b"from the depth", "such a path may be a root");
}

#[test]
fn thousands_of_nested_folders_are_walked() {
    const DEPTH: usize = 3000;
    let ground = memory();
    let innermost = nest(ground.path(), "d", DEPTH);
    new_file(&innermost, "e");
    drop(innermost);
    let mut source = open(&["."], ground.path(), FilesOptions::default());
    let (mut entered, mut left, mut items, ctx) = (0, 0, Vec::new(), Ctx::default());
    while let Some(event) = source.next_event(&ctx) {
        match event.unwrap() {
            Event::Enter(_) => entered += 1,
            Event::Leave => left += 1,
            Event::Item(entry) => items.push(entry),
        }
    }
    assert_eq!((entered, left, items.len()), (DEPTH, DEPTH, 1));
    assert_eq!(content(&items[0]), b"", "the way back down is found after the walk");
    unnest(ground.path(), "d");
}

#[test]
fn a_deep_tree_needs_few_file_descriptors() {
    let test = "files::limits::thousands_of_nested_folders_are_walked";
    let output = Command::new("prlimit")
        .arg("--nofile=24")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--test-threads=1"])
        .output()
        .expect("prlimit (of util-linux) must be installed to run this test");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.contains("1 passed"), "{printed}");
}

#[test]
fn entries_kept_for_later_need_few_file_descriptors() {
    let ground = memory();
    for folder in 0..600 {
        super::write(ground.path(), &[&format!("a/{folder}/file")]);
    }
    let before = fs::read_dir("/proc/self/fd").unwrap().count();
    let walked = walk_roots(&["a"], ground.path());
    let held = fs::read_dir("/proc/self/fd").unwrap().count() - before;
    assert!((1..=300).contains(&held), "{held} descriptors are held");
    for entry in walked.entries.iter().filter(|entry| entry.path.ends_with("file")) {
        assert_eq!(content(entry), entry.path.as_os_str().as_bytes());
    }
    drop(walked);
    assert_eq!(fs::read_dir("/proc/self/fd").unwrap().count(), before);
}

#[test]
fn names_come_in_byte_order_however_little_memory_there_is() {
    const ENTRIES: u32 = 100_000;
    let ground = memory();
    let folder = ground.path().join("wide");
    fs::create_dir(&folder).unwrap();
    let name = |index: u32| {
        let index = index.wrapping_mul(2_654_435_761);
        let mut name =
            index.to_be_bytes().map(|byte| if matches!(byte, 0 | b'/') { b'_' } else { byte }).to_vec();
        name.extend_from_slice(format!("{index:x}").as_bytes());
        name
    };
    let mut expected: Vec<Vec<u8>> = (0..ENTRIES).map(name).collect();
    for name in &expected {
        File::create(folder.join(OsStr::from_bytes(name))).unwrap();
    }
    expected.sort();
    let options = FilesOptions { listing_budget_bytes: 64 * 1024, ..FilesOptions::default() };
    let walked = walk(open(&["wide"], ground.path(), options));
    assert_eq!(walked.error_lines(), [""; 0]);
    let names: Vec<&[u8]> = walked.entries[1..].iter().map(|entry| entry.node.name.as_slice()).collect();
    assert_eq!(names.len(), expected.len());
    assert!(names.iter().eq(&expected), "the order differs");
    // Sorted in memory the walk is the same.
    let in_memory = walk_roots(&["wide"], ground.path());
    assert!(in_memory.lines == walked.lines);
}

/// Folders in each other, each with names before and behind the next one.
#[test]
fn names_of_the_folders_around_are_kept_however_little_memory_there_is() {
    const NAMES: usize = 300;
    let ground = memory();
    let mut folder = ground.path().join("top");
    for _ in 0..20 {
        fs::create_dir(&folder).unwrap();
        for name in 0..NAMES {
            File::create(folder.join(format!("{}-{name}", if name % 2 == 0 { "before" } else { "later" })))
                .unwrap();
        }
        folder.push("folder");
    }
    let in_memory = walk_roots(&["top"], ground.path());
    assert_eq!(in_memory.lines.len(), 20 * (NAMES + 1));
    for listing_budget_bytes in [64, 2048, 32 * 1024] {
        let options = FilesOptions { listing_budget_bytes, ..FilesOptions::default() };
        let mut source = open(&["top"], ground.path(), options);
        let mut most_spools = 0;
        let ctx = Ctx::default();
        while let Some(event) = source.next_event(&ctx) {
            let is_folder = matches!(event.unwrap(), Event::Enter(_));
            if is_folder {
                most_spools = most_spools.max(spools());
            }
        }
        assert!((1..=2).contains(&most_spools), "{most_spools} spools with {listing_budget_bytes} bytes");
        let options = FilesOptions { listing_budget_bytes, ..FilesOptions::default() };
        let walked = walk(open(&["top"], ground.path(), options));
        assert_eq!(walked.error_lines(), [""; 0]);
        assert!(walked.lines == in_memory.lines, "the walk differs with {listing_budget_bytes} bytes");
    }
}

/// Open files of this process that have no name any more.
fn spools() -> usize {
    let links = fs::read_dir("/proc/self/fd").unwrap().flatten().flat_map(|fd| fs::read_link(fd.path()));
    links.filter(|target| target.to_string_lossy().ends_with("(deleted)")).count()
}

#[test]
fn a_spool_that_cannot_be_written_names_the_folder() {
    let ground = tempfile::tempdir().unwrap();
    super::write(ground.path(), &["a/1", "a/2"]);
    let spool_folder = ground.path().join("missing");
    let options = FilesOptions { listing_budget_bytes: 1, spool_folder, ..FilesOptions::default() };
    let walked = walk(open(&["a"], ground.path(), options));
    assert_eq!(walked.errors[0].to_string(), "cannot list a");
}

#[test]
fn names_of_any_bytes_are_kept() {
    let ground = tempfile::tempdir().unwrap();
    let name = CString::new(b"\xff\xfe\n\"name".to_vec()).unwrap();
    let folder = nest(ground.path(), "a", 1);
    rustix::fs::symlinkat(c"\xfftarget", &folder, &name).unwrap();
    let walked = walk_roots(&["a"], ground.path());
    assert_eq!(walked.entries[1].node.name, name.as_bytes());
    assert_eq!(walked.entries[1].node.link_target, b"\xfftarget");
}
