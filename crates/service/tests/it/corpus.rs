//! Replays the corpus of every fuzz target: files that once broke a parser, or that reach far into one.

use std::fs;
use std::path::Path;

use super::fuzzed;

fn replay(target: &str, parse: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/corpus").join(target);
    let files: Vec<_> = fs::read_dir(&folder).expect("every target has a corpus").collect();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    for file in files {
        let bytes = fs::read(file.expect("the corpus can be listed").path()).expect("the corpus can be read");
        // Cut anywhere, and with any one byte changed, each file is a case of its own.
        parse(&bytes);
        for at in 0..bytes.len() {
            parse(&bytes[..at]);
            for byte in *b"\0\"\\{}[],:0-*\xff" {
                let mut changed = bytes.clone();
                changed[at] = byte;
                parse(&changed);
            }
        }
    }
}

#[test]
fn no_policy_document_of_the_corpus_breaks_the_parser() {
    replay("policy_document", fuzzed::policy_document);
}
