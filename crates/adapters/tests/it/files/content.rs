//! Files that do not keep still, or are mostly holes.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use lifeboat_repository::source::Content;
use tempfile::TempDir;

use super::walk_roots;

fn file_of(content: &[u8]) -> TempDir {
    let ground = tempfile::tempdir().unwrap();
    fs::write(ground.path().join("file"), content).unwrap();
    ground
}

fn open_file(ground: &Path) -> Box<dyn Content> {
    walk_roots(&["file"], ground).entry("file").access.open().unwrap()
}

/// Reads one byte, lets `change` happen, reads the rest, and asks how the file changed.
fn changed_while_read(change: impl FnOnce(&Path)) -> Option<String> {
    let ground = file_of(b"0123456789");
    let mut content = open_file(ground.path());
    content.read_exact(&mut [0]).unwrap();
    change(&ground.path().join("file"));
    content.read_to_end(&mut Vec::new()).unwrap();
    content.changed().unwrap()
}

#[test]
fn a_file_that_keeps_still_has_not_changed() {
    assert_eq!(changed_while_read(|_| {}), None);
}

#[test]
fn a_file_that_grows_while_it_is_read_says_so() {
    let append =
        |file: &Path| OpenOptions::new().append(true).open(file).unwrap().write_all(b"0123456789").unwrap();
    assert_eq!(changed_while_read(append).unwrap(), "grew from 10 to 20 bytes while it was read");
}

#[test]
fn a_file_that_shrinks_while_it_is_read_says_so() {
    let shrink = |file: &Path| OpenOptions::new().write(true).open(file).unwrap().set_len(3).unwrap();
    assert_eq!(changed_while_read(shrink).unwrap(), "shrank from 10 to 3 bytes while it was read");
}

#[test]
fn a_file_rewritten_in_place_while_it_is_read_says_so() {
    let rewrite = |file: &Path| {
        let file = OpenOptions::new().write(true).open(file).unwrap();
        file.write_all_at(b"9876543210", 0).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
    };
    assert_eq!(changed_while_read(rewrite).unwrap(), "was modified while it was read");
}

#[test]
fn holes_come_out_as_zeros_where_they_were() {
    const MEGABYTE: usize = 1 << 20;
    for len in [20 * MEGABYTE, 20 * MEGABYTE + 77] {
        let mut expected = vec![0; len];
        let ground = file_of(b"");
        let file = File::create(ground.path().join("file")).unwrap();
        file.set_len(len as u64).unwrap();
        for (at, bytes) in [(0, b"begin"), (7 * MEGABYTE, b"amids"), (20 * MEGABYTE - 5, b"close")] {
            file.write_all_at(bytes, at as u64).unwrap();
            expected[at..at + 5].copy_from_slice(bytes);
        }
        let mut read = Vec::new();
        let mut content = open_file(ground.path());
        content.read_to_end(&mut read).unwrap();
        assert!(read == expected, "of {len} bytes, {} were read and some differ", read.len());
        assert_eq!(content.changed().unwrap(), None);
    }
}

#[test]
fn a_hole_is_not_read_from_the_file() {
    let ground = file_of(b"");
    File::create(ground.path().join("file")).unwrap().set_len(64 << 20).unwrap();
    let read_by_kernel = || {
        let counters = fs::read_to_string("/proc/thread-self/io").unwrap();
        counters.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse::<u64>().unwrap()
    };
    let mut content = open_file(ground.path());
    let before = read_by_kernel();
    assert_eq!(std::io::copy(&mut content, &mut std::io::sink()).unwrap(), 64 << 20);
    let read = read_by_kernel() - before;
    assert!(read < 1 << 20, "{read} bytes were read");
}

#[test]
fn a_sparse_file_cut_while_it_is_read_ends_early_and_says_so() {
    let ground = file_of(b"");
    let file = File::create(ground.path().join("file")).unwrap();
    file.set_len(1 << 20).unwrap();
    let mut content = open_file(ground.path());
    content.read_exact(&mut [1; 100]).unwrap();
    file.set_len(50).unwrap();
    content.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(content.changed().unwrap().unwrap(), "shrank from 1048576 to 50 bytes while it was read");
}

#[test]
fn an_input_error_comes_out_of_the_read() {
    // The kernel answers reads of unmapped memory with EIO: page zero always is.
    let walked = walk_roots(&["self/mem"], Path::new("/proc"));
    let mut content = walked.entry("self/mem").access.open().unwrap();
    let error = content.read(&mut [0; 10]).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::IO.raw_os_error()));
}
