//! Any bytes as a tree.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lifeboat_testkit::fuzz::tree(bytes));
