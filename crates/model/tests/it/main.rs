//! Replays the corpus of every fuzz target: texts that once broke a parser, or that reach far into one.

use std::fs;
use std::path::Path;

use lifeboat_testkit::fuzz;

#[test]
fn no_schedule_of_the_corpus_breaks_the_parser() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/corpus/schedule");
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(!files.is_empty());
    for file in files {
        let bytes = fs::read(&file).unwrap();
        // Cut anywhere, and with any one byte changed, each file is a case of its own.
        fuzz::schedule(&bytes);
        for at in 0..bytes.len() {
            fuzz::schedule(&bytes[..at]);
            for byte in *b"0179 |?*/,-#LWP" {
                let mut changed = bytes.clone();
                changed[at] = byte;
                fuzz::schedule(&changed);
            }
        }
    }
}
