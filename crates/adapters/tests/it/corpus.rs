//! Replays the corpus of every fuzz target: files that once broke a parser, or that reach far into one.

use std::fs;
use std::path::Path;

use lifeboat_testkit::fuzz;

#[test]
fn no_rdb_of_the_corpus_breaks_the_parser() {
    replay("rdb", fuzz::rdb);
}

#[test]
fn no_stream_of_mariadb_backup_in_the_corpus_breaks_the_parser() {
    replay("xbstream", fuzz::xbstream);
}

fn replay(target: &str, parse: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/corpus").join(target);
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    for file in files {
        let bytes = fs::read(&file).unwrap();
        // Cut anywhere, and with any one byte changed, each file is a case of its own.
        parse(&bytes);
        for at in 0..bytes.len() {
            parse(&bytes[..at]);
            for byte in [0, 1, 7, 0x3f, 0x40, 0x7f, 0x80, 0x81, 0xc0, 0xc3, 0xf0, 0xf4, 0xfb, 0xfe, 0xff] {
                let mut changed = bytes.clone();
                changed[at] = byte;
                parse(&changed);
            }
        }
    }
}
