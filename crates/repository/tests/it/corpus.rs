//! Replays the corpus of every fuzz target: files that once broke a parser, or that reach far into one.

use std::fs;
use std::path::Path;

use lifeboat_testkit::fuzz;

fn replay(target: &str, parse: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/corpus").join(target);
    let files: Vec<_> = fs::read_dir(&folder).expect("every target has a corpus").collect();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    for file in files {
        let path = file.expect("the corpus can be listed").path();
        let bytes = fs::read(&path).expect("the corpus can be read");
        // Cut anywhere, and with any one byte changed, each file is a case of its own.
        parse(&bytes);
        for at in 0..bytes.len() {
            parse(bytes.get(..at).unwrap_or_default());
            for byte in *b"\0\"\\{}[],:0-n\xff" {
                let mut changed = bytes.clone();
                changed.splice(at..=at, [byte]);
                parse(&changed);
            }
        }
    }
}

#[test]
fn no_tree_of_the_corpus_breaks_the_parser() {
    replay("tree", fuzz::tree);
}

#[test]
fn no_snapshot_of_the_corpus_breaks_the_parser() {
    replay("snapshot", fuzz::snapshot);
}

#[test]
fn no_index_file_of_the_corpus_breaks_the_parser() {
    replay("index", fuzz::index);
}

#[test]
fn no_pack_header_of_the_corpus_breaks_the_parser() {
    replay("pack_header", fuzz::pack_header);
}

#[test]
fn no_key_of_the_corpus_breaks_the_parser() {
    replay("key", fuzz::key);
}

#[test]
fn no_config_of_the_corpus_breaks_the_parser() {
    replay("config", fuzz::config);
}

#[test]
fn no_lock_of_the_corpus_breaks_the_parser() {
    replay("lock", fuzz::lock);
}

#[test]
fn no_frame_of_the_corpus_breaks_the_parser() {
    replay("frame", fuzz::frame);
}

#[test]
fn no_pattern_of_the_corpus_breaks_the_parser() {
    replay("pattern", fuzz::pattern);
}
