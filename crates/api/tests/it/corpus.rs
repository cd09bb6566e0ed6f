//! Replays the corpus of every fuzz target: requests that once broke a parser, or that reach far into one.

use std::fs;
use std::path::Path;

#[path = "../../fuzz/promises.rs"]
mod promises;

fn replay(target: &str, parse: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/corpus").join(target);
    let files: Vec<_> = fs::read_dir(&folder).expect("every target has a corpus").collect();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    for file in files {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        // Cut anywhere, and with any one byte changed, each file is a case of its own.
        parse(&bytes);
        for at in 0..bytes.len() {
            parse(&bytes[..at]);
            for byte in *b"\0%&=+.,;:0-\n[\xff" {
                let mut changed = bytes.clone();
                changed[at] = byte;
                parse(&changed);
            }
        }
    }
}

#[test]
fn no_form_of_the_corpus_breaks_the_parser() {
    replay("params", promises::params);
}

#[test]
fn no_signature_of_the_corpus_breaks_the_parser() {
    replay("signature", promises::signature);
}

#[test]
fn no_filter_of_the_corpus_breaks_the_parser() {
    replay("filters", promises::filters);
}
